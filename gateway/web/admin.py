"""`/admin/api/…`: what an operator asks a running gateway, read only, behind a token of its own.

Without `admin_token` there is nothing here: the answer is that of any other unknown path. No page of another origin can
read an answer, as none has CORS headers, and nothing keeps one, as all say `no-store`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

from starlette.routing import Route

import gateway
from gateway.ingest.problem import RequestRefused
from gateway.insight import dead
from gateway.insight.explain import Explainer
from gateway.log import get_logger
from gateway.outbox import queries, standing
from gateway.web.keys import KeyRefused, key_in
from gateway.web.problem import ANSWER_HEADERS, NOT_FOUND, Headers, Json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from gateway.outbox.engine import Connection
    from gateway.web.service import Service

log = get_logger("admin")

#: What every answer says, refusals too.
_HEADERS: Headers = [(b"cache-control", b"no-store")]


@dataclass(frozen=True, slots=True)
class LaneNow:
    """A destination and how its lane is."""

    instance: str
    #: `running`, `paused`, or `broken` while the platform does not answer.
    state: str
    #: Unix seconds; `None` while it runs.
    since: float | None
    code: str
    message: str
    #: Events that it has still to come to, and deliveries that wait.
    behind: int
    #: Dead letters.
    dead: int


def guarded(work: Callable[[Service, Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Json]]:
    """A route that answers the holder of the admin token, and nobody else."""

    @wraps(work)
    async def handle(request: Request) -> Json:
        service: Service = request.state.service
        keys = service.effective.keys
        if not keys.has_admin:
            raise RequestRefused(404, *NOT_FOUND)
        request.scope[ANSWER_HEADERS] = _HEADERS
        try:
            keys.admin(key_in({name.lower(): value for name, value in request.headers.raw}))
        except KeyRefused as refused:
            if count := service.seldom.count("admin_refused", refused.code):
                log.warning("admin_refused", code=refused.code, count=count)
            raise
        return Json(await work(service, request), headers={"Cache-Control": "no-store"})

    return handle


@guarded
async def status(service: Service, _request: Request) -> dict[str, Any]:
    """How it is: each destination's lane, and totals."""
    enabled = service.effective.settings.enabled
    running = service.lanes()
    stopped = {one.instance: one for one in await service.stopped()}

    def work(db: Connection) -> dict[str, Any]:
        behind, letters = standing.behind(db, enabled), dead_by_instance(db)
        lanes = []
        for name in enabled:
            at = stopped.get(name)
            about = (at.state, at.since, at.code, at.message) if at else ("running", None, "", "")
            lanes.append(LaneNow(name, *about, behind.get(name, 0), letters.get(name, 0)))
        totals = {"behind": sum(behind.values()), "dead": sum(letters.values())}
        return {"lanes": lanes, "totals": {**totals, "last_stored_at": queries.last_commit(db)}}

    found: dict[str, Any] = await service.outbox.read(work)
    ready = service.outbox.failure is None and not service.draining
    return {"version": gateway.__version__, "ready": ready, "dispatches_here": running is not None, **found}


def dead_by_instance(db: Connection) -> dict[str, int]:
    """Instance → how many dead letters it has."""
    found: dict[str, int] = {}
    for group in queries.dead_groups(db):
        found[group.instance] = found.get(group.instance, 0) + group.count
    return found


@guarded
async def dead_letters(service: Service, _request: Request) -> dict[str, Any]:
    """Dead letters by cause, as `gateway dead list --json` tells them."""
    settings = service.effective.settings
    return {"groups": await service.outbox.read(lambda db: dead.groups(db, settings))}


@guarded
async def event(service: Service, request: Request) -> dict[str, Any]:
    """What happened to an event, as `gateway explain --json` tells it."""
    settings, event_id = service.effective.settings, request.path_params["event_id"]
    found = await service.outbox.read(lambda db: Explainer(settings).explain(db, event_id))
    if not found:
        raise RequestRefused(404, "no_such_event", "no event with this id is known, or not any more")
    return {"events": found}


ROUTES = (
    Route("/admin/api/status", status),
    Route("/admin/api/dead", dead_letters),
    Route("/admin/api/events/{event_id:path}", event),
)
