"""`events` and `fields` of a destination: which events it takes, under which names, and what is held back of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.config.faults import Faults, KeyPath, hint, subschema
from gateway.schema import nearest

if TYPE_CHECKING:
    from gateway.plugin.destination import Destination

#: Without these an event is none, or its copies would count twice, or the consent gate would be blind.
_NEEDED = ("event_name", "event_id", "event_time", "action_source", "consent", "destinations", "test")

#: Objects that may hold keys of the sender's own.
_OPEN = ("custom_data.", "context.")


@dataclass(frozen=True, slots=True)
class Taken:
    """Which events an instance takes: see the fields of the same names in `Instance`."""

    names: Mapping[str, str]
    custom_names: bool
    left_out: frozenset[str]


def taken(
    destination: Destination,
    config: Mapping[str, Any],
    events: Sequence[str] | Mapping[str, str | bool] | None,
    faults: Faults,
    at: KeyPath,
) -> Taken:
    """What the plugin takes, changed by the operator's list or table. Unknown names are faults."""
    known = dict(destination.names_for(config))
    usual = {name: theirs for name, theirs in known.items() if name not in destination.off_by_default}
    if events is None:
        return Taken(usual, destination.custom_names, frozenset(known) - frozenset(usual))
    if isinstance(events, Mapping):
        changes: Mapping[str, str | bool] = events
        names = usual
    else:
        changes = dict.fromkeys(events, True)
        names = {}
    for number, (name, change) in enumerate(changes.items()):
        if change is False:
            names.pop(name, None)
        elif isinstance(change, str):
            names[name] = change
        elif name in known or destination.custom_names:
            names[name] = known.get(name, name)
        else:
            place = (*at, name) if isinstance(events, Mapping) else (*at, number)
            faults.add(place, f"the plugin {destination.name} does not take {name}{hint(name, known)}")
    refused = {name for name, change in changes.items() if change is False}
    custom = destination.custom_names and isinstance(events, Mapping)
    return Taken(names, custom, frozenset(known) - frozenset(names) | refused)


def deny_fields(paths: Sequence[str], schema: Mapping[str, Any], faults: Faults, at: KeyPath) -> frozenset[str]:
    """The paths, each known to the event's schema or below an open object. `schema`: event.v1."""
    for number, path in enumerate(paths):
        steps = tuple(path.split("."))
        if steps[0] in _NEEDED:
            faults.add((*at, number), f"{steps[0]} cannot be held back: an event is nothing without it")
        elif not all(steps) or not (path.startswith(_OPEN) or subschema(schema, steps)):
            faults.add((*at, number), f"an event has no field {path}{_meant(path, schema)}")
    return frozenset(paths)


def _meant(path: str, schema: Mapping[str, Any]) -> str:
    known = list(schema.get("properties", {}))
    known += [f"{name}.{key}" for name in known for key in subschema(schema, (name,)).get("properties", {})]
    found = nearest(path, known)
    return f"; did you mean {found}?" if found else "; see docs/event.md"
