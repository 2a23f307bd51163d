"""The consent gate: one decision for each event and destination. Pure; the model is told in docs/consent.md.

Order of authority: a consent string that cannot be used, then what the strings deny, Global Privacy Control, the four
flags of Google's Consent Mode v2, the region's default. A denial always wins over a grant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gateway.model.delivery import Action, Decision
from gateway.privacy.signals.heard import NOBODY, NOTHING, Vendor, hear, say_of

if TYPE_CHECKING:
    from gateway.model.event import Consent

#: The flags, in the order in which a missing one is named.
PURPOSES = ("ad_storage", "ad_user_data", "ad_personalization", "analytics_storage")

#: Consent strings: see `gateway.privacy.signals`.
STRINGS = ("tcf", "gpp", "additional_consent")

#: Why the gate skips a destination, in a word; `consent_withdrawn` is of `gateway.privacy.withdrawal`.
REFUSALS = frozenset(
    "consent_string_unread known_child consent_denied consent_missing consent_withdrawn "
    "gpc gpp_opt_out opted_out".split()
)

#: EU-27, Iceland, Liechtenstein, Norway, the United Kingdom and Switzerland: consent must be given first.
OPT_IN_REGIONS = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO GB CH".split()
)


@dataclass(frozen=True, slots=True)
class RegionRule:
    """What holds in a region."""

    #: `allow`: without a signal an ad destination may have the event; `deny`: it may not.
    default: str = "deny"
    #: `skip` or `limited`: what an opt-out does where the default is `allow`.
    on_opt_out: str = "skip"


#: Without configuration: the United States allow until the visitor opts out; everywhere else consent comes first.
SHIPPED_REGIONS: Mapping[str, RegionRule] = {
    "US": RegionRule("allow", "skip"),
    **{code: RegionRule("deny", "skip") for code in sorted(OPT_IN_REGIONS)},
}


@dataclass(frozen=True)
class Policy:
    """The `[consent]` part of the configuration."""

    regions: Mapping[str, RegionRule] = field(default_factory=lambda: dict(SHIPPED_REGIONS))
    #: `allow` or `deny` when the region is not known.
    unknown: str = "deny"
    #: A section of `gpp` that can tell of Global Privacy Control must, or the string cannot be used.
    needs_gpc: bool = True

    def rule_for(self, region: str | None) -> RegionRule:
        """The rule of the region, else of its country, else deny; `unknown` when there is no region."""
        if region is None:
            return RegionRule(self.unknown)
        return self.regions.get(region) or self.regions.get(region[:2]) or RegionRule("deny")

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the rules: a decision made under another one is made again before sending."""
        rules = sorted((code, rule.default, rule.on_opt_out) for code, rule in self.regions.items())
        return hashlib.sha256(repr((rules, self.unknown, self.needs_gpc)).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Requirement:
    """What one destination instance asks of the gate."""

    #: Flags that must not be missing.
    purposes: frozenset[str]
    #: Overrides the region's `on_opt_out`; `None` to follow it.
    on_opt_out: str | None = None
    #: Regions in which the platform has a limited mode: see `Destination.limited`.
    limited: frozenset[str] = frozenset()
    #: Who it is in consent strings.
    vendor: Vendor = NOBODY

    @cached_property
    def minded(self) -> frozenset[str]:
        """Flags whose denial counts: without `ad_user_data` nothing goes to an ad platform, required or not."""
        return self.purposes | {"ad_user_data"} if self.for_ads else self.purposes

    @cached_property
    def for_ads(self) -> bool:
        """Whether it is an ad platform's."""
        return any(name.startswith("ad_") for name in self.purposes)

    def can_limit(self, region: str | None) -> bool:
        """Whether the platform's limited mode means anything for a visitor from there."""
        if region is None or not self.limited:
            return False
        states_known = any(len(code) > 2 and code[:2] == region[:2] for code in self.limited)
        return region in self.limited or (not states_known and region[:2] in self.limited)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the requirement, as `Policy.fingerprint`."""
        parts = (sorted(self.purposes), self.on_opt_out, sorted(self.limited), self.vendor)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def decide(consent: Consent, region: str | None, requirement: Requirement, policy: Policy, at: float) -> Decision:
    """The gate. `region` is the event's, else the source's; see docs/consent.md for the table of cases.

    `at`: when the event came in, Unix seconds; strings have an age.
    """
    where = region or "unknown region"
    heard = hear(consent, at, needs_gpc=policy.needs_gpc)
    if heard.unread:
        return Decision(Action.SKIP, "consent_string_unread", f"{where}: {heard.unread}")
    if heard.child and requirement.for_ads:
        return Decision(Action.SKIP, "known_child", f"{where}: `gpp` says that the visitor is a child")
    rule = policy.rule_for(region)
    opt_in = rule.default == "deny"
    kind = "opt-in" if opt_in else "opt-out"
    consent = effective(consent, region, requirement.vendor, at)
    denied = [name for name in PURPOSES if name in requirement.minded and getattr(consent, name) == "denied"]
    if "ad_user_data" in denied or (denied and opt_in):
        return Decision(Action.SKIP, "consent_denied", f"{where} ({kind}): {_join(denied)} denied")
    if consent.gpc:
        if opt_in:
            return Decision(Action.SKIP, "gpc", f"{where} (opt-in): Global Privacy Control is a denial")
        return _opted_out("gpc", f"{where} (opt-out): Global Privacy Control", region, rule, requirement)
    if heard.opted_out:
        if opt_in:
            return Decision(Action.SKIP, "gpp_opt_out", f"{where} (opt-in): an opt-out in `gpp` is a denial")
        return _opted_out("gpp_opt_out", f"{where} (opt-out): an opt-out in `gpp`", region, rule, requirement)
    if denied:
        return _opted_out("opted_out", f"{where} (opt-out): {_join(denied)} denied", region, rule, requirement)
    if not opt_in:
        return Decision(Action.SEND, "no_opt_out", f"{where} (opt-out): no denial, no opt-out")
    missing = [name for name in PURPOSES if name in requirement.purposes and getattr(consent, name) is None]
    if missing:
        return Decision(Action.SKIP, "consent_missing", f"{where} (opt-in): {_join(missing)} not given")
    granted = [name for name in PURPOSES if name in requirement.purposes]
    return Decision(Action.SEND, "consent_granted", f"{where} (opt-in): {_join(granted) or 'nothing'} granted")


def effective(consent: Consent, region: str | None, vendor: Vendor, at: float) -> Consent:
    """The flags with what the strings say of a destination: it must be told no more than the visitor said.

    A flag that the site gave is overruled by a denial alone. A TC string grants where the TCF applies: in Europe, and
    where the region is unknown.
    """
    heard = hear(consent, at, needs_gpc=False)  # whoever needs it sends nothing
    if heard is NOTHING:
        return consent
    said = say_of(heard, vendor)
    granted = said.granted if under_tcf(region) else frozenset()
    changes: dict[str, Any] = {name: "granted" for name in granted if getattr(consent, name) is None}
    changes |= dict.fromkeys(heard.denied | said.denied, "denied")
    return replace(consent, **changes) if changes else consent


def under_tcf(region: str | None) -> bool:
    """Whether a consent by a TC string counts there."""
    return region is None or region[:2] in OPT_IN_REGIONS


def may_use_click_ids(consent: Consent, region: str | None, policy: Policy, at: float) -> bool:
    """Whether `ad_storage` allows click and browser ids: granted, or not denied where the default is allow.

    An opt-out, a TC string's denial or a string that cannot be used wins over a grant here too.
    """
    heard = hear(consent, at, needs_gpc=policy.needs_gpc)
    if consent.gpc or heard.unread or heard.opted_out or heard.child or "ad_storage" in heard.denied:
        return False
    if consent.ad_storage is not None:
        return consent.ad_storage == "granted"
    if heard.tcf and under_tcf(region):
        return True  # purpose 1 is granted, or it would have been denied; whose it is, each destination's decision says
    return policy.rule_for(region).default == "allow"


def _opted_out(reason: str, rule_text: str, region: str | None, rule: RegionRule, requirement: Requirement) -> Decision:
    wanted = requirement.on_opt_out or rule.on_opt_out
    if wanted == "limited" and requirement.can_limit(region):
        return Decision(Action.SEND_LIMITED, reason, f"{rule_text}; limited mode is configured")
    if wanted == "limited":
        return Decision(Action.SKIP, reason, f"{rule_text}; the platform has no limited mode there")
    return Decision(Action.SKIP, reason, f"{rule_text}; on_opt_out = skip")


def _join(names: list[str]) -> str:
    return ", ".join(names)
