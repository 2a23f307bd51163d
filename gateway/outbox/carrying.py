"""What an older copy of the outbox does not know of people: carried into it before it takes the outbox's place.

Whoever was erased since the copy was made would be back with it, and consent taken back since would count again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from gateway.model.errors import OutboxError
from gateway.outbox import people, queries, visits
from gateway.outbox.engine import connect, sqlite3, transaction
from gateway.outbox.erasure import delete

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.outbox.engine import Connection


def carry(outbox: Path, copy: Path) -> int | None:
    """Write what is remembered of people in `outbox` into `copy`, and erase there who was erased since.

    Returns how many events were erased; `None` when the outbox cannot be read, or is of an older shape. The copy is of
    this version's shape or an older one; one that does not know people yet is left as it is.
    """
    try:
        with contextlib.closing(connect(outbox, as_it_is=True)) as old:
            rows = old.execute("SELECT who, change, changed_at, denied, erased_at FROM person").fetchall()
    except (sqlite3.Error, OutboxError):
        return None
    with contextlib.closing(sqlite3.connect(copy, isolation_level=None)) as new:
        new.execute("PRAGMA secure_delete = ON")
        if not new.execute("SELECT 1 FROM sqlite_master WHERE name = 'person'").fetchone():
            return None if rows else 0
        with transaction(new):
            change = people.next_change(new)
            new.execute("DELETE FROM person")
            new.executemany(
                "INSERT INTO person (who, change, changed_at, denied, erased_at) VALUES (?, ?, ?, ?, ?)",
                [(row[0], change, *row[2:]) for row in rows],
            )
            count = _erase_again(new, {row[0]: row[4] for row in rows if row[4] is not None})
            if new.execute("SELECT 1 FROM sqlite_master WHERE name = 'visit_person'").fetchone():
                visits.forget_all(new)  # nobody knows who has said no since
        if count:
            new.execute("VACUUM")  # nothing of them is left in its free space either: see residue.py
        return count


def _erase_again(db: Connection, erased: dict[int, float]) -> int:
    """Erase what was received before its person was erased."""
    found = {}
    for seq, who in people.everybody(db):
        at = erased.get(who)
        if at is not None and (row := queries.event(db, seq)) is not None and row.received_at <= at:
            found[seq] = True
    delete(db, sorted(found))
    return len(found)
