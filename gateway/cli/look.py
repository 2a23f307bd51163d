"""`gateway preview`, `gateway explain`, `gateway events`: what would happen, what happened."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption, time_of
from gateway.model.delivery import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.outbox.standing import Standing


def preview(
    file: Annotated[str, typer.Argument(metavar="FILE", help="One event, a list, or NDJSON; - for standard input.")],
    config: ConfigOption = CONFIG,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="As if posted with this source's key.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print each destination's exact request for events, with secrets redacted. Nothing is sent or stored.

    Exit code 1 when an event is refused or a plugin fails on it.
    """
    from gateway.cli import previewing

    settings, _ = opening.load(config)
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None
    found = previewing.previewed(settings, data, source)
    if json:
        show.as_json({"results": found})
    else:
        previewing.printed(found)
    raise typer.Exit(0 if previewing.all_well(found) else 1)


def explain(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID")],
    config: ConfigOption = CONFIG,
    json: JsonOption = False,
) -> None:
    """Tell what happened to an event: received, consent, fields, attempts; for each destination, and why.

    Several events may have one id: all of them are told. Names of fields are printed, never what is in them.
    Exit code 1 when there is none.
    """
    from gateway.cli import explaining
    from gateway.insight.explain import Explainer

    with opening.reading(config) as (settings, db):
        found = Explainer(settings).explain(db, event_id)
    if json:
        show.as_json({"event_id": event_id, "events": found})
    elif not found:
        kept = f"which keeps {settings.outbox.retention_s / 86400:g} days"
        print(f"gateway: no event {show.printable(event_id)!r} in the outbox, {kept}", file=sys.stderr)
    else:
        explaining.printed(found, time.time())
    raise typer.Exit(0 if found else 1)


def events(
    config: ConfigOption = CONFIG,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Received then or later: 2h, 7d, 2026-11-20.")
    ] = None,
    event_name: Annotated[str | None, typer.Option("--event-name", metavar="NAME", help="Only this event.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only of this source.")] = None,
    state: Annotated[
        State | None, typer.Option("--state", metavar="STATE", help="With a delivery in this state.")
    ] = None,
    destination: Annotated[
        str | None, typer.Option("--destination", metavar="NAME", help="Owed to this one; --state means its delivery.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, max=100_000, help="At most so many.")] = 20,
    json: JsonOption = False,
) -> None:
    """List events, newest first, with the state of each delivery."""
    from gateway.insight.events import Wanted, newest

    now = time.time()
    wanted = Wanted(time_of(since, now), event_name, source, state, destination)
    with opening.reading(config) as (settings, db):
        opening.check_name(settings, db, destination)
        found = newest(db, wanted, limit)
    if json:
        show.as_json({"events": found})
        return
    if not found:
        print("No event fits.")
        return
    rows = (
        (show.At(one.received_at, now), one.event_name, one.event_id, one.source, _states(one.destinations))
        for one in found
    )
    show.table(show.console(), ("received", "event", "id", "source", "destinations"), rows, title=2)


def _states(destinations: "Mapping[str, Standing]") -> str:
    """`delivered: meta, tiktok; skipped (consent): google`."""
    grouped: dict[str, list[str]] = {}
    for name, at in destinations.items():
        grouped.setdefault(_word(at), []).append(name)
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in grouped.items())


def _word(at: "Standing") -> str:
    said = at.code and at.state not in (State.DELIVERED, State.RECEIVED)
    return f"{at.state} ({at.code})" if said else str(at.state)
