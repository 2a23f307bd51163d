"""The mock of Pinterest refuses what Pinterest refuses."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gateway.demo.mock import MockReply, MockRequest
from gateway.demo.platforms.pinterest import MOCK

NOW = 1_795_000_100
PATH = f"/v5/ad_accounts/{MOCK.config['ad_account_id']}/events"
SIGNED = {"authorization": f"Bearer {MOCK.config['access_token']}"}
EMAIL = "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"
CHECKOUT: dict[str, Any] = {
    "event_name": "checkout",
    "action_source": "web",
    "event_time": 1795000000,
    "event_id": "order-10042-purchase",
    "event_source_url": "https://shop.example/thank-you?order=10042",
    "opt_out": False,
    "language": "en",
    "user_data": {
        "em": [EMAIL],
        "ph": ["758fbf68945f21c416814c539ab578876c8d98fb69e6da692def92cd52417fe0"],
        "country": ["79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"],
        "click_id": "dj0yJnU9EXAMPLE",
        "client_ip_address": "203.0.113.10",
        "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    },
    "custom_data": {
        "currency": "USD",
        "value": "59.98",
        "order_id": "10042",
        "num_items": 2,
        "content_ids": ["SKU-1"],
        "contents": [{"id": "SKU-1", "item_name": "Blue shirt", "item_price": "29.99", "quantity": 2}],
    },
}
LEAD: dict[str, Any] = {
    "event_name": "lead",
    "action_source": "web",
    "event_time": 1795000060,
    "event_id": "lead-77",
    "event_source_url": "https://shop.example/contact",
    "user_data": {"em": [EMAIL]},
}


def post(data: Any, *, path: str = PATH, headers: dict[str, str] = SIGNED, test: bool = False) -> MockReply:
    params = {"test": "true"} if test else {}
    return MOCK.answer(MockRequest("POST", path, params, headers, json.dumps({"data": data}).encode()), NOW)


def changed(path: str, value: Any) -> dict[str, Any]:
    """The worked checkout with one field set; `None` removes it."""
    event = copy.deepcopy(CHECKOUT)
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
    reply = post([CHECKOUT, LEAD])
    assert reply.status == 200
    assert (reply.json["num_events_received"], reply.json["num_events_processed"]) == (2, 2)
    assert [row["status"] for row in reply.json["events"]] == ["processed", "processed"]
    assert reply.accepted == (CHECKOUT, LEAD)


def test_test_mode_answers_and_records_nothing() -> None:
    reply = post([CHECKOUT, LEAD], test=True)
    assert (reply.status, reply.accepted, len(reply.tested)) == (200, (), 2)


@pytest.mark.parametrize(
    ("given", "status", "code"),
    [
        ({"headers": {}}, 401, 2),
        ({"headers": {"authorization": "Bearer other"}}, 401, 2),
        ({"path": "/v5/ad_accounts/1/events"}, 403, 29),
        ({"path": "/v5/ad_accounts/x/events"}, 404, 12),
        ({"path": "/events/v3"}, 404, 12),
    ],
)
def test_wrong_sign_in_or_place(given: dict[str, Any], status: int, code: int) -> None:
    reply = post([LEAD], **given)
    assert (reply.status, reply.json["code"], reply.accepted) == (status, code, ())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("event_id", None),
        ("event_name", None),
        ("action_source", "website"),
        ("event_time", "1795000000"),
        ("event_time", 1795000000.5),
        ("advertiser_tracking_enabled", True),
        ("user_data.em", EMAIL),
        ("user_data.em", [None]),
        ("user_data", {"ph": [EMAIL]}),
        ("user_data", {"em": []}),
        ("user_data", {"client_ip_address": "203.0.113.10"}),
        ("custom_data.value", 59.98),
        ("custom_data.num_items", "2"),
        ("custom_data.category_name", "Apparel"),
        ("custom_data.contents.0.item_price", 29.99),
        ("custom_data.contents.0.item_brand_id", "7"),
        ("custom_data.contents.0.quantity", "2"),
        ("app_info", {"bundle": "x"}),
        ("device_info", {"os_family": "iOS"}),
    ],
)
def test_a_breach_of_the_schema_costs_the_whole_request(path: str, value: Any) -> None:
    reply = post([LEAD, changed(path, value)])
    assert (reply.status, reply.json["code"], reply.accepted) == (400, 4196, ())


def test_an_unknown_key_is_named_in_pinterests_words() -> None:
    reply = post([changed("custom_data.category_name", "Apparel")])
    words = "Invalid request: Additional properties are not allowed ('category_name' was unexpected)"
    assert reply.json == {"code": 4196, "message": words}


@pytest.mark.parametrize("data", [[], [LEAD] * 1001, {}, "x", None])
def test_one_to_a_thousand_events(data: Any) -> None:
    assert post(data).status == 400


def test_a_body_that_is_no_json() -> None:
    assert MOCK.answer(MockRequest("POST", PATH, {}, SIGNED, b"data="), NOW).status == 400


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("user_data.em", ["jane.doe@example.com"], "em is not a SHA-256 hash"),
        ("user_data.em", [EMAIL.upper()], "em is not a SHA-256 hash"),
        ("user_data.external_id", ["42"], "external_id is not a SHA-256 hash"),
        ("event_time", 1795000000000, "event_time is in the future"),
        ("event_time", NOW - 8 * 86400, "event_time is too old"),
        ("custom_data.value", "1e3", "a money field is not a decimal number"),
        ("custom_data.value", "1,000.00", "a money field is not a decimal number"),
        ("custom_data.currency", "usd", "currency is not an ISO 4217 code"),
        ("language", "en-US", "language is not an ISO 639-1 code"),
    ],
)
def test_a_wrong_value_costs_one_event(path: str, value: Any, words: str) -> None:
    reply = post([LEAD, changed(path, value)])
    assert reply.status == 422
    rows = reply.json["details"]["events"]
    assert [row["status"] for row in rows] == ["processed", "failed"]
    assert rows[1]["error_message"] == words
    assert reply.accepted == (LEAD,)


def test_user_data_is_open_and_a_misplaced_flag_there_is_ignored() -> None:
    assert post([changed("user_data.opt_out_type", "LDP")]).status == 200
