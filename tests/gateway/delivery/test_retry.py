"""The retry clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.delivery.retry import Again, GiveUp, Past, after
from gateway.plugin import Retry, verdicts

NOW = 1_795_000_000.0
SECONDS = st.floats(0, 1e6)
JITTER = st.floats(0, 1)
POLICIES = st.builds(
    Retry,
    first_s=st.floats(0, 1000),
    factor=st.floats(1, 100),
    max_s=st.floats(1, 1e5),
    give_up_s=st.floats(1, 1e6),
    unseen_s=st.none() | st.floats(1, 1e6),
)
PASTS = st.builds(
    lambda tries, ago, frozen, unseen: Past(tries, NOW - ago, min(frozen, ago), unseen),
    st.integers(1, 10_000),
    SECONDS,
    SECONDS,
    st.booleans(),
)


@given(POLICIES, PASTS, JITTER, st.none() | SECONDS)
def test_never_before_what_the_platform_asked_for_nor_in_the_past(policy, past, jitter, wanted):
    found = after(verdicts.retry("x", after_s=wanted), past, policy, NOW, jitter)
    assume(isinstance(found, Again))
    assert found.at >= NOW + (wanted or 0.0)


@given(POLICIES, PASTS, JITTER, st.none() | SECONDS)
def test_never_past_the_time_to_give_up_nor_past_the_dedup_window(policy, past, jitter, wanted):
    found = after(verdicts.retry("x", after_s=wanted), past, policy, NOW, jitter)
    assume(isinstance(found, Again))
    assert found.at - past.first_at - past.frozen_s <= policy.give_up_s
    if past.unseen and policy.unseen_s is not None:
        assert found.at - past.first_at <= policy.unseen_s


@given(POLICIES, PASTS, JITTER)
def test_the_wait_is_a_share_of_an_exponential_ceiling(policy, past, jitter):
    generous = replace(policy, give_up_s=1e12, unseen_s=None)
    found = after(verdicts.retry("x"), past, generous, NOW, jitter)
    assert isinstance(found, Again)
    assert NOW <= found.at <= NOW + policy.max_s + 1e-6
    if past.tries == 1:
        assert found.at <= NOW + policy.first_s + 1e-6
    assert after(verdicts.retry("x"), past, generous, NOW, 0.0) == Again(NOW)


@pytest.mark.parametrize(("tries", "ceiling"), [(1, 5), (2, 10), (3, 20), (4, 40), (5, 60), (500, 60)])
def test_the_ceiling_grows_by_the_factor_up_to_the_maximum(tries, ceiling):
    policy = Retry(first_s=5, factor=2, max_s=60)
    past = Past(tries, NOW, 0.0, False)
    assert after(verdicts.retry("x"), past, policy, NOW, 1.0) == Again(NOW + ceiling)
    assert after(verdicts.retry("x"), past, policy, NOW, 0.5) == Again(NOW + ceiling / 2)


def test_paused_time_does_not_count_towards_giving_up_but_does_for_the_dedup_window():
    policy = Retry(first_s=0, give_up_s=100, unseen_s=500)
    verdict = verdicts.retry("x")
    assert isinstance(after(verdict, Past(3, NOW - 150, 0.0, False), policy, NOW, 0), GiveUp)
    assert isinstance(after(verdict, Past(3, NOW - 150, 100.0, False), policy, NOW, 0), Again)
    late = after(verdict, Past(3, NOW - 600, 590.0, True), policy, NOW, 0)
    assert isinstance(late, GiveUp)
    assert late.code == "unseen_window"


def test_a_verdict_may_limit_its_tries():
    verdict = verdicts.retry("odd", tries=3)
    assert isinstance(after(verdict, Past(2, NOW, 0, False), Retry(), NOW, 0), Again)
    done = after(verdict, Past(3, NOW, 0, False), Retry(), NOW, 0)
    assert isinstance(done, GiveUp)
    assert done.code == "tries_exhausted"
