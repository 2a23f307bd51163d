"""How many requests are worked on at a time: as many as are answered soon. The excess is refused before it is read.

Nothing is known beforehand of the machine, its disk or the size of the requests, so that the limit follows what is
measured: it falls while answers take longer than the target, and rises again while senders are turned away although
answers are quick. A single slow commit changes little: only a share of late answers does.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sized


@dataclass(frozen=True, slots=True)
class Targets:
    """What the limit is steered by."""

    #: Seconds from a request's last byte to its answer. Past it an answer is late.
    soon_s: float = 0.25
    #: Seconds between two looks at the limit.
    look_s: float = 0.25
    #: The share of late answers that lowers the limit, and the one up to which it may rise.
    late: float = 0.1
    calm: float = 0.01
    #: Bounds of the limit, and where it begins.
    least: int = 16
    most: int = 4096
    first: int = 512


class Admission:
    """One process's limit. Its question is an integer compare; it is answered once for each request."""

    __slots__ = (
        "_answers",
        "_clock",
        "_late",
        "_look_at",
        "_refused",
        "_seconds",
        "_targets",
        "limit",
        "tasks",
        "waiting",
    )

    def __init__(self, targets: Targets | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._targets = targets or Targets()
        self._clock = clock
        #: Requests at work at which another one is refused.
        self.limit = self._targets.first
        #: The server's tasks, one for each request that it has begun.
        self.tasks: Sized = ()
        #: Those that wait for their own sender: they cost nothing but memory, which has its own limit.
        self.waiting = 0
        self._answers = self._late = self._refused = 0
        self._seconds = 0.0
        self._look_at = clock() + self._targets.look_s

    @property
    def full(self) -> bool:
        """Whether no more is taken now."""
        return len(self.tasks) - self.waiting >= self.limit

    def refused(self) -> None:
        """Count a request that was turned away."""
        self._refused += 1

    def answered(self, seconds: float) -> None:
        """Count an answer, `seconds` after its request was there."""
        self._answers += 1
        self._seconds += seconds
        if seconds > self._targets.soon_s:
            self._late += 1
        now = self._clock()
        if now >= self._look_at:
            self._look(now)

    def _look(self, now: float) -> None:
        targets = self._targets
        late, mean = self._late / self._answers, self._seconds / self._answers
        if late > targets.late:
            # at this mean, so many would be answered in time; never less than half at once, as the mean may mislead
            factor = min(max(targets.soon_s / mean, 0.5), 0.9)
            self.limit = max(int(min(self.limit, len(self.tasks) or self.limit) * factor), targets.least)
        elif self._refused and late <= targets.calm:
            self.limit = min(self.limit + self.limit // 10 + 1, targets.most)
        self._answers = self._late = self._refused = 0
        self._seconds = 0.0
        self._look_at = now + targets.look_s


def loop_time() -> float:
    """Now, as the server stamps the arrival of requests."""
    return asyncio.get_running_loop().time()
