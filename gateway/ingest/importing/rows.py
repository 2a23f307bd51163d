"""An open file and what the operator says of it → its rows, and how events are made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from gateway.config.faults import Faults
from gateway.ingest.formats.files.cells import Unread, zone_of
from gateway.ingest.formats.files.plan import Plan, plan
from gateway.ingest.formats.files.reading import csv_rows, head, ndjson_rows
from gateway.ingest.importing.file import Opened, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.ingest.formats.files.events import Row, Trouble
    from gateway.ingest.formats.files.mapping import Mapping


class Rows(NamedTuple):
    """What a file holds."""

    #: `csv` or `ndjson`.
    format: str
    #: `None`: its lines are events already.
    plan: Plan | None
    rows: Iterator[Row | Trouble]


def rows(file: Opened, mapping: Mapping, *, mapped: bool, strict: bool) -> Rows:
    """Begin to read a file.

    `mapped`: the operator says something of it; else NDJSON is taken as it is. `strict`: a column that is not
    understood is a fault. Raises `ConfigError` for what is wrong with the mapping or the names of columns.
    """
    kind = mapping.format or file.format()
    if kind == "ndjson":
        found = plan(mapping, None, Faults(file.name)) if mapped else None
        return Rows(kind, found, _read(file, ndjson_rows(file.text(mapping.encoding, "\n"))))
    text = file.text(mapping.encoding, "")
    faults = Faults(file.name)
    with readable(file.name):
        first = head(text, mapping.delimiter, mapping.header)
    if first.zone and mapping.manner.zone is None:
        try:
            mapping = replace(mapping, manner=replace(mapping.manner, zone=zone_of(first.zone)))
        except Unread as error:
            faults.add(("Parameters", "TimeZone"), error.message)
    made = plan(mapping, first.names, faults)
    if strict:
        for name, what in made.unknown:
            faults.add((name,), f"a column that is not understood: {what}")
    faults.raise_any()
    return Rows(kind, made, _read(file, csv_rows(text, first, made.width)))


def _read(file: Opened, found: Iterator[Row | Trouble]) -> Iterator[Row | Trouble]:
    with readable(file.name):
        yield from found
