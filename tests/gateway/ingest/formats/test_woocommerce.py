"""WooCommerce's webhooks as events."""

import pytest

from gateway import schema
from gateway.config import Source
from gateway.ingest.formats.webhook import Orders, Unused
from gateway.ingest.formats.woocommerce import is_ping, translate
from tests.gateway.ingest.formats.shop_payloads import AGENT, woo_order

SHOP = Source(name="shop", kind="woocommerce")


def events(body, topic="order.updated", **settings):
    found = translate(topic, body, Source(name="shop", kind="woocommerce", **settings))
    assert isinstance(found, Orders), found
    assert all(map(schema.is_valid, found.events))
    return found.events


def test_a_paid_order_is_a_purchase_with_all_that_the_shop_knows():
    assert events(woo_order(), "order.created") == [
        {
            "event_name": "Purchase",
            "event_id": "727",
            "event_time": "2025-11-27T09:00:08Z",
            "action_source": "website",
            "event_source_url": "https://woo.example/",
            "referrer_url": "https://www.search.example/",
            "user_data": {
                "email": "Jane.Doe@example.com",
                "phone": "030 5550142",
                "external_id": "26",
                "first_name": "Jane",
                "last_name": "Doe",
                "street": "1 Main Street",
                "city": "Berlin",
                "state": "DE-BE",
                "zip": "10115",
                "country": "DE",
                "client_ip_address": "203.0.113.10",
                "client_user_agent": AGENT,
                "ttclid": "E.C.P.CiEXAMPLE",
                "fbp": "fb.1.1795000000000.1098115397",
            },
            "custom_data": {
                "order_id": "727",
                "value": "59.93",
                "currency": "EUR",
                "tax": "8.78",
                "shipping": "4.95",
                "discount": "4.20",
                "coupon": "spring10",
                "contents": [{"id": "94", "quantity": 2, "item_price": "25.2", "title": "Blue shirt - M"}],
                "num_items": 2,
                "content_type": "product",
            },
        }
    ]


@pytest.mark.parametrize(
    ("status", "paid_at", "when", "counts"),
    [
        ("processing", "2025-11-27T09:00:08", "paid", True),
        ("completed", None, "paid", True),
        ("pending", None, "paid", False),
        ("on-hold", None, "paid", False),
        ("cancelled", "2025-11-27T09:00:08", "paid", False),
        ("failed", None, "created", False),
        ("checkout-draft", None, "created", False),
        ("pending", None, "created", True),
        ("shipped", "2025-11-27T09:00:08", "paid", True),
        ("shipped", None, "paid", False),
    ],
)
def test_the_state_decides_whatever_the_topic(status, paid_at, when, counts):
    source = Source(name="shop", kind="woocommerce", purchase_when=when)
    for topic in ("order.created", "order.updated"):
        found = translate(topic, woo_order(status=status, date_paid_gmt=paid_at), source)
        assert isinstance(found, Orders) is counts
        assert counts or found.code == "not_paid"


def test_an_order_that_counts_from_the_start_has_the_time_of_its_start():
    (one,) = events(woo_order(), purchase_when="created")
    assert one["event_time"] == "2025-11-27T09:00:00Z"


def test_the_number_that_a_plugin_gives_may_be_the_id():
    (one,) = events(woo_order(number="SO-2025-77"), order_id="number")
    assert (one["event_id"], one["custom_data"]["order_id"]) == ("SO-2025-77", "SO-2025-77")


def test_a_guest_has_no_id():
    (one,) = events(woo_order(customer_id=0))
    assert "external_id" not in one["user_data"]


@pytest.mark.parametrize(
    ("by", "where"), [("pos-rest-api", "physical_store"), ("admin", "other"), ("subscription", "system_generated")]
)
def test_an_order_that_no_browser_made_brings_no_browser(by, where):
    (one,) = events(woo_order(created_via=by))
    assert one["action_source"] == where
    assert not {"client_ip_address", "client_user_agent", "ttclid"} & one["user_data"].keys()
    assert "event_source_url" not in one


def test_each_refund_is_told_with_what_is_left():
    refunds = [{"id": 740, "reason": "", "total": "-9.93"}, {"id": 730, "reason": "too small", "total": "-29.99"}]
    purchase, first, second = events(woo_order(refunds=refunds))
    assert purchase["event_name"] == "Purchase"
    assert first == {
        "event_name": "Refund",
        "event_id": "730",
        "event_time": "2025-11-27T09:00:08Z",
        "action_source": "system_generated",
        "user_data": {key: value for key, value in purchase["user_data"].items() if not key.startswith("client_")},
        "custom_data": {
            "order_id": "727",
            "refund_id": "730",
            "value": "29.99",
            "remaining_value": "29.94",
            "currency": "EUR",
        },
        "original_event": {
            "event_name": "Purchase",
            "event_id": "727",
            "event_time": "2025-11-27T09:00:08Z",
            "order_id": "727",
        },
    }
    assert (second["event_id"], second["custom_data"]["remaining_value"]) == ("740", "20.01")


def test_a_refund_counts_though_its_order_is_cancelled_by_then():
    (refund,) = events(woo_order(status="cancelled", refunds=[{"id": 730, "total": "-20.00"}]))
    assert (refund["event_name"], refund["custom_data"]["value"]) == ("Refund", "20.00")


def test_of_what_is_said_twice_a_denial_counts():
    meta = [{"key": "consent_ad_user_data", "value": word} for word in ("denied", "granted")]
    (purchase,) = events(woo_order(meta_data=meta))
    assert purchase["consent"] == {"ad_user_data": "denied"}


def test_a_price_with_more_digits_than_an_event_takes_is_rounded():
    line = {**woo_order()["line_items"][0], "price": 19.99 / 1.19}
    (purchase,) = events(woo_order(line_items=[line]))
    assert purchase["custom_data"]["contents"][0]["item_price"] == "16.7983193277"


def test_an_order_that_was_given_back_as_a_whole_leaves_nothing():
    _, refund = events(woo_order(status="refunded", refunds=[{"id": 730, "total": "-59.93"}]))
    assert (refund["custom_data"]["value"], refund["custom_data"]["remaining_value"]) == ("59.93", "0.00")


@pytest.mark.parametrize(
    ("topic", "body", "code"),
    [
        ("order.deleted", {"id": 727}, "topic_unused"),
        ("product.updated", {"id": 93}, "topic_unused"),
        ("order.updated", {"id": 727}, "topic_mismatch"),
        ("order.updated", {"id": 93, "name": "Blue shirt", "status": "publish"}, "topic_mismatch"),
    ],
)
def test_what_makes_no_event_says_why(topic, body, code):
    found = translate(topic, body, SHOP)
    assert isinstance(found, Unused)
    assert found.code == code


def test_the_shop_asks_once_whether_somebody_is_there():
    assert is_ping(b"webhook_id=42")
    assert not any(
        map(is_ping, (b"webhook_id=", b"webhook_id=42&a=1", b'{"webhook_id": 42}', b"webhook_id=4" + b"2" * 99))
    )
