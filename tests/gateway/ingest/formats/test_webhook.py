"""What the shops' webhooks have in common; and that no body, however strange, makes what no event may be."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import schema
from gateway.config import Source, tables
from gateway.ingest.formats import shopify, stripe, woocommerce
from gateway.ingest.formats.attributes import read
from gateway.ingest.formats.webhook import (
    Asked,
    Erase,
    Orders,
    Unused,
    amount,
    currency_of,
    page_of,
    signed_base64,
    text,
)
from tests.gateway.ingest.formats.shop_payloads import (
    base64_signature,
    shopify_checkout,
    shopify_order,
    shopify_privacy,
    shopify_refund,
    stripe_charge,
    stripe_event,
    stripe_session,
    woo_order,
)

KINDS = {"shopify": shopify, "woocommerce": woocommerce, "stripe": stripe}
BODIES = [
    ("shopify", "orders/paid", shopify_order()),
    ("shopify", "orders/create", shopify_order()),
    ("shopify", "orders/updated", shopify_order(refunds=[shopify_refund()])),
    ("shopify", "refunds/create", shopify_refund()),
    ("shopify", "checkouts/create", shopify_checkout()),
    ("shopify", "customers/redact", shopify_privacy(orders_to_redact=[1])),
    ("shopify", "customers/data_request", shopify_privacy(orders_requested=[1])),
    ("woocommerce", "order.updated", woo_order(refunds=[{"id": 1, "total": "-1.00"}])),
    ("stripe", "checkout.session.completed", stripe_event("checkout.session.completed", stripe_session())),
    ("stripe", "charge.refunded", stripe_event("charge.refunded", stripe_charge(), previous_attributes={"x": 1})),
]

words = st.sampled_from(
    [
        "",
        "0",
        "-1",
        "1e400",
        "NaN",
        "Infinity",
        "\0",
        "granted",
        "a" * 600,
        "ß\u2028é",
        "https://[",
        "//x",
        "http://a b/",
    ]
)
strange = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | words | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(body, path=()):
    """Every key and index of a body."""
    entries = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in entries:
        yield (*path, key)
        yield from places(value, (*path, key))


def changed(body, path, value):
    """A copy with another value at a place, if the place is still there."""
    made = holder = copy.deepcopy(body)
    try:
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        pass
    return made


def check(outcome):
    assert isinstance(outcome, Orders | Unused | Erase | Asked)
    for event in outcome.events if isinstance(outcome, Orders) else ():
        assert schema.is_valid(event), schema.faults(event, 5)
    if isinstance(outcome, Erase):
        assert schema.is_valid({"event_name": "Consent", "user_data": outcome.user_data})


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_body_with_anything_anywhere_makes_a_valid_event_or_says_why_not(data):
    kind, topic, body = data.draw(st.sampled_from(BODIES))
    paths = list(places(body))
    for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, max_size=4)):
        body = changed(body, path, data.draw(strange))
    source = Source(
        name="shop",
        kind=kind,
        order_id=data.draw(st.sampled_from(tables.ORDER_IDS[kind])),
        purchase_when=data.draw(st.sampled_from(["paid", "created"])),
        content_id=data.draw(st.sampled_from(["variant", "product", "sku"])),
    )
    check(KINDS[kind].translate(topic, body, source))


@settings(max_examples=100, deadline=None)
@given(body=st.dictionaries(st.text(max_size=8), strange, max_size=5), topic=st.text(max_size=10))
def test_any_object_under_any_topic_says_why_not(body, topic):
    for kind, shop in KINDS.items():
        check(shop.translate(topic, body, Source(name="shop", kind=kind)))
        shop.topic_of({}, body)


@settings(max_examples=200, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(
            st.sampled_from(
                ["consent", "_consent_gpc", "consent_gpp_sid", "consent_region", "ad_storage", "fbclid", "event_id"]
            )
            | strange,
            strange,
        ),
        max_size=6,
    )
)
def test_attributes_of_any_kind_make_a_valid_part(pairs):
    found = read(pairs)
    event = {"event_name": "Purchase", "user_data": found.user_data, "consent": found.consent, "context": found.context}
    assert schema.is_valid(event), schema.faults(event, 5)


@settings(max_examples=200, deadline=None)
@given(header=st.binary(max_size=200), raw=st.binary(max_size=50))
def test_a_signature_of_any_bytes_is_wrong_and_no_error(header, raw):
    for shop in KINDS.values():
        assert not shop.is_signed({shop.SIGNATURE: header}, raw, "some-secret-or-other")
    stripe.is_old({stripe.SIGNATURE: header}, 1e9)


def test_a_signature_is_over_the_bytes():
    data = '{"a":  "Grüße \\u00e9"}\r\n'.encode()
    made = base64_signature(data, "sécret").encode()
    assert signed_base64("sécret", data, made)
    assert not signed_base64("sécret", data.replace(b"  ", b" "), made)
    assert not signed_base64("secret", data, made)
    assert not signed_base64("sécret", data, b"")


def test_settings_and_translations_know_the_same_ids():
    for kind, shop in KINDS.items():
        assert tuple(shop.ORDER_IDS) == tables.ORDER_IDS[kind]


@pytest.mark.parametrize(
    ("value", "made"),
    [
        ("12.50", "12.50"),
        (12.5, "12.5"),
        (0, "0"),
        ("-0.00", "0.00"),
        ("-1", None),
        (True, None),
        ("1e3", "1000"),
        ("x", None),
    ],
)
def test_money_is_a_decimal_text(value, made):
    assert amount(value) == made


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://shop.example/548380009/orders/b19/authenticate?key=abc", "https://shop.example/548380009/orders"),
        ("https://shop.example/en/checkouts/c/abc/thank-you", "https://shop.example/en/checkouts"),
        ("https://shop.example/order-received/7/?key=wc_order_x", "https://shop.example/"),
        ("ftp://shop.example/orders/1", None),
        ("/orders/1", None),
        ("https://[", None),
        (None, None),
    ],
)
def test_an_address_that_opens_an_order_is_cut(url, page):
    assert page_of(url) == page


@pytest.mark.parametrize(
    ("value", "made"), [(7, "7"), (" a\0b ", "ab"), ("", None), ("abcdef", None), (True, None), (1.0, None)]
)
def test_a_text_that_is_too_long_or_none_is_left_out(value, made):
    assert text(value, 5) == made


@pytest.mark.parametrize(
    ("value", "flag"),
    [("granted", "granted"), ("TRUE", "granted"), (1, "granted"), ("denied", "denied"), ("", "denied")],
)
def test_what_does_not_say_yes_says_no(value, flag):
    assert read([("consent_ad_storage", value)]).consent == {"ad_storage": flag}


def test_a_string_that_is_too_long_counts_as_one_that_cannot_be_read():
    found = read([("consent_gpp", "D" * 9000), ("consent_gpp_sid", "7,x"), ("consent_region", "Bavaria")]).consent
    assert found == {"gpp": "unreadable"}


@pytest.mark.parametrize(
    ("value", "made"),
    [("EUR", "EUR"), ("usd", "usd"), ("E1R", None), ("EU", None), (978, None), ("ÄÖÜ", None), (None, None)],
)
def test_what_has_not_the_form_of_a_currency_is_left_out(value, made):
    assert currency_of(value) == made
