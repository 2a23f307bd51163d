"""Requests a second, as a token bucket."""

from __future__ import annotations


class RateLimit:
    """A bucket that holds `burst` requests, else one second's worth, and refills evenly."""

    def __init__(self, rate: float | None, now: float, burst: int | None = None) -> None:
        """`rate`: requests a second, `None` for no limit. `now`: seconds on any steady clock."""
        self._rate = rate
        self._size = max(1.0, rate or 0.0) if burst is None else float(burst)
        self._tokens = self._size
        self._at = now

    def take(self, now: float) -> float:
        """Take a token; returns the seconds to wait before using it."""
        if self._rate is None:
            return 0.0
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._rate)
