"""The clock of a running process."""

from __future__ import annotations

import time

from gateway.delivery.clock import SystemClock


def test_time_that_the_machine_slept_counts_and_a_correction_does_not(monkeypatch) -> None:
    clock, elapsed, source = SystemClock(), time.clock_gettime, []

    def after_a_sleep(which: int) -> float:
        source.append(which)
        return elapsed(which) + 7_200.0

    before = clock.now()
    monkeypatch.setattr(time, "clock_gettime", after_a_sleep)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 7_200.0 <= clock.now() - before < 7_260.0
    assert set(source) == {time.CLOCK_BOOTTIME}
