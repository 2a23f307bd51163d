"""What stands around the snippet's events is read as far as it is right, and never costs an event."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.formats.snippet import AROUND, Envelope, straight, unwrap

NOW = 1_795_000_000.0
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_an_envelope_is_read():
    body = {
        "sent_at": 1_795_000_000_250,
        "pending": True,
        "cookies": "_ttp=abc",
        "landing": {"query": "gclid=x", "at": 1_794_999_990_000},
        "events": [{"event_name": "Lead"}],
    }
    envelope, events = unwrap(body)
    assert events == [{"event_name": "Lead"}]
    assert envelope == Envelope(1_795_000_000.25, True, "_ttp=abc", "gclid=x", 1_794_999_990.0)


def test_without_a_time_of_sending_it_is_none_of_the_snippet_s():
    assert unwrap({"events": [1]}) == (None, [1])
    assert unwrap({"events": [1], "pending": True}) == (None, [1])


@pytest.mark.parametrize(
    "body", [{"event_name": "Lead"}, {"events": {}, "sent_at": 1}, {"events": [], "event_name": "x"}]
)
def test_an_event_is_not_taken_for_one(body):
    assert unwrap(body) is None


@pytest.mark.parametrize(("behind_s", "moves"), [(0, 0), (59, 0), (-59, 0), (3600, 3600), (-3600, -3600), (90, 90)])
def test_times_are_set_right_by_a_clock_that_is_wrong(behind_s, moves):
    envelope = Envelope(sent_at=NOW - behind_s)
    [event] = straight([{"event_time": NOW - behind_s - 10}], envelope, NOW)
    assert event["event_time"] == NOW - behind_s - 10 + moves


@pytest.mark.parametrize("value", ["2026-11-18T09:06:40Z", True, None, [], float("nan"), float("inf"), -5])
def test_a_time_that_is_no_number_is_left_to_the_schema(value):
    [event] = straight([{"event_time": value}], Envelope(sent_at=1.0), NOW)
    assert event["event_time"] is value


def test_urls_are_cut_where_an_event_ends_them_and_empty_ones_go():
    events = [{"event_source_url": "https://shop.example/" + "a" * 5000, "referrer_url": ""}, "no event"]
    first, second = straight(events, Envelope(), NOW)
    assert len(first["event_source_url"]) == 4096
    assert "referrer_url" not in first
    assert second == "no event"


@given(st.dictionaries(st.sampled_from(sorted(AROUND | {"events"})), ANYTHING), st.lists(ANYTHING, max_size=3))
def test_nothing_that_is_wrong_costs_an_event(around, events):
    envelope, found = unwrap({**around, "sent_at": around.get("sent_at"), "events": events})
    assert envelope is not None
    assert len(straight(found, envelope, NOW)) == len(events)
    assert abs(envelope.skew_s(NOW)) < 1e12
    json.dumps(envelope.cookies + envelope.landing)
