"""Each converter gives what a platform can take, and nothing for the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.plugin import Event, Field, apply, convert

AT = 1_795_183_389


def event(**given: Any) -> Event:
    return Event(**{"event_name": "Purchase", "event_id": "p-1", "event_time": AT} | given)


def through(as_: Any, value: Any) -> Any:
    """What a row with this converter makes of a value; `None` when the field is left out."""
    return apply((Field("x", "custom_data.x", as_=as_),), event(custom_data={"x": value})).get("x")


@pytest.mark.parametrize(
    ("as_", "value", "made"),
    [
        (convert.text, "sku-1", "sku-1"),
        (convert.text, 10042, "10042"),
        (convert.text, 7.0, "7"),
        (convert.text, 0.5, "0.5"),
        (convert.number, "49.90", 49.9),
        (convert.number, "-3", -3),
        (convert.number, 20.0, 20),
        (convert.whole, 2.0, 2),
        (convert.whole, "12", 12),
        (convert.decimal_text, 59.98, "59.98"),
        (convert.decimal_text, 20.0, "20"),
        (convert.decimal_text, 1e-7, "0.0000001"),
        (convert.decimal_text, "12.50", "12.50"),
        (convert.flag, 1, True),
        (convert.flag, False, False),
        (convert.zero_or_one, True, 1),
        (convert.seconds, AT + 0.75, AT),
        (convert.seconds, "2026-11-20T09:03:09.5-05:00", AT),
        (convert.moment, "2026-11-20T14:03:09.5z", AT + 0.5),
        (convert.matching("[0-9]{3}"), 123, "123"),
        (convert.one_of("in_store", "curbside"), "curbside", "curbside"),
        (convert.language, "pt_BR", "pt"),
        (convert.language, "DE", "de"),
        (convert.madid, "EA7583CD-A667-48BC-B806-42ECB2B48606", "ea7583cd-a667-48bc-b806-42ecb2b48606"),
    ],
)
def test_what_can_be_had_is_had(as_: Any, value: Any, made: Any) -> None:
    found = through(as_, value)
    assert (found, type(found)) == (made, type(made))


@pytest.mark.parametrize(
    ("as_", "value"),
    [
        (convert.text, True),
        (convert.text, {"a": 1}),
        (convert.text, float("nan")),
        (convert.number, True),
        (convert.number, "1e3"),
        (convert.number, "٣"),
        (convert.number, float("inf")),
        (convert.whole, 1.5),
        (convert.decimal_text, "1e999999999"),
        (convert.flag, "yes"),
        (convert.flag, 2),
        (convert.seconds, "2026-11-20T14:03:09"),
        (convert.seconds, "yesterday"),
        (convert.moment, {}),
        (convert.matching("[0-9]{3}"), "1234"),
        (convert.matching("[0-9]+"), "٣"),
        (convert.one_of("a", "b"), ["c"]),
        (convert.language, "english"),
        (convert.language, 5),
        (convert.madid, "00000000-0000-0000-0000-000000000000"),
    ],
)
def test_what_cannot_be_had_is_left_out(as_: Any, value: Any) -> None:
    assert through(as_, value) is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("172.32.0.1", "172.32.0.1"),
        ("203.0.113.10", "203.0.113.10"),
        ("2001:0db8:0000::0001", "2001:db8::1"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("10.1.2.3", None),
        ("172.16.0.1", None),
        ("192.168.0.1", None),
        ("100.64.0.1", None),
        ("169.254.1.1", None),
        ("127.0.0.1", None),
        ("224.0.0.1", None),
        ("0.0.0.0", None),
        ("::1", None),
        ("fd00::1", None),
        ("::ffff:192.168.0.1", None),
        ("not an address", None),
        (7, None),
    ],
)
def test_only_public_addresses_say_something_of_a_visitor(given: Any, sent: str | None) -> None:
    assert through(convert.public_address, given) == sent


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("shoes", "shoes"),
        (["a", 2, True, {}, "", 3.0], "a,2,3"),
        ([], None),
        ({}, None),
        (float("inf"), None),
        ("", None),
    ],
)
def test_several_texts_are_joined_to_one(given: Any, made: str | None) -> None:
    assert convert.joined(given) == made


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), st.lists))
def test_joining_never_raises(value: Any) -> None:
    assert isinstance(convert.joined(value), str | None)


@pytest.mark.parametrize(
    ("system", "name"), [("iOS", "ios"), ("iPadOS", "ios"), ("Android", "android"), ("windows", None), (None, None)]
)
def test_ipados_is_ios(system: str | None, name: str | None) -> None:
    assert convert.mobile_system(event(app={"os": system} if system else {})) == name


def test_extinfo_has_sixteen_strings_in_order() -> None:
    app = {"package_name": "com.example.shop", "version": "5.2.1", "build": 5210, "os": "iOS", "os_version": "18.1"}
    app |= {"device_model": "iPhone17,2", "locale": "en-US", "timezone_abbreviation": "EST", "carrier": "Example"}
    app |= {"screen_width": 390, "screen_height": 844, "screen_density": 3.0, "cpu_cores": 6, "storage_gb": 128}
    app |= {"free_storage_gb": 41.5, "timezone": "America/New_York", "id": "1234567890"}
    assert convert.extinfo(event(app=app)) == (
        *("i2", "com.example.shop", "5.2.1", "5210", "18.1", "iPhone17,2", "en_US", "EST", "Example"),
        *("390", "844", "3", "6", "128", "41.5", "America/New_York"),
    )


def test_extinfo_leaves_empty_what_is_not_known() -> None:
    """On Android an app's id is its package; on iOS it is the store's number."""
    assert convert.extinfo(event(app={"os": "android", "id": "com.example"})) == ("a2", "com.example", *[""] * 14)
    assert convert.extinfo(event(app={"os": "ios", "id": "1234567890"})) == ("i2", *[""] * 15)
    assert convert.extinfo(event(app={"os": "windows"})) is None


def test_the_ids_of_contents_stand_in_for_content_ids() -> None:
    contents = [{"id": "a"}, {"title": "no id"}, "junk"]
    assert convert.content_ids(event(custom_data={"contents": contents})) == ["a", None]
    assert convert.content_ids(event(custom_data={"contents": contents, "content_ids": ["b"]})) == ["b"]
    assert convert.content_ids(event(custom_data={"contents": "junk"})) is None
