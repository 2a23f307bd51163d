"""What all routes share: the configuration in effect, the outbox, the counters."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from gateway.config import Settings
from gateway.delivery.dispatcher import Dispatcher
from gateway.delivery.status import written
from gateway.ingest.pipeline import Door
from gateway.log import get_logger
from gateway.model.errors import OutboxFull
from gateway.outbox import Outbox, lanes
from gateway.web.body import Budget, Pace
from gateway.web.keys import Keys
from gateway.web.metrics import Metrics
from gateway.web.problem import FULL_S
from gateway.web.telling import Seldom, request_id, tell_taken, tells_all

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from starlette.types import Scope

    from gateway.config import Source
    from gateway.delivery.status import LaneStatus
    from gateway.ingest.decode import Body
    from gateway.ingest.draft import BrowserHints
    from gateway.ingest.pipeline import Observe


log = get_logger("web")
A = TypeVar("A")

#: Codes of faults that tell of personal data where it does not belong; list positions in their paths.
MISPLACED = frozenset({"personal_data", "personal_data_removed"})
POSITIONS = re.compile(r"/\d+(?=/|$)")


@dataclass(frozen=True, slots=True)
class Stopped:
    """A destination that takes nothing for now."""

    instance: str
    #: `paused`, or `broken` while the platform does not answer.
    state: str
    #: Unix seconds.
    since: float | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Effective:
    """One configuration and what was made of it. A reload puts another in its place; requests under way keep theirs."""

    settings: Settings
    door: Door
    keys: Keys

    @classmethod
    def of(cls, settings: Settings, outbox: Outbox) -> Effective:
        """Make the door and the keys of a configuration."""
        return cls(settings, Door(settings, outbox), Keys(settings.sources.values(), settings.server.admin_tokens))


@dataclass(slots=True)
class Service:
    """The state of one process that serves."""

    effective: Effective
    outbox: Outbox
    metrics: Metrics = field(default_factory=Metrics)
    #: If it runs in this process. Another process may have the lease all the same.
    dispatcher: Dispatcher | None = None
    #: No new work: what is under way is being finished.
    draining: bool = False
    #: Until when (`time.monotonic`) the disk counts as full. It ends by itself, so that somebody tries again.
    full_until: float = 0.0
    budget: Budget = field(default_factory=Budget)
    pace: Pace = field(default_factory=Pace)
    seldom: Seldom = field(default_factory=Seldom)
    #: One request about a person at a time: each may read all links of the log.
    one_person: anyio.Lock = field(default_factory=anyio.Lock)
    #: Work that goes on although nobody waits for it any more.
    background: set[asyncio.Task[Any]] = field(default_factory=set)
    #: The log says something of each request.
    tells_all: bool = field(default_factory=tells_all)

    def __post_init__(self) -> None:
        self.metrics.watch(self.outbox, lambda: self.lanes() or (), lambda: self.effective.settings.enabled)

    def in_background(self, work: Coroutine[Any, Any, A]) -> asyncio.Task[A]:
        """Begin work that goes on when whoever asked for it stops waiting. The log tells what goes wrong with it."""
        task = asyncio.create_task(work)
        self.background.add(task)
        task.add_done_callback(self._over)
        return task

    def _over(self, task: asyncio.Task[Any]) -> None:
        self.background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background_failed", exc_info=error)

    def lanes(self) -> Sequence[LaneStatus] | None:
        """The lanes, if they run in this process."""
        return self.dispatcher.status() if self.dispatcher is not None and self.dispatcher.has_lease else None

    async def stopped(self) -> list[Stopped]:
        """The destinations that take nothing for now."""
        found = self.lanes()
        if found is None:
            enabled = self.effective.settings.enabled
            found = [written(row) for row in await self.outbox.read(lambda db: lanes.stopped(db, enabled))]
        return [
            Stopped(lane.instance, lane.state, lane.since, lane.code, lane.message)
            for lane in found
            if lane.state in ("paused", "broken")
        ]

    def _tell_misplaced(self, results: Sequence[Mapping[str, Any]], source: str, door: str) -> None:
        """Have the operator hear which source sends personal data in which field."""
        for one in results:
            for fault in (*one.get("warnings", ()), *one.get("errors", ())):
                if fault["code"] in MISPLACED:
                    path = POSITIONS.sub("", fault["path"])
                    if count := self.seldom.count("personal_data_found", path, source):
                        log.warning("personal_data_found", path=path, source=source, door=door, count=count)

    async def accept(
        self,
        effective: Effective,
        body: Body,
        source: Source,
        door: str,
        scope: Scope,
        hints: BrowserHints | None = None,
        observe: Observe | None = None,
    ) -> dict[str, Any]:
        """Take a body's events in, and count them. Returns the answer once they are on disk."""
        start = time.perf_counter()
        try:
            answer = await effective.door.accept(body, source, hints, observe)
        except OutboxFull:
            self.full_until = time.monotonic() + FULL_S
            raise
        duration_s = time.perf_counter() - start
        self.metrics.of(source.name, door).answered(answer, duration_s)
        self.metrics.told(answer["results"])
        if answer["rejected"]:
            refused = next(one for one in answer["results"] if one["status"] == "rejected")
            code = refused["errors"][0]["code"]
            if count := self.seldom.count("events_rejected", code, source.name):
                log.warning(
                    "events_rejected",
                    code=code,
                    count=count,
                    source=source.name,
                    door=door,
                    request_id=request_id(scope),
                )
        self._tell_misplaced(answer["results"], source.name, door)
        if self.tells_all:
            tell_taken(scope, source.name, door, answer["results"], duration_s)
        return answer
