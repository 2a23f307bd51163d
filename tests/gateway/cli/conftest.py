"""A gateway in a temporary folder: two instances of the template's destination, real SQLite, answers by the test."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import structlog

from gateway import config, registry
from gateway.cli import scaffold
from gateway.cli.main import call
from gateway.delivery.dispatcher import Dispatcher
from gateway.ingest.decode import Body
from gateway.ingest.pipeline import Door
from gateway.outbox import Outbox, standing
from gateway.outbox.queries import newest

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Settings

GRANTED = {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted", "region": "DE"}

Reply = Callable[[httpx.Request], httpx.Response]


class Stage:
    """The folder, and a running gateway on it when a test wants one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "gateway.toml"
        self.sent: dict[str, list[str]] = {}
        plugin = folder / "plugins" / "acme.py"
        plugin.parent.mkdir()
        plugin.write_text(scaffold.rendered("acme")["acme.py"], "utf-8")
        self.configure("left", "right")

    def configure(self, *names: str, more: str = "") -> None:
        """Write the configuration with these destinations."""
        lines = ['plugins_dir = "plugins"', "[sources.web]", 'write_key = "a-write-key-of-the-tests"']
        for name in names:
            lines += [f"[destinations.{name}]", 'plugin = "acme"', 'account = "7"', 'token = "a-secret-token"']
            lines += ['base_url = "http://127.0.0.1:1/"', "allow_private = true", 'batch_linger = "0s"']
        self.path.write_text("\n".join([*lines, more]), "utf-8")
        self.path.chmod(0o600)

    @property
    def settings(self) -> Settings:
        """The configuration, read anew."""
        return config.load(self.path, {}, lambda folder: registry.load(folder).destinations)

    def event(self, event_id: str, **given: Any) -> dict[str, Any]:
        """A purchase of somebody who agreed to everything."""
        plain = {"event_name": "Purchase", "event_id": event_id, "consent": GRANTED}
        plain["user_data"] = {"email": "jane.doe@example.com"}
        return {**plain, "custom_data": {"value": 5, "currency": "EUR", "order_id": event_id}, **given}

    def run(self, *events: dict[str, Any], **replies: Reply) -> None:
        """Accept events, and deliver until nothing is queued any more."""
        anyio.run(functools.partial(self._run, events, replies), backend="asyncio")

    async def _run(self, events: tuple[dict[str, Any], ...], replies: dict[str, Reply]) -> None:
        settings = self.settings
        outbox = Outbox(settings.outbox.path)
        outbox.start()
        network = {name: self._network(name, replies.get(name, taken)) for name in settings.enabled}
        dispatcher = Dispatcher(settings, outbox, network=network)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(dispatcher.run)
                while not dispatcher.has_lease or not await outbox.read(lambda db: _opened(db, settings)):  # noqa: ASYNC110
                    await anyio.sleep(0.005)
                if events:
                    await Door(settings, outbox).accept(Body(list(events), False), settings.sources["web"])
                with anyio.fail_after(10):
                    while not await outbox.read(_settled):  # noqa: ASYNC110
                        await anyio.sleep(0.01)
                dispatcher.stop()
        finally:
            outbox.close()

    def _network(self, name: str, reply: Reply) -> httpx.MockTransport:
        def answer(request: httpx.Request) -> httpx.Response:
            ids = [item["id"] for item in json.loads(request.content)["events"]]
            response = reply(request)
            if response.is_success:
                self.sent.setdefault(name, []).extend(ids)
            return response

        return httpx.MockTransport(answer)

    def change(self, statement: str) -> None:
        """Change the database as time would."""
        outbox = Outbox(self.settings.outbox.path)
        outbox.start()
        outbox.write_blocking(lambda db: db.execute(statement).rowcount)
        outbox.close()


def taken(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={})


def _opened(db: Any, settings: Settings) -> bool:
    return settings.enabled.keys() <= standing.lane_rows(db).keys()


def _settled(db: Any) -> bool:
    events = newest(db, before=None, limit=1_000)
    return not any(
        at.state in ("queued",) for where in standing.standings(db, events).values() for at in where.values()
    )


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GATEWAY_CONFIG", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)  # the width is that of where there is no terminal
    return Stage(tmp_path)


@pytest.fixture
def gateway(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """`gateway("events", "--json")` → exit code, standard output, standard error."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = call(list(arguments))
        said = capfd.readouterr()
        return code, said.out, said.err

    yield run
    structlog.reset_defaults()
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def answer(gateway: Callable[..., tuple[int, str, str]]) -> Callable[..., Any]:
    """`answer("events")` → the decoded JSON of a command that ended with `code`."""

    def run(*arguments: str, code: int = 0) -> Any:
        ended, out, err = gateway(*arguments, "--json")
        assert ended == code, err
        return json.loads(out)

    return run


@pytest.fixture
def refused() -> Reply:
    body = {"error": {"code": "invalid_event", "message": "not for jane@example.com"}}
    return lambda request: httpx.Response(400, json=body)
