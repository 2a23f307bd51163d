"""Shopify's webhooks as canonical events. As of the Admin API 2026-07.

https://shopify.dev/docs/api/webhooks, of which `…/` below is short. Amounts are in the shop's own currency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.ingest.formats import attributes, shopify_refunds
from gateway.ingest.formats.shopify_refunds import shop_money, total_of
from gateway.ingest.formats.webhook import (
    LONGEST_ID,
    MISMATCH,
    MOST_CONTENTS,
    Asked,
    Erase,
    Orders,
    Outcome,
    Unused,
    amount,
    count_of,
    currency_of,
    fits,
    longest,
    moment,
    one_or_more,
    page_of,
    part,
    parts,
    people,
    quantity,
    said,
    signed_base64,
    text,
    user_data,
    web_address,
)
from gateway.privacy.clickids import click_ids_from_url

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.config import Source

# https://shopify.dev/docs/apps/build/webhooks/delivery-structure#headers
SIGNATURE, TOPIC = b"x-shopify-hmac-sha256", b"x-shopify-topic"


class Shape(NamedTuple):
    """By what a body is known."""

    needs: Collection[str]
    #: Keys of the others.
    never: Collection[str]


_ORDER = Shape(("id", "line_items"), ("order_id", "abandoned_checkout_url"))
#: Topic → what its body looks like. A signed body does not become another one under another topic.
SHAPES = {
    "orders/create": _ORDER,
    "orders/paid": _ORDER,
    "orders/updated": _ORDER,
    "refunds/create": Shape(("id", "order_id"), ("line_items",)),
    "checkouts/create": Shape(("token", "line_items"), ("financial_status", "order_status_url")),
    "customers/redact": Shape(("customer",), ("data_request", "orders_requested", "line_items")),
    "customers/data_request": Shape(("customer",), ("orders_to_redact", "line_items")),
    "shop/redact": Shape(("shop_domain",), ("customer",)),
}

#: `financial_status` of an order that has been paid; of it something may have been given back since.
PAID = frozenset(("paid", "partially_refunded", "refunded"))
#: `source_name` → where it happened, if not on the website. A draft order is made by the shop's staff.
WHERE = {"pos": "physical_store", "shopify_draft_order": "other", "subscription_contract": "system_generated"}
#: The setting `order_id` → key of the order.
ORDER_IDS = {"id": "id", "name": "name", "number": "order_number"}
#: The setting `content_id` → keys of a line item, the first that is there.
CONTENT_IDS = {
    "variant": ("variant_id", "product_id", "sku"),
    "product": ("product_id", "variant_id", "sku"),
    "sku": ("sku", "variant_id", "product_id"),
}


def is_signed(headers: Mapping[bytes, bytes], raw: bytes, secret: str) -> bool:
    """https://shopify.dev/docs/apps/build/webhooks/verify-deliveries."""
    return signed_base64(secret, raw, headers.get(SIGNATURE, b""))


def topic_of(headers: Mapping[bytes, bytes], _body: Mapping[str, Any]) -> str:
    """What the webhook tells of."""
    return headers.get(TOPIC, b"").decode("latin-1")


def translate(topic: str, body: Mapping[str, Any], source: Source) -> Outcome:
    """What a webhook comes to."""
    shape = SHAPES.get(topic)
    if shape is None:
        return Unused("topic_unused", "the gateway makes nothing of this topic: take the webhook out of the shop")
    if not fits(body, *shape):
        return MISMATCH
    match topic:
        case "orders/create" | "orders/paid":
            return _order(topic, body, source)
        case "orders/updated":
            return _update(body, source)
        case "refunds/create":
            return _refund(body, source)
        case "checkouts/create":
            return _checkout(body, source)
        case "customers/redact":
            return _redact(body)
        case "customers/data_request":
            return _data_request(body)
    return Asked("shop_redact", [], "the shop has taken the app out: see docs/doors/shopify.md")


def order_id(order: Mapping[str, Any], source: Source) -> str | None:
    """The order's id, as the setting says."""
    return text(order.get(ORDER_IDS[source.order_id]), LONGEST_ID)


def _order(topic: str, order: Mapping[str, Any], source: Source) -> Outcome:
    paid = topic == "orders/paid" or text(order.get("financial_status")) in PAID
    if not paid and source.purchase_when == "paid":
        return Unused("not_paid", "the order is not paid: `orders/paid` will tell")
    number = order_id(order, source)
    if number is None:
        return MISMATCH
    where = WHERE.get(str(order.get("source_name")), "website")
    store = text(order.get("location_id")) if where == "physical_store" else None
    noted = attributes.read((one.get("name"), one.get("value")) for one in parts(order.get("note_attributes")))
    event = {
        "event_name": "Purchase",
        "event_id": noted.event_id or number,
        "event_time": moment(order.get("processed_at")) or moment(order.get("created_at")),
        "action_source": where,
        "event_source_url": page_of(order.get("order_status_url")) if where == "website" else None,
        "referrer_url": web_address(order.get("referring_site")) if where == "website" else None,
        "user_data": people(_person(order, where), noted.user_data),
        "custom_data": said({"order_id": number, "store_id": store, **_money(order, source), **_customer(order)}),
        "consent": noted.consent,
        "context": {**noted.context, **_cart(order)},
        "test": True if order.get("test") is True else None,
    }
    return Orders([said(event)])


def _update(order: Mapping[str, Any], source: Source) -> Outcome:
    """What has been given back of an order so far, each with what it left of it."""
    purchases = _order("orders/paid", order, source)
    if not isinstance(purchases, Orders):
        return purchases
    found = shopify_refunds.of_order(order, purchases.events[0])
    return Orders(found) if found else Unused("nothing_given_back", "no money has been given back of this order")


def _refund(refund: Mapping[str, Any], source: Source) -> Outcome:
    """A refund on its own names its order by the order's `id`, and nobody."""
    order = text(refund.get("order_id"), LONGEST_ID)
    if order is None or text(refund.get("id"), LONGEST_ID) is None:
        return MISMATCH
    if source.order_id != "id":
        return Unused("order_unnamed", "a refund names its order by `id` alone: use `orders/updated`")
    event = shopify_refunds.event(refund, {"event_name": "Purchase", "event_id": order, "order_id": order})
    return Orders([event]) if event else Unused("nothing_given_back", "no money was given back by this refund")


def _checkout(checkout: Mapping[str, Any], source: Source) -> Outcome:
    noted = attributes.read((one.get("name"), one.get("value")) for one in parts(checkout.get("note_attributes")))
    token = text(checkout.get("token"), LONGEST_ID)
    if token is None:
        return MISMATCH
    event = {
        "event_name": "InitiateCheckout",
        "event_id": token,
        "event_time": moment(checkout.get("created_at")),
        "action_source": "website",
        "event_source_url": page_of(checkout.get("abandoned_checkout_url")),
        "referrer_url": web_address(checkout.get("referring_site")),
        "user_data": people(_person(checkout, "website"), noted.user_data),
        "custom_data": said(_money(checkout, source)),
        "consent": noted.consent,
        "context": {**noted.context, **_cart(checkout)},
    }
    return Orders([said(event)])


def _redact(body: Mapping[str, Any]) -> Outcome:
    customer = part(body.get("customer"))
    found = user_data(
        {"email": customer.get("email"), "phone": customer.get("phone"), "external_id": customer.get("id")}
    )
    return Erase(found) if found else Unused("no_identifier", "the webhook names nobody")


def _data_request(body: Mapping[str, Any]) -> Outcome:
    orders = body.get("orders_requested")
    ids = [found for one in orders if (found := text(one, LONGEST_ID))] if isinstance(orders, list) else []
    return Asked("customer_data", ids, "`gateway explain` tells of each order what is kept")


def _person(order: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Who bought. A gift is shipped to somebody else: of the shipping address nothing counts that the others say."""
    customer, client = part(order.get("customer")), part(order.get("client_details"))
    billing, home, shipping = (
        part(order.get("billing_address")),
        part(customer.get("default_address")),
        part(order.get("shipping_address")),
    )
    address = billing or home or shipping
    phones = [order.get("phone"), customer.get("phone"), billing.get("phone"), home.get("phone")]
    found: dict[str, Any] = {
        "email": [order.get("email"), order.get("contact_email"), customer.get("email")],
        "phone": phones if any(text(one) for one in phones) else shipping.get("phone"),
        "external_id": customer.get("id"),
        "first_name": [customer.get("first_name"), address.get("first_name")],
        "last_name": [customer.get("last_name"), address.get("last_name")],
        "street": address.get("address1"),
        "city": address.get("city"),
        "state": text(address.get("province_code")) or address.get("province"),
        "zip": address.get("zip"),
        "country": text(address.get("country_code")) or address.get("country"),
        "language": order.get("customer_locale"),
    }
    if where != "website":  # the till's address, or that of whoever wrote the order
        return user_data(found)
    language = client.get("accept_language")
    spoken = language.partition(",")[0].partition(";")[0] if isinstance(language, str) else None
    found["language"] = text(order.get("customer_locale")) or spoken
    found["client_ip_address"] = text(client.get("browser_ip"), 64) or order.get("browser_ip")
    found["client_user_agent"] = client.get("user_agent")
    landing = order.get("landing_site")
    clicks = click_ids_from_url(landing) if isinstance(landing, str) else {}
    return user_data({**clicks, **found})


def _money(order: Mapping[str, Any], source: Source) -> dict[str, Any]:
    contents = [_content(one, source.content_id) for one in parts(order.get("line_items"))[:MOST_CONTENTS]]
    codes = [one.get("code") for one in parts(order.get("discount_codes"))]
    shipping = shop_money(order, "total_shipping_price")[0]
    if shipping is None and parts(order.get("shipping_lines")):
        shipping = total_of(shop_money(one, "price")[0] for one in parts(order.get("shipping_lines")))
    return {
        "value": amount(shop_money(order, "total_price")[0]),
        "currency": currency_of(order.get("currency")),
        "tax": amount(shop_money(order, "total_tax")[0]),
        "shipping": amount(shipping),
        "discount": amount(shop_money(order, "total_discounts")[0]),
        "coupon": one_or_more(text(code, longest("custom_data", "coupon")) for code in codes),
        "contents": [one for one in contents if one],
        "num_items": count_of(contents),
        "content_type": "product" if contents and source.content_id != "product" else None,
    }


def _content(line: Mapping[str, Any], content_id: str) -> dict[str, Any]:
    return said(
        {
            "id": next((found for key in CONTENT_IDS[content_id] if (found := text(line.get(key)))), None),
            "quantity": quantity(line.get("quantity")),
            "item_price": amount(shop_money(line, "price")[0]),
            "title": text(line.get("title"), longest("content", "title")),
            "brand": text(line.get("vendor"), longest("content", "brand")),
            "variant": text(line.get("variant_title"), longest("content", "variant")),
        }
    )


def _customer(order: Mapping[str, Any]) -> dict[str, Any]:
    """Whether it is the customer's first order, which the count includes."""
    count = part(order.get("customer")).get("orders_count")
    return {"new_customer": count <= 1} if isinstance(count, int) and not isinstance(count, bool) else {}


def _cart(order: Mapping[str, Any]) -> dict[str, str]:
    return said({"cart_token": text(order.get("cart_token"))})
