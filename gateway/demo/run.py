"""`gateway demo`: the whole journey on one machine, in a few seconds, with no account and no setup.

What runs is what runs in production: the configuration file, the outbox, the HTTP server, the lanes and the network
stack. Only the platforms are mocks, and the times of waiting are short.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import structlog

from gateway import log
from gateway.delivery.dispatcher import Dispatcher
from gateway.demo import show
from gateway.demo.configuration import WRITE_KEY, gateway_toml
from gateway.demo.report import Report, report
from gateway.demo.server import MockServer
from gateway.demo.states import Standings, all_final, standings
from gateway.demo.story import Story, tell
from gateway.model.errors import ConfigError
from gateway.web.app import App
from gateway.web.listening import Deadlines, http_server
from gateway.web.process import load
from gateway.web.server import bound, opened
from gateway.web.service import Effective, Service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.model.delivery import Attempt
    from gateway.outbox import Outbox
    from gateway.web.process import Loaded

#: The platform whose first request is answered with 503, so that a retry is seen.
OUTAGE = "snapchat"
#: How long deliveries may take to become final, and how often to look, in seconds.
PATIENCE_S, LOOK_S = 10.0, 0.05


def main(json: bool = False, keep: Path | None = None) -> int:
    """Run the demo and print what came of it, for people or as JSON. Returns 0 if every platform got what it should.

    `keep`: a new or empty folder, in which the configuration, the outbox and the log stay. Raises `ConfigError` for
    one that has something in it.
    """
    start = time.perf_counter()
    with _folder(keep) as folder, _log_to(folder / "gateway.log"):
        found = play(folder, start)
    if json:
        show.as_json(found, keep)
    else:
        show.for_people(found, keep)
    return 0 if found["ok"] else 1


def play(folder: Path, start: float) -> Report:
    """Start everything in a folder, tell the story, and report. `start`: `time.perf_counter` at the demo's begin."""
    with MockServer(unavailable={OUTAGE: 1}) as mocks:
        path = folder / "gateway.toml"
        path.touch(mode=0o600)
        path.write_text(gateway_toml(mocks), encoding="utf-8")
        loaded = load(path)
        outbox = opened(loaded.settings)
        attempts: list[Attempt] = []
        try:
            story, found = asyncio.run(_run(loaded, outbox, attempts))
        finally:
            outbox.close()
        return report(loaded.settings, mocks, story, found, attempts, OUTAGE, time.perf_counter() - start)


async def _run(loaded: Loaded, outbox: Outbox, attempts: list[Attempt]) -> tuple[Story, Standings]:
    """Serve and dispatch until the story is told and every delivery is final, or patience ends."""
    settings = loaded.settings
    dispatcher = Dispatcher(settings, outbox, plugins=loaded.registry.manager, observe=attempts.append)
    service = Service(Effective.of(settings, outbox), outbox, dispatcher=dispatcher)
    server = http_server(App(service), Deadlines())
    with bound(replace(settings.server, port=0)) as listener:
        listener.listen()  # so that the first request waits for the server, rather than be refused
        port = listener.getsockname()[1]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(dispatcher.run())
            tasks.create_task(server.serve(sockets=[listener]))
            try:
                return await _tell(port, outbox)
            finally:
                dispatcher.stop()
                server.should_exit = True


async def _tell(port: int, outbox: Outbox) -> tuple[Story, Standings]:
    headers = {"Authorization": f"Bearer {WRITE_KEY}"}
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, headers=headers, trust_env=False) as client:
        story = await tell(client)
    for _ in range(int(PATIENCE_S / LOOK_S)):
        if await outbox.read(all_final):
            break
        await asyncio.sleep(LOOK_S)
    return story, await outbox.read(standings)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where the demo lives: a folder to keep, or one that goes with it."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="gateway-demo-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{keep}: cannot be made a folder: {error.strerror}") from error
    if any(keep.iterdir()):
        raise ConfigError(f"{keep}: the folder is not empty; name another one")
    yield keep


@contextlib.contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Have the gateway's log in a file meanwhile: the terminal is for the report."""
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    with path.open("w", encoding="utf-8") as stream:
        log.configure(stream=stream, console=False)
        try:
            yield
        finally:
            structlog.configure(**before)
            logging.getLogger().handlers[:] = handlers
