"""The lanes leave the processor to the door while it is busy, and do not stop for it."""

from __future__ import annotations

import time

import pytest

from gateway.delivery.courtesy import LONGEST_S, TO_THE_DOOR, Courtesy

pytestmark = pytest.mark.anyio


class Noted:
    """A clock that notes how long it was to wait."""

    def __init__(self) -> None:
        self.waits: list[float | None] = []

    def now(self) -> float:
        return 0.0

    async def wait(self, event: object, timeout_s: float | None) -> None:
        self.waits.append(timeout_s)


async def test_nobody_waits_while_the_door_is_idle() -> None:
    clock = Noted()
    await Courtesy(lambda: False, 5, clock).after(time.perf_counter() - 1.0)
    assert clock.waits == []


async def test_a_slice_is_paid_for_by_all_lanes_together() -> None:
    clock = Noted()
    await Courtesy(lambda: True, 2, clock).after(time.perf_counter() - 0.001)
    [waited] = clock.waits
    assert waited is not None
    assert 0.001 * 2 * TO_THE_DOOR <= waited <= LONGEST_S


async def test_a_pause_has_an_end_however_many_they_are() -> None:
    clock = Noted()
    await Courtesy(lambda: True, 1000, clock).after(time.perf_counter() - 10.0)
    assert clock.waits == [LONGEST_S]
