"""`POST /{version}/{pixel_id}/events`: events in Meta's own format, from its Business SDKs and what posts like them.

The access token is the source's write key. The answer, and each refusal, is what those clients read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from gateway.ingest.decode import Body, counted, read_json
from gateway.ingest.formats.conversions_api import Translated, translate
from gateway.ingest.formats.forms import MULTIPART, URLENCODED, fields, urlencoded
from gateway.ingest.pipeline import SLICE, nowhere
from gateway.ingest.problem import RequestRefused
from gateway.web.body import Reading
from gateway.web.doors import content_type
from gateway.web.keys import Kind, key_in
from gateway.web.problem import ENVELOPE, NOT_FOUND, Json, Later
from gateway.web.telling import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

    from gateway.config import Source
    from gateway.web.service import Effective, Service

#: https://developers.facebook.com/docs/graph-api/guides/versioning
VERSION = re.compile(r"^v[0-9]{1,3}\.[0-9]{1,2}$", re.ASCII)
#: Fields of a request, beside `data`, that stay in the event's `context`.
CONTEXT = ("partner_agent", "namespace_id", "upload_id", "upload_tag", "upload_source")
#: Lines of `messages` in one answer, and characters of a field of the context.
MOST_MESSAGES, LONGEST_CONTEXT = 100, 200

# https://developers.facebook.com/docs/graph-api/guides/error-handling: our status → code and type. A status that is not
# here is an invalid parameter.
ERRORS = {401: (190, "OAuthException"), 403: (200, "OAuthException"), 429: (4, "OAuthException")}
INVALID, UNKNOWN_OBJECT, UNKNOWN, UNAVAILABLE = 100, 33, 1, 2


async def post_conversions(request: Request) -> Json:
    """Take events in."""
    service: Service = request.state.service
    scope, effective = request.scope, service.effective
    if VERSION.fullmatch(request.path_params["version"]) is None:
        raise RequestRefused(404, *NOT_FOUND)
    trace = request_id(scope)
    scope[ENVELOPE] = lambda refused: error(refused, trace)
    headers = dict(scope["headers"])
    asked = urlencoded(scope["query_string"])
    key = key_in(headers) or asked.get("access_token")
    if key:  # refused before its body is read
        _source(effective, key, request.path_params["pixel_id"])
    server = effective.settings.server
    with Reading(scope, request.receive, service.budget, server.max_body_bytes, service.pace) as reading:
        given = {**asked, **_fields(await reading.plain(headers), content_type(headers))}
        source = _source(effective, key or _bytes(given.get("access_token")), request.path_params["pixel_id"])
        translated = await _translated(given, server.max_events)
        body = Body([one.event for one in translated], odd=True)
        answer = await service.accept(effective, body, source, "conversions_api", scope)
    said = messages(answer["results"], [one.notes for one in translated])
    received = answer["accepted"] + answer["duplicates"]
    if not received:
        status, refused = error(RequestRefused(400, "all_rejected", "\n".join(said)), trace)
        return Json(refused, status)
    return Json({"events_received": received, "messages": said, "fbtrace_id": trace})


def _source(effective: Effective, key: bytes | None, pixel_id: str) -> Source:
    source = effective.keys.source(key, Kind.SECRET)
    if source.pixel_ids and pixel_id not in source.pixel_ids:
        raise RequestRefused(400, "unknown_pixel_id", "this access token's source has no pixel of this id")
    return source


def _fields(data: bytes, kind: str) -> Mapping[str, Any]:
    """The fields of a body: a form's as bytes, those of a JSON object as they are."""
    plain = kind.partition(";")[0].strip().lower()
    if plain in (URLENCODED, MULTIPART):
        return fields(data, kind)
    if plain not in ("application/json", "text/plain", ""):
        raise RequestRefused(415, "unsupported_media_type", "Content-Type must be application/json or a form's")
    found = read_json(data)
    if not isinstance(found, dict):
        raise RequestRefused(400, "no_events", 'the body must be an object: {"data": […]}')
    return found


async def _translated(given: Mapping[str, Any], max_events: int) -> list[Translated]:
    data = given.get("data")
    if isinstance(data, str | bytes):  # in a form, and in JSON as some SDKs write it
        data = read_json(data if isinstance(data, bytes) else data.encode("utf-8", "replace"))
    if not isinstance(data, list):
        raise RequestRefused(400, "no_events", "`data` must be a list of events")
    context = {key: value[:LONGEST_CONTEXT] for key in CONTEXT if (value := _text(given.get(key)))}
    test = bool(given.get("test_event_code"))
    found = []
    for index, entry in enumerate(counted(data, max_events)):
        if index % SLICE == SLICE - 1:
            await anyio.lowlevel.checkpoint()
        found.append(translate(entry, context, test=test))
    return found


def _bytes(value: Any) -> bytes | None:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value if isinstance(value, bytes) else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


def messages(results: Sequence[Mapping[str, Any]], notes: Sequence[Sequence[str]]) -> list[str]:
    """What is to be said of the events: refusals first, then warnings and what was left out. The same is said once."""
    said: dict[tuple[int, str], list[int]] = {}
    for index, (result, noted) in enumerate(zip(results, notes, strict=True)):
        for fault in result.get("errors", ()):
            said.setdefault((0, f"refused: {_line(fault)}"), []).append(index)
        for fault in result.get("warnings", ()):
            said.setdefault((1, _line(fault)), []).append(index)
        for note in noted:
            said.setdefault((1, note), []).append(index)
        if why := nowhere(result.get("destinations", {})):
            said.setdefault((1, f"no destination gets it: {', '.join(why)}"), []).append(index)
    lines = sorted(said.items(), key=lambda one: one[0][0])[:MOST_MESSAGES]
    return [f"data[{at[0]}]{f' and {len(at) - 1} more' if at[1:] else ''}: {words}" for (_, words), at in lines]


def _line(fault: Mapping[str, str]) -> str:
    return f"{fault['path']} {fault['message']} ({fault['code']})".lstrip()


def error(refused: RequestRefused, trace: str) -> tuple[int, dict[str, Any]]:
    """A refusal as the Graph API tells it: the status, and `{"error": {…}}`."""
    status = 400 if refused.status == 422 else refused.status
    code, kind = ERRORS.get(status, (INVALID, "OAuthException"))
    told: dict[str, Any] = {"message": refused.detail, "type": kind, "code": code, "is_transient": False}
    if status >= 500:
        told["code"] = UNKNOWN if status == 500 else UNAVAILABLE
    if isinstance(refused, Later):
        told["is_transient"] = True
    if refused.code == "unknown_pixel_id":
        told |= {"type": "GraphMethodException", "error_subcode": UNKNOWN_OBJECT}
    told |= {"error_user_title": refused.code, "error_user_msg": refused.detail, "fbtrace_id": trace}
    return status, {"error": told}
