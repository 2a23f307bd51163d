"""A mapping and the names of a file's columns, put together: which cell goes where, and what is not understood."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.config.faults import Faults, hint
from gateway.ingest.formats.files import columns as usual
from gateway.ingest.formats.files.mapping import ANY, Mapping
from gateway.ingest.formats.files.places import Place, place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Mapping as Table

    from gateway.ingest.formats.files.cells import Manner

#: How like a usual name a name must be to be taken for a misspelling.
NEAR = 0.8
#: Names that may be shown: one that looks like a person's data is a row where names should be.
_SHOWABLE = re.compile(r"(?!.*\d{5})[^@\x00-\x1f\ud800-\udfff]{1,60}")
#: What each event of a file must be told by somebody.
NEEDED = {
    "event_name": "say `event_name` in `columns` or `constants`, or --set event_name=Purchase",
    "event_time": "say in `columns` which one tells when it happened",
}


class Column(NamedTuple):
    """One column and one place that its cells go to."""

    #: Its number in a row, from 0.
    at: int
    #: As the file names it.
    name: str
    place: Place
    manner: Manner
    #: What its cells say, in lower case → what that means.
    values: Table[str, str | float | bool] | None
    #: What makes a value of a text at a time; `None`: the text is the value.
    read: Callable[[str, float], Any] | None


class Plan(NamedTuple):
    """What becomes of the cells of a row."""

    mapping: Mapping
    columns: tuple[Column, ...]
    #: Number of columns in the file.
    width: int
    #: Names that are not understood, with what to do about each.
    unknown: tuple[tuple[str, str], ...] = ()
    #: Names of those that are left out.
    ignored: tuple[str, ...] = ()

    def column_at(self, pointer: str) -> str:
        """The name of the column that a place in the event comes from; empty if it comes from none."""
        path = re.sub(r"/\d+(?=/|$)", "", pointer).strip("/").replace("/", ".")
        while path:
            names = dict.fromkeys(shown(one.name, one.at) for one in self.columns if one.place.path == path)
            if names:
                return ", ".join(names)
            path = path.rpartition(".")[0]
        return ""


def plan(mapping: Mapping, names: Sequence[str] | None, faults: Faults) -> Plan:
    """Put a mapping and the names of columns together; what cannot be goes to `faults`.

    `None`: each row names its own columns, so that only with the row it is known what cannot be.
    """
    if names is None:
        return Plan(mapping, (), 0)
    finder = Finder(mapping)
    columns: list[Column] = []
    unknown: list[tuple[str, str]] = []
    ignored: list[str] = []
    for index, name in enumerate(names):
        found = finder.find(name)
        if found is None:
            unknown.append((shown(name, index), what_to_do(name)))
        elif not found and (name.strip() or ANY in mapping.ignore):
            ignored.append(shown(name, index))
        else:
            columns += [one._replace(at=index, name=name) for one in found]
    if not names:
        faults.add(("line 1",), "names of columns are expected there, or in `header` of a mapping")
        return Plan(mapping, (), 0)

    if all(not _SHOWABLE.fullmatch(one) or one.strip().replace(".", "").isdigit() for one in names):
        faults.add(("line 1",), "it looks like a row, not like names of columns: name them in `header` of a mapping")
        return Plan(mapping, (), len(names))
    _check(mapping, columns, faults)
    for name in mapping.columns.keys() - finder.used:
        faults.add(("columns", name), f"the file has no such column{hint(name, names)}")
    return Plan(mapping, tuple(columns), len(names), tuple(unknown), tuple(ignored))


def _check(mapping: Mapping, columns: Sequence[Column], faults: Faults) -> None:
    by_path: dict[str, list[Column]] = {}
    for one in columns:
        by_path.setdefault(one.place.path, []).append(one)
    for path, found in by_path.items():
        if len(found) > 1 and not found[0].place.many:
            names = ", ".join(shown(one.name, one.at) for one in found)
            faults.add(("columns",), f"more than one column tells `{path}`: {names}; put all but one into `ignore`")
        if path.startswith("consent.") and path in mapping.constants:
            words = f"the column {shown(found[0].name, found[0].at)} tells it too; consent comes from one of them"
            faults.add(("constants", *path.split(".")), words)
    told = by_path.keys() | mapping.constants.keys()
    for path, what in NEEDED.items():
        if path not in told:
            faults.add((path,), f"no column tells it: {what}")
    for key, paths in (("event_id", mapping.event_id), ("group_by", filter(None, [mapping.group_by]))):
        for path in paths:
            if path not in told:
                faults.add((key,), f"no column tells `{path}`")
    for path in mapping.values.keys() - by_path.keys():
        faults.add(("values", path), "no column tells it")


class Finder:
    """Finds the places of a column by its name: the mapping's word first, then the usual one."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        #: Names of `columns` that were asked for.
        self.used: set[str] = set()
        self._plain = {usual.plain(name): name for name in mapping.columns}
        self._ignored = {usual.plain(name) for name in mapping.ignore - {ANY}}
        self._kept: dict[str, tuple[Column, ...] | None] = {}

    def find(self, name: str) -> tuple[Column, ...] | None:
        """The column, once for each of its places; none if it is left out; `None` if it is not understood."""
        name = name.strip()
        if name not in self._kept:
            if len(self._kept) > 2000:  # keys of NDJSON may be anything
                self._kept.clear()
            self._kept[name] = self._find(name)
        return self._kept[name]

    def _find(self, name: str) -> tuple[Column, ...] | None:
        plain = usual.plain(name)
        own = name if name in self.mapping.columns else self._plain.get(plain)
        if own is not None and (own == name or plain):
            self.used.add(own)
            return tuple(self._column(one) for one in self.mapping.columns[own])
        if not name or name in self.mapping.ignore or plain in self._ignored:
            return ()
        path = usual.known().get(plain)
        if path is not None and plain not in usual.unclear():
            return (self._column(place(path), usually=plain),)
        return () if ANY in self.mapping.ignore else None

    def _column(self, where: Place, usually: str = "") -> Column:
        manner = self.mapping.manner
        if usually == CONVERSION_TIME and not manner.times:
            manner = replace(manner, times=usual.GOOGLE_ADS_TIMES)
        return Column(0, "", where, manner, self.mapping.values.get(where.path), manner.reader(where))


#: The column whose forms of times are known by its name.
CONVERSION_TIME = usual.plain("Conversion Time")


def what_to_do(name: str) -> str:
    """What to do about a column that is not understood."""
    unclear = usual.unclear().get(usual.plain(name))
    if unclear is not None:
        return f"it may be {unclear}: say which in `columns`, or name it in `ignore`"
    near = get_close_matches(usual.plain(name), usual.known(), 1, NEAR) if _SHOWABLE.fullmatch(name) else []
    meant = f"; did you mean `{usual.known()[near[0]]}`?" if near else ""
    return f"say its path in `columns` (`custom_data.…` for one of your own), or name it in `ignore`{meant}"


def shown(name: str, index: int | None = None) -> str:
    """A column's name as messages may show it, else its number from 1, if it has one."""
    if name.strip() and _SHOWABLE.fullmatch(name.strip()):
        return name.strip()
    return "a key" if index is None else f"column {index + 1}"
