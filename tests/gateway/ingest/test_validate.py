"""What is refused at the door, and what only earns a warning: the rows of the event's reference one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gateway.model.event import STANDARD_NAMES

NOW = 1_795_000_000.0


def iso(seconds_ago: float = 0.0) -> str:
    return (datetime.fromtimestamp(NOW, UTC) - timedelta(seconds=seconds_ago)).isoformat()


def event(**keys: Any) -> dict[str, Any]:
    return {"event_name": "Lead", "event_id": "lead-1", **keys}


class TestTime:
    def test_absent_is_the_time_of_receipt(self, at: Any) -> None:
        assert at.stored(event())["event_time"] == NOW

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (1794990000, 1794990000),
            (1794990000.25, 1794990000.25),
            ("2026-11-18T08:20:00Z", 1794990000),
            ("2026-11-18t08:20:00z", 1794990000),
            ("2026-11-18 08:20:00+00:00", 1794990000),
            ("2026-11-18T09:20:00+01:00", 1794990000),
            ("2026-11-17T20:20:00-12:00", 1794990000),
            ("2026-11-18T13:50:00+05:30", 1794990000),
            ("2026-11-18T08:20:00.5Z", 1794990000.5),
            ("2026-11-18T08:20:00.000000Z", 1794990000),
            (0, 0),
        ],
    )
    def test_is_seconds_or_rfc_3339(self, at: Any, given: Any, expected: float) -> None:
        stored = at.stored(event(event_time=given))["event_time"]
        assert stored == expected
        assert isinstance(stored, float) == isinstance(expected, float)

    @pytest.mark.parametrize(
        "text",
        [
            "2026-11-18", "2026-11-18T08:20:00", "2026-11-18T08:20Z", "1794990000", "yesterday", "2026-13-18T08:20:00Z",
            "2026-02-30T08:20:00Z", "2026-11-18T25:20:00Z", "2026-11-18T08:20:00+25:00", "20261118T082000Z",
            "２０２６-11-18T08:20:00Z", "2026-11-18T08:20:00Z ",
        ],
    )  # fmt: skip
    def test_other_texts_are_refused(self, at: Any, text: str) -> None:
        assert at.errors(event(event_time=text)) == [("/event_time", "bad_format")]

    @pytest.mark.parametrize("value", [1e11, 1_794_990_000_000, 1_794_990_000_000_000, 1e300])
    def test_milliseconds_are_refused_as_such(self, at: Any, value: float) -> None:
        taken = at.take(event(event_time=value))
        assert [(one.path, one.code) for one in taken.errors] == [("/event_time", "in_milliseconds")]
        assert "milliseconds" in taken.errors[0].message

    @pytest.mark.parametrize("value", [True, None, [], {"a": 1}])
    def test_other_types_are_refused(self, at: Any, value: Any) -> None:
        assert at.errors(event(event_time=value)) == [("/event_time", "wrong_type")]

    @pytest.mark.parametrize("value", [-1, -0.5, "1969-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
    def test_before_1970_is_refused(self, at: Any, value: Any) -> None:
        assert at.errors(event(event_time=value)) == [("/event_time", "out_of_range")]

    @pytest.mark.parametrize("ahead", [0.5, 1, 299, 300])
    def test_a_little_ahead_is_set_to_now(self, at: Any, ahead: float) -> None:
        for value in (NOW + ahead, iso(-ahead)):
            assert at.stored(event(event_time=value))["event_time"] == NOW
            assert at.warnings(event(event_time=value)) == [("/event_time", "event_time_ahead")]

    @pytest.mark.parametrize("ahead", [300.5, 3600, 86400 * 365])
    def test_further_ahead_is_refused(self, at: Any, ahead: float) -> None:
        for value in (NOW + ahead, iso(-ahead)):
            assert at.errors(event(event_time=value)) == [("/event_time", "in_future")]

    @pytest.mark.parametrize(("part", "key"), [("original_event", "event_time"), ("app", "install_time")])
    @pytest.mark.parametrize(
        ("value", "code"),
        [
            (1_794_990_000_000, "in_milliseconds"),
            (-1, "out_of_range"),
            ("1969-12-31T23:59:59Z", "out_of_range"),
            ("yesterday", "bad_format"),
            ("2026-11-18T08:20:00", "bad_format"),
            ("2026-02-30T08:20:00Z", "bad_format"),
            (NOW + 300.5, "in_future"),
            ("2026-11-19T08:20:00Z", "in_future"),
        ],
    )
    def test_the_other_times_have_the_same_limits(self, at: Any, part: str, key: str, value: Any, code: str) -> None:
        assert at.errors(event(**{part: {key: value}})) == [(f"/{part}/{key}", code)]

    @pytest.mark.parametrize(("part", "key"), [("original_event", "event_time"), ("app", "install_time")])
    @pytest.mark.parametrize("value", [0, 1_700_000_000, 1_794_990_000.5, NOW + 300, "2026-11-18T09:20:00+01:00"])
    def test_the_other_times_are_kept_as_they_come(self, at: Any, part: str, key: str, value: Any) -> None:
        taken = event(**{part: {key: value}})
        assert at.stored(taken)[part] == {key: value}
        assert at.warnings(taken) == []

    def test_an_old_event_is_taken_and_skipped_where_it_is_too_old(self, at: Any) -> None:
        person = {"email": "jane.doe@example.com"}
        old = event(event_name="Purchase", event_time=iso(10 * 86400), user_data=person)
        assert at.statuses(old) == {
            "meta": "skipped:too_old",
            "tiktok": "skipped:too_old",
            "google": "queued",
            "pinterest": "skipped:too_old",
            "snapchat": "skipped:too_old",
        }
        assert set(at.statuses(old | {"event_time": iso(365 * 86400)}).values()) == {"skipped:too_old"}

    def test_an_age_limit_of_the_operator_holds_at_the_door(self, make: Any) -> None:
        door = make(only=("meta",), tables={"meta": 'max_age = "1h"'})
        assert door.statuses(event(event_time=iso(3590))) == {"meta": "queued"}
        assert door.statuses(event(event_time=iso(3610))) == {"meta": "skipped:too_old"}


class TestName:
    @pytest.mark.parametrize("name", sorted(STANDARD_NAMES))
    def test_standard_names_pass_without_a_word(self, at: Any, name: str) -> None:
        codes = [code for _, code in at.warnings(event(event_name=name))]
        assert "near_standard_name" not in codes

    @pytest.mark.parametrize(
        ("name", "standard"),
        [
            ("purchase", "Purchase"),
            ("PURCHASE", "Purchase"),
            ("add_to_cart", "AddToCart"),
            ("Add To Cart", "AddToCart"),
            ("page-view", "PageView"),
            ("Pageview", "PageView"),
        ],
    )
    def test_a_near_miss_is_custom_with_a_warning(self, at: Any, name: str, standard: str) -> None:
        taken = at.take(event(event_name=name))
        assert taken.record.event_name == name
        assert [(one.path, one.code) for one in taken.draft.warnings] == [("/event_name", "near_standard_name")]
        assert standard in taken.draft.warnings[0].message

    @pytest.mark.parametrize("name", ["Wishlist", "Purchased", "level_complete", "購入", "x"])
    def test_other_names_are_custom(self, at: Any, name: str) -> None:
        assert at.warnings(event(event_name=name)) == []

    @pytest.mark.parametrize(
        ("name", "code"), [("", "too_short"), ("x" * 51, "too_long"), (5, "wrong_type"), (None, "wrong_type")]
    )
    def test_bad_names_are_refused(self, at: Any, name: Any, code: str) -> None:
        assert at.errors(event(event_name=name)) == [("/event_name", code)]

    def test_a_missing_name_is_refused(self, at: Any) -> None:
        assert at.errors({"event_id": "1"}) == [("/event_name", "required")]


@pytest.mark.parametrize("key", ["event_name", "event_id"])
@pytest.mark.parametrize("text", ["jane.doe@example.com", "order jane.doe%40example.com", "jane＠example.com"])
def test_an_address_for_a_name_or_id_is_refused(at: Any, key: str, text: str) -> None:
    taken = at.take(event(**{key: text}))
    assert [(one.path, one.code) for one in taken.errors] == [(f"/{key}", "personal_data")]
    assert "jane" not in taken.errors[0].message


@pytest.mark.parametrize("text", ["50% off", "a@b", "logo@2x.png", "§ 42"])
def test_signs_alone_are_no_address(at: Any, text: str) -> None:
    assert at.errors(event(event_id=text, event_name=text)) == []


class TestMoney:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            (0, 0), (12, 12), (12.5, 12.5), ("12.50", 12.5), ("12", 12), ("0012.00", 12), ("0.10", 0.1),
            ("123456789012345.1234567890", 123456789012345.1234567890), (1e15, 1e15),
        ],
    )  # fmt: skip
    def test_is_a_number_or_a_decimal_string(self, at: Any, given: Any, kept: float) -> None:
        stored = at.stored(event(custom_data={"value": given, "contents": [{"id": 1, "item_price": given}]}))
        assert stored["custom_data"]["value"] == kept
        assert stored["custom_data"]["contents"] == [{"id": "1", "item_price": kept}]
        assert type(stored["custom_data"]["value"]) is type(kept)

    @pytest.mark.parametrize(
        "value",
        ["-1", "1,50", "1.234,50", "€12", "12 EUR", "", " 1", "1e3", "NaN", "Infinity", "1_000", "１２", "12\n"],
    )
    def test_other_strings_are_refused(self, at: Any, value: str) -> None:
        assert at.errors(event(custom_data={"value": value})) == [("/custom_data/value", "bad_format")]

    @pytest.mark.parametrize(("value", "code"), [(-0.01, "out_of_range"), (1e16, "out_of_range"), (True, "wrong_type")])
    def test_other_numbers_are_refused(self, at: Any, value: Any, code: str) -> None:
        assert at.errors(event(custom_data={"value": value})) == [("/custom_data/value", code)]

    @pytest.mark.parametrize(("given", "kept"), [("EUR", "EUR"), ("eur", "EUR"), ("uSd", "USD"), ("JPY", "JPY")])
    def test_a_currency_is_upper_case(self, at: Any, given: str, kept: str) -> None:
        assert at.stored(event(custom_data={"currency": given}))["custom_data"] == {"currency": kept}

    @pytest.mark.parametrize(
        ("given", "code"),
        [("ZZZ", "unknown_currency"), ("abc", "unknown_currency"), ("EURO", "bad_format"), ("€", "bad_format"),
         ("", "bad_format"), (978, "wrong_type"), ("EU\u212a", "bad_format")],
    )  # fmt: skip
    def test_no_currency_is_refused(self, at: Any, given: Any, code: str) -> None:
        assert at.errors(event(custom_data={"currency": given})) == [("/custom_data/currency", code)]

    @pytest.mark.parametrize("name", ["Purchase", "Refund"])
    def test_a_sale_without_money_earns_a_warning(self, at: Any, name: str) -> None:
        missing = [("/custom_data/value", "missing_value"), ("/custom_data/currency", "missing_currency")]
        assert at.warnings(event(event_name=name)) == missing
        assert at.warnings(event(event_name=name, custom_data={"value": 1})) == missing[1:]
        assert at.warnings(event(event_name=name, custom_data={"currency": "EUR"})) == missing[:1]
        assert at.warnings(event(event_name=name, custom_data={"value": 0, "currency": "EUR"})) == []

    def test_other_events_need_none(self, at: Any) -> None:
        assert at.warnings(event(event_name="AddToCart")) == []


class TestShape:
    @pytest.mark.parametrize(
        ("keys", "path", "near"),
        [
            ({"event_nme": 1}, "/event_nme", "event_name"),
            ({"eventTime": 1}, "/eventTime", "event_time"),
            ({"user_data": {"Emial": "x"}}, "/user_data/Emial", "email"),
            ({"user_data": {"firstName": "x"}}, "/user_data/firstName", "first_name"),
            ({"consent": {"ad_storag": "granted"}}, "/consent/ad_storag", "ad_storage"),
            ({"app": {"os_ver": "1"}}, "/app/os_ver", "os_version"),
            ({"messaging": {"chanel": "whatsapp"}}, "/messaging/chanel", "channel"),
            ({"original_event": {"orderid": "1"}}, "/original_event/orderid", "order_id"),
        ],
    )
    def test_an_unknown_key_is_named_with_the_nearest(self, at: Any, keys: Any, path: str, near: str) -> None:
        faults = at.take(event(**keys)).errors
        assert [(one.path, one.code) for one in faults] == [(path, "unknown_key")]
        assert f"`{near}`" in faults[0].message

    def test_every_fault_is_told(self, at: Any) -> None:
        bad = {"event_id": 1.5, "user_data": {"email": 5, "nick": "x"}, "test": "yes", "custom_data": {"value": -1}}
        assert {path for path, _ in at.errors(bad)} == {
            "/event_name", "/event_id", "/user_data/email", "/user_data/nick", "/test", "/custom_data/value"
        }  # fmt: skip

    @pytest.mark.parametrize("value", [None, 1, 1.5, True, "text", [], ["event"]])
    def test_what_is_no_object_is_refused(self, at: Any, value: Any) -> None:
        assert at.errors(value) == [("", "wrong_type")]

    @pytest.mark.parametrize(
        ("key", "value", "code"),
        [
            ("order_id", 1.5, "wrong_type"), ("order_id", ["a"], "wrong_type"), ("order_id", "x" * 513, "too_long"),
            ("order_id", 1e300, "out_of_range"), ("num_items", 1.5, "wrong_type"), ("num_items", -1, "out_of_range"),
            ("customer_type", "old", "not_allowed"), ("new_customer", 1, "wrong_type"), ("coupon", 5, "wrong_type"),
            ("contents", {}, "wrong_type"), ("content_ids", "a", "wrong_type"), ("user_properties", [], "wrong_type"),
            ("predicted_ltv", -1, "out_of_range"), ("remaining_value", "x", "bad_format"), ("status", 5, "wrong_type"),
        ],
    )  # fmt: skip
    def test_custom_data_has_types(self, at: Any, key: str, value: Any, code: str) -> None:
        assert at.errors(event(custom_data={key: value})) == [(f"/custom_data/{key}", code)]

    def test_custom_data_takes_further_keys(self, at: Any) -> None:
        more = {"net_revenue": "-3.50", "colour": ["red", {"deep": [1, None, True]}], "coupon": ["A", "B"], "x": 10**30}
        kept = at.stored(event(custom_data=more))["custom_data"]
        assert kept == {**more, "net_revenue": -3.5}

    @pytest.mark.parametrize("value", ["Granted", "yes", True, None, ""])
    def test_consent_flags_are_granted_or_denied(self, at: Any, value: Any) -> None:
        assert [path for path, _ in at.errors(event(consent={"ad_user_data": value}))] == ["/consent/ad_user_data"]

    @pytest.mark.parametrize("value", ["DE", "us-ca", "GB-SCT", "FR-75C"])
    def test_a_region_is_a_code(self, at: Any, value: str) -> None:
        assert at.stored(event(consent={"region": value}))["region"] == value.upper()

    @pytest.mark.parametrize("value", ["Germany", "D", "DE_BY", "us-", "DE\n", ""])
    def test_no_code_is_no_region(self, at: Any, value: str) -> None:
        assert at.errors(event(consent={"region": value})) == [("/consent/region", "bad_format")]

    @pytest.mark.parametrize(
        ("given", "kept"),
        [(7, [7]), (7.0, [7]), ("7", [7]), ("7, 8", [7, 8]), ([7, 8.0], [7, 8]), (-1, [-1]), ([], [])],
    )
    def test_gpp_sections_come_in_three_forms(self, at: Any, given: Any, kept: list[int]) -> None:
        assert at.stored(event(consent={"gpp_sid": given}))["consent"]["gpp_sid"] == kept

    def test_a_nul_character_is_refused_where_it_is(self, at: Any) -> None:
        odd = event(custom_data={"a\0": 1, "b": ["x\0"]}, context={"c": {"d/e~f": "\0"}})
        assert at.errors(odd) == [
            ("/custom_data", "nul_character"),
            ("/custom_data/b/0", "nul_character"),
            ("/context/c/d~1e~0f", "nul_character"),
        ]

    @pytest.mark.parametrize("depth", [40, 300, 490])
    @pytest.mark.parametrize("key", ["event_name", "consent", "destinations", "custom_data"])
    def test_what_nests_deeper_than_the_validator_goes_is_refused(self, at: Any, key: str, depth: int) -> None:
        value: Any = []
        for _ in range(depth):
            value = [value]
        assert at.take(event(**{key: value})).record is None

    @pytest.mark.parametrize("depth", [40, 400, 900])
    def test_depth_is_taken_or_refused(self, at: Any, depth: int) -> None:
        value: Any = 1
        for _ in range(depth):
            value = {"a": value}
        taken = at.take(event(custom_data=value))
        assert taken.record is not None or [one.code for one in taken.errors] == ["too_deep"]
