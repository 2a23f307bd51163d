"""`[sources.NAME.segment]`: what the operator changes of how the Segment door reads events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.config.faults import hint

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.config.faults import Faults, KeyPath

_BETWEEN = re.compile(r"[\s_-]+")


def plain(name: str) -> str:
    """A name as it is looked up: case, blanks, `_` and `-` do not count."""
    return _BETWEEN.sub("", name).casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """How calls of the Segment door become events. All names are `plain`."""

    #: Name of a `track` call → event name; `False`: left out, `True`: under its own name. Changes to the shipped table.
    events: Mapping[str, str | bool] = field(default_factory=dict)
    #: What a `page` and a `screen` call are; `False`: left out.
    page: str | bool = "PageView"
    screen: str | bool = "PageView"
    #: Properties that say an event's worth; the first that is there counts.
    value: tuple[str, ...] = ("value", "revenue", "total")
    #: Category of the site's consent banner → flags that it stands for.
    consent_categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Name in `integrations` → destinations.
    integrations: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def segment(table: Mapping[str, Any]) -> Segment:
    """The table, which fits the schema, its defaults filled in."""
    return Segment(
        events={plain(name): change for name, change in table["events"].items()},
        page=table["page"],
        screen=table["screen"],
        value=tuple(map(plain, table["value"])),
        consent_categories={plain(name): tuple(flags) for name, flags in table["consent_categories"].items()},
        integrations={plain(name): _several(names) for name, names in table["integrations"].items()},
    )


def check(one: Segment, destinations: Collection[str], faults: Faults, at: KeyPath) -> None:
    """Each name in `integrations` leads to destinations that there are."""
    for name, instances in one.integrations.items():
        for instance in instances:
            if instance not in destinations:
                faults.add((*at, "integrations", name), f"no destination {instance}{hint(instance, destinations)}")


def _several(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
