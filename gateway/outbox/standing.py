"""Where deliveries are, told from a decision, the lanes' places, rows and attempts. Nobody writes here.

The state of an event and an instance: its row in `delivery` if it has one; else what the decision skipped; else the
answer of an attempt that held it; else delivered if the lane is past it (its attempts' retention is over), else queued.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from gateway.model.delivery import State
from gateway.outbox.lanes import LANE_COLUMNS, SETTLING, LaneRow, end_of_log, settled_after
from gateway.outbox.packing import unpack_seqs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.outbox.engine import Connection
    from gateway.outbox.queries import EventRow


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one delivery is."""

    state: State
    #: Why, in a word; empty where the state says it all.
    code: str = ""
    #: Why, for people; in the platform's words where it was the platform.
    message: str = ""
    tries: int = 0
    #: Unix seconds of the first try and of the next; `None` when there is none.
    first_at: float | None = None
    next_at: float | None = None
    #: Unix seconds since when; `None` where that is not written down.
    since: float | None = None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One HTTP try that an event was part of."""

    #: Unix seconds.
    started_at: float
    duration_s: float
    #: Deliveries in the request.
    size: int
    #: HTTP status; 0 when no answer came.
    status: int
    verdict: str
    code: str
    message: str
    #: What the platform calls the request, where it reports the outcome later.
    request_id: str
    #: When the outcome is asked for next, Unix seconds; `None` when it is known or there is none.
    asked_next_at: float | None


def lane_rows(db: Connection) -> dict[str, LaneRow]:
    """Instance → where its lane stands."""
    rows = db.execute(f"SELECT {LANE_COLUMNS} FROM lane ORDER BY id")
    return {row[1]: LaneRow(*row) for row in rows.fetchall()}


def behind(db: Connection, instances: Iterable[str]) -> dict[str, int]:
    """Instance → how many events its lane has still to come to, and how many of its deliveries wait.

    An event may count before it is known that it is not owed there. Instances without a lane are left out.
    """
    end, lanes = end_of_log(db), lane_rows(db)
    found = {}
    for name in instances:
        if (lane := lanes.get(name)) is not None:
            ahead = end - 1 - lane.cursor - len(settled_after(db, lane.id, lane.cursor))
            waiting = "SELECT count(*) FROM delivery WHERE lane = ? AND state = 'waiting'"
            found[name] = max(0, ahead) + db.execute(waiting, (lane.id,)).fetchone()[0]
    return found


def oldest(db: Connection, instances: Iterable[str]) -> dict[str, float]:
    """Instance → when the oldest event was received that it is still to come to or that waits, Unix seconds.

    Instances without a lane, and those that have done all they can, are left out.
    """
    lanes, found = lane_rows(db), {}
    for name in instances:
        if (lane := lanes.get(name)) is None:
            continue
        waits = "SELECT min(+seq) FROM delivery WHERE lane = ? AND state = 'waiting'"
        first = db.execute(waits, (lane.id,)).fetchone()[0]
        ahead = db.execute("SELECT min(seq) FROM event WHERE seq > ?", (lane.cursor,)).fetchone()[0]
        seqs = [seq for seq in (first, ahead) if seq is not None]
        row = db.execute("SELECT received_at FROM event WHERE seq = ?", (min(seqs),)).fetchone() if seqs else None
        if row is not None:
            found[name] = float(row[0])
    return found


def first_open(db: Connection) -> int:
    """The number behind which events may still be sent to somebody: nothing before it has to be looked at."""
    found = [lane.cursor for lane in lane_rows(db).values()]
    waiting = db.execute("SELECT min(seq) FROM delivery WHERE state = 'waiting'").fetchone()[0]
    return min([*found, *([waiting - 1] if waiting is not None else [])], default=0)


def decided(db: Connection, number: int) -> Mapping[str, tuple[str, str, str, str]]:
    """A row of `decision`: instance → outcome, reason, detail, rule."""
    row = db.execute("SELECT data FROM decision WHERE id = ?", (number,)).fetchone()
    return _entries(row[0]) if row else {}


@lru_cache(maxsize=1_000)
def _entries(data: str) -> Mapping[str, tuple[str, str, str, str]]:
    found: Mapping[str, tuple[str, str, str, str]] = msgspec.json.decode(data)["to"]
    return found


def standings(db: Connection, events: Sequence[EventRow]) -> dict[int, dict[str, Standing]]:
    """Number → instance → where that delivery is. An instance to which an event is not owed is left out."""
    if not events:
        return {}
    found: dict[int, dict[str, Standing]] = {row.seq: {} for row in events}
    lanes = lane_rows(db)
    seqs = sorted(found)
    entries = {row.seq: decided(db, row.decision) for row in events}
    own = {name: _rows(db, lane.id, seqs) for name, lane in lanes.items()}
    answers = {name: _answers(db, lane.id, seqs) for name, lane in lanes.items()}
    for seq in seqs:
        for name in dict.fromkeys((*entries[seq], *lanes)):
            cursor = lanes[name].cursor if name in lanes else 0
            standing = own.get(name, {}).get(seq) or _without_row(
                entries[seq].get(name), answers.get(name, {}).get(seq), passed=seq <= cursor
            )
            if standing is not None:
                found[seq][name] = standing
    return found


def _without_row(entry: Sequence[str] | None, answer: Standing | None, *, passed: bool) -> Standing | None:
    if answer is not None:
        return answer
    if entry is None:
        return None
    outcome, reason, detail, rule = entry
    if outcome == "skipped":
        return Standing(State.SKIPPED, reason, f"{detail}: {rule}" if detail else rule)
    if outcome == "dry_run":
        return Standing(State.DRY_RUN, reason, rule)
    if passed:
        return Standing(State.DELIVERED, message="its attempts are not kept any more")
    return Standing(State.QUEUED)


def _rows(db: Connection, lane: int, seqs: Sequence[int]) -> dict[int, Standing]:
    rows = db.execute(
        "SELECT seq, state, code, message, tries, first_at, next_at, changed_at FROM delivery "
        "WHERE lane = ? AND seq BETWEEN ? AND ?",
        (lane, seqs[0], seqs[-1]),
    )
    wanted = set(seqs)
    return {row[0]: Standing(_state(row[1], row[4]), *row[2:]) for row in rows if row[0] in wanted}


def _state(state: str, tries: int) -> State:
    return State.QUEUED if state == State.WAITING and tries == 0 else State(state)


def _answers(db: Connection, lane: int, seqs: Sequence[int]) -> dict[int, Standing]:
    """What the last attempt that settled each of these says."""
    wanted, found = set(seqs), dict[int, Standing]()
    rows = db.execute(
        "SELECT first_seq, count, seqs, started_at + duration_s, verdict, code, message FROM attempt "
        f"WHERE lane = ? AND last_seq >= ? AND first_seq <= ? AND verdict IN {SETTLING} ORDER BY id",
        (lane, seqs[0], seqs[-1]),
    )
    for first, count, packed, at, verdict, code, message in rows:
        state = State.RECEIVED if verdict == "received" else State.DELIVERED
        if verdict == "mixed":  # its words are about another event of the request
            code = message = ""
        for seq in wanted.intersection(unpack_seqs(first, count, packed)):
            found[seq] = Standing(state, code, message, since=at)
    return found


def attempts(db: Connection, lane: int, seq: int) -> list[AttemptRow]:
    """The HTTP tries that an event was part of, in their order."""
    rows = db.execute(
        "SELECT a.first_seq, a.count, a.seqs, a.started_at, a.duration_s, a.count, a.status, a.verdict, a.code, "
        "a.message, a.request_id, r.next_at FROM attempt a LEFT JOIN receipt r ON r.attempt = a.id "
        "WHERE a.lane = ? AND a.last_seq >= ? AND a.first_seq <= ? ORDER BY a.id",
        (lane, seq, seq),
    )
    return [AttemptRow(*row[3:]) for row in rows if seq in unpack_seqs(*row[:3])]
