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
STEP = 5_000


def shred_clear(db: Connection, lanes: Sequence[int], *, older_than: float | None) -> int:
    """Delete IP addresses, user agents and places of events whose last delivery is final.

    With `older_than` (Unix seconds), of all events from before then instead. Returns how many were deleted.
    """
    if older_than is not None:
        limit = first_since(db, older_than)
        return int(db.execute("DELETE FROM clear WHERE seq < ? ", (limit,)).rowcount)
    low = _settled_up_to(db, lanes)
    return int(
        db.execute(
            "DELETE FROM clear WHERE seq IN (SELECT c.seq FROM clear c WHERE c.seq <= ? "
            f"AND c.seq NOT IN {_waiting(lanes)} LIMIT ?)",
            (low, STEP),
        ).rowcount
    )


def drop_payloads(db: Connection, lanes: Sequence[int], older_than: float) -> int:
    """Empty the payloads of events from before `older_than` that are not to be sent any more.

    Their rows are written anew rather than changed: a row that shrinks in its place leaves a hole that only its page
    could use again, and the log never goes back to an old page.
    """
    limit = min(first_since(db, older_than) - 1, _settled_up_to(db, lanes))
    kept = db.execute(
        "SELECT seq, received_at, source, event_name, event_id, decision FROM event "
        f"WHERE seq <= ? AND payload IS NOT NULL AND seq NOT IN {_waiting(lanes)} ORDER BY seq LIMIT ?",
        (limit, STEP),
    ).fetchall()
    db.executemany("DELETE FROM event WHERE seq = ?", [(row[0],) for row in kept])
    db.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, NULL)", kept)
    return len(kept)


def drop_events(db: Connection, lanes: Sequence[int], older_than: float, dedup_since: float) -> int:
    """Delete what is left of events from before `older_than`; the dedup index keeps what its window needs.

    What still waits to be sent stays: only a person or its platform's age limit ends that. Returns how many events
    were deleted.
    """
    limit = min(first_since(db, older_than) - 1, _settled_up_to(db, lanes))
    kept = f"seq NOT IN {_waiting(lanes)}"
    upper = db.execute(
        f"SELECT max(seq) FROM (SELECT seq FROM event WHERE seq <= ? AND {kept} ORDER BY seq LIMIT ?)", (limit, STEP)
    )
    last = upper.fetchone()[0]
    if last is None:
        return 0
    gone = int(db.execute(f"DELETE FROM event WHERE seq <= ? AND {kept}", (last,)).rowcount)
    for table in ("clear", "delivery"):
        db.execute(f"DELETE FROM {table} WHERE seq <= ? AND {kept}", (last,))
    db.execute("DELETE FROM serial WHERE seq <= ?", (last,))
    db.execute("DELETE FROM attempt WHERE last_seq <= ?", (last,))
    db.execute("DELETE FROM receipt WHERE attempt NOT IN (SELECT id FROM attempt)")
    newest = db.execute("SELECT max(first_seq) FROM intake").fetchone()[0]
    keep = min(last, first_since(db, dedup_since))
    db.execute("DELETE FROM intake WHERE first_seq + count <= ? AND first_seq < ?", (keep, newest))
    return gone


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


def _waiting(lanes: Sequence[int]) -> str:
    """A subquery: events that one of the running `lanes` is still to send."""
    return f"(SELECT seq FROM delivery WHERE state = 'waiting' AND lane IN {_listed(lanes)})"


def _listed(lanes: Sequence[int]) -> str:
    return f"({','.join(str(int(lane)) for lane in lanes)})"
