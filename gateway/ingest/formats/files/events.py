"""Rows as canonical events: one row, or the consecutive rows of one order."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.ingest.enrich import ID_FROM, LONGEST_ID
from gateway.ingest.formats.files.cells import UNIX_MS, Unread
from gateway.ingest.formats.files.places import Kind, place
from gateway.ingest.formats.files.plan import Column, Finder, Plan, shown, what_to_do
from gateway.schema import pointer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Events that cannot have happened on a website → where they happened, unless the file says so itself.
ACTION_SOURCES = dict.fromkeys(("QualifiedLead", "ConvertedLead", "DisqualifiedLead"), "system_generated")
#: The event whose amount is what was given back, so that a minus before it says nothing more.
REFUND = "Refund"
#: Parts of an event that do not make it another event.
BESIDE = ("consent", "context", "destinations", "test")
#: How deep objects of NDJSON are looked into for columns.
DEPTH = 5
#: How an id that was derived begins, and its size in bytes.
DERIVED, ID_BYTES = "row-", 16


class Row(NamedTuple):
    """One record of a file."""

    #: Line that it begins on, from 1, as an editor counts.
    line: int
    #: Of CSV: the cells' texts. Of NDJSON: an object, if it is one. `None`: nothing stands there.
    cells: Any
    #: It has to be looked at closely: see `gateway.ingest.decode`.
    odd: bool = False


class Trouble(NamedTuple):
    """One thing wrong with a row, or worth a warning. Never holds what the row says."""

    line: int
    #: Name of the column; empty if it is the row as a whole.
    column: str
    #: JSON pointer into the event.
    path: str
    code: str
    message: str


class Translated(NamedTuple):
    """What a row, or a group of rows, came to."""

    rows: Sequence[Row]
    #: `None` with troubles: refused; without: left out, as the mapping says.
    event: dict[str, Any] | None
    troubles: Sequence[Trouble] = ()

    @property
    def line(self) -> int:
        """The line that it begins on."""
        return self.rows[0].line


class _LeftOut(Exception):  # an expected outcome of one row
    """The mapping says that rows like this one are none."""


class Translator:
    """Makes events of rows, as a plan has it."""

    def __init__(self, plan: Plan, key: bytes) -> None:
        """`key`: of the hashes that stand in for ids."""
        self.plan = plan
        self._finder = Finder(plan.mapping)
        self._indexes = [one.at for one in plan.columns]
        self._key = key
        self._nested = [(place(path).steps, value) for path, value in plan.mapping.constants.items()]
        self._by_id = any(path.startswith("user_data.") for path in plan.mapping.event_id)
        self._group = next((one for one in plan.columns if one.place.path == plan.mapping.group_by), None)

    @property
    def groups(self) -> bool:
        """Whether several rows may tell of one event."""
        return self._group is not None

    def takes(self, row: Row) -> bool:
        """Whether it can be an event at all: a line of NDJSON may hold anything."""
        return isinstance(row.cells, list if self.plan.width else dict)

    def same_event(self, one: Row, other: Row) -> bool:
        """Whether two consecutive rows tell of one event."""
        if self._group is None:
            return False
        first, second = ((row.cells[self._group.at]).strip() for row in (one, other))
        return bool(first) and first == second

    def translate(self, rows: Sequence[Row], now: float) -> Translated:
        """The event of one row, or of a group of rows."""
        event: dict[str, Any] = {}
        troubles: list[Trouble] = []
        try:
            for row in rows:
                self._fill(event, row, troubles, now)
        except _LeftOut:
            return Translated(rows, None)
        for steps, value in self._nested:
            part = event if len(steps) == 1 else event.setdefault(steps[0], {})
            part.setdefault(steps[-1], value)
        self._finish(event, rows, troubles)
        return Translated(rows, None if troubles else event, tuple(troubles))

    def _fill(self, event: dict[str, Any], row: Row, troubles: list[Trouble], now: float) -> None:
        product: dict[str, Any] = {}
        for column, cell in self._cells(row, troubles):
            if cell == "" and column.values is None:
                continue
            try:
                value = _value(column, cell, now)
            except Unread as error:
                troubles.append(_trouble(row, column, error.code, error.message))
                continue
            if value is None:
                continue
            where = column.place
            steps = where.steps
            key = steps[-1]
            if len(steps) == 2:
                part = event.get(steps[0])
                if part is None:
                    part = event[steps[0]] = {}
            else:
                part = event if len(steps) == 1 else product
            if key not in part:
                part[key] = value
            elif where.many:
                part[key] = _both(part[key], value)
            elif part[key] != value:
                words = "told before for the same event, and differently"
                troubles.append(_trouble(row, column, "rows_differ", words))
        if product and isinstance(held := event.setdefault("custom_data", {}).setdefault("contents", []), list):
            held.append(product)

    def _cells(self, row: Row, troubles: list[Trouble]) -> Iterable[tuple[Column, Any]]:
        cells = row.cells
        if isinstance(cells, list):
            return zip(self.plan.columns, [cells[index] for index in self._indexes], strict=True)
        return self._keys(row.line, cells, "", DEPTH, troubles)

    def _keys(
        self, line: int, value: Mapping[str, Any], before: str, depth: int, troubles: list[Trouble]
    ) -> Iterable[tuple[Column, Any]]:
        """The keys of an object as columns."""
        for key, entry in value.items():
            name = f"{before}{key}"
            found = self._finder.find(name)
            if found is None and isinstance(entry, dict) and depth:
                yield from self._keys(line, entry, f"{name}.", depth - 1, troubles)
            elif found is None:
                troubles.append(Trouble(line, shown(name), "", "unknown_column", what_to_do(name)))
            else:
                for one in found:
                    yield one._replace(name=name), entry

    def _finish(self, event: dict[str, Any], rows: Sequence[Row], troubles: list[Trouble]) -> None:
        name = str(event.get("event_name"))
        if name in ACTION_SOURCES:
            event.setdefault("action_source", ACTION_SOURCES[name])
        money = event.get("custom_data", {})
        if name == REFUND and isinstance(amount := money.get("value"), int | float) and amount < 0:
            money["value"] = -amount
        if "event_time" not in event and not any(one.path == "/event_time" for one in troubles):
            column = self.plan.column_at("/event_time")
            troubles.append(Trouble(rows[0].line, column, "/event_time", "required", "required, and absent"))
        if troubles or "event_id" in event:
            return
        if self.plan.mapping.event_id:
            self._made_id(event, rows[0], troubles)
        elif not stands_in(event):
            event["event_id"] = self._derived(self._identity(rows))

    def _made_id(self, event: dict[str, Any], row: Row, troubles: list[Trouble]) -> None:
        """The id that the mapping makes of some of the event's values."""
        values = []
        for path in self.plan.mapping.event_id:
            steps = place(path).steps
            part = event if len(steps) == 1 else event.get(steps[0], {})
            if (value := part.get(steps[-1])) is None:
                where = pointer(steps)
                words = "absent, and the mapping makes the event's id of it"
                troubles.append(Trouble(row.line, self.plan.column_at(where), where, "required", words))
            values.append(str(value))
        made = "-".join(values)
        event["event_id"] = self._derived(made) if self._by_id or len(made) > LONGEST_ID else made

    def _identity(self, rows: Sequence[Row]) -> str:
        """What makes rows these rows: what their cells say, whatever is made of it and wherever they stand."""
        parts = []
        for row in rows:
            for column, cell in self._cells(row, []):
                if cell not in ("", None) and column.place.steps[0] not in BESIDE:
                    text = cell.strip() if isinstance(cell, str) else msgspec.json.encode(cell).decode()
                    parts.append(f"{column.place.path}\x1f{text}")
        return "\x1e".join(sorted(parts) if len(rows) == 1 else parts)

    def _derived(self, identity: str) -> str:
        return derived(identity.encode("utf-8", "surrogatepass"), self._key)


def plain_event(raw: Any, key: bytes) -> Any:
    """A line of NDJSON that is an event already, with an id if nothing gives it one."""
    if not isinstance(raw, dict) or raw.get("event_id") not in (None, "") or stands_in(raw):
        return raw
    told = {name: value for name, value in raw.items() if name not in BESIDE and name != "event_id"}
    return {**raw, "event_id": derived(msgspec.json.encode(told, order="deterministic"), key)}


def stands_in(event: Mapping[str, Any]) -> bool:
    """Whether the pipeline finds an id for an event that has none."""
    name, data = event.get("event_name"), event.get("custom_data")
    if not isinstance(name, str) or not isinstance(data, dict):
        return False
    found = data.get(ID_FROM.get(name, ""))
    return found not in (None, "") and len(str(found)) <= LONGEST_ID


def derived(identity: bytes, key: bytes) -> str:
    """An id that is the same for the same row. With a key, so that nobody can find out who is in it by trying."""
    return DERIVED + hashlib.blake2b(identity, key=key, digest_size=ID_BYTES).hexdigest()


def _trouble(row: Row, column: Column, code: str, message: str) -> Trouble:
    return Trouble(row.line, shown(column.name, column.at), column.place.pointer, code, message)


def _value(column: Column, cell: Any, now: float) -> Any:
    """A cell as the event holds it; `None` for an empty one. Raises `Unread`, `_LeftOut`."""
    if not isinstance(cell, str):
        if cell is None or (column.values is None and not _is_time_in_ms(column, cell)):
            return cell
        cell = msgspec.json.encode(cell).decode()
    text = cell.strip()
    manner = column.manner
    if manner.empty and text.casefold() in manner.empty:
        text = ""
    if column.values is not None:
        text = _meaning(column.values, text)
    if not text:
        return None
    return text if column.read is None else column.read(text, now)


def _is_time_in_ms(column: Column, cell: Any) -> bool:
    return column.place.kind is Kind.TIME and UNIX_MS in column.manner.times and isinstance(cell, int | float)


def _meaning(values: Mapping[str, str | float | bool], text: str) -> str:
    means = values.get(text.casefold())
    if means is None:
        means = values.get("*") if text else True
    if means is None:
        raise Unread("value_not_mapped", "a text that `values` of the mapping does not hold")
    if means is False:
        raise _LeftOut
    return text if means is True else str(means)


def _both(first: Any, second: Any) -> list[Any]:
    held = [*first] if isinstance(first, list) else [first]
    return held + [one for one in (second if isinstance(second, list) else [second]) if one not in held]
