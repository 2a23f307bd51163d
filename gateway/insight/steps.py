"""The consent gate's answer taken apart: which question was asked, what was found, which one decided. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.privacy.consent import PURPOSES, STRINGS, effective
from gateway.privacy.signals.heard import hear
from gateway.privacy.withdrawal import decide_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.model.delivery import Decision
    from gateway.model.event import Consent
    from gateway.privacy.consent import Policy, Requirement
    from gateway.privacy.signals.heard import Heard
    from gateway.privacy.withdrawal import Denial

#: The gate's questions in its order of authority.
QUESTIONS = (
    "consent strings",
    "region",
    "denials",
    "Global Privacy Control",
    "GPP opt-out",
    "grants",
    "taken back since",
)

#: The gate's reason → the question that it answers.
_DECIDED_BY: Mapping[str, str] = {
    "consent_string_unread": "consent strings",
    "known_child": "consent strings",
    "consent_denied": "denials",
    "opted_out": "denials",
    "gpc": "Global Privacy Control",
    "gpp_opt_out": "GPP opt-out",
    "consent_missing": "grants",
    "consent_granted": "grants",
    "no_opt_out": "grants",
    "consent_withdrawn": "taken back since",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One question of the gate."""

    question: str
    #: What the event and the configuration say to it.
    found: str
    #: `send`, `send_limited` or `skip` at the question that decided; empty before it.
    answer: str = ""


def steps(
    consent: Consent,
    region: str | None,
    requirement: Requirement,
    policy: Policy,
    at: float,
    *,
    instance: str = "",
    denial: Denial | None = None,
) -> tuple[Step, ...]:
    """The questions up to the one that decided. The answer is the gate's own."""
    decision = decide_with(denial, instance, consent, region, requirement, policy, at)
    last = _DECIDED_BY.get(decision.reason, "grants")
    heard = hear(consent, at, needs_gpc=policy.needs_gpc)
    found = _found(effective(consent, region, requirement.vendor, at), region, requirement, policy, heard)
    asked = QUESTIONS[: QUESTIONS.index(last) + 1]
    # A denial in an opt-out region gives way to GPC, which is named instead: see `decide`.
    return tuple(_step(question, found[question], decision, last) for question in asked)


def _step(question: str, found: str, decision: Decision, last: str) -> Step:
    if question != last:
        return Step(question, found)
    return Step(question, decision.rule, str(decision.action))


def _found(
    consent: Consent, region: str | None, requirement: Requirement, policy: Policy, heard: Heard
) -> dict[str, str]:
    rule = policy.rule_for(region)
    kind = "consent must be given first" if rule.default == "deny" else "allowed until the visitor opts out"
    denied = [name for name in PURPOSES if getattr(consent, name) == "denied"]
    needed = [name for name in PURPOSES if name in requirement.purposes]
    return {
        "consent strings": ", ".join(name for name in STRINGS if getattr(consent, name) is not None) or "none",
        "region": f"{region or 'unknown'}: {kind}",
        "denials": f"{', '.join(denied)} denied" if denied else "none",
        "Global Privacy Control": "on" if consent.gpc else "off",
        "GPP opt-out": "yes" if heard.opted_out else "no",
        "grants": f"needs {', '.join(needed) or 'nothing'}",
        "taken back since": "yes",
    }
