"""A mock of Google's token endpoint and Data Manager API v1: `events:ingest` and `requestStatus:retrieve`.

Faithful where the documentation says what happens: one bad event refuses the whole request, error bodies have Google's
shape and reasons, an outcome is asked for by request id. It keeps nothing: what it must know later is in the id.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from jsonschema import Draft202012Validator, ValidationError

from gateway.demo.mock import MockPlatform, MockReply, MockRequest
from gateway.schema import load_schema

SCOPE = "https://www.googleapis.com/auth/datamanager"
ACCESS_TOKEN = "demo-google-access-token"
CONFIG = {
    "customer_id": "1234567890",
    "login_customer_id": "9876543210",
    "client_id": "demo-client.apps.googleusercontent.com",
    "client_secret": "demo-google-client-secret",
    "refresh_token": "demo-google-refresh-token",
    #: A path: the demo's server puts the address of this mock before it.
    "token_url": "/token",
    "merchant_id": "5550001",
    "conversion_actions": {
        "Purchase": {"id": "600000001", "default_currency": "USD"},
        "Lead": "600000002",
        "QualifiedLead": "600000003",
        "ConvertedLead": "600000004",
        "CompleteRegistration": "600000005",
        "Subscribe": "600000006",
        "StartTrial": "600000007",
        "Contact": "600000008",
    },
}
ACTION_IDS = {f"60000000{digit}" for digit in range(1, 9)}
#: Google names no acceptance window; these are the longest click-through window and a tolerance for clocks.
OLDEST_S = 90 * 86400
FUTURE_S = 300
#: What Google says of a failed keyword when the schema's `x-reasons` has nothing better.
KEYWORD_REASONS = {
    "required": "REQUIRED_FIELD_MISSING",
    "dependentRequired": "REQUIRED_FIELD_MISSING",
    "enum": "INVALID_ENUM_VALUE",
    "pattern": "INVALID_FORMAT",
    "minLength": "FIELD_VALUE_TOO_SHORT",
    "maxLength": "FIELD_VALUE_TOO_LONG",
    "minItems": "TOO_FEW_ELEMENTS",
    "maxItems": "TOO_MANY_ELEMENTS",
}
STATUS_NAMES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}

Violation = dict[str, str]


def answer(request: MockRequest, now: float) -> MockReply:
    """One of the three endpoints."""
    endpoint = ENDPOINTS.get((request.method, request.path))
    if endpoint is None:
        return refusal(404, "Requested entity was not found.", "NOT_FOUND")
    return endpoint(request, now)


def token(request: MockRequest, now: float) -> MockReply:
    """RFC 6749 §6 and RFC 7523, form-encoded. No new refresh token is given."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return MockReply(400, {"error": "invalid_request", "error_description": "Bad Request"})
    form = {key: values[0] for key, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
    grant = form.get("grant_type")
    if grant == "refresh_token":
        if any(form.get(key) != CONFIG[key] for key in ("client_id", "client_secret")):
            return MockReply(401, {"error": "invalid_client", "error_description": "The OAuth client was not found."})
        if form.get("refresh_token") != CONFIG["refresh_token"]:
            text = "Token has been expired or revoked."
            return MockReply(400, {"error": "invalid_grant", "error_description": text})
    elif grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
        if fault := _jwt_fault(form.get("assertion", ""), now):
            return MockReply(400, {"error": "invalid_grant", "error_description": fault})
    else:
        return MockReply(400, {"error": "unsupported_grant_type", "error_description": f"Invalid grant_type: {grant}"})
    return MockReply(200, {"access_token": ACCESS_TOKEN, "expires_in": 3599, "scope": SCOPE, "token_type": "Bearer"})


def _jwt_fault(assertion: str, now: float) -> str | None:
    """What is wrong with a service account's assertion. The mock has no public key: any signature will do."""
    parts = assertion.split(".")
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
        fresh = claims["iat"] - FUTURE_S <= now < claims["exp"] and claims["exp"] - claims["iat"] <= 3600
        if header["alg"] != "RS256" or len(parts) != 3 or not parts[2]:
            return "Invalid JWT Signature."
        if not fresh:
            return "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        if not claims["iss"] or not claims["aud"].endswith("/token") or SCOPE not in claims["scope"].split():
            return "Invalid JWT: iss, aud or scope."
    except (ValueError, KeyError, TypeError, AttributeError):
        return "Bad Request"
    return None


def ingest(request: MockRequest, now: float) -> MockReply:
    """All events or none."""
    if reply := _unauthorised(request):
        return reply
    body = request.json
    if not isinstance(body, dict):
        return refusal(400, "Invalid JSON payload received. Parsing terminated before end of input.")
    violations = [_violation(error) for error in _validator().iter_errors(body)]
    if violations:
        return refusal(400, "There was a problem with the request.", violations=violations)
    if reply := _wrong_destination(body["destinations"]):
        return reply
    violations = [*_envelope_faults(body), *_event_faults(body["events"], now)]
    if violations:
        return refusal(400, "There was a problem with the request.", violations=violations)
    test = body.get("validateOnly", False)
    events = tuple(body["events"])
    reply_body: dict[str, Any] = {"requestId": _request_id(request.body, len(events), test)}
    if warnings := list(_warnings(events)):
        reply_body["fieldWarnings"] = warnings
    if test:
        return MockReply(200, reply_body, tested=events)
    counted = tuple(event for event in events if event.get("consent", {}).get("adUserData") != "CONSENT_DENIED")
    return MockReply(200, reply_body, accepted=counted)


def status(request: MockRequest, now: float) -> MockReply:
    """Every executed request has succeeded; there is nothing to tell of a validated one."""
    if reply := _unauthorised(request):
        return reply
    found = re.fullmatch(
        r"[0-9a-f]{8}-([0-9a-f]{4})-(4000|0000)-8000-[0-9a-f]{12}", request.params.get("requestId", "")
    )
    if found is None or found[2] == "0000":
        violation = {
            "field": "request_id",
            "description": "The request ID used to retrieve the status of a request is not valid.",
            "reason": "INVALID_REQUEST_ID",
        }
        return refusal(400, "There was a problem with the request.", violations=[violation])
    outcome = {
        "destination": {"operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": CONFIG["customer_id"]}},
        "requestStatus": "SUCCESS",
        "eventsIngestionStatus": {"recordCount": str(int(found[1], 16))},
    }
    return MockReply(200, {"requestStatusPerDestination": [outcome]})


ENDPOINTS: dict[tuple[str, str], Callable[[MockRequest, float], MockReply]] = {
    ("POST", "/token"): token,
    ("POST", "/v1/events:ingest"): ingest,
    ("GET", "/v1/requestStatus:retrieve"): status,
}


def refusal(code: int, message: str, reason: str = "", violations: Iterable[Violation] = ()) -> MockReply:
    """An error in Google's shape: https://google.aip.dev/193."""
    name = STATUS_NAMES[code]
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason or name}
    details: list[dict[str, Any]] = [{**info, "domain": "datamanager.googleapis.com"}]
    if listed := list(violations):
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": listed})
    details.append({"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "t-00000001"})
    return MockReply(code, {"error": {"code": code, "status": name, "message": message, "details": details}})


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(load_schema("platforms/google.json"))


def _unauthorised(request: MockRequest) -> MockReply | None:
    if request.headers.get("authorization") == f"Bearer {ACCESS_TOKEN}":
        return None
    text = "Request had invalid authentication credentials. Expected OAuth 2 access token."
    return refusal(401, text, "ACCESS_TOKEN_INVALID" if "authorization" in request.headers else "CREDENTIALS_MISSING")


def _violation(error: ValidationError) -> Violation:
    """A schema fault in Google's words: `events.events[17].user_data.user_identifiers[0].email_address`."""
    keyword, field = str(error.validator), _field(error.absolute_path)
    if keyword in (
        "additionalProperties",
        "type",
        "maxProperties",
    ):  # already refused by the JSON parser, without reason
        return {"field": field, "description": f"Invalid JSON payload received at '{field}' ({keyword})."}
    schema = error.schema if isinstance(error.schema, Mapping) else {}
    reason = schema.get("x-reasons", {}).get(keyword) or KEYWORD_REASONS.get(keyword, "INVALID_ARGUMENT")
    return {"field": field, "description": f"The field is not valid ({keyword}).", "reason": reason}


def _field(path: Iterable[str | int]) -> str:
    words = ""
    for step in path:
        words += f"[{step}]" if isinstance(step, int) else "." + re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), step)
    words = words.removeprefix(".")
    return f"events.{words}" if words.startswith("events[") else words


def _wrong_destination(destinations: list[dict[str, Any]]) -> MockReply | None:
    for index, destination in enumerate(destinations):
        login = destination.get("loginAccount", {}).get("accountId", CONFIG["login_customer_id"])
        known = (CONFIG["login_customer_id"], CONFIG["customer_id"])
        if destination["operatingAccount"]["accountId"] != CONFIG["customer_id"] or login not in known:
            return refusal(403, "The caller does not have permission", "PERMISSION_DENIED")
        if destination["productDestinationId"] not in ACTION_IDS:
            violation = {
                "field": f"destinations[{index}].product_destination_id",
                "description": "Conversion action ID is not valid.",
                "reason": "INVALID_CONVERSION_ACTION_ID",
            }
            return refusal(400, "There was a problem with the request.", violations=[violation])
    return None


def _envelope_faults(body: Mapping[str, Any]) -> Iterator[Violation]:
    if "encoding" not in body and any("userData" in event for event in body["events"]):
        yield {"field": "encoding", "description": "Required field is missing.", "reason": "REQUIRED_FIELD_MISSING"}


def _event_faults(events: list[dict[str, Any]], now: float) -> Iterator[Violation]:
    """What a schema cannot say."""
    seen: set[str] = set()
    for index, event in enumerate(events):
        field = f"events.events[{index}]"
        if event["transactionId"] in seen:  # which of two states would hold in the end is not told
            text = "Another event of the request has the same transaction ID."
            yield {"field": f"{field}.transaction_id", "description": text, "reason": "INVALID_EVENT"}
        seen.add(event["transactionId"])
        if not event.get("userData") and not event.get("adIdentifiers", {}).keys() - {"sessionAttributes"}:
            text = "Events data contains no user identifiers or ad identifiers."
            yield {"field": field, "description": text, "reason": "NO_IDENTIFIERS_PROVIDED"}
        try:
            age_s = now - datetime.fromisoformat(event["eventTimestamp"]).timestamp()
        except ValueError:
            yield {"field": f"{field}.event_timestamp", "description": "Format is invalid.", "reason": "INVALID_FORMAT"}
            continue
        if not -FUTURE_S <= age_s <= OLDEST_S:
            text = "Event did not occur within the acceptable time window."
            yield {"field": f"{field}.event_timestamp", "description": text, "reason": "EVENT_TIME_INVALID"}


def _warnings(events: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    """Accepted all the same."""
    for index, event in enumerate(events):
        if "cartData" in event and {"gbraid", "wbraid"} & set(event.get("adIdentifiers", {})):
            reason = "WARNING_REASON_CART_DATA_NOT_SUPPORTED_WITH_GBRAID_OR_WBRAID"
            text = "Cart data is not supported with gbraid or wbraid."
            yield {"reason": reason, "description": text, "field": f"events.events[{index}].cart_data"}


def _request_id(body: bytes, events: int, test: bool) -> str:
    """The same for the same body; says how many events, and whether they were executed."""
    digest = hashlib.sha256(body).hexdigest()
    return f"{digest[:8]}-{events:04x}-{'0000' if test else '4000'}-8000-{digest[8:20]}"


MOCK = MockPlatform(name="google", answer=answer, config=CONFIG)
