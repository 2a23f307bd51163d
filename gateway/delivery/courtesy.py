"""Whoever stands at the door goes first: while events come in, the lanes keep to a share of the processor."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.clock import Clock

#: Time left to the door for each part that all lanes together work while it is busy: they keep a sixth or so.
TO_THE_DOOR = 5.0
#: The longest pause, in seconds, so that a lane of many goes on all the same.
LONGEST_S = 0.25


class Courtesy:
    """The pauses between two slices of a lane's work."""

    def __init__(self, busy: Callable[[], bool], lanes: int, clock: Clock) -> None:
        """`busy`: whether events wait to be stored in this process."""
        self._busy, self._lanes, self._clock = busy, lanes, clock

    async def after(self, started: float) -> None:
        """Let others have their turn, after a slice of work that began at `started` (`time.perf_counter`)."""
        if not self._busy():
            await anyio.lowlevel.checkpoint()
            return
        worked_s = time.perf_counter() - started
        await self._clock.wait(anyio.Event(), min(LONGEST_S, worked_s * self._lanes * TO_THE_DOOR))
