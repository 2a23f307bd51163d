"""Time, as a value that is passed in."""

from __future__ import annotations

import time
from typing import Protocol

import anyio


class Clock(Protocol):
    """What the lanes ask about time."""

    def now(self) -> float:
        """Unix seconds; never goes back and never jumps while the process runs."""

    async def wait(self, event: anyio.Event, timeout_s: float | None) -> None:
        """Wait for an event, but not longer than `timeout_s`."""


class SystemClock:
    """The machine's clock, read once: from then on it is counted by the monotonic one.

    A correction of the machine's time while the gateway runs moves no retry and no age limit.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """Unix seconds."""
        return time.monotonic() + self._offset

    async def wait(self, event: anyio.Event, timeout_s: float | None) -> None:
        """Wait for an event, but not longer than `timeout_s`."""
        with anyio.move_on_after(timeout_s):
            await event.wait()
