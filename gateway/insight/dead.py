"""Dead letters: which there are, and what retrying them would do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.insight.forecast import Plan
from gateway.log import clean
from gateway.outbox import queries

if TYPE_CHECKING:
    from gateway.insight.forecast import Forecast
    from gateway.outbox.engine import Connection
    from gateway.outbox.queries import DeadGroup


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which dead letters are meant. What is `None` does not matter."""

    instance: str | None = None
    code: str | None = None
    event_id: str | None = None


def groups(db: Connection) -> list[DeadGroup]:
    """Dead letters by destination and cause, the most frequent first; nothing personal in the platforms' words."""
    return [replace(group, message=clean(group.message)) for group in queries.dead_groups(db)]


def chosen(db: Connection, which: Chosen) -> dict[str, list[int]]:
    """Instance → numbers of its dead letters that are meant."""
    names = dict.fromkeys(group.instance for group in queries.dead_groups(db))
    seqs = None if which.event_id is None else [row.seq for row in queries.find(db, which.event_id)]
    found = {
        name: queries.dead_letters(db, name, code=which.code, seqs=seqs)
        for name in names
        if which.instance in (None, name)
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
