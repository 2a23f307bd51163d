"""What happened to an event: received, consent, fields, attempts; for each destination, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from gateway.delivery.claims import Claimer
from gateway.ingest.gate import Gate
from gateway.ingest.record import read
from gateway.insight.steps import Step, steps
from gateway.log import clean
from gateway.model.delivery import Skip, State
from gateway.model.event import Joined
from gateway.outbox import queries, standing
from gateway.outbox.people import denials_of
from gateway.outbox.standing import AttemptRow
from gateway.privacy.consent import STRINGS
from gateway.privacy.minimize import after_withdrawal
from gateway.privacy.sealing import Unopened
from gateway.privacy.withdrawal import decide_with

if TYPE_CHECKING:
    from gateway.config import Instance, Settings
    from gateway.model.event import Consent, Event
    from gateway.outbox.engine import Connection
    from gateway.outbox.lanes import LaneRow
    from gateway.outbox.queries import EventRow
    from gateway.outbox.standing import Standing
    from gateway.privacy.withdrawal import Denial


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
class Pause:
    """Why nothing is sent to a destination just now."""

    #: Unix seconds.
    since: float
    code: str
    message: str


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
    #: Match keys that the destination may have, hashed or (`clear`) not: `email`, `zip (clear)`.
    match_keys: tuple[str, ...]
    #: Names (never values) of the fields that the platform gets, in its own words, as dotted paths.
    fields: tuple[str, ...]
    attempts: tuple[AttemptRow, ...]
    #: Only of a delivery that has to wait for the end of it.
    paused: Pause | None = None


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
    #: Why what is kept cannot be read, such as for want of its key; empty if it can, or nothing is kept.
    unreadable: str = ""
    event_time: float | None = None
    action_source: str = ""
    test: bool = False
    region: str | None = None
    #: The signals that were given; of a consent string only that it was there.
    signals: Mapping[str, str | bool] = field(default_factory=dict)
    #: Dotted path → where it comes from, of what a visit of the same person told.
    joined: Mapping[str, Joined] = field(default_factory=dict)
    #: Instance → what became of it there.
    destinations: Mapping[str, Delivery] = field(default_factory=dict)


class Explainer:
    """Explains events under one configuration."""

    def __init__(self, settings: Settings) -> None:
        gate = Gate(settings)
        self._policy, self._keyring = gate.policy, gate.keyring
        self._instances = settings.enabled
        self._claimers = {name: Claimer(instance, gate) for name, instance in self._instances.items()}

    def explain(self, db: Connection, event_id: str) -> list[Explained]:
        """Every event with this id, oldest first."""
        return [self.event(db, row) for row in queries.find(db, event_id)]

    def event(self, db: Connection, row: EventRow) -> Explained:
        """One event."""
        payload, clear = queries.payload(db, row.seq)
        event, unreadable = self._read(payload, clear)
        about = (row.seq, row.event_id, row.event_name, row.source, row.received_at)
        deliveries = self._deliveries(db, row, event, denials_of(db, [row.seq]).get(row.seq))
        if event is None:
            return Explained(*about, payload_kept=False, unreadable=unreadable, destinations=deliveries)
        return Explained(
            *about,
            payload_kept=True,
            event_time=event.event_time,
            action_source=event.action_source,
            test=event.test,
            region=event.region,
            signals=_signals(event.consent),
            joined=event.joined,
            destinations=deliveries,
        )

    def _read(self, payload: bytes | None, clear: bytes | None) -> tuple[Event | None, str]:
        try:
            return (read(payload, clear, self._keyring) if payload is not None else None), ""
        except Unopened as error:
            return None, str(error)

    def _deliveries(
        self, db: Connection, row: EventRow, event: Event | None, denial: Denial | None
    ) -> dict[str, Delivery]:
        entries = standing.decided(db, row.decision)
        known = standing.lane_rows(db)
        found = {}
        for name, at in standing.standings(db, [row])[row.seq].items():
            tries = standing.attempts(db, known[name].id, row.seq) if name in known else []
            made = self._delivery(name, at, entries.get(name), event, denial, tries)
            found[name] = replace(made, paused=_pause(at, known.get(name)))
        return found

    def _delivery(
        self,
        name: str,
        at: Standing,
        entry: tuple[str, str, str, str] | None,
        event: Event | None,
        denial: Denial | None,
        tries: list[AttemptRow],
    ) -> Delivery:
        outcome, reason, detail, rule = entry or ("", "", "", "not configured when the event came")
        instance = self._instances.get(name)
        answer = ConsentAnswer(outcome, detail or reason, rule)
        if event is not None and instance is not None:
            answer = self._asked_again(answer, event, instance, denial)
        limited = (answer.now or outcome) == "send_limited"
        view = (
            self._view(event, instance, denial, limited=limited) if event is not None and instance is not None else None
        )
        return Delivery(
            state=str(at.state),
            code=at.code,
            message=clean(at.message),
            tries=at.tries or len(tries),
            first_at=at.first_at if at.first_at is not None else (tries[0].started_at if tries else None),
            next_at=at.next_at,
            since=at.since,
            consent=answer,
            match_keys=_match_keys(view) if view is not None and answer.now != "skip" else (),
            fields=self._fields(view, instance) if view is not None and instance and answer.now != "skip" else (),
            attempts=tuple(_cleaned(one) for one in tries),
        )

    def _view(self, event: Event, instance: Instance, denial: Denial | None, *, limited: bool) -> Event | None:
        if denial is not None:
            event = after_withdrawal(event, denial, instance.name, self._policy)
        return self._claimers[instance.name].view(event, limited=limited)

    def _fields(self, view: Event, instance: Instance) -> tuple[str, ...]:
        try:
            item = instance.destination.map_event(view, instance.config)
        except Exception:  # a plugin's mistake: the delivery's own state tells it
            return ()
        return () if isinstance(item, Skip) else tuple(paths(item))

    def _asked_again(
        self, answer: ConsentAnswer, event: Event, instance: Instance, denial: Denial | None
    ) -> ConsentAnswer:
        asked = (event.consent, event.region, instance.requirement, self._policy, event.received_at)
        now = str(decide_with(denial, instance.name, *asked).action)
        why = steps(*asked, instance=instance.name, denial=denial)
        return ConsentAnswer(answer.outcome, answer.reason, answer.rule, now, why)


def paths(item: object, at: str = "") -> list[str]:
    """The dotted paths of what an item holds, without values; those of a list's entries count once."""
    if isinstance(item, Mapping):
        found = [path for key, value in item.items() for path in paths(value, f"{at}.{key}" if at else str(key))]
    elif isinstance(item, list | tuple) and any(isinstance(entry, Mapping) for entry in item):
        found = [path for entry in item for path in paths(entry, f"{at}[]")]
    else:
        found = [at]
    return list(dict.fromkeys(found))


def _pause(at: Standing, lane: LaneRow | None) -> Pause | None:
    if lane is None or lane.paused_at is None or at.state not in (State.QUEUED, State.WAITING):
        return None
    return Pause(lane.paused_at, lane.pause_code, clean(lane.pause_message))


def _match_keys(view: Event) -> tuple[str, ...]:
    return (*sorted(view.digests), *(f"{key} (clear)" for key in sorted(view.clear)))


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
