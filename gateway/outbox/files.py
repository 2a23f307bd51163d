"""Files that nobody else may read, and that are there whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gateway.model.errors import OutboxError

if TYPE_CHECKING:
    from pathlib import Path


def private(path: Path) -> None:
    """Make a file that only its owner can read."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise OutboxError(f"{path}: cannot be written ({error.strerror})") from error


def synced(part: Path, target: Path) -> None:
    """Give a complete file its name, so that after a power cut it is there whole or not at all."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
