"""Pinterest's Conversions API v5 as its OpenAPI description and its answers seen live have it.

What no source tells (the shape of a 422's `details`, the oldest event taken) follows the strictest reading. The closed
schema comes first and costs the whole request; what is wrong inside a value costs one event.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from gateway.demo.mock import MockPlatform, MockReply, MockRequest
from gateway.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIG = {"ad_account_id": "549700000001", "access_token": "demo-pinterest-token"}

PATH = re.compile(r"/v5/ad_accounts/([0-9]{1,18})/events")
HASHED = ("em", "ph", "ge", "db", "fn", "ln", "ct", "st", "zp", "country", "external_id", "hashed_maids")
DECIMAL = re.compile(r"[0-9]+(\.[0-9]+)?")
MAX_AGE_S = 7 * 86400
MAX_AHEAD_S = 300


def answer(request: MockRequest, now: float) -> MockReply:
    """One call of the endpoint: 401, 403, 400 for all of it; else 200 or 422 with a status for each event."""
    path = PATH.fullmatch(request.path)
    if path is None or request.method != "POST":
        return _error(404, 12, "Requested resource not found.")
    if request.headers.get("authorization") != f"Bearer {CONFIG['access_token']}":
        return _error(401, 2, "Authentication failed.")
    if path[1] != CONFIG["ad_account_id"]:
        return _error(403, 29, "You are not permitted to access that resource.")
    fault = next(_validator().iter_errors(request.json), None)
    if fault is not None:
        return _error(400, 4196, f"Invalid request: {fault.message}")
    return _judge(request.json["data"], now, test=request.params.get("test") == "true")


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(load_schema("platforms/pinterest.json"))


def _error(status: int, code: int, message: str) -> MockReply:
    return MockReply(status, {"code": code, "message": message})


def _judge(events: list[Mapping[str, Any]], now: float, *, test: bool) -> MockReply:
    faults = [next(_faults(event, now), None) for event in events]
    good = tuple(event for event, fault in zip(events, faults, strict=True) if fault is None)
    rows = [
        {"status": "failed" if fault else "processed", "error_message": fault or "", "warning_message": ""}
        for fault in faults
    ]
    outcome = {"num_events_received": len(events), "num_events_processed": len(good), "events": rows}
    if len(good) < len(events):
        message = "Not all events were successfully processed."
        status, body = 422, {"code": 4196, "message": message, "details": outcome}
    else:
        status, body = 200, outcome
    return MockReply(status, body, tested=good) if test else MockReply(status, body, accepted=good)


def _faults(event: Mapping[str, Any], now: float) -> Iterator[str]:
    """What is wrong inside the values of an event that fits the schema."""
    for key in HASHED:
        if any(not re.fullmatch(r"[0-9a-f]{64}", digest) for digest in event["user_data"].get(key, ())):
            yield f"{key} is not a SHA-256 hash"
    if event["event_time"] > now + MAX_AHEAD_S:
        yield "event_time is in the future"
    if event["event_time"] < now - MAX_AGE_S:
        yield "event_time is too old"
    custom_data = event.get("custom_data", {})
    prices = [entry.get("item_price", "0") for entry in custom_data.get("contents", ())]
    for text in (custom_data.get("value", "0"), custom_data.get("predicted_ltv", "0"), *prices):
        if not DECIMAL.fullmatch(text):
            yield "a money field is not a decimal number"
    if not re.fullmatch(r"[A-Z]{3}", custom_data.get("currency", "USD")):
        yield "currency is not an ISO 4217 code"
    if not re.fullmatch(r"[a-z]{2}", event.get("language") or "en"):
        yield "language is not an ISO 639-1 code"


MOCK = MockPlatform("pinterest", answer, CONFIG)
