"""Calls of the Segment specification → canonical events: its own examples, and what else sites write."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import schema
from gateway.config import Instance, Segment
from gateway.config.segment import segment
from gateway.ingest.formats.segment import PATHS, Call, Kind, Read, Routes, opened, read
from gateway.ingest.formats.segment.envelope import BATCH, TYPES
from gateway.ingest.formats.segment.moment import event_time, seconds
from gateway.ingest.formats.segment.names import NAMES
from gateway.ingest.problem import RequestRefused
from gateway.model.errors import Fault
from gateway.model.event import STANDARD_NAMES
from gateway.plugin import Destination, Request, verdicts

NOW = 1_795_000_000.0
SENT = "2026-11-18T11:06:40.000Z"  # the same
ANY = Segment()
ACME = Destination(
    name="acme",
    api_version="1",
    docs="https://acme.example/docs",
    config_schema={"type": "object"},
    names={},
    map_event=lambda event, config: {},
    build_request=lambda batch, config: Request("POST", "https://acme.example/"),
    classify=lambda response, count: verdicts.by_status(response, count),
)
INSTANCES = {name: Instance(name=name, destination=ACME) for name in ("acme_eu", "acme_us")}
INSTANCES["Big"] = Instance(name="Big", destination=replace(ACME, name="big-ads"))


def configured(**table: Any) -> Segment:
    defaults = {"events": {}, "page": "PageView", "screen": "PageView", "value": ["value", "revenue", "total"]}
    return segment({**defaults, "consent_categories": {}, "integrations": {}, **table})


def told(kind: str, message: dict[str, Any], by: Segment = ANY) -> Read:
    return read(Call(kind, message, message.get("sentAt")), by, Routes(INSTANCES, by), NOW)


def event(message: dict[str, Any], kind: str = "track", by: Segment = ANY) -> dict[str, Any]:
    """The event; it passes the schema."""
    found = told(kind, message, by)
    assert found.kind is Kind.EVENT
    assert isinstance(found.event, dict), found.event
    assert schema.faults(found.event) == ()
    return found.event


def track(name: str, by: Segment = ANY, /, **properties: Any) -> dict[str, Any]:
    return event({"event": name, "properties": properties, "messageId": "m-1"}, by=by)


PRODUCT = {
    "product_id": "507f1f77bcf86cd799439011",
    "sku": "G-32",
    "category": "Games",
    "name": "Monopoly: 3rd Edition",
    "brand": "Hasbro",
    "variant": "200 pieces",
    "price": 18.99,
    "quantity": 1,
    "coupon": "MAYDEALS",
    "position": 3,
    "url": "https://www.example.com/product/path",
    "image_url": "https://www.example.com/product/path.jpg",
}
CONTENT = {
    "id": "507f1f77bcf86cd799439011",
    "item_price": 18.99,
    "quantity": 1,
    "title": "Monopoly: 3rd Edition",
    "brand": "Hasbro",
    "category": "Games",
    "variant": "200 pieces",
}
SMALL = {"product_id": "505bd76785ebb509fc183733", "sku": "46493-32", "name": "Uno Card Game", "price": 3}
SMALL_CONTENT = {"id": "505bd76785ebb509fc183733", "item_price": 3, "title": "Uno Card Game"}

#: …/ecommerce/v2/: call, properties → name, part of `custom_data`.
SPEC = [
    ("Products Searched", {"query": "blue roses"}, "Search", {"search_string": "blue roses"}),
    (
        "Product List Viewed",
        {"list_id": "hot_deals_1", "category": "Deals", "products": [PRODUCT, SMALL]},
        "ViewCategory",
        {"content_category": "Deals", "contents": [CONTENT, SMALL_CONTENT], "list_id": "hot_deals_1"},
    ),
    (
        "Product Viewed",
        {**PRODUCT, "currency": "usd", "value": 18.99},
        "ViewContent",
        {"value": 18.99, "currency": "USD", "contents": [CONTENT], "content_name": "Monopoly: 3rd Edition"},
    ),
    (
        "Product Added",
        {**PRODUCT, "quantity": 3, "cart_id": "skdjsidjsdkdj29j"},
        "AddToCart",
        {"value": 56.97, "contents": [{**CONTENT, "quantity": 3}], "cart_id": "skdjsidjsdkdj29j"},
    ),
    ("Product Removed", PRODUCT, "RemoveFromCart", {"contents": [CONTENT], "coupon": "MAYDEALS"}),
    (
        "Cart Viewed",
        {"cart_id": "d92jd29jd92jd29j92d92jd", "products": [SMALL]},
        "ViewCart",
        {"contents": [SMALL_CONTENT]},
    ),
    (
        "Checkout Started",
        {"order_id": "50314b8e9bcf000000000000", "value": 30, "revenue": 25, "shipping": 3, "tax": 2}
        | {"discount": 2.5, "coupon": "hasbros", "currency": "USD", "products": [PRODUCT]},
        "InitiateCheckout",
        {"order_id": "50314b8e9bcf000000000000", "value": 30, "revenue": 25, "shipping": 3, "tax": 2}
        | {"discount": 2.5, "coupon": "hasbros", "currency": "USD", "contents": [CONTENT]},
    ),
    ("Payment Info Entered", {"order_id": "o-1", "payment_method": "Visa"}, "AddPaymentInfo", {"order_id": "o-1"}),
    (
        "Order Completed",
        {"checkout_id": "fksdjfsdjfisjf9sdfjsd9f", "order_id": "50314b8e9bcf000000000000", "total": 27.5}
        | {"subtotal": 22.5, "revenue": 25.0, "shipping": 3, "tax": 2, "discount": 2.5, "coupon": "hasbros"}
        | {"currency": "USD", "products": [PRODUCT, SMALL]},
        "Purchase",
        {"order_id": "50314b8e9bcf000000000000", "value": 25, "total": 27.5, "subtotal": 22.5, "shipping": 3, "tax": 2}
        | {"discount": 2.5, "coupon": "hasbros", "currency": "USD", "contents": [CONTENT, SMALL_CONTENT]},
    ),
    (
        "Order Refunded",
        {"order_id": "50314b8e9bcf000000000000", "total": 30, "currency": "USD", "products": [SMALL]},
        "Refund",
        {"order_id": "50314b8e9bcf000000000000", "value": 30, "currency": "USD", "contents": [SMALL_CONTENT]},
    ),
    (
        "Order Cancelled",
        {"order_id": "50314b8e9bcf000000000000", "revenue": 25.0, "currency": "USD"},
        "Refund",
        {"order_id": "50314b8e9bcf000000000000", "value": 25, "remaining_value": 0},
    ),
    ("Product Added to Wishlist", {"wishlist_id": "s", **PRODUCT}, "AddToWishlist", {"contents": [CONTENT]}),
    ("Signed Up", {"plan": "Pro Annual"}, "CompleteRegistration", {"plan": "Pro Annual"}),
    ("Trial Started", {"trial_plan_name": "Business"}, "StartTrial", {"trial_plan_name": "Business"}),
    ("Article Bookmarked", {"title": "Snow Fall"}, "Article Bookmarked", {"title": "Snow Fall"}),
]


@pytest.mark.parametrize(
    ("name", "properties", "canonical", "custom"), SPEC, ids=lambda one: one if isinstance(one, str) else ""
)
def test_calls_of_the_specification(
    name: str, properties: dict[str, Any], canonical: str, custom: dict[str, Any]
) -> None:
    found = track(name, **properties)
    assert found["event_name"] == canonical
    assert {key: found["custom_data"].get(key) for key in custom} == custom
    assert not {"products", "price", "product_id", "email"} & found["custom_data"].keys()


@pytest.mark.parametrize(
    "name", ["order completed", "OrderCompleted", "order_completed", "ORDER-COMPLETED", " Order  Completed "]
)
def test_names_match_without_case_blanks_and_underscores(name: str) -> None:
    assert track(name)["event_name"] == "Purchase"


def test_the_table_leads_to_canonical_names_only() -> None:
    assert set(NAMES) <= STANDARD_NAMES


def test_the_page_tells_of_every_name() -> None:
    page = (Path(__file__).parents[4] / "docs/doors/segment.md").read_text("utf-8")
    for canonical, several in NAMES.items():
        assert f"| {', '.join(f'`{one}`' for one in several)} | `{canonical}` |" in page


@pytest.mark.parametrize(
    ("change", "expected"),
    [("Lead", "Lead"), ("Quiz done", "Quiz done"), (True, "Order Completed"), (False, None)],
)
def test_the_operator_renames_and_leaves_out(change: str | bool, expected: str | None) -> None:
    by = configured(events={"order_COMPLETED": change})
    found = told("track", {"event": "Order Completed"}, by)
    assert (found.event["event_name"] if isinstance(found.event, dict) else found.event) == expected
    assert found.kind is (Kind.EVENT if expected else Kind.NOTHING)


@pytest.mark.parametrize(("kind", "key"), [("page", "page"), ("screen", "screen")])
def test_pages_and_screens_can_be_left_out(kind: str, key: str) -> None:
    assert told(kind, {"name": "Home"}, configured(**{key: False})).kind is Kind.NOTHING
    assert event({"name": "Home"}, kind, configured(**{key: "Seen"}))["event_name"] == "Seen"


def test_a_page() -> None:
    page = {"path": "/a", "url": "https://shop.example/a", "title": "A", "referrer": "https://b.example/", "search": ""}
    found = event(
        {"name": "Home", "properties": {**page, "color": "red"}, "anonymousId": "a-1", "messageId": "m"}, "page"
    )
    assert found == {
        "event_name": "PageView",
        "event_id": "m",
        "action_source": "website",
        "event_source_url": "https://shop.example/a",
        "referrer_url": "https://b.example/",
        "user_data": {"anonymous_id": "a-1"},
        "custom_data": {"content_name": "Home", "color": "red"},
        "context": {"page_title": "A"},
    }


def test_a_carts_token_is_for_joining_alone() -> None:
    found = track("Checkout Started", cart_token="c-1", cart_id="c-2")
    assert found["context"] == {"cart_token": "c-1"}
    assert found["custom_data"] == {"cart_id": "c-2"}


@pytest.mark.parametrize(
    ("properties", "value"),
    [
        ({"value": 1, "revenue": 2, "total": 3}, 1),
        ({"revenue": "19.90", "total": 3}, 19.9),
        ({"total": 3}, 3),
        ({"revenue": "$ 19.90", "total": 3}, 3),
        ({"revenue": -5}, None),
        ({}, None),
    ],
)
def test_what_an_order_is_worth(properties: dict[str, Any], value: float | None) -> None:
    assert track("Order Completed", **properties).get("custom_data", {}).get("value") == value


def test_the_operator_says_which_property_is_the_value() -> None:
    assert track("Order Completed", configured(value=["Total"]), revenue=2, total=3)["custom_data"] == {
        "value": 3,
        "revenue": 2,
    }


def test_what_was_given_back_may_be_written_below_zero() -> None:
    assert track("Order Refunded", total=-30)["custom_data"]["value"] == 30


def test_a_currency_is_never_guessed() -> None:
    assert "currency" not in track("Order Completed", revenue=2)["custom_data"]
    found = told("track", {"event": "Order Completed", "properties": {"revenue": 2, "currency": "Euro"}})
    assert isinstance(found.event, dict)
    assert found.event["custom_data"] == {"value": 2}
    assert found.notes == ("properties.currency: left out, not what can stand there",)


@pytest.mark.parametrize(
    ("name", "properties", "message_id", "expected"),
    [
        ("Lead", {}, "m-1", "m-1"),
        ("Lead", {"event_id": "e-1"}, "m-1", "e-1"),
        ("Lead", {"eventID": "e-1"}, "m-1", "e-1"),
        ("Lead", {"eventId": 7}, "m-1", "7"),
        ("Lead", {"order_id": "o-1"}, "m-1", "m-1"),
        ("Order Completed", {"order_id": "o-1"}, "m-1", None),  # the pipeline takes the order's number
        ("Order Completed", {"order_id": "o-1", "event_id": "e-1"}, "m-1", "e-1"),
        ("Order Completed", {}, "m-1", "m-1"),
        ("Order Completed", {"order_id": "o" * 200}, "m-1", "m-1"),
        ("Order Completed", {"order_id": "jane@example.com"}, "m-1", "m-1"),
        ("Order Refunded", {"order_id": "o-1"}, "m-1", "m-1"),
        ("Order Refunded", {"order_id": "o-1", "refund_id": "r-1"}, "m-1", None),
        ("Lead", {}, "m" * 200, "5aa5515c635b720d6f559ba4c1120265"),
        ("Lead", {}, None, None),
    ],
)
def test_what_a_copy_will_say_again(
    name: str, properties: dict[str, Any], message_id: str | None, expected: str | None
) -> None:
    message = {"event": name, "properties": properties, "messageId": message_id}
    found, again = event(message).get("event_id"), event(message).get("event_id")
    assert found == again
    assert found == expected


WHO = {
    "email": "Jane.Doe@example.com",
    "phone": "+1 212 555 0142",
    "first_name": "Jane",
    "last_name": "Doe",
    "date_of_birth": "1990-12-31",
    "gender": "f",
    "street": "1 Main Street",
    "city": "New York",
    "state": "NY",
    "zip": "10001",
    "country": "US",
}
PLACE = {"street": "1 Main Street", "city": "New York", "state": "NY", "postalCode": "10001", "country": "US"}
SPELLINGS = [
    {
        "email": WHO["email"],
        "phone": WHO["phone"],
        "firstName": "Jane",
        "lastName": "Doe",
        "birthday": "1990-12-31T00:00:00.000Z",
    }
    | {"gender": "f", "address": PLACE},
    {
        "Email": WHO["email"],
        "Phone Number": WHO["phone"],
        "first_name": "Jane",
        "last_name": "Doe",
        "date_of_birth": "1990-12-31",
    }
    | {
        "sex": "f",
        "address": {
            "address1": "1 Main Street",
            "city": "New York",
            "region": "NY",
            "zip": "10001",
            "countryCode": "US",
        },
    },
    {"emailAddress": WHO["email"], "mobile": WHO["phone"], "name": "Jane Doe", "dob": "1990-12-31", "gender": "f"}
    | {"street": "1 Main Street", "city": "New York", "state": "NY", "zip_code": "10001", "country": "US"},
    {"email": WHO["email"], "phone": WHO["phone"], "firstname": "Jane", "lastname": "Doe", "birthDate": "1990-12-31"}
    | {"gender": "f", "address": {**PLACE, "postal_code": "10001"}},
]


@pytest.mark.parametrize("traits", SPELLINGS)
@pytest.mark.parametrize("where", ["traits", "context"])
def test_traits_in_their_usual_spellings(traits: dict[str, Any], where: str) -> None:
    message = {"userId": "u-1"} | ({"traits": traits} if where == "traits" else {"context": {"traits": traits}})
    found = told("identify", message)
    assert found.kind is Kind.PERSON
    assert found.event == {"user_data": {"external_id": "u-1", **WHO}}
    assert event({"event": "Lead", **message})["user_data"] == {"external_id": "u-1", **WHO}


def test_who_somebody_is_stands_in_properties_too_and_leaves_them() -> None:
    found = track("Lead", email=WHO["email"], firstName="Jane", zip="10001", city="New York", form="newsletter")
    assert found["user_data"] == {key: WHO[key] for key in ("email", "first_name", "zip", "city")}
    assert found["custom_data"] == {"form": "newsletter"}
    assert track("Store Opened", city="New York")["custom_data"] == {"city": "New York"}  # nobody's
    assert track("Product Viewed", gender="womens")["custom_data"]["gender"] == "womens"


def test_an_address_for_an_id_is_an_address_too() -> None:
    assert event({"event": "Lead", "userId": "jane@example.com"})["user_data"]["email"] == "jane@example.com"


def test_the_traits_of_a_group_are_not_the_persons() -> None:
    company = {"email": "office@example.com", "name": "Initech Global"}
    assert told("group", {"userId": "u-1", "groupId": "g", "traits": company}).kind is Kind.NOTHING
    found = told(
        "group", {"userId": "u-1", "groupId": "g", "traits": company, "context": {"traits": {"phone": "+12125550142"}}}
    )
    assert found.event == {"user_data": {"external_id": "u-1", "phone": "+12125550142"}}


def test_an_alias_links_two_ids() -> None:
    assert told("alias", {"userId": "u-1", "previousId": "a-1"}).event == {
        "user_data": {"external_id": "u-1", "anonymous_id": "a-1"}
    }


CLICKS = {"fbp": "fb.1.1795000000000.1098115397", "ttclid": "E.C.P.x", "gclid": "EAIaIQobChMIexample"}


@pytest.mark.parametrize(
    "where",
    [
        {"properties": CLICKS},
        {"context": CLICKS},
        {"context": {"traits": CLICKS}},
        {"context": {"campaign": CLICKS}},
        {"integrations": {"Some Conversions API": CLICKS}},
        {"context": {"externalId": [{"type": name, "id": value} for name, value in CLICKS.items()]}},
        {"properties": {f"_{name}".upper(): value for name, value in CLICKS.items()}},
    ],
)
def test_click_ids_stand_in_many_places(where: dict[str, Any]) -> None:
    found = event({"event": "Lead", **where})
    assert found["user_data"] == CLICKS
    assert "custom_data" not in found
    assert "destinations" not in found


def test_an_integration_may_tell_its_own_ids() -> None:
    found = event({"event": "Lead", "integrations": {"Google Analytics 4": {"clientId": "1.2", "sessionId": 3}}})
    assert found["user_data"] == {"ga_client_id": "1.2", "ga_session_id": "3"}


IOS = {
    "app": {"name": "InitechGlobal", "version": "545", "build": "3.0.1.545", "namespace": "com.production.segment"},
    "device": {
        "id": "B5372DB0-C21E-11E4-8DFC-AA07A5B093DB",
        "advertisingId": "7A3CBEA0-BDF5-11E4-8DFC-AA07A5B093DB",
        "adTrackingEnabled": True,
        "manufacturer": "Apple",
        "model": "iPhone7,2",
        "name": "maguro",
        "type": "ios",
        "attTrackingStatus": 3,
    },
    "ip": "203.0.113.8",
    "library": {"name": "analytics-ios", "version": "4.1.8"},
    "locale": "en-US",
    "network": {"bluetooth": False, "carrier": "T-Mobile US"},
    "os": {"name": "iPhone OS", "version": "8.1.3"},
    "screen": {"width": 320, "height": 568, "density": 2},
    "timezone": "Europe/Amsterdam",
    "campaign": {"name": "TPS", "source": "Newsletter", "medium": "email", "email": "jane@example.com"},
}


def test_an_app() -> None:
    found = event(
        {"event": "Application Opened", "context": IOS, "anonymousId": "a-1", "properties": {"from_background": True}}
    )
    assert found == {
        "event_name": "AppOpen",
        "action_source": "app",
        "user_data": {
            "anonymous_id": "a-1",
            "client_ip_address": "203.0.113.8",
            "language": "en-US",
            "madid": "7A3CBEA0-BDF5-11E4-8DFC-AA07A5B093DB",
            "idfv": "B5372DB0-C21E-11E4-8DFC-AA07A5B093DB",
        },
        "custom_data": {"from_background": True},
        "app": {
            "name": "InitechGlobal",
            "version": "545",
            "build": "3.0.1.545",
            "package_name": "com.production.segment",
            "os": "ios",
            "os_version": "8.1.3",
            "device_brand": "Apple",
            "device_model": "iPhone7,2",
            "advertiser_tracking_enabled": True,
            "att_status": "AUTHORIZED",
            "screen_width": 320,
            "screen_height": 568,
            "screen_density": 2,
            "carrier": "T-Mobile US",
            "locale": "en-US",
            "timezone": "Europe/Amsterdam",
        },
        "context": {
            "timezone": "Europe/Amsterdam",
            "library": {"name": "analytics-ios", "version": "4.1.8"},
            "campaign": {"name": "TPS", "source": "Newsletter", "medium": "email"},
        },
    }


def test_a_device_that_is_not_to_be_tracked_has_no_advertising_id() -> None:
    context = {**IOS, "device": {**IOS["device"], "adTrackingEnabled": False}}
    found = event({"event": "Lead", "context": context})
    assert "madid" not in found["user_data"]
    assert found["app"]["advertiser_tracking_enabled"] is False


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("track", {}, "website"),
        ("track", {"channel": "mobile"}, "app"),
        ("screen", {}, "app"),
        ("track", {"context": {"device": {"type": "android"}}}, "app"),
        ("track", {"context": {"device": {"type": "desktop"}, "page": {"url": "https://shop.example/"}}}, "website"),
        ("track", {"channel": "web", "context": {"app": {"name": "RudderLabs JavaScript SDK"}}}, "website"),
        ("track", {"properties": {"action_source": "physical_store"}}, "physical_store"),
        ("track", {"properties": {"action_source": "the moon"}}, "website"),
    ],
)
def test_where_it_happened(kind: str, more: dict[str, Any], expected: str) -> None:
    found = event({"event": "Lead", **more}, kind)
    assert found["action_source"] == expected
    assert ("app" in found) <= (expected == "app")


def test_no_address_is_taken_where_none_is_to_be_kept() -> None:
    found = told("track", {"event": "Lead", "context": {"ip": "0.0.0.0"}})
    assert found.no_address
    assert found.event == {"event_name": "Lead", "action_source": "website"}


ADS = {"ad_storage": "denied", "ad_user_data": "denied", "ad_personalization": "denied"}
YES = dict.fromkeys(ADS, "granted")
MAPPED = {"Advertising": ["ad_storage", "ad_user_data", "ad_personalization"], "stats": ["analytics_storage"]}


@pytest.mark.parametrize(
    ("categories", "context", "expected"),
    [
        ({}, {}, None),
        # a category that nobody has explained grants nothing, and denies what its name says
        ({}, {"consent": {"categoryPreferences": {"Advertising": True, "Analytics": True}}}, None),
        ({}, {"consent": {"categoryPreferences": {"advertising": False, "Functional": False}}}, ADS),
        ({}, {"consentManagement": {"deniedConsentIds": ["C0004"], "allowedConsentIds": ["C0001"]}}, ADS),
        (MAPPED, {"consent": {"categoryPreferences": {"Advertising": True}}}, YES),
        (MAPPED, {"consent": {"categoryPreferences": {"Advertising": "yes"}}}, ADS),
        (
            MAPPED,
            {"consent": {"categoryPreferences": {"Advertising": False, "Stats": True}}},
            {**ADS, "analytics_storage": "granted"},
        ),
        (MAPPED, {"consentManagement": {"allowedConsentIds": ["Advertising"]}}, YES),
        (
            MAPPED,
            {"consentManagement": {"allowedConsentIds": ["advertising"], "deniedConsentIds": ["Advertising"]}},
            ADS,
        ),
        (MAPPED, {"consentManagement": {"allowedConsentIds": {"purposes": ["Advertising"]}}}, YES),
        ({"Marketing": []}, {"consent": {"categoryPreferences": {"Marketing": False}}}, None),
        (
            {},
            {"consent": {"ad_storage": "granted", "region": "DE", "gpc": True}},
            {"ad_storage": "granted", "region": "DE", "gpc": True},
        ),
        (MAPPED, {"consent": {**YES, "categoryPreferences": {"Advertising": False}}}, ADS),
        (
            {"a": ["ad_storage"], "b": ["ad_storage"]},
            {"consent": {"categoryPreferences": {"a": True, "b": False}}},
            {"ad_storage": "denied"},
        ),
    ],
)
def test_consent(categories: dict[str, list[str]], context: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert (
        event({"event": "Lead", "context": context}, by=configured(consent_categories=categories)).get("consent")
        == expected
    )


@pytest.mark.parametrize(
    "own", [{}, {"consent": None}, {"consent": {"region": "US"}}, {"consent": {"ad_user_data": "granted"}}, "x"]
)
def test_what_a_batch_denies_is_denied_in_each_call(own: Any) -> None:
    shared = {"consent": {"ad_user_data": "denied"}, "consentManagement": {"deniedConsentIds": ["C0004"]}}
    call = {"type": "track", "event": "Lead", "context": own}
    ((_, message, _),), _ = opened(BATCH, {"context": shared, "batch": [call]}, 10)
    assert event(dict(message))["consent"].items() >= ADS.items()


@pytest.mark.parametrize("shared", ["denied", ["x"], {"ad_user_data": "Denied"}, {"ad_user_data": {}}])
def test_what_a_batch_says_and_nobody_can_read_is_refused(shared: Any) -> None:
    call = {"type": "track", "event": "Lead", "context": {"consent": {"ad_user_data": "granted"}}}
    ((_, message, _),), _ = opened(BATCH, {"context": {"consent": shared}, "batch": [call]}, 10)
    found = told("track", dict(message)).event
    assert schema.faults(found)[0].path.startswith("/consent")


@pytest.mark.parametrize("key", ["timestamp", "originalTimestamp"])
def test_a_time_that_nobody_can_reckon_with_is_refused(key: str) -> None:
    assert isinstance(told("track", {"event": "Lead", key: 10**400}).event, Fault)
    assert event({"event": "Lead", "timestamp": NOW, "sentAt": 10**400})["event_time"] == NOW


def test_an_order_is_cancelled_once() -> None:
    message = {"event": "Order Cancelled", "messageId": "m-1", "properties": {"order_id": "77"}}
    assert event(message)["event_id"] == event({**message, "messageId": "m-2"})["event_id"] == "cancelled-77"
    assert event({**message, "properties": {"order_id": "77", "event_id": "e"}})["event_id"] == "e"


@pytest.mark.parametrize(
    "context",
    [
        {"consent": "denied"},
        {"consentManagement": []},
        {"consent": {"ad_storage": "no"}},
        {"consent": {"categoryPreferences": ["Advertising"]}},
        {"consentManagement": {"deniedConsentIds": "C0004"}},
        {"consentManagement": {"deniedConsentIds": [{"id": "C0004"}]}},
    ],
)
def test_consent_that_cannot_be_read_is_refused_not_dropped(context: dict[str, Any]) -> None:
    found = told("track", {"event": "Lead", "context": context}).event
    assert schema.faults(found)[0].path.startswith("/consent")


@pytest.mark.parametrize(
    ("integrations", "expected"),
    [
        ({}, None),
        ({"All": True}, None),
        ({"All": False}, {"*": False}),
        ({"All": False, "ACME EU": True}, {"*": False, "acme_eu": True}),
        ({"Acme": False}, {"acme_eu": False, "acme_us": False}),
        ({"acme": False, "Acme-EU": True}, {"acme_eu": True, "acme_us": False}),
        ({"big ads": {"click": 1}, "all": False}, {"*": False, "Big": True}),
        ({"Amplitude": False, "Segment.io": True}, None),
        ({"Conversions API (Actions)": False}, {"acme_us": False}),
        ("nonsense", None),
    ],
)
def test_integrations_route(integrations: Any, expected: dict[str, bool] | None) -> None:
    by = configured(integrations={"conversions_api (actions)": "acme_us"})
    assert event({"event": "Lead", "integrations": integrations}, by=by).get("destinations") == expected


@pytest.mark.parametrize(
    ("message", "sent", "expected"),
    [
        ({}, SENT, None),
        ({"timestamp": "2026-11-18T09:06:40.000Z"}, None, NOW - 7200),
        ({"timestamp": "2026-11-18T09:06:40.000Z"}, "2026-11-18T11:06:38Z", NOW - 7200),  # the way, not the clock
        ({"timestamp": "2026-11-18T10:06:40.000Z"}, "2026-11-18T12:06:40Z", NOW - 7200),  # an hour ahead
        ({"originalTimestamp": "2026-11-18T08:06:40Z"}, "2026-11-18T10:06:40Z", NOW - 7200),  # an hour behind
        (
            {"timestamp": "2026-11-18T09:06:40Z", "originalTimestamp": "2026-11-18T10:00:00Z"},
            "2026-11-18T12:06:40Z",
            NOW - 7200,
        ),
        ({"timestamp": "2026-11-18T09:06:40"}, "nonsense", NOW - 7200),
        ({"timestamp": (NOW - 7200) * 1000}, None, NOW - 7200),
        ({"timestamp": NOW - 7200}, None, NOW - 7200),
        ({"timestamp": "2026-11-18T10:06:40.123456789+01:00"}, None, NOW - 7200 + 0.123456),
    ],
)
def test_when_it_was_by_a_clock_that_may_be_wrong(message: dict[str, Any], sent: Any, expected: float | None) -> None:
    assert event_time(message, sent, NOW) == expected


@pytest.mark.parametrize("value", ["yesterday", True, {}, 1e300, "9999-12-31T23:59:59Z"])
def test_a_time_that_is_none_is_told(value: Any) -> None:
    found = told("track", {"event": "Lead", "timestamp": value}).event
    assert isinstance(found, Fault)
    assert (found.path, found.code) == ("/timestamp", "bad_format")


@pytest.mark.parametrize(
    ("message", "code"), [({}, "required"), ({"event": " "}, "required"), ({"event": 7}, "wrong_type")]
)
def test_an_event_needs_a_name(message: dict[str, Any], code: str) -> None:
    found = told("track", message).event
    assert isinstance(found, Fault)
    assert (found.path, found.code) == ("/event", code)


def test_the_paths_of_the_api() -> None:
    assert {path: kind for path, kind in PATHS.items() if len(path) == 5} == {
        "/v1/t": "track",
        "/v1/p": "page",
        "/v1/s": "screen",
        "/v1/i": "identify",
        "/v1/g": "group",
        "/v1/a": "alias",
        "/v1/b": "batch",
    }


def test_a_batch() -> None:
    body = {
        "writeKey": "the-key",
        "sentAt": SENT,
        "context": {"ip": "203.0.113.8", "locale": "en"},
        "integrations": {"All": False},
        "batch": [
            {"type": "track", "context": {"locale": "de"}},
            {"type": "Page", "sentAt": "other", "integrations": {"All": True}},
            {"type": "merge"},
            7,
        ],
    }
    calls, key = opened(BATCH, body, 10)
    assert key == b"the-key"
    assert [one.type if isinstance(one.type, str) else one.type.code for one in calls] == [
        "track",
        "page",
        "not_allowed",
        "wrong_type",
    ]
    assert calls[0].message["context"] == {"ip": "203.0.113.8", "locale": "de"}
    assert [one.sent_at for one in calls[:2]] == [SENT, "other"]
    assert [one.message["integrations"] for one in calls[:2]] == [{"All": False}, {"All": True}]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("track", [], 400),
        ("track", "x", 400),
        (BATCH, {}, 400),
        (BATCH, {"batch": {}}, 400),
        (BATCH, {"batch": []}, 400),
        (BATCH, [], 400),
        (BATCH, {"batch": [{}, {}, {}]}, 413),
        (BATCH, None, 400),
    ],
)
def test_what_is_no_request(kind: str, body: Any, status: int) -> None:
    with pytest.raises(RequestRefused) as refused:
        opened(kind, body, 2)
    assert refused.value.status == status


def test_a_batch_may_be_one_call_or_a_list() -> None:
    assert [one.type for one in opened(BATCH, {"type": "track"}, 2).calls] == ["track"]
    assert [one.type for one in opened(BATCH, [{"type": "track"}], 2).calls] == ["track"]


def test_what_cannot_stand_anywhere_costs_no_event() -> None:
    found = told(
        "track",
        {
            "event": "Order Completed",
            "properties": {
                "num_items": "many",
                "status": {"a": 1},
                "products": [7, {"price": {}}],
                "tax": "-",
                "content_ids": 3,
            },
            "context": {"page": {"url": 3, "referrer": {}}, "device": [], "userAgent": {}, "ip": []},
            "userId": {"a": 1},
            "traits": {"email": {}, "address": "1 Main Street", "phone": [None]},
        },
    )
    assert isinstance(found.event, dict)
    assert schema.faults(found.event) == ()
    assert found.event["event_name"] == "Purchase"
    assert len(found.notes) > 5


_WORDS = """
type event properties context traits timestamp sentAt userId messageId products price quantity order_id revenue total
email address city page url device ip consent categoryPreferences consentManagement deniedConsentIds integrations All
campaign externalId library name value currency event_id track batch
"""


def test_a_call_of_uncommonly_many_values_is_none() -> None:
    found = told("track", {"event": "Lead", "properties": {str(key): 1 for key in range(20_001)}}).event
    assert isinstance(found, Fault)
    assert found.code == "too_many"


WORDS = st.sampled_from(_WORDS.split())
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    WORDS,
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(WORDS, st.text(max_size=8)), inner, max_size=6)
    ),
    max_leaves=25,
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "event": st.one_of(st.sampled_from([one for several in NAMES.values() for one in several]), VALUES),
        **dict.fromkeys(
            ("properties", "context", "traits", "integrations", "timestamp", "userId", "messageId", "name"), VALUES
        ),
    },
)


@given(st.sampled_from(TYPES), MESSAGES, VALUES)
def test_anything_becomes_an_event_that_is_one_or_a_fault(kind: str, message: dict[str, Any], sent: Any) -> None:
    by = configured(consent_categories=MAPPED)
    found = read(Call(kind, message, sent), by, Routes(INSTANCES, by), NOW)
    assert isinstance(found.event, Fault | dict) or found.kind is Kind.NOTHING
    if isinstance(found.event, dict):
        named = found.event if found.kind is Kind.EVENT else {**found.event, "event_name": "x"}
        wrong = {one.path.split("/")[1] for one in schema.faults(named) if one.path}
        assert wrong <= {"consent", "event_name", "event_id"}  # what would mean something else if it were dropped
    assert found == read(Call(kind, message, sent), by, Routes(INSTANCES, by), NOW)


@given(st.sampled_from(sorted(set(PATHS.values()))), VALUES)
def test_any_body_is_read_or_refused(kind: str, body: Any) -> None:
    with suppress(RequestRefused):
        for call in opened(kind, body, 5).calls:
            read(call, ANY, Routes({}, ANY), NOW)


@given(LEAVES)
def test_any_time_is_a_number_or_none(value: Any) -> None:
    assert isinstance(seconds(value), float | int | None)
