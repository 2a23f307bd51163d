"""A gateway, its platforms and their time in one thread, all drawn from one seed: see `Simulation`.

The door, the outbox on disk, retention, lanes, follow-ups and the commands that put deliveries back are the real ones.
Only the clock, the threads and the network are ours: what would happen on another thread happens here when the seed
says so, and a crash may come between any two steps.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
import structlog

from gateway.config import ConsentSettings, Instance, OutboxSettings, Settings, Source
from gateway.delivery import followup, lane
from gateway.delivery.dispatcher import Dispatcher
from gateway.ingest import enrich
from gateway.ingest.decode import Body
from gateway.ingest.pipeline import Door
from gateway.insight.replay import hindrance
from gateway.model.delivery import FINAL_STATES, State
from gateway.model.errors import OutboxFull
from gateway.outbox import Outbox, queries, repair, retention, standing
from gateway.outbox.lanes import lane_ids, open_lanes
from gateway.outbox.writer import Writer
from gateway.plugin import FollowUp, Request, verdicts
from gateway.plugin.destination import Retry
from gateway.privacy.consent import SHIPPED_REGIONS, RegionRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gateway.plugin import Response, Verdict

#: On a disk in memory where there is one: what a disk does to the outbox is for other tests.
MEMORY = next((one for one in ("/dev/shm",) if Path(one).is_dir()), None)  # noqa: S108  # for mkdtemp
#: Seconds that a platform says to be left alone for.
HOLD_S = 40
#: Events grow too old in this time, and must not be repeated after this, once an answer was not seen.
AGE_S, UNSEEN_S = 7_200.0, 900.0
#: How far ahead virtual time may have to go until everything is settled.
END_S = 40_000.0


class Violation(AssertionError):
    """A promise that was not kept."""


class InlineWriter(Writer):
    """Commits between two turns of the event loop, without threads: together what was handed over in one turn."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._db.execute("PRAGMA synchronous = OFF")
        self._jobs: list[Any] = []
        self.crashed = self.disk_full = False

    def start(self) -> None:
        self._log.attach(self._db)

    def close(self) -> None:
        self._closed = True
        self._db.close()

    def run_blocking(self, work: Callable[[Any], Any]) -> Any:
        [(_, result, error)] = self._commit([type("Job", (), {"records": (), "work": staticmethod(work)})])
        if error is not None:
            raise error
        return result

    def _put(self, job: Any) -> None:
        if not self._jobs:
            asyncio.get_running_loop().call_soon(self._flush)
        self._jobs.append(job)

    def _flush(self) -> None:
        group, self._jobs = self._jobs, []
        if self.crashed:
            return
        for job, result, error in self._commit(group):
            if job.done.done():
                continue
            if error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(result)

    def _work(self, group: list[Any]) -> list[Any]:
        if self.disk_full and any(job.records for job in group):
            raise OutboxFull("no space left on the disk")
        return super()._work(group)


class InlineOutbox(Outbox):
    """An outbox whose every step happens on the event loop, after a wait of the seed's choice."""

    def __init__(self, path: Path, rng: random.Random, clock: Any) -> None:
        super().__init__(path, dedup_window_s=86_400.0, clock=clock.now)
        self._rng = rng
        self.writer = self._writer = InlineWriter(self.path, self._log)
        self.writer.start()
        self.writer._space.is_full = lambda: self.writer.disk_full  # type: ignore[method-assign]

    async def read(self, work: Callable[[Any], Any]) -> Any:
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(0)
        if self.writer.crashed:
            await asyncio.Event().wait()
        with self.reading() as db:
            return work(db)


@dataclass
class Posted:
    """What is known of an event that was accepted, apart from the gateway."""

    event: dict[str, Any]
    #: Its place in the order of acceptance.
    number: int
    #: The seed made it one that platforms refuse.
    bad: bool
    #: At the door it was held for want of consent.
    held: bool

    def allowed(self, *, strict: bool) -> bool:
        """What consent says: `ad_user_data`, which the United States assume unless told otherwise and not `strict`."""
        consent = self.event.get("consent", {})
        given = consent.get("ad_user_data")
        return given == "granted" or (given is None and consent.get("region", "US") == "US" and not strict)


@dataclass
class Peer:
    """A platform, as it looks from outside the gateway."""

    instance: Instance
    mood: str = "well"
    #: Asked at the one time to be left alone until the other.
    held_from: float = 0.0
    held_until: float = 0.0
    #: Serial keys and event ids in requests now open.
    open_keys: Counter[str] = field(default_factory=Counter)
    #: Event id → how often it was taken, and how often more than once may be.
    taken: Counter[str] = field(default_factory=Counter)
    spare: Counter[str] = field(default_factory=Counter)
    #: Event id → when an answer about it was first not seen.
    unseen_at: dict[str, float] = field(default_factory=dict)
    #: Serial key → the number of the newest event taken.
    newest: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    paused_at: float | None = None
    probes: int = 0


def question(request_id: str, config: Any) -> Request:
    return Request("GET", f"https://acme.example/status/{request_id}")


def reported(response: Response) -> Verdict:
    """What the platform says about a request that it had only acknowledged."""
    words = {"done": verdicts.delivered(), "processing": verdicts.received("request-1")}
    return words.get(str(response.find("report"))) or verdicts.reject("REPORTED_BAD", "found to be bad")


class Simulation:
    """One seed's world. `run` goes through its schedule and raises `Violation` at the first broken promise."""

    def __init__(self, seed: int, clock_class: Callable[..., Any], use: Callable[..., Any]) -> None:
        self.rng = random.Random(seed)
        self.clock = clock_class()
        self.folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY))
        self.trace: list[str] = []
        self.posted: dict[str, Posted] = {}
        self.strict = False
        #: Events made so far: they are numbered in their order.
        self._made = 0
        self.violation: Violation | None = None
        self.counts: Counter[str] = Counter()
        self.peers = {one.name: Peer(one) for one in self._instances(use)}
        self.settings = self._configured()
        self.outbox = self._opened()
        self._tasks: asyncio.Task[None] | None = None
        self.dispatcher: Dispatcher | None = None

    # The world.

    def _instances(self, use: Callable[..., Any]) -> Iterator[Instance]:
        rng = self.rng
        for number in range(rng.randrange(1, 4)):
            options: dict[str, Any] = {
                "batch_size": rng.choice((1, 2, 5, 20)),
                "max_concurrency": rng.choice((1, 2, 3)),
                "linger_s": rng.choice((0.0, 0.5)),
                "rate": rng.choice((None, None, 2.0)),
                "max_age_s": rng.choice((None, AGE_S)),
                "retry": Retry(first_s=5, max_s=300, give_up_s=rng.choice((1_800, 14_400)), unseen_s=UNSEEN_S),
            }
            if rng.random() < 0.4:
                options["serial_key"] = lambda event, config: event.custom_data.get("order_id")
                options["follows"] = lambda event, config: event.event_name == "Refund"
            if rng.random() < 0.3:
                options["group_key"] = lambda event, config: event.action_source
            if rng.random() < 0.25:
                options["follow_up"] = FollowUp(
                    first_s=10, factor=2, max_s=40, give_up_s=200, build_request=question, classify=reported
                )
            if rng.random() < 0.3:
                options["accepts_test"] = lambda config: True
            yield use(f"acme{number}", **options)

    def _configured(self) -> Settings:
        regions = {**SHIPPED_REGIONS, "US": RegionRule("deny" if self.strict else "allow")}
        return Settings(
            path=self.folder / "gateway.toml",
            outbox=OutboxSettings(url="sqlite:///gateway.db", path=self.folder / "gateway.db"),
            sources={"web": Source(name="web", region="US")},
            consent=ConsentSettings(regions=regions),
            destinations={name: peer.instance for name, peer in self.peers.items()},
        )

    def _opened(self) -> InlineOutbox:
        outbox = InlineOutbox(self.folder / "gateway.db", self.rng, self.clock)
        outbox.write_blocking(lambda db: open_lanes(db, self.settings.enabled))
        return outbox

    def say(self, what: str) -> None:
        """A line of the trace: the same seed says the same."""
        self.trace.append(f"{self.clock.now() - 1_795_000_000:.3f} {what}")

    def check(self, holds: object, what: str) -> None:
        self.counts["checks"] += 1
        if not holds:
            self.violation = self.violation or Violation(what)
            raise self.violation

    # The platforms.

    def network(self, name: str) -> httpx.MockTransport:
        async def handle(request: httpx.Request) -> httpx.Response:
            peer = self.peers[name]
            if request.method == "GET":
                return httpx.Response(200, json={"report": self.rng.choice(("done", "done", "processing", "bad"))})
            items = json.loads(request.content)["data"]
            ids = [item["id"] for item in items]
            self._sent(peer, ids)
            keys = [key for one in ids if (key := self._key(peer, one))]
            peer.open_keys.update(keys)
            try:
                if self.rng.random() < 0.5:
                    await self.clock.wait(anyio.Event(), self.rng.choice((0.05, 1.0, 7.0)))
                return self._answer(peer, ids)
            finally:
                peer.open_keys.subtract(keys)

        return httpx.MockTransport(handle)

    def _key(self, peer: Peer, event_id: str) -> str | None:
        if peer.instance.destination.serial_key is None:
            return None
        key: str | None = self.posted[event_id].event["custom_data"].get("order_id")
        return key

    def _sent(self, peer: Peer, ids: Sequence[str]) -> None:
        """A request has left: was all of it allowed to?"""
        now, instance, name = self.clock.now(), peer.instance, peer.instance.name
        self.say(f"{name} {peer.mood} < {' '.join(ids)}")
        peer.requests += 1
        self.counts["requests"] += 1
        self.counts["deliveries"] += len(ids)
        self.check(len(set(ids)) == len(ids) <= instance.batch_size, f"{name}: a batch of {ids}")
        # a request of the same moment had left before the answer was there
        early = peer.held_until - now
        self.check(early <= 0 or now == peer.held_from, f"{name}: sent {early:.3f} s too early for Retry-After")
        events = [self.posted[one].event for one in ids]
        self.check(len({event.get("test", False) for event in events}) == 1, f"{name}: test events among real ones")
        if instance.destination.group_key is not None:
            self.check(len({event["action_source"] for event in events}) == 1, f"{name}: groups mixed in {ids}")
        for one in ids:
            known = self.posted[one]
            self.check(known.allowed(strict=self.strict), f"{name}: {one} sent without consent")
            self.check(known.event.get("destinations", {}).get(name, True), f"{name}: {one} sent against its routing")
            limit = instance.max_age_s
            self.check(limit is None or now - known.event["event_time"] <= limit, f"{name}: {one} sent too old")
            late = now - peer.unseen_at.get(one, now)
            self.check(late <= UNSEEN_S, f"{name}: {one} repeated {late:.0f} s after an answer that was not seen")
        keys = [key for one in ids if (key := self._key(peer, one))]
        self.check(len(set(keys)) == len(keys), f"{name}: one serial key twice in {ids}")
        self.check(
            not any(peer.open_keys[key] for key in keys), f"{name}: a serial key of {ids} is in a request already"
        )
        for one in ids:
            if key := self._key(peer, one):
                number = self._number(one)
                self.check(number >= peer.newest.get(key, 0), f"{name}: {one} after a newer event of {key}")
        if peer.paused_at is not None:
            peer.probes += 1
            limit = 2 + (now - peer.paused_at) / 30
            self.check(
                peer.probes <= limit, f"{name}: {peer.probes} requests in {now - peer.paused_at:.0f} s of a pause"
            )

    def _number(self, event_id: str) -> int:
        """Its place in the order of acceptance."""
        return self.posted[event_id].number

    def _answer(self, peer: Peer, ids: Sequence[str]) -> httpx.Response:
        rng = self.rng
        if peer.mood == "credentials":
            if peer.paused_at is None:
                peer.paused_at, peer.probes = self.clock.now(), peer.instance.max_concurrency * -2
            return httpx.Response(200, json={"verdict": "pause"})
        peer.paused_at = None
        if peer.mood == "down":
            if rng.random() < 0.5:
                raise httpx.ConnectError("refused")
            return httpx.Response(503)
        if peer.mood == "moody":
            trouble = rng.randrange(5)
            if trouble == 0:
                peer.held_from, peer.held_until = self.clock.now(), self.clock.now() + HOLD_S
                return httpx.Response(429, headers={"Retry-After": str(HOLD_S)})
            if trouble == 1:
                return httpx.Response(500)
            if trouble == 2:  # it may have taken them: nobody sees the answer
                for one in ids:
                    peer.unseen_at.setdefault(one, self.clock.now())
                    peer.spare[one] += 1
                if rng.random() < 0.5:
                    self._take(peer, ids, seen=False)
                raise httpx.ReadTimeout("no answer")
            if trouble == 3:
                words = [self._word(peer, one) if rng.random() < 0.7 else "again" for one in ids]
                self._take(peer, [one for one, word in zip(ids, words, strict=True) if word in ("ok", "received")])
                return httpx.Response(200, json={"each": words})
        bad = [one for one in ids if self.posted[one].bad]
        if bad:
            return httpx.Response(200, json={"verdict": "split" if len(ids) > 1 else "reject"})
        self._take(peer, ids)
        return httpx.Response(200, json={"verdict": "received" if peer.instance.follow_up is not None else "ok"})

    def _word(self, peer: Peer, event_id: str) -> str:
        if self.posted[event_id].bad:
            return "reject"
        return "received" if peer.instance.follow_up is not None else "ok"

    def _take(self, peer: Peer, ids: Sequence[str], *, seen: bool = True) -> None:
        name = peer.instance.name
        for one in ids:
            peer.taken[one] += 1
            self.check(peer.taken[one] <= 1 + peer.spare[one], f"{name}: {one} taken {peer.taken[one]} times")
            # what is only acknowledged may be reported bad later, and then stands in nobody's way
            if seen and peer.instance.follow_up is None and (key := self._key(peer, one)):
                peer.newest[key] = max(peer.newest.get(key, 0), self._number(one))

    # What happens to the gateway.

    def start(self) -> None:
        """Begin to deliver."""
        if self._tasks is not None:
            return
        for peer in self.peers.values():
            peer.held_until = 0.0  # kept in memory alone: a start asks at once
        network = {name: self.network(name) for name in self.peers}
        self.dispatcher = Dispatcher(
            self.settings, self.outbox, clock=self.clock, rng=random.Random(self.rng.random()), network=network
        )
        self._tasks = asyncio.ensure_future(self.dispatcher.run())

    async def stop(self) -> None:
        """End in order."""
        if self._tasks is not None and self.dispatcher is not None:
            self.dispatcher.stop()
            await self.clock.until(self._tasks.done)
            await self._tasks
            self._tasks = None

    async def crash(self) -> None:
        """The process ends between two steps, and another begins on what is on disk."""
        for _ in range(self.rng.randrange(60)):
            await asyncio.sleep(0)
        self.say("crash")
        self.outbox.writer.crashed = True
        if self._tasks is not None:
            self._tasks.cancel()
            await asyncio.gather(self._tasks, return_exceptions=True)
            self._tasks = None
        self.outbox.close()
        self.outbox = self._opened()
        for peer in self.peers.values():  # what it took is sent again if that was not recorded
            peer.open_keys.clear()
            peer.newest.clear()
            if peer.paused_at is not None:
                peer.probes -= 2  # a start asks at once
        for one, where in self._standings().items():
            for name, peer in self.peers.items():
                if peer.taken[one] and (at := where.get(name)) is not None and at.state not in FINAL_STATES:
                    peer.spare[one] += at.state is not State.RECEIVED
        self.start()

    async def post(self) -> None:
        """A site posts; now and then an event comes twice, or again with consent."""
        rng, events = self.rng, []
        for _ in range(rng.randrange(1, 12)):
            if self.posted and rng.random() < 0.1:
                event = dict(rng.choice(list(self.posted.values())).event)
                if rng.random() < 0.5:
                    event["consent"] = {**event.get("consent", {}), "ad_user_data": "granted"}
            else:
                self._made += 1
                event = self._event(self._made)
            events.append(event)
        door = Door(self.settings, self.outbox, clock=self.clock.now)
        try:
            answer = await door.accept(Body([dict(one) for one in events], odd=False), self.settings.sources["web"])
        except OutboxFull:
            self.say(f"refused {len(events)}")
            return
        for event, result in zip(events, answer["results"], strict=True):
            if result["status"] == "accepted":
                self._accepted(event)
            elif result["status"] == "duplicate":
                self._brought_consent(event)
        self.say(f"posted {len(events)}: {answer['accepted']} accepted, {answer['duplicates']} duplicates")

    def _accepted(self, event: dict[str, Any]) -> None:
        known = Posted(event, len(self.posted), bad=self._is_bad(event["event_id"]), held=False)
        known.held = not known.allowed(strict=self.strict)
        self.posted[event["event_id"]] = known

    def _brought_consent(self, event: dict[str, Any]) -> None:
        """A copy with consent takes the first one's place where that was held for want of it."""
        first, copy = self.posted[event["event_id"]], Posted(event, 0, bad=False, held=False)
        if first.held and copy.allowed(strict=self.strict):
            first.event, first.held = event, False

    def _is_bad(self, event_id: str) -> bool:
        return event_id.endswith("3") and event_id[-2:-1] in "05"

    def _event(self, number: int) -> dict[str, Any]:
        rng = self.rng
        event: dict[str, Any] = {
            "event_name": rng.choice(("Lead", "Purchase", "Refund")),
            "event_id": f"e{number:03d}",
            "event_time": self.clock.now() - rng.choice((0, 0, 0, 60, AGE_S / 2, AGE_S + 60)),
            "action_source": rng.choice(("website", "app")),
            "custom_data": {"value": number, "currency": "EUR", "order_id": rng.choice(("o1", "o2", "o3"))},
        }
        consent = {"ad_user_data": rng.choice((None, "granted", "denied")), "region": rng.choice((None, "US", "DE"))}
        if given := {key: value for key, value in consent.items() if value is not None}:
            event["consent"] = given
        if rng.random() < 0.05:
            event["test"] = True
        if rng.random() < 0.1:
            event["destinations"] = {rng.choice(list(self.peers)): False}
        return event

    async def pass_time(self) -> None:
        """Time goes on."""
        await self.clock.pass_s(self.rng.choice((0.1, 1.0, 20.0, 400.0, 2_000.0)))

    async def change_mood(self) -> None:
        """A platform changes."""
        peer = self.rng.choice(list(self.peers.values()))
        peer.mood = self.rng.choice(("well", "moody", "moody", "down", "credentials"))
        self.say(f"{peer.instance.name} is {peer.mood}")

    async def tighten(self) -> None:
        """The operator reloads a stricter policy."""
        if self.strict:
            return
        await self.stop()
        self.strict, self.settings = True, self.settings
        self.settings = self._configured()
        self.say("the policy is strict")
        self.start()

    async def restart(self) -> None:
        """An orderly end, and a new start."""
        await self.stop()
        for peer in self.peers.values():
            peer.probes -= 2
        self.say("restarted")
        self.start()

    async def forget(self) -> None:
        """Retention takes what is due, which is all that is settled."""
        names = list(self.peers)
        lanes = await self.outbox.read(lambda db: lane_ids(db, names)) or []
        await self.outbox.write(lambda db: retention.shred_clear(db, lanes, older_than=None))
        if self.rng.random() < 0.3:
            old = self.clock.now() - 3_600
            await self.outbox.write(lambda db: retention.drop_payloads(db, lanes, old))
            self.say("forgot payloads")

    async def put_back(self) -> None:
        """The operator tries dead letters again, gives some up, or sends what was skipped."""
        name = self.rng.choice(list(self.peers))
        peer, now, by_seq = self.peers[name], self.clock.now(), self._ids()
        dead = await self.outbox.read(lambda db: queries.dead_letters(db, name))
        some = [seq for seq in dead if self.rng.random() < 0.7]
        if self.rng.random() < 0.3:
            count = await self.outbox.write(lambda db: repair.discard(db, name, some, now))
        elif self.rng.random() < 0.6:
            # whoever tries again what may have arrived answers for it
            for one in (by_seq[seq] for seq in some):
                peer.spare[one] += peer.taken[one] > 0
            count = await self.outbox.write(lambda db: repair.retry(db, name, some, now))
            for one in (by_seq[seq] for seq in some):
                peer.unseen_at.pop(one, None)
        else:
            seqs = sorted(by_seq)
            count = await self.outbox.write(
                lambda db: repair.replay(db, name, seqs, now, lambda at: hindrance(at, again=False) is None)
            )
            for one in by_seq.values():
                if (at := self._standings([one])[one].get(name)) is not None and at.state is State.QUEUED:
                    peer.spare[one] += peer.taken[one] > 0
                    peer.unseen_at.pop(one, None)
        if count:
            self.say(f"{name}: put back or given up {count}")

    async def fill_disk(self) -> None:
        """The disk is full, or no longer."""
        self.outbox.writer.disk_full = not self.outbox.writer.disk_full
        self.outbox.writer._space.full = self.outbox.writer.disk_full
        self.say(f"disk full: {self.outbox.writer.disk_full}")

    async def post_elsewhere(self) -> None:
        """Another process posts on the same file."""
        mine = self.outbox
        self.outbox = InlineOutbox(self.folder / "gateway.db", self.rng, self.clock)
        try:
            await self.post()
        finally:
            other, self.outbox = self.outbox, mine
            other.close()

    #: What may happen next, and how likely.
    STEPS = (
        (post, 8), (pass_time, 8), (change_mood, 5), (crash, 3), (restart, 1), (forget, 2), (put_back, 2),
        (tighten, 1), (fill_disk, 1), (post_elsewhere, 2),
    )  # fmt: skip

    # The whole.

    async def run(self, steps: int) -> None:
        """Go through the schedule, then let everything come to its end."""
        functions, weights = zip(*self.STEPS, strict=True)
        self.start()
        try:
            for _ in range(steps):
                self.counts["steps"] += 1
                await self.rng.choices(functions, weights)[0](self)
                self._look()
            self.outbox.writer.disk_full = self.outbox.writer._space.full = False
            for peer in self.peers.values():
                peer.mood = "well"
            await self.clock.until(self._is_over, within_s=END_S)
            await self.stop()
            self._look()
            self._accounts()
        finally:
            if self._tasks is not None:
                self.outbox.writer.crashed = True
                self._tasks.cancel()
                await asyncio.gather(self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Take the folder away."""
        self.outbox.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _ids(self) -> dict[int, str]:
        with self.outbox.reading() as db:
            return dict(db.execute("SELECT seq, event_id FROM event"))

    def _standings(self, ids: Sequence[str] | None = None) -> dict[str, dict[str, standing.Standing]]:
        with self.outbox.reading() as db:
            rows = [row for row in queries.oldest(db, after=0, limit=10_000) if ids is None or row.event_id in ids]
            found = standing.standings(db, rows)
        return {row.event_id: found[row.seq] for row in rows}

    def _is_alive(self) -> None:
        if self.violation is not None:
            raise self.violation
        if self._tasks is not None and self._tasks.done():
            self._tasks.result()
            raise Violation("the dispatcher ended by itself")

    def _is_over(self) -> bool:
        self._is_alive()
        with self.outbox.reading() as db:
            if any(standing.behind(db, self.peers).values()):
                return False
            return not db.execute("SELECT 1 FROM receipt LIMIT 1").fetchone()

    def _look(self) -> None:
        """Between two steps: nothing accepted is gone, nothing counts as delivered that the platform does not have."""
        self._is_alive()
        standings = self._standings()
        self.check(self.posted.keys() == standings.keys(), "an accepted event is gone, or one came from nowhere")
        for one, where in standings.items():
            for name, at in where.items():
                if at.state in (State.DELIVERED, State.RECEIVED):
                    self.check(self.peers[name].taken[one], f"{name}: {one} counts as {at.state} and never arrived")

    def _accounts(self) -> None:
        """In the end every delivery is in a state that is final, and what the platform has counts as delivered."""
        for one, where in self._standings().items():
            for name, at in where.items():
                self.counts[f"ended {at.state}"] += 1
                final = at.state in FINAL_STATES or at.state is State.RECEIVED
                self.check(final, f"{name}: {one} is {at.state} in the end: {at.code} {at.message}")
                peer = self.peers[name]
                unsure = one in peer.unseen_at or at.code in ("REPORTED_BAD", "discarded") or peer.spare[one]
                self.check(
                    not peer.taken[one] or unsure or at.state in (State.DELIVERED, State.RECEIVED),
                    f"{name}: {one} arrived and counts as {at.state}: {at.code}",
                )


@pytest.fixture
def simulate(
    virtual_clock: Callable[..., Any], use: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Simulation]]:
    """`simulate(seed)`: run one seed's world; returns it, or raises its `Violation` with the way to see it again."""
    monkeypatch.setattr(lane, "POLL_S", 600.0)  # nothing is to be polled for but what another process posts
    monkeypatch.setattr(followup, "LOOK_S", 100.0)
    ids = random.Random(0)
    monkeypatch.setattr(enrich.uuid, "uuid4", lambda: type("Id", (), {"hex": f"{ids.getrandbits(128):032x}"}))

    def run(seed: int, *, steps: int = 20) -> Simulation:
        async def main() -> Simulation:
            world = Simulation(seed, virtual_clock, use)
            try:
                await world.run(steps)
            except Exception as error:
                last = "\n".join(world.trace[-40:])
                what = world.violation or error
                raise Violation(f"{what}\nseed {seed}: pytest tests/simulation --seed {seed}\n{last}") from error
            finally:
                world.close()
            return world

        return anyio.run(main)

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield run
    structlog.reset_defaults()
