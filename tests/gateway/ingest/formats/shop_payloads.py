"""Webhooks in the shape that the shops publish, with made-up people and orders; and how each shop signs them."""

import base64
import hashlib
import hmac
import json
from typing import Any

SHOPIFY_SECRET = "shpss_made-up-secret-0001"
WOO_SECRET = 'made up & "quoted" secret'
STRIPE_SECRET = "whsec_made-up-secret-0002"

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"


def money(amount: str, currency: str = "EUR", presented: str | None = None) -> dict[str, Any]:
    return {
        "shop_money": {"amount": amount, "currency_code": currency},
        "presentment_money": {"amount": presented or amount, "currency_code": "USD" if presented else currency},
    }


def shopify_order(**changes: Any) -> dict[str, Any]:
    """The body of `orders/create` and `orders/paid`."""
    address = {
        "first_name": "Jane",
        "address1": "1 Main Street",
        "phone": None,
        "city": "Berlin",
        "zip": "10115",
        "province": "Berlin",
        "country": "Germany",
        "last_name": "Doe",
        "address2": "",
        "company": None,
        "latitude": 52.5,
        "longitude": 13.4,
        "name": "Jane Doe",
        "country_code": "DE",
        "province_code": "BE",
    }
    line = {
        "id": 866550311766439020,
        "admin_graphql_api_id": "gid://shopify/LineItem/866550311766439020",
        "current_quantity": 2,
        "fulfillable_quantity": 2,
        "fulfillment_service": "manual",
        "gift_card": False,
        "grams": 200,
        "name": "Blue shirt - M",
        "price": "29.99",
        "price_set": money("29.99", presented="32.50"),
        "product_exists": True,
        "product_id": 632910392,
        "properties": [],
        "quantity": 2,
        "requires_shipping": True,
        "sku": "SHIRT-M",
        "taxable": True,
        "title": "Blue shirt",
        "total_discount": "0.00",
        "variant_id": 808950810,
        "variant_title": "M",
        "vendor": "Acme",
        "tax_lines": [],
        "duties": [],
        "discount_allocations": [],
    }
    return {
        "id": 820982911946154508,
        "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
        "app_id": 580111,
        "browser_ip": "203.0.113.10",
        "buyer_accepts_marketing": True,
        "cancel_reason": None,
        "cancelled_at": None,
        "cart_token": "c1-68778783ad298f1c80c3bafcddeea02f",
        "checkout_id": 901414060,
        "checkout_token": "bd5a8aa1ecd019dd3520ff791ee3a24c",
        "client_details": {
            "accept_language": "de-DE,de;q=0.9",
            "browser_height": None,
            "browser_ip": "203.0.113.10",
            "browser_width": None,
            "session_hash": None,
            "user_agent": AGENT,
        },
        "closed_at": None,
        "company": None,
        "confirmed": True,
        "contact_email": "Jane.Doe@Example.com",
        "created_at": "2025-11-27T10:00:00+01:00",
        "currency": "EUR",
        "current_total_price": "59.93",
        "customer_locale": "de-DE",
        "discount_codes": [{"code": "SPRING10", "amount": "5.00", "type": "fixed_amount"}],
        "email": "jane.doe@example.com",
        "estimated_taxes": False,
        "financial_status": "paid",
        "fulfillment_status": None,
        "landing_site": "/products/shirt?utm_source=ads&gclid=EAIaIQobChMIexampleShop&fbclid=IwAR2ExampleClick",
        "landing_site_ref": None,
        "location_id": None,
        "name": "#1001",
        "note": "please ring twice",
        "note_attributes": [],
        "number": 1,
        "order_number": 1001,
        "order_status_url": "https://shop.example/548380009/orders/b1946ac92492d2347c6235b4d2611184/authenticate?key=abc",
        "payment_gateway_names": ["visa"],
        "phone": "+49 30 5550142",
        "presentment_currency": "USD",
        "processed_at": "2025-11-27T10:00:00+01:00",
        "referring_site": "https://www.search.example/",
        "source_name": "web",
        "subtotal_price": "54.98",
        "tags": "",
        "tax_lines": [],
        "taxes_included": True,
        "test": False,
        "token": "b1946ac92492d2347c6235b4d2611184",
        "total_discounts": "5.00",
        "total_discounts_set": money("5.00", presented="5.42"),
        "total_line_items_price": "59.98",
        "total_price": "59.93",
        "total_price_set": money("59.93", presented="64.95"),
        "total_shipping_price_set": money("4.95", presented="5.36"),
        "total_tax": "9.57",
        "total_tax_set": money("9.57", presented="10.37"),
        "total_weight": 400,
        "updated_at": "2025-11-27T10:00:05+01:00",
        "user_id": None,
        "billing_address": address,
        "customer": {
            "id": 115310627314723954,
            "email": "jane.doe@example.com",
            "created_at": "2025-11-01T10:00:00+01:00",
            "updated_at": "2025-11-27T10:00:00+01:00",
            "first_name": "Jane",
            "last_name": "Doe",
            "state": "disabled",
            "note": None,
            "verified_email": True,
            "orders_count": 1,
            "tax_exempt": False,
            "phone": None,
            "tags": "",
            "currency": "EUR",
            "admin_graphql_api_id": "gid://shopify/Customer/115310627314723954",
            "default_address": {
                **address,
                "id": 715243470612851245,
                "customer_id": 115310627314723954,
                "default": True,
            },
        },
        "discount_applications": [],
        "fulfillments": [],
        "line_items": [line],
        "payment_terms": None,
        "refunds": [],
        "shipping_address": {**address, "first_name": "Gerda", "last_name": "Gift", "phone": "+49 30 5550199"},
        "shipping_lines": [{"id": 271878346596884015, "code": None, "price": "4.95", "title": "Standard"}],
        **changes,
    }


def shopify_refund(**changes: Any) -> dict[str, Any]:
    """The body of `refunds/create`."""
    transaction = {
        "id": 245135271310201194,
        "order_id": 820982911946154508,
        "kind": "refund",
        "gateway": "visa",
        "status": "success",
        "message": "Refunded",
        "created_at": "2025-11-28T09:00:00+01:00",
        "test": False,
        "parent_id": None,
        "amount": "29.99",
        "currency": "EUR",
        "admin_graphql_api_id": "gid://shopify/OrderTransaction/245135271310201194",
    }
    line = {
        "id": 487817672276298627,
        "line_item_id": 866550311766439020,
        "location_id": None,
        "quantity": 1,
        "restock_type": "no_restock",
        "subtotal": 25.2,
        "subtotal_set": money("25.20"),
        "total_tax": 4.79,
        "total_tax_set": money("4.79"),
        "line_item": {"id": 866550311766439020, "variant_id": 808950810, "title": "Blue shirt", "quantity": 2},
    }
    return {
        "id": 890088186047892319,
        "order_id": 820982911946154508,
        "created_at": "2025-11-28T09:00:00+01:00",
        "note": "Too small",
        "user_id": 548380009,
        "processed_at": "2025-11-28T09:00:00+01:00",
        "restock": False,
        "duties": [],
        "total_duties_set": money("0.00"),
        "admin_graphql_api_id": "gid://shopify/Refund/890088186047892319",
        "refund_line_items": [line],
        "transactions": [transaction],
        "order_adjustments": [],
        **changes,
    }


def shopify_checkout(**changes: Any) -> dict[str, Any]:
    """The body of `checkouts/create`."""
    order = shopify_order()
    kept = "email cart_token landing_site referring_site note_attributes line_items customer billing_address currency"
    return {
        "id": 981820079255243537,
        "token": "123123123abc",
        "gateway": None,
        "created_at": "2025-11-27T09:50:00+01:00",
        "updated_at": "2025-11-27T09:50:00+01:00",
        "abandoned_checkout_url": "https://shop.example/548380009/checkouts/123123123abc/recover?key=secret-token",
        "total_price": "59.98",
        "total_discounts": "0.00",
        "total_tax": "9.57",
        "source_name": "web",
        "presentment_currency": "EUR",
        "customer_locale": "de",
        **{key: order[key] for key in kept.split()},
        **changes,
    }


def shopify_privacy(**more: Any) -> dict[str, Any]:
    """The body of `customers/redact` (`orders_to_redact`) and `customers/data_request` (`orders_requested`)."""
    customer = {"id": 115310627314723954, "email": "jane.doe@example.com", "phone": "+49 30 5550142"}
    return {"shop_id": 954889, "shop_domain": "made-up.myshopify.com", "customer": customer, **more}


def woo_order(**changes: Any) -> dict[str, Any]:
    """The body of `order.created` and `order.updated`."""
    line = {
        "id": 315,
        "name": "Blue shirt - M",
        "product_id": 93,
        "variation_id": 94,
        "quantity": 2,
        "tax_class": "",
        "subtotal": "50.40",
        "subtotal_tax": "9.58",
        "total": "46.20",
        "total_tax": "8.78",
        "taxes": [],
        "meta_data": [],
        "sku": "SHIRT-M",
        "price": 25.2,
    }
    return {
        "id": 727,
        "parent_id": 0,
        "number": "727",
        "order_key": "wc_order_58d2d042d1d",
        "created_via": "checkout",
        "version": "9.4.0",
        "status": "processing",
        "currency": "EUR",
        "date_created": "2025-11-27T10:00:00",
        "date_created_gmt": "2025-11-27T09:00:00",
        "date_modified": "2025-11-27T10:00:08",
        "date_modified_gmt": "2025-11-27T09:00:08",
        "discount_total": "4.20",
        "discount_tax": "0.80",
        "shipping_total": "4.95",
        "shipping_tax": "0.00",
        "cart_tax": "8.78",
        "total": "59.93",
        "total_tax": "8.78",
        "prices_include_tax": True,
        "customer_id": 26,
        "customer_ip_address": "203.0.113.10",
        "customer_user_agent": AGENT,
        "customer_note": "",
        "billing": {
            "first_name": "Jane",
            "last_name": "Doe",
            "company": "",
            "address_1": "1 Main Street",
            "address_2": "",
            "city": "Berlin",
            "state": "DE-BE",
            "postcode": "10115",
            "country": "DE",
            "email": "Jane.Doe@example.com",
            "phone": "030 5550142",
        },
        "shipping": {"first_name": "Gerda", "last_name": "Gift", "address_1": "2 Side Street", "country": "DE"},
        "payment_method": "bacs",
        "transaction_id": "",
        "date_paid": "2025-11-27T10:00:08",
        "date_paid_gmt": "2025-11-27T09:00:08",
        "date_completed": None,
        "cart_hash": "",
        "meta_data": [
            {
                "id": 1,
                "key": "_wc_order_attribution_session_entry",
                "value": "https://woo.example/?ttclid=E.C.P.CiEXAMPLE",
            },
            {"id": 2, "key": "_wc_order_attribution_referrer", "value": "https://www.search.example/"},
            {"id": 3, "key": "_fbp", "value": "fb.1.1795000000000.1098115397"},
            {"id": 4, "key": "_plugin_object", "value": {"a": [1]}},
        ],
        "line_items": [line],
        "tax_lines": [],
        "shipping_lines": [],
        "fee_lines": [],
        "coupon_lines": [{"id": 316, "code": "spring10", "discount": "4.20", "discount_tax": "0.80"}],
        "refunds": [],
        "payment_url": "https://woo.example/checkout/order-pay/727/?pay_for_order=true&key=wc_order_58d2d042d1d",
        "currency_symbol": "€",
        "_links": {"self": [{"href": "https://woo.example/wp-json/wc/v3/orders/727"}]},
        **changes,
    }


def stripe_event(kind: str, found: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Any event: `data` holds the object that it is about."""
    previous = more.pop("previous_attributes", None)
    return {
        "id": "evt_1Made00Up00Event",
        "object": "event",
        "api_version": "2026-06-24.dahlia",
        "created": 1764234000,
        "data": {"object": found, **({"previous_attributes": previous} if previous is not None else {})},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
        **more,
    }


def stripe_session(**changes: Any) -> dict[str, Any]:
    """A Checkout Session that was completed."""
    return {
        "id": "cs_live_a1MadeUpSession",
        "object": "checkout.session",
        "amount_subtotal": 5998,
        "amount_total": 6493,
        "client_reference_id": "cart-77",
        "consent": None,
        "created": 1764233000,
        "currency": "eur",
        "customer": "cus_MadeUpCustomer",
        "customer_details": {
            "address": {
                "city": "Berlin",
                "country": "DE",
                "line1": "1 Main Street",
                "line2": None,
                "postal_code": "10115",
                "state": None,
            },
            "email": "jane.doe@example.com",
            "name": "Jane van Doe",
            "phone": "+49305550142",
            "tax_exempt": "none",
            "tax_ids": [],
        },
        "customer_email": None,
        "livemode": True,
        "locale": "de",
        "metadata": {},
        "mode": "payment",
        "payment_intent": "pi_MadeUpIntent",
        "payment_status": "paid",
        "status": "complete",
        "subscription": None,
        "success_url": "https://shop.example/thanks?session_id={CHECKOUT_SESSION_ID}",
        "total_details": {"amount_discount": 0, "amount_shipping": 495, "amount_tax": 957},
        "url": None,
        **changes,
    }


def stripe_charge(**changes: Any) -> dict[str, Any]:
    """A charge of which something was given back."""
    return {
        "id": "ch_MadeUpCharge",
        "object": "charge",
        "amount": 6493,
        "amount_captured": 6493,
        "amount_refunded": 2999,
        "billing_details": {
            "address": {"city": "Berlin", "country": "DE", "line1": None, "postal_code": "10115", "state": None},
            "email": "jane.doe@example.com",
            "name": "Jane Doe",
            "phone": None,
        },
        "created": 1764233000,
        "currency": "eur",
        "customer": "cus_MadeUpCustomer",
        "livemode": True,
        "metadata": {},
        "paid": True,
        "payment_intent": "pi_MadeUpIntent",
        "receipt_email": None,
        "refunded": False,
        **changes,
    }


def raw(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()


def base64_signature(data: bytes, secret: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), data, hashlib.sha256).digest()).decode()


def shopify_headers(data: bytes, topic: str, secret: str = SHOPIFY_SECRET) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": base64_signature(data, secret),
        "X-Shopify-Shop-Domain": "made-up.myshopify.com",
        "X-Shopify-Api-Version": "2026-07",
        "X-Shopify-Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "X-Shopify-Triggered-At": "2025-11-27T09:00:05.000000000Z",
    }


def woo_headers(data: bytes, topic: str, secret: str = WOO_SECRET) -> dict[str, str]:
    resource, _, event = topic.partition(".")
    return {
        "Content-Type": "application/json",
        "User-Agent": "WooCommerce/9.4.0 Hookshot (WordPress/6.7)",
        "X-WC-Webhook-Source": "https://woo.example/",
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Resource": resource,
        "X-WC-Webhook-Event": event,
        "X-WC-Webhook-Signature": base64_signature(data, secret),
        "X-WC-Webhook-ID": "5",
        "X-WC-Webhook-Delivery-ID": "0a1b2c",
    }


def stripe_headers(data: bytes, at: float, secret: str = STRIPE_SECRET, *, more: str = "") -> dict[str, str]:
    made = hmac.new(secret.encode(), f"{int(at)}.".encode() + data, hashlib.sha256).hexdigest()
    return {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": f"t={int(at)}{more},v1={made},v0=00"}
