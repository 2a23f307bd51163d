"""A copy of the outbox while it runs, and the way back.

A copy says of itself that it is one, and when it was made. Whoever opens it first as an outbox is told that what was
owed then may have been sent since: such deliveries go again under the same event ids, but only within the platform's
window for repeats (`unseen_window`), as after any answer that was never seen.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gateway.model.errors import OutboxError
from gateway.outbox import ledger
from gateway.outbox.engine import connect, lease_of, sqlite3, transaction, translated
from gateway.outbox.files import private, synced
from gateway.outbox.lanes import LANE_COLUMNS, RESTORED, LaneRow, settled_after

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.outbox.engine import Connection

#: Pages copied between two reports of how far it is.
PAGES = 2_000
#: What SQLite keeps beside a database that is open.
BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy of the outbox holds."""

    path: Path
    #: Unix seconds; `None` when it was not made by `copy`.
    made_at: float | None
    events: int
    size_bytes: int


def copy(
    source: Path, target: Path, now: float, progress: Callable[[int, int], None] = lambda left, total: None
) -> Copy:
    """Copy the outbox as it stands at one moment, beside processes that use it. `target` is made, never replaced.

    `progress` is told of pages still to come, and of all. Raises `OutboxError` when the copy cannot be made or is
    damaged; nothing is left behind then.
    """
    if target.exists():
        raise OutboxError(f"{target}: is there already; a backup replaces nothing")
    part = target.with_name(target.name + ".part")
    private(part)
    try:
        _copied(source, part, now, progress)
        found = look(part)
        synced(part, target)
    except sqlite3.Error as error:
        raise translated(error, part) from error
    finally:
        _removed(part)
    return Copy(target, found.made_at, found.events, found.size_bytes)


def look(path: Path) -> Copy:
    """What a copy holds. Raises `OutboxError` when it is no outbox, or damaged: all of it is read."""
    if not path.is_file():
        raise OutboxError(f"{path}: there is no such file")
    db = connect(path, readonly=True)
    try:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lane'").fetchone():
            raise OutboxError(f"{path}: not an outbox of the gateway")
        if (fault := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise OutboxError(f"{path}: the copy is damaged ({fault}); is the outbox?")
        events = db.execute("SELECT count(*) FROM event").fetchone()[0]
        return Copy(path, made_at(db), events, path.stat().st_size)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    finally:
        db.close()


def restore(source: Path, target: Path, aside: str, prepare: Callable[[Path], None] = lambda fresh: None) -> list[Path]:
    """Put a copy in the outbox's place. What was there is moved aside, to its name with `aside` behind.

    `prepare` may change the file that is going to be the outbox, while the old one is still in its place. Returns the
    files that were moved. Raises `OutboxError` while a process uses the outbox, or when `source` cannot be used; the
    outbox is as it was then.
    """
    look(source)
    if (wal := source.with_name(source.name + "-wal")).exists() and wal.stat().st_size:
        raise OutboxError(f"{source}: not a copy but an outbox, a part of which is in {wal.name}: `gateway backup` it")
    if in_use(target):
        raise OutboxError(f"{target}: in use; stop the gateway first")
    fresh = target.with_name(target.name + ".part")
    private(fresh)
    try:
        with source.open("rb") as old, fresh.open("wb") as new:
            while piece := old.read(1 << 20):
                new.write(piece)
        prepare(fresh)
        moved = []
        for path in (target, *(target.with_name(target.name + one) for one in BESIDE)):
            if path.exists():
                moved.append(path.replace(path.with_name(path.name + aside)))
        synced(fresh, target)
    finally:
        _removed(fresh)
    return moved


def in_use(path: Path) -> bool:
    """Whether a process has the outbox open, as far as locks tell."""
    if not path.exists():
        return False
    lease = lease_of(path)
    if not lease.acquire(wait=False):
        return True
    try:
        return _locked(path)
    finally:
        lease.release()


def made_at(db: Connection) -> float | None:
    """When this copy was made, Unix seconds; `None` for an outbox that is not one, or that has been in use since."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'backup'").fetchone():
        return None
    return float(db.execute("SELECT made_at FROM backup").fetchone()[0])


def resume(db: Connection) -> None:
    """Make a copy an outbox again: what it owes may have been sent since it was made."""
    when = made_at(db)
    if when is None:
        return
    with transaction(db):
        for row in db.execute(f"SELECT {LANE_COLUMNS} FROM lane").fetchall():
            _doubt(db, LaneRow(*row), when)
        ledger.note(db, "restored", when, {"made_at": when})
        db.execute("DROP TABLE backup")


def _doubt(db: Connection, lane: LaneRow, when: float) -> None:
    db.execute(
        "UPDATE delivery SET unseen = 1, first_at = coalesce(first_at, ?) WHERE lane = ? AND state = 'waiting'",
        (when, lane.id),
    )
    owed = [
        number
        for number, data in db.execute("SELECT id, data FROM decision")
        if msgspec.json.decode(data)["to"].get(lane.instance, ("",))[0] in ("send", "send_limited")
    ]
    settled = settled_after(db, lane.id, lane.cursor)
    rows = db.execute("SELECT seq, decision FROM event WHERE seq > ? ORDER BY seq", (lane.cursor,))
    wanted = frozenset(owed)
    values = (
        (lane.id, seq, when, lane.frozen_s, when, RESTORED, when)
        for seq, decision in rows
        if decision in wanted and seq not in settled
    )
    db.executemany(
        "INSERT INTO delivery (lane, seq, state, tries, first_at, frozen_s, next_at, unseen, code, message, changed_at)"
        " VALUES (?, ?, 'waiting', 0, ?, ?, ?, 1, ?, 'from a backup: it may have been sent since', ?)",
        values,
    )


def _copied(source: Path, part: Path, now: float, progress: Callable[[int, int], None]) -> None:
    with contextlib.closing(connect(source, readonly=True)) as db, contextlib.closing(sqlite3.connect(part)) as into:
        db.execute("BEGIN")  # one moment, however long it takes
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        db.backup(into, pages=PAGES, progress=lambda _status, left, total: progress(left, total), sleep=0)
        into.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
        into.execute("DROP TABLE IF EXISTS backup")
        into.execute("CREATE TABLE backup (made_at REAL NOT NULL)")
        into.execute("INSERT INTO backup VALUES (?)", (now,))
        into.commit()


def _locked(path: Path) -> bool:
    """Every process that has a database in write-ahead mode open holds a shared lock on it."""
    db = sqlite3.connect(path, isolation_level=None, timeout=0)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("ROLLBACK")
        return False
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    except sqlite3.DatabaseError:  # damaged: that may be why a backup is wanted
        return False
    finally:
        db.close()


def _removed(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
