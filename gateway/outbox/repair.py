"""What operators change in the outbox: dead letters retried or discarded, stored events sent again.

Functions of the writer's connection. They may run in another process than the dispatcher's: each looks at what is on
disk now, under the write lock, and leaves alone what is in a lane's hands. The event ids stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.model.delivery import State
from gateway.outbox import queries, standing
from gateway.outbox.lanes import REPLAYED, RETRIED, open_lane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.outbox.engine import Connection
    from gateway.outbox.standing import Standing

#: Deliveries changed in one transaction, so that no commit of the running gateway waits long.
STEP = 1_000

#: Code of what was given up by hand.
DISCARDED = "discarded"


def retry(db: Connection, instance: str, seqs: Sequence[int], now: float) -> int:
    """Put dead letters back, as if never tried; that an answer was never seen is remembered. Returns how many."""
    return _on_dead(
        db,
        "UPDATE delivery SET state = 'waiting', tries = 0, first_at = NULL, next_at = ?, "
        "message = substr('put back by hand; it died of ' || code || ': ' || message, 1, 500), code = ?, field = '', "
        "changed_at = ? WHERE lane = (SELECT id FROM lane WHERE instance = ?) AND seq = ? AND state = 'dead'",
        [(now, RETRIED, now, instance, seq) for seq in seqs],
    )


def discard(db: Connection, instance: str, seqs: Sequence[int], now: float) -> int:
    """Give dead letters up for good: they stay in the record as cancelled. Returns how many."""
    return _on_dead(
        db,
        "UPDATE delivery SET state = 'cancelled', next_at = NULL, message = substr('discarded by hand; it died of ' "
        "|| code || ': ' || message, 1, 500), code = ?, changed_at = ? "
        "WHERE lane = (SELECT id FROM lane WHERE instance = ?) AND seq = ? AND state = 'dead'",
        [(DISCARDED, now, instance, seq) for seq in seqs],
    )


def replay(
    db: Connection, instance: str, seqs: Sequence[int], now: float, allowed: Callable[[Standing | None], bool]
) -> int:
    """Queue stored events for an instance again. `allowed` is asked about each as it stands now. Returns how many."""
    end = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM event").fetchone()[0]
    lane = open_lane(db, instance, end).id
    events = [row for seq in seqs if (row := queries.event(db, seq)) is not None]
    now_at = standing.standings(db, events)
    chosen = [row.seq for row in events if allowed(now_at[row.seq].get(instance))]
    db.executemany(
        "INSERT OR REPLACE INTO delivery (lane, seq, state, tries, frozen_s, next_at, unseen, code, message, "
        "changed_at) SELECT id, ?, ?, 0, frozen_s, ?, 0, ?, 'sent again by hand', ? FROM lane WHERE id = ?",
        [(seq, str(State.WAITING), now, REPLAYED, now, lane) for seq in chosen],
    )
    return len(chosen)


def _on_dead(db: Connection, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    return sum(db.execute(statement, row).rowcount for row in rows)
