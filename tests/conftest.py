"""What tests of several folders share: a clock that is not real, a scripted platform, and lanes between them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from gateway.config import ConsentSettings, Instance, OutboxSettings, Settings, Source
from gateway.delivery.dispatcher import Dispatcher
from gateway.ingest.decode import Body
from gateway.ingest.pipeline import Door
from gateway.outbox import Outbox, queries, standing
from gateway.outbox.lanes import open_lane
from gateway.plugin import Destination, Request, Response, Skip, verdicts

if TYPE_CHECKING:
    from pathlib import Path

    from _pytest.terminal import TerminalReporter

    from gateway.delivery.ends import Ended
    from gateway.delivery.status import LaneStatus
    from gateway.model.delivery import Attempt, Verdict
    from gateway.model.event import Event

#: No secret and nobody's identity comes out anywhere, whatever is tested.
pytest_plugins = ["tests.canaries"]

#: Where virtual time begins, Unix seconds.
START = 1_795_000_000.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="Run the long forms of the tests that have one.")
    parser.addoption("--seed", type=int, help="Of the simulation's seeds, run this one.")


#: The name under which a test's report carries a figure.
FIGURE = "figure"


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Callable[[int, int], int]:
    """`size(short, long)`: how much of something this run does."""
    return lambda short, long: long if request.config.getoption("--long") else short


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Leave a line for the end of the run: what was counted, as RELIABILITY.md has it."""
    return lambda line: record_property(FIGURE, line)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the figures, those of failed tests too."""
    reports = [one for found in terminalreporter.stats.values() for one in found if hasattr(one, "user_properties")]
    lines = [value for one in reports for name, value in one.user_properties if name == FIGURE]
    if lines:
        terminalreporter.section("figures")
        for line in dict.fromkeys(lines):
            terminalreporter.write_line(line)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class FakeClock:
    """Virtual time. It moves only in `until` and `pass_s`, and only when everything else waits."""

    def __init__(self, start: float = START) -> None:
        self.time = start
        self._waiting: list[tuple[float, anyio.CancelScope]] = []
        self._busy = 0
        self._idle = asyncio.Event()

    def now(self) -> float:
        return self.time

    async def wait(self, event: anyio.Event, timeout_s: float | None) -> None:
        with anyio.CancelScope() as scope:
            entry = (math.inf if timeout_s is None else self.time + timeout_s, scope)
            self._waiting.append(entry)
            try:
                await event.wait()
            finally:
                self._waiting.remove(entry)

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Something is done on another thread: time stands still meanwhile."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def until(self, done: Callable[[], object], *, within_s: float = 3600.0) -> None:
        """Let time pass, as little as needed, until `done()` holds."""
        limit = self.time + within_s
        await self._settle()
        while not done():
            following = self._following()
            assert following <= limit, f"not within {within_s} s"
            self._advance(following)
            await self._settle()

    async def pass_s(self, seconds: float) -> None:
        """Let this much time pass."""
        end = self.time + seconds
        await self.until(lambda: self._following() > end, within_s=math.inf)
        self.time = max(self.time, end)

    def _following(self) -> float:
        """When the next of those who wait has waited long enough."""
        return min((at for at, _ in self._waiting), default=math.inf)

    def _advance(self, to: float) -> None:
        self.time = max(self.time, to)
        for at, scope in list(self._waiting):
            if at <= self.time:
                scope.cancel()

    async def _settle(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)
            if self._busy:
                self._idle.clear()
                await self._idle.wait()
            elif not loop._ready:  # type: ignore[attr-defined]  # nothing else runs: all the others wait
                return


@pytest.fixture
def virtual_clock() -> type[FakeClock]:
    """See `FakeClock`."""
    return FakeClock


class WatchedOutbox(Outbox):
    """An outbox during whose work virtual time stands still."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        super().__init__(path, clock=clock.now)
        self._fake = clock

    async def read(self, work: Any) -> Any:
        with self._fake.working():
            return await super().read(work)

    async def write(self, work: Any, *, size: int = 0) -> Any:
        with self._fake.working():
            return await super().write(work, size=size)


WORDS: dict[str, Verdict] = {
    "ok": verdicts.delivered(),
    "received": verdicts.received("request-1"),
    "again": verdicts.retry("again", "the platform is tired"),
    "at once": verdicts.retry("held_up", "a neighbour was refused", after_s=0),
    "later": verdicts.retry("later", after_s=100.0),
    "thrice": verdicts.retry("odd", "never heard of", tries=3),
    "renew": verdicts.retry("token", renew_token=True),
    "split": verdicts.split("whole", "one of them is bad"),
    "reject": verdicts.reject("bad", "this one is bad"),
    "pause": verdicts.pause("token_dead", "log in again"),
}


def classify(response: Response, n: int) -> Verdict | list[Verdict]:
    """A scripted platform says itself what its answer means."""
    each = response.find("each")
    if isinstance(each, list):
        return [WORDS[word] for word in each]
    word = response.find("verdict")
    return WORDS[word] if isinstance(word, str) else verdicts.by_status(response, n)


def map_event(event: Event, config: Any) -> dict[str, object] | Skip:
    if event.custom_data.get("unmappable"):
        return Skip("missing_field", "custom_data.value")
    return {"id": event.event_id, "name": event.platform_name, "value": event.custom_data.get("value")}


ACME = Destination(
    name="acme",
    api_version="v1",
    docs="https://acme.example/docs",
    config_schema={"type": "object"},
    names={"Purchase": "Buy", "Refund": "Unbuy", "Lead": "Lead"},
    purposes=frozenset({"ad_user_data"}),
    map_event=map_event,
    build_request=lambda batch, config: Request("POST", "https://acme.example/v1/events", json={"data": list(batch)}),
    classify=classify,
)


def acme(name: str = "acme", /, *, destination: Destination | None = None, **options: Any) -> Instance:
    """A configured use of the scripted platform; options are the destination's or the instance's."""
    theirs = {
        key: options.pop(key) for key in list(options) if key in Destination.__dataclass_fields__ and key not in OWN
    }
    made = replace(destination or ACME, **theirs)
    given = {"batch_size": 100, "requires": frozenset(made.purposes), "names": made.names, "retry": made.retry}
    given |= {"follow_up": made.follow_up, "digests": made.digests, "max_concurrency": 1, **options}
    return Instance(name=name, destination=made, **given)


#: Names of fields that both have and that mean the instance's here.
OWN = frozenset({"name", "names", "digests", "retry", "follow_up"})

Answer = Callable[[list[str]], Any]


class Platform:
    """Answers as the test says, and keeps what it was sent."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        #: Event ids of each request.
        self.requests: list[list[str]] = []
        #: When each came, virtual Unix seconds.
        self.times: list[float] = []
        self.urls: list[str] = []
        #: Event ids → a word of `WORDS`, a list of them, a status, a response, or an exception to raise.
        self.answer: Answer = lambda ids: "ok"
        #: What it counts as its own.
        self.taken: list[str] = []

    def network(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._handle)

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        ids = [item["id"] for item in json.loads(request.content)["data"]] if request.content else []
        self.requests.append(ids)
        self.times.append(self._clock.now())
        self.urls.append(str(request.url))
        given = self.answer(ids)
        if hasattr(given, "__await__"):
            given = await given
        if isinstance(given, Exception):
            raise given
        if isinstance(given, httpx.Response):
            return given
        if isinstance(given, int):
            return httpx.Response(given)
        words = given if isinstance(given, list) else [given] * len(ids)
        self.taken += [one for one, word in zip(ids, words, strict=True) if word in ("ok", "received")]
        return httpx.Response(200, json={"each": given} if isinstance(given, list) else {"verdict": given})


class World:
    """A door, an outbox, a dispatcher and a platform, under virtual time."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock()
        self.path = folder / "gateway.db"
        self.outbox = WatchedOutbox(self.path, self.clock)
        self.outbox.start()
        self.platform = Platform(self.clock)
        #: Platforms of instances that have one of their own.
        self.networks: dict[str, httpx.AsyncBaseTransport] = {}
        self.attempts: list[Attempt] = []
        self.ended: list[Ended] = []
        self.settings = self.configured(acme())
        self.dispatcher: Dispatcher | None = None

    def configured(self, *instances: Instance, consent: ConsentSettings | None = None) -> Settings:
        """Take these destinations; each has its place in the log from now on."""
        self.settings = Settings(
            path=self.path.with_name("gateway.toml"),
            outbox=OutboxSettings(url="sqlite:///gateway.db", path=self.path),
            sources={"web": Source(name="web", region="US")},
            consent=consent or ConsentSettings(),
            destinations={one.name: one for one in instances},
        )
        self.outbox.write_blocking(self._open_lanes)
        return self.settings

    def _open_lanes(self, db: Any) -> None:
        end = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM event").fetchone()[0]
        for name in self.settings.enabled:
            open_lane(db, name, end)

    async def post(self, *ids: str, name: str = "Lead", **fields: Any) -> list[dict[str, Any]]:
        """Post an event for each id. Returns what the door answered about each."""
        return await self.post_events([{"event_name": name, "event_id": one, **fields} for one in ids])

    async def post_events(self, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
        with self.clock.working():
            door = Door(self.settings, self.outbox, clock=self.clock.now)
            answered = await door.accept(Body(events, odd=False), self.settings.sources["web"])
        results: list[dict[str, Any]] = answered["results"]
        return results

    @asynccontextmanager
    async def running(self, outbox: Outbox | None = None) -> AsyncIterator[Dispatcher]:
        """A dispatcher at work; stopped in order at the end."""
        instances = self.settings.enabled
        dispatcher = Dispatcher(
            self.settings,
            outbox or self.outbox,
            clock=self.clock,
            rng=random.Random(1),
            observe=self.attempts.append,
            ended=self.ended.append,
            network={name: self.networks.get(name) or self.platform.network() for name in instances},
        )
        self.dispatcher = dispatcher
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatcher.run)
            try:
                yield dispatcher
            finally:
                dispatcher.stop()
                await self._stopped(dispatcher)

    async def _stopped(self, dispatcher: Dispatcher) -> None:
        """What waits for a time comes to its end."""
        for _ in range(1000):
            await self.clock._settle()
            if not dispatcher.has_lease:
                return
            self.clock._advance(min((at for at, _ in self.clock._waiting), default=0.0))
        raise AssertionError("the dispatcher does not end")

    def status(self, name: str = "acme") -> LaneStatus:
        """How a lane is."""
        assert self.dispatcher is not None
        return next(one for one in self.dispatcher.status() if one.instance == name)

    def standing(self, event_id: str, instance: str = "acme") -> standing.Standing | None:
        """Where a delivery is, as `explain` tells it."""
        with self.outbox.reading() as db:
            row = queries.find(db, event_id)[0]
            return standing.standings(db, [row])[row.seq].get(instance)

    def states(self, *ids: str, instance: str = "acme") -> list[str]:
        """The states of deliveries."""
        found = [self.standing(one, instance) for one in ids]
        return ["not owed" if one is None else str(one.state) for one in found]

    def settled(self, *ids: str, instance: str = "acme") -> Callable[[], bool]:
        """For `until`: each of these is neither queued nor waiting."""
        return lambda: not {"queued", "waiting"} & set(self.states(*ids, instance=instance))

    def lane(self, instance: str = "acme") -> Any:
        """The row of a lane."""
        with self.outbox.reading() as db:
            return standing.lane_rows(db)[instance]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """See `World`."""
    made = World(tmp_path)
    yield made
    made.outbox.close()


@pytest.fixture
def new_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], World]:
    """Makes worlds, for tests that need many; each is closed by who asked for it."""
    return lambda: World(tmp_path_factory.mktemp("world"))


@pytest.fixture
def use() -> Callable[..., Instance]:
    """`acme(…)`: a configured use of the scripted platform."""
    return acme


@pytest.fixture
def deadline() -> Callable[[Callable[[], object]], None]:
    """Wait for something of another thread or process, in real time, up to 20 s."""

    def wait(done: Callable[[], object], within_s: float = 20.0) -> None:
        end = time.monotonic() + within_s
        while not done():
            assert time.monotonic() < end, "not in time"
            time.sleep(0.005)

    return wait
