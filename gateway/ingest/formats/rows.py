"""Tables of foreign fields: each row says where a value of another format stands in the canonical event.

A door of another format is lenient where that format is: what cannot stand at its place is left out, with a note for
the sender, rather than costing the event. Only what changes its meaning (`STRICT`) is left to the schema, which refuses
it.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

#: Places whose value may be wrong, but never missing for it: the schema judges, and says so.
STRICT = frozenset(
    {"event_name", "event_id", "event_time", "action_source", "custom_data.value", "custom_data.currency", "consent"}
)
#: Notes on one event; keys of one object, and characters of a key.
MOST_NOTES, MOST_KEYS, LONGEST_KEY = 20, 150, 128
MISFIT = "not what can stand there"
#: Products of one event; further ones are left out.
MOST_ITEMS = 500

_NAMEABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,49}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
#: Digits behind the point that an amount has at most. Sums of programs have more: 59.980000000000004.
PLACES = Decimal(1).scaleb(-10)
_LONG = Context(prec=64)


def same(value: Any) -> Any:
    """As it is."""
    return value


def text(value: Any) -> str | None:
    """A text, also of a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return value if isinstance(value, str) else str(value)


def texts(value: Any) -> list[str] | None:
    """Texts of one or several; what is none of them is not among them."""
    found = [one for entry in (value if isinstance(value, list) else [value]) if (one := text(entry))]
    return list(dict.fromkeys(found)) or None


def first(value: Any) -> str | None:
    """The first text of one or several."""
    found = texts(value)
    return found[0] if found else None


def listed(value: Any) -> list[Any] | None:
    """A list, of one value too; nulls are not in it."""
    found = [one for one in (value if isinstance(value, list) else [value]) if one not in (None, "")]
    return found or None


def number(value: Any) -> int | float | None:
    """A number, also from its text."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = int(value) if value.strip().lstrip("-").isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def amount(value: Any) -> Any:
    """An amount as it was sent, without blanks around it; whether it is one, the schema says.

    A text with more digits behind the point than an event takes, or with an exponent, is rounded.
    """
    found = value.strip() if isinstance(value, str) else value
    return decimal(Decimal(found)) if isinstance(found, str) and _NUMBER.fullmatch(found) else found


def decimal(value: Decimal) -> str:
    """A decimal number as an event takes it, with no more digits behind the point than that."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= PLACES.as_tuple().exponent:  # type: ignore[operator]
        return f"{value:f}"
    found = f"{value.quantize(PLACES, context=_LONG):f}".rstrip("0").rstrip(".")
    return found if found.strip("-0.") else "0"


def switch(value: Any) -> bool | None:
    """Yes or no, also as a number or a text."""
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    return words.get(str(value).lower()) if isinstance(value, bool | int | float | str) else None


class Row(NamedTuple):
    """One field: its key in the other format, its place in the event, and how the value is written there."""

    key: str
    #: `user_data.email`; a key alone is one of the event's own.
    to: str
    #: `None` from it: nothing that could stand there.
    as_: Callable[[Any], Any] = same


class Making:
    """An event in the making."""

    __slots__ = ("event", "notes")

    def __init__(self) -> None:
        self.event: dict[str, Any] = {}
        #: What was left out, in the other format's words, for people. No value is in it.
        self.notes: list[str] = []

    def take(self, rows: Iterable[Row], given: Mapping[str, Any], at: str = "") -> None:
        """Put what the rows name into the event; the first of several keys for one place stands."""
        for row in rows:
            if (value := given.get(row.key)) is not None and value != "":
                self.put(row.to, row.as_(value), f"{at}{row.key}")

    def put(self, to: str, value: Any, at: str) -> None:
        """Put a value at its place, if it may stand there. `at`: where it came from."""
        part, _, key = to.rpartition(".")
        if to in STRICT or (value is not None and schema.fits(part, key, value)):
            place = self.event.setdefault(part, {}) if part else self.event
            place.setdefault(key, value)
        else:
            self.note(at, MISFIT)

    def note(self, at: str, why: str) -> None:
        """Remember what was left out."""
        if len(self.notes) < MOST_NOTES:
            self.notes.append(f"{at}: left out, {why}")

    def unknown(self, given: Mapping[str, Any], known: Container[str], at: str = "") -> None:
        """Remember the keys that nothing is known of."""
        for key in given:
            if key not in known:
                self.note(named(at, key), "not known here")

    def free(self, given: Mapping[str, Any], taken: Container[str], at: str) -> None:
        """Keys of the sender's own into `custom_data`. One that means something else there may not cost the event."""
        place = self.event.setdefault("custom_data", {})
        for key, value in given.items():
            if key in taken or value is None or value == "":
                continue
            if len(key) > LONGEST_KEY or len(place) >= MOST_KEYS:
                self.note(named(at, key), "too many keys, or too long a key")
            elif not schema.fits("custom_data", key, value):
                self.note(named(at, key), MISFIT)
            else:
                place.setdefault(key, value)


def items(rows: Iterable[Row], given: Any, making: Making, at: str) -> None:
    """A list of products into `custom_data.contents`."""
    if not isinstance(given, list):
        making.note(at, "not a list")
        return
    found = []
    for index, entry in enumerate(given[:MOST_ITEMS]):
        if not isinstance(entry, dict):
            making.note(f"{at}[{index}]", "not an object")
            continue
        item: dict[str, Any] = {}
        for row in rows:
            if (value := entry.get(row.key)) is None or value == "":
                continue
            if (new := row.as_(value)) is not None and schema.fits("content", row.to, new):
                item.setdefault(row.to, new)
            else:
                making.note(f"{at}[{index}].{row.key}", MISFIT)
        if item:
            found.append(item)
    if len(given) > MOST_ITEMS:
        making.note(at, f"only {MOST_ITEMS} of them")
    if found:
        making.put("custom_data.contents", found, at)


def named(at: str, key: str) -> str:
    """A sender's own key as a note may name it: what looks like an address or a number may be personal data."""
    return f"{at}{key}" if _NAMEABLE.fullmatch(key) else f"{at}…"
