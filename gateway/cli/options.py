"""Options that several commands take, and how a time is written."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ConfigOption: TypeAlias = Annotated[
    Path, typer.Option("--config", "-c", envvar="GATEWAY_CONFIG", metavar="FILE", help="The configuration.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON; its shape is in docs/cli.md.")]
DryRunOption: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Only tell what would be sent, with the first payloads.")
]
YesOption: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before acting.")]

UnreadOption: TypeAlias = Annotated[
    Path, typer.Option("--config", "-c", metavar="FILE", help="Taken as everywhere; not read here.")
]

#: What `--config` is when nothing names another.
CONFIG = Path("gateway.toml")

_AGO = re.compile(r"\d+(\.\d+)?(ms|s|m|h|d)")


def time_of(text: str | None, now: float) -> float | None:
    """`2h` (ago), `2026-11-20` or RFC 3339 as Unix seconds; a time without an offset is UTC.

    Raises `typer.BadParameter` for anything else.
    """
    if text is None:
        return None
    if _AGO.fullmatch(text):
        from gateway.config.values import duration

        return now - duration(text)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        expected = "expected a time (2026-11-20T14:00:00Z), a day, or how long ago (2h, 7d)"
        raise typer.BadParameter(f"{text!r}: {expected}") from None
    return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
