"""How far the import of a file has come. It moves on in the transaction that stores the events, or not at all."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.model.errors import OutboxError
from gateway.outbox.engine import connect, sqlite3

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.outbox.engine import Connection


@dataclass(frozen=True, slots=True)
class Progress:
    """One file under one source."""

    #: SHA-256 of what makes events of its rows.
    mapping: bytes
    #: Records of the file that are done.
    position: int
    #: JSON: what became of them.
    tally: str
    #: Unix seconds.
    began_at: float
    changed_at: float
    #: `None` while it is not.
    finished_at: float | None


class ImportTaken(OutboxError):
    """Another process imports the same file: nothing of this group was kept."""


def find(db: Connection, file: bytes, source: str) -> Progress | None:
    """How far a file has come; `None` if nothing of it was ever imported."""
    row = db.execute(
        "SELECT mapping, position, tally, began_at, changed_at, finished_at FROM import WHERE file = ? AND source = ?",
        (file, source),
    ).fetchone()
    return None if row is None else Progress(*row)


def sizes(path: Path, source: str) -> list[int]:
    """How many bytes the files had that were imported under a source; none where no outbox of this shape is there."""
    try:
        with closing(connect(path, readonly=True)) as db:
            rows = db.execute("SELECT DISTINCT size FROM import WHERE source = ? AND size IS NOT NULL", (source,))
            return [row[0] for row in rows]
    except (OutboxError, sqlite3.Error):  # whoever opens it to write will say what is wrong
        return []


def begin(
    db: Connection,
    file: bytes,
    source: str,
    mapping: bytes,
    *,
    size: int,
    began_at: float,
    now: float,
    position: int = 0,
) -> None:
    """Begin with a file, or begin with it anew. `began_at`: when the first of its rows that may be known came in.

    `position`: of its beginning, which was imported before it grew.
    """
    db.execute(
        "INSERT OR REPLACE INTO import (file, source, mapping, position, tally, began_at, changed_at, size) "
        "VALUES (?, ?, ?, ?, '{}', ?, ?, ?)",
        (file, source, mapping, position, began_at, now, size),
    )


def move(
    db: Connection, file: bytes, source: str, *, since: int, to: int, tally: str, now: float, finished: bool = False
) -> None:
    """Move from one position to the next. Raises `ImportTaken` if somebody else has moved meanwhile."""
    moved = db.execute(
        "UPDATE import SET position = ?, tally = ?, changed_at = ?, finished_at = ? "
        "WHERE file = ? AND source = ? AND position = ? AND finished_at IS NULL",
        (to, tally, now, now if finished else None, file, source, since),
    )
    if moved.rowcount != 1:
        raise ImportTaken("the same file is being imported by another process: this one has stopped")
