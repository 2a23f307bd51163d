"""`gateway import`: a file's rows as events."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from gateway.config import Settings, Source
    from gateway.ingest.formats.files.mapping import Mapping


def import_file(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV or NDJSON, plain, gzip or zstd; - is standard input.")
    ],
    config: ConfigOption = CONFIG,
    source: Annotated[
        str | None, typer.Option("--source", metavar="NAME", help="As which source; may be left out if there is one.")
    ] = None,
    mapping: Annotated[
        Path | None, typer.Option("--map", metavar="FILE", help="TOML: what columns mean, constants, stages, times.")
    ] = None,
    constants: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="What holds for every row; may be given several times."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", metavar="ZONE", help="Of times that name none: Europe/Berlin, +01:00.")
    ] = None,
    ignore_unknown: Annotated[
        bool, typer.Option("--ignore-unknown", help="Leave out columns that are not understood.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what is wrong and what would be sent; store nothing.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write every fault with its line: CSV if named so, else NDJSON."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Import a file anew although its rows may count twice.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Import a file of events: offline purchases, CRM stages, refunds, what happened before the gateway was there.

    Columns are known by their usual names, or by a mapping. Rows take the way of all events: validated, asked for
    consent, hashed, stored; a row that is refused costs no other. Broken off, it goes on where it stopped when it is
    run again, and each row is taken once. It works beside a running gateway. Exit code 1 when a row was refused.
    """
    import anyio

    from gateway.cli import intake
    from gateway.ingest.importing.file import opened
    from gateway.model.errors import OutboxError

    settings, _ = opening.load(config)
    chosen = _source(settings, source)
    said = _mapping(mapping, constants or (), timezone, lax=ignore_unknown)
    mapped = mapping is not None or bool(constants) or timezone is not None or ignore_unknown
    with opened(file) as found:
        run = intake.Intake(settings, chosen, found, said, mapped=mapped, report=report, quiet=json)
        try:
            made = anyio.run(run.look) if dry_run else anyio.run(lambda: run.take(again=again))
        except OutboxError as error:
            raise type(error)(f"{error}{run.how_to_go_on()}") from error
    if json:
        show.as_json(made)
    else:
        intake.printed(made, report)
    raise typer.Exit(0 if made["finished"] and not made["rejected"] and not made["unknown_columns"] else 1)


def _source(settings: "Settings", name: str | None) -> "Source":
    fit = {one.name: one for one in settings.sources.values() if one.kind == "events"}  # others take webhooks alone
    if name is None and len(fit) == 1:
        return next(iter(fit.values()))
    known = ", ".join(fit) or "none"
    if name is None:
        raise typer.BadParameter(f"say as which source: --source NAME; there are: {known}")
    if name not in fit:
        raise typer.BadParameter(f"there is no source {name!r} for files; there are: {known}")
    return fit[name]


def _mapping(path: Path | None, constants: Any, timezone: str | None, *, lax: bool) -> "Mapping":
    from gateway.config.reading import toml
    from gateway.ingest.formats.files.mapping import mapping

    data = toml(path, "--map names a mapping") if path is not None else {}
    name = str(path) if path is not None else "gateway import"
    return mapping(data, name, constants=constants, timezone=timezone, lax=lax)
