"""A whole gateway in one process: the door, the outbox on disk, the dispatcher, and the five mock platforms."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from gateway import config, registry
from gateway.delivery.dispatcher import Dispatcher
from gateway.demo.mock import MockRequest
from gateway.ingest.decode import read_body
from gateway.ingest.pipeline import Door
from gateway.outbox import Outbox
from gateway.outbox.lanes import open_lane

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.ingest.draft import BrowserHints

PLATFORMS = ("meta", "tiktok", "google", "pinterest", "snapchat")
#: In no event are more than this many seconds needed to deliver everything.
DEADLINE_S = 20.0


def toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {toml_value(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)


class World:
    """`post` events, `deliver` them; then `arrived` holds what each platform took and `requests` what it was sent."""

    def __init__(self, folder: Path, more: str = "", source: str = 'region = "US"') -> None:
        self.mocks = {name: importlib.import_module(f"gateway.demo.platforms.{name}").MOCK for name in PLATFORMS}
        file = folder / "gateway.toml"
        file.write_text(
            "\n".join([f'[sources.shop]\nwrite_key = "made-up-write-key-000001"\n{source}', more, *self._tables()])
        )
        self.settings = config.load(file, {}, lambda _: registry.load().destinations)
        self.outbox = Outbox(self.settings.outbox.path)
        self.outbox.start()
        for name in PLATFORMS:  # before the first event, as the server does: a lane starts at the end of the log
            self.outbox.write_blocking(partial(open_lane, instance=name, end=1))
        self.arrived: dict[str, list[Mapping[str, Any]]] = {name: [] for name in PLATFORMS}
        self.requests: list[tuple[str, httpx.Request]] = []
        self.answers: list[dict[str, Any]] = []
        self.refusals: list[str] = []

    def _tables(self) -> Iterator[str]:
        for name, mock in self.mocks.items():
            keys = "".join(f"{key} = {toml_value(one)}\n" for key, one in mock.config.items() if key != "token_url")
            usual = 'batch_linger = 0\nrate_limit = "1000/s"\nallow_private = true\n'
            if mock.name == "google":  # it reports later, and refunds wait for the report
                usual += 'follow_up = {first = "50ms"}\n'
            yield f'[destinations.{name}]\nplugin = "{name}"\nbase_url = "http://127.0.0.1:1/{name}"\n{usual}{keys}'

    def network(self, name: str) -> httpx.MockTransport:
        def answer(request: httpx.Request) -> httpx.Response:
            self.requests.append((name, request))
            headers = {key.lower(): value for key, value in request.headers.items()}
            path = request.url.path.removeprefix(f"/{name}")
            seen = MockRequest(request.method, path, dict(request.url.params), headers, request.content)
            reply = self.mocks[name].answer(seen, time.time())
            self.arrived[name] += [*reply.accepted, *reply.tested]
            if reply.status != 200:
                self.refusals.append(f"{name}: {reply.status} {reply.json}")
            return httpx.Response(reply.status, json=reply.json, headers=reply.headers)

        return httpx.MockTransport(answer)

    def post(
        self, *events: Any, through: str = "shop", hints: BrowserHints | None = None, at: float | None = None
    ) -> list[dict[str, Any]]:
        """As a body of JSON, at a time (Unix seconds; now). Returns the results."""
        clock = time.time if at is None else lambda: at
        door, source = Door(self.settings, self.outbox, clock), self.settings.sources[through]

        async def accept() -> dict[str, Any]:
            data = json.dumps(events).encode()
            body = read_body(data, "application/json", "", max_bytes=10_000_000, max_events=1000)
            return await door.accept(body, source, hints)

        answer = anyio.run(accept)
        self.answers.append(answer)
        results: list[dict[str, Any]] = answer["results"]
        return results

    def deliver(self, within_s: float = DEADLINE_S) -> None:
        """Run the dispatcher until no delivery waits."""

        async def run() -> None:
            network = {name: self.network(name) for name in PLATFORMS}
            dispatcher = Dispatcher(self.settings, self.outbox, network=network)
            with anyio.fail_after(within_s):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(dispatcher.run)
                    while not self._settled():  # noqa: ASYNC110 - nothing tells when the last answer is recorded
                        await anyio.sleep(0.02)
                    dispatcher.stop()

        anyio.run(run)

    def _settled(self) -> bool:
        with self.outbox.reading() as db:
            last = db.execute("SELECT max(seq) FROM event").fetchone()[0]
            done = db.execute("SELECT count(*) FROM lane WHERE cursor >= ?", (last,)).fetchone()[0]
            waiting = db.execute("SELECT count(*) FROM delivery WHERE state = 'waiting'").fetchone()[0]
        return done == len(PLATFORMS) and waiting == 0

    def ids(self, name: str) -> list[str]:
        """The event ids that a platform took."""
        key = "transactionId" if name == "google" else "event_id"
        return [str(item[key]) for item in self.arrived[name]]

    def states(self) -> dict[tuple[str, str], tuple[str, str]]:
        """(event id, destination) → state and code, for what did not simply arrive."""
        with self.outbox.reading() as db:
            rows = db.execute(
                "SELECT e.event_id, l.instance, d.state, d.code FROM delivery d "
                "JOIN event e USING (seq) JOIN lane l ON l.id = d.lane"
            ).fetchall()
        return {(event_id, name): (state, code) for event_id, name, state, code in rows}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(**keys: Any) -> World:
        made.append(World(tmp_path_factory.mktemp("world"), **keys))
        return made[-1]

    yield make
    for one in made:
        one.outbox.close()
