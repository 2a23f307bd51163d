"""Dead letters: which there are, what to do about them, and what retrying them would do."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from gateway.insight.forecast import Plan
from gateway.log import clean
from gateway.model.errors import ConfigError
from gateway.outbox import queries
from gateway.outbox.queries import DeadGroup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Settings
    from gateway.insight.forecast import Forecast
    from gateway.outbox.engine import Connection

#: Our own codes → what to do.
ADVICE: Mapping[str, str] = {
    "unseen_window": "No answer was seen, and a repeat so late would count twice: look at the platform, and retry only "
    "what did not arrive; discard the rest.",
    "payload_gone": "What it said is no longer kept: it cannot be sent. Discard it; let [privacy] payload_retention be "
    "longer than your longest outage.",
    "plugin_bug": "The plugin failed on it: mend the plugin, restart, then retry.",
    "unreadable": "What is stored cannot be read. If it is sealed under a key that is not configured, put that key "
    "back into [privacy] encryption_key and retry; else restore a backup, or discard it.",
    "too_large": "One event alone is larger than the platform takes: send less in custom_data, discard this one.",
}
#: How a message begins that tells of an answer that stayed the same for too long → what to do.
TIRED = ("no success within", "still the same answer")
#: Whether a word can be a cause's name.
CAUSE = re.compile(r"[0-9a-f]{8}").fullmatch
AGAIN = "The platform did not answer well for too long. When it does again, retry."
REFUSED = (
    "The platform refuses what the event says: mend what your site sends. A retry helps only if the configuration, the "
    "plugin or the account has changed."
)


@dataclass(frozen=True, slots=True)
class Group(DeadGroup):
    """Dead letters of one cause, and what to do about them."""

    advice: str
    #: The platform's documentation; empty for a destination that is no longer configured.
    docs: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which dead letters are meant. What is `None` does not matter."""

    instance: str | None = None
    code: str | None = None
    event_id: str | None = None
    #: As `groups` names it.
    cause: str | None = None


def groups(db: Connection, settings: Settings) -> list[Group]:
    """Dead letters by cause, the most frequent first; nothing personal in the platforms' words."""
    found = []
    for group in queries.dead_groups(db, settings.privacy.keyring):
        instance = settings.destinations.get(group.instance)
        docs = instance.destination.docs if instance is not None else ""
        told = {one.name: getattr(group, one.name) for one in fields(group)}
        found.append(Group(**{**told, "message": clean(group.message)}, advice=_advice(group), docs=docs))
    return found


def _advice(group: DeadGroup) -> str:
    own = ADVICE.get(group.code)
    if own is not None:
        return own
    return AGAIN if group.message.startswith(TIRED) else REFUSED


def chosen(db: Connection, which: Chosen) -> dict[str, list[int]]:
    """Instance → numbers of its dead letters that are meant.

    None of a cause that there is not any more. Raises `ConfigError` for what cannot name one.
    """
    if which.cause is not None and not CAUSE(which.cause):
        raise ConfigError(f"there is no cause {which.cause!r}; `gateway dead list` names them")
    known = queries.dead_groups(db)
    causes = [one for one in known if which.cause in (None, one.cause)]
    if not causes:
        return {}
    field = causes[0].field if which.cause is not None else None
    code = causes[0].code if which.cause is not None else which.code
    seqs = None if which.event_id is None else [row.seq for row in queries.find(db, which.event_id)]
    found = {
        name: queries.dead_letters(db, name, code=code, field=field, seqs=seqs)
        for name in dict.fromkeys(one.instance for one in causes)
        if which.instance in (None, name) and which.code in (None, code)
    }
    return {name: numbers for name, numbers in found.items() if numbers}


def plan_retry(db: Connection, forecast: Forecast, which: Chosen) -> Plan:
    """What would become of these dead letters if they were put back now."""
    plan = Plan()
    for name, seqs in chosen(db, which).items():
        for seq in seqs:
            row = queries.event(db, seq)
            if row is not None:
                forecast.ask(db, row, name, plan)
    return plan


def plan_discard(db: Connection, which: Chosen) -> Plan:
    """The dead letters that would be given up for good."""
    return Plan(sends=chosen(db, which))
