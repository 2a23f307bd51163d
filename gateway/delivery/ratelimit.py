"""Requests a second, as a token bucket."""

from __future__ import annotations


class RateLimit:
    """A bucket that holds `burst` requests, else one second's worth, and refills evenly."""

    def __init__(self, rate: float | None, now: float, burst: int | None = None) -> None:
        """`rate`: requests a second, `None` for no limit. `now`: Unix seconds."""
        self._rate = rate
        self._size = max(1.0, rate or 0.0) if burst is None else float(burst)
        self._tokens = self._size
        self._at = now

    def full_at(self, more: int = 0) -> float | None:
        """When the bucket will be full again, Unix seconds, which says all that is to be known of it; `None` without a
        limit. `more`: requests that are yet to be made and may not be written down.
        """
        return None if self._rate is None else self._at + (self._size - self._tokens + more) / self._rate

    def resume(self, full_at: float, now: float) -> None:
        """Go on where another process was, which wrote `full_at` down."""
        if self._rate is None:
            return
        longest_s = self._size / self._rate  # written under another configuration, or by a clock that was wrong
        self._tokens, self._at = self._size - min(max(0.0, full_at - now), longest_s) * self._rate, now

    def take(self, now: float) -> float:
        """Take a token; returns the seconds to wait before using it."""
        if self._rate is None:
            return 0.0
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._rate)
