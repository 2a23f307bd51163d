"""Each example event reaches the platforms that it should, in a form that they take."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parents[2] / "schemas" / "examples"
EXAMPLES = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}

EVERYWHERE = {"google", "meta", "pinterest", "snapchat", "tiktok"}
NOWHERE: set[str] = set()

#: Example → the platforms that must get it.
REACHES = {
    "add_to_cart": EVERYWHERE - {"google"},
    "app_install": EVERYWHERE - {"google"},
    "app_purchase_android": EVERYWHERE,
    "california_gpc": NOWHERE,  # an opt-out, and no limited mode is configured
    "complete_registration": EVERYWHERE,
    "crm_converted_lead": {"google", "meta", "tiktok"},
    "crm_qualified_lead": {"google", "meta", "tiktok"},
    "custom_event": {"meta", "pinterest", "tiktok"},  # leaves Google out; Snapchat has no custom names
    "eea_measurement_only": {"google"},
    "eea_visitor_without_consent": NOWHERE,
    "lead": EVERYWHERE,
    "non_ascii_names": EVERYWHERE,
    "offline_store_purchase": EVERYWHERE,
    "page_view": {"meta", "pinterest", "snapchat"},
    "prehashed": EVERYWHERE,
    "purchase_full_cart": EVERYWHERE,
    "purchase_minimal": EVERYWHERE,
    "refund_full": {"google"},
    "refund_partial": {"google"},
    "search": EVERYWHERE - {"google"},
    "several_emails_and_phones": EVERYWHERE,
    "subscription_trial": EVERYWHERE,
    "test_event": EVERYWHERE - {"meta"},  # Meta would count it: a dry run
    "whatsapp_conversation": EVERYWHERE - {"pinterest"},  # Pinterest knows no conversations
}


@pytest.fixture(scope="module")
def delivered(world: Callable[..., Any]) -> Any:
    """All examples, refunds after the purchases that they restate."""
    made = world()
    made.results = {}
    for names in ([name for name in EXAMPLES if "refund" not in name], [name for name in EXAMPLES if "refund" in name]):
        made.results |= zip(names, made.post(*(EXAMPLES[name] for name in names)), strict=True)
        made.deliver()
    return made


def reached(world: Any, name: str) -> set[str]:
    """The platforms that have it: it was queued, and nothing stopped it afterwards."""
    result, states = world.results[name], world.states()
    return {
        platform
        for platform, status in result["destinations"].items()
        if status == "queued" and (result["event_id"], platform) not in states
    }


def test_every_example_is_in_the_table() -> None:
    assert sorted(REACHES) == sorted(EXAMPLES)


def test_each_arrives_where_it_should(delivered: Any) -> None:
    assert {name: reached(delivered, name) for name in EXAMPLES} == REACHES


def test_the_platforms_took_just_these(delivered: Any) -> None:
    assert delivered.refusals == []
    for platform in EVERYWHERE:
        expected = [name for name, where in REACHES.items() if platform in where]
        ids = delivered.ids(platform)
        assert sorted(ids) == sorted(known_as(delivered, platform, name) for name in expected)


def known_as(world: Any, platform: str, name: str) -> str:
    """The event's id at the platform; at Google it is the order's, which a refund restates."""
    event = EXAMPLES[name]
    of_an_order = platform == "google" and event["event_name"] in ("Purchase", "Refund")
    return str(event["custom_data"]["order_id"] if of_an_order else world.results[name]["event_id"])


def test_none_is_refused_or_warned_about(delivered: Any) -> None:
    assert {result["status"] for result in delivered.results.values()} == {"accepted"}
    assert [name for name, result in delivered.results.items() if result.get("warnings")] == []


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


EMAIL, NAME, SURNAME = digest("jane.doe@example.com"), digest("jane"), digest("doe")
PHONE, PHONE_PLUS = digest("12125550142"), digest("+12125550142")
DAY, SEX = digest("19901231"), digest("f")
CITY, STATE, ZIP, COUNTRY = digest("newyork"), digest("ny"), digest("10001"), digest("us")
CUSTOMER = digest("customer-77")

#: Where a platform keeps the identity, and what it must have got of the full purchase.
IDENTITY: dict[str, tuple[str, dict[str, Any]]] = {
    "meta": (
        "user_data",
        {
            "em": [EMAIL], "ph": [PHONE], "fn": [NAME], "ln": [SURNAME], "ge": [SEX], "db": [DAY], "ct": [CITY],
            "st": [STATE], "zp": [ZIP], "country": [COUNTRY], "external_id": [CUSTOMER],
            "fbc": "fb.1.1795000000000.IwAR2ExampleClickId", "fbp": "fb.1.1795000000000.1098115397",
        },
    ),
    "tiktok": (
        "user",
        {
            "email": [EMAIL], "phone": [PHONE_PLUS], "first_name": NAME, "last_name": SURNAME,
            "external_id": [CUSTOMER],
            "zip_code": ZIP, "city": "newyork", "state": "ny", "country": "us", "ttclid": "E.C.P.CiEXAMPLE",
        },
    ),
    "google": (
        "userData",
        {
            "userIdentifiers": [
                {"emailAddress": EMAIL},
                {"phoneNumber": PHONE_PLUS},
                {"address": {"givenName": NAME, "familyName": SURNAME, "regionCode": "US", "postalCode": "10001"}},
            ]
        },
    ),
    "pinterest": (
        "user_data",
        {
            "em": [EMAIL], "ph": [PHONE], "fn": [NAME], "ln": [SURNAME], "ge": [SEX], "db": [DAY], "ct": [CITY],
            "st": [STATE], "zp": [ZIP], "country": [COUNTRY], "external_id": [CUSTOMER], "click_id": "dj0yJnU9EXAMPLE",
        },
    ),
    "snapchat": (
        "user_data",
        {
            "em": [EMAIL], "ph": [PHONE], "fn": [NAME], "ln": [SURNAME], "ge": [SEX], "ct": [CITY], "st": [STATE],
            "zp": [ZIP], "country": [COUNTRY], "external_id": [CUSTOMER], "sc_click_id": "AbC-12dE",
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("platform", IDENTITY)
def test_the_full_purchase_has_its_digests(delivered: Any, platform: str) -> None:
    where, expected = IDENTITY[platform]
    wanted = "10042" if platform == "google" else "order-10042"
    found = [
        item for key, item in zip(delivered.ids(platform), delivered.arrived[platform], strict=True) if key == wanted
    ]
    identity = found[0][where]
    assert {key: identity.get(key) for key in expected} == expected


def test_ready_made_digests_go_as_they_came(delivered: Any) -> None:
    given = EXAMPLES["prehashed"]["user_data"]["email"]
    for platform in EVERYWHERE:
        assert str(given).lower() in json.dumps(delivered.arrived[platform])


def test_consent_goes_along_where_the_platform_takes_it(delivered: Any) -> None:
    order = EXAMPLES["eea_measurement_only"]["custom_data"]["order_id"]
    sent = dict(zip(delivered.ids("google"), delivered.arrived["google"], strict=True))[str(order)]
    assert sent["consent"] == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_DENIED"}


def test_posted_again_all_are_duplicates_and_nothing_is_sent(delivered: Any) -> None:
    before = {name: len(items) for name, items in delivered.arrived.items()}
    again = delivered.post(*(EXAMPLES[name] | {"event_id": one["event_id"]} for name, one in delivered.results.items()))
    assert {one["status"] for one in again} == {"duplicate"}
    delivered.deliver()
    assert {name: len(items) for name, items in delivered.arrived.items()} == before


def test_consent_that_comes_later_sends_each_once(world: Callable[..., Any]) -> None:
    event = EXAMPLES["eea_visitor_without_consent"]
    granted = {
        "region": event["consent"]["region"],
        **dict.fromkeys(("ad_storage", "ad_user_data", "ad_personalization"), "granted"),
    }
    person = {"email": "jane.doe@example.com"} | event.get("user_data", {})
    made = world()
    made.post(event)
    made.post({**event, "consent": granted, "user_data": person})
    made.post({**event, "consent": granted, "user_data": person})
    made.deliver()
    assert {name: len(items) for name, items in made.arrived.items()} == dict.fromkeys(EVERYWHERE, 1)
    assert EMAIL in json.dumps(made.arrived["meta"]) or event.get("user_data", {}).get("email")
