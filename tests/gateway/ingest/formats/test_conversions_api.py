"""An entry of Meta's `data` as a canonical event: field by field, what an SDK writes, and whatever else may come."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from facebook_business.adobjects.serverside import app_data, content, custom_data, event, original_event_data, user_data
from hypothesis import given
from hypothesis import strategies as st

from gateway import schema
from gateway.ingest.formats import conversions_api as door
from gateway.ingest.formats.conversions_api import translate
from gateway.ingest.formats.rows import STRICT
from gateway.model.errors import Fault
from gateway.plugin.testing import load

DIGEST = "0a" * 32
meta = load(Path(__file__).parents[4] / "plugins/meta.py")
BASE = {"event_name": "Purchase", "event_time": 1_795_000_000}


def canonical(**entry: Any) -> dict[str, Any]:
    made = translate({**BASE, **entry}).event
    assert isinstance(made, dict)
    assert schema.faults(made) == ()
    return made


def at(made: dict[str, Any], path: str) -> Any:
    found: Any = made
    for step in path.split("."):
        found = found[step]
    return found


FIELDS = [
    ({"event_name": "Purchase"}, "event_name", "Purchase"),
    ({"event_name": "QuizDone"}, "event_name", "QuizDone"),
    ({"event_time": "1795000000"}, "event_time", 1_795_000_000),
    ({"event_id": "order-1"}, "event_id", "order-1"),
    ({"action_source": "physical_store"}, "action_source", "physical_store"),
    ({"event_source_url": "https://shop.example/a?gclid=x"}, "event_source_url", "https://shop.example/a?gclid=x"),
    ({"referrer_url": "https://shop.example/b"}, "referrer_url", "https://shop.example/b"),
    ({"messaging_channel": "whatsapp"}, "messaging.channel", "whatsapp"),
    (
        {"customer_segmentation": "new_customer_to_business"},
        "custom_data.customer_segmentation",
        "new_customer_to_business",
    ),
]
USER = [
    ("em", DIGEST, "user_data.email", [DIGEST]),
    ("em", ["jane.doe@example.com", DIGEST], "user_data.email", ["jane.doe@example.com", DIGEST]),
    ("ph", [12125550142], "user_data.phone", ["12125550142"]),
    ("fn", [DIGEST], "user_data.first_name", [DIGEST]),
    ("ln", [DIGEST], "user_data.last_name", [DIGEST]),
    ("ge", [DIGEST], "user_data.gender", DIGEST),
    ("db", "19901231", "user_data.date_of_birth", "19901231"),
    ("ct", [DIGEST], "user_data.city", [DIGEST]),
    ("st", [DIGEST], "user_data.state", [DIGEST]),
    ("zp", [DIGEST], "user_data.zip", [DIGEST]),
    ("country", [DIGEST], "user_data.country", [DIGEST]),
    ("external_id", ["customer-77"], "user_data.external_id", ["customer-77"]),
    ("client_ip_address", "203.0.113.10", "user_data.client_ip_address", "203.0.113.10"),
    ("client_user_agent", "Mozilla/5.0", "user_data.client_user_agent", "Mozilla/5.0"),
    ("fbc", "fb.1.1795000000000.IwAR2Example", "user_data.fbc", "fb.1.1795000000000.IwAR2Example"),
    ("fbp", "fb.1.1795000000000.1098115397", "user_data.fbp", "fb.1.1795000000000.1098115397"),
    ("subscription_id", "sub-1", "user_data.subscription_id", "sub-1"),
    ("fb_login_id", 1234567890, "user_data.fb_login_id", 1234567890),
    ("lead_id", 1234567890123456, "user_data.meta_lead_id", 1234567890123456),
    ("partner_id", "p-1", "user_data.partner_id", "p-1"),
    ("madid", "38400000-8cf0-11bd-b23e-10b96e40000d", "user_data.madid", "38400000-8cf0-11bd-b23e-10b96e40000d"),
    ("anon_id", "install-1", "app.install_id", "install-1"),
    ("anon_id", "install-1", "user_data.anonymous_id", "install-1"),
    ("page_id", 100, "messaging.page_id", 100),
    ("page_scoped_user_id", "200", "messaging.page_scoped_user_id", "200"),
    ("ctwa_clid", "ARAkLkExample", "messaging.ctwa_clid", "ARAkLkExample"),
    ("ig_account_id", "300", "messaging.ig_account_id", "300"),
    ("ig_sid", "400", "messaging.ig_sid", "400"),
    ("whatsapp_business_account_id", "500", "messaging.whatsapp_business_account_id", "500"),
    ("ttclid", "E.C.P.Example", "user_data.ttclid", "E.C.P.Example"),
    ("gclid", "EAIaIQobChMIexample", "user_data.gclid", "EAIaIQobChMIexample"),
]
CUSTOM = [
    ("value", 12.5, "value", 12.5),
    ("value", " 12.50 ", "value", "12.50"),
    ("currency", "eur", "currency", "eur"),
    ("order_id", 10042, "order_id", 10042),
    ("content_ids", ["a", 1, None], "content_ids", ["a", 1]),
    ("content_ids", "a", "content_ids", ["a"]),
    ("content_type", "product_group", "content_type", "product_group"),
    ("content_name", "Shirt", "content_name", "Shirt"),
    ("content_category", "Apparel", "content_category", "Apparel"),
    ("num_items", "3", "num_items", 3),
    ("search_string", 42, "search_string", "42"),
    ("predicted_ltv", 240, "predicted_ltv", 240),
    ("net_revenue", -3.5, "net_revenue", -3.5),
    ("status", True, "status", True),
    ("delivery_category", "home_delivery", "delivery_category", "home_delivery"),
    ("_valueToSum", 9, "value", 9),
    ("fb_currency", "USD", "currency", "USD"),
    ("fb_order_id", "o-1", "order_id", "o-1"),
    ("fb_content_id", ["a"], "content_ids", ["a"]),
    ("fb_content_type", "product", "content_type", "product"),
    ("fb_num_items", 2, "num_items", 2),
    ("fb_search_string", "shirt", "search_string", "shirt"),
    ("fb_registration_method", "email", "sign_up_method", "email"),
    ("item_number", "7", "item_number", "7"),
    ("lead_event_source", "ExampleCRM", "lead_event_source", "ExampleCRM"),
    ("my_key", {"a": [1]}, "my_key", {"a": [1]}),
    ("a.b", "dotted", "a.b", "dotted"),
]
CONTENT = {
    "id": "SKU-1",
    "quantity": 2,
    "item_price": 6.25,
    "title": "Shirt",
    "description": "Blue",
    "brand": "Acme",
    "category": "Apparel",
    "delivery_category": "in_store",
}
APP = [
    ("advertiser_tracking_enabled", 1, "app.advertiser_tracking_enabled", True),
    ("application_tracking_enabled", "0", "app.application_tracking_enabled", False),
    ("campaign_ids", ["1", "2"], "app.campaign_ids", ["1", "2"]),
    ("install_referrer", "utm=1", "app.install_referrer", "utm=1"),
    ("installer_package", "com.android.vending", "app.installer_package", "com.android.vending"),
    ("url_schemes", ["shop"], "app.url_schemes", ["shop"]),
    ("vendor_id", "6d92078a-8246-4ba4-ae5b-76104861e7dc", "user_data.idfv", "6d92078a-8246-4ba4-ae5b-76104861e7dc"),
]
EXTINFO = (
    *("i2", "com.example.shop", "5.2.1", "5210", "18.1", "iPhone16,2", "en_US", "EST", "Example Mobile"),
    *("1290", "2796", "3", "6", "256", "120", "America/New_York"),
)


def test_a_denial_counts_wherever_it_stands() -> None:
    for beside in ({}, {"region": "US"}, {"ad_user_data": "granted"}):
        found = canonical(consent=beside, custom_data={"consent": {"ad_user_data": "denied"}})["consent"]
        assert found == {**beside, "ad_user_data": "denied"}
    found = canonical(consent={"gpc": False}, custom_data={"consent": {"gpc": True}})["consent"]
    assert found == {"gpc": True}


@pytest.mark.parametrize(("entry", "path", "value"), FIELDS)
def test_a_field_of_the_event(entry: dict[str, Any], path: str, value: Any) -> None:
    assert at(canonical(**entry), path) == value


@pytest.mark.parametrize(("key", "given_value", "path", "value"), USER)
def test_a_field_of_the_person(key: str, given_value: Any, path: str, value: Any) -> None:
    assert at(canonical(user_data={key: given_value}), path) == value


@pytest.mark.parametrize(("key", "given_value", "to", "value"), CUSTOM)
def test_a_field_of_custom_data(key: str, given_value: Any, to: str, value: Any) -> None:
    assert canonical(custom_data={key: given_value})["custom_data"] == {to: value}


@pytest.mark.parametrize(("key", "given_value", "path", "value"), APP)
def test_a_field_of_the_app(key: str, given_value: Any, path: str, value: Any) -> None:
    assert at(canonical(app_data={key: given_value}), path) == value


def test_every_row_is_tried() -> None:
    tried = {key for key, *_ in USER} | {key for key, *_ in CUSTOM} | {key for key, *_ in APP}
    rows = (*door.USER_DATA, *door.CUSTOM_DATA, *door.APP_DATA)
    click_ids = {row.key for row in door.USER_DATA if row.to == f"user_data.{row.key}"}
    assert {row.key for row in rows} - tried - click_ids == set()
    assert {row.key for row in door.EVENT} == {key for entry, *_ in FIELDS for key in entry}
    assert {row.key for row in door.CONTENT} == set(CONTENT)


def test_products_are_taken_as_they_are() -> None:
    assert canonical(custom_data={"contents": [CONTENT]})["custom_data"]["contents"] == [CONTENT]
    mobile = canonical(custom_data={"fb_content": json.dumps([{"id": 1, "quantity": "2"}])})
    assert mobile["custom_data"]["contents"] == [{"id": 1, "quantity": 2}]


def test_the_sixteen_strings_of_a_device() -> None:
    made = canonical(action_source="app", app_data={"extinfo": list(EXTINFO)})
    assert made["app"] == {
        "os": "ios", "package_name": "com.example.shop", "version": "5.2.1", "build": "5210", "os_version": "18.1",
        "device_model": "iPhone16,2", "locale": "en_US", "timezone_abbreviation": "EST", "carrier": "Example Mobile",
        "screen_width": 1290, "screen_height": 2796, "screen_density": 3, "cpu_cores": 6, "storage_gb": 256,
        "free_storage_gb": 120, "timezone": "America/New_York",
    }  # fmt: skip
    assert canonical(app_data={"extinfo": json.dumps(["a2", None, ""])})["app"] == {"os": "android"}


def test_the_original_event() -> None:
    original = {"event_name": "fb_mobile_purchase", "event_time": 1_794_000_000, "order_id": "o", "event_id": "e"}
    assert canonical(original_event_data=original)["original_event"] == {**original, "event_name": "Purchase"}


@pytest.mark.parametrize(("name", "to"), door.NAMES.items())
def test_mobile_and_messaging_names_are_standard_ones(name: str, to: str) -> None:
    assert canonical(event_name=name)["event_name"] == to


CONSENT = [
    ({}, None),
    ({"data_processing_options": []}, None),
    ({"opt_out": False}, None),
    ({"opt_out": True}, {"ad_personalization": "denied"}),
    ({"data_processing_options": ["LDU"]}, {"gpc": True}),
    (
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 0,
            "data_processing_options_state": 0,
        },
        {"gpc": True},
    ),
    (
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 1,
            "data_processing_options_state": 0,
        },
        {"gpc": True, "region": "US"},
    ),
    (
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": "1",
            "data_processing_options_state": "1000",
        },
        {"gpc": True, "region": "US-CA"},
    ),
    (
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 1,
            "data_processing_options_state": 1013,
        },
        {"gpc": True, "region": "US-RI"},
    ),
    (
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 1,
            "data_processing_options_state": 4711,
        },
        {"gpc": True, "region": "US"},
    ),
    ({"data_processing_options": ["SOMETHING_NEW"]}, {"gpc": True}),
    ({"data_processing_options": "LDU"}, {"gpc": True}),
    ({"data_processing_options_country": 1, "data_processing_options_state": 1000}, None),
    (
        {"custom_data": {"consent": {"ad_user_data": "granted", "region": "DE"}}},
        {"ad_user_data": "granted", "region": "DE"},
    ),
    (
        {"consent": {"ad_user_data": "denied"}, "custom_data": {"consent": {"ad_user_data": "granted"}}},
        {"ad_user_data": "denied"},
    ),
    (
        {
            "consent": {"ad_personalization": "granted", "gpc": False},
            "opt_out": True,
            "data_processing_options": ["LDU"],
        },
        {"ad_personalization": "denied", "gpc": True},
    ),
    (
        {
            "consent": {"region": "US-TX"},
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 1,
            "data_processing_options_state": 1000,
        },
        {"region": "US-TX", "gpc": True},
    ),
]


@pytest.mark.parametrize(("entry", "consent"), CONSENT)
def test_what_an_entry_says_of_consent(entry: dict[str, Any], consent: dict[str, Any] | None) -> None:
    made = canonical(**entry)
    assert made.get("consent") == consent
    assert "consent" not in made.get("custom_data", {})


@pytest.mark.parametrize("consent", ["granted", 1, ["ad_storage"], {"ad_storage": "yes"}, {"ad_store": "granted"}])
def test_a_consent_that_cannot_be_read_costs_the_event(consent: Any) -> None:
    made = translate({**BASE, "custom_data": {"consent": consent}}).event
    assert [one.path.partition("/")[2].partition("/")[0] for one in schema.faults(made)] == ["consent"]


LEFT_OUT = [
    ({"user_data": {"f5first": DIGEST}}, "user_data.f5first: left out, not known here"),
    ({"user_data": {"jane@example.com": 1}}, "user_data.…: left out, not known here"),
    ({"user_data": "jane"}, "user_data: left out, not an object"),
    ({"user_data": {"em": {"a": 1}}}, "user_data.em: left out, not what can stand there"),
    ({"attribution_data": {"scope": "click"}}, "attribution_data: left out, not known here"),
    ({"app_data": {"windows_attribution_id": "w"}}, "app_data.windows_attribution_id: left out, not known here"),
    ({"custom_data": {"shipping": "express"}}, "custom_data.shipping: left out, not what can stand there"),
    ({"custom_data": {"content_name": "x" * 2000}}, "custom_data.content_name: left out, not what can stand there"),
    ({"custom_data": {"contents": "x"}}, "custom_data.contents: left out, not a list"),
    (
        {"custom_data": {"contents": [{"id": "a", "item_price": "dear"}]}},
        "custom_data.contents[0].item_price: left out, not what can stand there",
    ),
    ({"event_source_url": 5}, "event_source_url: left out, not what can stand there"),
]


@pytest.mark.parametrize(("entry", "note"), LEFT_OUT)
def test_what_has_no_place_is_left_out_and_told(entry: dict[str, Any], note: str) -> None:
    canonical(**entry)
    assert translate({**BASE, **entry}).notes == (note,)


REFUSED = [
    ({"custom_data": {"value": "dear"}}, "/custom_data/value"),
    ({"custom_data": {"value": -1}}, "/custom_data/value"),
    ({"custom_data": {"currency": 978}}, "/custom_data/currency"),
    ({"event_id": {"a": 1}}, "/event_id"),
    ({"event_time": {"a": 1}}, "/event_time"),
    ({"event_name": 5}, "/event_name"),
    ({"event_name": None}, "/event_name"),
    ({"action_source": "somewhere"}, "/action_source"),
]


@pytest.mark.parametrize(("entry", "path"), REFUSED)
def test_what_changes_the_meaning_is_the_schemas_to_refuse(entry: dict[str, Any], path: str) -> None:
    made = translate({**BASE, **entry})
    assert [one.path for one in schema.faults(made.event)] == [path]


@pytest.mark.parametrize("entry", [3, None, True, [], "3", "{", '"x"', "\ud800", "[" * 5000])
def test_what_is_no_object_is_a_fault(entry: Any) -> None:
    assert isinstance(translate(entry).event, Fault)


def test_some_sdks_write_each_entry_as_a_text() -> None:
    assert translate(json.dumps(BASE)).event == translate(BASE).event == BASE


def test_a_test_event_code_makes_a_test_and_the_sender_stays_in_the_context() -> None:
    made = translate(BASE, {"partner_agent": "shop 1.2"}, test=True).event
    assert made == {**BASE, "test": True, "context": {"partner_agent": "shop 1.2"}}


#: What the SDK writes and no other platform could use.
NOT_TAKEN = {
    "event": {"advanced_measurement_table", "attribution_data"},
    "user_data": {"f5first", "f5last", "fi", "dobd", "dobm", "doby"},
    "app_data": {
        *("consider_views", "include_dwell_data", "include_video_data", "receipt_data", "windows_attribution_id"),
    },
}


def keys_of_the_sdk(module: Any, name: str) -> set[str]:
    """The keys that a class of the SDK writes, as its own source has them."""
    source = inspect.getsource(getattr(module, name).normalize)
    return {one or other for one, other in re.findall(r"'(\w+)'\s*: |normalized_payload\['(\w+)'\]", source)}


def test_every_key_of_the_sdk_is_taken_or_known_to_be_left_out() -> None:
    assert keys_of_the_sdk(event, "Event") - door.EVENT_KEYS == NOT_TAKEN["event"]
    assert keys_of_the_sdk(user_data, "UserData") - door.USER_KEYS == NOT_TAKEN["user_data"]
    assert keys_of_the_sdk(app_data, "AppData") - door.APP_KEYS == NOT_TAKEN["app_data"]
    assert keys_of_the_sdk(custom_data, "CustomData") - door.CUSTOM_KEYS == {"item_number"}  # kept as a free key
    assert keys_of_the_sdk(content, "Content") == {row.key for row in door.CONTENT}
    assert keys_of_the_sdk(original_event_data, "OriginalEventData") == {row.key for row in door.ORIGINAL}


def test_the_tables_are_the_inverse_of_the_plugins() -> None:
    """What the plugin sends is understood at the door: match keys, states, the names of mobile SDKs."""
    to = {row.key: row.to for row in door.USER_DATA}
    assert {name: to[name] for name, _ in meta.MATCH_KEYS.values()} == {
        name: f"user_data.{key}" for key, (name, _) in meta.MATCH_KEYS.items()
    }
    assert {region: state for state, region in door.REGIONS.items()} == {
        region: state for region, state in meta.LDU_STATES.items() if state
    }
    assert {door.NAMES[name] for name in meta.MOBILE_NAMES.values()} == set(meta.MOBILE_NAMES)
    custom = {row.key: row.to for row in door.CUSTOM_DATA}
    for key, mobile in meta.MOBILE_CUSTOM_DATA.items():
        assert key == "contents" or custom[mobile] == f"custom_data.{key}"


KEYS = sorted(door.EVENT_KEYS | door.USER_KEYS | door.CUSTOM_KEYS | door.APP_KEYS | {row.key for row in door.CONTENT})
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["LDU", DIGEST])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), inner, max_size=8)
    ),
    max_leaves=30,
)


@given(JSON | st.dictionaries(st.sampled_from(sorted(door.EVENT_KEYS)), JSON, max_size=10))
def test_whatever_comes_is_an_event_or_a_fault(entry: Any) -> None:
    made = translate(entry, {"partner_agent": "x"})
    if isinstance(made.event, Fault):
        return
    strict = tuple("/" + one.replace(".", "/") for one in STRICT)
    for fault in schema.faults(made.event):
        assert fault.path.startswith(strict), fault
