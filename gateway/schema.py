"""The schemas in `schemas/`: load one, say yes or no to an event, explain a refusal.

`jsonschema-rs` decides: about a microsecond an event. An explanation is made only for what was refused. Its messages
say what is allowed and which type was found; they never hold the value itself, which may be personal data.
"""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import jsonschema_rs

from gateway.model.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Schema: TypeAlias = dict[str, Any]

#: In a wheel the schemas lie inside the package, in a checkout beside it.
BUNDLED = Path(__file__).parent / "bundled"
EVENT_SCHEMA = "event.v1.schema.json"
#: More faults than these help nobody.
MAX_FAULTS = 20

TOO_DEEP = Fault("", "too_deep", "it is nested too deeply")

#: A key that fits may be named in a message. What looks like an address, a number or a sentence may be personal data.
NAMEABLE = re.compile(r"[A-Za-z_*][A-Za-z0-9_.\- ]{0,49}")

#: JSON type → words. The second form stands behind "a list of".
TYPES = {
    "string": ("a string", "strings"),
    "integer": ("an integer", "integers"),
    "number": ("a number", "numbers"),
    "boolean": ("a boolean", "booleans"),
    "array": ("a list", "lists"),
    "object": ("an object", "objects"),
    "null": ("null", "nulls"),
}


def schemas_folder() -> Path:
    """Where the schemas are: in the wheel, else in the checkout."""
    bundled = BUNDLED / "schemas"
    return bundled if bundled.is_dir() else Path(__file__).parent.parent / "schemas"


@cache
def load_schema(name: str) -> Schema:
    """A schema by its path below `schemas/`: `event.v1.schema.json`, `platforms/meta.json`. To be read, not changed."""
    schema: Schema = json.loads((schemas_folder() / name).read_text(encoding="utf-8"))
    return schema


@cache
def _event_validator() -> Any:
    return jsonschema_rs.validator_for(load_schema(EVENT_SCHEMA))


def is_valid(data: object) -> bool:
    """Whether decoded JSON is a canonical event by `event.v1.schema.json`."""
    return bool(_event_validator().is_valid(data))


def fits(part: str, key: str, value: object) -> bool:
    """Whether a value may stand under a key of the event or, with `part`, of an object in it: `"custom_data", "tax"`.

    `content` is an entry of `contents`.
    """
    known = _object(part)["properties"]
    try:
        return bool(_key_validator(part, key if key in known else None).is_valid(value))
    except (ValueError, RecursionError):  # nested more deeply than the validator goes
        return False


def _object(part: str) -> Schema:
    event = load_schema(EVENT_SCHEMA)
    found: Schema = event if not part else event["$defs"].get(part) or event["properties"][part]
    return found if "properties" in found else {**found, "properties": {}}


@cache
def _key_validator(part: str, key: str | None) -> Any:
    """`key`: one that the schema knows, `None` for any other."""
    node = _object(part)
    node = node["properties"][key] if key is not None else node["additionalProperties"]
    definitions = load_schema(EVENT_SCHEMA)["$defs"]
    return jsonschema_rs.validator_for({"$defs": definitions, "allOf": [node]})


def faults(data: object, most: int = MAX_FAULTS) -> tuple[Fault, ...]:
    """Why the schema refuses decoded JSON as a canonical event; empty if it does not. At most `most`."""
    try:
        return _explain(_event_validator(), load_schema(EVENT_SCHEMA), data, most)
    except (ValueError, RecursionError):  # it nests deeper than the validator goes
        return (TOO_DEEP,)


def explain_errors(schema: Schema, data: object) -> tuple[Fault, ...]:
    """Why any schema refuses `data` (JSON types only: a date of TOML must be made a string first)."""
    return _explain(jsonschema_rs.validator_for(schema), schema, data)


def _explain(validator: Any, schema: Schema, data: object, most: int = MAX_FAULTS) -> tuple[Fault, ...]:
    """The first faults, one for each path; a wrong type says more than what follows from it."""
    found: dict[str, Fault] = {}
    for error in islice(validator.iter_errors(data), 10 * most):
        for fault in islice(_faults_of(error, schema, data), most):
            if fault.path not in found or fault.code == "wrong_type":
                found[fault.path] = fault
        if len(found) >= most:
            break
    return tuple(found.values())[:most]


def _faults_of(error: Any, schema: Schema, data: object) -> Iterable[Fault]:
    keyword, path = str(error.kind.name), _steps(error, data)
    node = _node(schema, error.schema_path)
    if keyword in ("additionalProperties", "unevaluatedProperties"):
        return (_unknown_key(path, key, node) for key in error.kind.unexpected[:MAX_FAULTS])
    if keyword == "required":
        return [Fault(pointer([*path, error.kind.property]), "required", "required, and absent")]
    if keyword in ("anyOf", "oneOf") and all(error.kind.context):
        return _union(error, schema, data)
    code, words = REASONS.get(keyword, OTHERWISE)
    return [Fault(pointer(path), code, words(node, error.instance, schema))]


def _steps(error: Any, data: Any) -> list[str | int]:
    """Where an error is. A key of digits (a phone number?), which `jsonschema-rs` takes for an index, is blanked."""
    steps: list[str | int] = []
    for step in error.instance_path:
        if isinstance(data, dict) and isinstance(step, int):
            return [*steps, ""]
        steps.append(step)
        data = data[step]
    return steps


def pointer(path: Iterable[str | int]) -> str:
    """A JSON pointer. It stops before a key that may not be named."""
    steps = ""
    for step in path:
        if isinstance(step, str) and not NAMEABLE.fullmatch(step):
            break
        steps += f"/{step}"
    return steps


def _node(schema: Schema, path: Iterable[str | int]) -> Schema:
    """The part of the schema that holds the failing keyword."""
    *steps, _ = path
    node: Any = schema
    for step in steps:
        node = node[step]
    return node if isinstance(node, dict) else {}


def _unknown_key(path: list[str | int], key: str, node: Schema) -> Fault:
    if not NAMEABLE.fullmatch(key):
        return Fault(pointer(path), "unknown_key", "a key that is not known here")
    near = nearest(key, node.get("properties", {}))
    hint = f"; did you mean `{near}`?" if near else ""
    return Fault(pointer([*path, key]), "unknown_key", f"unknown key `{key}`{hint}")


def nearest(key: str, known: Iterable[str]) -> str | None:
    """The known key that `key` is most likely a misspelling of: `Emial`, `firstName`. None if nothing is near."""
    plain = {re.sub(r"[^a-z0-9]", "", name.lower()): name for name in known}
    found = get_close_matches(re.sub(r"[^a-z0-9]", "", key.lower()), plain, 1, 0.6)
    return plain[found[0]] if found else None


def _union(error: Any, schema: Schema, data: object) -> Iterable[Fault]:
    """One branch of `anyOf` or `oneOf` speaks for all: the one whose type fits; else all types that would do."""
    here = error.instance_path
    types: list[str] = []
    for branch in error.kind.context:
        misfits = [sub for sub in branch if sub.kind.name == "type" and sub.instance_path == here]
        if not misfits:
            return [fault for sub in branch for fault in _faults_of(sub, schema, data)][:1]
        types += [name for sub in misfits for name in sub.kind.types]
    allowed: Schema = {"type": list(dict.fromkeys(types))}
    return [Fault(pointer(_steps(error, data)), "wrong_type", _wrong_type(allowed, error.instance, schema))]


def _wrong_type(node: Schema, found: object, schema: Schema) -> str:
    types = node.get("type", [])
    names = [_type_words(name, node, schema) for name in ([types] if isinstance(types, str) else types)]
    hint = "; leave the key out instead" if found is None else ""
    return f"expected {_either(names)}, found {_kind(found, names)}{hint}"


def _type_words(name: str, node: Schema, schema: Schema) -> str:
    items = node.get("items")
    if name != "array" or not isinstance(items, dict):
        return TYPES[name][0]
    target = str(items.get("$ref", "")).removeprefix("#/$defs/")
    types = schema.get("$defs", {}).get(target, items).get("type", ())
    plural = [TYPES[one][1] for one in ([types] if isinstance(types, str) else types) if one != "array"]
    return f"a list of {_either(plural)}" if plural else "a list"


def _kind(value: object, expected: Iterable[str] = ()) -> str:
    """The JSON type of a value, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, float) and "an integer" in expected and "a number" not in expected:
        return "a number with a fraction"
    names: Mapping[type, str] = {str: "a string", int: "a number", float: "a number", list: "a list", tuple: "a list"}
    return names.get(type(value), "an object")


def _either(words: Iterable[str]) -> str:
    *rest, last = list(words) or ["something else"]
    return f"{', '.join(rest)} or {last}" if rest else last


def _not_allowed(node: Schema, found: object, _: Schema) -> str:
    options = node.get("enum", [node["const"]] if "const" in node else [])
    if not options:
        return "not allowed here"
    allowed = _either(f"`{option}`" if isinstance(option, str) else json.dumps(option) for option in options)
    return f"expected {allowed}, found {_kind(found) if not isinstance(found, str) else 'another string'}"


def _bad_format(node: Schema, _: object, __: Schema) -> str:
    examples = [f"`{one}`" for one in node.get("examples", ()) if isinstance(one, str)]
    such_as = f", such as {_either(examples[:2])}" if examples else ""
    wanted = node.get("title") or f"what matches `{node.get('pattern') or node.get('format')}`"
    return f"not in the form that is expected here: {wanted}{such_as}"


def _limit(keyword: str, words: str) -> Callable[[Schema, Any, Schema], str]:
    return lambda node, *_: words.format(node.get(keyword))


def _size(keyword: str, words: str) -> Callable[[Schema, Any, Schema], str]:
    return lambda node, found, _: f"{words.format(node.get(keyword))}, found {len(found)}"


#: Keyword of JSON Schema → our code, and the message from the schema's node, the value (its type or size only) and
#: the whole schema.
REASONS: dict[str, tuple[str, Callable[[Schema, Any, Schema], str]]] = {
    "type": ("wrong_type", _wrong_type),
    "enum": ("not_allowed", _not_allowed),
    "const": ("not_allowed", _not_allowed),
    "not": ("not_allowed", lambda *_: "not allowed here"),
    "falseSchema": ("not_allowed", lambda *_: "not allowed here"),
    "maxLength": ("too_long", _size("maxLength", "expected at most {} characters")),
    "minLength": ("too_short", _size("minLength", "expected {} or more characters")),
    "maxItems": ("too_many", _size("maxItems", "expected at most {} entries")),
    "minItems": ("too_few", _size("minItems", "expected {} or more entries")),
    "maxProperties": ("too_many", _size("maxProperties", "expected at most {} keys")),
    "minProperties": ("too_few", _size("minProperties", "expected {} or more keys")),
    "propertyNames": ("bad_format", lambda *_: "a key here is too long or not in the form that is expected"),
    "minimum": ("out_of_range", _limit("minimum", "expected at least {}")),
    "maximum": ("out_of_range", _limit("maximum", "expected at most {}")),
    "exclusiveMinimum": ("out_of_range", _limit("exclusiveMinimum", "expected more than {}")),
    "exclusiveMaximum": ("out_of_range", _limit("exclusiveMaximum", "expected less than {}")),
    "multipleOf": ("out_of_range", _limit("multipleOf", "expected a multiple of {}")),
    "pattern": ("bad_format", _bad_format),
    "format": ("bad_format", _bad_format),
    "contains": ("too_few", lambda *_: "an entry is missing that must be there"),
    "uniqueItems": ("not_allowed", lambda *_: "the entries must differ"),
}
OTHERWISE: tuple[str, Callable[[Schema, Any, Schema], str]] = ("bad_format", lambda *_: "not in a form that is allowed")
