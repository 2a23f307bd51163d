"""The fifth stage: which destinations may have the event. Consent, routing, names, age and test mode, in one answer.

Most events are alike in all of that, so that whole answers are kept and looked up.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.ingest.signals import signals, withdrawn
from gateway.model.delivery import Action, Decision
from gateway.model.event import Consent, Event
from gateway.outbox.ledger import Ruling, canonical_strings, ruling
from gateway.privacy.consent import STRINGS, Policy, Requirement, may_use_click_ids
from gateway.privacy.signals.heard import DAY, NOTHING, hear, say_of
from gateway.privacy.withdrawal import decide_with
from gateway.schema import NAMEABLE

if TYPE_CHECKING:
    from gateway.config import Instance, Settings, Source
    from gateway.ingest.draft import BrowserHints, Draft, Setup

#: Answers kept; when the cache is full it is emptied.
CACHED = 20_000
#: Consents with strings kept: they are long, and alike for one visitor only.
FEW_CACHED = 1_000
_STRINGS = frozenset(STRINGS)
_NONE: Mapping[str, float] = {}
#: Names in one event's `destinations`, beyond which its answer is not kept.
FEW = 20

#: As the European Union abbreviates two countries → as ISO 3166 does, which reserves the other code for them.
_OTHERWISE = {"UK": "GB", "EL": "GR"}


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer for one destination."""

    #: `send`, `send_limited`, `skipped` or `dry_run`.
    outcome: str
    #: Why it is skipped, in a word: `consent`, `event_not_mapped`, `not_routed`, `too_old`.
    reason: str
    #: The gate's own code: `consent_missing`, `gpc` …
    detail: str
    #: The rule, for people.
    rule: str

    @property
    def status(self) -> str:
        """As the answer to the sender says it."""
        if self.outcome == "skipped":
            return f"skipped:{self.reason}"
        return "dry_run" if self.outcome == "dry_run" else "queued"


@dataclass(frozen=True, slots=True)
class Routing:
    """The answer for all destinations."""

    #: JSON, as the outbox keeps it.
    data: str
    #: Instance → as the sender is told.
    statuses: Mapping[str, str]
    #: Instances that may have the event.
    sends: tuple[str, ...]
    #: No destination may have it, and consent forbids it to some or to all: who it was is not stored.
    anonymous: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """A consent object, read once and kept: most visitors say the same."""

    consent: Consent
    #: What was said, as it is stored.
    stored: Mapping[str, Any]
    region: str | None
    click_ids: bool
    #: What a decision depends on.
    gist: tuple[Any, ...]
    #: What the ledger says of it (`gateway.ingest.signals`), and the strings that it commits to.
    signals: str = "{}"
    strings: bytes = b""


class Gate:
    """The gate under one configuration."""

    def __init__(self, settings: Settings) -> None:
        self.policy: Policy = settings.consent.policy
        #: What stored payloads are read with.
        self.keyring = settings.privacy.keyring
        self.instances: Mapping[str, Instance] = settings.enabled
        self.requirements: Mapping[str, Requirement] = {
            name: instance.requirement for name, instance in self.instances.items()
        }
        self.fingerprint = _fingerprint(self.policy, self.requirements)
        self._youngest_limit = min(
            (limit for one in self.instances.values() if (limit := shortest_age(one)) is not None), default=float("inf")
        )
        self._consents: dict[Any, Seen] = {}
        self._with_strings: dict[Any, Seen] = {}
        self._routings: dict[Any, Routing] = {}
        self._rulings: dict[Any, Ruling] = {}

    def consent_of(self, raw: Mapping[str, Any] | None, hints: BrowserHints | None, source: Source, at: float) -> Seen:
        """What the consent object of an event that came in at `at` says, under this configuration."""
        gpc = hints is not None and hints.gpc
        has_strings = raw is not None and not _STRINGS.isdisjoint(raw)  # they have an age, in days
        kept, most = (self._with_strings, FEW_CACHED) if has_strings else (self._consents, CACHED)
        key = (source.region, gpc, at // DAY if has_strings else None, *(raw.items() if raw else ()))
        try:
            found = kept.get(key)
        except TypeError:  # `gpp_sid` is a list
            key = (*key[:3], *map(_hashable, raw.items() if raw else ()))
            found = kept.get(key)
        if found is None:
            found = self._seen(raw or {}, gpc, source, at)
            _keep(kept, key, found, most)
        return found

    def _seen(self, raw: Mapping[str, Any], gpc: bool, source: Source, at: float) -> Seen:
        consent = parse_consent(raw, gpc=gpc)
        said = {name: value for name in Consent.__slots__ if (value := getattr(consent, name)) is not None}
        region = consent.region or source.region
        click_ids = may_use_click_ids(consent, region, self.policy, at)
        gist = self._gist(consent, region, at)
        told = signals(consent, region, at, needs_gpc=self.policy.needs_gpc)
        return Seen(consent, said, region, click_ids, gist, told, canonical_strings(said))

    def forget(self) -> None:
        """Answer everything anew from now on."""
        for kept in (self._consents, self._with_strings, self._routings, self._rulings):
            kept.clear()

    def _gist(self, consent: Consent, region: str | None, at: float) -> tuple[Any, ...]:
        """What a decision depends on: of the strings only what they come to."""
        flags = (consent.ad_storage, consent.ad_user_data, consent.ad_personalization, consent.analytics_storage)
        heard = hear(consent, at, needs_gpc=self.policy.needs_gpc)
        if heard is NOTHING:
            return (region, *flags, consent.gpc)
        said = [say_of(heard, one.vendor) for one in self.requirements.values()]
        return (region, *flags, consent.gpc, heard.unread, heard.denied, heard.opted_out, heard.child, *said)

    def route(self, draft: Draft) -> Routing:
        """The answer for an event."""
        raw = draft.raw
        wanted = raw.get("destinations")
        aged = draft.received_at - draft.event_time > self._youngest_limit
        old = self._too_old(draft) if aged else _NONE
        alone = draft.denial is not None  # answers for one person alone are not kept
        key = (
            raw["event_name"],
            draft.seen.gist,
            raw.get("test", False),
            tuple(wanted.items()) if wanted else None,
            tuple(old.items()) if old else None,
        )
        if not alone and (found := self._routings.get(key)) is not None:
            return found
        entries = {name: self._entry(draft, name, instance, wanted, old) for name, instance in self.instances.items()}
        routing = _routing(entries, self.fingerprint, forbidden=self.forbids_all(draft))
        if not alone and (not wanted or len(wanted) <= FEW):
            _keep(self._routings, key, routing, CACHED)
        return routing

    def ruling(self, draft: Draft, routing: Routing) -> Ruling:
        """The answer with what it was made from, as the ledger keeps it."""
        seen = draft.seen.signals if draft.denial is None else withdrawn(draft.seen.signals)
        key = (draft.source.name, seen, routing.data)
        found = self._rulings.get(key)
        if found is None:
            found = ruling(*key)
            _keep(self._rulings, key, found, CACHED)
        return found

    def forbids_all(self, draft: Draft) -> bool:
        """Whether consent alone keeps the event from every destination, whatever its name and routing."""
        decisions = (self._decide(draft, name) for name in self.requirements)
        return bool(self.requirements) and all(one.action is Action.SKIP for one in decisions)

    def _decide(self, draft: Draft, name: str) -> Decision:
        seen, requirement = draft.seen, self.requirements[name]
        asked = (seen.consent, seen.region, requirement, self.policy, draft.received_at)
        return decide_with(draft.denial, name, *asked)

    def _too_old(self, draft: Draft) -> Mapping[str, float]:
        """The instances that the event is too old for → the age that they take, in seconds."""
        age = draft.received_at - draft.event_time
        limits = ((name, _age_limit(instance, draft)) for name, instance in self.instances.items())
        return {name: limit for name, limit in limits if limit is not None and age > limit}

    def _entry(
        self, draft: Draft, name: str, instance: Instance, wanted: Mapping[str, bool] | None, old: Mapping[str, float]
    ) -> Entry:
        if wanted and not wanted.get(name, wanted.get("*", True)):
            return Entry("skipped", "not_routed", "", "the event's `destinations` leaves it out")
        if instance.platform_name(draft.event_name) is None:
            return Entry("skipped", "event_not_mapped", "", f"{name} does not take events of this name")
        decision = self._decide(draft, name)
        if decision.action is Action.SKIP:
            return Entry("skipped", "consent", decision.reason, decision.rule)
        if name in old:
            rule = f"{name} takes events up to {old[name] / 86400:.2g} days old"
            return Entry("skipped", "too_old", "", rule)
        if draft.raw.get("test") and not accepts_test(instance):
            return Entry("dry_run", "test", decision.reason, f"{name} would count a test event as real")
        return Entry(str(decision.action), decision.reason, "", decision.rule)


def gate(draft: Draft, setup: Setup) -> None:
    """Ask for every destination; an unknown name in `destinations` is a warning."""
    wanted = draft.raw.get("destinations")
    if wanted:
        for name in wanted:
            if name != "*" and name not in setup.destinations:
                path = f"/destinations/{name}" if NAMEABLE.fullmatch(name) else "/destinations"
                draft.warn(path, "unknown_destination", "no destination of this name is configured")
    draft.routing = setup.gate.route(draft)


def parse_consent(raw: Mapping[str, Any], *, gpc: bool = False) -> Consent:
    """The event's `consent` as a value. A browser's `Sec-GPC: 1` counts whatever the page says."""
    fields = dict(raw)
    if "gpp_sid" in fields:
        fields["gpp_sid"] = _sections(fields["gpp_sid"])
    if "region" in fields:
        fields["region"] = _region(fields["region"].upper())
    if gpc:
        fields["gpc"] = True
    return Consent(**fields)


def _region(code: str) -> str:
    """A region as ISO 3166 has it: the European Union writes two countries in another way."""
    return _OTHERWISE.get(code[:2], code[:2]) + code[2:]


def _sections(value: int | str | list[int]) -> tuple[int, ...]:
    if isinstance(value, int | float):  # JSON Schema counts 7.0 as an integer
        return (int(value),)
    return tuple(int(one) for one in (value.split(",") if isinstance(value, str) else value))


def accepts_test(instance: Instance) -> bool:
    """Whether a test event can go to this instance without counting as real."""
    accepts = instance.destination.accepts_test
    return accepts is not None and accepts(instance.config)


def shortest_age(instance: Instance) -> float | None:
    """An age in seconds below which the instance takes every event; `None` when it has no limit at all."""
    if instance.destination.age_limit is not None:
        return 86400.0 if instance.max_age_s is None else min(instance.max_age_s, 86400.0)
    limits = [limit for limit in (instance.max_age_s, instance.destination.limits.max_age_s) if limit is not None]
    return min(limits, default=None)


def age_limit(instance: Instance, event: Event) -> float | None:
    """The age in seconds past which the instance no longer takes this event; `None` for no limit."""
    destination, mine = instance.destination, instance.max_age_s
    own = destination.age_limit(event, instance.config) if destination.age_limit else destination.limits.max_age_s
    if own is None or mine is None:
        return mine if own is None else own
    return min(own, mine)


def _age_limit(instance: Instance, draft: Draft) -> float | None:
    event = Event(
        event_name=draft.event_name,
        event_id=draft.event_id,
        event_time=draft.event_time,
        action_source=draft.action_source,
        user_data=draft.user_data,
        custom_data=draft.custom_data,
        platform_name=instance.platform_name(draft.event_name) or "",
    )
    with contextlib.suppress(Exception):  # a plugin's mistake: the lane meets it again and names the plugin
        return age_limit(instance, event)
    return None


def _routing(entries: Mapping[str, Entry], fingerprint: str, *, forbidden: bool) -> Routing:
    to = {name: [one.outcome, one.reason, one.detail, one.rule] for name, one in entries.items()}
    sends = tuple(name for name, one in entries.items() if one.outcome.startswith("send"))
    kept = any(one.outcome != "skipped" or one.reason == "too_old" for one in entries.values())
    return Routing(
        data=msgspec.json.encode({"policy": fingerprint, "to": to}).decode(),
        statuses={name: one.status for name, one in entries.items()},
        sends=sends,
        anonymous=not kept and (forbidden or any(one.reason == "consent" for one in entries.values())),
    )


def _fingerprint(policy: Policy, requirements: Mapping[str, Requirement]) -> str:
    parts = [policy.fingerprint, *(f"{name}={one.fingerprint}" for name, one in sorted(requirements.items()))]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _hashable(pair: tuple[str, Any]) -> tuple[str, Any]:
    return (pair[0], tuple(pair[1])) if isinstance(pair[1], list) else pair


def _keep(cache: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    if len(cache) >= most:
        cache.clear()
    cache[key] = value
