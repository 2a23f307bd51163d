"""How commands that change the outbox tell what they will do, ask, and do it in small steps."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from gateway.cli import opening, previewing, show
from gateway.insight.forecast import ADDRESSES
from gateway.outbox import queries
from gateway.outbox.repair import STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.config import Settings
    from gateway.insight.forecast import Forecast, Plan
    from gateway.outbox.engine import Connection

    #: What is done to some of an instance's deliveries; returns how many there were.
    Change: TypeAlias = Callable[[Connection, str, Sequence[int]], int]
    #: Instance, event id, and the request as `gateway preview` shows it.
    Payloads: TypeAlias = list[tuple[str, str, dict[str, Any]]]

#: Deliveries of each destination whose payload a dry run shows.
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Words:
    """What it is called."""

    #: `2 deliveries to …`
    to: str
    question: str
    #: `…: 2.`
    done: str


def carry_out(
    settings: Settings,
    plan: Plan,
    words: Words,
    change: Change,
    yes: bool,
    json: bool,
    *,
    dry_run: bool = False,
    payloads: Payloads | None = None,
) -> None:
    """Tell the plan, ask unless `yes`, make the change, and say how many deliveries it was."""
    if not json:
        _told(plan, words)
        for name, event_id, shown in payloads or ():
            show.line(show.console(), f"Event {event_id}", "bold")
            previewing.answer(show.console(), name, shown)
    done = 0
    if plan.count and not dry_run and _agreed(words.question, yes=yes, asks=not json):
        done = _act(settings, plan, change)
        if not json:
            print(f"{words.done}: {done}.")
    if json:
        sends = {name: len(seqs) for name, seqs in plan.sends.items()}
        chosen = {"chosen": plan.count, "destinations": sends, "left": plan.left, "lacking": plan.lacking}
        told = [{"instance": name, "event_id": one, **shown} for name, one, shown in payloads or ()]
        show.as_json({**chosen, "dry_run": dry_run, "done": done, **({"preview": told} if dry_run else {})})


def shown(db: Connection, plan: Plan, forecast: Forecast) -> Payloads:
    """What the first few of each destination would be sent: its name, the event's id, the request."""
    return [
        (name, row.event_id, forecast.request(db, seq, name))
        for name, seqs in plan.sends.items()
        for seq in seqs[:SHOWN]
        if (row := queries.event(db, seq)) is not None
    ]


def _told(plan: Plan, words: Words) -> None:
    out = show.console()
    for name, seqs in plan.sends.items():
        show.line(out, f"{name}: {show.plural(len(seqs), 'delivery', 'deliveries')} to {words.to}", "green")
    if not plan.sends:
        print(f"Nothing to {words.to}." if plan.left else "Nothing fits.")
    for why, counts in _by_reason(plan).items():
        names = ", ".join(f"{name} {count}" for name, count in counts.items())
        show.line(out, f"{sum(counts.values())} left alone ({names}), {why}", "yellow")
    for key, count in sorted(plan.lacking.items()):
        lack = "lack this digest, since no destination needed it when they came"
        if key.endswith(f": {ADDRESSES}"):
            lack = "go without IP address and user agent: they came so, or it is forgotten by now"
        show.line(out, f"{key}: {count} {lack}", "yellow")


def _by_reason(plan: Plan) -> dict[str, dict[str, int]]:
    """Why → instance → how many."""
    found: dict[str, dict[str, int]] = {}
    for one in plan.left:
        found.setdefault(": ".join(filter(None, (one.code, one.message))), {})[one.instance] = one.count
    return found


def _agreed(question: str, *, yes: bool, asks: bool) -> bool:
    if yes:
        return True
    if not asks or not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: add --yes to act")
    return typer.confirm(question)


def _act(settings: Settings, plan: Plan, change: Change) -> int:
    done = 0
    with opening.writing(settings) as outbox:
        for name, seqs in plan.sends.items():
            for at in range(0, len(seqs), STEP):
                part = seqs[at : at + STEP]
                done += outbox.write_blocking(lambda db, name=name, part=part: change(db, name, part))  # type: ignore[misc]
    return done
