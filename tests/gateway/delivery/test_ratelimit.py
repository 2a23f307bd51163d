"""Requests a second."""

from __future__ import annotations

import pytest

from gateway.delivery.ratelimit import RateLimit


def taken(limit: RateLimit, count: int, now: float = 0.0) -> list[float]:
    return [limit.take(now) for _ in range(count)]


def test_without_a_rate_nobody_waits() -> None:
    assert taken(RateLimit(None, 0.0), 100) == [0.0] * 100


def test_one_seconds_worth_goes_at_once_the_rest_in_turn() -> None:
    assert taken(RateLimit(2.0, 0.0), 5) == [0.0, 0.0, 0.5, 1.0, 1.5]


def test_a_slow_rate_with_a_burst() -> None:
    assert taken(RateLimit(0.5, 0.0, burst=3), 5) == [0.0, 0.0, 0.0, 2.0, 4.0]


def test_a_quiet_time_fills_the_bucket_and_no_more() -> None:
    limit = RateLimit(2.0, 0.0)
    taken(limit, 2)
    assert taken(limit, 3, now=100.0) == [0.0, 0.0, pytest.approx(0.5)]


def test_another_process_goes_on_with_what_is_left() -> None:
    first, second = RateLimit(0.5, 0.0, burst=10), RateLimit(0.5, 3.0, burst=10)
    taken(first, 6)
    full_at = first.full_at(2)
    assert full_at is not None
    second.resume(full_at, 3.0)
    assert taken(second, 4, now=3.0) == [0.0, 0.0, 0.0, pytest.approx(1.0)]  # 10 - 6 - 2 + 1.5


def test_what_was_written_down_long_ago_or_under_another_limit_costs_no_more_than_the_bucket() -> None:
    for full_at, left in ((-1_000.0, 10), (10_000.0, 0)):
        limit = RateLimit(0.5, 0.0, burst=10)
        limit.resume(full_at, 0.0)
        assert taken(limit, 10).count(0.0) == left


def test_without_a_rate_there_is_nothing_to_write_down() -> None:
    limit = RateLimit(None, 0.0)
    limit.resume(100.0, 0.0)
    assert limit.full_at(5) is None
    assert limit.take(0.0) == 0.0
