"""The running processes: `gateway serve` and `gateway dispatch`."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import uvloop

import gateway
from gateway.log import get_logger
from gateway.model.errors import ConfigError, GatewayError
from gateway.outbox import Outbox
from gateway.outbox.engine import version_is_unsafe
from gateway.outbox.lanes import open_lanes
from gateway.web.app import App
from gateway.web.body import Pace
from gateway.web.listening import Deadlines, http_server
from gateway.web.metrics import Metrics
from gateway.web.notify import Notifier
from gateway.web.process import EXIT_DISK, EXIT_WRONG, Loaded, Process, load
from gateway.web.service import Effective, Service
from gateway.web.workers import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from gateway.config import Server, Settings

log = get_logger("server")


def serve(settings_path: Path, *, dispatch: bool = True, deadlines: Deadlines | None = None) -> int:
    """Serve until told to stop; with the dispatcher in it unless `dispatch` is off. Returns the exit code.

    Raises `ConfigError`, `PluginLoadError` or `OutboxError` when it cannot start.
    """
    times = deadlines or Deadlines()
    loaded = load(settings_path)
    with bound(loaded.settings.server) as listener:
        workers = loaded.settings.server.workers

        def work(index: int, orders: int | None = None) -> int:
            outbox = opened(loaded.settings)
            metrics = Metrics(worker=index if workers > 1 else None)
            notifier = Notifier.of(os.environ) if index == 0 else Notifier.of(os.environ).unheard()
            process = partial(Process, orders=orders, notifier=notifier, dispatch=dispatch)
            return _run(_serve(loaded, outbox, listener, metrics, times, process), outbox)

        # the socket takes connections as long as any process has it
        return work(0) if workers == 1 else Supervisor(workers, work, ending=listener.close).run()


def dispatch(settings_path: Path) -> int:
    """Dispatch until told to stop, without HTTP. Returns the exit code; raises as `serve`."""
    loaded = load(settings_path)
    outbox = opened(loaded.settings)

    async def run() -> int:
        process = Process(loaded, outbox, dispatch=True, notifier=Notifier.of(os.environ))
        running = asyncio.create_task(process.run())
        await asyncio.sleep(0)  # from here on it hears signals
        log.info("started", version=gateway.__version__)
        process.ready()
        await running
        return process.exit_code

    return _run(run(), outbox)


def opened(settings: Settings) -> Outbox:
    """The outbox, running, with a lane for each destination: what is accepted from now on is owed to all of them."""
    if version_is_unsafe():
        log.warning("sqlite_unsafe", message="this version of SQLite has the WAL-reset bug: install pysqlite3")
    outbox = Outbox(settings.outbox.path, dedup_window_s=settings.outbox.dedup_window_s)
    outbox.start()
    outbox.write_blocking(lambda db: open_lanes(db, settings.enabled))
    return outbox


@contextlib.contextmanager
def bound(server: Server) -> Iterator[socket.socket]:
    """The listening socket. Raises `GatewayError` while somebody else has the port, `ConfigError` for an address that
    cannot be had.
    """
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((server.host, server.port))
        except OSError as error:
            # somebody who has the port now may not have it later: that is no mistake of the configuration
            kind = GatewayError if error.errno == errno.EADDRINUSE else ConfigError
            where = f"{server.host}:{server.port}"
            raise kind(f"[server] host, port: cannot listen on {where}: {error.strerror}") from error
        yield listener
    finally:
        listener.close()


async def _serve(
    loaded: Loaded,
    outbox: Outbox,
    listener: socket.socket,
    metrics: Metrics,
    times: Deadlines,
    made: Callable[..., Process],
) -> int:
    process = made(loaded, outbox, observe=metrics.attempted, ended=metrics.ended)
    service = Service(Effective.of(loaded.settings, outbox), outbox, metrics, process.dispatcher)
    service.pace = Pace(first_s=times.body_s)

    def take(settings: Settings) -> None:
        service.effective = Effective.of(settings, outbox)

    process.on_reload.append(take)
    server = http_server(App(service), times)
    running = asyncio.create_task(process.run())
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.005)
    host, port = listener.getsockname()[:2]
    mine = log if metrics.worker is None else log.bind(worker=metrics.worker)
    mine.info("started", version=gateway.__version__, host=host, port=port)
    process.ready()
    stopping = asyncio.create_task(process.stopping.wait())
    await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
    process.stop(EXIT_WRONG)  # no effect unless the server ended by itself
    service.draining = True
    server.should_exit = True
    await serving
    await running
    return process.exit_code


def _run(main: Coroutine[Any, Any, int], outbox: Outbox) -> int:
    """Run a process to its end and close the outbox behind it."""

    async def run() -> int:
        try:
            code = await main
        finally:
            # on a thread, so that a second signal is still heard
            await anyio.to_thread.run_sync(outbox.close)
            log.info("stopped")
        if code == 0 and outbox.failure is not None:  # in the last moment
            log.critical("disk_failed", message=str(outbox.failure))
            return EXIT_DISK
        return code

    gc.freeze()  # what the start made stays: no collection need look at it again
    gc.set_threshold(20_000, 50, 100)  # events make no cycles; the defaults cost a tenth of the time
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())
