"""`gateway prove`, `gateway ledger`: whether what was decided is still what is written."""

import contextlib
import json as text
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption, time_of

if TYPE_CHECKING:
    from collections.abc import Callable


def prove(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID")],
    config: ConfigOption = CONFIG,
    json: JsonOption = False,
) -> None:
    """Prove from the consent ledger what was decided of an event, by what signals, and that nobody changed it.

    The commitments are opened with the event's salt, and the chain is walked from its row to the head. What is printed
    lets somebody else do the same: keep it as confidential as the event id. Exit code 1 when something does not hold,
    or there is no such event.
    """
    from gateway.cli import proving
    from gateway.insight import proof

    with opening.reading(config) as (settings, db):
        found = proof.prove(db, event_id, settings.privacy.keyring)
    if json:
        show.as_json({"event_id": event_id, "events": found})
    elif not found:
        print(f"gateway: no event {show.printable(event_id)!r} in the outbox", file=sys.stderr)
    else:
        proving.proofs(found, time.time())
    raise typer.Exit(0 if found and all(one.holds for one in found) else 1)


def verify(
    config: ConfigOption = CONFIG,
    anchor: Annotated[
        Path | None, typer.Option("--anchor", metavar="FILE", help="Compare with the heads written down there.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check the whole consent ledger: the chain, the rulings, and every event that is still there.

    Exit code 1 when something does not hold. It reads all of it, beside a running gateway; of a big ledger check a
    backup.
    """
    from gateway.cli import proving
    from gateway.insight import proof
    from gateway.outbox import anchor as anchors

    lines = anchors.read(anchor) if anchor is not None else []
    with opening.reading(config) as (settings, db):
        kept_since = time.time() - settings.privacy.ledger_retention_s
        found = proof.verify(db, lines, settings.privacy.keyring, kept_since)
    if json:
        show.as_json(proving.as_value(found))
    else:
        proving.checked(found)
    raise typer.Exit(0 if found.holds else 1)


def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where it goes, a new file; - for standard output.")],
    config: ConfigOption = CONFIG,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Decided then or later: 90d, 2026-11-20.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Decided before then.")] = None,
) -> None:
    """Write the consent ledger as lines of JSON, with all that it takes to check it without this program.

    Nothing in it is personal: ids and consent strings are commitments whose salts stay in the outbox.
    """
    from gateway.insight import exported

    now = time.time()
    low, high = time_of(since, now), time_of(until, now)
    with opening.reading(config) as (_, db), contextlib.ExitStack() as stack:
        out = sys.stdout if file == "-" else stack.enter_context(Path(file).open("x", encoding="utf-8"))
        for one in exported.lines(db, low, high):
            out.write(text.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n")


COMMANDS: "dict[str, Callable[..., None]]" = {"verify": verify, "export": export}
