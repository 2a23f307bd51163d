"""What has been given back of an order of Shopify's. A refund stands alone in `refunds/create`, and in its order.

https://shopify.dev/docs/api/admin-rest/latest/resources/refund
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.ingest.formats.webhook import (
    LONGEST_ID,
    Event,
    amount,
    currency_of,
    moment,
    number_of,
    part,
    parts,
    said,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What became of a transaction by which no money was given back.
FAILED = frozenset(("failure", "error"))


def of_order(order: Mapping[str, Any], purchase: Event) -> list[Event]:
    """One event for each refund of an order, oldest first, with what it left of the order."""
    left, currency = number_of(shop_money(order, "total_price")[0]), currency_of(order.get("currency"))
    original = {key: purchase.get(key) for key in ("event_name", "event_id", "event_time")}
    original["order_id"] = purchase["custom_data"]["order_id"]
    who = {key: one for key, one in purchase.get("user_data", {}).items() if not key.startswith("client_")}
    found = []
    for refund in sorted(parts(order.get("refunds")), key=lambda one: number_of(one.get("id")) or Decimal(0)):
        value, paid_in = _given_back(refund, currency)
        if value > 0 and paid_in not in (None, currency):
            left = None  # what is left of one currency after another was given back, nobody can tell
        elif left is not None:
            left = max(left - value, Decimal(0))
        if made := event(refund, said(original), left, currency):
            found.append(said({**made, "user_data": who, "consent": purchase.get("consent")}))
    return found


def event(
    refund: Mapping[str, Any], original: Mapping[str, Any], left: Decimal | None = None, currency: str | None = None
) -> Event | None:
    """A refund as an event; `None` if no money went back.

    `original`: the purchase; `left`: what is left of it; `currency`: the shop's, where the refund does not say it.
    """
    value, said_currency = _given_back(refund, currency)
    number = text(refund.get("id"), LONGEST_ID)
    if value <= 0 or number is None:
        return None
    money = {
        "order_id": original["order_id"],
        "refund_id": number,
        "value": amount(value),
        "remaining_value": amount(left) if left is not None else None,
        "currency": said_currency or currency,
    }
    return said(
        {
            "event_name": "Refund",
            "event_id": number,
            "event_time": moment(refund.get("processed_at")) or moment(refund.get("created_at")),
            "action_source": "system_generated",
            "custom_data": said(money),
            "original_event": dict(original),
            "test": True if any(one.get("test") is True for one in parts(refund.get("transactions"))) else None,
        }
    )


def _given_back(refund: Mapping[str, Any], currency: str | None) -> tuple[Decimal, str | None]:
    """What went back to the customer, and the currency of it: by the payments, else by what was taken back.

    Payments are in the customer's currency. Where that is not the shop's (`currency`), what was taken back tells the
    same in the shop's.
    """
    payments = [
        shop_money(one, "amount")
        for one in parts(refund.get("transactions"))
        if one.get("kind") == "refund" and text(one.get("status")) not in FAILED
    ]
    paid, paid_in = total_of(value for value, _ in payments), currency_of(payments[0][1] if payments else None)
    lines = [
        shop_money(line, key)
        for line in parts(refund.get("refund_line_items"))
        for key in ("subtotal", "total_tax")
        if line.get(key) is not None
    ]
    # what is given back beside the lines, shipping say, is written as a negative change to the order
    changes = [
        shop_money(one, key) for one in parts(refund.get("order_adjustments")) for key in ("amount", "tax_amount")
    ]
    known = currency_of(next((named for _, named in (*lines, *changes) if named), None))
    taken = total_of(value for value, _ in lines) - total_of(value for value, _ in changes)
    own = currency or known
    if payments and (None in (own, paid_in) or paid_in == own or known != own or taken <= 0):
        return paid, paid_in
    return taken, known


def total_of(values: Iterable[Any]) -> Decimal:
    """The sum of what is a number among these."""
    return sum((found for value in values if (found := number_of(value)) is not None), Decimal(0))


def shop_money(holder: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    """An amount in the shop's own currency and this, as far as it is said."""
    money = part(part(holder.get(f"{key}_set")).get("shop_money"))
    if money:
        return money.get("amount"), money.get("currency_code")
    return holder.get(key), holder.get("currency")
