"""What systemd is told of a service of `Type=notify`, and its watchdog.

The protocol is a line or more in a datagram: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html.
Without systemd, or with another type, nothing is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import socket
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


@dataclass(frozen=True, slots=True)
class Notifier:
    """Whom to tell, and how often they want to hear."""

    #: A path, or `@` and a name of Linux's abstract namespace; empty: nobody.
    address: str = ""
    #: Seconds of silence after which systemd takes the process for hung; `None`: it does not watch.
    watchdog_s: float | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Notifier:
        """As the environment of a service says."""
        microseconds = environ.get("WATCHDOG_USEC", "")
        watched_s = int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None
        return cls(environ.get("NOTIFY_SOCKET", ""), watched_s)

    def unheard(self) -> Notifier:
        """For a process that is not the first: watched all the same, but systemd hears of the service from one."""
        return replace(self, address="")

    def tell(self, *lines: str) -> None:
        """Tell systemd. That it cannot be reached changes nothing here."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as one,
        ):
            one.connect(address)
            one.sendall("\n".join(lines).encode())

    def reloading(self) -> None:
        """Tell that the configuration is being read again; `READY` ends it."""
        self.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    async def watch(self) -> None:
        """Say regularly that the event loop runs. When it does not, the process ends, and says where it hung.

        It ends a moment before systemd would kill it, so that one of several workers is started again alone.
        """
        if self.watchdog_s is None:
            return
        try:
            while True:
                faulthandler.dump_traceback_later(0.9 * self.watchdog_s, exit=True)
                self.tell(ALIVE)
                await asyncio.sleep(self.watchdog_s / 4)
        finally:
            faulthandler.cancel_dump_traceback_later()
