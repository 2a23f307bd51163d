"""Snapchat's Conversions API v3: `/events` and `/events/validate`, with the answers that Snap documents.

`INVALID` comes with HTTP 200, names one event and keeps none of the request: the strictest reading of what Snap says.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from gateway.demo.mock import MockPlatform, MockReply, MockRequest
from gateway.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG = {
    "pixel_id": "11111111-2222-3333-4444-555555555555",
    "snap_app_id": "66666666-7777-8888-9999-000000000000",
    "access_token": "demo-snapchat-token",
}

PATH = re.compile(r"/v3/([A-Za-z0-9._-]+)/events(/validate)?")
#: The asset an event belongs to, by its action source.
ASSETS = {"WEB": "pixel_id", "OFFLINE": "pixel_id", "MOBILE_APP": "snap_app_id"}
MAX_AGE_S = 7 * 86400
MAX_AHEAD_S = 300


def answer(request: MockRequest, now: float) -> MockReply:
    """One call: 401, 404, 400 for all of it; else HTTP 200 with `VALID` or `INVALID`."""
    path = PATH.fullmatch(request.path)
    if path is None or request.method != "POST":
        return _refusal(404, "Not found.")
    if request.params.get("access_token") != CONFIG["access_token"]:
        return _refusal(401, "Access token is invalid.")
    if path[1] not in (CONFIG["pixel_id"], CONFIG["snap_app_id"]):
        return _refusal(404, "Unknown asset.")
    fault = next(_validator("").iter_errors(request.json), None)
    if fault is not None:
        return _refusal(400, fault.message)
    events = request.json["data"]
    faults = [_fault(event, path[1], now) for event in events]
    return _validated(events, faults) if path[2] else _sent(events, faults)


@cache
def _validator(part: str) -> Draft202012Validator:
    """The validator of the body, or of one of the schema's `$defs`."""
    schema = load_schema("platforms/snapchat.json")
    return Draft202012Validator({"$defs": schema["$defs"], "$ref": f"#/$defs/{part}"} if part else schema)


def _refusal(status: int, reason: str) -> MockReply:
    return MockReply(status, {"status": "INVALID", "reason": reason})


def _fault(event: Mapping[str, Any], asset: str, now: float) -> str | None:
    error = next(_validator("event").iter_errors(event), None)
    if error is not None:
        return f"{'.'.join(str(step) for step in error.absolute_path) or 'event'}: {error.message}"
    # Seconds and milliseconds are both taken.
    event_time = event["event_time"] / 1000 if event["event_time"] > 1e11 else event["event_time"]
    if not now - MAX_AGE_S <= event_time <= now + MAX_AHEAD_S:
        return "event_time is too old or in the future"
    if asset != CONFIG[ASSETS[event["action_source"]]]:
        return "action_source does not fit the asset"
    return None


def _errors(fault: str | None) -> dict[str, list[str]]:
    return {"codes": ["INVALID_EVENT"] if fault else [], "error_msgs": [fault] if fault else []}


def _sent(events: list[Mapping[str, Any]], faults: list[str | None]) -> MockReply:
    for number, fault in enumerate(faults, start=1):
        if fault is not None:
            return MockReply(200, {"status": "INVALID", "event": number, "errors": _errors(fault)})
    body = {"status": "VALID", "reason": "Events have been processed successfully."}
    return MockReply(200, body, accepted=tuple(events))


def _validated(events: list[Mapping[str, Any]], faults: list[str | None]) -> MockReply:
    logs: list[dict[str, Any]] = [
        {"event": number, "status": "INVALID" if fault else "VALID", "errors": _errors(fault), "warnings": []}
        for number, fault in enumerate(faults, start=1)
    ]
    status = "INVALID" if any(faults) else "VALID"
    body = {"status": status, "test_event": True, "reason": "Events have been validated.", "event_logs": logs}
    good = tuple(event for event, fault in zip(events, faults, strict=True) if fault is None)
    return MockReply(200, body, tested=good)


MOCK = MockPlatform("snapchat", answer, CONFIG)
