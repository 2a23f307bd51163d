"""The one SQLite library of the process, and how its connections are opened."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.model.errors import OutboxError, OutboxFailed, OutboxFull

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:  # bundles a current SQLite; sqlite-utils takes it too, so that one library serves the process
    from pysqlite3 import dbapi2 as sqlite3
except ImportError:  # no wheel for this platform
    import sqlite3

__all__ = [
    "Connection",
    "FileLock",
    "checkpoint",
    "connect",
    "empty_wal",
    "lease_of",
    "sqlite3",
    "transaction",
    "translated",
    "version_is_unsafe",
]

Connection: TypeAlias = Any

#: Versions with the WAL-reset corruption bug: https://www.sqlite.org/wal.html#walresetbug
UNSAFE_FROM, UNSAFE_TO = (3, 7, 0), (3, 51, 2)

#: How long a statement waits for another process's transaction.
BUSY_TIMEOUT_MS = 5_000

_FULL, _IOERR, _CORRUPT, _NOTADB, _READONLY = 13, 10, 11, 26, 8
#: ERROR, TOOBIG, CONSTRAINT, MISMATCH, MISUSE, RANGE; 0: raised by the module, not by SQLite.
_OF_A_STATEMENT = (0, 1, 18, 19, 20, 21, 25)


def version_is_unsafe() -> bool:
    """Whether the SQLite in use has the WAL-reset bug."""
    return bool(UNSAFE_FROM <= sqlite3.sqlite_version_info <= UNSAFE_TO)


def connect(path: Path, *, readonly: bool = False, as_it_is: bool = False) -> Connection:
    """A connection with the settings that the promises rest on; `as_it_is`: without those that change the file.

    What a crash left half done is set right by whoever opens the file first, unless it is `readonly`.
    Raises `OutboxError` when the file is no database, cannot be opened or does not take the settings.
    """
    uri = f"file:{_quoted(path)}?mode={'ro' if readonly else 'rwc'}"
    try:
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256)
        db.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if not readonly and not as_it_is:
            mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise OutboxError(
                    f"{path}: SQLite cannot use its write-ahead log here (got {mode!r}); use a local disk"
                )
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA secure_delete = ON")
            db.execute("PRAGMA wal_autocheckpoint = 0")  # a connection of its own does it: see writer.py
        db.execute("PRAGMA temp_store = MEMORY")
        db.execute("PRAGMA mmap_size = 0")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return db


def translated(error: Exception, path: Path | str = "the outbox") -> OutboxError:
    """SQLite's error as one of ours: what happens next depends on which."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == _FULL:
        return OutboxFull(f"{path}: no space left on the disk")
    if code == _IOERR:
        return OutboxFailed(f"{path}: the disk failed ({getattr(error, 'sqlite_errorname', 'SQLITE_IOERR')})")
    if code in (_CORRUPT, _NOTADB):
        return OutboxFailed(
            f"{path}: not a database, or a damaged one; nothing was changed. Restore a backup, or move it away"
        )
    if code == _READONLY:
        return OutboxError(f"{path}: the file or its folder cannot be written to")
    return OutboxError(f"{path}: {error}")


def is_of_a_statement(error: Exception) -> bool:
    """Whether one statement is at fault, not the disk or another process: others can go on."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _OF_A_STATEMENT


@contextlib.contextmanager
def transaction(db: Connection) -> Iterator[None]:
    """`BEGIN IMMEDIATE` … `COMMIT`, rolled back on any exception."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def checkpoint(db: Connection, path: Path) -> None:
    """Copy the write-ahead log into the database, as far as nobody still reads it.

    Closing the last connection does so too, but tells nobody when the disk fails. Raises `OutboxError`.
    """
    try:
        db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    except sqlite3.Error as error:
        raise translated(error, path) from error


def empty_wal(db: Connection, path: Path, patience_s: float = 10.0) -> bool:
    """Copy all of the write-ahead log into the database, and cut it to nothing: what was deleted is nowhere then.

    Returns whether it is empty: readers may be in the way for longer than `patience_s`. Raises `OutboxError`.
    """
    until = time.monotonic() + patience_s
    try:
        while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            if time.monotonic() > until:
                return False
            time.sleep(0.05)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return True


class FileLock:
    """A lock of the operating system on a file beside the database. Ends with the process, whatever ends it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, *, wait: bool) -> bool:
        """Take it; `False` when somebody else has it and `wait` is off."""
        while not self.is_held():  # once more, if the file was deleted between opening and locking it
            self.release()
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            self._fd = fd
        return True

    def is_held(self) -> bool:
        """Whether this process has it, and nobody else can get it: the file that is locked is still the one there."""
        if self._fd is None:
            return False
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._fd), os.stat(self.path))
        return False

    def release(self) -> None:
        """Give it back; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def lease_of(database: Path) -> FileLock:
    """The lock of whoever delivers what is in a database, by whatever name it is opened."""
    real = database.resolve()
    return FileLock(real.with_name(real.name + ".dispatcher"))


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
