"""`gateway plugins`: for authors of destinations."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import opening, show
from gateway.cli.options import CONFIG, ConfigOption, JsonOption, UnreadOption


def list_(config: ConfigOption = CONFIG, json: JsonOption = False) -> None:
    """List the destinations that plugins bring, with their configuration keys.

    Without a configuration file, those that need none: bundled and installed ones.
    """
    from gateway import registry
    from gateway.cli import describing

    found = opening.load(config)[1] if config != CONFIG or config.exists() else registry.load()
    described = [describing.described(one, found.origins[one.name]) for one in found.destinations.values()]
    if json:
        show.as_json({"plugins": described})
    else:
        describing.printed(described)


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower case letters, digits and _.")],
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="FOLDER", help="All of it here; default: plugins/ and tests/ in this folder."),
    ] = None,
    json: JsonOption = False,
    config: UnreadOption = CONFIG,
) -> None:
    """Write a new destination to start from: the plugin, its test and a golden case.

    Without --dir: plugins/NAME.py, tests/test_NAME.py and tests/golden/NAME/. FOLDER may be the one that
    `plugins_dir` in gateway.toml names. Files that are there are left alone.
    """
    from gateway.cli import scaffold

    written = scaffold.write(name, folder)
    if json:
        show.as_json({"files": [str(path) for path in written]})
        return
    for path in written:
        print(f"Wrote {path}")
    print(f"Next: gateway plugins test {written[0]}")


def check(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The plugin's file.")],
    golden: Annotated[
        Path | None,
        typer.Option("--golden", metavar="FOLDER", help="Its golden cases; default: NAME in tests/golden or golden."),
    ] = None,
    update_golden: Annotated[
        bool, typer.Option("--update-golden", help="Rewrite what the golden cases expect; read that diff.")
    ] = False,
    config: UnreadOption = CONFIG,
) -> None:
    """Hold a plugin file to the contract: mapping, privacy, purity, verdicts, golden cases.

    Needs pytest, which `pip install conversions-gateway[test]` brings. Exit code 1 when a test fails.
    """
    from gateway.cli import contract

    code = contract.run(path, golden, update=update_golden)
    sys.stdout.flush()
    raise typer.Exit(code)


COMMANDS: dict[str, Callable[..., None]] = {"list": list_, "new": new, "test": check}
