"""Snapchat: the contract, and what golden cases cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.demo.mock import MockRequest
from gateway.demo.platforms.snapchat import MOCK
from gateway.plugin import Batch, Event, Response, Skip
from gateway.plugin.testing import destination_contract, load, public_config, run

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "snapchat"
SNAPCHAT = load(HERE.parents[1] / "plugins" / "snapchat.py").SNAPCHAT

TestSnapchat = destination_contract(SNAPCHAT, golden=GOLDEN)

NOW = 1_795_183_389
CONFIG = public_config(SNAPCHAT, MOCK.config)
EMAIL = {"email": ("542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345",)}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "value",
    "currency",
    "contents",
    "content_ids",
    "content_name",
    "content_category",
    "content_brand",
    "num_items",
]
KEYS += ["order_id", "predicted_ltv", "status", "city", "num_adults", "suggested_hotels", "mine"]


def event(**given: Any) -> Event:
    """A website Lead of somebody with an e-mail address, with what the test says instead."""
    plain = {"event_name": "Lead", "event_id": "l-1", "event_time": NOW, "platform_name": "SIGN_UP"}
    return Event(**{**plain, "digests": EMAIL, "event_source_url": "https://shop.example/", **given})


def mapped(config: dict[str, Any] = CONFIG, **given: Any) -> dict[str, Any]:
    item = SNAPCHAT.map_event(event(**given), config)
    assert not isinstance(item, Skip), item
    return dict(item)


def answered(request: Any, now: float = NOW) -> Any:
    """The mock platform's reply to a built request."""
    path = request.url.removeprefix("https://tr.snapchat.com")
    params = {**request.params, "access_token": MOCK.config["access_token"]}
    return MOCK.answer(MockRequest(request.method, path, params, {}, json.dumps(request.json).encode()), now)


def test_the_worked_request_comes_out_digest_for_digest() -> None:
    (request,) = run(SNAPCHAT, json.loads((GOLDEN / "worked_request.json").read_text())).requests
    assert request.url == "https://tr.snapchat.com/v3/11111111-2222-3333-4444-555555555555/events"
    (item,) = request.json["data"]
    assert item["user_data"] == {
        "em": ["542d240129883c019e106e3b1b2d3f3cb3537c43c425364de8e951d5a3083345"],
        "ph": ["dc008fda46e2e64002cf2f82a4906236282d431c4f75e5b60bfe79fc48546383"],
        "fn": ["96d9632f363564cc3032521409cf22a852f2032eec099ed5967c0d000cec607a"],
        "country": ["79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"],
        "external_id": ["0e103e5e09e5d2d255fbbbd08e7deb4d3d96a7922bfeb479d0d76fafd25d4efc"],
        "client_ip_address": "203.0.113.7",
        "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) Example/1.0",
        "sc_click_id": "AbC-12dE",
        "sc_cookie1": "9f5a2d44-6d1c-4b7e-9c63-0f3c1b8d2e10",
    }
    assert item["custom_data"] == {
        "currency": "USD",
        "value": 129.9,
        "order_id": "order-1001",
        "content_ids": ["sku-1"],
        "contents": [{"id": "sku-1", "quantity": "1", "item_price": "129.9"}],
        "num_items": 1,
    }


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_the_mock_takes_what_golden_cases_build(path: Path) -> None:
    for request in run(SNAPCHAT, json.loads(path.read_text())).requests:
        reply = answered(request, request.json["data"][0]["event_time"])
        assert reply.json["status"] == "VALID", reply.json
        assert len(reply.accepted) + len(reply.tested) == len(request.json["data"])


@settings(max_examples=100, deadline=None)
@given(custom_data=st.dictionaries(st.sampled_from(KEYS), JUNK))
def test_no_custom_data_breaks_snaps_types(custom_data: dict[str, Any]) -> None:
    custom_data.pop("currency", None)
    custom_data.pop("contents", None)
    config = {**CONFIG, "travel": True, "custom_fields": ["mine"]}
    reply = answered(
        SNAPCHAT.build_request(Batch.of([mapped(config, custom_data=custom_data)], group="pixel_id"), CONFIG)
    )
    assert reply.json["status"] == "VALID", reply.json


@settings(max_examples=50, deadline=None)
@given(contents=JUNK, currency=JUNK)
def test_mapping_never_raises(contents: Any, currency: Any) -> None:
    SNAPCHAT.map_event(event(custom_data={"contents": contents, "currency": currency, "content_ids": contents}), CONFIG)


def test_app_events_share_no_request_with_the_others_and_go_to_the_app() -> None:
    groups = [SNAPCHAT.group_key(event(action_source=source), CONFIG) for source in ("website", "chat", "app")]
    assert groups[0] == groups[1] != groups[2]
    urls = [SNAPCHAT.build_request(Batch.of([{}], group=group), CONFIG).url for group in groups]
    assert CONFIG["pixel_id"] in urls[0]
    assert CONFIG["snap_app_id"] in urls[2]


@pytest.mark.parametrize(
    ("app", "allowed"),
    [
        ({"os": "ios"}, 0),
        ({"os": "ios", "att_status": "AUTHORIZED"}, 1),
        ({"os": "ios", "advertiser_tracking_enabled": True}, 1),
        ({"os": "ios", "advertiser_tracking_enabled": True, "att_status": "DENIED"}, 0),
        ({"os": "android"}, 1),
        ({"os": "android", "advertiser_tracking_enabled": 0}, 0),
    ],
)
def test_tracking_is_never_claimed_without_a_yes_on_ios(app: dict[str, Any], allowed: int) -> None:
    item = mapped(action_source="app", app={"id": "1", **app})
    assert item["app_data"]["advertiser_tracking_enabled"] == allowed
    assert item.get("data_processing_options") == (None if allowed else ["LMU"])
    assert len(item["app_data"]["extinfo"]) == 16
    assert all(isinstance(text, str) for text in item["app_data"]["extinfo"])


def test_a_purchase_without_money_is_skipped() -> None:
    for missing in ("value", "currency"):
        custom_data = {key: value for key, value in {"value": 1, "currency": "EUR"}.items() if key != missing}
        skip = SNAPCHAT.map_event(event(platform_name="PURCHASE", custom_data=custom_data), CONFIG)
        assert isinstance(skip, Skip)
        assert skip.field == f"custom_data.{missing}"


def test_an_invalid_request_of_the_mock_is_halved_until_the_guilty_event_stands_alone() -> None:
    raw = mapped(event_id="l-2", digests={"email": ("not a digest",)})
    pair = answered(SNAPCHAT.build_request(Batch.of([mapped(), raw], group="pixel_id"), CONFIG))
    assert (pair.status, pair.accepted) == (200, ())
    assert SNAPCHAT.classify(Response(200, {}, json.dumps(pair.json).encode()), 2).kind == "split"
    alone = answered(SNAPCHAT.build_request(Batch.of([raw], group="pixel_id"), CONFIG))
    assert SNAPCHAT.classify(Response(200, {}, json.dumps(alone.json).encode()), 1).kind == "reject"


def test_test_events_are_judged_one_by_one() -> None:
    raw = mapped(event_id="l-2", digests={"email": ("not a digest",)})
    request = SNAPCHAT.build_request(Batch.of([mapped(), raw], group="pixel_id", test=True), CONFIG)
    assert request.url.endswith("/events/validate")
    reply = answered(request)
    assert (len(reply.tested), reply.accepted) == (1, ())
    good, bad = SNAPCHAT.classify(Response(200, {}, json.dumps(reply.json).encode()), 2)
    assert (good.kind, bad.kind, bad.code) == ("delivered", "reject", "INVALID_EVENT")
    assert "user_data.em.0" in bad.message


def test_an_answer_that_cannot_be_read_is_asked_for_once_more() -> None:
    verdict = SNAPCHAT.classify(Response(200, {}, b""), 10)
    assert (verdict.kind, verdict.tries) == ("retry", 2)


def test_no_repeat_after_the_dedup_window() -> None:
    assert SNAPCHAT.retry.unseen_s is not None
    assert SNAPCHAT.retry.unseen_s < 48 * 3600
    assert SNAPCHAT.retry.give_up_s < 48 * 3600


def test_a_refund_never_goes_as_a_purchase() -> None:
    money = {"value": 5, "currency": "EUR"}
    for name in ("PURCHASE", "purchase"):
        skip = SNAPCHAT.map_event(event(event_name="Refund", platform_name=name, custom_data=money), CONFIG)
        assert isinstance(skip, Skip)
        assert (skip.reason, skip.field) == ("unsupported", "event_name")
    assert mapped(event_name="Refund", platform_name="CUSTOM_EVENT_1")["event_name"] == "CUSTOM_EVENT_1"


def test_a_page_is_one_of_the_web() -> None:
    skip = SNAPCHAT.map_event(event(event_source_url="capacitor://localhost/"), CONFIG)
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.field) == ("invalid_field", "event_source_url")
    assert "event_source_url" not in mapped(event_source_url="capacitor://localhost/", action_source="chat")


def test_an_advertising_id_identifies_only_in_apps() -> None:
    person = {"digests": {}, "user_data": {"madid": "38400000-8cf0-11bd-b23e-10b96e40000d"}}
    skip = SNAPCHAT.map_event(event(**person), CONFIG)
    assert isinstance(skip, Skip)
    assert skip.reason == "no_identity"
    assert mapped(**person, action_source="app", app={"os": "android", "id": "1"})["user_data"] == person["user_data"]


def test_too_many_requests_wait_a_second() -> None:
    verdict = SNAPCHAT.classify(Response(429), 3)
    assert (verdict.kind, verdict.after_s) == ("retry", 1)


def test_the_probe_is_taken_in_test_mode() -> None:
    reply = answered(SNAPCHAT.probe(CONFIG, NOW))
    assert (reply.json["status"], len(reply.tested), reply.accepted) == ("VALID", 1, ())
    assert SNAPCHAT.accepts_test(CONFIG)
