"""Text as rows, with the line that each begins on. What cannot be read costs its own line, and memory stays bounded."""

from __future__ import annotations

import csv
import re
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol

from gateway.ingest.decode import CLOSE_BYTES, line_value
from gateway.ingest.formats.files.events import Row, Trouble
from gateway.model.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Characters of one record, and lines that it may go over: what is longer is a quote that nobody has closed.
MOST_CHARS, MOST_LINES = 131_072, 500
#: Characters that may stand between two cells, as they are looked for.
DELIMITERS = ",;\t|"
#: What a spreadsheet writes on a line before the names to say what stands between cells.
_SAYS = re.compile(r"sep=(.)", re.IGNORECASE)
#: Google Ads' line before the names: https://support.google.com/google-ads/answer/7014069
_PARAMETERS = re.compile(r"\"?Parameters:.*?TimeZone=([^;,\"]+)", re.IGNORECASE)
#: Lines before the names that are there to be read by people.
_REMARK = re.compile(r"\"?(###|# |Parameters:)", re.IGNORECASE)
#: What cannot be decoded is kept as half a character, or replaced.
_BAD = re.compile("[\ud800-\udfff\ufffd]")

UNDECODED = ("invalid_utf8", 'not text in the file\'s encoding; `encoding` in a mapping says another, such as "cp1252"')


NOT_CSV = f"not a row of CSV: a quote that is not closed, text behind one that is, or more than {MOST_CHARS} characters"


class Text(Protocol):
    """A text stream, as `io.TextIOWrapper` is one."""

    def readline(self, size: int = -1, /) -> str:
        """The next line, with its end; of a long one, `size` characters."""


class Head(NamedTuple):
    """What stands before the rows of CSV."""

    names: list[str]
    delimiter: str
    #: The time zone that it tells; empty if it tells none.
    zone: str
    #: Lines that it takes.
    lines: int
    #: A line that was read already, and is a row.
    first: str = ""


def head(text: Text, delimiter: str | None, names: tuple[str, ...]) -> Head:
    """Read what stands before the rows. `names`: of the columns, if the file does not tell them."""
    if names:
        line = text.readline(MOST_CHARS + 1)
        return Head(list(names), delimiter or sniffed(line), "", 0, line)
    zone, number = "", 0
    while line := text.readline(MOST_CHARS):
        number += 1
        if said := _SAYS.fullmatch(line.strip()):
            delimiter = delimiter or said[1]
        elif match := _PARAMETERS.match(line):
            zone = match[1].strip()
        elif line.strip(" \t\r\n\ufeff,;|") and not _REMARK.match(line):
            break
    delimiter = delimiter or sniffed(line)
    lines = _Lines(text, number - 1, first=line)
    try:
        found = next(csv.reader(lines, delimiter=delimiter, strict=True), [])
    except (csv.Error, _TooMuch):
        found = []
    while found and not found[-1].strip():
        found.pop()
    return Head(found, delimiter, zone, lines.number)


def sniffed(line: str) -> str:
    """What most probably stands between two cells."""
    outside = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=outside.count)


def csv_rows(text: Text, after: Head, width: int) -> Iterator[Row | Trouble]:
    """The rows of CSV, each of `width` cells; of `None` where nothing stands, since it counts."""
    lines = _Lines(text, after.lines, after.first)
    reader = csv.reader(lines, delimiter=after.delimiter, strict=True)
    while True:
        lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooMuch):
            lines.step_back()
            yield Trouble(lines.began, "", "", "malformed_csv", NOT_CSV)
            continue
        if lines.bad:
            yield Trouble(lines.began, "", "", *UNDECODED)
        elif len(cells) != width and (found := _misshapen(cells, width)):
            yield Trouble(lines.began, "", "", "malformed_csv", found)
        else:
            yield Row(lines.began, cells if any(map(str.strip, cells)) else None, lines.odd)


def _misshapen(cells: list[str], width: int) -> str:
    """What is wrong with a row of another number of cells; empty if nothing is: it is then as wide as it should be."""
    if any(map(str.strip, cells)) and (len(cells) < width or any(map(str.strip, cells[width:]))):
        return f"a row of {len(cells)} cells, where the first line has {width}"
    del cells[width:]
    return ""


def ndjson_rows(text: Text) -> Iterator[Row | Trouble]:
    """The lines of NDJSON; of `None` where nothing stands."""
    number = 0
    while line := text.readline(MOST_CHARS + 1):
        number += 1
        if len(line) > MOST_CHARS and not line.endswith("\n"):
            _skip(text)
            yield Trouble(number, "", "", "too_long", f"expected at most {MOST_CHARS} characters in a line")
            continue
        if not line.isascii() and _BAD.search(line):
            yield Trouble(number, "", "", *UNDECODED)
            continue
        value = line_value(line.encode()) if line.strip() else None
        if isinstance(value, Fault):
            yield Trouble(number, "", value.path, value.code, value.message)
        else:
            yield Row(number, value, is_odd(line))


def is_odd(line: str) -> bool:
    """Whether there may be a NUL character in it, or uncommonly much."""
    return "\0" in line or "\\u0000" in line or len(line) > CLOSE_BYTES


class _TooMuch(Exception):  # an expected outcome of one row
    """A record goes on for too long."""


class _Lines:
    """Lines for the parser of CSV, which takes as many as a record has; those of a record that is none come again."""

    def __init__(self, text: Text, line: int, first: str = "") -> None:
        self._text = text
        self._again: deque[str] = deque([first] if first else [])
        self._taken: list[str] = []
        self._chars = 0
        #: Of the last line that was taken.
        self.number = line
        #: Of the record's first line.
        self.began = line + 1
        #: Something in the record could not be decoded; something has to be looked at closely.
        self.bad = self.odd = False

    def begin(self) -> None:
        """A new record."""
        self._taken.clear()
        self._chars, self.bad, self.odd = 0, False, False
        self.began = self.number + 1

    def step_back(self) -> None:
        """Only the first line of the record was wrong: those after it come again."""
        self._again.extendleft(reversed(self._taken[1:]))
        self.number = self.began

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._text.readline(MOST_CHARS + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._taken.append(line)
        self._chars += len(line)
        if self._chars > MOST_CHARS or len(self._taken) > MOST_LINES:
            if len(line) > MOST_CHARS and line[-1] not in "\r\n":
                _skip(self._text)
            raise _TooMuch
        if not line.isascii() and _BAD.search(line):
            self.bad = True
        if is_odd(line):
            self.odd = True
        return line


def _skip(text: Text) -> None:
    """Read to the end of a line that is too long."""
    while (more := text.readline(MOST_CHARS)) and more[-1] not in "\r\n":
        pass
