"""What the outbox says of the demo's deliveries. `gateway explain` tells the same, and more, of a single event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.model.delivery import State
from gateway.outbox import lanes, queries
from gateway.outbox.standing import decided, lane_rows
from gateway.outbox.standing import standings as stand

if TYPE_CHECKING:
    from gateway.outbox.engine import Connection

#: More events than the demo sends.
ALL = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """One delivery: where it is, and why."""

    state: State
    #: The reason in a word: `consent`, `missing_field`, a platform's code.
    code: str
    #: The consent gate's own code behind `consent`: `consent_denied`, `gpc` …
    detail: str
    #: The same for people: the rule, or the platform's words.
    reason: str


#: `event_name` and `event_id` → destination → standing.
Standings = dict[tuple[str, str], dict[str, Standing]]


def all_final(db: Connection) -> bool:
    """Whether every lane has come to the end of the log, nothing waits, and no platform owes a report."""
    last = queries.newest(db, before=None, limit=1)
    end = last[0].seq if last else 0
    return all(
        lane.cursor >= end and lanes.next_due(db, lane.id) is None and lanes.next_receipt(db, lane.id) is None
        for lane in lane_rows(db).values()
    )


def standings(db: Connection) -> Standings:
    """Where each delivery is."""
    events = queries.oldest(db, after=0, limit=ALL)
    found = stand(db, events)
    rules = {row.seq: decided(db, row.decision) for row in events}
    told: Standings = {}
    for row in events:
        told[row.event_name, row.event_id] = {
            name: _told(rules[row.seq].get(name), one.state, one.code, one.message)
            for name, one in found[row.seq].items()
        }
    return told


def _told(decision: tuple[str, str, str, str] | None, state: State, code: str, message: str) -> Standing:
    """A standing with the gate's code and rule apart, where it was the door that decided."""
    if decision is not None and not decision[0].startswith("send"):
        _, reason, detail, rule = decision
        return Standing(state, reason, detail, rule)
    return Standing(state, code, "", message)
