"""What the dispatcher reads and writes: its place in the log, deliveries that depart from it, attempts.

Functions of a connection. Those that write run on the writer's thread, inside its transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.model.delivery import State
from gateway.outbox import ledger
from gateway.outbox.packing import pack_seqs, unpack_seqs
from gateway.outbox.ranges import Ranges, runs
from gateway.privacy.consent import REFUSALS
from gateway.privacy.withdrawal import Denial

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.outbox.engine import Connection

#: Attempts after which every delivery is settled, unless it has a row of its own.
SETTLING = ("delivered", "received", "mixed")

#: Codes of rows that were written without a look at the event: copied back, put back or sent again by hand, let go by
#: a copy's consent, held for a copy. Whether it has a serial key is known once a lane has read it.
RESTORED, RETRIED, REPLAYED, CONSENT_GIVEN, AWAITING_COPY = UNREAD = (
    "restored",
    "retried",
    "replayed",
    "consent_given",
    "awaiting_copy",
)

#: No event has a greater number.
EVERY = 2**62

#: A waiting delivery `d` is not behind an earlier one of its serial key.
_FREE = (
    "(d.serial IS NULL OR NOT EXISTS (SELECT 1 FROM delivery x WHERE x.lane = d.lane AND x.serial = d.serial "
    "AND x.state = 'waiting' AND x.seq < d.seq))"
)


#: What a `LaneRow` is made of.
LANE_COLUMNS = (
    "id, instance, cursor, paused_at, pause_code, pause_message, frozen_s, held_until, broken_at, broken_code, "
    "rate_full_at"
)


@dataclass(frozen=True, slots=True)
class LaneRow:
    """Where a lane stands."""

    id: int
    instance: str
    cursor: int
    paused_at: float | None
    pause_code: str
    pause_message: str
    frozen_s: float
    #: The platform asked to be left alone until then, Unix seconds; `None` if it did not.
    held_until: float | None
    #: The breaker is open since then, Unix seconds, for failures of this code; `None` while it is closed.
    broken_at: float | None
    broken_code: str
    #: When the allowance of requests is whole again, Unix seconds; `None` if nothing was used of it.
    rate_full_at: float | None


@dataclass(frozen=True, slots=True)
class Stored:
    """One event as the log has it."""

    seq: int
    #: `decision.id`
    decision: int
    payload: bytes | None
    clear: bytes | None
    #: What its person has taken back of their consent, as of the change `heard` (see `People`).
    denial: Denial | None = None
    heard: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be tried (again), with its event."""

    event: Stored
    tries: int
    first_at: float | None
    frozen_s: float
    unseen: bool


@dataclass(frozen=True, slots=True)
class Change:
    """A delivery's new state: a row of `delivery`."""

    seq: int
    state: State
    tries: int = 0
    first_at: float | None = None
    frozen_s: float = 0.0
    next_at: float | None = None
    unseen: bool = False
    serial: int | None = None
    code: str = ""
    message: str = ""
    #: The field that the platform blames, if it names one.
    field: str = ""
    #: The gate's fingerprint, where consent decided.
    policy: str = ""


@dataclass(frozen=True, slots=True)
class Bond:
    """What ties a delivery to others."""

    #: Hash of its serial key.
    hash: int
    #: `event_time`, Unix seconds.
    at: float


@dataclass(frozen=True, slots=True)
class Tried:
    """One HTTP try, to be recorded."""

    #: Ascending.
    seqs: Sequence[int]
    started_at: float
    duration_s: float
    status: int
    verdict: str
    code: str
    message: str
    request_id: str = ""
    #: Hashes of serial keys in the order of `seqs`, for destinations that have them.
    serials: Sequence[Bond | None] | None = None
    #: When to ask for the outcome, for `received`.
    follow_up_at: float | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """A request whose outcome is still to be asked for."""

    attempt: int
    request_id: str
    sent_at: float
    asked: int
    next_at: float


def end_of_log(db: Connection) -> int:
    """The number behind the last event."""
    return int(db.execute("SELECT coalesce(max(seq), 0) + 1 FROM event").fetchone()[0])


def open_lane(db: Connection, instance: str, end: int) -> LaneRow:
    """The lane of an instance; a new one starts at the end of the log."""
    db.execute("INSERT OR IGNORE INTO lane (instance, cursor) VALUES (?, ?)", (instance, end - 1))
    row = db.execute(f"SELECT {LANE_COLUMNS} FROM lane WHERE instance = ?", (instance,)).fetchone()
    return LaneRow(*row)


def settled_after(db: Connection, lane: int, cursor: int) -> Ranges:
    """Numbers past the cursor that need no reading: they were answered, or have a row of their own."""
    settled = Ranges(
        runs(_numbers(db.execute("SELECT seq FROM delivery WHERE lane = ? AND seq > ? ORDER BY seq", (lane, cursor))))
    )
    rows = db.execute(
        f"SELECT first_seq, count, seqs FROM attempt WHERE lane = ? AND last_seq > ? AND verdict IN {SETTLING}",
        (lane, cursor),
    )
    settled.add(span for row in rows for span in runs(unpack_seqs(*row)))
    settled.drop(cursor)
    return settled


def _numbers(rows: Iterable[tuple[int]]) -> Iterator[int]:
    return (number for (number,) in rows)


def waiting_serials(db: Connection, lane: int) -> list[tuple[int, int]]:
    """Deliveries that wait and have a serial key: its hash, and the event's number."""
    rows = db.execute(
        "SELECT serial, seq FROM delivery WHERE lane = ? AND state = 'waiting' AND serial IS NOT NULL", (lane,)
    )
    return [(row[0], row[1]) for row in rows]


def read_log(db: Connection, after: int, limit: int) -> list[Stored]:
    """The next events of the log."""
    rows = db.execute(
        "SELECT e.seq, e.decision, e.payload, c.data FROM event e LEFT JOIN clear c ON c.seq = e.seq "
        "WHERE e.seq > ? ORDER BY e.seq LIMIT ?",
        (after, limit),
    )
    return [Stored(*row) for row in rows.fetchall()]


def rows_among(db: Connection, lane: int, read: Sequence[Stored]) -> set[int]:
    """Numbers of those events that have a row of their own: it says what is to be done, not the log."""
    if not read:
        return set()
    found = db.execute(
        "SELECT seq FROM delivery WHERE lane = ? AND seq BETWEEN ? AND ?", (lane, read[0].seq, read[-1].seq)
    )
    return {row[0] for row in found}


def received_at(db: Connection, seq: int) -> float | None:
    """When an event of the log was accepted, Unix seconds; `None` if it is gone."""
    row = db.execute("SELECT received_at FROM event WHERE seq = ?", (seq,)).fetchone()
    return float(row[0]) if row is not None else None


def read_due(db: Connection, lane: int, now: float, limit: int, up_to: int | None) -> list[Due]:
    """Deliveries whose time has come, the longest due first; `up_to`: only of events up to that number."""
    rows = db.execute(
        "SELECT e.seq, e.decision, e.payload, c.data, d.tries, d.first_at, d.frozen_s, d.unseen "
        "FROM delivery d JOIN event e ON e.seq = d.seq LEFT JOIN clear c ON c.seq = d.seq "
        f"WHERE d.lane = ? AND d.state = 'waiting' AND d.next_at <= ? AND d.seq <= ? AND {_FREE} "
        "ORDER BY d.next_at, d.seq LIMIT ?",
        (lane, now, EVERY if up_to is None else up_to, limit),
    )
    return [Due(Stored(*row[:4]), row[4], row[5], row[6], bool(row[7])) for row in rows.fetchall()]


def next_due(db: Connection, lane: int) -> float | None:
    """When the next waiting delivery is due, Unix seconds."""
    row = db.execute(
        f"SELECT d.next_at FROM delivery d WHERE d.lane = ? AND d.state = 'waiting' AND {_FREE} "
        "ORDER BY d.next_at LIMIT 1",
        (lane,),
    ).fetchone()
    return row[0] if row else None


def decisions(db: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Decision numbers → their JSON."""
    found = {}
    for number in numbers:
        row = db.execute("SELECT data FROM decision WHERE id = ?", (number,)).fetchone()
        if row is not None:
            found[number] = row[0]
    return found


def record(
    db: Connection,
    lane: int,
    *,
    cursor: int | None,
    tried: Tried | None,
    settled: Sequence[int],
    changes: Sequence[Change],
    now: float,
    held_until: float | None = None,
    rate_full_at: float | None = None,
) -> None:
    """Write down an attempt and what it means: `settled` deliveries lose their row, `changes` get one.

    `held_until`: when the platform wants to be asked again, if its answer said so. `rate_full_at`: see `LaneRow`, if
    there is a limit. The caller's lane owns the deliveries (one dispatcher at a time): nothing is compared first.
    """
    if tried is not None:
        _insert_attempt(db, lane, tried, now)
        if tried.verdict in SETTLING:
            _taken_all_the_same(db, lane, set(tried.seqs).difference(one.seq for one in changes), now)
    if settled:
        db.executemany("DELETE FROM delivery WHERE lane = ? AND seq = ?", [(lane, seq) for seq in settled])
    if changes:
        db.executemany(
            "INSERT OR REPLACE INTO delivery SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? "
            "WHERE EXISTS (SELECT 1 FROM event WHERE seq = ?) "  # not of one that was erased meanwhile, or stopped
            "AND NOT (? = 'waiting' AND EXISTS (SELECT 1 FROM delivery WHERE lane = ? AND seq = ? "
            "AND state = 'cancelled'))",
            [(*_row(lane, one, now), one.seq, str(one.state), lane, one.seq) for one in changes],
        )
        _note_refused(db, lane, changes, now)
    if cursor is not None:
        db.execute("UPDATE lane SET cursor = ? WHERE id = ? AND cursor < ?", (cursor, lane, cursor))
    if held_until is not None:
        db.execute("UPDATE lane SET held_until = ? WHERE id = ?", (held_until, lane))
    if rate_full_at is not None:
        set_rate(db, lane, rate_full_at)


def _note_refused(db: Connection, lane: int, changes: Sequence[Change], now: float) -> None:
    """Write into the ledger what consent has stopped, beyond what was said at the door."""
    refused: dict[tuple[str, str, str], list[int]] = {}
    for one in changes:
        if one.state is State.CANCELLED and one.code in REFUSALS and is_there(db, one.seq):
            refused.setdefault((one.code, one.message, one.policy), []).append(one.seq)
    for (reason, rule, policy), seqs in refused.items():
        data = {"to": _instance(db, lane), "reason": reason, "rule": rule, "policy": policy, "seqs": sorted(seqs)}
        ledger.note(db, ledger.CANCELLED, now, data)


def _instance(db: Connection, lane: int) -> str:
    return str(db.execute("SELECT instance FROM lane WHERE id = ?", (lane,)).fetchone()[0])


def _taken_all_the_same(db: Connection, lane: int, taken: set[int], now: float) -> None:
    """What was stopped while the request was under way, and was taken: the attempt tells, not the row."""
    if not taken:
        return
    rows = db.execute(
        "SELECT seq, code FROM delivery WHERE lane = ? AND seq BETWEEN ? AND ? AND state = 'cancelled' ORDER BY seq",
        (lane, min(taken), max(taken)),
    ).fetchall()
    rows = [row for row in rows if row[0] in taken]
    if rows:
        db.executemany("DELETE FROM delivery WHERE lane = ? AND seq = ?", [(lane, seq) for seq, _ in rows])
    if refused := [seq for seq, code in rows if code in REFUSALS]:
        ledger.note(db, ledger.TAKEN, now, {"to": _instance(db, lane), "seqs": refused})


def _row(lane: int, change: Change, now: float) -> tuple[object, ...]:
    past = (change.tries, change.first_at, change.frozen_s, change.next_at, int(change.unseen), change.serial)
    return (lane, change.seq, str(change.state), *past, change.code, change.message, now, change.field)


def _insert_attempt(db: Connection, lane: int, tried: Tried, now: float) -> None:
    seqs = tried.seqs
    added = db.execute(
        "INSERT INTO attempt (lane, first_seq, last_seq, count, seqs, started_at, duration_s, status, verdict, code, "
        "message, request_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            lane,
            seqs[0],
            seqs[-1],
            len(seqs),
            pack_seqs(seqs),
            tried.started_at,
            tried.duration_s,
            tried.status,
            tried.verdict,
            tried.code,
            tried.message,
            tried.request_id,
        ),
    )
    if tried.serials is not None and tried.verdict in SETTLING:
        bonds = zip(seqs, tried.serials, strict=True)
        db.executemany(
            "INSERT OR REPLACE INTO serial SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM event WHERE seq = ?)",
            [(lane, seq, bond.hash, bond.at, seq) for seq, bond in bonds if bond is not None],
        )
    if tried.follow_up_at is not None:
        db.execute(
            "INSERT INTO receipt VALUES (?, ?, ?, ?, 0, ?)",
            (added.lastrowid, lane, tried.request_id, now, tried.follow_up_at),
        )


def seqs_of(db: Connection, attempt: int) -> Sequence[int]:
    """The events of a request."""
    return unpack_seqs(*db.execute("SELECT first_seq, count, seqs FROM attempt WHERE id = ?", (attempt,)).fetchone())


def resent(db: Connection, lane: int, seqs: Sequence[int]) -> set[int]:
    """Which of these events (ascending) a platform's late report has had sent again already."""
    if not seqs:
        return set()
    rows = db.execute(
        "SELECT first_seq, count, seqs FROM attempt WHERE lane = ? AND verdict = 'retry' AND request_id <> '' "
        "AND last_seq >= ? AND first_seq <= ?",
        (lane, seqs[0], seqs[-1]),
    )
    return {seq for row in rows for seq in unpack_seqs(*row)}.intersection(seqs)


def due_receipts(db: Connection, lane: int, now: float, limit: int) -> list[Receipt]:
    """Requests whose outcome is to be asked for now."""
    rows = db.execute(
        "SELECT attempt, request_id, sent_at, asked, next_at FROM receipt WHERE lane = ? AND next_at <= ? "
        "ORDER BY next_at LIMIT ?",
        (lane, now, limit),
    )
    return [Receipt(*row) for row in rows.fetchall()]


def next_receipt(db: Connection, lane: int) -> float | None:
    """When the next outcome is to be asked for, Unix seconds."""
    row = db.execute("SELECT min(next_at) FROM receipt WHERE lane = ?", (lane,)).fetchone()
    return row[0] if row else None


def postpone_receipt(db: Connection, receipt: Receipt, next_at: float) -> None:
    """Ask again later."""
    db.execute("UPDATE receipt SET asked = asked + 1, next_at = ? WHERE attempt = ?", (next_at, receipt.attempt))


def close_receipt(
    db: Connection,
    lane: int,
    receipt: Receipt,
    *,
    verdict: str,
    code: str,
    message: str,
    changes: Sequence[Change],
    now: float,
) -> None:
    """Write down a reported outcome, and what it changes for the deliveries that are `reported_on` (ascending)."""
    db.execute(
        "UPDATE attempt SET verdict = ?, code = ?, message = ? WHERE id = ?", (verdict, code, message, receipt.attempt)
    )
    db.execute("DELETE FROM receipt WHERE attempt = ?", (receipt.attempt,))
    if changes:
        span = (lane, changes[0].seq, changes[-1].seq)
        keys = dict(db.execute("SELECT seq, hash FROM serial WHERE lane = ? AND seq BETWEEN ? AND ?", span).fetchall())
        with_keys = [replace(change, serial=keys.get(change.seq)) for change in changes]
        record(db, lane, cursor=None, tried=None, settled=(), changes=with_keys, now=now)


def reported_on(db: Connection, lane: int, attempt: int) -> list[int]:
    """The events of a request that a late report on it still tells of: those that are there, not sent again since."""
    seqs = seqs_of(db, attempt)
    elsewhere = _elsewhere(db, lane, attempt, seqs[0], seqs[-1])
    return [seq for seq in seqs if seq not in elsewhere and is_there(db, seq)]


def is_there(db: Connection, seq: int) -> bool:
    """Whether the log still has an event: neither its retention is over nor its person erased."""
    return db.execute("SELECT 1 FROM event WHERE seq = ?", (seq,)).fetchone() is not None


def _elsewhere(db: Connection, lane: int, attempt: int, first: int, last: int) -> set[int]:
    """Numbers from `first` to `last` that have a row or were sent again since: the attempt tells nothing of them."""
    rows = db.execute("SELECT seq FROM delivery WHERE lane = ? AND seq BETWEEN ? AND ?", (lane, first, last))
    found = {row[0] for row in rows}
    since = db.execute(
        "SELECT first_seq, count, seqs FROM attempt WHERE lane = ? AND id > ? AND last_seq >= ? AND first_seq <= ?",
        (lane, attempt, first, last),
    )
    for row in since:
        found.update(unpack_seqs(*row))
    return found


def set_pause(db: Connection, lane: int, paused_at: float | None, code: str, message: str, frozen_s: float) -> None:
    """Write down that a lane stopped or went on."""
    db.execute(
        "UPDATE lane SET paused_at = ?, pause_code = ?, pause_message = ?, frozen_s = ? WHERE id = ?",
        (paused_at, code, message, frozen_s, lane),
    )


def set_rate(db: Connection, lane: int, rate_full_at: float) -> None:
    """Write down when the allowance of requests is whole again: see `LaneRow`."""
    db.execute("UPDATE lane SET rate_full_at = ? WHERE id = ?", (rate_full_at, lane))


def set_broken(db: Connection, lane: int, broken_at: float | None, code: str) -> None:
    """Write down that a lane's breaker opened or closed."""
    db.execute("UPDATE lane SET broken_at = ?, broken_code = ? WHERE id = ?", (broken_at, code, lane))


@dataclass(frozen=True, slots=True)
class Series:
    """What stands of a serial key at the platform, and what is still on its way."""

    #: `event_time` of the first event that the platform took, and the number of the last; `None` if it took none.
    first_at: float | None
    last_seq: int | None
    #: An earlier event of the key waits to be sent (again).
    waiting: bool
    #: An earlier event waits of which nobody knows yet whether it has the key.
    unread: bool


def series(db: Connection, lane: int, hash_: int, before: int) -> Series:
    """The deliveries of a serial key. `before`: what waits is looked for below this number.

    `unread` is looked for only where nothing else is known of the key.
    """
    taken = db.execute(
        "SELECT s.seq, s.at FROM serial s WHERE s.lane = ? AND s.hash = ? "
        "AND NOT EXISTS (SELECT 1 FROM delivery d WHERE d.lane = s.lane AND d.seq = s.seq) ORDER BY s.seq",
        (lane, hash_),
    ).fetchall()
    waiting = db.execute(
        "SELECT 1 FROM delivery WHERE lane = ? AND serial = ? AND state = 'waiting' AND seq < ? LIMIT 1",
        (lane, hash_, before),
    ).fetchone()
    if taken or waiting is not None:
        return Series(taken[0][1] if taken else None, taken[-1][0] if taken else None, waiting is not None, False)
    unread = db.execute(
        "SELECT 1 FROM delivery WHERE lane = ? AND state = 'waiting' AND serial IS NULL AND seq < ? "
        f"AND code IN {UNREAD} LIMIT 1",
        (lane, before),
    ).fetchone()
    return Series(None, None, False, unread is not None)


def open_lanes(db: Connection, instances: Iterable[str]) -> None:
    """Give each destination its place in the log, before the first event that it is promised is stored."""
    end = end_of_log(db)
    for name in instances:
        open_lane(db, name, end)


def lane_ids(db: Connection, instances: Iterable[str]) -> list[int] | None:
    """The lanes of these destinations; `None` while one has none yet."""
    known = dict(db.execute("SELECT instance, id FROM lane"))
    found = [known.get(name) for name in instances]
    return None if None in found else [number for number in found if number is not None]


def stopped(db: Connection, instances: Iterable[str]) -> list[LaneRow]:
    """Which of these destinations are paused or broken, as the process that dispatches wrote it down."""
    wanted = set(instances)
    rows = db.execute(f"SELECT {LANE_COLUMNS} FROM lane WHERE paused_at IS NOT NULL OR broken_at IS NOT NULL")
    return [row for row in (LaneRow(*one) for one in rows) if row.instance in wanted]
