"""The field table: which canonical field goes where in a platform's item, as rows of data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.model.delivery import Item, Skip
from gateway.plugin import compiling

if TYPE_CHECKING:
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
    #: Applied to each value: one of `gateway.plugin.convert`, or a function of your own. A `ValueError` or `TypeError`
    #: from it means that the value cannot be had: it is left out (or, if required, the event is skipped as
    #: `invalid_field`). So does a `None`.
    as_: Callable[[Any], Any] | None = None
    #: The value is a list of objects: each is mapped by this table (`custom_data.contents`).
    each: tuple[Field, ...] | None = None


def apply(fields: tuple[Field, ...], event: Event, **constants: Any) -> Item | Skip:
    """Map one event by a table. `constants` are further top-level keys of the item, left out when `None`.

    A table is turned into a function when it is first used and remembered by its identity: keep tables as constants
    of the module, do not build them for each event.
    """
    item: Item = {key: value for key, value in constants.items() if value is not None}
    failed = compiling.compiled(fields)(event, item)
    return item if failed is None else Skip(*failed)


def apply_entry(fields: tuple[Field, ...], entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """Map one object of a list (`each`); `None` when a required field is missing."""
    mapped: dict[str, Any] = {}
    failed = compiling.compiled(fields, of_entry=True)(entry, mapped)
    return mapped if failed is None else None
