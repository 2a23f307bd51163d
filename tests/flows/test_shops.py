"""A shop's webhook, over HTTP, all the way to the mock platforms."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from gateway.ingest.draft import BrowserHints
from gateway.insight.explain import Explainer
from gateway.web.app import App
from gateway.web.service import Effective, Service
from tests.gateway.ingest.formats.shop_payloads import (
    AGENT,
    raw,
    shopify_headers,
    shopify_order,
    shopify_privacy,
    shopify_refund,
    stripe_event,
    stripe_headers,
    stripe_session,
    woo_headers,
    woo_order,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.conftest import World

#: The source's write key, which signs where there is no other secret.
KEY = "made-up-write-key-000001"
ORDER, VARIANT = "820982911946154508", "808950810"


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def ago(minutes: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S+00:00")


def order(**changes: Any) -> dict[str, Any]:
    return shopify_order(**{"processed_at": ago(5), "created_at": ago(5), **changes})


def send(world: World, body: Any, headers: Callable[..., dict[str, str]], *what: Any) -> dict[str, Any]:
    """Post a webhook as the shop does. Returns the answer."""
    data = raw(body)

    async def post() -> httpx.Response:
        app = App(Service(Effective.of(world.settings, world.outbox), world.outbox))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.example") as client:
            return await client.post("/webhooks/shop", content=data, headers=headers(data, *what, KEY))

    answer = anyio.run(post)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert not [one for one in found["results"] if "warnings" in one], "a shop's own order is nothing to warn of"
    return found


def shopify(world: World, body: Any, topic: str = "orders/paid") -> dict[str, Any]:
    return send(world, body, shopify_headers, topic)


@pytest.fixture(scope="module")
def sold(world: Callable[..., World]) -> World:
    """An order from the United States' website, as created and paid; later a part of it is given back."""
    shop = world(source='kind = "shopify"\nregion = "US"')
    assert shopify(shop, order(), "orders/create")["accepted"] == 1
    assert shopify(shop, order())["duplicates"] == 1
    shop.deliver()
    refunded = order(refunds=[shopify_refund(processed_at=ago(1))], financial_status="partially_refunded")
    assert shopify(shop, refunded, "orders/updated")["accepted"] == 1
    assert shopify(shop, shopify_refund(processed_at=ago(1)), "refunds/create")["duplicates"] == 1
    shop.deliver()
    return shop


def test_an_order_reaches_every_platform_once(sold: World) -> None:
    assert sold.refusals == []
    for name in ("meta", "tiktok", "google", "pinterest", "snapchat"):
        assert sold.ids(name).count(ORDER) == 1 + (name == "google"), name  # it restates the refunded order


def test_meta_gets_the_customer_hashed_and_the_order_as_it_was(sold: World) -> None:
    (item,) = [one for one in sold.arrived["meta"] if one["event_id"] == ORDER]
    assert (item["event_name"], item["action_source"]) == ("Purchase", "website")
    who = item["user_data"]
    assert who["em"] == [digest("jane.doe@example.com")]
    assert who["ph"] == [digest("49305550142")]
    assert who["fn"] == [digest("jane")]
    assert who["zp"] == [digest("10115")]
    assert who["external_id"] == [digest("115310627314723954")]
    assert (who["client_ip_address"], who["client_user_agent"]) == ("203.0.113.10", AGENT)
    assert who["fbc"].endswith(".IwAR2ExampleClick")
    assert (item["custom_data"]["value"], item["custom_data"]["currency"]) == (59.93, "EUR")
    assert item["custom_data"]["contents"][0]["id"] == VARIANT
    assert item["custom_data"]["order_id"] == ORDER


def test_tiktok_gets_the_same_order(sold: World) -> None:
    (item,) = [one for one in sold.arrived["tiktok"] if one["event_id"] == ORDER]
    assert item["user"]["email"] == [digest("jane.doe@example.com")]
    assert (item["properties"]["value"], item["properties"]["currency"]) == (59.93, "EUR")


def test_google_gets_the_click_and_hears_of_what_was_given_back(sold: World) -> None:
    first, *later = [one for one in sold.arrived["google"] if one["transactionId"] == ORDER]
    assert first["adIdentifiers"]["gclid"] == "EAIaIQobChMIexampleShop"
    assert first["conversionValue"] == 59.93
    assert [one["conversionValue"] for one in later] == [29.94]


def test_nothing_that_opens_the_order_is_sent_to_anybody(sold: World) -> None:
    sent = "".join(request.content.decode() for _, request in sold.requests)
    assert "b1946ac92492d2347c6235b4d2611184" not in sent
    assert "ring twice" not in sent
    assert "jane.doe@example.com" not in sent.lower()


def test_explain_tells_of_the_order(sold: World) -> None:
    with sold.outbox.reading() as db:
        (found,) = Explainer(sold.settings).explain(db, ORDER)
    assert (found.event_name, found.source) == ("Purchase", "shop")
    assert {name: one.state for name, one in found.destinations.items()}["meta"] == "delivered"


def test_an_order_without_consent_goes_nowhere_until_a_visit_has_told_of_it(world: Callable[..., World]) -> None:
    web = '[sources.web]\npublic_key = "made-up-public-key-00001"\norigins = ["https://shop.example"]\n'
    shop = world(source='kind = "shopify"\nregion = "DE"', more=web)
    silent = shopify(shop, order(cart_token="cart-nobody-saw", id=1, customer=None, email=None, contact_email=None))
    assert set(silent["results"][0]["destinations"].values()) == {"skipped:consent"}
    granted = dict.fromkeys(("ad_storage", "ad_user_data", "ad_personalization"), "granted")
    page = {
        "event_name": "PageView",
        "event_id": f"view-{time.monotonic_ns()}",
        "event_time": ago(10),
        "event_source_url": "https://shop.example/products/shirt",
        "consent": {**granted, "region": "DE"},
        "context": {"cart_token": "c1-68778783ad298f1c80c3bafcddeea02f"},
    }
    browser = BrowserHints(ip="203.0.113.77", user_agent=AGENT, cookies={"_fbp": "fb.1.1764000000000.1098115397"})
    shop.post(page, through="web", hints=browser)
    told = shopify(shop, order())
    assert told["results"][0]["destinations"]["meta"] == "queued"
    shop.deliver()
    (item,) = [one for one in shop.arrived["meta"] if one["event_id"] == ORDER]
    assert item["user_data"]["fbp"] == "fb.1.1764000000000.1098115397"


YES = {**dict.fromkeys(("ad_storage", "ad_user_data", "ad_personalization"), "granted"), "region": "DE"}
IP, FBP = "203.0.113.77", "fb.1.1764000000000.1098115397"
BROWSER = BrowserHints(ip=IP, user_agent=AGENT, cookies={"_fbp": FBP})
CART = "c1-68778783ad298f1c80c3bafcddeea02f"
#: What Shopify knows of a browser, left out: an order that was made on the phone, say.
NO_BROWSER: dict[str, Any] = {
    "landing_site": None, "referring_site": None, "client_details": None, "browser_ip": None, "note_attributes": [],
}  # fmt: skip


def test_an_order_by_webhook_alone_has_the_clicks_and_the_browser_of_its_visit(world: Callable[..., World]) -> None:
    web = '[sources.web]\npublic_key = "made-up-public-key-00001"\norigins = ["https://shop.example"]\n'
    shop = world(source='kind = "shopify"', more=web)
    landing = {
        "event_name": "PageView",
        "event_id": "view-1",
        "event_time": ago(10),
        "event_source_url": "https://shop.example/?fbclid=IwAR0-of-the-visit&gclid=Cj0KCQ-of-the-visit",
        "consent": YES,
        "context": {"cart_token": CART},
    }
    shop.post(landing, through="web", hints=BROWSER)
    told = shopify(shop, order(**NO_BROWSER))["results"][0]
    assert told["destinations"]["meta"] == told["destinations"]["google"] == "queued"
    shop.deliver()
    (meta,) = [one for one in shop.arrived["meta"] if one["event_id"] == ORDER]
    who = meta["user_data"]
    assert who["fbc"].endswith(".IwAR0-of-the-visit")
    assert (who["fbp"], who["client_ip_address"], who["client_user_agent"]) == (FBP, IP, AGENT)
    assert who["em"] == [digest("jane.doe@example.com")]
    (google,) = [one for one in shop.arrived["google"] if one["transactionId"] == ORDER]
    assert google["adIdentifiers"]["gclid"] == "Cj0KCQ-of-the-visit"


@pytest.mark.parametrize("first", ["page", "webhook"])
def test_the_pages_copy_and_the_webhooks_are_one_event_with_what_both_say(
    world: Callable[..., World], first: str
) -> None:
    group = 'dedup_group = "shop"\n'
    web = f'[sources.web]\npublic_key = "made-up-public-key-00001"\norigins = ["https://shop.example"]\n{group}'
    shop = world(source=f'kind = "shopify"\n{group}', more=web)
    view = {
        "event_name": "PageView",
        "event_id": "view-1",
        "event_time": ago(10),
        "event_source_url": "https://shop.example/?gclid=Cj0KCQ-of-the-visit",
        "consent": YES,
        "context": {"cart_token": CART},
    }
    thanks = {
        "event_name": "Purchase",
        "event_source_url": "https://shop.example/thank-you",
        "custom_data": {"order_id": ORDER, "value": 59.93, "currency": "EUR"},
        "consent": YES,
    }
    shop.post(view, through="web", hints=BROWSER)
    tell = [
        lambda: shop.post(thanks, through="web", hints=BROWSER)[0]["status"],
        lambda: shopify(shop, order(**NO_BROWSER))["results"][0]["status"],
    ]
    answers = [one() for one in (tell if first == "page" else tell[::-1])]
    assert answers == ["accepted", "duplicate"]
    shop.deliver()
    for name, found in shop.arrived.items():
        assert shop.ids(name).count(ORDER) == 1, (name, found)
    (meta,) = [one for one in shop.arrived["meta"] if one["event_id"] == ORDER]
    who = meta["user_data"]
    assert (who["fbp"], who["client_ip_address"]) == (FBP, IP)
    assert who["em"] == [digest("jane.doe@example.com")]
    assert meta["custom_data"]["contents"][0]["id"] == VARIANT
    assert shopify(shop, order(**NO_BROWSER))["duplicates"] == 1  # and nothing of it is sent again
    shop.deliver()
    assert shop.ids("meta").count(ORDER) == 1


def test_a_redacted_customers_orders_are_not_sent(world: Callable[..., World]) -> None:
    shop = world(source='kind = "shopify"\nregion = "US"')
    shopify(shop, order())
    assert shopify(shop, shopify_privacy(orders_to_redact=[]), "customers/redact")["erased"] == {"events": 1}
    shopify(shop, order(id=2, email="john@example.com", contact_email=None, customer=None, phone=None))
    shop.deliver()
    assert shop.ids("meta") == ["2"]


def test_a_woocommerce_order_and_its_refund_arrive(world: Callable[..., World]) -> None:
    shop = world(source='kind = "woocommerce"\nregion = "US"')
    at = ago(5).removesuffix("+00:00")
    told = woo_order(date_paid_gmt=at, date_created_gmt=at, date_modified_gmt=at)
    assert send(shop, told, woo_headers, "order.updated")["accepted"] == 1
    shop.deliver()
    refunded = {**told, "refunds": [{"id": 730, "reason": "", "total": "-29.99"}]}
    assert send(shop, refunded, woo_headers, "order.updated")["accepted"] == 1
    shop.deliver()
    (item,) = [one for one in shop.arrived["meta"] if one["event_name"] == "Purchase"]
    assert item["user_data"]["ph"] == [digest("49305550142")]  # the address names the country
    assert item["user_data"]["fbp"] == "fb.1.1795000000000.1098115397"
    assert item["custom_data"]["value"] == 59.93
    restated = [one for one in shop.arrived["google"] if one["transactionId"] == "727"]
    assert len(restated) == 2
    assert restated[1]["conversionValue"] == 29.94


def test_a_session_of_stripes_and_its_refund_arrive(world: Callable[..., World]) -> None:
    shop = world(source='kind = "stripe"\nregion = "US"')
    event = stripe_event("checkout.session.completed", stripe_session(), created=int(time.time()) - 60)
    assert send(shop, event, stripe_headers, time.time())["accepted"] == 1
    shop.deliver()
    (item,) = shop.arrived["meta"]
    assert (item["event_id"], item["custom_data"]["value"]) == ("cs_live_a1MadeUpSession", 64.93)
    assert item["user_data"]["em"] == [digest("jane.doe@example.com")]
    (google,) = shop.arrived["google"]
    assert json.dumps(google).count(digest("jane.doe@example.com")) == 1
