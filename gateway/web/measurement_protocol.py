"""GA4's formats: `POST /mp/collect` from servers and apps, `/g/collect` from its tag in a page, `/debug/mp/collect`.

A server brings the source's write key as `api_secret`. A tag brings its measurement id, which everybody can read in the
page: it opens no more than a public key does, and the page's origin counts as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.lowlevel
import msgspec

from gateway.ingest.decode import Body, counted, read_json
from gateway.ingest.formats.forms import urlencoded
from gateway.ingest.formats.measurement_protocol.body import Translated, translate
from gateway.ingest.formats.measurement_protocol.hit import parameters, read
from gateway.ingest.formats.measurement_protocol.names import names_with
from gateway.ingest.pipeline import SLICE, nowhere
from gateway.ingest.problem import RequestRefused
from gateway.web.body import Reading, Receive
from gateway.web.browser import MAX_BYTES, browser_hints, cors_of, may_use, peer, preflight
from gateway.web.doors import send_answer
from gateway.web.keys import Kind, key_in
from gateway.web.problem import ANSWER_HEADERS, JSON, Headers, Send, send_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from gateway.config import Source
    from gateway.ingest.draft import BrowserHints
    from gateway.ingest.pipeline import Taken
    from gateway.web.service import Effective, Service

#: Parameters that name the stream: of a page's tag, of an app.
STREAMS = ("measurement_id", "firebase_app_id")

# https://developers.google.com/analytics/devguides/collection/protocol/ga4/validating-events: our code → theirs.
VALIDATION_CODES = {
    "required": "VALUE_REQUIRED",
    "too_long": "VALUE_OUT_OF_BOUNDS",
    "too_many": "EXCEEDED_MAX_ENTITIES",
    "in_future": "VALUE_OUT_OF_BOUNDS",
    "out_of_range": "VALUE_OUT_OF_BOUNDS",
}
OTHERWISE = "VALUE_INVALID"


_encode = msgspec.json.Encoder().encode


async def post_measurements(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Take a body of the Measurement Protocol in."""
    effective = service.effective
    source, app = _of_secret(effective, scope)
    with _reading(service, scope, receive) as reading:
        translated = await _measured(await reading.plain(dict(scope["headers"])), source, effective, app=app)
        answer = await _accept(service, effective, translated, source, "measurement_protocol", scope)
    await _done(send, answer)


async def validate_measurements(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Say what would be found wrong; store nothing."""
    effective = service.effective
    source, app = _of_secret(effective, scope)
    with _reading(service, scope, receive) as reading:
        translated = await _measured(await reading.plain(dict(scope["headers"])), source, effective, app=app)
        taken = await effective.door.take_all(Body([one.event for one in translated], odd=True), source)
    found = [message for one, whole in zip(translated, taken, strict=True) for message in messages(one, whole)]
    await send_json(send, 200, JSON, _encode({"validationMessages": found}))


async def collect_hits(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Take the events of a tag in, or answer its preflight."""
    effective = service.effective
    pairs: Headers = list(scope["headers"])
    headers = dict(pairs)
    origin, cors = headers.get(b"origin", b"").decode("latin-1").lower(), cors_of(service, headers)
    if scope["method"] == "OPTIONS":
        await preflight(send, cors)
        return
    scope[ANSWER_HEADERS] = cors
    shared = parameters(scope["query_string"].decode("latin-1"))
    source = _of_stream(effective, shared.get("tid"))
    if not may_use(origin, source.origins):
        raise RequestRefused(403, "origin_not_allowed", "this origin is not among the source's origins")
    server = effective.settings.server
    limit = min(server.max_body_bytes, MAX_BYTES)
    with Reading(scope, receive, service.budget, limit, service.pace) as reading:
        data = (await reading.plain(headers)).decode("utf-8", "replace")
        lines = [line.strip() for line in data.split("\n", server.max_events + 1) if line.strip()]
        names = names_with(source.ga_events)
        bodies = counted(read(shared, lines), server.max_events)
        translated = [one for body in bodies for one in translate(body, names=names)]
        hints = browser_hints(pairs, peer(scope), server.trusted_proxies)
        answer = await _accept(service, effective, translated, source, "tag", scope, hints)
    await _done(send, answer, cors)


def _reading(service: Service, scope: Scope, receive: Receive) -> Reading:
    return Reading(scope, receive, service.budget, service.effective.settings.server.max_body_bytes, service.pace)


def _of_secret(effective: Effective, scope: Scope) -> tuple[Source, bool]:
    """Whose request it is, and whether it is an app's. Raises `RequestRefused`: 401, 403."""
    asked = urlencoded(scope["query_string"])
    source = effective.keys.source(key_in(dict(scope["headers"])) or asked.get("api_secret"), Kind.SECRET)
    stream, app = next(((asked[key], key != STREAMS[0]) for key in STREAMS if asked.get(key)), (b"", False))
    if source.measurement_ids and stream.decode("utf-8", "replace") not in source.measurement_ids:
        raise RequestRefused(403, "unknown_measurement_id", "this key's source has no stream of this measurement id")
    return source, app


def _of_stream(effective: Effective, stream: str | None) -> Source:
    for source in effective.settings.sources.values():
        if stream and stream in source.measurement_ids and source.kind == "events":
            return source
    raise RequestRefused(403, "unknown_measurement_id", "no source has a stream of this measurement id (`tid`)")


async def _measured(data: bytes, source: Source, effective: Effective, *, app: bool) -> list[Translated]:
    body = read_json(data)
    if not isinstance(body, dict) or not isinstance(body.get("events"), list):
        raise RequestRefused(400, "no_events", 'the body must be an object: {"client_id": "…", "events": […]}')
    counted(body["events"], effective.settings.server.max_events)
    app = app or (bool(body.get("app_instance_id")) and not body.get("client_id"))
    found = []
    for one in translate(body, app=app, names=names_with(source.ga_events)):
        if one.place % SLICE == SLICE - 1:
            await anyio.lowlevel.checkpoint()
        found.append(one)
    return found


async def _accept(
    service: Service,
    effective: Effective,
    translated: Sequence[Translated],
    source: Source,
    door: str,
    scope: Scope,
    hints: BrowserHints | None = None,
) -> dict[str, Any] | None:
    """The answer of the pipeline; `None` where none of the events is of a kind that is kept."""
    if not translated:
        return None
    return await service.accept(
        effective, Body([one.event for one in translated], odd=True), source, door, scope, hints
    )


async def _done(send: Send, answer: dict[str, Any] | None, headers: Headers | None = None) -> None:
    """204 as Google's door answers, once an event is on disk; what was refused as a whole is told as everywhere."""
    if answer is not None and not (answer["accepted"] or answer["duplicates"]):
        await send_answer(send, answer, headers or ())
        return
    await send({"type": "http.response.start", "status": 204, "headers": list(headers or ())})
    await send({"type": "http.response.body", "body": b""})


def messages(one: Translated, taken: Taken) -> list[dict[str, str]]:
    """What is to be said of an event, in the form of Google's validation server. `code` is ours: docs/codes.md."""
    at = f"events[{one.place}]"
    told = [
        {
            "fieldPath": f"{at}{fault.path}".replace("/", "."),
            "description": fault.message,
            "validationCode": VALIDATION_CODES.get(fault.code, OTHERWISE),
            "code": fault.code,
        }
        for fault in (*taken.errors, *taken.draft.warnings)
    ]
    left_out = ({"fieldPath": f"{at}.{note.partition(':')[0]}", "description": note} for note in one.notes)
    told += [{**note, "validationCode": OTHERWISE, "code": "left_out"} for note in left_out]
    routing = taken.draft.routing if taken.record is not None else None
    if why := nowhere(routing.statuses) if routing is not None else []:
        words = f"no destination would get it: {', '.join(why)}"
        told.append({"fieldPath": at, "description": words, "validationCode": OTHERWISE, "code": why[0]})
    return told
