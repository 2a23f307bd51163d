"""A mock of TikTok's Events API 2.0: takes or refuses a request as a whole, in TikTok's words, under HTTP 200."""

from __future__ import annotations

import hashlib
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, FormatChecker

from gateway.demo.mock import MockPlatform, MockReply, MockRequest
from gateway.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema import ValidationError

PATH = "/open_api/v1.3/event/track/"
CONFIG = {
    "pixel_code": "C4DEMOPIXEL000000001",
    "access_token": "demo-tiktok-token",
    "test_event_code": "TEST00001",
    "app_id": "7000000000000000001",
    "offline_event_set_id": "7000000000000000002",
    "crm_event_set_id": "7000000000000000003",
}
#: Event source → what the account may send to.
SOURCE_IDS = {
    "web": CONFIG["pixel_code"],
    "app": CONFIG["app_id"],
    "offline": CONFIG["offline_event_set_id"],
    "crm": CONFIG["crm_event_set_id"],
}
#: The one source with a known maximum age of events.
OFFLINE_MAX_AGE_S = 28 * 86400


def answer(request: MockRequest, now: float) -> MockReply:
    """What TikTok would say; `now` in Unix seconds."""
    if request.path != PATH:
        return MockReply(404)
    if request.method != "POST":
        return MockReply(405)
    refusal = _unsigned(request) or _malformed(request) or _not_ours(request.json) or _too_old(request.json, now)
    code, message = refusal or (0, "OK")
    stamp = time.strftime("%Y%m%d%H%M%S", time.gmtime(now))
    request_id = stamp + hashlib.sha256(request.body).hexdigest()[:12].upper()
    body = {"code": code, "message": message, "request_id": request_id, "data": {}}
    if refusal:
        return MockReply(200, body)
    events = tuple(request.json["data"])
    in_test_mode = "test_event_code" in request.json
    return MockReply(200, body, accepted=() if in_test_mode else events, tested=events if in_test_mode else ())


def _unsigned(request: MockRequest) -> tuple[int, str] | None:
    token = request.headers.get("access-token")
    if not token:
        return 40104, "Access token is empty."
    if token != CONFIG["access_token"]:
        return 40105, "Access token is incorrect or has been revoked."
    return None


def _malformed(request: MockRequest) -> tuple[int, str] | None:
    if not request.headers.get("content-type", "").startswith("application/json") or request.json is None:
        return 40000, "The request body is not JSON."
    error = next(_validator().iter_errors(request.json), None)
    return None if error is None else _words(error)


def _words(error: ValidationError) -> tuple[int, str]:
    """Name the first bad field. Its value is not repeated: it may be the raw address that was refused."""
    path = ".".join(str(step) for step in error.absolute_path) or "body"
    if error.validator == "required":
        missing = error.message.split("'")[1]
        return 40002, f"{_batch(path)}.{missing}: Missing data for required field."
    if error.validator == "additionalProperties":
        return 40002, f"{_batch(path)}: Unknown field."
    if path.endswith(".price"):
        return 40000, "Invalid Price Field"
    what = f"not a valid {error.validator_value}" if error.validator == "type" else "not a valid value"
    return 40002, f"{_batch(path)}: {what.capitalize()}."


def _batch(path: str) -> str:
    """TikTok calls the list of events `Batch`."""
    return "Batch" + path.removeprefix("data") if path.startswith("data.") else path


def _not_ours(envelope: Mapping[str, Any]) -> tuple[int, str] | None:
    source_id = envelope["event_source_id"]
    if source_id == SOURCE_IDS[envelope["event_source"]]:
        return None
    return 40001, f"No permission to operate pixel code {source_id}."


def _too_old(envelope: Mapping[str, Any], now: float) -> tuple[int, str] | None:
    if envelope["event_source"] != "offline":
        return None
    for index, event in enumerate(envelope["data"]):
        if event["event_time"] < now - OFFLINE_MAX_AGE_S:
            return 40002, f"Batch.{index}.event_time: Older than 28 days."
    return None


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(load_schema("platforms/tiktok.json"), format_checker=FormatChecker())


MOCK = MockPlatform("tiktok", answer, CONFIG)
