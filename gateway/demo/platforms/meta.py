"""A mock of Meta's Conversions API, v25.0: it takes or refuses a request as a whole, as Meta does.

From https://developers.facebook.com/docs/marketing-api/conversions-api/using-the-api and its pages on parameters and
troubleshooting; the body's form is `schemas/platforms/meta.json`. Where Meta's pages are silent it is the strict one.
"""

from __future__ import annotations

import hmac
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from gateway.demo.mock import MockPlatform, MockReply, MockRequest
from gateway.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIG = {
    "pixel_id": "1234567890",
    "access_token": "EAADemoTokenOfNobody",
    "app_secret": "demo-app-secret",
}
TRACE = "AbCdEfGhIjKlMnOpQrStUvW"
DAY_S = 86400
#: How far ahead a clock may be. Meta names no limit; times in milliseconds are far beyond any.
AHEAD_S = 600

TOO_WEAK = (
    {"ct", "country", "st", "zp", "ge", "client_user_agent"},
    {"db", "client_user_agent"},
    {"fn", "ge"},
    {"ln", "ge"},
)
MESSAGING_NAMES = {"LeadSubmitted", "Purchase", "AddToCart", "InitiateCheckout", "ViewContent"}
PURCHASES = {"Purchase": ("value", "currency"), "fb_mobile_purchase": ("_valueToSum", "fb_currency")}
EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w+")


def answer(request: MockRequest, now: float) -> MockReply:
    """Path, token, form, then each event; the first fault decides for the whole request."""
    return _refused_call(request) or _refused_body(request, now) or _taken(request)


def _taken(request: MockRequest) -> MockReply:
    events = tuple(request.json["data"])
    body = {"events_received": len(events), "messages": [], "fbtrace_id": TRACE}
    # Meta counts events under a test code as real; for a reader of the demo they are what was meant as a test.
    if "test_event_code" in request.json:
        return MockReply(200, body, tested=events)
    return MockReply(200, body, accepted=events)


def _refused_call(request: MockRequest) -> MockReply | None:
    steps = request.path.strip("/").split("/")
    if not re.fullmatch(r"v\d+\.\d+", steps[0]) or len(steps) != 3 or steps[2] != "events":
        return _error(400, 2500, "Unknown path components", kind="OAuthException")
    if request.method != "POST":
        return _error(400, 100, "Unsupported request method", 33, kind="GraphMethodException")
    token = request.params.get("access_token", "")
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = bearer
    if token != CONFIG["access_token"]:
        return _error(401, 190, "Invalid OAuth access token - Cannot parse access token", kind="OAuthException")
    if not _proven(request.params.get("appsecret_proof"), token):
        return _error(400, 104, "Invalid appsecret_proof provided in the API argument", kind="GraphMethodException")
    if steps[1] != CONFIG["pixel_id"]:
        words = f"Unsupported post request. Object with ID '{steps[1]}' does not exist or cannot be loaded"
        return _error(400, 100, words, 33, kind="GraphMethodException")
    return None


def _proven(proof: str | None, token: str) -> bool:
    """Meta only looks at a proof that is there, unless the app enforces one."""
    wanted = hmac.new(CONFIG["app_secret"].encode(), token.encode(), "sha256").hexdigest()
    return proof is None or hmac.compare_digest(proof.encode(), wanted.encode())


def _refused_body(request: MockRequest, now: float) -> MockReply | None:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return _error(400, 100, "(#100) The parameter data is required")
    fault = best_match(_validator().iter_errors(request.json))
    if fault is not None:
        return _invalid(fault.absolute_path, fault.validator)
    events = request.json["data"]
    for event in events:
        if refused := _refused_event(event, now):
            return refused
    # That old store events may not stand beside others is not documented; the gateway keeps them apart.
    old = [event for event in events if now - event["event_time"] > 7 * DAY_S]
    if old and any(event["action_source"] != "physical_store" for event in events):
        return _error(400, 100, "Invalid parameter", 2804003, title="Event Timestamp Too Old")
    return None


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(load_schema("platforms/meta.json"))


def _refused_event(event: Mapping[str, Any], now: float) -> MockReply | None:
    days = 62 if event["action_source"] == "physical_store" else 7
    if now - event["event_time"] > days * DAY_S:
        return _error(400, 100, "Invalid parameter", 2804003, title="Event Timestamp Too Old")
    if event["event_time"] > now + AHEAD_S:
        return _invalid(["data", 0, "event_time"], "in the future")
    custom = event.get("custom_data", {})
    value, currency = PURCHASES.get(event["event_name"], (None, None))
    if value is not None and value not in custom:
        return _error(400, 100, "Invalid parameter", 2804009, title="Value Missing for Purchase Event")
    if currency is not None and currency not in custom:
        return _invalid(["custom_data", currency], "required")
    if any(event["user_data"].keys() <= weak for weak in TOO_WEAK):
        return _error(400, 100, "Invalid parameter", 2804050, title="Not Enough Customer Information")
    if event["action_source"] == "business_messaging" and event["event_name"] not in MESSAGING_NAMES:
        return _error(400, 100, "Invalid parameter", 2804066, title="Event Name Not Allowed")
    if EMAIL.search(json.dumps(custom)):  # Meta may block the dataset for this; it need not refuse the event
        return _invalid(["custom_data"], "personal data")
    return None


def _invalid(path: Iterable[Any], rule: Any) -> MockReply:
    blamed = [str(step) for step in path if not isinstance(step, int) and step != "data"]
    words = f"(#100) Param data is invalid: {'.'.join(blamed) or 'data'} ({rule})"
    return _error(400, 100, words, blamed=[blamed])


def _error(
    status: int,
    code: int,
    message: str,
    subcode: int | None = None,
    *,
    title: str = "",
    blamed: list[list[str]] | None = None,
    kind: str = "OAuthException",
) -> MockReply:
    error: dict[str, Any] = {"message": message, "type": kind, "code": code, "fbtrace_id": TRACE}
    if code == 100:
        error["is_transient"] = False
    if subcode is not None:
        error["error_subcode"] = subcode
    if title:
        error |= {"error_user_title": title, "error_user_msg": "The request was refused; no event was processed."}
    if blamed:
        error["error_data"] = {"blame_field_specs": blamed}
    return MockReply(status, {"error": error})


MOCK = MockPlatform(name="meta", answer=answer, config=CONFIG)
