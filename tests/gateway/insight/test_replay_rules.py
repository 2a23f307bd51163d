"""What is replayed and what is not, state by state."""

from __future__ import annotations

import pytest

from gateway.insight.explain import paths
from gateway.insight.replay import hindrance
from gateway.model.delivery import State
from gateway.outbox.standing import Standing


@pytest.mark.parametrize("state", [State.DEAD, State.EXPIRED, State.CANCELLED, State.SKIPPED, State.DRY_RUN])
def test_what_never_arrived_may_be_replayed(state):
    assert hindrance(Standing(state, "missing_field"), again=False) is None


def test_what_was_never_owed_may_be_replayed():
    assert hindrance(None, again=False) is None


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("state", [State.QUEUED, State.WAITING])
def test_what_is_on_its_way_is_never_sent_twice(state, again):
    assert hindrance(Standing(state), again=again) is not None


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("reason", ["consent", "not_routed"])
def test_what_the_door_held_back_stays_back(reason, again):
    assert hindrance(Standing(State.SKIPPED, reason), again=again) is not None


@pytest.mark.parametrize(
    "at", [Standing(State.DELIVERED), Standing(State.RECEIVED), Standing(State.CANCELLED, "discarded")]
)
def test_what_is_done_with_goes_only_with_again(at):
    assert hindrance(at, again=False) is not None
    assert hindrance(at, again=True) is None


def test_paths_name_fields_without_values():
    item = {"id": 1, "user": {"em": ["x"]}, "items": [{"sku": "a"}, {"sku": "b", "price": 2}], "none": {}}
    assert paths(item) == ["id", "user.em", "items[].sku", "items[].price"]
