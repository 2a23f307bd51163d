"""The operator's own words for a file: a document of TOML → `Mapping`, or one `ConfigError` with all that is wrong."""

from __future__ import annotations

import codecs
import hashlib
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import time as time_of_day
from typing import Any

import msgspec

from gateway.config.faults import Faults, KeyPath, check
from gateway.ingest.formats.files.cells import Manner, Unread, zone_of
from gateway.ingest.formats.files.places import Place, place
from gateway.schema import EVENT_SCHEMA, explain_errors, load_schema

SCHEMA = "import-map.schema.json"

#: Encodings in which a comma is more than a byte.
WIDE = ("utf-16", "utf-32")
#: What all others write as ASCII does; some codecs of Python are no encodings.
_PROBE = rb'a,"b";\\x41'

#: Every column that is not understood.
ANY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """What the operator says of a file."""

    #: Name of a column → its places.
    columns: Table[str, tuple[Place, ...]] = field(default_factory=dict)
    #: Names of columns that are left out; `*` for any that is not understood.
    ignore: frozenset[str] = frozenset()
    #: Path → what holds for every row.
    constants: Table[str, Any] = field(default_factory=dict)
    #: Path → what cells say, in lower case → what it means.
    values: Table[str, Table[str, str | float | bool]] = field(default_factory=dict)
    #: Paths that make up the event's id.
    event_id: tuple[str, ...] = ()
    group_by: str | None = None
    manner: Manner = field(default_factory=Manner)
    #: `csv` or `ndjson`; `None`: the file tells.
    format: str | None = None
    delimiter: str | None = None
    encoding: str | None = None
    #: Names of columns of a file that has none.
    header: tuple[str, ...] = ()
    #: SHA-256 of all of it.
    fingerprint: bytes = b""


def mapping(
    data: Table[str, Any], name: str, *, constants: Sequence[str] = (), timezone: str | None = None, lax: bool = False
) -> Mapping:
    """Check a document and give it shape.

    `name`: the file's, for messages. What the command line says goes before what the file does: `constants` as
    `PATH=VALUE`, the `timezone`, and `lax`: whatever is not understood is left out. Raises `ConfigError`.
    """
    faults = Faults(name)
    given = {**data, "values": _by_path(data["values"])} if isinstance(data.get("values"), dict) else dict(data)
    if timezone is not None:
        given["timezone"] = timezone
    if lax:
        given["ignore"] = [*given.get("ignore", ()), ANY]
    check(given, load_schema(SCHEMA), faults, (), frozenset())
    faults.raise_any()
    manner = _manner(given, faults)
    held = _constants(given.get("constants", {}), constants, manner, faults)
    made = Mapping(
        columns=_columns(given.get("columns", {}), faults),
        ignore=frozenset(given.get("ignore", ())),
        constants=held,
        values=_values(given.get("values", {}), faults),
        event_id=tuple(_path(one, ("event_id", at), faults) for at, one in enumerate(given.get("event_id", ()))),
        group_by=_path(given["group_by"], ("group_by",), faults) if "group_by" in given else None,
        manner=manner,
        format=given.get("format"),
        delimiter=given.get("delimiter"),
        encoding=_encoding(given.get("encoding"), faults),
        header=tuple(given.get("header", ())),
        fingerprint=hashlib.sha256(msgspec.json.encode([given, held], order="deterministic")).digest(),
    )
    faults.raise_any()
    return made


def _by_path(table: Table[str, Any], before: str = "") -> dict[str, Any]:
    """`[values.consent.ad_user_data]` is the same as `[values."consent.ad_user_data"]`."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
            found |= _by_path(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = value
    return found


def _place(path: str, at: KeyPath, faults: Faults) -> Place | None:
    try:
        return place(path)
    except ValueError as error:
        faults.add(at, str(error))
        return None


def _path(path: str, at: KeyPath, faults: Faults) -> str:
    found = _place(path, at, faults)
    return path if found is None else found.path


def _columns(table: Table[str, Any], faults: Faults) -> dict[str, tuple[Place, ...]]:
    found = {}
    for name, paths in table.items():
        given = [paths] if isinstance(paths, str) else paths
        places = (_place(one, ("columns", name), faults) for one in given)
        found[name] = tuple(one for one in places if one is not None)
    return found


def _values(table: Table[str, Table[str, Any]], faults: Faults) -> dict[str, dict[str, Any]]:
    return {
        _path(path, ("values", path), faults): {text.strip().casefold(): means for text, means in rows.items()}
        for path, rows in table.items()
    }


def _manner(given: Table[str, Any], faults: Faults) -> Manner:
    zone = None
    if "timezone" in given:
        try:
            zone = zone_of(given["timezone"])
        except Unread as error:
            faults.add(("timezone",), error.message)
    times = given.get("time_format", ())
    return Manner(
        decimal=given.get("decimal"),
        times=(times,) if isinstance(times, str) else tuple(times),
        zone=zone,
        day_time=_day_time(given.get("time_of_day", "12:00"), faults),
        between=given.get("separator", ""),
        empty=frozenset(one.strip().casefold() for one in given.get("empty", ())),
    )


def _day_time(text: str, faults: Faults) -> time_of_day:
    try:
        return time_of_day.fromisoformat(text)
    except ValueError:
        faults.add(("time_of_day",), 'expected a time of day like "12:00"')
        return time_of_day()


def _encoding(name: str | None, faults: Faults) -> str | None:
    if name is None:
        return None
    try:
        found = codecs.lookup(name).name
        decoder = codecs.getincrementaldecoder(found)("surrogateescape")
        if found.startswith(WIDE) or decoder.decode(_PROBE, final=True) == _PROBE.decode("ascii"):
            return found
    except (LookupError, UnicodeError):
        pass
    faults.add(("encoding",), 'no such encoding; expected one like "cp1252", "latin-1" or "utf-16"')
    return None


def _constants(table: Table[str, Any], more: Sequence[str], manner: Manner, faults: Faults) -> dict[str, Any]:
    """Path → value, from the file and from the command line."""
    found: dict[str, Any] = {}
    for head, value in table.items():
        inner = {f"{head}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {head: value}
        for path, one in inner.items():
            if where := _place(path, ("constants", *path.split(".", 1)), faults):
                found[where.path] = one
    for text in more:
        path, equals, value = text.partition("=")
        if not equals:
            faults.add(("--set", text), "expected PATH=VALUE")
        elif where := _place(path.strip(), ("--set", path), faults):
            try:
                found[where.path] = manner.value(where, value.strip(), 0.0) if value.strip() else ""
            except Unread as error:
                faults.add(("--set", path), error.message)
    _check_constants(found, faults)
    return found


def _check_constants(found: Table[str, Any], faults: Faults) -> None:
    """Whether the event's schema would take them, so that it is heard once and not on every row."""
    probe: dict[str, Any] = {"event_name": "Purchase"}
    for path, value in found.items():
        where = place(path)
        if where.is_content:
            faults.add(("constants", *path.split(".", 1)), "a product's keys come from columns")
            continue
        head, *rest = where.steps
        if rest:
            probe.setdefault(head, {})[rest[0]] = value
        else:
            probe[head] = value
    try:
        wrong = explain_errors(load_schema(EVENT_SCHEMA), probe)
    except (TypeError, ValueError):  # dates of TOML
        faults.add(("constants",), "expected texts, numbers, true or false; put a date or time in quotes")
        return
    for fault in wrong:
        faults.add(("constants", *fault.path.strip("/").split("/", 1)), fault.message)
