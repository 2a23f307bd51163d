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
