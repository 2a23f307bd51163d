"""A gateway, its platforms and their time in one thread, all drawn from one seed: see `Simulation`.

The door, the outbox on disk, retention, lanes, follow-ups and the commands that put deliveries back are the real ones.
Only the clocks, the threads and the network are ours, and a crash may come between any two steps.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gateway.config import ConsentSettings, Instance, OutboxSettings, Settings, Source
from gateway.delivery.dispatcher import Dispatcher
from gateway.delivery.stopping import stop_open
from gateway.ingest.decode import Body
from gateway.ingest.gate import Gate
from gateway.ingest.pipeline import Door
from gateway.insight.replay import hindrance
from gateway.model.delivery import FINAL_STATES, State
from gateway.model.errors import OutboxFull
from gateway.model.event import Consent
from gateway.outbox import people, queries, repair, retention, standing
from gateway.outbox.erasure import erase
from gateway.outbox.lanes import lane_ids, open_lanes
from gateway.privacy.consent import SHIPPED_REGIONS, RegionRule
from gateway.privacy.identity import person
from gateway.privacy.withdrawal import said
from tests.simulation.end import check_the_end
from tests.simulation.inline import InlineOutbox, LoopClock, ProcessClock, new_folder
from tests.simulation.platforms import AGE_S, MOODS, Peer, Platforms, Posted, Violation, instances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.outbox.standing import Standing

#: Steps of a world: many short ones meet more beginnings and ends, a few long ones what builds up.
LENGTHS = (*(2, 3, 4, 6, 16) * 4, 50)
#: Who is behind half of the events.
PEOPLE = ("ann", "bob", "cid")
#: How far ahead virtual time may have to go until everything is settled.
END_S = 60_000.0
#: The wall clock is wrong by so much at times, seconds.
WRONG_S = (-3_600.0, -30.0, 0.0, 30.0, 3_600.0)


class Simulation:
    """One seed's world. `run` goes through its schedule and raises `Violation` at the first broken promise."""

    def __init__(self, seed: int, clock: LoopClock) -> None:
        self.seed, self.rng = seed, random.Random(seed)
        self.clock = clock
        self.folder = new_folder()
        self.trace: list[str] = []
        self.posted: dict[str, Posted] = {}
        #: Event ids that retention has deleted.
        self.forgotten: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.violation: Violation | None = None
        #: Events made so far: they are numbered in their order.
        self._made = 0
        #: Who has taken consent back, and when, until they grant it again; who ever did.
        self.denied: dict[str | None, float] = {}
        self.once_denied: set[str | None] = set()
        #: Events that went with their person, and when.
        self.erased: dict[str, float] = {}
        #: What has happened so far: it explains what ended otherwise than hoped.
        self.past: set[str] = set()
        self._strict = False
        #: By how much the wall clock is wrong, and was when the process that delivers started.
        self._wrong_s = self._offset_s = 0.0
        self.instances = {one.name: one for one in instances(self.rng)}
        self.platforms = Platforms(self, list(self.instances))
        self.settings = self._configured()
        self.outbox = self._opened()
        self._tasks: asyncio.Task[None] | None = None
        self._dispatcher: Dispatcher | None = None

    # The world.

    @property
    def peers(self) -> dict[str, Peer]:
        """The platforms by the names of their destinations."""
        return self.platforms.peers

    @property
    def in_force(self) -> Settings:
        """The configuration that the lanes go by."""
        return self.settings if self._dispatcher is None else self._dispatcher._settings

    @property
    def strict_in_force(self) -> bool:
        """Whether the United States have to give consent first, too."""
        return self.in_force.consent.regions["US"].default == "deny"

    def now(self) -> float:
        """The time of the process that delivers."""
        return self.clock.now() + self._offset_s

    def wall(self) -> float:
        """The machine's time, which doors and commands go by."""
        return self.clock.now() + self._wrong_s

    def _configured(self) -> Settings:
        regions = {**SHIPPED_REGIONS, "US": RegionRule("deny" if self._strict else "allow")}
        return Settings(
            path=self.folder / "gateway.toml",
            outbox=OutboxSettings(url="sqlite:///gateway.db", path=self.folder / "gateway.db"),
            sources={"web": Source(name="web", region="US")},
            consent=ConsentSettings(regions=regions),
            destinations=dict(self.instances),
        )

    def _opened(self) -> InlineOutbox:
        outbox = InlineOutbox(self.folder / "gateway.db", self.rng, self.wall)
        outbox.write_blocking(lambda db: open_lanes(db, self.instances))
        return outbox

    def say(self, what: str) -> None:
        """A line of the trace: the same seed says the same."""
        self.trace.append(f"{self.clock.now() - 1_795_000_000:.6f} {what}")

    def check(self, holds: object, what: str) -> None:
        """A promise, or a `Violation`."""
        self.counts["checks"] += 1
        if not holds:
            self.violation = self.violation or Violation(what)
            raise self.violation

    # What happens to the gateway.

    def start(self) -> None:
        """Begin to deliver."""
        if self._tasks is not None:
            return
        self._offset_s = self._wrong_s
        for peer in self.peers.values():
            peer.open_keys.clear()
            peer.lane_of = None
        self._dispatcher = Dispatcher(
            self.settings,
            self.outbox,
            clock=ProcessClock(self.clock, self._offset_s),
            rng=random.Random(self.rng.random()),
            network={name: self.platforms.network(name) for name in self.peers},
        )
        self._tasks = asyncio.ensure_future(self._dispatcher.run())

    async def stop(self) -> None:
        """End in order."""
        if self._tasks is not None and self._dispatcher is not None:
            self._dispatcher.stop()
            await self.clock.until(self._tasks.done)
            await self._tasks
            self._tasks = self._dispatcher = None

    async def restart(self) -> None:
        """An orderly end, and a new start."""
        await self.stop()
        self.say("restarted")
        self.start()

    async def crash(self) -> None:
        """The process ends between two steps, and another begins on what is on disk, now or later."""
        for _ in range(self.rng.randrange(60)):
            await asyncio.sleep(0)
        self.say("crash")
        self.outbox.writer.crashed = True
        if self._tasks is not None:
            self._tasks.cancel()
            await asyncio.gather(self._tasks, return_exceptions=True)
            self._tasks = self._dispatcher = None
        self.outbox.close()
        self.outbox = self._opened()
        for name, peer in self.peers.items():
            self._recall(name, peer)
        if self.rng.random() < 0.4:
            await self.pass_time()
        self.start()

    def _recall(self, name: str, peer: Peer) -> None:
        """After a crash, only what was written down is known: the rest may be sent again, at any time."""
        with self.outbox.reading() as db:
            rows = db.execute(
                "SELECT e.event_id, d.unseen, d.next_at FROM delivery d JOIN event e ON e.seq = d.seq "
                "JOIN lane l ON l.id = d.lane WHERE l.instance = ? AND d.state = 'waiting'",
                (name,),
            ).fetchall()
        unseen = {row[0] for row in rows if row[1]}
        waits = {row[0]: row[2] for row in rows}
        peer.taken_of.clear()
        with self.outbox.reading() as db:
            peer.held_until = min(peer.held_until, standing.lane_rows(db)[name].held_until or 0.0)
        peer.unseen_at = {one: at for one, at in peer.unseen_at.items() if one in unseen}
        peer.not_before = {one: at for one, at in peer.not_before.items() if waits.get(one, 0.0) >= at - 0.001}
        for one, where in self.standings().items():
            at = where.get(name)
            # what was stopped while its request was under way: the answer that would have said so died with the process
            lost = at is not None and at.code == "consent_withdrawn"
            if peer.taken[one] and at is not None and (at.state not in FINAL_STATES or lost):
                peer.spare[one] += at.state is not State.RECEIVED

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
        door = Door(self.settings, self.outbox, clock=self.wall)
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
        name = event["event_id"]
        known = Posted(event, len(self.posted), bad=name.endswith("3") and name[-2:-1] in "05", held=set())
        for one in self.settings.enabled.values():
            without = known.consent(one, strict=self._strict) == "no" or known.person in self.denied
            if known.is_for(one) and without:
                known.held.add(one.name)
        some = [one for one in self.settings.enabled.values() if known.is_for(one)]
        known.named = any(one.name not in known.held for one in some)
        self.check(name not in self.posted, f"{name}: accepted a second time")
        self.posted[name] = known

    def _brought_consent(self, event: dict[str, Any]) -> None:
        """A copy with consent takes the first one's place where that was held for want of it."""
        first, copy = self.posted[event["event_id"]], Posted(event, 0, bad=False, held=set())
        held = [one for name, one in self.settings.enabled.items() if name in first.held]
        if copy.person in self.denied:
            return
        if any(copy.consent(one, strict=self._strict) != "no" for one in held):
            first.event, first.named = event, True

    def _event(self, number: int) -> dict[str, Any]:
        rng = self.rng
        event: dict[str, Any] = {
            "event_name": rng.choice(("Lead", "Purchase", "Refund")),
            "event_id": f"e{number:03d}",
            "event_time": self.clock.now() - rng.choice((0, 0, 0, 60, AGE_S / 2, AGE_S + 60)),
            "action_source": rng.choice(("website", "app")),
            "custom_data": {"value": number, "currency": "EUR", "order_id": rng.choice(("o1", "o2", "o3"))},
        }
        consent: dict[str, Any] = {"ad_user_data": rng.choice((None, "granted", "granted", "denied"))}
        consent["region"] = rng.choice((None, "US", "DE"))
        consent["gpc"] = True if rng.random() < 0.15 else None
        if given := {key: value for key, value in consent.items() if value is not None}:
            event["consent"] = given
        if rng.random() < 0.05:
            event["test"] = True
        if rng.random() < 0.5:
            event["user_data"] = {"external_id": rng.choice(PEOPLE)}
        if rng.random() < 0.1:
            event["destinations"] = {rng.choice(list(self.peers)): False}
        return event

    async def post_elsewhere(self) -> None:
        """Another process posts on the same file."""
        mine = self.outbox
        self.outbox = InlineOutbox(self.folder / "gateway.db", self.rng, self.wall)
        try:
            await self.post()
        finally:
            other, self.outbox = self.outbox, mine
            other.close()

    async def pass_time(self) -> None:
        """Time goes on."""
        await self.clock.pass_s(self.rng.choice((0.1, 1.0, 20.0, 400.0, 2_000.0)))

    async def set_clock(self) -> None:
        """The wall clock jumps. Who runs already counts on; a process that starts takes the time as it is."""
        self._wrong_s = self.rng.choice(WRONG_S)
        self.past.add("the clock was wrong")
        self.say(f"the clock is wrong by {self._wrong_s:g} s")

    async def change_mood(self) -> None:
        """A platform changes."""
        peer = self.rng.choice(list(self.peers.values()))
        peer.mood = self.rng.choice(MOODS)
        self.say(f"{peer.name} is {peer.mood}")

    async def change_policy(self) -> None:
        """The operator reloads a policy that is stricter, or no longer."""
        self._strict = not self._strict
        self.past.add("strict")
        await self._reload(f"the policy is strict: {self._strict}")

    async def reconfigure(self) -> None:
        """The operator changes a destination: its batches, its events, whether it is on."""
        name = self.rng.choice(list(self.peers))
        one: Instance = self.instances[name]
        match self.rng.randrange(3):
            case 0:
                one = replace(one, batch_size=self.rng.choice((1, 2, 5, 20)))
            case 1:
                names = dict(one.destination.names)
                self.past.add("names changed")
                if len(one.names) == len(names):
                    del names[self.rng.choice(("Lead", "Refund"))]
                one = replace(one, names=names)
            case _:
                self.past.add("switched off")
                one = replace(one, enabled=not one.enabled)
        self.instances[name] = one
        await self._reload(f"{name}: batches of {one.batch_size}, takes {' '.join(one.names)}, on: {one.enabled}")

    async def _reload(self, what: str) -> None:
        self.settings = self._configured()
        self.say(f"reload: {what}")
        if self._dispatcher is not None:
            self._dispatcher.reload(self.settings)
            if self.rng.random() < 0.7:
                await self.clock.until(lambda: self.in_force is self.settings)

    async def forget(self) -> None:
        """Retention takes what is due, which is all that is settled."""
        lanes = await self.outbox.read(lambda db: lane_ids(db, self.settings.enabled)) or []
        await self.outbox.write(lambda db: retention.shred_clear(db, lanes, older_than=None))
        old = self.wall() - self.rng.choice((60, 3_600))
        if self.rng.random() < 0.4:
            self.past.add("payloads dropped")
            count = await self.outbox.write(lambda db: retention.drop_payloads(db, lanes, old))
            self.say(f"forgot {count} payloads")
        if self.rng.random() < 0.3:
            gone = await self.outbox.write(lambda db: self._drop_events(db, lanes, old))
            self.say(f"forgot {' '.join(sorted(gone))}")

    def _drop_events(self, db: Any, lanes: Sequence[int], old: float) -> set[str]:
        """Have old events deleted: none that is still owed to a destination that runs."""
        rows = {row.event_id: row for row in queries.oldest(db, after=0, limit=10_000)}
        before = standing.standings(db, list(rows.values()))
        retention.drop_events(db, lanes, old, dedup_since=self.wall() - 86_400, now=self.wall())
        gone = rows.keys() - {row.event_id for row in queries.oldest(db, after=0, limit=10_000)}
        for one in gone:
            for name, at in before[rows[one].seq].items():
                done = at.state in FINAL_STATES or at.state is State.RECEIVED or name not in self.settings.enabled
                self.check(done, f"{name}: {one} was deleted and is {at.state}")
        self.forgotten |= gone
        return gone

    async def put_back(self) -> None:
        """The operator tries dead letters again, gives some up, or sends what was skipped."""
        name = self.rng.choice(list(self.peers))
        dead = await self.outbox.read(lambda db: queries.dead_letters(db, name))
        some = [seq for seq in dead if self.rng.random() < 0.7]
        now, by_seq = self.wall(), self._ids()
        if self.rng.random() < 0.3:
            count = await self.outbox.write(lambda db: repair.discard(db, name, some, now))
        elif self.rng.random() < 0.6:
            for seq in some:  # whoever tries again what may have arrived answers for it
                self._excuse(name, by_seq[seq])
            count = await self.outbox.write(lambda db: repair.retry(db, name, some, now))
        else:
            again, seqs = self.rng.random() < 0.3, sorted(by_seq)
            chosen = await self.outbox.write(lambda db: self._replay(db, name, seqs, now, again=again))
            count = len(chosen)
        if count:
            self.say(f"{name}: put back or given up {count}")

    def _replay(self, db: Any, name: str, seqs: Sequence[int], now: float, *, again: bool) -> list[int]:
        ids, before = self._ids(db), self._places(db, name)
        chosen = [seq for seq in seqs if hindrance(before.get(seq), again=again) is None]
        repair.replay(db, name, chosen, now, lambda at: hindrance(at, again=again) is None)
        peer, numbers = self.peers[name], {self.posted[ids[seq]].number for seq in chosen}
        for taken in peer.taken_of.values():  # all of them go again, in their order
            taken -= numbers
        for seq in chosen:
            self._excuse(name, ids[seq])
        return chosen

    def _excuse(self, name: str, event_id: str) -> None:
        """A person asked for this delivery to be made again, now."""
        peer = self.peers[name]
        peer.spare[event_id] += peer.taken[event_id] > 0
        peer.unseen_at.pop(event_id, None)
        peer.not_before.pop(event_id, None)

    async def say_of_consent(self) -> None:
        """A person takes consent back, or gives it anew; now and then a process dies before it has stopped anything."""
        who, denies = self.rng.choice(PEOPLE), self.rng.random() < 0.6
        heard = said(Consent(ad_user_data="denied" if denies else "granted"), {}, self.wall())
        whos, now = person(self.outbox.key, {"external_id": who}).pseudonyms, self.wall()
        await self.outbox.write(lambda db: people.remember(db, whos, heard, now))
        if denies:
            self.denied.setdefault(who, self.clock.now())
            self.once_denied.add(who)
        else:
            self.denied.pop(who, None)
        if denies and self.rng.random() < 0.7:
            gate = Gate(self.in_force)
            seqs = await self.outbox.read(lambda db: people.events_about(db, whos, after=standing.first_open(db)))
            await self.outbox.write(lambda db: stop_open(db, gate, seqs, now))
            self._nothing_waits_for(who)
        self.say(f"{who} {'takes consent back' if denies else 'gives consent'}")

    def _nothing_waits_for(self, who: str) -> None:
        for one, where in self.standings().items():
            if self.posted[one].person == who and self.posted[one].named and "payloads dropped" not in self.past:
                for name, at in where.items():
                    waits = at.state in (State.QUEUED, State.WAITING) and name in self.in_force.enabled
                    self.check(not waits, f"{name}: {one} still waits although {who} took consent back")

    async def erase(self) -> None:
        """A person is erased: all of their events go, and no others."""
        who, before = self.rng.choice(PEOPLE), set(self._ids().values())
        whos, digest = person(self.outbox.key, {"external_id": who}).pseudonyms, sha256(who.encode()).hexdigest()
        erased = await erase(self.outbox, whos, self.wall())
        self.denied.pop(who, None)
        with self.outbox.reading() as db:
            left = dict(db.execute("SELECT event_id, payload FROM event"))
            rows = db.execute("SELECT count(*) FROM delivery WHERE seq NOT IN (SELECT seq FROM event)").fetchone()[0]
        gone = before - left.keys()
        self.check(erased.events == len(gone), f"{erased.events} were erased, and {len(gone)} are gone")
        self.check(all(self.posted[one].person == who for one in gone), f"somebody else went with {who}")
        self.check(digest not in str(left), f"{who} was erased and is still there")
        self.check(rows == 0, f"{rows} deliveries of events that are gone")
        numbers = {self.posted[one].number for one in gone}
        for peer in self.peers.values():  # nobody knows any more what the platform has of their orders
            for taken in peer.taken_of.values():
                taken -= numbers
        self.erased |= dict.fromkeys(gone, self.clock.now())
        self.say(f"{who} is erased: {' '.join(sorted(gone))}")

    async def fill_disk(self) -> None:
        """The disk is full, or no longer."""
        self.outbox.fill(not self.outbox.writer.disk_full)
        self.say(f"disk full: {self.outbox.writer.disk_full}")

    #: What may happen next, and how likely.
    STEPS = (
        (post, 8), (pass_time, 8), (change_mood, 5), (crash, 3), (restart, 1), (forget, 4), (put_back, 2),
        (change_policy, 1), (reconfigure, 2), (fill_disk, 1), (post_elsewhere, 2), (set_clock, 1),
        (say_of_consent, 2), (erase, 1),
    )  # fmt: skip

    # The whole.

    async def run(self) -> None:
        """Go through the schedule, which is as long as the seed says, then let everything come to its end."""
        functions, weights = zip(*self.STEPS, strict=True)
        for one in self.instances.values():
            self.say(f"{one.name}: batches of {one.batch_size} after {one.linger_s} s, {one.max_concurrency} at once")
        self.start()
        try:
            for _ in range(self.rng.choice(LENGTHS)):
                self.counts["steps"] += 1
                await self.rng.choices(functions, weights)[0](self)
                self._look()
            await self._mend()
            await self.clock.until(self._is_over, within_s=END_S)
            await self.stop()
            self._look()
            check_the_end(self)
        finally:
            if self._tasks is not None:
                self.outbox.writer.crashed = True
                self._tasks.cancel()
                await asyncio.gather(self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Take the folder away."""
        self.outbox.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _mend(self) -> None:
        """All is well from now on."""
        self.outbox.fill(False)
        for peer in self.peers.values():
            peer.mood = "well"
        self.instances = {name: replace(one, enabled=True) for name, one in self.instances.items()}
        self.settings = self._configured()
        if self._dispatcher is not None:
            self._dispatcher.reload(self.settings)
            await self.clock.until(lambda: self.in_force is self.settings)

    def _ids(self, db: Any = None) -> dict[int, str]:
        if db is not None:
            return dict(db.execute("SELECT seq, event_id FROM event"))
        with self.outbox.reading() as reader:
            return self._ids(reader)

    def _places(self, db: Any, name: str) -> dict[int, Standing]:
        found = standing.standings(db, queries.oldest(db, after=0, limit=10_000))
        return {seq: where[name] for seq, where in found.items() if name in where}

    def standings(self) -> dict[str, dict[str, Standing]]:
        with self.outbox.reading() as db:
            rows = queries.oldest(db, after=0, limit=10_000)
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
        standings = self.standings()
        self.check(
            self.posted.keys() - self.forgotten - self.erased.keys() == standings.keys(),
            "an accepted event is gone, or one came from nowhere",
        )
        for one, where in standings.items():
            for name, at in where.items():
                if at.state in (State.DELIVERED, State.RECEIVED):
                    self.check(self.peers[name].taken[one], f"{name}: {one} counts as {at.state} and never arrived")
