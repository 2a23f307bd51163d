"""The field table: which canonical field goes where in a platform's item, as rows of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, TypeAlias

from gateway.model.delivery import Item, Skip
from gateway.model.event import Event

Source: TypeAlias = str | Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One row: `Field("user.em", "digests.email", many=True)`.

    A value that is absent (`None`, `""`, an empty list or object) leaves the field out.
    """

    #: Dotted path in the platform's item.
    to: str
    #: Dotted path of the canonical event (`event_id`, `custom_data.value`, `digests.email`), of the entry inside
    #: `each`, or a pure function of it.
    source: Source
    #: Without it the event is skipped: `missing_field`.
    required: bool = False
    #: The platform wants a list: a single value is wrapped. Without it, the first of several is taken.
    many: bool = False
    #: Applied to each value. A `ValueError` or `TypeError` from it means that the value cannot be had: it is left
    #: out (or, if required, the event is skipped as `invalid_field`). So does a `None`.
    as_: Callable[[Any], Any] | None = None
    #: The value is a list of objects: each is mapped by this table (`custom_data.contents`).
    each: tuple[Field, ...] | None = None
    # The two paths taken apart, once: rows are read for every event.
    _steps: tuple[str, ...] = dataclass_field(init=False, repr=False, compare=False)
    _parents: tuple[str, ...] = dataclass_field(init=False, repr=False, compare=False)
    _last: str = dataclass_field(init=False, repr=False, compare=False)
    _plain: bool = dataclass_field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        *parents, last = self.to.split(".")
        steps = tuple(self.source.split(".")) if isinstance(self.source, str) else ()
        taken_apart = {"_steps": steps, "_parents": tuple(parents), "_last": last}
        taken_apart["_plain"] = self.as_ is None and self.each is None
        for name, value in taken_apart.items():
            object.__setattr__(self, name, value)


def apply(fields: Iterable[Field], event: Event, **constants: Any) -> Item | Skip:
    """Map one event by a table. `constants` are further top-level keys of the item, left out when `None`."""
    item: Item = {key: value for key, value in constants.items() if value is not None}
    for row in fields:
        value = _read(row, event)
        if value is None:
            if row.required:
                return Skip("missing_field", _name(row.source))
            continue
        if not row._plain or row.many or isinstance(value, list | tuple):
            value = _convert(row, value)
            if value is None:
                if row.required:
                    return Skip("invalid_field", _name(row.source))
                continue
        _put(item, row, value)
    return item


def _read(row: Field, event: Event) -> Any:
    steps = row._steps
    if not steps:
        value = row.source(event)  # type: ignore[operator]  # no steps: it is a function
    else:
        value = getattr(event, steps[0])
        for step in steps[1:]:
            if not value or not isinstance(value, dict):
                return None
            value = value.get(step)
    if value or value is False or value == 0:
        return value
    return None  # None, "", an empty list or object


def _convert(row: Field, value: Any) -> Any:
    if row.each is not None:
        entries = value if isinstance(value, list | tuple) else [value]
        mapped = [_entry(row.each, entry) for entry in entries if isinstance(entry, Mapping)]
        return [entry for entry in mapped if entry] or None
    several = isinstance(value, list | tuple)
    if not row.many:
        return _as(row.as_, value[0] if several else value)
    if row.as_ is None and type(value) is tuple:  # digests: already distinct text
        return list(value)
    values = (_as(row.as_, one) for one in (value if several else (value,)))
    return list(dict.fromkeys(one for one in values if one is not None and one != "")) or None


def _entry(fields: tuple[Field, ...], entry: Mapping[str, Any]) -> dict[str, Any] | None:
    mapped: dict[str, Any] = {}
    for row in fields:
        value = entry.get(row.source) if isinstance(row.source, str) else row.source(entry)
        if value or value is False or value == 0:
            value = value if row._plain and not row.many else _convert(row, value)
        else:
            value = None
        if value is None:
            if row.required:
                return None
            continue
        _put(mapped, row, value)
    return mapped


def _as(convert: Callable[[Any], Any] | None, value: Any) -> Any:
    if convert is None:
        return value
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _put(item: dict[str, Any], row: Field, value: Any) -> None:
    for step in row._parents:
        inner = item.get(step)
        if inner is None:
            inner = item[step] = {}
        item = inner
    item[row._last] = value


def _name(source: Source) -> str:
    return source if isinstance(source, str) else source.__name__
