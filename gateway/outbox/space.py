"""Room that is kept on the disk for what must still be written when it is full.

A platform's answer that cannot be written down would be lost, and with it the knowledge of what was delivered. So a
part of the disk is taken while there is plenty, and given back when there is none: new events are refused then,
deliveries go on.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes that are kept: the records of some ten thousand requests.
RESERVE_BYTES = 4 * 1024 * 1024
#: Bytes that must be free before the disk no longer counts as full, or any of it is taken.
FULL_BYTES = 4 * RESERVE_BYTES
#: How often the disk is asked, in seconds.
LOOK_S = 1.0


class Space:
    """The disk under one database."""

    def __init__(self, database: Path) -> None:
        self._folder = database.parent
        self._reserve = database.with_name(database.name + ".reserve")
        self._looked_at = 0.0
        #: No space was left when something was last to be written, here or by another process of the outbox.
        self.full = False

    def keep(self) -> None:
        """Take the reserve, unless it is there or there is too little to take it from."""
        with contextlib.suppress(OSError):
            if self._reserve.exists() or not self._plenty():
                return
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(fd, 0, RESERVE_BYTES)
            finally:
                os.close(fd)

    def ran_out(self) -> bool:
        """There was no space. Returns whether giving the reserve back has made some."""
        self.full = True
        self._looked_at = time.monotonic()
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True

    def is_full(self) -> bool:
        """Whether new events are to be refused; asks the disk now and then whether that has changed.

        Where the reserve is gone, whoever gave it back, what it left is for what must still be written.
        """
        if time.monotonic() - self._looked_at > LOOK_S:
            self._looked_at = time.monotonic()
            if self.full or not self._reserve.exists():
                with contextlib.suppress(OSError):
                    self.full = not self._plenty()
                if not self.full:
                    self.keep()
        return self.full

    def _plenty(self) -> bool:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize > FULL_BYTES
