"""Stripe's webhooks as events."""

import pytest

from gateway import schema
from gateway.config import Source
from gateway.ingest.formats.stripe import is_old, is_signed, translate
from gateway.ingest.formats.webhook import Orders, Unused
from tests.gateway.ingest.formats.shop_payloads import (
    STRIPE_SECRET,
    stripe_charge,
    stripe_event,
    stripe_headers,
    stripe_session,
)

DONE, LATER, REFUNDED = "checkout.session.completed", "checkout.session.async_payment_succeeded", "charge.refunded"


def event(kind, found, more=None, **settings):
    made = translate(kind, stripe_event(kind, found, **(more or {})), Source(name="shop", kind="stripe", **settings))
    assert isinstance(made, Orders), made
    (one,) = made.events
    assert schema.is_valid(one), schema.faults(one, 5)
    return one


def code(kind, found, more=None):
    made = translate(kind, stripe_event(kind, found, **(more or {})), Source(name="shop", kind="stripe"))
    assert isinstance(made, Unused), made
    return made.code


def test_a_session_that_was_paid_is_a_purchase():
    assert event(DONE, stripe_session()) == {
        "event_name": "Purchase",
        "event_id": "cs_live_a1MadeUpSession",
        "event_time": 1764234000,
        "action_source": "website",
        "event_source_url": "https://shop.example/",
        "user_data": {
            "email": "jane.doe@example.com",
            "phone": "+49305550142",
            "external_id": "cus_MadeUpCustomer",
            "first_name": "Jane",
            "last_name": "van Doe",
            "street": "1 Main Street",
            "city": "Berlin",
            "zip": "10115",
            "country": "DE",
            "language": "de",
        },
        "custom_data": {
            "order_id": "pi_MadeUpIntent",
            "value": "64.93",
            "currency": "eur",
            "tax": "9.57",
            "shipping": "4.95",
            "discount": "0.00",
        },
        "context": {"client_reference_id": "cart-77"},
    }


def test_the_sites_own_order_id_counts_most():
    metadata = {"order_id": "10042", "fbp": "fb.1.1795000000000.1098115397", "external_id": "user-7"}
    found = event(DONE, stripe_session(metadata=metadata))
    assert (found["event_id"], found["custom_data"]["order_id"]) == ("10042", "10042")
    assert found["user_data"]["fbp"] == metadata["fbp"]
    assert found["user_data"]["external_id"] == ["cus_MadeUpCustomer", "user-7"]
    refund = event(REFUNDED, stripe_charge(metadata={"order_id": "10042"}))
    assert refund["original_event"]["order_id"] == "10042"


@pytest.mark.parametrize(
    ("setting", "event_id", "order_id"),
    [
        ("id", "cs_live_a1MadeUpSession", "pi_MadeUpIntent"),
        ("payment_intent", "pi_MadeUpIntent", "pi_MadeUpIntent"),
        ("client_reference_id", "cart-77", "cart-77"),
    ],
)
def test_which_id_is_the_orders_is_a_setting(setting, event_id, order_id):
    found = event(DONE, stripe_session(), order_id=setting)
    assert (found["event_id"], found["custom_data"]["order_id"]) == (event_id, order_id)


def test_a_payment_that_takes_its_time_counts_when_it_is_there():
    assert code(DONE, stripe_session(payment_status="unpaid")) == "not_paid"
    assert event(LATER, stripe_session())["event_id"] == "cs_live_a1MadeUpSession"
    assert event(DONE, stripe_session(payment_status="unpaid"), purchase_when="created")["event_name"] == "Purchase"


def test_a_trial_is_no_purchase():
    session = stripe_session(
        mode="subscription",
        payment_status="no_payment_required",
        subscription="sub_1",
        payment_intent=None,
        amount_total=0,
    )
    found = event(DONE, session)
    assert (found["event_name"], found["custom_data"]["value"]) == ("StartTrial", "0.00")
    assert found["user_data"]["subscription_id"] == "sub_1"
    assert code(DONE, stripe_session(mode="setup")) == "nothing_bought"


@pytest.mark.parametrize(
    ("currency", "minor", "major"),
    [("jpy", 6493, "6493"), ("kwd", 6493, "6.493"), ("usd", 5, "0.05"), ("isk", 500, "5.00")],
)
def test_amounts_are_in_the_main_unit(currency, minor, major):
    assert event(DONE, stripe_session(currency=currency, amount_total=minor))["custom_data"]["value"] == major


def test_a_refund_is_the_step_from_what_had_been_given_back():
    assert event(REFUNDED, stripe_charge()) == {
        "event_name": "Refund",
        "event_id": "ch_MadeUpCharge_2999",
        "event_time": 1764234000,
        "action_source": "system_generated",
        "user_data": {
            "email": "jane.doe@example.com",
            "external_id": "cus_MadeUpCustomer",
            "first_name": "Jane",
            "last_name": "Doe",
            "city": "Berlin",
            "zip": "10115",
            "country": "DE",
        },
        "custom_data": {
            "order_id": "pi_MadeUpIntent",
            "refund_id": "ch_MadeUpCharge_2999",
            "value": "29.99",
            "remaining_value": "34.94",
            "currency": "eur",
        },
        "original_event": {"event_name": "Purchase", "order_id": "pi_MadeUpIntent"},
    }
    rest = stripe_charge(amount_refunded=6493, refunds={"data": [{"id": "re_2"}, {"id": "re_1"}]})
    second = event(REFUNDED, rest, {"previous_attributes": {"amount_refunded": 2999}})["custom_data"]
    assert (second["value"], second["remaining_value"], second["refund_id"]) == ("34.94", "0.00", "re_2")
    assert code(REFUNDED, rest, {"previous_attributes": {"amount_refunded": 6493}}) == "nothing_given_back"


def test_what_is_not_live_is_a_test():
    assert event(DONE, stripe_session(livemode=False), {"livemode": False})["test"] is True


@pytest.mark.parametrize(
    ("kind", "found", "why"),
    [
        ("invoice.paid", {"id": "in_1", "object": "invoice"}, "topic_unused"),
        (DONE, stripe_charge(), "topic_mismatch"),
        (REFUNDED, stripe_session(), "topic_mismatch"),
        (DONE, {}, "topic_mismatch"),
    ],
)
def test_what_makes_no_event_says_why(kind, found, why):
    assert code(kind, found) == why


def headers(given):
    return {name.lower().encode(): value.encode() for name, value in given.items()}


def test_the_time_is_signed_too():
    data = b'{"id": "evt_1"}'
    given = headers(stripe_headers(data, 1_764_234_000))
    assert is_signed(given, data, STRIPE_SECRET)
    moved = {b"stripe-signature": given[b"stripe-signature"].replace(b"t=17642", b"t=17943")}
    assert not is_signed(moved, data, STRIPE_SECRET)
    assert not is_signed(given, data + b" ", STRIPE_SECRET)
    assert not is_signed({}, data, STRIPE_SECRET)


def test_one_of_several_signatures_is_enough():
    """While a secret is being replaced, Stripe signs with both."""
    data = b"{}"
    assert is_signed(headers(stripe_headers(data, 1_764_234_000, more=f",v1={'0' * 64}")), data, STRIPE_SECRET)


@pytest.mark.parametrize(("age", "old"), [(0, False), (299, False), (301, True), (-60, False)])
def test_what_was_signed_long_ago_is_old(age, old):
    now = 1_764_234_000.0
    assert is_old(headers(stripe_headers(b"{}", now - age)), now) is old


@pytest.mark.parametrize("given", [b"", b"v1=00", b"t=,v1=00", b"t=x,v1=00", b"t=" + b"9" * 400])
def test_a_header_without_a_time_is_old(given):
    assert is_old({b"stripe-signature": given}, 1_764_234_000.0)


@pytest.mark.parametrize(
    ("given", "kept"), [("sub_1", "sub_1"), ({"id": "sub_1"}, "sub_1"), (["sub_1"], None), ({}, None)]
)
def test_a_subscription_is_named_by_its_id_alone(given, kept):
    """It comes as an id or, expanded, as an object."""
    body = stripe_event("checkout.session.completed", stripe_session(subscription=given))
    made = translate("checkout.session.completed", body, Source(name="shop", kind="stripe"))
    assert made.events[0]["user_data"].get("subscription_id") == kept
