"""What happened to an event: received, consent, fields, attempts; for each destination, and why."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from gateway.delivery.claims import Claimer
from gateway.ingest.gate import Gate
from gateway.ingest.record import read
from gateway.insight.steps import Step, steps
from gateway.log import clean
from gateway.outbox import queries, standing
from gateway.privacy.consent import STRINGS, decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Instance, Settings
    from gateway.model.event import Consent, Event
    from gateway.outbox.engine import Connection
    from gateway.outbox.queries import EventRow
    from gateway.outbox.standing import AttemptRow, Standing

#: Parts of an event whose entries are named one by one.
_PARTS = ("digests", "clear", "user_data", "custom_data", "app", "messaging", "original_event")
_URLS = ("event_source_url", "referrer_url")


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """What the gate said of one event and one destination."""

    #: At the door: `send`, `send_limited`, `skipped` or `dry_run`; empty when the destination was not asked for.
    outcome: str
    #: At the door: the code and the rule.
    reason: str
    rule: str
    #: Under the present configuration: `send`, `send_limited` or `skip`; empty when that cannot be told any more.
    now: str = ""
    #: Under the present configuration: the gate's questions up to the one that decided.
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event and one destination."""

    state: str
    #: Why, in a word and in words.
    code: str
    message: str
    tries: int
    #: Unix seconds: first try, next try, and since when it is in this state.
    first_at: float | None
    next_at: float | None
    since: float | None
    consent: ConsentAnswer
    #: Names (never values) of what the destination may see of the event, as dotted paths: `digests.email`.
    fields: tuple[str, ...]
    attempts: tuple[AttemptRow, ...]


@dataclass(frozen=True, slots=True)
class Explained:
    """One event."""

    #: Its number in the log.
    seq: int
    event_id: str
    event_name: str
    source: str
    #: Unix seconds.
    received_at: float
    #: Whether what it says is still kept; when not, the fields below are empty.
    payload_kept: bool
    event_time: float | None = None
    action_source: str = ""
    test: bool = False
    region: str | None = None
    #: The signals that were given; of a consent string only that it was there.
    signals: Mapping[str, str | bool] = field(default_factory=dict)
    #: Instance → what became of it there.
    destinations: Mapping[str, Delivery] = field(default_factory=dict)


class Explainer:
    """Explains events under one configuration."""

    def __init__(self, settings: Settings) -> None:
        gate = Gate(settings)
        self._policy = gate.policy
        self._instances = settings.enabled
        self._claimers = {name: Claimer(instance, gate) for name, instance in self._instances.items()}

    def explain(self, db: Connection, event_id: str) -> list[Explained]:
        """Every event with this id, oldest first."""
        return [self.event(db, row) for row in queries.find(db, event_id)]

    def event(self, db: Connection, row: EventRow) -> Explained:
        """One event."""
        payload, clear = queries.payload(db, row.seq)
        event = read(payload, clear) if payload is not None else None
        about = (row.seq, row.event_id, row.event_name, row.source, row.received_at)
        deliveries = self._deliveries(db, row, event)
        if event is None:
            return Explained(*about, payload_kept=False, destinations=deliveries)
        return Explained(
            *about,
            payload_kept=True,
            event_time=event.event_time,
            action_source=event.action_source,
            test=event.test,
            region=event.region,
            signals=_signals(event.consent),
            destinations=deliveries,
        )

    def _deliveries(self, db: Connection, row: EventRow, event: Event | None) -> dict[str, Delivery]:
        entries = standing.decided(db, row.decision)
        known = standing.lane_rows(db)
        found = {}
        for name, at in standing.standings(db, [row])[row.seq].items():
            tries = standing.attempts(db, known[name].id, row.seq) if name in known else []
            found[name] = self._delivery(name, at, entries.get(name), event, tries)
        return found

    def _delivery(
        self,
        name: str,
        at: Standing,
        entry: tuple[str, str, str, str] | None,
        event: Event | None,
        tries: list[AttemptRow],
    ) -> Delivery:
        outcome, reason, detail, rule = entry or ("", "", "", "not configured when the event came")
        instance = self._instances.get(name)
        answer = ConsentAnswer(outcome, detail or reason, rule)
        if event is not None and instance is not None:
            answer = self._asked_again(answer, event, instance)
        limited = (answer.now or outcome) == "send_limited"
        view = self._claimers[name].view(event, limited=limited) if event is not None and instance is not None else None
        return Delivery(
            state=str(at.state),
            code=at.code,
            message=clean(at.message),
            tries=at.tries or len(tries),
            first_at=at.first_at if at.first_at is not None else (tries[0].started_at if tries else None),
            next_at=at.next_at,
            since=at.since,
            consent=answer,
            fields=field_names(view) if view is not None and answer.now != "skip" else (),
            attempts=tuple(_cleaned(one) for one in tries),
        )

    def _asked_again(self, answer: ConsentAnswer, event: Event, instance: Instance) -> ConsentAnswer:
        asked = (event.consent, event.region, instance.requirement, self._policy)
        now = str(decide(*asked).action)
        return ConsentAnswer(answer.outcome, answer.reason, answer.rule, now, steps(*asked))


def field_names(view: Event) -> tuple[str, ...]:
    """What a destination is shown of an event, as dotted paths without values."""
    entries = [f"{part}.{key}" for part in _PARTS for key in sorted(getattr(view, part))]
    return (*entries, *(name for name in _URLS if getattr(view, name)))


def _signals(consent: Consent) -> dict[str, str | bool]:
    given = {one.name: getattr(consent, one.name) for one in fields(consent)}
    return {
        name: "given" if name in STRINGS else ",".join(map(str, value)) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None
    }


def _cleaned(attempt: AttemptRow) -> AttemptRow:
    """A platform may repeat what it was sent: nothing personal of that is shown."""
    return replace(attempt, message=clean(attempt.message))
