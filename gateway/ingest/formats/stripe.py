"""Stripe's webhooks as canonical events. As of the API 2026-06-24.

https://docs.stripe.com/api/events, of which `…/` below is short.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from gateway.ingest.formats import attributes
from gateway.ingest.formats.webhook import (
    LONGEST_ID,
    MISMATCH,
    Event,
    Orders,
    Outcome,
    Unused,
    amount,
    currency_of,
    fits,
    page_of,
    part,
    parts,
    people,
    said,
    signed_hex,
    text,
    user_data,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Source

SIGNATURE = b"stripe-signature"
#: Seconds after which a signed message is too old, as in Stripe's own libraries. A repeat of theirs is signed anew.
TOLERANCE_S = 300.0
#: Signatures of one message that are looked at: one for each secret while it is being replaced, and some to spare.
MOST_SIGNATURES = 10

SESSION = frozenset(("checkout.session.completed", "checkout.session.async_payment_succeeded"))
#: `payment_status` of a session that needs no more money.
SETTLED = frozenset(("paid", "no_payment_required"))
ORDER_IDS = {"id": "id", "payment_intent": "payment_intent", "client_reference_id": "client_reference_id"}

# https://docs.stripe.com/currencies#zero-decimal and #three-decimal: how many digits of an amount are behind the point.
# ISK and UGX have none, and are written with two all the same.
DIGITS = {
    **dict.fromkeys("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD JOD KWD OMR TND".split(), 3),
}


def is_signed(headers: Mapping[bytes, bytes], raw: bytes, secret: str) -> bool:
    """https://docs.stripe.com/webhooks#verify-manually. The header has a time and one signature for each secret."""
    said_at, given = _header(headers)
    return signed_hex(secret, said_at + b"." + raw, given)


def is_old(headers: Mapping[bytes, bytes], now: float) -> bool:
    """Whether a message that is signed was signed too long ago to be the first of its kind."""
    said_at, _ = _header(headers)
    return not (said_at.isdigit() and len(said_at) < 13 and float(said_at) >= now - TOLERANCE_S)


def _header(headers: Mapping[bytes, bytes]) -> tuple[bytes, list[bytes]]:
    pairs = [pair.strip().partition(b"=") for pair in headers.get(SIGNATURE, b"").split(b",")]
    times = [value for name, _, value in pairs if name == b"t"]
    return times[0] if times else b"", [value for name, _, value in pairs if name == b"v1"][:MOST_SIGNATURES]


def topic_of(_headers: Mapping[bytes, bytes], body: Mapping[str, Any]) -> str:
    """What the webhook tells of."""
    return text(body.get("type"), 128) or ""


def translate(topic: str, body: Mapping[str, Any], source: Source) -> Outcome:
    """What a webhook comes to."""
    found, before = part(part(body.get("data")).get("object")), part(part(body.get("data")).get("previous_attributes"))
    if topic in SESSION:
        if found.get("object") != "checkout.session" or not fits(found, ("id",), ()):
            return MISMATCH
        return _session(found, body, source)
    if topic == "charge.refunded":
        if found.get("object") != "charge" or not fits(found, ("id", "amount_refunded"), ()):
            return MISMATCH
        return _refund(found, before, body)
    return Unused("topic_unused", "the gateway makes nothing of this event: take it out of the webhook's list")


def _session(session: Mapping[str, Any], body: Mapping[str, Any], source: Source) -> Outcome:
    settled = text(session.get("payment_status")) in SETTLED
    if session.get("mode") == "setup":
        return Unused("nothing_bought", "a session that keeps a means of payment sells nothing")
    if not settled and source.purchase_when == "paid":
        return Unused("not_paid", "the payment is under way: `checkout.session.async_payment_succeeded` will tell")
    noted = attributes.read(part(session.get("metadata")).items())
    trial = session.get("mode") == "subscription" and session.get("payment_status") == "no_payment_required"
    own = text(part(session.get("metadata")).get("order_id"), LONGEST_ID)
    number = own or text(session.get(ORDER_IDS[source.order_id]), LONGEST_ID) or text(session.get("id"), LONGEST_ID)
    if number is None:
        return MISMATCH
    # without an id of the site's own, a refund leads to the payment alone
    order = own or (number if source.order_id != "id" else text(_id(session.get("payment_intent"))) or number)
    event = {
        "event_name": "StartTrial" if trial else "Purchase",
        "event_id": noted.event_id or number,
        "event_time": _time(body.get("created")),
        "action_source": "website",
        "event_source_url": page_of(session.get("success_url")),
        "user_data": people(
            _person(part(session.get("customer_details")), session.get("customer"), session.get("customer_email")),
            user_data(
                {"subscription_id": text(_id(session.get("subscription")), LONGEST_ID), "language": _locale(session)}
            ),
            noted.user_data,
        ),
        "custom_data": {"order_id": order, **_money(session)},
        "consent": noted.consent,
        "context": {**noted.context, **said({"client_reference_id": text(session.get("client_reference_id"))})},
        "test": _is_test(body, session),
    }
    return Orders([said(event)])


def _refund(charge: Mapping[str, Any], before: Mapping[str, Any], body: Mapping[str, Any]) -> Outcome:
    """One refund: the charge tells what has been given back in all, and the event what that was before."""
    refunded, earlier, whole = (
        _whole(one) for one in (charge.get("amount_refunded"), before.get("amount_refunded"), charge.get("amount"))
    )
    if refunded is None or refunded <= (earlier or 0):
        return Unused("nothing_given_back", "no money was given back")
    currency = currency_of(charge.get("currency"))
    metadata = part(charge.get("metadata"))
    order = text(metadata.get("order_id"), LONGEST_ID) or text(_id(charge.get("payment_intent")), LONGEST_ID)
    listed = parts(part(charge.get("refunds")).get("data"))
    # the newest of the list is first; without a list, what has been given back in all tells refunds apart
    known = text(listed[0].get("id"), LONGEST_ID) if listed else None
    refund = known or text(f"{text(charge.get('id'))}_{refunded}", LONGEST_ID)
    noted = attributes.read(metadata.items())
    event: Event = {
        "event_name": "Refund",
        "event_id": refund,
        "event_time": _time(body.get("created")),
        "action_source": "system_generated",
        "user_data": people(
            _person(part(charge.get("billing_details")), charge.get("customer"), charge.get("receipt_email")),
            noted.user_data,
        ),
        "custom_data": said(
            {
                "order_id": order,
                "refund_id": refund,
                "value": _major(refunded - (earlier or 0), currency),
                "remaining_value": _major(whole - refunded, currency)
                if whole is not None and whole >= refunded
                else None,
                "currency": currency,
            }
        ),
        "consent": noted.consent,
        "original_event": {"event_name": "Purchase", "order_id": order} if order else None,
        "test": _is_test(body, charge),
    }
    return Orders([said(event)])


def _person(details: Mapping[str, Any], customer: Any, email: Any) -> dict[str, Any]:
    address = part(details.get("address"))
    first, _, last = (text(details.get("name")) or "").partition(" ")
    return user_data(
        {
            "email": [details.get("email"), email],
            "phone": details.get("phone"),
            "external_id": _id(customer),
            "first_name": first if last else None,  # one word may be either
            "last_name": last,
            "street": address.get("line1"),
            "city": address.get("city"),
            "state": address.get("state"),
            "zip": address.get("postal_code"),
            "country": address.get("country"),
        }
    )


def _money(session: Mapping[str, Any]) -> dict[str, Any]:
    currency, details = currency_of(session.get("currency")), part(session.get("total_details"))
    return said(
        {
            "value": _major(_whole(session.get("amount_total")), currency),
            "currency": currency,
            "tax": _major(_whole(details.get("amount_tax")), currency),
            "shipping": _major(_whole(details.get("amount_shipping")), currency),
            "discount": _major(_whole(details.get("amount_discount")), currency),
        }
    )


def _major(minor: int | None, currency: str | None) -> str | None:
    """An amount in the currency's smallest unit as one in its main unit."""
    if minor is None or currency is None:
        return None
    return amount(Decimal(minor).scaleb(-DIGITS.get(currency.upper(), 2)))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else None


def _id(value: Any) -> Any:
    """An object's id, where it stands for the object or in it."""
    return value.get("id") if isinstance(value, dict) else value


def _time(value: Any) -> int | None:
    """Unix seconds; a time that could not be one says nothing."""
    found = _whole(value)
    return found if found is not None and found < 10**11 else None


def _locale(session: Mapping[str, Any]) -> str | None:
    found = text(session.get("locale"), 64)
    return found if found != "auto" else None


def _is_test(body: Mapping[str, Any], found: Mapping[str, Any]) -> bool | None:
    return True if body.get("livemode") is False or found.get("livemode") is False else None
