"""The door's sentence: validate, recognise, join, enrich, consent, hash, record. All doors share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import anyio.lowlevel

from gateway.ingest.digest import digest
from gateway.ingest.draft import BrowserHints, Draft, Setup
from gateway.ingest.enrich import enrich
from gateway.ingest.gate import Gate, gate
from gateway.ingest.join import join
from gateway.ingest.misplaced import refuse_misplaced
from gateway.ingest.recall import recall
from gateway.ingest.record import record
from gateway.ingest.validate import validate
from gateway.ingest.visitor import recognise
from gateway.model.errors import EventInvalid, Fault
from gateway.privacy.hashing import DigestPlan
from gateway.privacy.identity import unasked
from gateway.privacy.minimize import asked_for
from gateway.schema import MAX_FAULTS

if TYPE_CHECKING:
    from gateway.config import Settings, Source
    from gateway.ingest.decode import Body
    from gateway.outbox import Appended, Outbox, Record

Stage: TypeAlias = Callable[[Draft, Setup], None]

#: The stages in their order. A stage of your own goes between `enrich` and `gate`: it may change the draft and warn, or
#: raise `EventInvalid`.
STAGES: tuple[Stage, ...] = (validate, recognise, join, enrich, gate, digest, recall)

#: Refused events of one body of which all faults are told; of the others the first, as an explanation costs more than
#: an event.
EXPLAINED = 20
#: Events after which a large body lets others have their turn.
SLICE = 25


#: Why an event is refused that would bring somebody back.
ERASED = Fault("/user_data", "person_erased", "it happened before this person was erased; it was not stored")


class Taken(NamedTuple):
    """One event after the stages: what is to be stored, or why it is refused."""

    draft: Draft
    record: Record | None
    errors: tuple[Fault, ...] = ()


Observe: TypeAlias = Callable[[Sequence[Taken]], None]


class Door:
    """The stages under one configuration, in front of the outbox."""

    def __init__(self, settings: Settings, outbox: Outbox | None, clock: Callable[[], float] = time.time) -> None:
        instances = settings.enabled.values()
        declared = [
            (asked_for(one.digests, one.deny_fields), asked_for(one.destination.clear, one.deny_fields))
            for one in instances
        ]
        plan = DigestPlan.all(declared) if settings.privacy.all_digest_rules else DigestPlan.of(declared)
        parameters = settings.privacy.url_parameters
        self.gate = Gate(settings)
        self.setup = Setup(
            gate=self.gate,
            plan=plan,
            unasked=unasked(plan),
            recall=outbox,
            visits=outbox,
            remembering=settings.remembering,
            visit_retention_s=settings.privacy.visit_retention_s,
            order_retention_s=settings.outbox.retention_s,
            withheld=frozenset.intersection(*(one.deny_fields for one in instances)) if instances else frozenset(),
            destinations=frozenset(settings.enabled),
            url_parameters=frozenset(parameters) if parameters is not None else None,
        )
        self._refuses_misplaced = settings.privacy.misplaced == "refuse"
        self._outbox = outbox
        self._clock = clock

    def now(self) -> float:
        """The door's time, Unix seconds."""
        return self._clock()

    def take(
        self,
        raw: Any,
        source: Source,
        now: float,
        *,
        hints: BrowserHints | None = None,
        odd: bool = False,
        most_faults: int = MAX_FAULTS,
    ) -> Taken:
        """Run one event through the stages."""
        draft = Draft(raw, source, now, hints, odd, most_faults)
        if isinstance(raw, Fault):  # an unreadable line
            return Taken(draft, None, (raw,))
        try:
            for stage in STAGES:
                stage(draft, self.setup)
            made = record(draft, self.setup)
            if self._refuses_misplaced:
                refuse_misplaced(draft)
            return Taken(draft, made)
        except EventInvalid as error:
            return Taken(draft, None, error.faults)

    async def take_all(self, body: Body, source: Source, hints: BrowserHints | None = None) -> list[Taken]:
        """Run a body's events through the stages, with a pause for others every few dozen."""
        now = self._clock()
        taken: list[Taken] = []
        wrong = 0
        for index, raw in enumerate(body.events):
            if index % SLICE == SLICE - 1:
                await anyio.lowlevel.checkpoint()
            most = MAX_FAULTS if wrong < EXPLAINED else 1
            taken.append(self.take(raw, source, now, hints=hints, odd=body.odd, most_faults=most))
            wrong += taken[-1].record is None
        return taken

    async def accept(
        self, body: Body, source: Source, hints: BrowserHints | None = None, observe: Observe | None = None
    ) -> dict[str, Any]:
        """Take a body's events in and store them. Returns the answer to the sender once they are on disk.

        `observe` is shown before what the stages made of them.
        """
        if self._outbox is None:
            raise RuntimeError("this door has no outbox behind it")
        taken = await self.take_all(body, source, hints)
        if observe is not None:
            observe(taken)
        records = [one.record for one in taken if one.record is not None]
        appended = await self._outbox.append(records) if records else []
        return answer(taken, appended, to_browser=hints is not None)


def answer(taken: Sequence[Taken], appended: Iterable[Appended], *, to_browser: bool = False) -> dict[str, Any]:
    """What `POST /v1/events` answers: see docs/api.md.

    `to_browser`: whoever knows an address could ask with a public key, so nothing is told of what is remembered of
    people. An event is answered as if nobody had withdrawn or been erased.
    """
    stored = iter(appended)
    results = []
    counts = {"accepted": 0, "duplicates": 0, "rejected": 0}
    for index, one in enumerate(taken):
        if one.record is None:
            counts["rejected"] += 1
            results.append(rejected(index, one))
            continue
        one_stored = next(stored)
        if one_stored.erased and not to_browser:
            counts["rejected"] += 1
            results.append(rejected(index, one._replace(record=None, errors=(ERASED,))))
        elif one_stored.duplicate:
            counts["duplicates"] += 1
            results.append({"index": index, "event_id": one.draft.event_id, "status": "duplicate"})
        else:
            counts["accepted"] += 1
            results.append(accepted(index, one, to_browser=to_browser))
    return {**counts, "results": results}


def accepted(index: int, taken: Taken, *, to_browser: bool = False) -> dict[str, Any]:
    """The result of an event that was taken."""
    draft = taken.draft
    routing = (draft.by_itself if to_browser else None) or draft.routing
    result: dict[str, Any] = {"index": index, "event_id": draft.event_id, "status": "accepted"}
    if draft.warnings:
        result["warnings"] = faults(draft.warnings)
    result["destinations"] = routing.statuses if routing else {}
    return result


def nowhere(statuses: Mapping[str, str]) -> list[str]:
    """Why no destination gets an event, by its statuses; empty if one does."""
    reasons = sorted({one.removeprefix("skipped:") for one in statuses.values()})
    return reasons if all(one.startswith("skipped:") for one in statuses.values()) else []


def rejected(index: int, taken: Taken) -> dict[str, Any]:
    """The result of an event that was refused."""
    return {"index": index, "status": "rejected", "errors": faults(taken.errors)}


def faults(found: Sequence[Fault]) -> list[dict[str, str]]:
    """Faults as the answer writes them."""
    return [{"path": one.path, "code": one.code, "message": one.message} for one in found]
