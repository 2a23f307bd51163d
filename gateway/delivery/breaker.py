"""The breaker: after several failures in a row a lane asks with one delivery now and then, instead of with all."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

#: Failed requests in a row that open it.
THRESHOLD = 5
#: First and longest time between two probes, in seconds.
FIRST_S, MAX_S = 2.0, 300.0


class Breaker:
    """Closed while all is well; open, it lets one probe through at a time, ever more seldom."""

    def __init__(
        self, rng: random.Random, *, threshold: int = THRESHOLD, first_s: float = FIRST_S, max_s: float = MAX_S
    ) -> None:
        self._rng = rng
        self._threshold, self._first_s, self._max_s = threshold, first_s, max_s
        self._failures = 0
        #: Unix seconds since when it is open; `None` while it is closed.
        self.open_since: float | None = None
        #: The code of the failure that opened it.
        self.code = ""
        #: When the next probe may go.
        self.probe_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self.open_since is not None

    def reopen(self, since: float, code: str, now: float) -> None:
        """It was open when the process ended: one probe at once, and a failure of that keeps it open."""
        self._failures = self._threshold
        self.open_since, self.code, self.probe_at = since, code, now

    def succeeded(self) -> None:
        """The platform answered like one that works."""
        self._failures = 0
        self.open_since, self.code = None, ""

    def failed(self, now: float, code: str = "") -> None:
        """No answer, or one that says to come back later. While it is open, only the probe's counts."""
        if self.is_open and now < self.probe_at:
            return
        self._failures += 1
        if self._failures < self._threshold:
            return
        if self.open_since is None:
            self.open_since, self.code = now, code
        pause = min(self._max_s, self._first_s * 2.0 ** min(self._failures - self._threshold, 32))
        self.probe_at = now + pause * self._rng.uniform(0.5, 1.0)
