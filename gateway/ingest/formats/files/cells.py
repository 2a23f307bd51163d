"""The text of a cell as a value of the event. What can be read in two ways is not guessed: it is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from datetime import time as time_of_day
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from gateway.ingest.decode import line_value
from gateway.ingest.formats.files.places import Kind
from gateway.model.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.ingest.formats.files.places import Place


class Unread(Exception):  # an expected outcome of one cell
    """A cell that cannot be read. Its text is not in here."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


#: Words for yes and no.
YES, NO = frozenset({"true", "yes", "y", "1"}), frozenset({"false", "no", "n", "0"})
#: Signs of currencies before or behind an amount. They do not say which currency it is: a dollar is many.
SIGNS = "€$£¥₹zł\u00a0\u202f "
#: Words that `time_format` may hold beside patterns.
UNIX, UNIX_MS = "unix", "unix_ms"
#: Unix seconds have nine digits since 1973; what has fewer is a date without dots, or a spreadsheet's number of days.
LEAST_DIGITS = 9
#: The time of day of a date alone, unless the mapping says another: no time zone makes another day of it.
NOON = time_of_day(12)

_NUMBER, _WHOLE = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII), re.compile(r"-?\d+", re.ASCII)
_GROUPED = {
    "point": re.compile(r"-?\d{1,3}(?:[, '’\u00a0\u202f]\d{3})*(?:\.\d+)?|-?\d+(?:\.\d+)?", re.ASCII),
    "comma": re.compile(r"-?\d{1,3}(?:[. '’\u00a0\u202f]\d{3})*(?:,\d+)?|-?\d+(?:,\d+)?", re.ASCII),
}
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?"
    r"(?: ?(Z|z|[+-]\d\d:?\d\d|[A-Za-z_]+(?:/[A-Za-z_+\-0-9]+)+))?",
    re.ASCII,
)
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
_UNIX = re.compile(r"-?\d{1,20}(?:\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Manner:
    """How the cells of one file are written."""

    #: `point` or `comma`; `None`: nobody has said, and a comma is not taken for either.
    decimal: str | None = None
    #: Patterns of `strptime`, tried before the forms that are always known; or `unix`, `unix_ms`.
    times: tuple[str, ...] = ()
    #: Of times that name none.
    zone: tzinfo | None = None
    #: Time of day of a date alone.
    day_time: time_of_day = NOON
    #: What stands between several values in one cell.
    between: str = ""
    #: Texts that say nothing, in lower case.
    empty: frozenset[str] = field(default_factory=frozenset)

    def reader(self, where: Place) -> Callable[[str, float], Any] | None:
        """What makes a value of a cell's text (stripped, not empty) at a time; `None`: the text is the value.

        It raises `Unread`.
        """
        if where.many:
            return self.several
        made = _READ.get(where.kind)
        return made.__get__(self) if made is not None else None

    def value(self, where: Place, text: str, now: float) -> Any:
        """A text as the event holds it. Raises `Unread`."""
        read = self.reader(where)
        return text if read is None else read(text, now)

    def word(self, text: str, now: float) -> str:
        """Words of a list are in lower case."""
        return text.lower()

    def amount(self, text: str, now: float) -> float:
        """A decimal number."""
        simple = _WHOLE if self.decimal == "comma" else _NUMBER
        plain = text if simple.fullmatch(text) else self._plain(text.strip(SIGNS).replace("−", "-"))
        try:
            value = float(plain)
        except ValueError:
            raise Unread("bad_format", "expected a decimal number") from None
        if value in (float("inf"), float("-inf")):
            raise Unread("out_of_range", "expected a smaller number")
        return int(value) if value.is_integer() and abs(value) < 1e15 else value

    def _plain(self, text: str) -> str:
        if self.decimal is None and "," in text:
            words = 'a comma in a number: say `decimal = "comma"` or `decimal = "point"` in the mapping'
            raise Unread("bad_format", words)
        decimal = self.decimal or "point"
        if not _GROUPED[decimal].fullmatch(text):
            raise Unread("bad_format", f"expected a number with a decimal {decimal}")
        text = re.sub(r"[ '’\u00a0\u202f]", "", text)
        return text.replace(",", "") if decimal == "point" else text.replace(".", "").replace(",", ".")

    def integer(self, text: str, now: float) -> int:
        """A whole number."""
        value = self.amount(text, now)
        if not isinstance(value, int):
            raise Unread("wrong_type", "expected a whole number")
        return value

    def switch(self, text: str, now: float) -> bool:
        """Yes or no."""
        word = text.lower()
        if word in YES:
            return True
        if word in NO:
            return False
        raise Unread("bad_format", "expected yes or no, true or false, 1 or 0")

    def json(self, text: str, now: float) -> Any:
        """JSON in a cell, read as strictly as a body."""
        found = line_value(text.encode())
        if isinstance(found, Fault):
            raise Unread(found.code, "expected JSON in the cell")
        return found

    def time(self, text: str, now: float) -> float:
        """A time as Unix seconds."""
        for pattern in self.times:
            if (seconds := self._by(pattern, text, now)) is not None:
                return seconds
        if match := _ISO.fullmatch(text):
            return self._iso(match, now)
        if _UNIX.fullmatch(text) and UNIX_MS not in self.times:
            if len(text.partition(".")[0].lstrip("-")) < LEAST_DIGITS and UNIX not in self.times:
                words = "no Unix seconds since 1973: is it a date without dots? Then say its `time_format`"
                raise Unread("bad_format", words)
            return _number(text)
        expected = " or ".join(f"`{one}`" for one in self.times) or "2026-11-20 14:03:09, RFC 3339 or Unix seconds"
        raise Unread("bad_format", f"expected a time as {expected}; `time_format` in the mapping says another form")

    def _by(self, pattern: str, text: str, now: float) -> float | None:
        if pattern in (UNIX, UNIX_MS):
            if not _UNIX.fullmatch(text):
                return None
            return _number(text) / (1000 if pattern == UNIX_MS else 1)
        try:
            found = datetime.strptime(text, pattern)  # its zone is asked for below
        except ValueError:
            return None
        return self._placed(found, now, whole_day=not any(f"%{one}" in pattern for one in "HIcXT"))

    def _iso(self, match: re.Match[str], now: float) -> float:
        day, clock, zone = match.groups()
        try:
            found = datetime.fromisoformat(f"{day}T{clock or '00:00'}")
        except ValueError:
            raise Unread("bad_format", "no such date or time") from None
        if zone is not None:
            found = found.replace(tzinfo=zone_of(zone))
        return self._placed(found, now, whole_day=clock is None)

    def _placed(self, found: datetime, now: float, *, whole_day: bool) -> float:
        zone = found.tzinfo or self.zone
        if zone is None:
            words = "a time without a time zone: say `timezone` in the mapping, or --timezone"
            raise Unread("time_without_zone", words)
        try:
            if not whole_day:
                seconds = found.replace(tzinfo=zone).timestamp()
            else:
                noon = datetime.combine(found.date(), self.day_time, zone).timestamp()
                start = datetime.combine(found.date(), time_of_day(), zone).timestamp()
                seconds = min(noon, now) if start <= now else noon  # today is not in the future
        except (OverflowError, ValueError):
            raise Unread("bad_format", "no such date or time") from None
        return int(seconds) if seconds.is_integer() else seconds

    def several(self, text: str, now: float) -> Any:
        """One text or several."""
        if text.startswith("[") and isinstance(found := line_value(text.encode()), list):
            return found
        if not self.between or self.between not in text:
            return text
        return [one for part in text.split(self.between) if (one := part.strip())]


#: How a cell is read that is no plain text.
_READ: Mapping[Kind, Any] = {
    Kind.TIME: Manner.time,
    Kind.AMOUNT: Manner.amount,
    Kind.INTEGER: Manner.integer,
    Kind.SWITCH: Manner.switch,
    Kind.WORD: Manner.word,
    Kind.JSON: Manner.json,
}


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """A time zone by its name (`Europe/Berlin`) or offset (`+01:00`). Raises `Unread`."""
    if name.upper() in ("Z", "UTC"):
        return UTC
    if match := _OFFSET.fullmatch(name):
        apart = timedelta(hours=int(match[2]), minutes=int(match[3]))
        if apart < timedelta(hours=24):
            return timezone(-apart if match[1] == "-" else apart)
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not found, or no name of a file at all
        raise Unread("bad_format", "no such time zone; expected one like Europe/Berlin or +01:00") from None


def _number(text: str) -> float:
    seconds = float(text)
    return int(seconds) if seconds.is_integer() else seconds
