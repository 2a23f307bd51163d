"""GA4's Measurement Protocol as canonical events: parameter by parameter, and whatever else may come."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import schema
from gateway.ingest.formats.measurement_protocol import body as door
from gateway.ingest.formats.measurement_protocol.body import translate
from gateway.ingest.formats.measurement_protocol.names import LEFT_OUT, NAMES, names_with
from gateway.ingest.formats.rows import STRICT
from gateway.model.errors import Fault
from gateway.model.event import STANDARD_NAMES

DIGEST = "0a" * 32
PAGE = (Path(__file__).parents[4] / "docs/doors/measurement-protocol.md").read_text("utf-8")


def one(name: Any = "generate_lead", params: Any = None, *, app: bool = False, **body: Any) -> dict[str, Any]:
    [made] = translate({"events": [{"name": name, "params": params}], **body}, app=app)
    assert isinstance(made.event, dict)
    assert schema.faults(made.event) == ()
    return made.event


def at(made: dict[str, Any], path: str) -> Any:
    found: Any = made
    for step in path.split("."):
        found = found[step]
    return found


BODY = [
    ({"client_id": "123.456"}, "user_data.ga_client_id", "123.456"),
    ({"client_id": "123.456"}, "user_data.anonymous_id", "123.456"),
    ({"app_instance_id": "0a1b"}, "user_data.ga_app_instance_id", "0a1b"),
    ({"app_instance_id": "0a1b"}, "user_data.anonymous_id", "0a1b"),
    ({"user_id": 42}, "user_data.external_id", ["42"]),
    ({"ip_override": "203.0.113.10"}, "user_data.client_ip_address", "203.0.113.10"),
    ({"user_agent": "Mozilla/5.0"}, "user_data.client_user_agent", "Mozilla/5.0"),
    ({"device": {"language": "en-us"}}, "user_data.language", "en-us"),
    ({"timestamp_micros": 1795000000123456}, "event_time", 1795000000.123456),
    ({"timestamp_micros": "1795000000000000"}, "event_time", 1795000000),
    ({"user_properties": {"tier": {"value": "gold"}}}, "custom_data.user_properties", {"tier": "gold"}),
    ({"user_properties": {"n": 3}}, "custom_data.user_properties", {"n": 3}),
    ({"user_data": {"sha256_email_address": [DIGEST, DIGEST]}}, "user_data.email", [DIGEST]),
    ({"user_data": {"email": "jane.doe@example.com"}}, "user_data.email", ["jane.doe@example.com"]),
    ({"user_data": {"email_address": "jane.doe@example.com"}}, "user_data.email", ["jane.doe@example.com"]),
    ({"user_data": {"sha256_phone_number": DIGEST}}, "user_data.phone", [DIGEST]),
    ({"user_data": {"phone_number": "+12125550142"}}, "user_data.phone", ["+12125550142"]),
    ({"user_data": {"address": {"sha256_first_name": DIGEST}}}, "user_data.first_name", [DIGEST]),
    ({"user_data": {"address": {"first_name": "Jane"}}}, "user_data.first_name", ["Jane"]),
    ({"user_data": {"address": [{"sha256_last_name": DIGEST}]}}, "user_data.last_name", [DIGEST]),
    ({"user_data": {"address": [{"last_name": "Doe"}]}}, "user_data.last_name", ["Doe"]),
    ({"user_data": {"address": [{"sha256_street": DIGEST}]}}, "user_data.street", [DIGEST]),
    ({"user_data": {"address": [{"street": "1 Main Street"}]}}, "user_data.street", ["1 Main Street"]),
    ({"user_data": {"address": [{"city": "New York"}]}}, "user_data.city", ["New York"]),
    ({"user_data": {"address": [{"region": "NY"}]}}, "user_data.state", ["NY"]),
    ({"user_data": {"address": [{"postal_code": 10001}]}}, "user_data.zip", ["10001"]),
    ({"user_data": {"address": [{"country": "US"}]}}, "user_data.country", ["US"]),
    ({"consent": {"ad_user_data": "GRANTED"}}, "consent", {"ad_user_data": "granted"}),
    ({"consent": {"ad_personalization": "DENIED"}}, "consent", {"ad_personalization": "denied"}),
    ({"consent": {"ad_storage": "GRANTED", "tcf": "CPXx"}}, "consent", {"ad_storage": "granted", "tcf": "CPXx"}),
    ({"consent": {"gpc": True}}, "consent", {"gpc": True}),
    ({"non_personalized_ads": True}, "consent", {"ad_personalization": "denied"}),
    (
        {"non_personalized_ads": True, "consent": {"ad_personalization": "GRANTED"}},
        "consent",
        {"ad_personalization": "denied"},
    ),
    ({"user_location": {"country_id": "US", "region_id": "US-CA"}}, "consent", {"region": "US-CA"}),
    ({"user_location": {"country_id": "DE"}}, "consent", {"region": "DE"}),
    ({"user_location": {"country_id": "US"}, "consent": {"region": "FR"}}, "consent", {"region": "FR"}),
]  # fmt: skip
PARAMS = [
    ("page_location", "https://shop.example/a?gclid=x", "event_source_url", "https://shop.example/a?gclid=x"),
    ("page_referrer", "https://shop.example/b", "referrer_url", "https://shop.example/b"),
    ("page_title", "Thanks", "context.page_title", "Thanks"),
    ("event_id", "e-1", "event_id", "e-1"),
    ("x-fb-event-id", "e-1", "event_id", "e-1"),
    ("action_source", "phone_call", "action_source", "phone_call"),
    ("session_id", 1795000000, "user_data.ga_session_id", 1795000000),
    ("language", "de-de", "user_data.language", "de-de"),
    ("user_agent", "Mozilla/5.0", "user_data.client_user_agent", "Mozilla/5.0"),
    ("ip_override", "203.0.113.10", "user_data.client_ip_address", "203.0.113.10"),
    ("value", 12.5, "custom_data.value", 12.5),
    ("value", "12.50", "custom_data.value", "12.50"),
    ("currency", "EUR", "custom_data.currency", "EUR"),
    ("transaction_id", 10042, "custom_data.order_id", 10042),
    ("tax", 4.8, "custom_data.tax", 4.8),
    ("shipping", "4.95", "custom_data.shipping", "4.95"),
    ("discount", 5, "custom_data.discount", 5),
    ("coupon", "SPRING10", "custom_data.coupon", "SPRING10"),
    ("search_term", "shirt", "custom_data.search_string", "shirt"),
    ("method", "email", "custom_data.sign_up_method", "email"),
    ("content_type", "image", "custom_data.content_category", "image"),
    ("item_id", "SKU-1", "custom_data.content_ids", ["SKU-1"]),
    ("item_list_name", "Shirts", "custom_data.content_category", "Shirts"),
    ("screen_name", "Cart", "custom_data.content_name", "Cart"),
    ("firebase_screen", "Cart", "custom_data.content_name", "Cart"),
    ("lead_status", "working", "custom_data.lead_stage", "working"),
    ("new_customer", "true", "custom_data.new_customer", True),
    ("aw_merchant_id", 5550001, "custom_data.merchant_id", 5550001),
    ("aw_feed_country", "DE", "custom_data.merchant_feed_label", "DE"),
    ("aw_feed_language", "de", "custom_data.merchant_feed_language", "de"),
    ("fbp", "fb.1.1795000000000.1098115397", "user_data.fbp", "fb.1.1795000000000.1098115397"),
    ("ttclid", "E.C.P.Example", "user_data.ttclid", "E.C.P.Example"),
    ("x-fb-ck-fbp", "fb.1.1795000000000.1098115397", "user_data.fbp", "fb.1.1795000000000.1098115397"),
    ("x-fb-ck-fbc", "fb.1.1795000000000.IwAR2Example", "user_data.fbc", "fb.1.1795000000000.IwAR2Example"),
    *((f"x-fb-ud-{key}", DIGEST, f"user_data.{to}", [DIGEST]) for key, to in {
        "em": "email", "ph": "phone", "fn": "first_name", "ln": "last_name", "ct": "city", "st": "state", "zp": "zip",
        "country": "country", "external_id": "external_id"}.items()),
    ("x-fb-ud-ge", DIGEST, "user_data.gender", DIGEST),
    ("x-fb-ud-db", DIGEST, "user_data.date_of_birth", DIGEST),
    ("x-fb-ud-subscription_id", "sub-1", "user_data.subscription_id", "sub-1"),
    ("x-fb-cd-content_ids", ["a"], "custom_data.content_ids", ["a"]),
    ("x-fb-cd-content_name", "Shirt", "custom_data.content_name", "Shirt"),
    ("x-fb-cd-content_type", "product", "custom_data.content_type", "product"),
    ("x-fb-cd-content_category", "Apparel", "custom_data.content_category", "Apparel"),
    ("x-fb-cd-num_items", "2", "custom_data.num_items", 2),
    ("x-fb-cd-predicted_ltv", 240, "custom_data.predicted_ltv", 240),
    ("x-fb-cd-status", "done", "custom_data.status", "done"),
    ("my_parameter", "mine", "custom_data.my_parameter", "mine"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path", "value"), BODY)
def test_a_field_of_the_body(body: dict[str, Any], path: str, value: Any) -> None:
    assert at(one(**body), path) == value


@pytest.mark.parametrize(("key", "given_value", "path", "value"), PARAMS)
def test_a_parameter_of_an_event(key: str, given_value: Any, path: str, value: Any) -> None:
    assert at(one(params={key: given_value}), path) == value


def test_every_row_is_tried() -> None:
    tried = {key for key, *_ in PARAMS}
    click_ids = {row.key for row in door.PARAMS if row.to == f"user_data.{row.key}"}
    assert {row.key for row in door.PARAMS} - tried - click_ids == set()
    bodies = {key for body, *_ in BODY for key in body}
    assert door.BODY_KEYS - bodies == {"events", "validation_behavior"}
    told = [body["user_data"] for body, *_ in BODY if "user_data" in body]
    assert {row.key for row in door.USER_DATA} <= {key for part in told for key in part}
    addresses = [part["address"] for part in told if "address" in part]
    entries = [one for place in addresses for one in (place if isinstance(place, list) else [place])]
    assert {row.key for row in door.ADDRESS} <= {key for entry in entries for key in entry}


@pytest.mark.parametrize(("ga", "name"), [(ga, name) for ga, name in NAMES.items() if name])
def test_a_name_of_ga4_is_a_standard_one(ga: str, name: str) -> None:
    assert name in STANDARD_NAMES
    assert one(ga)["event_name"] == name


@pytest.mark.parametrize("ga", LEFT_OUT)
def test_what_a_tag_sends_by_itself_is_left_out(ga: str) -> None:
    assert list(translate({"events": [{"name": ga}]})) == []


@pytest.mark.parametrize("ga", [ga for ga, name in NAMES.items() if name])
def test_a_name_of_ga4_stands_on_the_doors_page_beside_ours(ga: str) -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith("|") and f"`{ga}`" in line.split("|")[1]]
    theirs, ours = row.split("|")[1:3]
    assert dict(zip(re.findall(r"`(\w+)`", theirs), re.findall(r"\w+", ours), strict=True))[ga] == NAMES[ga]


def test_any_other_name_is_a_custom_event() -> None:
    assert one("quiz_done")["event_name"] == "quiz_done"


def test_an_operator_changes_the_names() -> None:
    names = names_with({"scroll": True, "quiz_done": "Lead", "page_view": False})
    body = {"events": [{"name": name} for name in ("scroll", "quiz_done", "page_view", "purchase")]}
    made = [(found.place, found.event) for found in translate(body, names=names)]
    found = [(place, event["event_name"]) for place, event in made if isinstance(event, dict)]
    assert found == [(0, "scroll"), (1, "Lead"), (3, "Purchase")]


def test_products() -> None:
    items = [
        {"item_id": "SKU-1", "item_name": "Shirt", "item_brand": "Acme", "item_category": "Apparel", "price": "9.99",
         "item_category2": "Shirts", "item_variant": "M", "quantity": "2", "index": 1, "coupon": "X"},
        {"item_id": 7, "price": 5},
        {"item_name": "Bag", "price": "dear"},
    ]  # fmt: skip
    assert one("purchase", {"items": items})["custom_data"]["contents"] == [
        {"id": "SKU-1", "title": "Shirt", "brand": "Acme", "category": "Apparel > Shirts", "variant": "M",
         "item_price": "9.99", "quantity": 2},
        {"id": 7, "item_price": 5, "quantity": 1},
        {"title": "Bag", "quantity": 1},
    ]  # fmt: skip


def test_what_is_about_ga4_alone_stays_out_of_custom_data() -> None:
    made = one("purchase", dict.fromkeys(door.INTERNAL - {"items"}, "x"))
    assert made == {"event_name": "Purchase"}


def test_a_refund_names_the_order_that_it_adjusts() -> None:
    made = one("refund", {"transaction_id": "o-1", "value": 5, "currency": "EUR"})
    assert made["original_event"] == {"event_name": "Purchase", "order_id": "o-1"}


def test_an_event_of_an_app() -> None:
    device = {"operating_system": "iOS", "operating_system_version": "18.1", "model": "iPhone16,2", "brand": "Apple",
              "category": "mobile", "language": "en"}  # fmt: skip
    made = one("first_open", app=True, device=device)
    assert (made["event_name"], made["action_source"]) == ("AppInstall", "app")
    assert made["app"] == {"os": "iOS", "os_version": "18.1", "device_model": "iPhone16,2", "device_brand": "Apple",
                           "device_type": "mobile", "locale": "en"}  # fmt: skip
    assert "app" not in one("first_open", device=device)


def test_an_event_has_its_own_time() -> None:
    events = [{"name": "login", "timestamp_micros": 1794000000000000}, {"name": "login"}]
    made = list(translate({"timestamp_micros": 1795000000000000, "events": events}))
    assert [found.event["event_time"] for found in made if isinstance(found.event, dict)] == [1794000000, 1795000000]


@pytest.mark.parametrize(
    "consent", ["GRANTED", 1, {"ad_user_data": "YES"}, {"ad_user_data": True}, {"other": "GRANTED"}]
)
def test_a_consent_that_cannot_be_read_costs_the_event(consent: Any) -> None:
    [made] = translate({"consent": consent, "events": [{"name": "login"}]})
    assert [fault.path.split("/")[1] for fault in schema.faults(made.event)] == ["consent"]


@pytest.mark.parametrize("micros", [10**400, -(10**400), "x"], ids=["after", "before", "never"])
def test_a_time_that_nobody_can_reckon_with_is_left_to_be_refused(micros: Any) -> None:
    (found,) = translate({"client_id": "1.1", "events": [{"name": "x", "timestamp_micros": micros}]})
    assert found.event["event_time"] == micros


def test_an_unspecified_flag_says_nothing() -> None:
    assert "consent" not in one(consent={"ad_user_data": "CONSENT_STATUS_UNSPECIFIED", "ad_personalization": None})


def test_an_address_that_is_no_region_is_not_guessed_from() -> None:
    assert "consent" not in one(user_location={"country_id": "Germany", "region_id": 5, "city": "Berlin"})


def test_what_has_no_place_is_left_out_and_told() -> None:
    params = {"discount": "much", "page_location": 5, "x" * 200: 1}
    body = {"user_data": {"nickname": "J", "address": ["x"]}, "extra": 1, "user_properties": {"a": {"value": [1]}}}
    [made] = translate({"events": [{"name": "login", "params": params}], **body})
    assert schema.faults(made.event) == ()
    assert set(made.notes) == {
        "params.discount: left out, not what can stand there",
        "params.page_location: left out, not what can stand there",
        "params.…: left out, too many keys, or too long a key",
        "user_data.nickname: left out, not known here",
        "user_data.address: left out, not an object",
        "user_properties.a: left out, not a text or a number",
        "extra: left out, not known here",
    }


@pytest.mark.parametrize("events", [None, {}, "x", 3])
def test_events_must_be_a_list(events: Any) -> None:
    [made] = translate({"events": events})
    assert isinstance(made.event, Fault)


ROWS = (*door.USER_DATA, *door.ADDRESS, *door.ITEM)
KEYS = sorted(door.BODY_KEYS | door.PARAM_KEYS | {"name", "params", "value", "address"} | {row.key for row in ROWS})
TEXTS = st.text(max_size=20) | st.sampled_from(["GRANTED", DIGEST, "purchase"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), inner, max_size=8)
    ),
    max_leaves=30,
)


BODIES = st.dictionaries(st.sampled_from(KEYS), JSON, max_size=8)
EVENTS = st.lists(JSON | st.fixed_dictionaries({"name": SCALARS, "params": JSON}), max_size=4)


@given(BODIES, EVENTS, st.booleans())
def test_whatever_comes_is_an_event_or_a_fault(body: dict[str, Any], events: list[Any], app: bool) -> None:
    strict = tuple("/" + place.replace(".", "/") for place in STRICT)
    for made in translate({**body, "events": events}, app=app):
        if not isinstance(made.event, Fault):
            for fault in schema.faults(made.event):
                assert fault.path.startswith(strict), fault
