"""What is forgotten, and when. Runs on the writer's thread, in small steps so that no commit waits long.

`lanes` are the ids of the lanes that run: one that is no longer configured holds nothing back.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.outbox.append import first_since
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
            "DELETE FROM clear WHERE seq IN (SELECT c.seq FROM clear c WHERE c.seq <= ? AND c.seq NOT IN "
            "(SELECT seq FROM delivery WHERE state = 'waiting') LIMIT ?)",
            (low, STEP),
        ).rowcount
    )


def drop_payloads(db: Connection, lanes: Sequence[int], older_than: float) -> int:
    """Empty the payloads of events from before `older_than` that are not to be sent any more."""
    limit = min(first_since(db, older_than) - 1, _settled_up_to(db, lanes))
    return int(
        db.execute(
            "UPDATE event SET payload = NULL WHERE seq IN (SELECT seq FROM event WHERE seq <= ? AND payload IS NOT NULL "
            "AND seq NOT IN (SELECT seq FROM delivery WHERE state = 'waiting') ORDER BY seq LIMIT ?)",
            (limit, STEP),
        ).rowcount
    )


def drop_events(db: Connection, lanes: Sequence[int], older_than: float, dedup_since: float) -> int:
    """Delete what is left of events from before `older_than`; the dedup index keeps what its window needs.

    Returns how many events were deleted.
    """
    limit = min(first_since(db, older_than) - 1, _settled_up_to(db, lanes))
    upper = db.execute("SELECT max(seq) FROM (SELECT seq FROM event WHERE seq <= ? ORDER BY seq LIMIT ?)", (limit, STEP))
    last = upper.fetchone()[0]
    if last is None:
        return 0
    gone = int(db.execute("DELETE FROM event WHERE seq <= ?", (last,)).rowcount)
    db.execute("DELETE FROM clear WHERE seq <= ?", (last,))
    db.execute("DELETE FROM delivery WHERE seq <= ?", (last,))
    db.execute("DELETE FROM attempt WHERE last_seq <= ?", (last,))
    newest = db.execute("SELECT max(first_seq) FROM intake").fetchone()[0]
    keep = min(last, first_since(db, dedup_since))
    db.execute("DELETE FROM intake WHERE first_seq + count <= ? AND first_seq < ?", (keep, newest))
    return gone


def _settled_up_to(db: Connection, lanes: Sequence[int]) -> int:
    """The last event that none of the running `lanes` still has to read and whose outcome no platform still owes us."""
    ends = [db.execute("SELECT cursor FROM lane WHERE id = ?", (lane,)).fetchone()[0] for lane in lanes]
    ends.append(db.execute("SELECT max(seq) FROM event").fetchone()[0] or 0)
    owed = db.execute("SELECT min(a.first_seq) FROM receipt r JOIN attempt a ON a.id = r.attempt").fetchone()[0]
    if owed is not None:
        ends.append(owed - 1)
    return int(min(ends))
