"""A person's data taken out of the outbox, and the receipt of it.

What goes: the events with all that they say, their deliveries, dead letters and serial keys, and the links to them by
person and by id. What stays: that the person was erased, by pseudonym; that a request held so many events; and for the
dedup window a 64-bit hash of each event's own id, so that a copy of it is not taken for something new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.model.delivery import OPEN_STATES, State
from gateway.outbox import ledger, people, queries, residue, standing, visits
from gateway.outbox.lanes import end_of_log

if TYPE_CHECKING:
    from gateway.outbox.engine import Connection
    from gateway.outbox.queries import EventRow
    from gateway.outbox.sqlite import Outbox

#: The platform has it, as far as it has said.
HELD = (State.DELIVERED, State.RECEIVED)


@dataclass(slots=True)
class Held:
    """What a destination has been sent of a person."""

    #: Events that the platform took.
    delivered: int = 0
    #: Events that it may have: they were sent, and its answer was not seen.
    unsure: int = 0
    #: Events that were still to be sent, and no longer are.
    stopped: int = 0
    #: Unix seconds of the first and the last event that it has or may have.
    first_at: float | None = None
    last_at: float | None = None

    def add(self, at: float) -> None:
        """It has, or may have, an event that was received at this time."""
        self.first_at = at if self.first_at is None else min(self.first_at, at)
        self.last_at = at if self.last_at is None else max(self.last_at, at)


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased: the receipt."""

    #: Unix seconds. What happened up to then does not come in again.
    erased_at: float
    events: int
    #: Further events that share another identifier with these, and were not asked for.
    linked_events: int
    #: Identifiers that are remembered as erased, each in the ways it may be written.
    pseudonyms: int
    #: Instance → what it was sent.
    destinations: Mapping[str, Held] = field(default_factory=dict)
    #: The write-ahead log was emptied: nothing of the person is in the outbox's files any more. If not, it will be with
    #: the next copying that no reader is in the way of.
    overwritten: bool = False


async def erase(outbox: Outbox, whos: Sequence[int], now: float, *, linked: bool = False) -> Erased:
    """Erase the person with these pseudonyms; `linked`: also events that share another identifier with theirs.

    First nothing of the past comes in any more; then all that is there is looked for, beside the writer; then it goes,
    in one transaction. A process that ends in between leaves an erasure to be asked for again.
    """
    end = await outbox.write(lambda db: _begin(db, whos, now))
    seqs = await outbox.read(lambda db: people.events_about(db, whos, up_to=end))
    others = await outbox.read(lambda db: _others(db, seqs, whos))
    if linked and others:
        await outbox.write(lambda db: people.suppress(db, others, now))
    more = await outbox.read(lambda db: _linked(db, others, seqs, end))
    if linked:
        seqs, whos, more = sorted({*seqs, *more}), [*whos, *others], []
    parts = await outbox.read(lambda db: _traces(db, seqs, whos))
    count, held = await outbox.write(lambda db: _erase(db, seqs, whos, now))
    overwritten = await outbox.leave_nothing_of(parts)
    return Erased(now, count, len(more), len(whos), held, overwritten)


def _begin(db: Connection, whos: Sequence[int], now: float) -> int:
    people.suppress(db, whos, now)
    return end_of_log(db)


def _others(db: Connection, seqs: Sequence[int], whos: Sequence[int]) -> list[int]:
    return sorted(set[int]().union(*people.people_of(db, seqs).values()) - set(whos))


def _linked(db: Connection, others: Sequence[int], seqs: Sequence[int], end: int) -> list[int]:
    found = {*people.events_about(db, others, up_to=end)} - {*seqs} if others else ()
    return [seq for seq in sorted(found) if queries.event(db, seq) is not None]


def _traces(db: Connection, seqs: Sequence[int], whos: Sequence[int]) -> set[bytes]:
    mine = _by_any_id(db, seqs, whos)
    links = {who.to_bytes(8, "little", signed=True) for who in whos if abs(who) >= residue.SHORT}
    return residue.traces(db, seqs) | residue.traces_of_visits(visits.rows_about(db, mine)) | links


def _by_any_id(db: Connection, seqs: Sequence[int], whos: Sequence[int]) -> set[int]:
    """All pseudonyms of the person's events: a visit is found by fewer ids than an event."""
    return set(whos).union(*people.people_of(db, seqs).values())


def _erase(db: Connection, seqs: Sequence[int], whos: Sequence[int], now: float) -> tuple[int, dict[str, Held]]:
    rows = [row for seq in seqs if (row := queries.event(db, seq)) is not None]  # others' retention is over
    held = _held(db, rows)
    mine = _by_any_id(db, seqs, whos)
    delete(db, seqs)
    visits.forget_person(db, mine)
    ledger.note(db, "erasure", now, {"events": len(rows)})  # not which: together they would be a person's trace
    people.next_change(db)  # lanes that have read these events since the first step look again
    return len(rows), held


def _held(db: Connection, rows: Sequence[EventRow]) -> dict[str, Held]:
    found: dict[str, Held] = {}
    seqs = [row.seq for row in rows]
    unseen = {name: _unseen(db, lane.id, seqs) for name, lane in standing.lane_rows(db).items()} if rows else {}
    for row in rows:
        for name, at in standing.standings(db, [row])[row.seq].items():
            if at.state in HELD:
                found.setdefault(name, Held()).delivered += 1
                found[name].add(row.received_at)
            elif row.seq in unseen.get(name, ()):
                found.setdefault(name, Held()).unsure += 1
                found[name].add(row.received_at)
            elif at.state in OPEN_STATES:
                found.setdefault(name, Held()).stopped += 1
    return found


def _unseen(db: Connection, lane: int, seqs: Sequence[int]) -> set[int]:
    """Those of which a platform's answer was not seen."""
    found = (
        (seq, db.execute("SELECT unseen FROM delivery WHERE lane = ? AND seq = ?", (lane, seq)).fetchone())
        for seq in seqs
    )
    return {seq for seq, row in found if row is not None and row[0]}


def delete(db: Connection, seqs: Sequence[int]) -> None:
    """Take events (ascending) and all that leads to them out of the outbox."""
    if not seqs:
        return
    rows = [(seq,) for seq in seqs]
    for table in ("event", "clear"):
        db.executemany(f"DELETE FROM {table} WHERE seq = ?", rows)
    for (lane,) in db.execute("SELECT id FROM lane").fetchall():
        db.executemany("DELETE FROM delivery WHERE lane = ? AND seq = ?", [(lane, seq) for seq in seqs])
        db.executemany("DELETE FROM serial WHERE lane = ? AND seq = ?", [(lane, seq) for seq in seqs])
    people.forget_links(db, seqs)
