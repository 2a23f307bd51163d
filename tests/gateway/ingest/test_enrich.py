"""What the door fills in: ids, click ids, one form for everything; and what it takes out of URLs and free fields."""

from __future__ import annotations

import copy
from base64 import b64encode
from typing import Any

import pytest

from gateway.ingest.draft import BrowserHints

NOW = 1_795_000_000.0
CLICKED = "https://shop.example/a?fbclid=IwAR2x&gclid=G1&ttclid=T1&colour=red"


def event(name: str = "Lead", **keys: Any) -> dict[str, Any]:
    return {"event_name": name, "event_id": "lead-1", **keys}


class TestEventId:
    @pytest.mark.parametrize(
        ("given", "kept"),
        [
            ("a", "a"),
            (42, "42"),
            (0, "0"),
            (-7, "-7"),
            (42.0, "42"),
            (2**63 - 1, str(2**63 - 1)),
            ("x" * 128, "x" * 128),
        ],
    )
    def test_is_text(self, at: Any, given: Any, kept: str) -> None:
        taken = at.take({"event_name": "Lead", "event_id": given})
        assert taken.record.event_id == kept
        assert taken.draft.warnings == []

    @pytest.mark.parametrize(
        ("given", "code"),
        [("", "too_short"), ("x" * 129, "too_long"), (1.5, "wrong_type"), (True, "wrong_type"), (None, "wrong_type"),
         (2**63, "out_of_range"), (["a"], "wrong_type")],
    )  # fmt: skip
    def test_other_values_are_refused(self, at: Any, given: Any, code: str) -> None:
        assert at.errors({"event_name": "Lead", "event_id": given}) == [("/event_id", code)]

    @pytest.mark.parametrize(("name", "key"), [("Purchase", "order_id"), ("Refund", "refund_id")])
    def test_an_order_stands_in(self, at: Any, name: str, key: str) -> None:
        money = {"value": 1, "currency": "EUR"}
        for given, kept in (("o-1", "o-1"), (17, "17"), (17.0, "17"), (0, "0")):
            taken = at.take({"event_name": name, "custom_data": {key: given, **money}})
            assert (taken.record.event_id, taken.draft.warnings) == (kept, [])

    @pytest.mark.parametrize(
        ("name", "custom_data"),
        [("Lead", {"order_id": "o-1"}), ("Refund", {"order_id": "o-1"}), ("Purchase", {"refund_id": "r-1"}),
         ("Purchase", {"order_id": ""}), ("Purchase", {"order_id": "x" * 129}), ("Purchase", {})],
    )  # fmt: skip
    def test_else_one_is_made_up_with_a_warning(self, at: Any, name: str, custom_data: Any) -> None:
        ids = {at.take({"event_name": name, "custom_data": custom_data}).record.event_id for _ in range(3)}
        assert len(ids) == 3
        assert ("/event_id", "event_id_generated") in at.warnings({"event_name": name, "custom_data": custom_data})

    def test_an_address_as_order_id_is_not_made_the_event_id(self, at: Any) -> None:
        taken = at.take({"event_name": "Purchase", "custom_data": {"order_id": "jane.doe@example.com"}})
        assert b"jane" not in taken.record.payload
        assert "jane" not in taken.record.event_id


class TestCustomData:
    def test_ids_become_text(self, at: Any) -> None:
        given = {
            "order_id": 7, "refund_id": 8.0, "merchant_id": 9, "content_ids": [1, "b", 2.0],
            "contents": [{"id": 3, "quantity": 2}, {"id": "d"}, {}],
        }  # fmt: skip
        assert at.stored(event(custom_data=given))["custom_data"] == {
            "order_id": "7", "refund_id": "8", "merchant_id": "9", "content_ids": ["1", "b", "2"],
            "contents": [{"id": "3", "quantity": 2}, {"id": "d"}, {}],
        }  # fmt: skip

    def test_amounts_become_numbers(self, at: Any) -> None:
        keys = ("value", "predicted_ltv", "net_revenue", "tax", "shipping", "discount", "remaining_value")
        kept = at.stored(event(custom_data=dict.fromkeys(keys, "2.50")))["custom_data"]
        assert kept == dict.fromkeys(keys, 2.5)

    def test_personal_data_is_removed_with_a_warning(self, at: Any) -> None:
        given = {
            "email": "jane.doe@example.com", "note": "call jane.doe@example.com", "customer": {"name": "Jane Doe"},
            "contents": [{"id": "a", "title": "Mug for jane.doe@example.com"}], "jane.doe@example.com": 1, "c": "red",
        }  # fmt: skip
        taken = at.take(event(custom_data=given))
        assert b"jane" not in taken.record.payload.lower()
        assert b"red" in taken.record.payload
        assert {code for one in taken.draft.warnings if (code := one.code)} == {"personal_data_removed"}
        assert {one.path for one in taken.draft.warnings} == {
            "/custom_data/email", "/custom_data/note", "/custom_data/customer/name", "/custom_data/contents/0/title",
            "/custom_data/[removed]",
        }  # fmt: skip

    def test_context_is_cared_for_in_the_same_way(self, at: Any) -> None:
        given = {"library": {"name": "shop-sdk"}, "traits": {"email": "jane.doe@example.com"}, "session_id": "s-1"}
        stored = at.stored(event(context=given))
        assert stored["context"] == {"library": {"name": "shop-sdk"}, "traits": {}, "session_id": "s-1"}
        assert at.warnings(event(context=given)) == [("/context/traits/email", "personal_data_removed")]


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("user_data", "anonymous_id", "jane.doe@example.com"),
        ("user_data", "client_user_agent", "Bot (jane.doe@example.com)"),
        ("user_data", "madid", ["a-1", "jane.doe@example.com"]),
        ("user_data", "subscription_id", "sub-jane.doe%40example.com"),
        ("app", "install_referrer", "utm_source=x&e=jane.doe%2540example.com"),
        ("app", "attribution", {"note": "jane.doe@example.com"}),
        ("messaging", "page_scoped_user_id", "jane.doe@example.com"),
        ("original_event", "order_id", "jane.doe@example.com"),
        ("original_event", "event_id", "jane.doe@example.com"),
    ],
)
def test_an_address_for_an_id_is_removed_with_a_warning(at: Any, part: str, key: str, value: Any) -> None:
    taken = at.take(event(**{part: {key: value}}))
    assert b"jane" not in taken.record.payload + (taken.record.clear or b"")
    assert [(one.path, one.code) for one in taken.draft.warnings] == [(f"/{part}/{key}", "personal_data_removed")]


class TestUrls:
    def test_personal_data_goes_and_the_rest_stays(self, at: Any) -> None:
        url = "https://shop.example/thanks?email=jane.doe%40example.com&utm_source=mail&step=2#x"
        given = event(event_source_url=url, referrer_url="https://jane:pw@shop.example/?q=jane.doe@example.com")
        stored = at.stored(given)
        assert stored["event_source_url"] == "https://shop.example/thanks?utm_source=mail&step=2#x"
        assert stored["referrer_url"] == "https://shop.example/"
        paths = [("/event_source_url", "personal_data_removed"), ("/referrer_url", "personal_data_removed")]
        assert at.warnings(given) == paths

    @pytest.mark.parametrize("text", ["jane.doe@example.com", "id=7;jane.doe@example.com", "JANE.DOE@EXAMPLE.COM "])
    @pytest.mark.parametrize("place", ["?u={}", "?a=1&u={}&b=2", "/a/{}/b", "#u={}", "?u={}%3D", "?u={}%3d%3D"])
    def test_an_address_in_base64_goes(self, at: Any, text: str, place: str) -> None:
        encoded = b64encode(text.encode()).decode()
        given = event(event_source_url="https://shop.example/x" + place.format(encoded.rstrip("=")))
        stored = at.stored(given)
        assert encoded[:10] not in stored["event_source_url"]
        assert "[removed]" in stored["event_source_url"]
        assert at.warnings(given) == [("/event_source_url", "personal_data_removed")]

    @pytest.mark.parametrize("word", ["thankyouforyourorder", "EAIaIQobChMIexampleG", "YWJjZGVmZ2hpamtsbW5v", "a" * 13])
    def test_other_words_that_look_like_base64_stay(self, at: Any, word: str) -> None:
        url = f"https://shop.example/{word}?q={word}"
        assert at.stored(event(event_source_url=url))["event_source_url"] == url
        assert at.warnings(event(event_source_url=url)) == []

    def test_an_allow_list_leaves_only_what_it_names(self, make: Any) -> None:
        door = make(more='[privacy]\nurl_parameters = ["utm_source"]\n')
        stored = door.stored(event(event_source_url="https://shop.example/?utm_source=a&colour=red&fbclid=IwAR2x"))
        assert stored["event_source_url"] == "https://shop.example/?utm_source=a"
        assert stored["user_data"]["fbc"].endswith(".IwAR2x")


class TestClickIds:
    def test_come_from_the_url(self, at: Any) -> None:
        user_data = at.stored(event(event_source_url=CLICKED, event_time=1794990000))["user_data"]
        assert user_data == {"fbc": "fb.1.1794990000000.IwAR2x", "gclid": "G1", "ttclid": "T1"}

    def test_of_the_event_itself_win(self, at: Any) -> None:
        given = {"gclid": "mine", "fbc": "fb.1.1794990000000.mine"}
        user_data = at.stored(event(event_source_url=CLICKED, user_data=given))["user_data"]
        assert user_data == {**given, "ttclid": "T1"}

    def test_fbclid_becomes_fbc_of_the_events_time(self, at: Any) -> None:
        given = event(user_data={"fbclid": "IwAR2x"}, event_time=1794990000)
        assert at.stored(given)["user_data"] == {"fbc": "fb.1.1794990000000.IwAR2x"}
        assert at.stored(given) == at.stored(given)

    def test_malformed_meta_ids_are_left_out(self, at: Any) -> None:
        given = event(user_data={"fbc": "IwAR2x", "fbp": "1098115397"})
        assert at.stored(given)["user_data"] == {}
        assert at.warnings(given) == [("/user_data/fbc", "not_normalisable"), ("/user_data/fbp", "not_normalisable")]

    @pytest.mark.parametrize(
        "consent",
        [
            {"ad_storage": "denied"}, {"region": "DE"}, {"region": "DE", "ad_user_data": "granted"}, {"gpc": True},
            {"gpc": True, "ad_storage": "granted"}, {"tcf": "x", "ad_storage": "granted"},
        ],
    )  # fmt: skip
    def test_go_without_ad_storage(self, at: Any, consent: Any) -> None:
        ids = {"fbp": "fb.1.1794990000000.1", "gclid": "G", "madid": "m-1", "ttp": "t", "sc_cookie1": "s", "epik": "e"}
        app = {"install_referrer": "gclid=G", "campaign_ids": "c", "attribution": {"a": 1}, "version": "1"}
        given = event(consent=consent, event_source_url=CLICKED, referrer_url=CLICKED, user_data=ids, app=app)
        stored = at.stored(given | {"messaging": {"channel": "whatsapp", "ctwa_clid": "c"}})
        assert stored["event_source_url"] == stored["referrer_url"] == "https://shop.example/a?colour=red"
        assert stored["user_data"] == {}
        assert stored["app"] == {"version": "1"}
        assert stored["messaging"] == {"channel": "whatsapp"}
        assert at.warnings(given) == []

    @pytest.mark.parametrize("consent", [{"region": "DE", "ad_storage": "granted"}, {"ad_storage": "granted"}, {}])
    def test_stay_with_it(self, at: Any, consent: Any) -> None:
        given = event(consent={**consent, "ad_user_data": "granted"}, event_source_url=CLICKED)
        assert at.stored(given)["event_source_url"] == CLICKED


class TestBrowser:
    HINTS = BrowserHints(ip="203.0.113.9", user_agent="Firefox", cookies={"_fbp": "fb.1.1794990000000.55"})

    def test_fills_in_what_the_page_did_not_say(self, at: Any) -> None:
        stored = at.stored(event(), hints=self.HINTS)
        assert stored["clear"] == {"client_ip_address": "203.0.113.9", "client_user_agent": "Firefox"}
        assert stored["user_data"] == {"fbp": "fb.1.1794990000000.55"}

    def test_does_not_overwrite_it(self, at: Any) -> None:
        stored = at.stored(event(user_data={"client_user_agent": "Safari"}), hints=self.HINTS)
        assert stored["clear"]["client_user_agent"] == "Safari"

    def test_privacy_control_of_the_browser_counts_whatever_the_page_says(self, at: Any) -> None:
        hints = BrowserHints(gpc=True)
        assert at.stored(event(consent={"gpc": False}), hints=hints)["consent"]["gpc"] is True
        taken = at.take(event(consent={"gpc": False}), hints=hints)
        assert set(taken.draft.routing.statuses.values()) == {"skipped:consent"}


def test_the_event_as_posted_is_never_changed(at: Any) -> None:
    given = event(
        "Purchase",
        event_source_url=CLICKED,
        user_data={"email": ["jane.doe@example.com"], "fbclid": "x", "client_ip_address": "203.0.113.9"},
        custom_data={"value": "1.50", "currency": "eur", "contents": [{"id": 5, "item_price": "1"}], "email": "x"},
        context={"email": "jane.doe@example.com"},
        consent={"gpp_sid": "7,8", "region": "us"},
        app={"name": "jane.doe@example.com"},
    )
    before = copy.deepcopy(given)
    at.take(given)
    assert given == before
