"""The Segment tracking API, for the SDKs of Segment and RudderStack as they are: calls, and the settings they ask for.

A write key says that a server calls, a public key that a page or an app does, as at the gateway's own doors.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import anyio.lowlevel
import msgspec
from starlette.responses import Response

from gateway.ingest.decode import Body, read_json
from gateway.ingest.formats.segment import BATCH, BEACON, PATHS, Call, Kind, Read, Routes, opened, read
from gateway.ingest.pipeline import SLICE, faults
from gateway.ingest.problem import RequestRefused
from gateway.model.errors import Fault
from gateway.web.body import Reading, Receive
from gateway.web.browser import browser_hints, cors_of, may_use, peer
from gateway.web.identify import identify
from gateway.web.keys import Kind as KeyKind
from gateway.web.keys import key_in
from gateway.web.problem import ANSWER_HEADERS, ENVELOPE, JSON, Headers, Json, Send, document, send_json, send_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.types import Scope

    from gateway.config import Source
    from gateway.ingest.draft import BrowserHints
    from gateway.web.service import Effective, Service

__all__ = ["BATCH", "PATHS", "SETTINGS", "get_settings", "post_calls"]

#: Bytes of a page's body: what the API takes in a batch, https://segment.com/docs/connections/sources/catalog/libraries/
#: server/http-api/#max-request-size. It is read before anybody knows whose it is, if the key stands inside it.
MAX_BYTES = 512 * 1024
#: What a page may ask for is what SDKs send, which is more with each version.
_ASKED = re.compile(rb"[A-Za-z0-9-]+(?: *, *[A-Za-z0-9-]+){0,29}")

#: Where SDKs look for the configuration of a source.
SEGMENT_SETTINGS = "/v1/projects/{write_key}/settings"
SETTINGS = (SEGMENT_SETTINGS, "/sourceConfig", "/sourceConfig/")

_encode = msgspec.json.Encoder().encode


async def post_calls(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Take calls in. Whatever becomes of each, the answer is 200: SDKs send again what is answered otherwise."""
    effective = service.effective
    pairs: Headers = list(scope["headers"])
    headers = dict(pairs)
    cors = cors_of(service, headers)
    if scope["method"] == "OPTIONS":
        await _preflight(send, headers, cors)
        return
    scope[ANSWER_HEADERS], scope[ENVELOPE] = cors, _refused
    server = effective.settings.server
    key, limit = key_in(headers) or _query_key(scope), min(server.max_body_bytes, MAX_BYTES)
    if key:  # refused before its body is read
        limit = server.max_body_bytes if _holder(effective, key, headers)[1] is KeyKind.SECRET else limit
    with Reading(scope, receive, service.budget, limit, service.pace) as reading:
        found = opened(PATHS[scope["path"]], read_json(await reading.plain(headers)), server.max_events)
        source, kind = _holder(effective, key or found.key, headers)
        read_ = await _read_all(effective, source, found.calls)
        hints = _hints(service, scope, pairs, read_) if kind is KeyKind.PUBLIC else None
        answer = await _take(service, effective, source, scope, hints, read_)
    await send_json(send, 200, JSON, _encode(answer), cors)


def _holder(effective: Effective, key: bytes | None, headers: Mapping[bytes, bytes]) -> tuple[Source, KeyKind]:
    source, kind = effective.keys.any_source(key)
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    if kind is KeyKind.PUBLIC and not may_use(origin, source.origins):
        raise RequestRefused(403, "origin_not_allowed", "this origin is not among the source's origins")
    return source, kind


def _query_key(scope: Scope) -> bytes | None:
    """The key of a beacon, in its address."""
    if scope["path"] != BEACON:
        return None
    values = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("writeKey")
    return values[0].encode("utf-8", "replace") if values else None


async def _read_all(effective: Effective, source: Source, calls: Sequence[Call]) -> list[Read]:
    routes, now = Routes(effective.settings.enabled, source.segment), effective.door.now()
    found = []
    for index, call in enumerate(calls):
        if index % SLICE == SLICE - 1:
            await anyio.lowlevel.checkpoint()
        found.append(read(call, source.segment, routes, now))
    return found


def _hints(service: Service, scope: Scope, pairs: Headers, calls: Sequence[Read]) -> BrowserHints:
    """What the request says of its visitor. An app's user agent is its HTTP library's."""
    hints = browser_hints(pairs, peer(scope), service.effective.settings.server.trusted_proxies)
    if any(one.no_address for one in calls):
        hints = replace(hints, ip=None)
    if any(isinstance(one.event, dict) and one.event.get("action_source") == "app" for one in calls):
        hints = replace(hints, user_agent=None)
    return hints


async def _take(
    service: Service,
    effective: Effective,
    source: Source,
    scope: Scope,
    hints: BrowserHints | None,
    calls: Sequence[Read],
) -> dict[str, Any]:
    """First what is said of people, then what they did. The answer tells of each in the order of the body."""
    results: list[dict[str, Any]] = [{"index": index, "status": "ignored"} for index in range(len(calls))]
    counts = {"accepted": 0, "duplicates": 0, "rejected": 0}
    people, events = (
        [index for index, one in enumerate(calls) if one.kind is kind] for kind in (Kind.PERSON, Kind.EVENT)
    )
    for places, is_event in ((people, False), (events, True)):
        if not places:
            continue
        body = Body([calls[index].event for index in places], odd=True)
        answer = (
            await service.accept(effective, body, source, "segment", scope, hints)
            if is_event
            else await identify(service, effective, body, source, hints)
        )
        for index, result in zip(places, answer["results"], strict=True):
            results[index] = {**result, "index": index, **_warnings(result, calls[index].notes)}
        for key in counts:
            counts[key] += answer[key]
    return {"success": not counts["rejected"], **counts, "results": results}


def _warnings(result: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """The result's warnings, and one for each field that was left out."""
    if not notes or result["status"] != "accepted":
        return {}
    return {"warnings": [*result.get("warnings", ()), *faults([Fault("", "left_out", one) for one in notes])]}


def _refused(refused: RequestRefused) -> tuple[int, dict[str, Any]]:
    """A refusal with the two keys that SDKs read: `code` and `message`."""
    return refused.status, {"success": False, "message": refused.detail, **document(refused)}


async def _preflight(send: Send, headers: Mapping[bytes, bytes], cors: Headers) -> None:
    if len(cors) == 1:
        refused = RequestRefused(403, "origin_not_allowed", "no source with a public key allows this origin")
        await send_problem(send, refused, headers=cors)
        return
    await send({"type": "http.response.start", "status": 204, "headers": [*cors, *_allowed(headers)]})
    await send({"type": "http.response.body", "body": b""})


def _allowed(headers: Mapping[bytes, bytes]) -> Iterator[tuple[bytes, bytes]]:
    yield b"access-control-allow-methods", b"GET, POST"
    yield b"access-control-max-age", b"7200"
    asked = headers.get(b"access-control-request-headers", b"")
    if _ASKED.fullmatch(asked.strip()):
        yield b"access-control-allow-headers", asked.strip()


async def get_settings(request: Request) -> Response:
    """What a browser's or an app's SDK asks for before it sends anything: a source without other destinations."""
    service: Service = request.state.service
    headers = dict(request.scope["headers"])
    cors = cors_of(service, headers)
    request.scope[ANSWER_HEADERS] = cors
    if request.method == "OPTIONS":
        if len(cors) == 1:
            raise RequestRefused(403, "origin_not_allowed", "no source with a public key allows this origin")
        return _with(Response(status_code=204), [*cors, *_allowed(headers)])
    in_path = request.path_params.get("write_key")
    given = in_path or request.query_params.get("writeKey")
    key = given.encode("utf-8", "replace") if given else key_in(headers)
    source = service.effective.keys.source(key, KeyKind.PUBLIC)
    body = _segment_settings(in_path) if in_path else _source_config(source.name)
    return _with(Json(body), [*cors, (b"cache-control", b"no-cache")])


def _with(response: Response, headers: Headers) -> Response:
    for name, value in headers:
        response.headers.append(name.decode(), value.decode("latin-1"))
    return response


def _segment_settings(write_key: str) -> dict[str, Any]:
    # https://segment.com/docs/connections/sources/catalog/libraries/website/javascript/custom-proxy/
    return {
        "integrations": {"Segment.io": {"apiKey": write_key, "unbundledIntegrations": [], "addBundledMetadata": False}},
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "edgeFunction": {},
        "analyticsNextEnabled": True,
        "middlewareSettings": {},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "remotePlugins": [],
    }


def _source_config(name: str) -> dict[str, Any]:
    # https://www.rudderstack.com/docs/sources/event-streams/sdks/rudderstack-javascript-sdk/
    quiet = {"enabled": False}
    return {
        "source": {
            "id": name,
            "name": name,
            "workspaceId": name,
            "enabled": True,
            "config": {"statsCollection": {"errors": quiet, "metrics": quiet}},
            "destinations": [],
        }
    }
