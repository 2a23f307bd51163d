"""`gateway dead`: deliveries given up; looked at, put back, discarded."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, DryRunOption, JsonOption, YesOption

if TYPE_CHECKING:
    from gateway.insight.dead import Chosen, Group
    from gateway.insight.explain import Explained

DestinationOption = Annotated[
    str | None, typer.Option("--destination", metavar="NAME", help="Only of this destination.")
]
CodeOption = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those that died of this.")]
CauseOption = Annotated[
    str | None, typer.Option("--cause", metavar="CAUSE", help="Only those of this cause, as `dead list` names it.")
]
EventIdOption = Annotated[str | None, typer.Option("--event-id", metavar="ID", help="Only of this event.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]


def list_(config: ConfigOption = CONFIG, json: JsonOption = False) -> None:
    """List dead letters by cause, the most frequent first: what they died of, since when, what is at stake, what to do.

    A cause is a destination, a code, and the field that the platform blames, if it names one. At stake is the sum of
    `custom_data.value`, in each currency for itself, of those whose payload is still kept.
    """
    from gateway.insight import dead

    now = time.time()
    with opening.reading(config) as (settings, db):
        groups = dead.groups(db, settings)
    if json:
        show.as_json({"groups": groups})
    elif not groups:
        print("No dead letters.")
    for one in groups if not json else ():
        _told(one, now)


def show_(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="An event's id, or its number in the log.")],
    config: ConfigOption = CONFIG,
    json: JsonOption = False,
) -> None:
    """Tell all about an event's dead letters. Exit code 1 when it has none."""
    from gateway.cli import explaining
    from gateway.insight.explain import Explainer
    from gateway.outbox import queries

    with opening.reading(config) as (settings, db):
        rows = queries.find(db, event)
        if not rows and event.isdecimal() and len(event) < 19 and (row := queries.event(db, int(event))) is not None:
            rows = [row]
        explainer = Explainer(settings)
        found = [only for row in rows if (only := _dead_only(explainer.event(db, row))).destinations]
    if json:
        show.as_json({"events": found})
    elif not found:
        print(f"gateway: no dead letter of an event {show.printable(event)!r}", file=sys.stderr)
    else:
        explaining.printed(found, time.time())
    raise typer.Exit(0 if found else 1)


def retry(
    config: ConfigOption = CONFIG,
    cause: CauseOption = None,
    destination: DestinationOption = None,
    code: CodeOption = None,
    event_id: EventIdOption = None,
    everything: AllOption = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Put dead letters back, to be sent as if never tried, under the same event ids.

    What could not be sent anyway (its payload gone, too old by now, consent missing) is named and stays dead. A
    running gateway takes them up by itself. Given twice, it does nothing the second time.
    """
    from gateway.cli import acting
    from gateway.insight import dead
    from gateway.insight.forecast import Forecast
    from gateway.outbox import repair

    which = _chosen(cause, destination, code, event_id, everything)
    with opening.reading(config) as (settings, db):
        opening.check_name(settings, db, destination)
        forecast = Forecast(settings)
        plan = dead.plan_retry(db, forecast, which)
        payloads = acting.shown(db, plan, forecast) if dry_run else None
    words = acting.Words("send again", "Put them back?", "Put back")
    now = time.time()
    acting.carry_out(
        settings,
        plan,
        words,
        lambda db, name, seqs: repair.retry(db, name, seqs, now),
        yes,
        json,
        dry_run=dry_run,
        payloads=payloads,
    )


def discard(
    config: ConfigOption = CONFIG,
    cause: CauseOption = None,
    destination: DestinationOption = None,
    code: CodeOption = None,
    event_id: EventIdOption = None,
    everything: AllOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Give dead letters up for good. They stay in the record as cancelled, with what they died of."""
    from gateway.cli import acting
    from gateway.insight import dead
    from gateway.outbox import repair

    which = _chosen(cause, destination, code, event_id, everything)
    with opening.reading(config) as (settings, db):
        opening.check_name(settings, db, destination)
        plan = dead.plan_discard(db, which)
    words = acting.Words("discard", "Discard them?", "Discarded")
    acting.carry_out(
        settings, plan, words, lambda db, name, seqs: repair.discard(db, name, seqs, time.time()), yes, json
    )


COMMANDS: dict[str, Callable[..., None]] = {"list": list_, "show": show_, "retry": retry, "discard": discard}


def _chosen(
    cause: str | None, destination: str | None, code: str | None, event_id: str | None, everything: bool
) -> "Chosen":
    from gateway.insight import dead

    if everything == any((cause, destination, code, event_id)):
        which = "--cause, --destination, --code, --event-id (together: all must fit), or --all"
        raise typer.BadParameter(f"say which: {which}")
    return dead.Chosen(destination, code, event_id, cause)


def _told(group: "Group", now: float) -> None:
    out = show.console()
    what = " ".join(filter(None, (group.instance, group.code, f"({group.field})" if group.field else "")))
    letters = show.plural(group.count, "dead letter", "dead letters")
    show.line(out, f"{group.cause}  {what}: {letters}", "bold")
    money = ", ".join(f"{one.currency} {one.value:,.2f}" for one in group.money)
    unknown = f"{group.without_value} without a value" if group.without_value else ""
    rows = [
        ("first", show.when(group.first_at, now)),
        ("last", show.when(group.last_at, now)),
        ("at stake", "; ".join(filter(None, (money, unknown)))),
        ("it says", group.message),
        ("what to do", " ".join(filter(None, (group.advice, group.docs)))),
    ]
    show.pairs(out, [(name, text) for name, text in rows if text])


def _dead_only(event: "Explained") -> "Explained":
    from dataclasses import replace

    return replace(event, destinations={name: one for name, one in event.destinations.items() if one.state == "dead"})
