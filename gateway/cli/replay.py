"""`gateway replay`: stored events sent again."""

import time
from typing import Annotated

import typer

from gateway.cli import opening
from gateway.cli.options import CONFIG, ConfigOption, DryRunOption, JsonOption, YesOption, time_of


def replay(
    config: ConfigOption = CONFIG,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Received then or later: 2h, 7d, 2026-11-20.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Received before then.")] = None,
    event_name: Annotated[str | None, typer.Option("--event-name", metavar="NAME", help="Only this event.")] = None,
    event_id: Annotated[str | None, typer.Option("--event-id", metavar="ID", help="Only events with this id.")] = None,
    destination: Annotated[
        list[str] | None,
        typer.Option("--destination", metavar="NAME", help="Only to this one; may be given several times."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also what the platform has already, and what was discarded.")
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Send stored events again, under the same event ids: by time, event and destination.

    A destination that never had an event gets it; so does one for which it is dead, expired, cancelled or skipped by
    mapping. What a platform has already goes only with --again, and what is on its way never. The consent gate is
    asked again for each; what it held back at the door stays back, as does what an event's own `destinations` left
    out. Only events whose payload is still kept can go: see `[privacy] payload_retention`.
    """
    from gateway.cli import acting
    from gateway.insight.forecast import Forecast
    from gateway.insight.replay import Span, hindrance, plan_replay
    from gateway.model.errors import ConfigError
    from gateway.outbox import repair

    now = time.time()
    if since is None and event_id is None:
        raise typer.BadParameter("say which: --since TIME or --event-id ID")
    span = Span(time_of(since, now), time_of(until, now), event_name, event_id)
    with opening.reading(config) as (settings, db):
        names = destination or list(settings.enabled)
        if unknown := [name for name in names if name not in settings.enabled]:
            known = ", ".join(settings.enabled) or "none"
            raise ConfigError(f"no destination {unknown[0]!r} is switched on; there are: {known}")
        forecast = Forecast(settings)
        plan = plan_replay(db, forecast, span, names, again=again)
        payloads = acting.shown(db, plan, forecast) if dry_run else None
    words = acting.Words("send again", "Send them again?", "Queued")
    acting.carry_out(
        settings,
        plan,
        words,
        lambda db, name, seqs: repair.replay(db, name, seqs, now, lambda at: hindrance(at, again=again) is None),
        yes,
        json,
        dry_run=dry_run,
        payloads=payloads,
    )
