"""What is forgotten, and when. Runs on the writer's thread, in small steps so that no commit waits long.

`lanes` are the ids of the lanes that run: one that is no longer configured holds nothing back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.outbox.append import first_since

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.outbox.engine import Connection

#: Rows touched in one step.
STEP = 2_000
#: Numbers that one step looks at: among many that still wait it ends without having found its `STEP` rows.
SPAN = 4 * STEP

#: How long it is remembered that a platform took an event of a serial key, in seconds from the event's own time: a
#: refund long after the purchase must find it. No platform takes a change of anything older than 55 days.
SERIAL_S = 90 * 86400.0

#: Where each kind of data lies.
_LYING = {
    "addresses": "clear t WHERE TRUE",
    "payloads": "event t WHERE t.payload IS NOT NULL",
    "events": "event t WHERE TRUE",
}


def first_free(db: Connection, lanes: Sequence[int], what: str, older_than: float | None, start: int) -> int | None:
    """The first number from `start` on whose `addresses`, `payloads` or `events` may go; `None` when there is none.

    For a reader: over a long backlog it looks at every delivery that waits, which no commit should wait for.
    """
    if what == "addresses" and older_than is not None:  # their time is over, whoever still waits for them
        limit = first_since(db, older_than)
        found = db.execute("SELECT min(seq) FROM clear WHERE seq >= ? AND seq < ?", (start, limit)).fetchone()[0]
        return int(found) if found is not None else None
    row = db.execute(
        f"SELECT t.seq FROM {_LYING[what]} AND t.seq BETWEEN ? AND ? AND {_settled(lanes)} ORDER BY t.seq LIMIT 1",
        (start, _limit(db, lanes, older_than)),
    ).fetchone()
    return int(row[0]) if row is not None else None


def shred_clear(db: Connection, lanes: Sequence[int], *, older_than: float | None, start: int = 0) -> int:
    """Delete IP addresses, user agents and places of events whose last delivery is final, from number `start` on.

    With `older_than` (Unix seconds), of all events from before then instead. Returns how many were deleted.
    """
    if older_than is not None:
        limit = first_since(db, older_than)
        rows = db.execute("SELECT seq FROM clear WHERE seq < ? ORDER BY seq LIMIT ?", (limit, STEP)).fetchall()
    else:
        rows = db.execute(
            f"SELECT t.seq FROM clear t WHERE t.seq BETWEEN ? AND ? AND {_settled(lanes)} ORDER BY t.seq LIMIT ?",
            (start, _window(db, lanes, None, start), STEP),
        ).fetchall()
    db.executemany("DELETE FROM clear WHERE seq = ?", rows)
    return len(rows)


def drop_payloads(db: Connection, lanes: Sequence[int], older_than: float, start: int = 0) -> int:
    """Empty the payloads of events from before `older_than` that are not to be sent any more, from `start` on.

    Their rows are written anew rather than changed: a row that shrinks in its place leaves a hole that only its page
    could use again, and the log never goes back to an old page.
    """
    kept = db.execute(
        "SELECT t.seq, t.received_at, t.source, t.event_name, t.event_id, t.decision, t.salt FROM event t "
        f"WHERE t.seq BETWEEN ? AND ? AND t.payload IS NOT NULL AND {_settled(lanes)} ORDER BY t.seq LIMIT ?",
        (start, _window(db, lanes, older_than, start), STEP),
    ).fetchall()
    db.executemany("DELETE FROM event WHERE seq = ?", [(row[0],) for row in kept])
    db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, NULL, ?)", kept)
    return len(kept)


def drop_events(
    db: Connection, lanes: Sequence[int], older_than: float, dedup_since: float, now: float, start: int = 0
) -> int:
    """Delete what is left of events from before `older_than`; the dedup index keeps what its window needs.

    What still waits to be sent stays: only a person or its platform's age limit ends that. Returns how many events
    were deleted, from number `start` on.
    """
    gone = db.execute(
        f"SELECT t.seq FROM event t WHERE t.seq BETWEEN ? AND ? AND {_settled(lanes)} ORDER BY t.seq LIMIT ?",
        (start, _window(db, lanes, older_than, start), STEP),
    ).fetchall()
    if not gone:
        return 0
    last = gone[-1][0]
    for table in ("event", "clear"):
        db.executemany(f"DELETE FROM {table} WHERE seq = ?", gone)
    for (lane,) in db.execute("SELECT id FROM lane").fetchall():  # tables in the order of lanes: not searched by number
        db.executemany("DELETE FROM delivery WHERE lane = ? AND seq = ?", [(lane, seq) for (seq,) in gone])
        db.execute(
            "DELETE FROM serial WHERE lane = ? AND at < ? AND seq IN "
            "(SELECT seq FROM serial WHERE lane = ? AND seq <= ? ORDER BY seq LIMIT ?)",
            (lane, min(older_than, now - SERIAL_S), lane, last, STEP),
        )
        db.execute("DELETE FROM attempt WHERE lane = ? AND last_seq <= ?", (lane, last))
    db.execute("DELETE FROM receipt WHERE attempt NOT IN (SELECT id FROM attempt)")
    newest = db.execute("SELECT max(first_seq) FROM intake").fetchone()[0]
    keep, oldest = first_since(db, dedup_since), db.execute("SELECT min(seq) FROM event").fetchone()[0]
    if oldest is not None:  # one that still waits is found through its group: by its person, and by its id
        keep = min(keep, oldest)
    db.execute("DELETE FROM intake WHERE first_seq + count <= ? AND first_seq < ?", (keep, newest))
    return len(gone)


def _limit(db: Connection, lanes: Sequence[int], older_than: float | None) -> int:
    settled = _settled_up_to(db, lanes)
    return settled if older_than is None else min(first_since(db, older_than) - 1, settled)


def _window(db: Connection, lanes: Sequence[int], older_than: float | None, start: int) -> int:
    """The last number that a step from `start` on looks at; without a start, it looks at all."""
    limit = _limit(db, lanes, older_than)
    return min(limit, start + SPAN) if start else limit


def _settled_up_to(db: Connection, lanes: Sequence[int]) -> int:
    """The last event that none of the running `lanes` still has to read and whose outcome no platform still owes us."""
    ends = [db.execute("SELECT cursor FROM lane WHERE id = ?", (lane,)).fetchone()[0] for lane in lanes]
    ends.append(db.execute("SELECT max(seq) FROM event").fetchone()[0] or 0)
    owed = db.execute(
        f"SELECT min(a.first_seq) FROM receipt r JOIN attempt a ON a.id = r.attempt WHERE r.lane IN {_listed(lanes)}"
    ).fetchone()[0]
    if owed is not None:
        ends.append(owed - 1)
    return int(min(ends))


def _settled(lanes: Sequence[int]) -> str:
    """A condition: none of the running `lanes` is still to send event `t`. Asked for each: a list of all that wait
    would be made anew for every step.
    """
    return (
        "NOT EXISTS (SELECT 1 FROM delivery d WHERE d.seq = t.seq AND d.state = 'waiting' "
        f"AND d.lane IN {_listed(lanes)})"
    )


def _listed(lanes: Sequence[int]) -> str:
    return f"({','.join(str(int(lane)) for lane in lanes)})"
