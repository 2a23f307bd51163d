"""The ledger's head, written outside of the database: who changes the chain later has to change this too.

Lines of text, of which none is ever changed: `RFC 3339 time, number of the row, its hash`.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.model.errors import OutboxError
from gateway.outbox.ledger import HASH

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.outbox.ledger import Head


@dataclass(frozen=True, slots=True)
class Anchored:
    """One line."""

    line: int
    #: As it was written.
    at: str
    id: int
    #: Empty if the line cannot be read.
    hash: bytes
    #: `at` in Unix seconds.
    unix: float = 0.0


def append(path: Path, head: Head, now: float) -> None:
    """Write down where the chain ends. Raises `OutboxError`."""
    line = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}, {head.id}, {head.hash.hex()}\n".encode()
    try:
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(opened).st_size
            if size and os.pread(opened, 1, size - 1) != b"\n":
                line = b"\n" + line  # the last one was torn by a crash: this one stands by itself
            if os.write(opened, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise OutboxError(f"{path}: the ledger's head cannot be written there ({error.strerror})") from error


def read(path: Path) -> list[Anchored]:
    """All lines. Raises `OutboxError` when the file cannot be read, or holds none.

    A line that is none has no hash, and so fits nothing: a crash may have torn it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OutboxError(f"{path}: the anchors cannot be read ({getattr(error, 'strerror', 'not text')})") from error
    found = [_line(number, text) for number, text in enumerate(lines, 1) if text.strip()]
    if not found:
        raise OutboxError(f"{path}: there is no anchor in it: it has been emptied, or nothing was written there yet")
    return found


def _line(number: int, text: str) -> Anchored:
    try:
        at, row, digest = (part.strip() for part in text.split(","))
        found = Anchored(number, at, int(row), bytes.fromhex(digest.replace("-", "")))
        when = datetime.fromisoformat(at).timestamp()
    except ValueError:
        return Anchored(number, "", 0, b"")
    return replace(found, unix=when) if len(found.hash) == HASH else Anchored(number, "", 0, b"")
