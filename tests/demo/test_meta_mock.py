"""The mock of Meta: it takes what Meta takes, and refuses each planted fault as Meta does."""

from __future__ import annotations

import copy
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.demo.mock import MockReply, MockRequest
from gateway.demo.platforms.meta import MOCK

GOLDEN = Path(__file__).parents[1] / "plugins/golden/meta"
NOW = 1795240800
TOKEN = str(MOCK.config["access_token"])
PATH = "/v25.0/1234567890/events"

#: The request that Meta's pages work out, with the digests they print.
WORKED: dict[str, Any] = {
    "event_name": "Purchase",
    "event_time": NOW,
    "event_id": "order-1001",
    "action_source": "website",
    "event_source_url": "https://shop.example/thank-you",
    "referrer_url": "https://shop.example/checkout",
    "user_data": {
        "em": ["62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"],
        "ph": ["e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"],
        "fn": ["6915771be1c5aa0c886870b6951b03d7eafc121fea0e80a5ea83beb7c449f4ec"],
        "ct": ["350c754ba4d38897693aa077ef43072a859d23f613443133fecbbd90a3512ca5"],
        "st": ["6959097001d10501ac7d54c0bdb8db61420f658f2922cc26e46d536119a31126"],
        "zp": ["1794327a4d443904421f5ca1f3d72d0a62ba2f0770d80755ec2220fc0efb052e"],
        "country": ["79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"],
        "external_id": ["fafe5e551759817bdc65038b8cb1a8263b1a8b3b60c269d67ff0f8c57ae0f733"],
        "client_ip_address": "2001:db8::7334",
        "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) Example/1.0",
        "fbc": "fb.1.1795240000123.IwAR2xYzQ9",
        "fbp": "fb.1.1795230000456.1098115397",
    },
    "custom_data": {
        "currency": "USD",
        "value": 129.9,
        "order_id": "order-1001",
        "content_type": "product",
        "content_ids": ["sku-1"],
        "contents": [{"id": "sku-1", "quantity": 1, "item_price": 129.9}],
        "num_items": 1,
    },
    "data_processing_options": ["LDU"],
    "data_processing_options_country": 1,
    "data_processing_options_state": 1000,
}


def post(body: Any, *, path: str = PATH, method: str = "POST", token: str = TOKEN, **params: str) -> MockReply:
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return MOCK.answer(MockRequest(method, path, params, headers, data), NOW)


def altered(path: str, value: Any = None) -> dict[str, Any]:
    """The worked event with one key set, or with `None` taken out."""
    event = copy.deepcopy(WORKED)
    *parents, last = path.split(".")
    place = event
    for step in parents:
        place = place.setdefault(step, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return event


def code_of(reply: MockReply) -> tuple[int, int, int | None]:
    error = reply.json["error"]
    return reply.status, error["code"], error.get("error_subcode")


def test_takes_the_worked_request() -> None:
    reply = post({"data": [WORKED]})
    assert (reply.status, reply.json["events_received"], reply.json["messages"]) == (200, 1, [])
    assert reply.accepted == (WORKED,)


def test_shows_events_under_a_test_code_as_tests() -> None:
    reply = post({"data": [WORKED], "test_event_code": "TEST1"})
    assert (reply.accepted, reply.tested) == ((), (WORKED,))


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.json")))
def test_takes_what_the_golden_cases_become(name: str) -> None:
    for request in json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))["expect"]["requests"]:
        path = urlsplit(request["url"]).path
        reply = post(request["json"], path=path, method=request["method"], **request.get("params", {}))
        assert reply.status == 200, reply.json


def test_takes_the_token_as_a_parameter_too() -> None:
    request = MockRequest(
        "POST",
        PATH,
        {"access_token": TOKEN},
        {"content-type": "application/json"},
        json.dumps({"data": [WORKED]}).encode(),
    )
    assert MOCK.answer(request, NOW).status == 200


def test_checks_the_proof_of_the_app_secret() -> None:
    proof = hmac.new(str(MOCK.config["app_secret"]).encode(), TOKEN.encode(), "sha256").hexdigest()
    assert post({"data": [WORKED]}, appsecret_proof=proof).status == 200
    assert code_of(post({"data": [WORKED]}, appsecret_proof="0" * 64)) == (400, 104, None)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ({"token": "wrong"}, (401, 190, None)),
        ({"token": ""}, (401, 190, None)),
        ({"path": "/1234567890/events"}, (400, 2500, None)),
        ({"path": "/v25.0/1234567890/event"}, (400, 2500, None)),
        ({"path": "/v25.0/999/events"}, (400, 100, 33)),
        ({"method": "GET"}, (400, 100, 33)),
    ],
)
def test_refuses_a_wrong_call(call: dict[str, str], code: tuple[int, int, int | None]) -> None:
    assert code_of(post({"data": [WORKED]}, **call)) == code


@pytest.mark.parametrize("body", [b"", b"data=[]", {}, {"data": []}, {"data": [WORKED] * 1001}, {"data": WORKED}, []])
def test_refuses_a_body_that_is_no_batch(body: Any) -> None:
    assert code_of(post(body)) == (400, 100, None)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_name", None),
        ("event_time", None),
        ("event_time", "2026-11-21T10:00:00Z"),
        ("event_time", NOW * 1000),
        ("event_time", NOW + 3600),
        ("action_source", None),
        ("action_source", "web"),
        ("event_source_url", None),
        ("event_source_url", "shop.example"),
        ("user_data", None),
        ("user_data.em", ["john_smith@example.com"]),
        ("user_data.em", "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"),
        ("user_data.ph", ["E323EC626319CA94EE8BFF2E4C87CF613BE6EA19919ED1364124E16807AB3176"]),
        ("user_data.email", ["62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"]),
        ("user_data.client_ip_address", "not an address"),
        ("user_data.fbc", "FB.1.1795240000123.IwAR2xYzQ9"),
        ("user_data.lead_id", "123456789012345"),
        ("user_data.lead_id", 12345),
        ("user_data.madid", "38400000-8cf0-11bd-b23e-10b96e40000d"),
        ("custom_data.currency", None),
        ("custom_data.currency", "dollars"),
        ("custom_data.value", "129.9"),
        ("custom_data.value", -1),
        ("custom_data.contents", [{"quantity": 1}]),
        ("custom_data.contents", [{"id": 1}]),
        ("custom_data.num_items", 1.5),
        ("custom_data.extra", {"nested": True}),
        ("custom_data.note", "write to john_smith@example.com"),
        ("custom_data.event_source", "crm"),
        ("data_processing_options_state", None),
        ("data_processing_options_state", 1099),
        ("data_processing_options", None),
        ("messaging_channel", "whatsapp"),
        ("app_data", {"advertiser_tracking_enabled": 1}),
        ("unknown_key", 1),
    ],
)
def test_refuses_the_whole_request_for_one_invalid_event(path: str, value: Any) -> None:
    reply = post({"data": [WORKED, altered(path, value)]})
    assert code_of(reply) == (400, 100, None)
    assert reply.accepted == ()


def test_names_the_field_to_blame() -> None:
    reply = post({"data": [altered("custom_data.currency", "dollars")]})
    assert reply.json["error"]["error_data"] == {"blame_field_specs": [["custom_data", "currency"]]}


def test_refuses_a_purchase_without_value() -> None:
    assert code_of(post({"data": [altered("custom_data.value")]})) == (400, 100, 2804009)


@pytest.mark.parametrize(
    "identity",
    [{}, {"client_user_agent": "Example/1.0"}, {"fn": WORKED["user_data"]["fn"], "ge": WORKED["user_data"]["em"]}],
)
def test_refuses_identities_that_are_too_weak(identity: dict[str, Any]) -> None:
    assert code_of(post({"data": [{**WORKED, "user_data": identity}]})) == (400, 100, 2804050)


def test_refuses_what_is_too_old_and_lets_store_events_be_older() -> None:
    old = NOW - 8 * 86400
    store = {**altered("event_source_url"), "action_source": "physical_store", "event_time": old}
    assert code_of(post({"data": [altered("event_time", old)]})) == (400, 100, 2804003)
    assert post({"data": [store]}).status == 200
    assert code_of(post({"data": [store, WORKED]})) == (400, 100, 2804003)
    assert code_of(post({"data": [{**store, "event_time": NOW - 63 * 86400}]})) == (400, 100, 2804003)


def conversation(**changes: Any) -> dict[str, Any]:
    event = {"event_name": "LeadSubmitted", "event_time": NOW, "action_source": "business_messaging"}
    return event | {"messaging_channel": "whatsapp", "user_data": {"ctwa_clid": "ARAkLkExample"}} | changes


def test_takes_a_conversation_and_refuses_other_names() -> None:
    assert post({"data": [conversation()]}).status == 200
    assert code_of(post({"data": [conversation(event_name="Lead")]})) == (400, 100, 2804066)


@pytest.mark.parametrize(
    "changes",
    [
        {"user_data": {"page_id": "1"}},
        {"user_data": {"ctwa_clid": "c", "fbp": "fb.1.1795230000456.1098115397"}},
        {"event_source_url": "https://shop.example/"},
        {"messaging_channel": "sms"},
        {"messaging_channel": "messenger"},
        {"messaging_channel": "instagram"},
    ],
)
def test_refuses_a_conversation_with_a_fault(changes: dict[str, Any]) -> None:
    assert code_of(post({"data": [conversation(**changes)]})) == (400, 100, None)


def app_event(extinfo: list[Any], **changes: Any) -> dict[str, Any]:
    app = {"advertiser_tracking_enabled": 0, "application_tracking_enabled": 1, "extinfo": extinfo}
    event = {"event_name": "fb_mobile_activate_app", "event_time": NOW, "action_source": "app"}
    return event | {"user_data": {"anon_id": "install-1"}, "app_data": app} | changes


def test_takes_an_app_event() -> None:
    assert post({"data": [app_event(["a2", "", "", "", "15", *[""] * 11])]}).status == 200


@pytest.mark.parametrize(
    "extinfo",
    [
        ["a2", "", "", "", "15", *[""] * 10],
        ["a2", "", "", "", "15", *[None] * 11],
        ["android", "", "", "", "15", *[""] * 11],
        ["i2", "", "", "", "", *[""] * 11],
    ],
)
def test_refuses_device_information_out_of_form(extinfo: list[Any]) -> None:
    assert code_of(post({"data": [app_event(extinfo)]})) == (400, 100, None)


def test_an_app_purchase_needs_money_under_its_own_names() -> None:
    extinfo = ["a2", "", "", "", "15", *[""] * 11]
    bare = app_event(extinfo, event_name="fb_mobile_purchase")
    assert code_of(post({"data": [bare]})) == (400, 100, 2804009)
    assert code_of(post({"data": [bare | {"custom_data": {"_valueToSum": 1}}]})) == (400, 100, None)
    assert post({"data": [bare | {"custom_data": {"_valueToSum": 1, "fb_currency": "EUR"}}]}).status == 200
