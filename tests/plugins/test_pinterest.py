"""Pinterest: the contract, and what golden cases cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.demo.mock import MockRequest
from gateway.demo.platforms.pinterest import MOCK
from gateway.plugin import Batch, Event, Response, Skip
from gateway.plugin.testing import destination_contract, load, run, views

HERE = Path(__file__).parent
GOLDEN = HERE / "golden" / "pinterest"
PINTEREST = load(HERE.parents[1] / "plugins" / "pinterest.py").PINTEREST

TestPinterest = destination_contract(PINTEREST, golden=GOLDEN)

NOW = 1_795_183_389
CONFIG = {"ad_account_id": MOCK.config["ad_account_id"], "ldp_case": "lower", "offline_batches": False}
CONFIG |= {"pin_unauth": True, "repeat_unseen": False}
EMAIL = {"email": ("86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d",)}
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)

KEYS = ["value", "currency", "contents", "content_ids", "content_name", "num_items", "order_id", "predicted_ltv", "np"]


def event(**given: Any) -> Event:
    """A website Purchase of somebody with an e-mail address, with what the test says instead."""
    plain = {"event_name": "Purchase", "event_id": "p-1", "event_time": NOW, "platform_name": "checkout"}
    return Event(**{**plain, "digests": EMAIL, **given})


def mapped(config: dict[str, Any] = CONFIG, **given: Any) -> dict[str, Any]:
    item = PINTEREST.map_event(event(**given), config)
    assert not isinstance(item, Skip), item
    return dict(item)


def answered(request: Any) -> Any:
    """The mock platform's reply to a built request."""
    path = request.url.removeprefix("https://api.pinterest.com")
    signed = {"authorization": f"Bearer {MOCK.config['access_token']}"}
    return MOCK.answer(
        MockRequest(request.method, path, request.params, signed, json.dumps(request.json).encode()), NOW
    )


def test_the_worked_request_comes_out_digest_for_digest() -> None:
    (request,) = run(PINTEREST, json.loads((GOLDEN / "worked_request.json").read_text())).requests
    first, second = request.json["data"]
    user_data = {key: value for key, value in first["user_data"].items() if isinstance(value, list)}
    assert {key: value[0] for key, value in user_data.items()} == {
        "em": "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d",
        "ph": "758fbf68945f21c416814c539ab578876c8d98fb69e6da692def92cd52417fe0",
        "fn": "81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2",
        "ln": "799ef92a11af918e3fb741df42934f3b568ed2d93ac1df74f1b8d41a27932a6f",
        "ct": "1a6bd4d9d79dc0a79b53795c70d3349fa9e38968a3fbefbfe8783efb1d2b6aac",
        "st": "6959097001d10501ac7d54c0bdb8db61420f658f2922cc26e46d536119a31126",
        "zp": "e73ac16e69f060ee98b0fda5f66f48c4648ee26950e9bab3a097389853fd859e",
        "country": "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621",
        "external_id": "55ae432566bef002df2f7ce67fe88b1c50f277a083e8ea95a7a62b40e28d13eb",
    }
    assert (first["custom_data"]["value"], first["language"], first["opt_out"]) == ("59.98", "en", False)
    assert second["event_name"] == "lead"


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_the_mock_takes_what_golden_cases_build(path: Path) -> None:
    for request in run(PINTEREST, json.loads(path.read_text())).requests:
        reply = answered(request)
        assert (reply.status, len(reply.accepted) + len(reply.tested)) == (200, len(request.json["data"])), reply.json


@settings(max_examples=100, deadline=None)
@given(custom_data=st.dictionaries(st.sampled_from(KEYS), JUNK))
def test_no_custom_data_breaks_the_closed_schema(custom_data: dict[str, Any]) -> None:
    """Whatever stands there, the request is never refused as a whole."""
    reply = answered(PINTEREST.build_request(Batch.of([mapped(custom_data=custom_data)]), CONFIG))
    assert reply.status in (200, 422), reply.json


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (59.98, "59.98"),
        (20, "20"),
        (1e-7, "0.0000001"),
        (10**15, "1000000000000000"),
        ("12.50", "12.50"),
    ],
)
def test_money_is_decimal_text(value: Any, text: str) -> None:
    assert mapped(custom_data={"value": value, "currency": "EUR"})["custom_data"]["value"] == text


@pytest.mark.parametrize("value", [True, "a lot", "NaN", float("inf"), "1e3", "1e999999999", [], {}])
def test_what_is_no_number_is_left_out(value: Any) -> None:
    assert "value" not in mapped(custom_data={"value": value, "currency": "EUR"})["custom_data"]


@pytest.mark.parametrize(
    ("given", "language"),
    [("en-US", "en"), ("DE", "de"), ("pt_BR", "pt"), ("fr,en;q=0.8", "fr"), ("english", None), ("", None)],
)
def test_language_is_two_letters(given: str, language: str | None) -> None:
    assert mapped(user_data={"language": given}).get("language") == language


def test_the_cookie_is_a_second_external_id_unless_turned_off() -> None:
    digests = {**EMAIL, "external_id": ("a" * 64,), "pin_unauth": ("b" * 64,)}
    assert mapped(digests=digests)["user_data"]["external_id"] == ["a" * 64, "b" * 64]
    assert mapped({**CONFIG, "pin_unauth": False}, digests=digests)["user_data"]["external_id"] == ["a" * 64]


def test_a_limited_event_never_goes_without_its_state() -> None:
    for region in (None, "US"):
        skip = PINTEREST.map_event(event(limited=True, region=region), CONFIG)
        assert isinstance(skip, Skip)
        assert (skip.reason, skip.field) == ("missing_field", "consent.region")
    assert mapped(limited=True, region="US-TX")["custom_data"]["opt_out_type"] == "LDP"
    assert "opt_out_type" not in mapped(limited=True, region="US-TX")["user_data"]
    assert "opt_out_type" not in mapped(custom_data={"opt_out_type": "LDP"}).get("custom_data", {})


def test_a_limited_app_event_hides_the_device() -> None:
    app = {"os": "iOS", "os_version": "18.1", "device_model": "iPhone17,2", "id": "1", "install_time": NOW}
    raw = {"event_name": "Purchase", "action_source": "app", "user_data": {"email": "jane@example.com"}, "app": app}
    raw["consent"] = {"region": "US-CA"}
    open_, limited = (
        PINTEREST.map_event(views(PINTEREST, {"events": [raw], "limited": limited})[0], CONFIG)
        for limited in (False, True)
    )
    assert open_["device_info"] == {"model": "iPhone17,2", "os_family": "ios", "os_version": "18.1"}
    assert limited["device_info"] == {"os_family": "ios", "os_version": "18.1"}
    assert limited["app_info"] == {"app_id": "1"}


@pytest.mark.parametrize(
    ("app", "opt_out"),
    [
        ({}, False),
        ({"att_status": "DENIED"}, True),
        ({"advertiser_tracking_enabled": 0}, True),
        ({"att_status": "AUTHORIZED"}, False),
        ({"advertiser_tracking_enabled": True}, False),
    ],
)
def test_tracking_switched_off_in_an_app_is_opt_out(app: dict[str, Any], opt_out: bool) -> None:
    assert mapped(action_source="app", app={"os": "ios", **app})["opt_out"] is opt_out


def test_offline_events_share_no_request_unless_the_risk_is_taken() -> None:
    events = [event(action_source="physical_store", event_id=event_id) for event_id in ("1", "2")]
    assert len({PINTEREST.group_key(one, CONFIG) for one in events}) == 2
    assert len({PINTEREST.group_key(one, {**CONFIG, "offline_batches": True}) for one in events}) == 1
    assert PINTEREST.group_key(event(), CONFIG) == PINTEREST.group_key(event(event_id="2"), CONFIG)


def test_the_first_hour_has_several_tries() -> None:
    retry = PINTEREST.retry
    waits = [min(retry.first_s * retry.factor**tries, retry.max_s) for tries in range(5)]
    assert sum(waits) < 3600


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"received_at": NOW}, 3600),
        ({"received_at": NOW + 600.5}, 2999.5),
        ({"received_at": NOW + 3600}, 0),
        ({"received_at": NOW + 86400}, 0),
        ({"received_at": NOW, "action_source": "app", "app": {"os": "ios"}}, 3600),
        ({"received_at": NOW, "action_source": "physical_store"}, 0),
        ({"received_at": NOW, "action_source": "system_generated"}, 0),
    ],
)
def test_a_blind_repeat_never_comes_where_pinterest_does_not_deduplicate(given: dict[str, Any], seconds: float) -> None:
    assert PINTEREST.unseen_limit(event(**given), CONFIG) == seconds
    assert PINTEREST.unseen_limit(event(**given), {**CONFIG, "repeat_unseen": True}) is None
    assert PINTEREST.retry.unseen_s is None  # or it would hold under `repeat_unseen` too


def test_a_refund_never_goes_as_a_purchase() -> None:
    skip = PINTEREST.map_event(event(event_name="Refund"), CONFIG)
    assert isinstance(skip, Skip)
    assert (skip.reason, skip.field) == ("unsupported", "event_name")
    assert mapped(event_name="Refund", platform_name="custom")["event_name"] == "custom"


@pytest.mark.parametrize("body", [b'{"code": 8, "message": "slow down"}', b"<html>"])
def test_too_many_requests_wait_a_second(body: bytes) -> None:
    verdict = PINTEREST.classify(Response(429, {}, body), 3)
    assert (verdict.kind, verdict.after_s) == ("retry", 1)


def test_the_account_may_be_a_number() -> None:
    valid = Draft202012Validator(PINTEREST.config_schema).is_valid
    token = {"access_token": "pina_invented"}
    assert valid({**token, "ad_account_id": 549700000001})
    assert not valid({**token, "ad_account_id": 0})
    request = PINTEREST.build_request(Batch.of([{}]), {**CONFIG, "ad_account_id": 549700000001})
    assert request.url.endswith("/ad_accounts/549700000001/events")


def test_a_partial_refusal_by_the_mock_is_judged_event_by_event() -> None:
    raw = mapped(event_id="p-2", digests={"email": ("jane.doe at example.com",)})
    reply = answered(PINTEREST.build_request(Batch.of([mapped(), raw]), CONFIG))
    assert reply.status == 422
    good, bad = PINTEREST.classify(Response(422, {}, json.dumps(reply.json).encode()), 2)
    assert (good.kind, bad.kind, bad.message) == ("delivered", "reject", "em is not a SHA-256 hash")


def test_a_ramped_down_endpoint_is_left_alone_for_a_minute() -> None:
    verdict = PINTEREST.classify(Response(503, {}, b'{"code": 4197, "message": "later"}'), 5)
    assert (verdict.kind, verdict.after_s) == ("retry", 60)


def test_the_probe_is_taken_in_test_mode() -> None:
    reply = answered(PINTEREST.probe(CONFIG, NOW))
    assert (reply.status, len(reply.tested), reply.accepted) == (200, 1, ())
    assert PINTEREST.accepts_test(CONFIG)
