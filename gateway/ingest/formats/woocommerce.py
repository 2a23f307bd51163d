"""WooCommerce's webhooks as canonical events. As of its REST API v3.

https://developer.woocommerce.com/docs/apis/rest-api/v3/orders/: a webhook's body is the order as the API shows it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.ingest.formats import attributes
from gateway.ingest.formats.webhook import (
    LONGEST_ID,
    MISMATCH,
    MOST_CONTENTS,
    Event,
    Orders,
    Outcome,
    Unused,
    amount,
    count_of,
    currency_of,
    fits,
    longest,
    moment,
    number_of,
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
    from collections.abc import Iterator, Mapping

    from gateway.config import Source

# https://developer.woocommerce.com/docs/apis/rest-api/v3/webhooks/#delivery
SIGNATURE, TOPIC = b"x-wc-webhook-signature", b"x-wc-webhook-topic"
#: Saving a webhook has the shop ask once, with this alone and no signature, whether somebody is there.
PING = b"webhook_id="

TOPICS = frozenset(("order.created", "order.updated"))
#: The shop's own states of a paid order. A plugin's state counts if the order says when it was paid.
PAID = frozenset(("processing", "completed"))
#: States of an order that came to nothing, or is still being written.
NOTHING = frozenset(("cancelled", "failed", "trash", "draft", "auto-draft", "checkout-draft"))
UNPAID = frozenset(("pending", "on-hold")) | NOTHING
#: `created_via` → where it happened, if not on the website.
WHERE = {"pos-rest-api": "physical_store", "admin": "other", "subscription": "system_generated"}
ORDER_IDS = {"id": "id", "number": "number"}
#: The setting `content_id` → keys of a line item, the first that is there and not 0.
CONTENT_IDS = {
    "variant": ("variation_id", "product_id", "sku"),
    "product": ("product_id", "sku"),
    "sku": ("sku", "variation_id", "product_id"),
}
#: What the shop's own order attribution keeps beside an order.
LANDED, REFERRER, AGENT = (f"_wc_order_attribution_{name}" for name in ("session_entry", "referrer", "user_agent"))


def is_signed(headers: Mapping[bytes, bytes], raw: bytes, secret: str) -> bool:
    """Whether the shop's own signature is there."""
    return signed_base64(secret, raw, headers.get(SIGNATURE, b""))


def topic_of(headers: Mapping[bytes, bytes], _body: Mapping[str, Any]) -> str:
    """What the webhook tells of."""
    return headers.get(TOPIC, b"").decode("latin-1")


def is_ping(raw: bytes) -> bool:
    """Whether the shop only asks if somebody is there."""
    return raw.startswith(PING) and len(raw) < 32 and raw.removeprefix(PING).isdigit()


def translate(topic: str, body: Mapping[str, Any], source: Source) -> Outcome:
    """What a webhook comes to: the purchase, and what has been given back of it so far."""
    if topic not in TOPICS:
        return Unused("topic_unused", "the gateway makes nothing of this topic: take the webhook out of the shop")
    number = text(body.get(ORDER_IDS[source.order_id]), LONGEST_ID)
    if not fits(body, ("id", "status", "line_items"), ("order_id",)) or number is None:
        return MISMATCH
    state, paid_at = text(body.get("status")), _utc(body.get("date_paid_gmt"))
    paid = state in PAID or (state not in UNPAID and paid_at is not None)
    given_back = bool(parts(body.get("refunds"))) and paid_at is not None
    if (state in NOTHING and not given_back) or not (paid or given_back or source.purchase_when == "created"):
        return Unused(
            "not_paid", "the order is not paid, or came to nothing: `order.updated` will tell if that changes"
        )
    created_at = _utc(body.get("date_created_gmt"))
    at = created_at if source.purchase_when == "created" else paid_at or created_at
    purchase = _purchase(body, number, at, source)
    refunds = [*_refunds(body, number, purchase)]
    return Orders(refunds if state in NOTHING else [purchase, *refunds])


def _purchase(order: Mapping[str, Any], number: str, at: str | None, source: Source) -> Event:
    meta = {str(one.get("key")): one.get("value") for one in parts(order.get("meta_data"))}
    noted = attributes.read((one.get("key"), one.get("value")) for one in parts(order.get("meta_data")))
    where = WHERE.get(str(order.get("created_via")), "website")
    shop = part(next(iter(parts(part(order.get("_links")).get("self"))), None)).get("href")
    event = {
        "event_name": "Purchase",
        "event_id": noted.event_id or number,
        "event_time": at,
        "action_source": where,
        "event_source_url": (_site(order.get("payment_url")) or _site(shop)) if where == "website" else None,
        "referrer_url": web_address(meta.get(REFERRER)) if where == "website" else None,
        "user_data": people(_person(order, meta, where), noted.user_data),
        "custom_data": said({"order_id": number, **_money(order, source)}),
        "consent": noted.consent,
        "context": noted.context,
    }
    return said(event)


def _refunds(order: Mapping[str, Any], number: str, purchase: Event) -> Iterator[Event]:
    """One event for each refund. The order names their amounts alone: the time is that of its last change."""
    left = number_of(order.get("total")) or Decimal(0)
    given = sorted(
        (found, abs(total))
        for one in parts(order.get("refunds"))
        if isinstance(found := one.get("id"), int) and (total := number_of(one.get("total"))) is not None
    )
    for refund_id, total in given:
        left = max(left - total, Decimal(0))
        if total and (refund := text(refund_id, LONGEST_ID)):
            money = {
                "order_id": number,
                "refund_id": refund,
                "value": amount(total),
                "remaining_value": amount(left),
                "currency": purchase["custom_data"].get("currency"),
            }
            yield said(
                {
                    "event_name": "Refund",
                    "event_id": refund,
                    "event_time": _utc(order.get("date_modified_gmt")),
                    "action_source": "system_generated",
                    "user_data": {
                        key: value
                        for key, value in purchase.get("user_data", {}).items()
                        if not key.startswith("client_")
                    },
                    "custom_data": said(money),
                    "consent": purchase.get("consent"),
                    "original_event": said(
                        {
                            "event_name": "Purchase",
                            "event_id": purchase["event_id"],
                            "event_time": purchase.get("event_time"),
                            "order_id": number,
                        }
                    ),
                }
            )


def _person(order: Mapping[str, Any], meta: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Who bought. A gift is shipped to somebody else: the shipping address counts only where there is no other."""
    billing, shipping = part(order.get("billing")), part(order.get("shipping"))
    address = billing if text(billing.get("country")) or text(billing.get("address_1")) else shipping
    found: dict[str, Any] = {
        "email": billing.get("email"),
        "phone": text(billing.get("phone")) or shipping.get("phone"),
        "external_id": order.get("customer_id") or None,  # 0: a guest
        "first_name": text(billing.get("first_name")) or shipping.get("first_name"),
        "last_name": text(billing.get("last_name")) or shipping.get("last_name"),
        "street": address.get("address_1"),
        "city": address.get("city"),
        "state": address.get("state"),
        "zip": address.get("postcode"),
        "country": address.get("country"),
    }
    if where == "website":
        found["client_ip_address"] = order.get("customer_ip_address")
        found["client_user_agent"] = text(order.get("customer_user_agent"), 1024) or meta.get(AGENT)
        landed = meta.get(LANDED)
        clicks = click_ids_from_url(landed) if isinstance(landed, str) else {}
        found = {**clicks, **found}
    return user_data(found)


def _money(order: Mapping[str, Any], source: Source) -> dict[str, Any]:
    contents = [_content(one, source.content_id) for one in parts(order.get("line_items"))[:MOST_CONTENTS]]
    codes = [one.get("code") for one in parts(order.get("coupon_lines"))]
    return {
        "value": amount(order.get("total")),
        "currency": currency_of(order.get("currency")),
        "tax": amount(order.get("total_tax")),
        "shipping": amount(order.get("shipping_total")),
        "discount": amount(order.get("discount_total")),
        "coupon": one_or_more(text(code, longest("custom_data", "coupon")) for code in codes),
        "contents": [one for one in contents if one],
        "num_items": count_of(contents),
        "content_type": "product" if contents and source.content_id != "product" else None,
    }


def _content(line: Mapping[str, Any], content_id: str) -> dict[str, Any]:
    return said(
        {
            "id": next((found for key in CONTENT_IDS[content_id] if (found := text(line.get(key) or None))), None),
            "quantity": quantity(line.get("quantity")),
            "item_price": amount(line.get("price")),
            "title": text(line.get("name"), longest("content", "title")),
        }
    )


def _site(url: Any) -> str | None:
    """The shop's front page: an order's own pages open it to whoever has the address."""
    page = page_of(url)
    return "/".join(page.split("/")[:3]) + "/" if page else None


def _utc(value: Any) -> str | None:
    """A time of the API, which is in UTC without saying so."""
    found = text(value, 40)
    return moment(found if found and found[-1:] in "Zz" else f"{found}Z") if found else None
