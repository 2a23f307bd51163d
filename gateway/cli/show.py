"""How commands print: tables and lines for people, JSON for programs. No secret and no raw identity gets here."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

#: Columns where there is no terminal to ask.
WIDTH = 120

#: State or status → how it looks on a terminal.
STYLES = {
    "delivered": "green",
    "received": "green",
    "ok": "green",
    "queued": "cyan",
    "waiting": "yellow",
    "warning": "yellow",
    "dead": "bold red",
    "problem": "bold red",
    "expired": "red",
    "skipped": "dim",
    "cancelled": "dim",
    "dry_run": "dim",
}

#: Columns that hold a time, which stays on one line.
TIMES = ("received", "first", "last")

_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def console() -> Console:
    """Standard output. Without colours when it is no terminal, or NO_COLOR is set; nothing in a text is markup."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(markup=False, highlight=False, emoji=False, width=width)


def as_json(value: object) -> None:
    """Print a value (frozen values become objects by field name)."""
    import msgspec

    print(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def line(out: Console, text: str, style: str = "", indent: int = 0) -> None:
    """Print a line; what is too long goes on below itself."""
    from rich.padding import Padding
    from rich.text import Text

    out.print(Padding(Text(printable(text), style=style), (0, 0, 0, indent), expand=False))


def block(out: Console, text: str, indent: int = 0) -> None:
    """Print lines as they are, however long, so that they can be copied."""
    from textwrap import indent as indented

    out.print(indented(printable(text), " " * indent), soft_wrap=True)


def table(out: Console, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, without a line of heads where all are empty; a cell that is a state gets its colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(*heads, box=box.SIMPLE_HEAD if any(heads) else None, show_header=any(heads), pad_edge=False)
    for column in made.columns:
        column.overflow = "fold"
        column.no_wrap = column.header in TIMES
    for row in rows:
        texts = [printable(str(cell)) for cell in row]
        made.add_row(*(Text(text, style=STYLES.get(text, "")) for text in texts))
    out.print(made)


def pairs(out: Console, rows: Iterable[tuple[str, str]], indent: int = 2) -> None:
    """Print names and what belongs to them, below one another."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, text in rows:
        made.add_row(Text(name, style="dim"), Text(printable(text)))
    out.print(Padding(made, (0, 0, 0, indent), expand=False))


def printable(text: str) -> str:
    """A text without characters that could steer a terminal: ids and platforms' words come from outside."""
    return "".join(char if char.isprintable() or char == "\n" else "\ufffd" for char in text)


def when(at: float | None, now: float) -> str:
    """Unix seconds as UTC with how long ago: `2026-11-20 14:03:09Z (3 min ago)`."""
    if at is None:
        return "–"
    told = f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"
    return f"{told} ({_apart(now - at)})"


def _apart(seconds: float) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= size), (1.0, "s"))
    words = f"{abs(seconds) / size:.0f} {unit}"
    if abs(seconds) < 1:
        return "now"
    return f"{words} ago" if seconds > 0 else f"in {words}"


def plural(count: int, one: str, many: str) -> str:
    """`1 delivery`, `2 deliveries`."""
    return f"{count} {one if count == 1 else many}"


def details(value: Any) -> str:
    """A JSON value in lines."""
    return json.dumps(value, indent=2, ensure_ascii=False)
