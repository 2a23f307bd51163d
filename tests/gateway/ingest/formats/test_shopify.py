"""Shopify's webhooks as events."""

import json

import pytest

from gateway import schema
from gateway.config import Source
from gateway.ingest.formats.shopify import translate
from gateway.ingest.formats.webhook import Asked, Erase, Orders, Unused
from tests.gateway.ingest.formats.shop_payloads import (
    AGENT,
    money,
    shopify_checkout,
    shopify_order,
    shopify_privacy,
    shopify_refund,
)

SHOP = Source(name="shop", kind="shopify")


def event(topic, body, **settings):
    found = translate(topic, body, Source(name="shop", kind="shopify", **settings))
    assert isinstance(found, Orders), found
    (one,) = found.events
    assert schema.is_valid(one), schema.faults(one, 5)
    return one


def code(topic, body, source=SHOP):
    found = translate(topic, body, source)
    assert isinstance(found, Unused), found
    return found.code


def test_a_paid_order_is_a_purchase_with_all_that_the_shop_knows():
    assert event("orders/paid", shopify_order()) == {
        "event_name": "Purchase",
        "event_id": "820982911946154508",
        "event_time": "2025-11-27T10:00:00+01:00",
        "action_source": "website",
        "event_source_url": "https://shop.example/548380009/orders",
        "referrer_url": "https://www.search.example/",
        "user_data": {
            "email": ["jane.doe@example.com", "Jane.Doe@Example.com"],
            "phone": "+49 30 5550142",
            "external_id": "115310627314723954",
            "first_name": "Jane",
            "last_name": "Doe",
            "street": "1 Main Street",
            "city": "Berlin",
            "state": "BE",
            "zip": "10115",
            "country": "DE",
            "language": "de-DE",
            "client_ip_address": "203.0.113.10",
            "client_user_agent": AGENT,
            "gclid": "EAIaIQobChMIexampleShop",
            "fbclid": "IwAR2ExampleClick",
        },
        "custom_data": {
            "order_id": "820982911946154508",
            "value": "59.93",
            "currency": "EUR",
            "tax": "9.57",
            "shipping": "4.95",
            "discount": "5.00",
            "coupon": "SPRING10",
            "contents": [
                {
                    "id": "808950810",
                    "quantity": 2,
                    "item_price": "29.99",
                    "title": "Blue shirt",
                    "brand": "Acme",
                    "variant": "M",
                }
            ],
            "num_items": 2,
            "content_type": "product",
            "new_customer": True,
        },
        "context": {"cart_token": "c1-68778783ad298f1c80c3bafcddeea02f"},
    }


def test_marketing_by_mail_is_no_consent_to_ads():
    assert "consent" not in event("orders/paid", shopify_order(buyer_accepts_marketing=True))


@pytest.mark.parametrize(
    ("topic", "status", "when", "counts"),
    [
        ("orders/create", "pending", "paid", False),
        ("orders/create", "authorized", "paid", False),
        ("orders/create", "paid", "paid", True),
        ("orders/create", "pending", "created", True),
        ("orders/paid", "paid", "created", True),
        ("orders/paid", "partially_refunded", "paid", True),
    ],
)
def test_which_topic_makes_the_purchase_is_a_setting(topic, status, when, counts):
    found = translate(
        topic, shopify_order(financial_status=status), Source(name="s", kind="shopify", purchase_when=when)
    )
    assert isinstance(found, Orders) is counts
    assert counts or found.code == "not_paid"


@pytest.mark.parametrize(("setting", "value"), [("id", "820982911946154508"), ("name", "#1001"), ("number", "1001")])
def test_which_number_is_the_orders_id_is_a_setting(setting, value):
    found = event("orders/paid", shopify_order(), order_id=setting)
    assert (found["event_id"], found["custom_data"]["order_id"]) == (value, value)


@pytest.mark.parametrize(("setting", "value"), [("variant", "808950810"), ("product", "632910392"), ("sku", "SHIRT-M")])
def test_what_a_product_is_known_by_is_a_setting(setting, value):
    found = event("orders/paid", shopify_order(), content_id=setting)
    assert found["custom_data"]["contents"][0]["id"] == value


@pytest.mark.parametrize(
    ("source_name", "where"),
    [
        ("pos", "physical_store"),
        ("shopify_draft_order", "other"),
        ("subscription_contract", "system_generated"),
        ("subscription_contract_checkout_one", "website"),
        ("580111", "website"),
    ],
)
def test_an_order_that_no_browser_made_brings_no_browser(source_name, where):
    found = event("orders/paid", shopify_order(source_name=source_name, location_id=655441491))
    assert found["action_source"] == where
    assert ("client_ip_address" in found["user_data"]) is (where == "website")
    assert ("gclid" in found["user_data"]) is (where == "website")
    assert ("event_source_url" in found) is (where == "website")
    assert found["custom_data"].get("store_id") == ("655441491" if where == "physical_store" else None)


def test_who_gets_the_parcel_counts_only_where_nobody_else_is_named():
    order = shopify_order()
    del order["billing_address"], order["customer"]["default_address"]
    found = event("orders/paid", order)["user_data"]
    assert found["first_name"] == ["Jane", "Gerda"]  # the customer's own name is known
    assert found["phone"] == "+49 30 5550142"
    found = event("orders/paid", {**order, "phone": None, "customer": None})["user_data"]
    assert (found["last_name"], found["phone"]) == ("Gift", "+49 30 5550199")
    assert "external_id" not in found


def test_a_test_order_is_a_test():
    assert event("orders/paid", shopify_order(test=True))["test"] is True


@pytest.mark.parametrize(("count", "new"), [(0, True), (1, True), (2, False), (None, None)])
def test_a_first_order_is_a_new_customers(count, new):
    order = shopify_order()
    order["customer"]["orders_count"] = count
    assert event("orders/paid", order)["custom_data"].get("new_customer") is new


def test_cart_attributes_bring_what_the_shops_script_has_put_there():
    noted = {
        "_fbp": "fb.1.1795000000000.1098115397",
        "_fbc": "fb.1.1795000000000.IwAR2Cart",
        "_gcl_aw": "GCL.1795000000.EAIaIQobCartClick",
        "ttp": "2F7h37YkS1j57AYSKTI7IHhJPYH",
        "_ttclid": "E.C.P.CiCART",
        "visitor_id": "visitor-7",
        "_event_id": "purchase-4711",
        "cart_token": "cart-7",
        "consent_ad_storage": "granted",
        "_consent_ad_user_data": "true",
        "ad_personalization": "maybe",
        "consent_region": "de-be",
        "region": "US",
        "Gift wrapping": "yes",
    }
    attributes = [{"name": name, "value": value} for name, value in noted.items()]
    found = event("orders/paid", shopify_order(note_attributes=attributes, cart_token=None))
    assert found["event_id"] == "purchase-4711"
    assert found["custom_data"]["order_id"] == "820982911946154508"
    person = found["user_data"]
    assert person["fbc"] == "fb.1.1795000000000.IwAR2Cart"
    assert person["gclid"] == "EAIaIQobCartClick"  # the cart's, not the first page's
    assert (person["ttp"], person["ttclid"]) == ("2F7h37YkS1j57AYSKTI7IHhJPYH", "E.C.P.CiCART")
    assert person["anonymous_id"] == "visitor-7"
    assert found["context"]["cart_token"] == "cart-7"
    assert found["consent"] == {
        "ad_storage": "granted",
        "ad_user_data": "granted",
        "ad_personalization": "denied",
        "region": "de-be",
    }
    assert "wrapping" not in str(found)


def test_consent_may_be_one_attribute():
    said = '{"ad_storage": "granted", "ad_user_data": "denied", "gpc": true, "tcf": "CP"}'
    found = event("orders/paid", shopify_order(note_attributes=[{"name": "consent", "value": said}]))
    assert found["consent"] == {"ad_storage": "granted", "ad_user_data": "denied", "gpc": True, "tcf": "CP"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("consent", {"ad_user_data": "denied"}),
        ("Consent_Ad_User_Data", "denied"),
        ("consent_ad_user_data", None),
        ("consent_ad_user_data", {"v": "granted"}),
        ("ad_user_data", ["granted"]),
        ("consent", "no"),
        ("consent", '{"ad_storage": "granted", "AD_USER_DATA": "denied"}'),
        ("consent", '["ad_user_data"]'),
        ("consent", '{"ad_user_data":'),
        ("consent", '{"consent": {"ad_user_data": "granted"}}'),
    ],
)
def test_consent_that_cannot_be_read_is_a_denial(name, value):
    attributes = [{"name": "ad_user_data", "value": "granted"}, {"name": name, "value": value}]
    found = event("orders/paid", shopify_order(note_attributes=attributes))
    assert found["consent"]["ad_user_data"] == "denied"


@pytest.mark.parametrize("value", ["granted", "Yes", "true", 1])
def test_a_mere_yes_says_nothing(value):
    found = event("orders/paid", shopify_order(note_attributes=[{"name": "consent", "value": value}]))
    assert "consent" not in found


@pytest.mark.parametrize("name", ["tcf", "gpp", "additional_consent"])
def test_a_string_that_is_none_cannot_be_read(name):
    said = json.dumps({name: {"string": "CP"}})
    attributes = [{"name": "consent", "value": said}, {"name": name, "value": "CP"}]
    for several in (attributes[:1], attributes):
        found = event("orders/paid", shopify_order(note_attributes=several))
        assert found["consent"] == {name: "unreadable"}


def test_a_refund_gives_back_what_the_payments_did():
    assert event("refunds/create", shopify_refund()) == {
        "event_name": "Refund",
        "event_id": "890088186047892319",
        "event_time": "2025-11-28T09:00:00+01:00",
        "action_source": "system_generated",
        "custom_data": {
            "order_id": "820982911946154508",
            "refund_id": "890088186047892319",
            "value": "29.99",
            "currency": "EUR",
        },
        "original_event": {
            "event_name": "Purchase",
            "event_id": "820982911946154508",
            "order_id": "820982911946154508",
        },
    }


def test_a_refund_of_several_payments_is_their_sum_without_those_that_failed():
    def payment(amount, **more):
        return {"kind": "refund", "status": "success", "amount": amount, "currency": "EUR", **more}

    paid = [
        payment("10.10"),
        payment("0.20", status="pending"),
        payment("5", status="failure"),
        payment("7", kind="void"),
    ]
    assert event("refunds/create", shopify_refund(transactions=paid))["custom_data"]["value"] == "10.30"
    shown = [payment("12.00", currency="USD", amount_set=money("10.50", presented="12.00"))]
    found = event("refunds/create", shopify_refund(transactions=shown))["custom_data"]
    assert (found["value"], found["currency"]) == ("10.50", "EUR")


def test_a_refund_without_payments_is_what_was_taken_back():
    shipping = {"id": 1, "amount": "-4.95", "tax_amount": "0.00", "kind": "shipping_refund"}
    refund = shopify_refund(transactions=[], order_adjustments=[shipping])
    found = event("refunds/create", refund)["custom_data"]
    assert (found["value"], found["currency"]) == ("34.94", "EUR")
    assert code("refunds/create", shopify_refund(transactions=[], refund_line_items=[])) == "nothing_given_back"


def test_a_refund_paid_in_the_customers_currency_is_told_in_the_shops():
    payment = {"kind": "refund", "status": "success", "amount": "68.00", "currency": "CAD"}
    line = {"subtotal": "50.00", "subtotal_set": money("50.00", presented="68.00"), "total_tax": "0.00"}
    refund = shopify_refund(transactions=[payment], refund_line_items=[line])
    found = event("refunds/create", refund)["custom_data"]
    assert (found["value"], found["currency"]) == ("50.00", "EUR")
    (told,) = translate("orders/updated", shopify_order(refunds=[refund]), Source(name="s", kind="shopify")).events
    assert (told["custom_data"]["value"], told["custom_data"]["remaining_value"]) == ("50.00", "9.93")
    alone = shopify_refund(transactions=[payment], refund_line_items=[])
    (told,) = translate("orders/updated", shopify_order(refunds=[alone]), Source(name="s", kind="shopify")).events
    assert (told["custom_data"]["value"], told["custom_data"]["currency"]) == ("68.00", "CAD")
    assert "remaining_value" not in told["custom_data"]


def test_a_refund_cannot_name_its_order_otherwise_than_by_its_id():
    assert (
        code("refunds/create", shopify_refund(), Source(name="s", kind="shopify", order_id="name")) == "order_unnamed"
    )


def test_an_updated_order_tells_of_each_refund_and_what_is_left():
    def given(number, value, at):
        payment = {"kind": "refund", "status": "success", "amount": value, "currency": "EUR", "test": False}
        return shopify_refund(id=number, transactions=[payment], processed_at=at)

    late, early = given(9, "9.93", "2025-11-30T09:00:00+01:00"), given(8, "29.99", "2025-11-28T09:00:00+01:00")
    nothing = shopify_refund(id=7, transactions=[], refund_line_items=[])
    order = shopify_order(financial_status="partially_refunded", refunds=[late, early, nothing])
    found = translate("orders/updated", order, Source(name="s", kind="shopify", order_id="name"))
    assert isinstance(found, Orders)
    first, second = found.events
    assert all(map(schema.is_valid, found.events))
    assert first["custom_data"] == {
        "order_id": "#1001",
        "refund_id": "8",
        "value": "29.99",
        "remaining_value": "29.94",
        "currency": "EUR",
    }
    assert first["original_event"] == {
        "event_name": "Purchase",
        "event_id": "#1001",
        "event_time": "2025-11-27T10:00:00+01:00",
        "order_id": "#1001",
    }
    assert first["event_time"] == "2025-11-28T09:00:00+01:00"
    assert first["user_data"]["external_id"] == "115310627314723954"
    assert "client_ip_address" not in first["user_data"]
    assert (second["event_id"], second["custom_data"]["remaining_value"]) == ("9", "20.01")


def test_any_other_update_of_an_order_makes_nothing():
    assert code("orders/updated", shopify_order()) == "nothing_given_back"


def test_the_refund_of_a_test_order_is_a_test():
    payment = {"kind": "refund", "status": "success", "amount": "1.00", "currency": "EUR", "test": True}
    assert event("refunds/create", shopify_refund(transactions=[payment]))["test"] is True


def test_a_checkout_begins_under_its_token():
    found = event("checkouts/create", shopify_checkout())
    assert (found["event_name"], found["event_id"]) == ("InitiateCheckout", "123123123abc")
    assert found["event_source_url"] == "https://shop.example/548380009/checkouts"
    assert found["custom_data"]["value"] == "59.98"
    assert found["user_data"]["gclid"] == "EAIaIQobChMIexampleShop"
    assert found["context"] == {"cart_token": "c1-68778783ad298f1c80c3bafcddeea02f"}


def test_a_customer_who_is_to_be_erased_is_named_as_their_orders_named_them():
    found = translate("customers/redact", shopify_privacy(orders_to_redact=[1]), SHOP)
    person = event("orders/paid", shopify_order())["user_data"]
    assert found == Erase(
        {"email": "jane.doe@example.com", "phone": person["phone"], "external_id": person["external_id"]}
    )
    assert code("customers/redact", shopify_privacy(customer={"id": None}, orders_to_redact=[])) == "no_identifier"


def test_what_the_operator_has_to_do_is_told():
    found = translate("customers/data_request", shopify_privacy(orders_requested=[299938, 280263]), SHOP)
    assert isinstance(found, Asked)
    assert (found.what, found.event_ids) == ("customer_data", ["299938", "280263"])
    found = translate("shop/redact", {"shop_id": 1, "shop_domain": "made-up.myshopify.com"}, SHOP)
    assert isinstance(found, Asked)
    assert found.what == "shop_redact"


BODIES = {
    "orders/paid": shopify_order(),
    "refunds/create": shopify_refund(),
    "checkouts/create": shopify_checkout(),
    "customers/redact": shopify_privacy(orders_to_redact=[]),
    "customers/data_request": shopify_privacy(orders_requested=[], data_request={"id": 1}),
    "shop/redact": {"shop_id": 1, "shop_domain": "made-up.myshopify.com"},
}


@pytest.mark.parametrize("topic", BODIES)
@pytest.mark.parametrize("told", BODIES)
def test_nobody_who_has_a_signed_body_can_make_another_of_it(topic, told):
    """The topic is in a header, and not signed."""
    if topic != told:
        assert code(told, BODIES[topic]) == "topic_mismatch"


@pytest.mark.parametrize("topic", ["products/update", "orders/cancelled", "", "é"])
def test_other_topics_are_not_used(topic):
    assert code(topic, shopify_order()) == "topic_unused"
