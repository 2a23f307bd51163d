"""What a running process does beside its work: signals, reload, the disk's failure, an orderly end.

SIGTERM or SIGINT ends it: what is under way is finished, exit 0. A second one ends it at once, with 128 and the
signal's number. SIGHUP reads the configuration again. When the disk fails, it ends with 74. One of several workers
hears of signals from its supervisor alone, through a pipe.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from gateway import config, registry
from gateway.config import Settings, changes_needing_restart
from gateway.delivery.dispatcher import Dispatcher
from gateway.log import get_logger
from gateway.model.errors import GatewayError
from gateway.outbox.lanes import open_lanes
from gateway.registry import Registry
from gateway.web.notify import READY, STOPPING, Notifier
from gateway.web.upkeep import upkeep

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.delivery.ends import Ended
    from gateway.model.delivery import Attempt
    from gateway.outbox import Outbox

#: Exit codes: something is wrong; the disk failed (EX_IOERR of sysexits.h).
EXIT_WRONG, EXIT_DISK = 1, 74
#: Seconds between two looks at the disk's state, and that lanes get to finish what they have sent.
LOOK_S, FINISH_S = 0.2, 40.0

log = get_logger("process")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and the plugins that it was read with."""

    path: Path
    settings: Settings
    registry: Registry


def load(path: Path, known: Registry | None = None) -> Loaded:
    """Read the configuration; the plugins too, unless they are known. Raises `ConfigError`, `PluginLoadError`."""
    document = config.read(path, os.environ)
    found = registry.load(document.plugins_dir) if known is None else known
    return Loaded(path, config.settings(document, found.destinations), found)


class Process:
    """One process on one outbox. Made on the event loop that it runs on."""

    def __init__(
        self,
        loaded: Loaded,
        outbox: Outbox,
        *,
        dispatch: bool,
        observe: Callable[[Attempt], None] | None = None,
        ended: Callable[[Ended], None] | None = None,
        orders: int | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        """`orders`: the end of a pipe that brings the numbers of signals; `None`: they come from the system."""
        self._loaded = loaded
        #: What some keys still go by, however often the file is read again.
        self._at_start = loaded.settings
        self._outbox = outbox
        self.stopping = anyio.Event()
        self.exit_code = 0
        self.dispatcher: Dispatcher | None = None
        if dispatch:
            manager = loaded.registry.manager
            self.dispatcher = Dispatcher(loaded.settings, outbox, plugins=manager, observe=observe, ended=ended)
        #: Called with the new configuration after each reload.
        self.on_reload: list[Callable[[Settings], None]] = []
        self._reload = asyncio.Event()
        self._signalled = False
        self._orders = orders
        self._notifier = notifier or Notifier()

    @property
    def settings(self) -> Settings:
        """The configuration in effect."""
        return self._loaded.settings

    async def run(self) -> None:
        """Listen to signals, watch the disk, dispatch if it is this process's part; returns after `stop`."""
        self._listen()
        beside = (self._reloads(), self._watch_disk(), self._notifier.watch())
        tasks = [asyncio.create_task(one) for one in beside]
        tidying = asyncio.create_task(
            upkeep(self._outbox, lambda: self.settings, self.stopping, has_lease=self._has_lease)
        )
        tidying.add_done_callback(self._ended)
        lanes = asyncio.create_task(self._dispatch())
        lanes.add_done_callback(self._ended)
        await self.stopping.wait()
        _, late = await asyncio.wait([lanes, tidying], timeout=FINISH_S)
        if late:
            log.error("end_not_orderly", duration_s=FINISH_S)
        for task in [*tasks, *late]:
            task.cancel()
        await asyncio.wait([*tasks, *late, tidying])

    def ready(self) -> None:
        """Tell that this process does its work now."""
        self._notifier.tell(READY)

    def stop(self, exit_code: int = 0) -> None:
        """Begin to end."""
        if not self.stopping.is_set():
            self._notifier.tell(STOPPING)
            self.exit_code = exit_code
            self.stopping.set()
            if self.dispatcher is not None:
                self.dispatcher.stop()

    async def reload(self) -> None:
        """Read the configuration again; a wrong one is told, and the old one goes on."""
        try:
            loaded = await anyio.to_thread.run_sync(load, self._loaded.path, self._loaded.registry)
            await self._outbox.write(lambda db: open_lanes(db, loaded.settings.enabled))
        except GatewayError as error:
            log.error("reload_refused", faults=str(error).splitlines())
            return
        if waiting := changes_needing_restart(self._at_start, loaded.settings):
            log.warning("restart_needed", keys=waiting)
        self._loaded = loaded
        for take in self.on_reload:
            take(loaded.settings)
        if self.dispatcher is not None:
            self.dispatcher.reload(loaded.settings)
        log.info("reloaded", file=str(loaded.path))

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        if self._orders is not None:
            loop.add_reader(self._orders, self._ordered, self._orders)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _ordered(self, orders: int) -> None:
        numbers = os.read(orders, 64)
        if not numbers:  # the supervisor is gone: nobody else would ever end this process
            asyncio.get_running_loop().remove_reader(orders)
            log.error("supervisor_ended")
            self.stop(EXIT_WRONG)
        for number in numbers:
            if number == signal.SIGHUP:
                self._reload.set()
            else:
                self._told_to_stop(signal.Signals(number))

    async def _reloads(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._notifier.reloading()
            await self.reload()
            self.ready()

    async def _watch_disk(self) -> None:
        full = False
        while self._outbox.failure is None:  # the writer is a thread and knows no event of ours
            if full != self._outbox.full:
                full = not full
                if full:
                    log.error("disk_full", message="events are refused until there is space; deliveries go on")
                else:
                    log.info("disk_has_space")
            if self._has_lease() and not self._outbox.holds_lease():
                log.critical("lease_lost", message="the file of the lease was deleted: another process may deliver too")
                self.stop(EXIT_WRONG)
                return
            await asyncio.sleep(LOOK_S)
        log.critical("disk_failed", message=str(self._outbox.failure))
        self.stop(EXIT_DISK)

    async def _dispatch(self) -> None:
        if self.dispatcher is None:
            await self.stopping.wait()
        else:
            await self.dispatcher.run()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A part of the process that ends before it was told to takes the whole along: a supervisor starts it anew."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        code = EXIT_DISK if self._outbox.failure is not None else EXIT_WRONG
        log.critical("part_failed", exc_info=error)
        self.stop(code)
        self.exit_code = self.exit_code or code

    def _told_to_stop(self, number: signal.Signals) -> None:
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        log.info("stopping", signal=signal.Signals(number).name)
        self.stop()

    def _has_lease(self) -> bool:
        return self.dispatcher is not None and self.dispatcher.has_lease
