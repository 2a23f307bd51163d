"""The breaker, the pause and the rate: whether a lane may send."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.access import PROBE_FIRST_S, PROBE_MAX_S, Access
from gateway.delivery.breaker import FIRST_S, MAX_S, THRESHOLD, Breaker
from gateway.delivery.ratelimit import RateLimit
from gateway.plugin import verdicts

NOW = 1_795_000_000.0


def opened(at=NOW):
    breaker = Breaker(random.Random(1))
    for _ in range(THRESHOLD):
        breaker.failed(at)
    return breaker


def test_it_opens_after_failures_in_a_row_only():
    breaker = Breaker(random.Random(1))
    for _ in range(3):
        for _ in range(THRESHOLD - 1):
            breaker.failed(NOW)
        breaker.succeeded()
    assert not breaker.is_open
    assert opened().is_open


def test_probes_grow_rarer_up_to_a_limit_and_are_never_much_too_soon():
    breaker, now, waits = opened(), NOW, []
    for _ in range(20):
        waits.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker.failed(now)
    assert FIRST_S / 2 <= waits[0] <= FIRST_S
    assert MAX_S / 2 <= waits[-1] <= MAX_S
    assert all(wait <= MAX_S for wait in waits)
    assert breaker.open_since == NOW


def test_requests_that_were_under_way_when_it_opened_do_not_count_as_probes():
    breaker = opened()
    probe_at = breaker.probe_at
    for _ in range(10):
        breaker.failed(NOW + 0.1)
    assert breaker.probe_at == probe_at


def test_one_success_closes_it():
    breaker = opened()
    breaker.succeeded()
    assert not breaker.is_open
    breaker.failed(NOW)
    assert not breaker.is_open


def test_a_pause_is_probed_ever_more_rarely():
    access, now, waits = Access(random.Random(1)), NOW, []
    assert access.stop(verdicts.pause("dead"), now)
    for _ in range(8):
        waits.append(access.wait_s(now))
        now += waits[-1]
        assert not access.stop(verdicts.pause("dead"), now)
    assert waits[:3] == [PROBE_FIRST_S, 2 * PROBE_FIRST_S, 4 * PROBE_FIRST_S]
    assert waits[-1] == PROBE_MAX_S


def test_a_platform_may_ask_for_a_longer_pause():
    access = Access(random.Random(1))
    access.stop(verdicts.pause("dead", after_s=5000.0), NOW)
    assert access.wait_s(NOW) == 5000.0


def test_the_time_of_all_pauses_adds_up():
    access = Access(random.Random(1))
    access.stop(verdicts.pause("dead"), NOW)
    assert access.frozen(NOW + 70) == 70
    access.resume(NOW + 100)
    assert access.frozen(NOW + 500) == 100
    access.stop(verdicts.pause("dead"), NOW + 500)
    access.resume(NOW + 510)
    assert access.frozen_s == 110
    assert not access.probing


def test_the_longest_wait_counts():
    access = Access(random.Random(1))
    access.hold(NOW, 20)
    access.hold(NOW, 5)
    assert access.wait_s(NOW + 1) == 19
    assert access.wait_s(NOW + 30) == 0


@given(st.floats(0.05, 1000), st.lists(st.floats(0, 5), min_size=1, max_size=200))
def test_no_window_holds_more_than_the_rate_and_one_second_saved_up(rate, gaps):
    limit, now, uses = RateLimit(rate, NOW), NOW, []
    for gap in gaps:
        now += gap
        uses.append(now + limit.take(now))
    assert all(later >= earlier - 1e-3 for earlier, later in pairwise(uses))
    for at, begun in enumerate(uses):
        for length in (1.0, 10.0):
            inside = sum(begun <= one < begun + length for one in uses[at:])
            assert inside <= rate * length + max(1.0, rate) + 1


def test_without_a_rate_nobody_waits():
    limit = RateLimit(None, NOW)
    assert [limit.take(NOW) for _ in range(1000)] == [0.0] * 1000


@pytest.mark.parametrize(("rate", "waits"), [(1.0, [0, 1, 2]), (2.0, [0, 0, 0.5]), (0.1, [0, 10, 20])])
def test_requests_at_once_are_spread_evenly(rate, waits):
    limit = RateLimit(rate, NOW)
    assert [limit.take(NOW) for _ in waits] == pytest.approx(waits)
