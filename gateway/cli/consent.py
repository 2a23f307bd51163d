"""`gateway consent report`: what the gate has done, for who answers for it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption, time_of

if TYPE_CHECKING:
    from collections.abc import Callable


def report(
    config: ConfigOption = CONFIG,
    since: Annotated[
        str, typer.Option("--since", metavar="TIME", help="Decided then or later: 90d, 2026-11-01; else 30 days.")
    ] = "30d",
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Decided before then; else until now.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page for people; what is there is replaced.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Report what consent has let through and held back, per region, source and destination, and by which rule.

    With it come the consent strings that could not be used, by the consent platform that made them, and the share of
    events without any signal. It is counted from the consent ledger, as far back as that goes; nobody's data is in it.
    """
    from gateway.cli import reporting
    from gateway.insight import report as reports
    from gateway.insight.report_page import page

    now = time.time()
    low, high = time_of(since, now) or 0.0, time_of(until, now)
    high = now if high is None else high
    if low >= high:
        raise typer.BadParameter("--since must be before --until")
    if json and html is not None:
        raise typer.BadParameter("either --json or --html")
    with opening.reading(config) as (_, db):
        found = reports.report(db, low, high)
    if json:
        show.as_json(found)
    elif html is not None:
        html.write_text(page(found, now), encoding="utf-8")
        print(f"Wrote {html}.")
    else:
        reporting.printed(found)


COMMANDS: "dict[str, Callable[..., None]]" = {"report": report}
