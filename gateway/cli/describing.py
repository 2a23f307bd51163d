"""How `gateway plugins list` describes a destination."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.cli import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.plugin.destination import Destination


@dataclass(frozen=True, slots=True)
class Key:
    """One configuration key of a plugin's own."""

    key: str
    #: JSON Schema's types, `any` when it names none.
    type: str
    required: bool
    #: Never printed or logged.
    secret: bool
    default: Any
    description: str


@dataclass(frozen=True, slots=True)
class Described:
    """One destination."""

    name: str
    #: `bundled FILE`, `package NAME`, or the file.
    origin: str
    #: The platform's version that it was verified against.
    api_version: str
    #: Version of the plugin interface that it was written for.
    interface: int
    docs: str
    #: Consent purposes that must not be missing.
    purposes: tuple[str, ...]
    config: tuple[Key, ...]


def described(destination: Destination, origin: str) -> Described:
    """A destination for printing."""
    schema = destination.config_schema
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    return Described(
        name=destination.name,
        origin=origin,
        api_version=destination.api_version,
        interface=destination.interface,
        docs=destination.docs,
        purposes=tuple(sorted(destination.purposes)),
        config=tuple(_key(key, rule, key in required) for key, rule in properties.items()),
    )


def printed(found: Sequence[Described]) -> None:
    """Print destinations for people."""
    out = show.console()
    for number, one in enumerate(found):
        if number:
            out.print()
        show.line(out, f"{one.name} {one.api_version} ({one.origin}, interface {one.interface})", "bold")
        show.pairs(out, [("docs", one.docs), ("needs", ", ".join(one.purposes))])
        rows = (
            (key.key, key.type, _marks(key), "" if key.default is None else show.details(key.default), key.description)
            for key in one.config
        )
        show.table(out, ("key", "type", "", "default", "description"), rows)


def _marks(key: Key) -> str:
    return ", ".join(word for word, holds in (("required", key.required), ("secret", key.secret)) if holds)


def _key(name: str, rule: Mapping[str, Any], required: bool) -> Key:
    types = rule.get("type", "any")
    kind = types if isinstance(types, str) else " or ".join(types)
    secret = bool(rule.get("writeOnly"))
    return Key(name, kind, required, secret, rule.get("default"), rule.get("description", ""))
