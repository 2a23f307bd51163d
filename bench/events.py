"""The events that the benchmarks send: an ordinary purchase, with all that an ordinary shop knows."""

from __future__ import annotations

import json
from typing import Any

#: Stands where each event's own number goes.
MARK = "############"

PURCHASE: dict[str, Any] = {
    "event_name": "Purchase",
    "event_id": f"order-{MARK}",
    "event_source_url": "https://shop.example/thank-you?order=10042&utm_source=news",
    "user_data": {
        "email": f"user{MARK}@example.com",
        "phone": "+12125550142",
        "external_id": f"customer-{MARK}",
        "first_name": "Jane",
        "last_name": "Doe",
        "city": "New York",
        "state": "NY",
        "zip": "10001",
        "country": "US",
        "client_ip_address": "203.0.113.10",
        "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0",
        "fbp": "fb.1.1795000000000.1098115397",
        "fbc": "fb.1.1795000000000.IwAR2ExampleClickId",
        "gclid": "EAIaIQobChMIexampleG",
    },
    "custom_data": {
        "value": 74.48,
        "currency": "USD",
        "order_id": f"{MARK}",
        "contents": [
            {"id": "SKU-1", "quantity": 2, "item_price": 29.99},
            {"id": "SKU-2", "quantity": 1, "item_price": 14.5},
        ],
    },
    "consent": {
        "ad_storage": "granted",
        "ad_user_data": "granted",
        "ad_personalization": "granted",
        "region": "US-NY",
    },
}


def numbered(number: int) -> dict[str, Any]:
    """One event with its own ids."""
    found: dict[str, Any] = json.loads(json.dumps(PURCHASE).replace(MARK, f"{number:012d}"))
    return found


def template(batch: int) -> list[bytes]:
    """A body of `batch` events, cut at the places where the numbers go."""
    one = json.dumps(PURCHASE, separators=(",", ":"))
    body = one if batch == 1 else "[" + ",".join([one] * batch) + "]"
    return body.encode().split(MARK.encode())
