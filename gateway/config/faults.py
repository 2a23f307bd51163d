"""What is wrong with a configuration, collected until all of it is known, then told in one `ConfigError`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from jsonschema import Draft202012Validator, FormatChecker

from gateway.model.errors import ConfigError
from gateway.schema import nearest

#: A key's place in the file: `("destinations", NAME, "access_token")`. List entries by their number, from 0.
KeyPath: TypeAlias = tuple[str | int, ...]

#: TOML's words for what Python's parser gives.
_TYPES = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "a list", dict: "a table"}
#: The same for what a schema asks for.
_WANTED = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a table",
}
#: Keywords whose faults are told with one sentence about the keyword's value.
_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "pattern": "a text that matches {}",
    "format": "a text of the form {}",
    "const": "{}",
}
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dotted(path: KeyPath) -> str:
    """A path as TOML writes it: `consent.regions."US CA".default`."""
    return ".".join(str(step) if _BARE.fullmatch(str(step)) else f'"{step}"' for step in path)


def kind_of(value: object) -> str:
    """TOML's word for a value's type; dates and times are `a date or time`."""
    return _TYPES.get(type(value), "a date or time")


def hint(word: str, known: Iterable[str]) -> str:
    """What may have been meant, to stand behind a message: `; did you mean X?`, else `; known are A, B`."""
    known = sorted(known)
    found = nearest(word, known)
    return f"; did you mean {found}?" if found else f"; known are {', '.join(known) or 'none'}"


class Faults:
    """A growing list of faults in one file. The first one of a key counts."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._messages: dict[KeyPath, str] = {}

    def copy(self) -> Faults:
        """A list of its own that begins with the same faults."""
        other = Faults(self.file)
        other._messages.update(self._messages)
        return other

    def add(self, path: KeyPath, message: str) -> None:
        self._messages.setdefault(path, message)

    def under(self, *path: str | int) -> bool:
        """Whether a key in this table (or the table itself) is at fault."""
        return any(found[: len(path)] == path for found in self._messages)

    def raise_any(self) -> None:
        """End here if there is a fault: `ConfigError`, one line for each."""
        if self._messages:
            found = sorted(self._messages.items(), key=lambda fault: [str(step) for step in fault[0]])
            lines = (f"{self.file}: {dotted(path)}: {message}" for path, message in found)
            raise ConfigError("\n".join(lines))


def check(value: object, schema: Mapping[str, Any], faults: Faults, at: KeyPath, hidden: frozenset[KeyPath]) -> None:
    """Add every way in which the value does not fit the schema.

    `hidden` are the paths whose values did not stand in the file literally: they are never shown. Neither is a value
    that the schema marks `writeOnly`.
    """
    validator = Draft202012Validator(schema, format_checker=FormatChecker(()))
    for error in validator.iter_errors(value):
        path = (*at, *error.absolute_path)
        secret = path in hidden or _is_secret(schema, tuple(error.absolute_path))
        for place, message in _told(error, secret):
            faults.add((*path, *place), message)


def _told(error: Any, secret: bool) -> Iterator[tuple[KeyPath, str]]:
    keyword, found, schema = error.validator, error.instance, error.schema
    if keyword == "additionalProperties":
        known = list(schema.get("properties", ()))
        for key in found:
            if key not in known and not any(re.search(one, key) for one in schema.get("patternProperties", ())):
                yield (key,), f"unknown key{hint(key, known)}"
    elif keyword == "required":
        for key in error.validator_value:
            if key not in found:
                yield (key,), missing(schema.get("properties", {}).get(key, {}))
    elif "propertyNames" in list(error.absolute_schema_path)[:-1]:
        yield (str(found),), f"not a name that can stand here: {expected(schema, keyword)} is needed"
    elif keyword in ("anyOf", "oneOf"):
        yield from _one_of(error, secret)
    elif keyword == "type":
        quotes = "; put it in quotes" if schema["type"] == "string" and type(found) in (int, float) else ""
        yield (), f"expected {expected(schema, keyword)}, found {kind_of(found)}{quotes}"
    else:
        yield (), f"expected {expected(schema, keyword)}" + ("" if secret else f", found {_shown(found)}")


def missing(schema: Mapping[str, Any]) -> str:
    """The message for a required key that is not there."""
    about = schema.get("description", "").partition(". ")[0].rstrip(".")
    kind = expected(schema, "type") if "type" in schema else "a value"
    return f"missing: {kind} is required" + (f" ({about})" if about else "")


def expected(schema: Mapping[str, Any], keyword: str) -> str:
    """What a schema asks for, in words: its `title`, or said from the keyword that failed."""
    if "title" in schema:
        return str(schema["title"])
    if keyword == "enum":
        return " or ".join(f'"{choice}"' for choice in schema["enum"])
    if keyword == "type":
        wanted = schema["type"]
        return " or ".join(_WANTED[one] for one in ([wanted] if isinstance(wanted, str) else wanted))
    about = f" ({schema['description'].partition('. ')[0].rstrip('.')})" if "description" in schema else ""
    return _LIMITS.get(keyword, f"what `{keyword}` allows: {{}}").format(schema.get(keyword)) + about


def _one_of(error: Any, secret: bool) -> Iterator[tuple[KeyPath, str]]:
    """Which sets of keys would do, or what is wrong by the alternative that has the right type."""
    branches: list[Mapping[str, Any]] = error.validator_value
    if all("required" in branch and "type" not in branch for branch in branches):
        yield (), "needs " + ", or ".join(_and(branch["required"]) for branch in branches)
        return
    for number in range(len(branches)):
        inner = [one for one in error.context if one.relative_schema_path[0] == number]
        if not any(one.validator == "type" and not one.relative_path for one in inner):
            for one in inner:
                yield from (((*one.relative_path, *place), message) for place, message in _told(one, secret))
            return
    kinds = dict.fromkeys(expected(one.schema, "type") for one in error.context if one.validator == "type")
    yield (), f"expected {' or '.join(kinds)}, found {kind_of(error.instance)}"


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if words[1:] else words[0]


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"' if len(value) <= 60 else "a longer one"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else kind_of(value)


def _is_secret(schema: Mapping[str, Any], path: KeyPath) -> bool:
    return any(subschema(schema, path[: n + 1]).get("writeOnly") for n in range(len(path)))


def subschema(root: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
    """The part of a schema that describes the value at a path, `$ref` followed; empty if none does."""
    part = resolved(root, root)
    for step in path:
        if isinstance(step, int):
            part = part.get("items", {})
        else:
            part = part.get("properties", {}).get(step, part.get("additionalProperties", {}))
        part = resolved(root, part) if isinstance(part, Mapping) else {}
    return part


def resolved(root: Mapping[str, Any], part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part of a schema with its `$ref` followed; what stands beside the `$ref` goes before what it leads to."""
    while "$ref" in part:
        target: Any = root
        for step in str(part["$ref"]).removeprefix("#/").split("/"):
            target = target[step]
        part = {**target, **{key: value for key, value in part.items() if key != "$ref"}}
    return part
