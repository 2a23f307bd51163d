"""The mock of Snapchat refuses what Snapchat refuses, under HTTP 200 where Snapchat does."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gateway.demo.mock import MockReply, MockRequest
from gateway.demo.platforms.snapchat import MOCK

NOW = 1_795_240_900
PIXEL = f"/v3/{MOCK.config['pixel_id']}/events"
APP = f"/v3/{MOCK.config['snap_app_id']}/events"
EMAIL = "542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345"
PURCHASE: dict[str, Any] = {
    "event_name": "PURCHASE",
    "event_time": 1795240800,
    "event_id": "order-1001",
    "action_source": "WEB",
    "event_source_url": "https://shop.example/thank-you?ScCid=AbC-12dE",
    "user_data": {
        "em": [EMAIL],
        "ph": ["dc008fda46e2e64002cf2f82a4906236282d431c4f75e5b60bfe79fc48546383"],
        "fn": ["96d9632f363564cc3032521409cf22a852f2032eec099ed5967c0d000cec607a"],
        "country": ["79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"],
        "external_id": ["0e103e5e09e5d2d255fbbbd08e7deb4d3d96a7922bfeb479d0d76fafd25d4efc"],
        "client_ip_address": "203.0.113.7",
        "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) Example/1.0",
        "sc_click_id": "AbC-12dE",
        "sc_cookie1": "9f5a2d44-6d1c-4b7e-9c63-0f3c1b8d2e10",
    },
    "custom_data": {
        "currency": "USD",
        "value": 129.9,
        "order_id": "order-1001",
        "content_ids": ["sku-1"],
        "contents": [{"id": "sku-1", "quantity": "1", "item_price": "129.9"}],
        "num_items": 1,
    },
    "data_processing_options": ["LMU"],
}
VIEW: dict[str, Any] = {
    "event_name": "PAGE_VIEW",
    "event_time": 1795240800,
    "event_id": "view-1",
    "action_source": "WEB",
    "event_source_url": "https://shop.example/",
    "user_data": {"em": [EMAIL]},
}
OPEN: dict[str, Any] = {
    "event_name": "APP_OPEN",
    "event_time": 1795240800,
    "event_id": "open-1",
    "action_source": "MOBILE_APP",
    "user_data": {"madid": "38400000-8cf0-11bd-b23e-10b96e40000d"},
    "app_data": {"app_id": "1234567890", "advertiser_tracking_enabled": 1, "extinfo": ["i2", *[""] * 15]},
}


def post(data: Any, *, path: str = PIXEL, token: str = str(MOCK.config["access_token"])) -> MockReply:
    return MOCK.answer(MockRequest("POST", path, {"access_token": token}, {}, json.dumps({"data": data}).encode()), NOW)


def changed(event: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The event with one field set; `None` removes it."""
    event = copy.deepcopy(event)
    *parents, last = path.split(".")
    place: Any = event
    for step in parents:
        place = place[int(step)] if isinstance(place, list) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return event


def test_the_worked_request_is_taken() -> None:
    reply = post([PURCHASE])
    assert (reply.status, reply.accepted) == (200, (PURCHASE,))
    assert reply.json == {"status": "VALID", "reason": "Events have been processed successfully."}


def test_app_events_go_to_the_app() -> None:
    assert post([OPEN], path=APP).accepted == (OPEN,)
    assert post([OPEN]).json["status"] == "INVALID"
    assert post([VIEW], path=APP).json["status"] == "INVALID"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"token": "other"}, 401),
        ({"path": "/v3/99999999-0000-0000-0000-000000000000/events"}, 404),
        ({"path": "/v3/conversion"}, 404),
        ({"path": "/v2/conversion"}, 404),
    ],
)
def test_wrong_sign_in_or_place(given: dict[str, Any], status: int) -> None:
    reply = post([VIEW], **given)
    assert (reply.status, reply.json["status"], reply.accepted) == (status, "INVALID", ())


@pytest.mark.parametrize("data", [[], [VIEW] * 2001, {}, None])
def test_one_to_two_thousand_events(data: Any) -> None:
    assert post(data).status == 400


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_name", "ADD_TO_CART"),
        ("event_name", "purchase"),
        ("event_name", None),
        ("event_time", "1795240800"),
        ("event_time", NOW - 8 * 86400),
        ("event_time", NOW + 3600),
        ("action_source", "website"),
        ("action_source", "MOBILE_APP"),
        ("event_source_url", None),
        ("user_data.em", ["person@example.com"]),
        ("user_data.em", EMAIL),
        ("user_data.em", [EMAIL.upper()]),
        ("user_data.external_id", ["cust-77"]),
        ("user_data.client_ip_address", EMAIL + "xyz"),
        ("user_data", {"sc_click_id": "AbC-12dE", "sc_cookie1": "c"}),
        ("user_data", {"client_ip_address": "203.0.113.7"}),
        ("custom_data", None),
        ("custom_data.value", "129.9"),
        ("custom_data.value", None),
        ("custom_data.currency", "usd"),
        ("custom_data.currency", None),
        ("custom_data.num_items", "1"),
        ("custom_data.contents.0.quantity", 1),
        ("custom_data.contents.0.item_price", 129.9),
        ("data_processing_options", "['LMU']"),
        ("data_processing_options", ["lmu"]),
    ],
)
def test_one_wrong_event_keeps_the_whole_request_out_under_http_200(path: str, value: Any) -> None:
    reply = post([VIEW, changed(PURCHASE, path, value)])
    assert (reply.status, reply.accepted) == (200, ())
    assert (reply.json["status"], reply.json["event"]) == ("INVALID", 2)
    assert reply.json["errors"]["error_msgs"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("app_data", None),
        ("app_data.app_id", None),
        ("app_data.advertiser_tracking_enabled", None),
        ("app_data.extinfo", ["i2"]),
        ("app_data.extinfo", ["ios", *[""] * 15]),
        ("app_data.extinfo", ["i2", *[0] * 15]),
        ("user_data.madid", "38400000-8CF0-11BD-B23E-10B96E40000D"),
    ],
)
def test_wrong_app_events(path: str, value: Any) -> None:
    assert post([changed(OPEN, path, value)], path=APP).json["status"] == "INVALID"


def test_milliseconds_are_taken_too() -> None:
    assert post([changed(VIEW, "event_time", 1795240800000)]).json["status"] == "VALID"


def test_validate_counts_nothing_and_judges_each_event() -> None:
    reply = post([VIEW, changed(PURCHASE, "custom_data.value", None)], path=f"{PIXEL}/validate")
    assert (reply.status, reply.accepted, reply.tested) == (200, (), (VIEW,))
    assert (reply.json["status"], reply.json["test_event"]) == ("INVALID", True)
    assert [(log["event"], log["status"]) for log in reply.json["event_logs"]] == [(1, "VALID"), (2, "INVALID")]
