"""Meta: the contract suite over its golden cases, and what a golden case cannot say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.model.delivery import Kind, Skip
from gateway.model.event import Event
from gateway.plugin import Batch, Proof, Response
from gateway.plugin.testing import destination_contract, load, public_config, views
from gateway.schema import load_schema

HERE = Path(__file__).parent
PLUGIN = load(HERE.parents[1] / "plugins/meta.py")
META = PLUGIN.META
CONFIG = public_config(META, {"pixel_id": "1234567890", "access_token": "EAAInvented"})
DIGEST = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"

TestMeta = destination_contract(META, golden=HERE / "golden/meta")


def lead(**changes: Any) -> Event:
    """A website lead as the plugin sees it."""
    event = Event(
        event_name="Lead",
        event_id="lead-1",
        event_time=1795240800.75,
        event_source_url="https://shop.example/quote",
        digests={"email": (DIGEST,)},
    )
    event = replace(event, **changes)
    return replace(event, platform_name=event.platform_name or META.names.get(event.event_name, event.event_name))


def test_names_off_by_default_are_those_without_a_standard_event() -> None:
    off = {"AdClick", "AdView", "RemoveFromCart", "ViewCart", "AddShippingInfo", "Login", "Share", "Download"}
    assert META.off_by_default == off
    assert off <= META.names.keys()
    assert META.custom_names
    assert "Refund" not in META.names


def test_limited_regions_are_the_states_with_a_code_and_the_us() -> None:
    states = "CA CO CT FL OR TX MT DE NE NH NJ MN MD RI"
    assert META.limited == {"US", *(f"US-{state}" for state in states.split())}
    assert META.limited_needs_ip
    assert PLUGIN.LDU_STATES["US-CA"] == 1000
    assert PLUGIN.LDU_STATES["US-RI"] == 1013


def test_proof_of_the_app_secret_is_declared() -> None:
    assert Proof("appsecret_proof", key="app_secret", message="access_token") in META.auths


def test_an_answer_never_seen_is_not_retried_past_the_dedup_window() -> None:
    assert META.retry.unseen_s == 47 * 3600


@pytest.mark.parametrize(
    ("source", "days"),
    [("website", 7), ("app", 7), ("system_generated", 7), ("physical_store", 62)],
)
def test_age_limit_is_an_hour_short_of_metas(source: str, days: int) -> None:
    assert META.age_limit(lead(action_source=source), CONFIG) == days * 86400 - 3600


def test_store_events_and_test_events_are_grouped_apart() -> None:
    events = [lead(), lead(test=True), lead(action_source="physical_store"), lead(action_source="chat")]
    groups = [META.group_key(event, CONFIG) for event in events]
    assert groups[0] == groups[3]
    assert len(set(groups)) == 3


def test_stages_of_one_lead_share_a_serial_key_and_nothing_else_does() -> None:
    person = {"meta_lead_id": "123456789012345"}
    first = META.serial_key(lead(action_source="system_generated", user_data=person), CONFIG)
    second = META.serial_key(lead(event_name="QualifiedLead", user_data={"meta_lead_id": 123456789012345}), CONFIG)
    assert first == second == "lead:123456789012345"
    assert META.serial_key(lead(user_data=person), CONFIG) is None
    assert META.serial_key(lead(event_name="QualifiedLead"), CONFIG) is None


def test_a_stage_is_never_a_store_event() -> None:
    stage = lead(event_name="QualifiedLead", action_source="physical_store")
    assert META.age_limit(stage, CONFIG) == 7 * 86400 - 3600
    assert META.map_event(stage, CONFIG)["action_source"] == "system_generated"


def test_a_refund_mapped_to_a_standard_event_is_still_not_sent() -> None:
    refund = lead(event_name="Refund", platform_name="Purchase", custom_data={"value": 5, "currency": "USD"})
    assert META.map_event(refund, CONFIG) == Skip(
        "unsupported", "event_name", "Meta has no refunds; map it to a custom name to build audiences"
    )


def test_an_operator_may_rename_a_custom_event_to_purchase_and_then_it_needs_money() -> None:
    item = META.map_event(lead(event_name="OrderPaid", platform_name="Purchase"), CONFIG)
    assert isinstance(item, Skip)
    assert (item.reason, item.field) == ("missing_field", "custom_data.value")


def test_the_test_code_needs_both_a_test_batch_and_a_configured_code() -> None:
    coded = {**CONFIG, "test_event_code": "TEST1"}
    assert not META.accepts_test(CONFIG)
    assert META.accepts_test(coded)
    assert "test_event_code" not in META.build_request(Batch.of([{}], test=False), coded).json
    assert "test_event_code" not in META.build_request(Batch.of([{}], test=True), CONFIG).json
    assert META.build_request(Batch.of([{}], test=True), coded).json["test_event_code"] == "TEST1"


def test_the_probe_is_a_test_event_and_exists_only_with_a_code() -> None:
    assert META.probe(CONFIG, 1795240800) is None
    request = META.probe({**CONFIG, "test_event_code": "TEST1"}, 1795240800)
    assert request.json["test_event_code"] == "TEST1"
    assert request.json["data"][0]["event_time"] == 1795240800


def test_a_limited_event_says_nothing_of_the_device_or_the_conversation() -> None:
    app = {"os": "android", "os_version": "15", "device_model": "Example 1", "install_id": "i-1", "campaign_ids": "c-1"}
    raw = {"event_name": "Lead", "action_source": "app", "app": app | {"advertiser_tracking_enabled": True}}
    raw |= {"user_data": {"email": DIGEST, "idfv": "v-1"}, "consent": {"gpc": True, "region": "US-CA"}}
    (event,) = views(META, {"events": [raw], "limited": True})
    item = META.map_event(event, CONFIG)
    assert item["app_data"]["extinfo"] == ["a2", "", "", "", "15", *[""] * 11]
    assert item["app_data"].keys() == {"advertiser_tracking_enabled", "application_tracking_enabled", "extinfo"}
    assert item["app_data"]["advertiser_tracking_enabled"] == item["app_data"]["application_tracking_enabled"] == 0
    assert item["user_data"] == {"em": [DIGEST]}


def refusal(code: object, status: int = 400, **error: object) -> Response:
    return Response(status, {}, json.dumps({"error": {"message": "m", "code": code, **error}}).encode())


def test_limits_wait_longer_than_an_outage() -> None:
    assert META.classify(refusal(4), 3).after_s == 300
    assert META.classify(refusal(613), 3).after_s == 60
    assert META.classify(refusal(2, 503), 3).after_s is None
    assert META.classify(refusal(368), 3).after_s >= 3600


@pytest.mark.parametrize("code", [1, 5000, -17])
def test_internal_errors_get_five_tries(code: int) -> None:
    verdict = META.classify(refusal(code, 500), 3)
    assert (verdict.kind, verdict.tries) == (Kind.RETRY, 5)


def test_transient_wins_over_the_table_and_keeps_the_pace_of_a_limit() -> None:
    assert META.classify(refusal(100, is_transient=True), 3).kind is Kind.RETRY
    assert META.classify(refusal(4, is_transient=True), 3).after_s == 300
    assert META.classify(refusal(100, is_transient="yes"), 3).kind is Kind.SPLIT


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"error": {"code": 2}}', b'{"error": {"code": 100}}'])
def test_http_429_waits_a_minute_whatever_the_body(body: bytes) -> None:
    verdict = META.classify(Response(429, {}, body), 3)
    assert (verdict.kind, verdict.after_s) == (Kind.RETRY, 60)
    assert META.classify(refusal(100, 429, is_transient=True), 3).after_s == 60
    assert META.classify(refusal(4, 429), 3).after_s == 300


@pytest.mark.parametrize(
    ("app", "allowed"),
    [
        ({"os": "ios"}, 0),
        ({"os": "ios", "att_status": "NOT_DETERMINED"}, 0),
        ({"os": "ios", "att_status": "AUTHORIZED"}, 1),
        ({"os": "ios", "advertiser_tracking_enabled": True}, 1),
        ({"os": "ios", "advertiser_tracking_enabled": True, "att_status": "DENIED"}, 0),
        ({"os": "android"}, 1),
        ({"os": "android", "att_status": "NOT_APPLICABLE"}, 1),
        ({"os": "android", "advertiser_tracking_enabled": 0}, 0),
        ({}, 1),
    ],
)
def test_tracking_is_never_claimed_without_a_yes_on_ios(app: dict[str, Any], allowed: int) -> None:
    assert PLUGIN.advertiser_tracking(lead(action_source="app", app=app)) == allowed
    assert PLUGIN.advertiser_tracking(lead(action_source="app", app=app, limited=True)) == 0


@pytest.mark.parametrize(
    "key",
    [
        *("name", "names", "Name", "contact", "mobile", "cell", "zip", "postal_code", "em", "ph", "fn", "ln", "person"),
        *("email", "customerEmail", "phone_number", "billing_address", "first_name", "firstName", "customer_name"),
        *("birthday", "date_of_birth", "user.zip"),
    ],
)
def test_a_custom_parameter_that_names_a_person_is_never_sent(key: str) -> None:
    assert META.map_event(lead(custom_data={key: "x", "step": 2}), CONFIG)["custom_data"] == {"step": 2}


@pytest.mark.parametrize(
    "value",
    ["+44 20 7946 0958", "+14155550132", "(415) 555-0132", "415-555-0132", "4155550132", "call 020 7946 0958 now"],
)
def test_a_phone_number_is_sent_only_as_an_id(value: str) -> None:
    assert "custom_data" not in META.map_event(lead(custom_data={"note": value}), CONFIG)
    kept = {"quote_id": value}
    assert META.map_event(lead(custom_data=kept), CONFIG)["custom_data"] == kept


def test_other_custom_parameters_are_sent() -> None:
    kept = {"plan_name": "Family", "visit_date": "20-11-2026", "started": "2026-11-20T14:03:09Z", "city": "Lyon"}
    kept |= {"clock": 1795240800, "clock_text": "1795240800", "ean": "4006381333931", "page": "https://shop.example/2"}
    kept |= {"form": "Quote 2026-11", "headphones": True, "renamed": "yes", "zipper": "metal", "ratio": "1.23456789"}
    assert META.map_event(lead(custom_data=kept), CONFIG)["custom_data"] == kept


def test_the_dataset_may_be_a_number() -> None:
    valid = Draft202012Validator(META.config_schema).is_valid
    assert valid({"pixel_id": 1234567890, "access_token": "EAAInvented"})
    assert not valid({"pixel_id": True, "access_token": "EAAInvented"})
    request = META.build_request(Batch.of([{}]), {**CONFIG, "pixel_id": 1234567890})
    assert request.url.endswith("/1234567890/events")


def test_metas_words_the_blamed_field_and_the_trace_are_kept() -> None:
    blamed = {"blame_field_specs": [["custom_data", "currency"]]}
    verdict = META.classify(
        refusal("100", error_subcode=2804019, error_user_title="Bad currency", error_data=blamed, fbtrace_id="T1"), 1
    )
    assert verdict.kind is Kind.REJECT
    assert verdict.code == "100/2804019"
    assert all(word in verdict.message for word in ("Bad currency", "currency", "T1"))


EVENT_SCHEMA = load_schema("event.v1.schema.json")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KNOWN = st.sampled_from([*EVENT_SCHEMA["$defs"]["custom_data"]["properties"], "level", "fb_order_id"])
IDS = st.sampled_from([*EVENT_SCHEMA["$defs"]["user_data"]["properties"]])
APP = st.sampled_from([*EVENT_SCHEMA["$defs"]["app"]["properties"]])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["Purchase", "Lead", "AppInstall", "QualifiedLead", "Refund", "x"]),
    st.sampled_from(["website", "app", "physical_store", "system_generated", "business_messaging"]),
    st.dictionaries(KNOWN, JSON, max_size=6),
    st.dictionaries(IDS, JSON, max_size=6),
    st.dictionaries(APP, JSON, max_size=6),
    st.booleans(),
)
def test_mapping_never_raises_and_what_it_makes_is_json(
    name: str, source: str, custom: dict[str, Any], ids: dict[str, Any], app: dict[str, Any], limited: bool
) -> None:
    app = {"os": "ios", "os_version": "18", **app}
    event = lead(event_name=name, action_source=source, custom_data=custom, user_data=ids, app=app, limited=limited)
    item = META.map_event(replace(event, region="US-CA"), CONFIG)
    if not isinstance(item, Skip):
        json.dumps(item, allow_nan=False)
