"""Consent that a person takes back outside of events: remembered until a newer grant, stronger than any event. Pure.

A denial knows flags of Consent Mode, for all destinations or for one that a consent string denies, and opt-outs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.model.delivery import Action, Decision
from gateway.privacy.consent import PURPOSES, Policy, Requirement, decide
from gateway.privacy.signals.heard import ALL_FLAGS, Vendor, hear, say_of

if TYPE_CHECKING:
    from gateway.model.event import Consent

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says of their consent."""

    denied: frozenset[str] = _NONE
    granted: frozenset[str] = _NONE
    #: `None`: nothing was said of it.
    opted_out: bool | None = None
    #: Destination → flags that a consent string denies it.
    to: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def denies(self) -> bool:
        """Whether there is a denial in it."""
        return bool(self.denied or self.opted_out or self.to)

    @property
    def grants(self) -> bool:
        """Whether it takes a denial back."""
        return bool(self.granted) or self.opted_out is False


@dataclass(frozen=True, slots=True)
class Denial:
    """What is remembered of a person."""

    denied: frozenset[str] = _NONE
    opted_out: bool = False
    #: Destination → flags that it alone is denied.
    to: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.denied or self.opted_out or self.to)

    def after(self, said: Said) -> Denial:
        """What is left of it once the person has said this: what is newer counts."""
        names = self.to.keys() | said.to.keys()
        to = {name: (self.to.get(name, _NONE) - said.granted) | said.to.get(name, _NONE) for name in names}
        return Denial(
            (self.denied - said.granted) | said.denied,
            self.opted_out if said.opted_out is None else said.opted_out,
            {name: flags for name, flags in to.items() if flags},
        )

    def over(self, consent: Consent, instance: str) -> Consent:
        """An event's consent with the denial, as one destination is to take it."""
        denied = self.denied | self.to.get(instance, _NONE)
        changes: dict[str, Any] = dict.fromkeys(denied, "denied")
        if self.opted_out:
            changes["gpc"] = True
        return replace(consent, **changes)

    def on(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """An event's consent as it came, with the denial; what one destination is denied here all are."""
        denied = self.denied.union(*self.to.values())
        return {**said, **dict.fromkeys(sorted(denied), "denied"), **({"gpc": True} if self.opted_out else {})}

    def encoded(self) -> str:
        """As it is stored."""
        return msgspec.json.encode(self, order="deterministic").decode()


_decode = msgspec.json.Decoder(Denial).decode


def decoded(text: str) -> Denial:
    """The inverse of `Denial.encoded`."""
    return _decode(text)


def both(denials: Iterable[Denial]) -> Denial | None:
    """All of them together; `None` when there is none."""
    found = None
    for one in denials:
        if one:
            found = one if found is None else found.after(Said(one.denied, _NONE, one.opted_out or None, one.to))
    return found


def said(consent: Consent, vendors: Mapping[str, Vendor], at: float, *, needs_gpc: bool = True) -> Said:
    """What a person's consent object says, heard at `at` (Unix seconds).

    A string that cannot be used is taken for a denial of everything, as in an event. What a valid TC string does not
    deny it grants.
    """
    heard = hear(consent, at, needs_gpc=needs_gpc)
    denied = heard.denied | {name for name in PURPOSES if getattr(consent, name) == "denied"}
    if heard.unread or heard.child:
        everything = frozenset(PURPOSES) if heard.unread else ALL_FLAGS | denied
        return Said(everything, opted_out=consent.gpc or heard.opted_out or None)
    granted = {name for name in PURPOSES if getattr(consent, name) == "granted"}
    if heard.tcf:
        granted |= ALL_FLAGS
    opted_out = bool(consent.gpc or heard.opted_out) if consent.gpc is not None or heard.opt_outs else None
    to = {name: flags for name, vendor in vendors.items() if (flags := say_of(heard, vendor).denied - denied)}
    return Said(denied, frozenset(granted - denied), opted_out, to)


def decide_with(
    denial: Denial | None,
    instance: str,
    consent: Consent,
    region: str | None,
    requirement: Requirement,
    policy: Policy,
    at: float,
) -> Decision:
    """The gate's answer (see `decide`) for an event of a person who may have taken consent back."""
    decision = decide(consent, region, requirement, policy, at)
    if denial is None or decision.action is Action.SKIP:
        return decision
    now = decide(denial.over(consent, instance), region, requirement, policy, at)
    return decision if now.action is decision.action else Decision(now.action, "consent_withdrawn", now.rule)
