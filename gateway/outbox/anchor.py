"""The ledger's head, written outside of the database: who changes the chain later has to change this too.

Lines of text, of which none is ever changed: `RFC 3339 time, number of the row, its hash`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
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
    hash: bytes


def append(path: Path, head: Head, now: float) -> None:
    """Write down where the chain ends. Raises `OutboxError`."""
    text = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}, {head.id}, {head.hash.hex()}\n"
    try:
        opened = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(opened, text.encode())
            os.fsync(opened)
        finally:
            os.close(opened)
    except OSError as error:
        raise OutboxError(f"{path}: the ledger's head cannot be written there ({error.strerror})") from error


def read(path: Path) -> list[Anchored]:
    """All lines. Raises `OutboxError` when the file cannot be read, holds none, or for a line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise OutboxError(f"{path}: the anchors cannot be read ({getattr(error, 'strerror', 'not text')})") from error
    found = [_line(path, number, text) for number, text in enumerate(lines, 1) if text.strip()]
    if not found:
        raise OutboxError(f"{path}: there is no anchor in it: it has been emptied, or nothing was written there yet")
    return found


def _line(path: Path, number: int, text: str) -> Anchored:
    try:
        at, row, digest = (part.strip() for part in text.split(","))
        found = Anchored(number, at, int(row), bytes.fromhex(digest.replace("-", "")))
    except ValueError:
        found = None
    if found is None or len(found.hash) != HASH:
        raise OutboxError(f"{path}: line {number} is not `time, number, hash`")
    return found
