"""What would become of a stored event if a destination's lane took it up now: the lane's questions, without sending."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.delivery.claims import Claim, Claimer, Decided, read_decision
from gateway.delivery.preview import request_for
from gateway.ingest.gate import Gate
from gateway.ingest.record import read
from gateway.model.delivery import Action
from gateway.outbox import lanes, queries
from gateway.outbox.lanes import Due, Stored
from gateway.outbox.people import denials_of
from gateway.privacy.minimize import after_withdrawal
from gateway.privacy.sealing import Unopened
from gateway.privacy.withdrawal import decide_with

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Settings
    from gateway.model.event import Event
    from gateway.outbox.engine import Connection
    from gateway.outbox.queries import EventRow


@dataclass(frozen=True, slots=True)
class Left:
    """Deliveries that stay as they are, for one reason."""

    instance: str
    #: `payload_gone`, `too_old`, `consent_denied`, `not_configured`, `delivered` …
    code: str
    #: In words, of one of them.
    message: str
    count: int


#: What an event lacks that came without IP address and user agent, or whose retention is over.
ADDRESSES = "addresses"


@dataclass(slots=True)
class Plan:
    """What a retry or a replay would do."""

    #: Instance → numbers of the events that it would send.
    sends: dict[str, list[int]] = field(default_factory=dict)
    #: `instance: match key` → how many of those lack the digest by the rule that the destination asks for;
    #: `instance: addresses` → how many have no IP address and no user agent (any more).
    lacking: Counter[str] = field(default_factory=Counter)
    _left: dict[tuple[str, str], tuple[str, int]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Deliveries that it would send."""
        return sum(map(len, self.sends.values()))

    @property
    def left(self) -> list[Left]:
        """What it would leave alone, and why."""
        return [Left(instance, code, words, count) for (instance, code), (words, count) in sorted(self._left.items())]

    def leave(self, instance: str, code: str, message: str) -> None:
        """One more that stays as it is."""
        words, count = self._left.get((instance, code), (message, 0))
        self._left[instance, code] = (words, count + 1)


class Forecast:
    """The lanes' questions under one configuration."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._instances = settings.enabled
        self._gate = Gate(settings)
        self._clock = clock
        self._claimers = {name: Claimer(instance, self._gate) for name, instance in self._instances.items()}
        self._decided: dict[int, Decided] = {}

    def ask(self, db: Connection, row: EventRow, instance: str, plan: Plan) -> None:
        """Add one delivery to the plan: to be sent, or left alone with a reason."""
        claimer = self._claimers.get(instance)
        if claimer is None:
            plan.leave(instance, "not_configured", "the destination is not configured, or switched off")
            return
        payload, clear = queries.payload(db, row.seq)
        stored = Stored(row.seq, row.decision, payload, clear, denials_of(db, [row.seq]).get(row.seq))
        made = claimer.claim(stored, self._decision(db, row.decision), self._clock(), Due(stored, 0, None, 0.0, False))
        if isinstance(made, Claim) and payload is not None:
            plan.sends.setdefault(instance, []).append(row.seq)
            lacking = self._lacking(read(payload, clear, self._gate.keyring), instance)
            lacking += [ADDRESSES] if clear is None else []
            plan.lacking.update(f"{instance}: {key}" for key in lacking)
        elif made is not None and not isinstance(made, Claim):
            words = f"{instance} does not take {row.event_name}" if made.code == "event_not_mapped" else made.message
            plan.leave(instance, made.code, words)

    def request(self, db: Connection, seq: int, instance: str) -> dict[str, Any]:
        """What the destination would be sent of a stored event, alone, as `gateway preview` shows it."""
        payload, clear = queries.payload(db, seq)
        if payload is None:
            return {"skipped": {"reason": "payload_gone"}}
        try:
            event, one = read(payload, clear, self._gate.keyring), self._instances[instance]
        except Unopened as error:
            return {"skipped": {"reason": "unreadable", "detail": str(error)}}
        asked = (event.consent, event.region, one.requirement, self._gate.policy, event.received_at)
        denial = denials_of(db, [seq]).get(seq)
        decision = decide_with(denial, instance, *asked)
        if denial is not None:
            event = after_withdrawal(event, denial, instance, self._gate.policy)
        view = self._claimers[instance].view(event, limited=decision.action is Action.SEND_LIMITED)
        return request_for(one, view) if view is not None else {"skipped": {"reason": "event_not_mapped"}}

    def _decision(self, db: Connection, number: int) -> Decided:
        if number not in self._decided:
            data = lanes.decisions(db, [number]).get(number)
            self._decided[number] = read_decision(data) if data is not None else Decided("")
        return self._decided[number]

    def _lacking(self, event: Event, instance: str) -> list[str]:
        """Match keys that the event has by another rule only: nobody needed this one when it came."""
        seen = self._claimers[instance].view(event, limited=False)
        had = {label.partition(":")[0] for label in event.digests}
        asked = self._instances[instance].digests.keys() & had
        return sorted(asked - seen.digests.keys()) if seen is not None else []
