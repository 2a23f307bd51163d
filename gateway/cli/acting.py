"""How commands that change the outbox tell what they will do, ask, and do it in small steps."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import typer

from gateway.cli import show
from gateway.cli.options import CONFIG
from gateway.outbox.repair import STEP

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.insight.forecast import Plan
    from gateway.outbox import Outbox
    from gateway.outbox.engine import Connection

__all__ = ["CONFIG", "act", "agreed", "as_values", "told"]


def as_values(plan: Plan, done: int | None) -> dict[str, Any]:
    """A plan for JSON. `done`: deliveries changed, `None` when nothing was to be changed."""
    sends = {name: len(seqs) for name, seqs in plan.sends.items()}
    return {"chosen": plan.count, "destinations": sends, "left": plan.left, "lacking": plan.lacking, "done": done}


def told(plan: Plan, verb: str) -> None:
    """Print what is going to be done, and what is left alone and why."""
    out = show.console()
    for name, seqs in plan.sends.items():
        show.line(out, f"{name}: {show.plural(len(seqs), 'delivery', 'deliveries')} to {verb}", "green")
    for one in plan.left:
        words = f"{one.instance}: {one.count} left alone, {one.code}{': ' + one.message if one.message else ''}"
        show.line(out, words, "yellow")
    for key, count in sorted(plan.lacking.items()):
        words = f"{key}: {count} lack this digest, since no destination needed it when they came"
        show.line(out, words, "yellow")
    if not plan.sends and not plan.left:
        print("Nothing fits.")


def agreed(question: str, *, yes: bool, asks: bool) -> bool:
    """Whether to go on. Raises `typer.BadParameter` where nobody can be asked."""
    if yes:
        return True
    if not asks or not sys.stdin.isatty():
        raise typer.BadParameter("nobody can be asked here: add --yes to act")
    return typer.confirm(question)


def act(outbox: Outbox, plan: Plan, change: Callable[[Connection, str, Sequence[int]], int]) -> int:
    """Make the change for every delivery of the plan, some at a time. Returns how many there were to change."""
    done = 0
    for name, seqs in plan.sends.items():
        for at in range(0, len(seqs), STEP):
            part = seqs[at : at + STEP]
            done += outbox.write_blocking(lambda db, name=name, part=part: change(db, name, part))  # type: ignore[misc]
    return done
