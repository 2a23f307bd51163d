"""From a stored event to a claim: asked for consent again, checked for age, mapped. What cannot go gets its reason."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from gateway.ingest.gate import Gate, accepts_test, age_limit
from gateway.ingest.record import read
from gateway.model.delivery import Action, Decision, Item, Skip, State
from gateway.model.event import Event
from gateway.outbox.lanes import Change, Due, Stored
from gateway.outbox.packing import key_hash
from gateway.privacy.minimize import Lens, after_withdrawal
from gateway.privacy.sealing import Unopened
from gateway.privacy.withdrawal import decide_with

if TYPE_CHECKING:
    from gateway.config import Instance


@dataclass(slots=True)
class Claim:
    """One delivery in the lane's hands, ready to be sent."""

    seq: int
    item: Item
    #: What it may share a request with.
    group: Hashable
    test: bool
    #: It comes from `delivery`, not from the log.
    due: bool = False
    tries: int = 0
    first_at: float | None = None
    frozen_s: float = 0.0
    unseen: bool = False
    #: Hash of its serial key.
    serial: int | None = None
    #: `event_time`, Unix seconds.
    event_time: float = 0.0
    #: The event, if it only changes an earlier delivery of its serial key: it is mapped when its turn comes.
    follower: Event | None = None
    #: Unix seconds until when it may be repeated although an answer was never seen, by its own rule.
    unseen_until: float = math.inf
    #: Unix seconds after which the platform no longer takes it.
    expires_at: float = math.inf
    #: What its person said was heard up to the change of this number.
    heard: int = 0


@dataclass(frozen=True, slots=True)
class Decided:
    """A row of `decision`, read."""

    #: The gate's fingerprint when it was made.
    policy: str
    #: Instance → outcome, reason, detail, rule.
    to: Mapping[str, tuple[str, str, str, str]] = field(default_factory=dict)


_decode_decided = msgspec.json.Decoder(Decided).decode


def read_decision(data: str) -> Decided:
    """The JSON of a decision as a value."""
    return _decode_decided(data)


class Claimer:
    """Makes one instance's claims."""

    def __init__(self, instance: Instance, gate: Gate) -> None:
        self.instance = instance
        self.destination = instance.destination
        self._gate = gate
        self._requirement = instance.requirement
        self._lens = Lens.of(
            instance.digests,
            instance.destination.clear,
            deny=instance.deny_fields,
            limited_needs_ip=instance.destination.limited_needs_ip,
            test_mode=instance.test_mode,
            vendor=instance.vendor,
        )
        self._limit = self.destination.limits.max_age_s if instance.max_age_s is None else instance.max_age_s

    def claim(self, stored: Stored, decided: Decided, now: float, due: Due | None = None) -> Claim | Change | None:
        """A claim; or the change that settles the delivery; or `None` when this event is not for this instance."""
        entry = decided.to.get(self.instance.name)
        owed = entry is not None and entry[0] in ("send", "send_limited")
        if due is None and not owed:
            return None  # the decision itself says why: no row is needed
        if stored.payload is None:
            return self._settled(stored, due, State.DEAD, "payload_gone", "its retention is over")
        try:
            event = read(stored.payload, stored.clear, self._gate.keyring)
        except Unopened as error:
            return self._settled(stored, due, State.DEAD, "unreadable", str(error))
        except msgspec.DecodeError:  # not as this version writes it
            return self._settled(stored, due, State.DEAD, "unreadable", "what is stored of it cannot be read")
        limited = entry is not None and entry[0] == "send_limited"
        denial = stored.denial
        if not owed or denial is not None or decided.policy != self._gate.fingerprint:
            if not owed and not event.routed_to(self.instance.name):
                return self._settled(
                    stored, due, State.CANCELLED, "not_routed", "the event's own routing leaves it out"
                )
            asked = (event.consent, event.region, self._requirement, self._gate.policy, event.received_at)
            decision = decide_with(denial, self.instance.name, *asked)
            if decision.action is Action.SKIP:
                return self._refused(stored, due, decision)
            limited = decision.action is Action.SEND_LIMITED
        if denial is not None:
            event = after_withdrawal(event, denial, self.instance.name, self._gate.policy)
        name = self.instance.platform_name(event.event_name)
        if name is None:
            return self._settled(stored, due, State.CANCELLED, "event_not_mapped", "the destination no longer takes it")
        return self._map(stored, self._lens.view(event, name, limited=limited, region=event.region), now, due)

    def view(self, event: Event, *, limited: bool) -> Event | None:
        """What the destination sees of an event; `None` when it does not take its name."""
        name = self.instance.platform_name(event.event_name)
        return None if name is None else self._lens.view(event, name, limited=limited, region=event.region)

    def _map(self, stored: Stored, event: Event, now: float, due: Due | None) -> Claim | Change:
        function = "accepts_test"
        try:
            if event.test and not accepts_test(self.instance):
                return self._settled(stored, due, State.DRY_RUN, "test", "the platform would count it as real")
            function = "age_limit"
            limit = self._limit if self.destination.age_limit is None else age_limit(self.instance, event)
            if limit is not None and now - event.event_time > limit:
                words = f"older than the {limit / 86400:.3g} days that the platform takes"
                return self._settled(stored, due, State.EXPIRED, "too_old", words)
            function = "map_event"
            made = self._mapped(stored.seq, event)
        except Exception as error:  # a plugin's mistake costs this one delivery
            return self._settled(
                stored, due, State.DEAD, "plugin_bug", plugin_bug(self.destination.name, function, error)
            )
        if isinstance(made, Skip):
            return self._settled(stored, due, State.SKIPPED, made.reason, skip_words(made))
        claim = made
        claim.heard = stored.heard
        claim.expires_at = event.event_time + limit if limit is not None else math.inf
        if due is not None:
            claim.due, claim.tries, claim.first_at = True, due.tries, due.first_at
            claim.frozen_s, claim.unseen = due.frozen_s, due.unseen
        return claim

    def _refused(self, stored: Stored, due: Due | None, decision: Decision) -> Change:
        settled = self._settled(stored, due, State.CANCELLED, decision.reason, decision.rule)
        return replace(settled, policy=self._gate.fingerprint)

    def _mapped(self, seq: int, event: Event) -> Claim | Skip:
        """What the plugin makes of it. Raises what the plugin raises, and `TypeError` for what it may not return."""
        destination, config = self.destination, self.instance.config
        key = destination.serial_key(event, config) if destination.serial_key else None
        follows = bool(key) and destination.follows is not None and destination.follows(event, config)
        item: Item | Skip = {} if follows else self._item(event)
        if isinstance(item, Skip):
            return item
        group = destination.group_key(event, config) if destination.group_key else None
        hash(group)
        unseen_s = destination.unseen_limit(event, config) if destination.unseen_limit else None
        claim = Claim(seq, item, group, event.test, serial=key_hash(key) if key else None, event_time=event.event_time)
        claim.unseen_until = math.inf if unseen_s is None else event.received_at + unseen_s
        claim.follower = event if follows else None
        return claim

    def _item(self, event: Event) -> Item | Skip:
        item = self.destination.map_event(event, self.instance.config)
        if not isinstance(item, dict | Skip):
            raise TypeError("map_event gave neither an item nor a Skip")
        return item

    def follow(self, claim: Claim, first_at: float) -> Change | None:
        """Map a follower, whose turn has come: the event that it follows happened at `first_at` (Unix seconds), which
        the sender need not say. Returns the change that settles it, if it cannot be sent.
        """
        event = claim.follower
        if event is None:
            return None
        if "event_time" not in event.original_event:
            event = replace(event, original_event={**event.original_event, "event_time": first_at})
        past = (claim.tries, claim.first_at)
        try:
            item = self._item(event)
        except Exception as error:  # a plugin's mistake costs this one delivery
            words = plugin_bug(self.destination.name, "map_event", error)
            return Change(claim.seq, State.DEAD, *past, code="plugin_bug", message=words)
        if isinstance(item, Skip):
            return Change(claim.seq, State.SKIPPED, *past, code=item.reason, message=skip_words(item))
        claim.item = item
        return None

    @staticmethod
    def _settled(stored: Stored, due: Due | None, state: State, code: str, message: str) -> Change:
        tries = due.tries if due is not None else 0
        first_at = due.first_at if due is not None else None
        return Change(stored.seq, state, tries, first_at, code=code, message=message[:500])


def skip_words(skip: Skip) -> str:
    """The field and the words of a plugin's refusal, as far as it gave them."""
    return ": ".join(part for part in (skip.field, skip.message) if part)


def plugin_bug(plugin: str, function: str, error: Exception) -> str:
    """What a dead letter says of a plugin's exception: where, and of what kind; never its text, which may hold data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    line = f" at line {trace.tb_lineno}" if trace is not None else ""
    return f"plugin {plugin}: {function} raised {type(error).__name__}{line}"
