"""`gateway dead`: deliveries given up; looked at, put back, discarded."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption, YesOption

if TYPE_CHECKING:
    from gateway.insight.dead import Chosen
    from gateway.insight.explain import Explained

DestinationOption = Annotated[
    str | None, typer.Option("--destination", metavar="NAME", help="Only of this destination.")
]
CodeOption = Annotated[str | None, typer.Option("--code", metavar="CODE", help="Only those that died of this.")]
EventIdOption = Annotated[str | None, typer.Option("--event-id", metavar="ID", help="Only of this event.")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]


def list_(config: ConfigOption = CONFIG, json: JsonOption = False) -> None:
    """List dead letters by destination and cause, the most frequent first."""
    from gateway.insight import dead

    now = time.time()
    with opening.reading(config) as (_, db):
        groups = dead.groups(db)
    if json:
        show.as_json({"groups": groups})
    elif not groups:
        print("No dead letters.")
    else:
        times = ((show.At(one.first_at, now), show.At(one.last_at, now)) for one in groups)
        rows = ((one.instance, one.code, one.count, *at, one.message) for one, at in zip(groups, times, strict=True))
        show.table(show.console(), ("destination", "code", "count", "first", "last", "for example"), rows, title=2)


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
    destination: DestinationOption = None,
    code: CodeOption = None,
    event_id: EventIdOption = None,
    everything: AllOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Put dead letters back, to be sent as if never tried, under the same event ids.

    What could not be sent anyway (its payload gone, too old by now, consent missing) is named and stays dead. A
    running gateway takes them up by itself.
    """
    from gateway.cli import acting
    from gateway.insight import dead
    from gateway.insight.forecast import Forecast
    from gateway.outbox import repair

    which = _chosen(destination, code, event_id, everything)
    with opening.reading(config) as (settings, db):
        opening.check_name(settings, db, destination)
        plan = dead.plan_retry(db, Forecast(settings), which)
    words = acting.Words("send again", "Put them back?", "Put back")
    now = time.time()
    acting.carry_out(settings, plan, words, lambda db, name, seqs: repair.retry(db, name, seqs, now), yes, json)


def discard(
    config: ConfigOption = CONFIG,
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

    which = _chosen(destination, code, event_id, everything)
    with opening.reading(config) as (settings, db):
        opening.check_name(settings, db, destination)
        plan = dead.plan_discard(db, which)
    words = acting.Words("discard", "Discard them?", "Discarded")
    acting.carry_out(
        settings, plan, words, lambda db, name, seqs: repair.discard(db, name, seqs, time.time()), yes, json
    )


COMMANDS: dict[str, Callable[..., None]] = {"list": list_, "show": show_, "retry": retry, "discard": discard}


def _chosen(destination: str | None, code: str | None, event_id: str | None, everything: bool) -> "Chosen":
    from gateway.insight import dead

    if everything == any((destination, code, event_id)):
        raise typer.BadParameter("say which: --destination, --code, --event-id (together: all must fit), or --all")
    return dead.Chosen(destination, code, event_id)


def _dead_only(event: "Explained") -> "Explained":
    from dataclasses import replace

    return replace(event, destinations={name: one for name, one in event.destinations.items() if one.state == "dead"})
