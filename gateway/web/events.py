"""`POST /v1/events` and `POST /v1/validate`: canonical events from a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from gateway.delivery.preview import preview
from gateway.ingest.decode import Body, read_body
from gateway.ingest.pipeline import ERASED, Taken, accepted, rejected
from gateway.web.body import Reading, Receive
from gateway.web.doors import content_type, send_answer
from gateway.web.keys import Kind, key_in
from gateway.web.problem import Json, Send

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

    from gateway.config import Source
    from gateway.web.service import Effective, Service


async def post_events(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Take events in. On the hot path: no middleware, the headers are looked at once."""
    effective = service.effective
    headers = dict(scope["headers"])
    source = effective.keys.source(key_in(headers), Kind.SECRET)
    server = effective.settings.server
    with Reading(scope, receive, service.budget, server.max_body_bytes, service.pace) as reading:
        data = await reading.plain(headers)
        body = read_body(data, content_type(headers), "", max_bytes=server.max_body_bytes, max_events=server.max_events)
        answer = await service.accept(effective, body, source, "events", scope)
    await send_answer(send, answer)


async def validate(request: Request) -> Json:
    """Say what would happen to events; store nothing."""
    service: Service = request.state.service
    effective = service.effective
    headers = dict(request.scope["headers"])
    source = effective.keys.source(key_in(headers), Kind.SECRET)
    server = effective.settings.server
    with Reading(request.scope, request.receive, service.budget, server.max_body_bytes, service.pace) as reading:
        data = await reading.plain(headers)
        body = read_body(data, content_type(headers), "", max_bytes=server.max_body_bytes, max_events=server.max_events)
        return Json(await what_if(service, effective, body, source))


async def what_if(service: Service, effective: Effective, body: Body, source: Source) -> dict[str, Any]:
    """The answer of `POST /v1/validate`.

    Only the outbox knows what came before, so that duplicates are found within the body alone.
    """
    seen: set[int] = set()
    results = []
    counts = {"accepted": 0, "duplicates": 0, "rejected": 0}
    for index, taken in enumerate(await effective.door.take_all(body, source)):
        await anyio.lowlevel.checkpoint()  # a preview takes its time: others get their turn after each
        if taken.record is None:
            counts["rejected"] += 1
            results.append(rejected(index, taken))
        elif service.outbox.is_of_the_past(taken.record):
            counts["rejected"] += 1
            results.append(rejected(index, taken._replace(record=None, errors=(ERASED,))))
        elif taken.record.dedup_key in seen:
            counts["duplicates"] += 1
            results.append({"index": index, "event_id": taken.draft.event_id, "status": "duplicate"})
        else:
            seen.add(taken.record.dedup_key)
            counts["accepted"] += 1
            results.append(_previewed(effective, index, taken))
    return {**counts, "results": results}


def _previewed(effective: Effective, index: int, taken: Taken) -> dict[str, Any]:
    result = accepted(index, taken)
    result["duplicate"] = "unknown"
    previews = preview(effective.door, taken, effective.settings)
    statuses = dict(result["destinations"])
    for name, shown in previews.items():  # what only the mapping finds out is known here
        if "skipped" in shown and statuses.get(name) == "queued":
            statuses[name] = f"skipped:{shown['skipped']['reason']}"
    return {**result, "destinations": statuses, "preview": previews}
