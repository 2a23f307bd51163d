"""Requests a second, as a token bucket."""

from __future__ import annotations


class RateLimit:
    """A bucket that holds one second's worth of requests and refills evenly."""

    def __init__(self, rate: float | None, now: float) -> None:
        """`rate`: requests a second, `None` for no limit. `now`: seconds on any steady clock."""
        self._rate = rate
        self._size = max(1.0, rate or 0.0)
        self._tokens = self._size
        self._at = now

    def take(self, now: float) -> float:
        """Take a token; returns the seconds to wait before using it."""
        if self._rate is None:
            return 0.0
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate) - 1.0
        self._at = now
        return max(0.0, -self._tokens / self._rate)
