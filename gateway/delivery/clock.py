"""Time, as a value that is passed in."""

from __future__ import annotations

import time
from typing import Protocol

import anyio

#: Seconds since the machine started. Linux' monotonic clock stands still while the machine sleeps; this one does not.
_SOURCE = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _elapsed() -> float:
    return time.clock_gettime(_SOURCE)


class Clock(Protocol):
    """What the lanes ask about time."""

    def now(self) -> float:
        """Unix seconds; never goes back and never jumps while the process runs."""

    async def wait(self, event: anyio.Event, timeout_s: float | None) -> None:
        """Wait for an event, but not longer than `timeout_s`."""


class SystemClock:
    """The machine's clock, read once: from then on it is counted by one that only goes forward.

    A correction of the machine's time while the gateway runs moves no retry and no age limit. Time for which the
    machine slept counts.
    """

    def __init__(self) -> None:
        self._offset = time.time() - _elapsed()

    def now(self) -> float:
        """Unix seconds."""
        return _elapsed() + self._offset

    async def wait(self, event: anyio.Event, timeout_s: float | None) -> None:
        """Wait for an event, but not longer than `timeout_s`."""
        with anyio.move_on_after(timeout_s):
            await event.wait()
