"""`gateway init` and `gateway check`: before it runs."""

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption


def init(
    config: Annotated[
        Path,
        typer.Option(
            "--config", "-c", "--path", envvar="GATEWAY_CONFIG", metavar="FILE", help="The file, or its folder."
        ),
    ] = CONFIG,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there; it is kept as FILE.old.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Write a commented gateway.toml to start from, with fresh random keys.

    Only its owner can read the file. One that is there is left alone unless --force is given.
    """
    from gateway import starter

    path = config / CONFIG.name if config.is_dir() else config
    if path.exists() and not force:
        typer.echo(f"gateway: {path} is there already; --force replaces it", err=True)
        raise typer.Exit(1)
    if path.exists():
        path.replace(path.with_name(path.name + ".old"))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(starter.fresh())
    if json:
        show.as_json({"path": str(path.absolute())})
        return
    print(f"Wrote {path}, with fresh keys in it.")
    print("Next: switch a destination on and set the variables that it names; then `gateway check`, `gateway serve`.")


def check(
    config: ConfigOption = CONFIG,
    live: Annotated[
        bool, typer.Option("--live", help="Also ask each platform whether it takes the credentials; nothing counts.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Look whether everything is in order: configuration, plugins, schemas, storage, clock, dispatcher, destinations.

    Exit code 1 when there is a problem; warnings alone are no problem. Changes nothing.
    """
    from gateway.insight import checks

    settings, registry = opening.load(config)
    now = time.time()
    found = [
        *checks.configuration(settings),
        *checks.sources(settings),
        *checks.permissions(settings),
        *checks.plugins(registry),
        *checks.schemas(),
        *checks.storage(settings),
        *checks.encryption(settings),
        *checks.clock(settings, now),
        *checks.dispatcher(settings),
        *checks.lanes(settings),
    ]
    if live:
        import anyio

        found += [anyio.run(checks.live, instance, now) for instance in settings.enabled.values()]
    ok = all(one.status != checks.PROBLEM for one in found)
    if json:
        show.as_json({"ok": ok, "checks": found})
    else:
        show.table(show.console(), ("", "", ""), ((one.status, one.name, one.message) for one in found))
    raise typer.Exit(0 if ok else 1)
