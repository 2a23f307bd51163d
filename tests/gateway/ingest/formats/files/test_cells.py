"""Cells: read when they can mean one thing only, else refused with what to say about them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ingest.formats.files.cells import Manner, Unread, zone_of
from gateway.ingest.formats.files.places import Kind, Place, place, places

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC).timestamp()
BERLIN = Manner(zone=zone_of("Europe/Berlin"))


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type, misc]


def refused(call, *arguments):
    with pytest.raises(Unread) as caught:
        call(*arguments)
    return caught.value.code


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-20T14:03:09Z", at(2026, 11, 20, 14, 3, 9)),
        ("2026-11-20 14:03:09+0530", at(2026, 11, 20, 8, 33, 9)),
        ("2026-11-20 14:03:09 America/New_York", at(2026, 11, 20, 19, 3, 9)),
        ("2026-11-20 14:03", at(2026, 11, 20, 13, 3)),
        ("2026-07-20 14:03:09.5", at(2026, 7, 20, 12, 3, 9) + 0.5),
        ("2026-11-20", at(2026, 11, 20, 11)),
        ("1795000000", 1_795_000_000),
        ("1795000000.25", 1_795_000_000.25),
        ("1795000000123", 1_795_000_000_123),  # milliseconds: the pipeline says so
    ],
)
def test_times_in_the_zone_of_the_mapping(text, seconds):
    assert BERLIN.time(text, NOW) == seconds


def test_today_without_a_time_is_not_in_the_future():
    assert Manner(zone=UTC).time("2026-11-21", NOW) == NOW
    assert Manner(zone=UTC).time("2026-11-22", NOW) == at(2026, 11, 22, 12)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("2026-11-20 14:03", "time_without_zone"),
        ("2026-11-20", "time_without_zone"),
        ("20.11.2026", "bad_format"),
        ("11/12/2026", "bad_format"),
        ("20261120", "bad_format"),  # a date without dots
        ("45981.58", "bad_format"),  # a spreadsheet's number of days
        ("2026-02-30", "bad_format"),
        ("2026-11-20 25:00", "bad_format"),
        ("2026-11-20 14:03 Europe/Atlantis", "bad_format"),
        ("yesterday", "bad_format"),
        ("9" * 400, "bad_format"),
    ],
)
def test_times_that_could_be_another_time_are_refused(text, code):
    assert refused(Manner().time, text, NOW) == code


def test_forms_of_times_that_the_mapping_names():
    manner = Manner(times=("%d.%m.%Y %H:%M", "%d.%m.%Y"), zone=zone_of("+01:00"))
    assert manner.time("20.11.2026 14:03", NOW) == at(2026, 11, 20, 13, 3)
    assert manner.time("20.11.2026", NOW) == at(2026, 11, 20, 11)
    assert manner.time("2026-11-20T14:03:09Z", NOW) == at(2026, 11, 20, 14, 3, 9)
    assert Manner(times=("unix_ms",)).time("1795000000500", NOW) == 1_795_000_000.5
    assert Manner(times=("unix",)).time("12345", NOW) == 12345


@pytest.mark.parametrize(
    ("decimal", "text", "value"),
    [
        (None, "12.50", 12.5),
        (None, "€ 12", 12),
        (None, "-3", -3),
        ("point", "1,234.50", 1234.5),
        ("comma", "1.234,56", 1234.56),
        ("comma", "1.234", 1234),
        ("comma", "12,5 €", 12.5),
        ("comma", "1\u00a0234,5", 1234.5),
        ("point", "1'234.50", 1234.5),
    ],
)
def test_amounts(decimal, text, value):
    assert Manner(decimal=decimal).amount(text, NOW) == value


@pytest.mark.parametrize(
    ("decimal", "text"),
    [(None, "12,50"), (None, "1,234"), ("point", "12,50"), ("comma", "12.50"), (None, "1e5"), (None, "twelve"),
     (None, "12.50 EUR"), (None, "NaN"), (None, "٣"), ("comma", "1,2,3")],
)  # fmt: skip
def test_amounts_that_could_be_another_amount_are_refused(decimal, text):
    assert refused(Manner(decimal=decimal).amount, text, NOW) == "bad_format"


def test_other_kinds():
    manner = Manner(between=";")
    assert manner.value(place("user_data.email"), "a@example.com; b@example.com", NOW) == [
        "a@example.com",
        "b@example.com",
    ]
    assert manner.value(place("user_data.email"), '["a@example.com"]', NOW) == ["a@example.com"]
    assert manner.value(place("consent.ad_storage"), "Granted", NOW) == "granted"
    assert manner.value(place("consent.gpc"), "Yes", NOW) is True
    assert manner.value(place("custom_data.num_items"), "3", NOW) == 3
    assert manner.value(place("custom_data.contents"), '[{"id": "A"}]', NOW) == [{"id": "A"}]
    assert manner.value(place("custom_data.order_id"), "007", NOW) == "007"
    assert refused(manner.value, place("consent.gpc"), "maybe", NOW) == "bad_format"
    assert refused(manner.value, place("custom_data.num_items"), "3.5", NOW) == "wrong_type"
    for text in ("[NaN]", "[1e400]", "[" * 10_000, "["):
        assert refused(manner.value, place("custom_data.contents"), text, NOW) in ("malformed_json", "too_deep")
    assert manner.value(place("user_data.email"), "[NaN]", NOW) == "[NaN]"


@given(st.sampled_from(sorted(places())), st.text(min_size=1), st.sampled_from([None, "point", "comma"]))
def test_any_text_is_read_or_refused(path, text, decimal):
    manner = Manner(decimal=decimal, times=("%d.%m.%Y",), zone=UTC, between="|")
    message = ""
    try:
        manner.value(place(path), text, NOW)
    except Unread as error:
        message = error.message
    assert len(text) < 4 or text not in message


def test_paths_are_found_or_the_nearest_is_named():
    assert place("contents.id") == Place("custom_data.contents.id", Kind.TEXT)
    assert place("custom_data.margin").steps == ("custom_data", "margin")
    assert place("destinations.any").kind is Kind.SWITCH
    with pytest.raises(ValueError, match=r"did you mean `user_data.email`"):
        place("user_data.emial")
    with pytest.raises(ValueError, match="name a key of it"):
        place("user_data")
