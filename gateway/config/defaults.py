"""What a schema does to a document beside checking it: defaults filled in, references given the right type."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.config.faults import KeyPath, resolved, subschema


def filled(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """A copy of a table with the schema's `default` for every key that is absent, at any depth."""
    root = schema if root is None else root
    schema = resolved(root, schema)
    if not isinstance(value, Mapping):
        return copy.deepcopy(value)
    known = schema.get("properties", {})
    others = schema.get("additionalProperties", {})
    others = others if isinstance(others, Mapping) else {}
    result = {key: filled(entry, known.get(key, others), root) for key, entry in value.items()}
    for key, part in known.items():
        part = resolved(root, part)
        if key not in result and "default" in part:
            result[key] = filled(part["default"], part, root)
    return result


def coerced(data: Mapping[str, Any], schema: Mapping[str, Any], interpolated: Iterable[KeyPath]) -> dict[str, Any]:
    """A copy in which texts from the environment are numbers or truth values where only these can stand.

    `port = "${PORT}"` works by it. A text that cannot be read so stays one, for the check to refuse.
    """
    result = copy.deepcopy(dict(data))
    for path in interpolated:
        kinds = subschema(schema, path).get("type", "string")
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        if "string" not in kinds:
            _set(result, path, kinds)
    return result


def _set(data: dict[str, Any], path: KeyPath, kinds: set[str]) -> None:
    holder: Any = data
    for step in path[:-1]:
        holder = holder[step]
    text = holder[path[-1]]
    if isinstance(text, str):
        holder[path[-1]] = _typed(text.strip(), kinds)


def _typed(text: str, kinds: set[str]) -> object:
    if "boolean" in kinds and text in ("true", "false"):
        return text == "true"
    for kind, convert in (("integer", int), ("number", float)):
        if kind in kinds:
            try:
                return convert(text)
            except ValueError:
                continue
    return text
