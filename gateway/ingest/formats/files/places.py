"""Where a column's cells go in the event, and what may stand there: read off the event's schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

from gateway.schema import EVENT_SCHEMA, load_schema, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(Enum):
    """How a cell is read."""

    TEXT = "text"
    #: A time: see `cells.py`.
    TIME = "time"
    #: A decimal number.
    AMOUNT = "amount"
    INTEGER = "integer"
    #: Yes or no.
    SWITCH = "switch"
    #: One of a few words, in either case of letters.
    WORD = "word"
    #: JSON: an object, or a list of objects.
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Place:
    """One place in the event."""

    #: As people write it: `user_data.email`, `custom_data.contents.id`.
    path: str
    kind: Kind
    #: It takes a list, too.
    many: bool = False
    #: The path in its steps; below `destinations` and in free objects a key may have dots of its own.
    steps: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        head, _, rest = self.path.partition(".")
        steps: tuple[str, ...] = (head, rest) if rest else (head,)
        if self.is_content:
            steps = ("custom_data", "contents", self.path.removeprefix(CONTENTS))
        object.__setattr__(self, "steps", steps)

    @property
    def pointer(self) -> str:
        """The same as a JSON pointer."""
        return "/" + "/".join(self.steps)

    @property
    def is_content(self) -> bool:
        """A key of a product: each row tells one."""
        return self.path.startswith(CONTENTS)


#: Keys of one product begin so.
CONTENTS = "custom_data.contents."
#: Words of the schema's definitions → how a cell is read.
_KINDS = {"time": Kind.TIME, "money": Kind.AMOUNT, "signed_money": Kind.AMOUNT, "switch": Kind.SWITCH}
#: Types of JSON → the same, the first that fits.
_TYPES = (
    ({"object"}, Kind.JSON),
    ({"string"}, Kind.TEXT),
    ({"number"}, Kind.AMOUNT),
    ({"integer"}, Kind.INTEGER),
    ({"boolean"}, Kind.SWITCH),
)


@cache
def place(path: str) -> Place:
    """The place that a dotted path names. Raises `ValueError` with what is known instead."""
    path = f"custom_data.{path}" if path.startswith("contents.") else path
    head, _, rest = path.partition(".")
    known = places()
    if found := known.get(path):
        return found
    if path.startswith(CONTENTS) and rest.removeprefix("contents."):
        return Place(path, Kind.TEXT)
    if head in ("custom_data", "context") and rest and not rest.startswith("."):
        return Place(path, Kind.TEXT)
    if head == "destinations" and rest:
        return Place(path, Kind.SWITCH)
    if any(one.startswith(f"{path}.") for one in known):
        raise ValueError(f"`{path}` is an object: name a key of it")
    near = nearest(path, known)
    raise ValueError("no such path in the event" + (f"; did you mean `{near}`?" if near else ""))


@cache
def places() -> Mapping[str, Place]:
    """Every path that the schema names."""
    schema = load_schema(EVENT_SCHEMA)
    found: dict[str, Place] = {}
    for name, node in schema["properties"].items():
        part = _resolved(node)
        if "properties" not in part:
            if part.get("type") != "object":  # `destinations` and `context` have no keys that are known
                found[name] = _place(name, node)
            continue
        for key, below in part["properties"].items():
            found[f"{name}.{key}"] = _place(f"{name}.{key}", below)
    for key, node in schema["$defs"]["content"]["properties"].items():
        found[f"{CONTENTS}{key}"] = _place(f"{CONTENTS}{key}", node)
    return found


def _place(path: str, node: Mapping[str, Any]) -> Place:
    ref = str(node.get("$ref", "")).removeprefix("#/$defs/")
    part = _resolved(node)
    types = part.get("type", ())
    named = {types} if isinstance(types, str) else set(types)
    many = "array" in named
    if "array" in named and "object" in set(_types(_resolved(part.get("items", {})))):
        return Place(path, Kind.JSON)
    if ref in _KINDS:
        return Place(path, _KINDS[ref])
    if "enum" in part:
        return Place(path, Kind.WORD)
    kind = next((kind for some, kind in _TYPES if some <= named), Kind.TEXT)
    if "number" in named and "string" in named:
        kind = Kind.AMOUNT
    return Place(path, kind, many)


def _types(part: Mapping[str, Any]) -> list[str]:
    types = part.get("type", [])
    return [types] if isinstance(types, str) else types


def _resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    ref = node.get("$ref")
    if ref is None:
        return node
    target: Mapping[str, Any] = load_schema(EVENT_SCHEMA)["$defs"][ref.removeprefix("#/$defs/")]
    return {**target, **node}
