"""The platforms of a simulation: what each was sent, whether it was allowed to be, and what it answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from gateway.config import Settings
from gateway.delivery.breaker import THRESHOLD
from gateway.plugin import FollowUp, Request, verdicts
from gateway.plugin.destination import Retry
from tests.conftest import WORDS, acme
from tests.simulation.inline import RESOLUTION_S

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.config import Instance
    from gateway.model.event import Event
    from gateway.plugin import Response, Verdict
    from tests.simulation.world import Simulation

#: Events grow too old in this time, and must not be repeated after this, once an answer was not seen.
AGE_S, UNSEEN_S = 7_200.0, 900.0
#: Our deadline for a request; a platform may take longer.
TIMEOUT_S = 5.0
#: How a platform may be.
MOODS = ("well", "moody", "moody", "down", "credentials")


class Violation(AssertionError):
    """A promise that was not kept."""


@dataclass
class Posted:
    """What is known of an event that was accepted, apart from the gateway."""

    event: dict[str, Any]
    #: Its place in the order of acceptance.
    number: int
    #: The seed made it one that platforms refuse.
    bad: bool
    #: Destinations for which consent held it back at the door.
    held: set[str]
    #: The gateway was to keep whom it is about: somebody could have had it.
    named: bool = True

    @property
    def person(self) -> str | None:
        """Whom it is about."""
        who: str | None = self.event.get("user_data", {}).get("external_id")
        return who

    def consent(self, instance: Instance, *, strict: bool) -> str:
        """`no`, `yes` or `limited`: what the United States allow unless told otherwise and not `strict`, and where
        consent comes first, it must be given.
        """
        said = self.event.get("consent", {})
        first = strict or said.get("region", "US") != "US"
        given = said.get("ad_user_data")
        if given == "denied" or (first and (said.get("gpc") or given is None)):
            return "no"
        if said.get("gpc"):
            return "limited" if instance.on_opt_out == "limited" else "no"
        return "yes"

    def is_for(self, instance: Instance) -> bool:
        """Whether the event's own routing and the destination's names have it go there."""
        routed: bool = self.event.get("destinations", {}).get(instance.name, True)
        return routed and instance.platform_name(self.event["event_name"]) is not None


@dataclass
class Peer:
    """A platform, as it looks from outside the gateway. Times are those of the process that sends."""

    name: str
    mood: str = "well"
    #: Asked at the one time to be left alone until the other; events, until when.
    held_from: float = 0.0
    held_until: float = 0.0
    not_before: dict[str, float] = field(default_factory=dict)
    #: Serial keys and event ids in requests now open.
    open_keys: Counter[str] = field(default_factory=Counter)
    #: Event id → how often it was taken, and how often more than once may be.
    taken: Counter[str] = field(default_factory=Counter)
    spare: Counter[str] = field(default_factory=Counter)
    #: Events that were answered with anything but that they are taken.
    troubled: set[str] = field(default_factory=set)
    #: Event id → when an answer about it was first not seen.
    unseen_at: dict[str, float] = field(default_factory=dict)
    #: Serial key → the numbers of the events that count as taken.
    taken_of: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    #: Requests acknowledged, to be reported about.
    open_requests: dict[str, list[str]] = field(default_factory=dict)
    paused_at: float | None = None
    probes: int = 0
    #: Answers in a row as of a platform that does not work; since when they are too many, and requests since then.
    failures: int = 0
    broken_at: float = 0.0
    since_broken: int = 0
    #: The configuration of the lane that sends: each new one begins with a new lane.
    lane_of: Settings | None = None

    def meets(self, settings: Settings) -> None:
        """A lane sends: a new one has forgotten what was only in the last one's memory."""
        if self.lane_of is not settings:
            self.lane_of, self.paused_at, self.failures = settings, None, 0

    def refused(self, ids: Sequence[str]) -> None:
        """These were not taken, or nobody saw it."""
        self.troubled.update(ids)


def made_of(event: Event, config: Any) -> dict[str, object]:
    """An item of the simulated platforms."""
    return {"id": event.event_id, "limited": event.limited}


def question(request_id: str, config: Any) -> Request:
    return Request("GET", f"https://acme.example/status/{request_id}")


def reported(response: Response) -> Verdict:
    """What the platform says about a request that it had only acknowledged."""
    request_id = str(response.find("request"))
    words = {"done": verdicts.delivered(), "again": verdicts.retry("REPORTED_AGAIN", "send it again")}
    if (report := str(response.find("report"))) in words:
        return words[report]
    return verdicts.reject("REPORTED_BAD", "found to be bad") if report == "bad" else verdicts.received(request_id)


def classify(response: Response, n: int) -> Verdict | list[Verdict]:
    """A simulated platform says itself what its answer means."""
    words = WORDS | {"received": verdicts.received(str(response.find("request")))}
    each = response.find("each")
    if isinstance(each, list):
        return [words[word] for word in each]
    word = response.find("verdict")
    return words[word] if isinstance(word, str) else verdicts.by_status(response, n)


def instances(rng: random.Random) -> Iterator[Instance]:
    """Up to three destinations, each with limits and habits of its own."""
    for number in range(rng.randrange(1, 4)):
        options: dict[str, Any] = {
            "map_event": made_of,
            "classify": classify,
            "timeout_s": TIMEOUT_S,
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
        if rng.random() < 0.3:
            options |= {"limited": frozenset({"US"}), "on_opt_out": "limited"}
        yield acme(f"acme{number}", **options)


class Platforms:
    """All of a world's. `sent` checks each request as it leaves."""

    def __init__(self, world: Simulation, names: Sequence[str]) -> None:
        self._world, self._rng = world, world.rng
        self.peers = {name: Peer(name) for name in names}
        self._requests = 0

    def network(self, name: str) -> httpx.MockTransport:
        """What stands in for the network on the way to a platform."""
        return httpx.MockTransport(lambda request: self._handle(self.peers[name], request))

    async def _handle(self, peer: Peer, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return self._report(peer, request.url.path.rpartition("/")[2])
        items = json.loads(request.content)["data"]
        ids = [item["id"] for item in items]
        self._sent(peer, ids, items)
        number = self._world.counts["requests"]
        keys = [key for one in ids if (key := self._key(peer, one))]
        peer.open_keys.update(keys)
        try:
            if self._rng.random() < 0.5:
                await self._world.clock.wait(anyio.Event(), self._rng.choice((0.05, 1.0, TIMEOUT_S + 2)))
            return self._answer(peer, ids)
        except asyncio.CancelledError:  # our deadline has passed, or the process dies
            self._unanswered(peer, ids, self._fate(number))
            raise
        finally:
            peer.open_keys.subtract(keys)

    def instance(self, peer: Peer) -> Instance:
        """The configuration under which requests go now."""
        return self._world.in_force.destinations[peer.name]

    def _key(self, peer: Peer, event_id: str) -> str | None:
        if self.instance(peer).destination.serial_key is None:
            return None
        key: str | None = self._world.posted[event_id].event["custom_data"].get("order_id")
        return key

    # A request has left: was all of it allowed to?

    def _sent(self, peer: Peer, ids: Sequence[str], items: Sequence[dict[str, Any]]) -> None:
        world, name, instance, now = self._world, peer.name, self.instance(peer), self._world.now()
        check = world.check
        world.say(f"{name} {peer.mood} < {' '.join(ids)}")
        world.counts["requests"] += 1
        world.counts["deliveries"] += len(ids)
        peer.meets(world.in_force)
        check(instance.enabled, f"{name}: sent to although it is switched off")
        check(len(set(ids)) == len(ids) <= instance.batch_size, f"{name}: a batch of {ids}")
        self._check_time(peer, now)
        events = [world.posted[one].event for one in ids]
        check(len({event.get("test", False) for event in events}) == 1, f"{name}: test events among real ones")
        if instance.destination.group_key is not None:
            check(len({event["action_source"] for event in events}) == 1, f"{name}: groups mixed in {ids}")
        for item in items:
            self._check_event(peer, instance, item, now)
        keys = [key for one in ids if (key := self._key(peer, one))]
        check(len(set(keys)) == len(keys), f"{name}: one serial key twice in {ids}")
        check(not any(peer.open_keys[key] for key in keys), f"{name}: a serial key of {ids} is in a request already")

    def _check_time(self, peer: Peer, now: float) -> None:
        world, name = self._world, peer.name
        # a request of the same moment had left before the answer was there
        early = peer.held_until - now
        world.check(early <= 0 or now == peer.held_from, f"{name}: sent {early:.3f} s too early for Retry-After")
        concurrency = self.instance(peer).max_concurrency
        if peer.paused_at is not None:
            peer.probes += 1
            limit = 2 + 2 * concurrency + (now - peer.paused_at) / 30
            words = f"{name}: {peer.probes} requests in {now - peer.paused_at:.0f} s of a pause"
            world.check(peer.probes <= limit, words)
        if peer.failures >= THRESHOLD + 2 * concurrency:
            peer.since_broken += 1
            limit = concurrency + 1 + probes_within(now - peer.broken_at)
            words = f"{name}: {peer.since_broken} requests in {now - peer.broken_at:.0f} s of an outage"
            world.check(peer.since_broken <= limit, words)

    def _check_event(self, peer: Peer, instance: Instance, item: dict[str, Any], now: float) -> None:
        world, name, one = self._world, peer.name, item["id"]
        known, check = world.posted[one], world.check
        check(one not in world.forgotten, f"{name}: {one} sent although it was deleted")
        consent = known.consent(instance, strict=world.strict_in_force)
        check(consent != "no", f"{name}: {one} sent without consent")
        # what was said in the same moment came when the request had left
        told = world.denied.get(known.person, world.clock.now()) if known.named else world.clock.now()
        check(told >= world.clock.now(), f"{name}: {one} sent although {known.person} took consent back")
        gone = world.erased.get(one, world.clock.now())
        check(gone >= world.clock.now(), f"{name}: {one} sent although {known.person} was erased")
        check(item["limited"] == (consent == "limited"), f"{name}: {one} sent limited: {item['limited']}")
        check(known.is_for(instance), f"{name}: {one} sent against its routing or its name")
        limit = instance.max_age_s
        check(limit is None or now - known.event["event_time"] <= limit, f"{name}: {one} sent too old")
        late = now - peer.unseen_at.get(one, now)
        check(late <= UNSEEN_S, f"{name}: {one} repeated {late:.0f} s after an answer that was not seen")
        early = peer.not_before.get(one, now) - now
        check(early <= RESOLUTION_S, f"{name}: {one} sent {early:.3f} s before its own time")
        if key := self._key(peer, one):
            newest = max(peer.taken_of[key], default=0)
            check(known.number >= newest, f"{name}: {one} after a newer event of {key}")

    # What it answers.

    def _answer(self, peer: Peer, ids: Sequence[str]) -> httpx.Response:
        rng = self._rng
        if peer.mood == "credentials":
            if peer.paused_at is None:
                peer.paused_at, peer.probes = self._world.now(), 0
            peer.refused(ids)
            return httpx.Response(200, json={"verdict": "pause"})
        peer.paused_at = None
        if peer.mood == "down":
            self._failed(peer, ids)
            if rng.random() < 0.5:
                raise httpx.ConnectError("refused")
            return httpx.Response(503, headers=self._held(peer, ids) if rng.random() < 0.2 else {})
        if peer.mood == "moody":
            match rng.randrange(6):
                case 0:
                    self._failed(peer, ids)
                    return httpx.Response(429, headers=self._held(peer, ids))
                case 1:
                    self._failed(peer, ids)
                    return httpx.Response(500)
                case 2:
                    self._unanswered(peer, ids, rng)
                    raise rng.choice((httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError))("gone")
                case 3:
                    return self._each(peer, ids)
        peer.failures = 0
        if any(self._world.posted[one].bad for one in ids):
            peer.refused(ids)
            return httpx.Response(200, json={"verdict": "split" if len(ids) > 1 else "reject"})
        self._take(peer, ids)
        return self._said(peer, ids, verdict=self._good(peer))

    def _each(self, peer: Peer, ids: Sequence[str]) -> httpx.Response:
        """An answer for each event."""
        rng, peer.failures = self._rng, 0
        words = []
        for one in ids:
            word = rng.choice((self._good(peer),) * 3 + ("again", "later", "later", "at once"))
            words.append("reject" if self._world.posted[one].bad else word)
            if word == "later":
                peer.not_before[one] = self._world.now() + (WORDS["later"].after_s or 0.0)
        self._take(peer, [one for one, word in zip(ids, words, strict=True) if word == self._good(peer)])
        peer.refused([one for one, word in zip(ids, words, strict=True) if word != self._good(peer)])
        return self._said(peer, ids, each=words)

    def _good(self, peer: Peer) -> str:
        return "received" if self.instance(peer).follow_up is not None else "ok"

    def _said(self, peer: Peer, ids: Sequence[str], **said: Any) -> httpx.Response:
        self._requests += 1
        if self.instance(peer).follow_up is not None:
            peer.open_requests[f"request-{self._requests}"] = list(ids)
        return httpx.Response(200, json={"request": f"request-{self._requests}", **said})

    def _report(self, peer: Peer, request_id: str) -> httpx.Response:
        report = self._rng.choice(("done", "done", "done", "processing", "bad", "again"))
        self._world.say(f"{peer.name} {request_id}: {report}")
        ids = peer.open_requests[request_id]
        if report in ("bad", "again"):
            peer.refused(ids)
        if report == "again":
            peer.spare.update(ids)
            for one in ids:  # what was acknowledged since counts as seen
                peer.unseen_at.pop(one, None)
        return httpx.Response(200, json={"report": report, "request": request_id})

    def _held(self, peer: Peer, ids: Sequence[str]) -> dict[str, str]:
        """It asks to be left alone: so many seconds, or until a date."""
        now, rng = self._world.now(), self._rng
        seconds = rng.choice((1, 40, 40, 900))
        if rng.random() < 0.5:
            until, value = now + seconds, str(seconds)
        else:
            until = float(ceil(now) + seconds)
            value = format_datetime(datetime.fromtimestamp(until, UTC), usegmt=True)
        if until > peer.held_until:
            peer.held_from, peer.held_until = now, until
        peer.not_before.update(dict.fromkeys(ids, until))
        return {"Retry-After": value}

    def _failed(self, peer: Peer, ids: Sequence[str]) -> None:
        """It does not work, as the gateway will notice."""
        peer.refused(ids)
        peer.failures += 1
        if peer.failures == THRESHOLD + 2 * self.instance(peer).max_concurrency:
            peer.broken_at, peer.since_broken = self._world.now(), 0

    def _fate(self, number: int) -> random.Random:
        """What decides about a request whose sender goes away. At a crash all do, in the order of a set of tasks, which
        is that of their addresses: each has a source of its own then.
        """
        crashed = self._world.outbox.writer.crashed
        return random.Random(f"{self._world.seed}-{number}") if crashed else self._rng

    def _unanswered(self, peer: Peer, ids: Sequence[str], rng: random.Random) -> None:
        """It may have taken them: nobody sees the answer."""
        if not self._world.outbox.writer.crashed:
            self._failed(peer, ids)
            for one in ids:
                peer.unseen_at.setdefault(one, self._world.now())
                peer.spare[one] += 1
        if rng.random() < 0.5:
            self._take(peer, ids, seen=False)

    def _take(self, peer: Peer, ids: Sequence[str], *, seen: bool = True) -> None:
        for one in ids:
            peer.taken[one] += 1
            self._world.check(
                peer.taken[one] <= 1 + peer.spare[one], f"{peer.name}: {one} taken {peer.taken[one]} times"
            )
            # what is only acknowledged may be reported bad later, and then stands in nobody's way
            if seen and self.instance(peer).follow_up is None and (key := self._key(peer, one)):
                peer.taken_of[key].add(self._world.posted[one].number)


def probes_within(seconds: float) -> int:
    """How many probes of a broken lane this time has room for, if each comes as early as it may."""
    count, spent = 0, 1.0
    while spent <= seconds:
        count += 1
        spent += min(300.0, 2.0 * 2.0 ** min(count, 30)) / 2
    return count
