"""How commands print: tables and lines for people, JSON for programs. No secret and no raw identity gets here."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console

    #: A table's rows, of as many cells as it has heads.
    Rows: TypeAlias = Sequence[Sequence[object]]

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

#: The least that is left to a table's last column before rows become records instead.
LAST = 40
#: Characters between two columns of a table: a space of each, and one of the box's.
_GAP = 3
#: Indent of a record's lines, and what is between its names and cells.
_INDENT = "  "

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


@dataclass(frozen=True, slots=True)
class At:
    """A cell that holds a time; in a table that is too wide its age has to do."""

    #: Unix seconds.
    at: float
    now: float

    def __str__(self) -> str:
        return when(self.at, self.now)

    @property
    def age(self) -> str:
        """`3 min ago`."""
        return _apart(self.now - self.at)


def table(out: Console, heads: Sequence[str], rows: Iterable[Sequence[object]], *, title: int = 1) -> None:
    """Print rows as a table if every column but the last fits unbroken, else as records.

    `title`: how many cells are the first line of a record; those without a head join them. A table without any heads
    is never made records of. A cell that is a state gets its colour.
    """
    told = list(rows)
    aged = [[cell.age if isinstance(cell, At) else cell for cell in row] for row in told]
    fitting = next((some for some in (told, aged) if not any(heads) or _fits(out.width, heads, some)), None)
    if fitting is None:
        _records(out, heads, told, title)
    else:
        _table(out, heads, fitting)


def _fits(width: int, heads: Sequence[str], rows: Rows) -> bool:
    columns = zip(*([heads, *rows]), strict=True)
    *firsts, last = [max(_width(cell) for cell in column) for column in columns]
    return sum(firsts) + _GAP * len(firsts) + min(last, LAST) <= width


def _width(cell: object) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, printable(str(cell)).split("\n")))


def _table(out: Console, heads: Sequence[str], rows: Rows) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    headed = any(heads)
    made = Table(*heads, box=box.SIMPLE_HEAD if headed else None, show_header=headed, show_edge=False, pad_edge=False)
    for column in made.columns:
        column.overflow = "fold"
        column.no_wrap = column is not made.columns[-1]
    for row in rows:
        texts = [printable(str(cell)) for cell in row]
        made.add_row(*(Text(text, style=STYLES.get(text, "")) for text in texts))
    out.print(made)


def _records(out: Console, heads: Sequence[str], rows: Rows, title: int) -> None:
    """Each row below the one before, a line for each cell. A word that is too long is left to the terminal, whole."""
    from rich.text import Text

    names = max(map(len, heads[title:]))
    for row in rows:
        cells = [(head, printable(str(cell))) for head, cell in zip(heads, row, strict=True)]
        first = "  ".join(cell for at, (head, cell) in enumerate(cells) if cell and (at < title or not head))
        out.print(Text(first, "bold"), soft_wrap=True)
        for head, cell in cells[title:]:
            if head and cell:
                name = f"{_INDENT}{head:{names}}{_INDENT}"
                lines = _wrapped(cell, out.width - len(name))
                words = ("\n" + " " * len(name)).join(lines)
                out.print(Text.assemble((name, "dim"), (words, STYLES.get(cell, ""))), soft_wrap=True)


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    lines = text.split("\n")
    return [
        part
        for one in lines
        for part in wrap(one, max(width, 20), break_long_words=False, break_on_hyphens=False) or [""]
    ]


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
