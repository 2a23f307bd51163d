"""The event reference, made from the schema: `docs/event.md`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.model.event import STANDARD_NAMES
from gateway.schema import EVENT_SCHEMA, Schema, load_schema, schemas_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parent.parent.parent / "docs" / "event.md"

#: The objects below the top level: heading and name in `$defs`.
PARTS = (
    ("user_data", "user_data"),
    ("custom_data", "custom_data"),
    ("custom_data.contents", "content"),
    ("consent", "consent"),
    ("app", "app"),
    ("messaging", "messaging"),
    ("original_event", "original_event"),
)

INTRO = """\
# The event

<!-- Made from schemas/event.v1.schema.json by `python -m gateway.reference`: change the schema, not this page. -->

One conversion event is one JSON object. [`event.v1.schema.json`](../schemas/event.v1.schema.json) (JSON Schema, draft
2020-12) is its single definition, and this page is made from it. Version 1 only ever grows.

- Absent means absent: no key listed here takes `null`. An empty string or list in `user_data` counts as absent;
  `event_name` and `event_id` may not be empty.
- Booleans are `true` and `false`, never 1 or "true", except where a table says so.
- A key outside the tables is refused at the top level, in `user_data`, `consent`, `app`, `messaging` and
  `original_event`; the answer names the nearest known one. `custom_data`, its `contents` and `context` are open.
- "Hashed" means that the gateway normalises and hashes the value as it arrives and forgets what it was.
- Lengths are in characters (Unicode code points), amounts in major units of `currency`.
- The schema cannot say everything: a time in milliseconds or in the future, an unknown currency and the like are found
  after it, with a code and a path as well."""


def page() -> str:
    """The whole page, in Markdown."""
    schema = load_schema(EVENT_SCHEMA)
    parts = [INTRO, _names(), "## Top level", _table(schema, schema)]
    for heading, name in PARTS:
        part = schema["$defs"][name]
        parts += [f"## `{heading}`", str(part["description"]), _table(part, schema)]
    parts += ["## Examples", "Each file is a plain event: `curl -d @FILE` sends it as it is.", _examples()]
    return "\n\n".join(parts) + "\n"


def examples() -> dict[str, str]:
    """File name of an example → the sentence about it, from the table in `schemas/README.md`."""
    readme = (schemas_folder() / "README.md").read_text(encoding="utf-8")
    return dict(re.findall(r"^\| \[`([a-z0-9_]+\.json)`\]\([^)]+\) \| (.+) \|$", readme, re.MULTILINE))


def _names() -> str:
    names = ", ".join(f"`{name}`" for name in sorted(STANDARD_NAMES))
    return f"Standard names: {names}. Any other name is a custom event."


def _examples() -> str:
    return "\n".join(f"- [`{name}`](../schemas/examples/{name}): {about}" for name, about in examples().items())


def _table(part: Schema, schema: Schema) -> str:
    rows = ["| field | type | notes |", "|---|---|---|"]
    required = part.get("required", [])
    for name, node in part["properties"].items():
        notes = " ".join([*_notes(node, required=name in required)]).replace("|", "\\|")
        rows.append(f"| `{name}` | {type_words(node, schema)} | {notes} |")
    return "\n".join(rows)


def _notes(node: Schema, *, required: bool) -> Iterator[str]:
    if required:
        yield "**Required.**"
    yield str(node["description"])
    shown = [
        one for one in node.get("examples", ()) if isinstance(one, str | int | float) and not isinstance(one, bool)
    ]
    if shown:
        yield f"For example {', '.join(f'`{one}`' for one in shown[:3])}."


def type_words(node: Schema, schema: Schema) -> str:
    """What a field takes: `string ≤ 512, or a list of ≤ 20`."""
    node = _resolved(node, schema)
    if "enum" in node:
        return ", ".join(f"`{option}`" for option in node["enum"])
    types = node.get("type", "any")
    types = [types] if isinstance(types, str) else types
    return " or ".join(_words(one, node, schema) for one in types)


def _words(name: str, node: Schema, schema: Schema) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if name == "string":
        return "decimal string" if "decimal" in node.get("title", "") else f"string{_at_most(node.get('maxLength'))}"
    if name == "integer" and (low, high) == (0, 1):
        return "0 or 1"
    if name in ("integer", "number") and low == 0:
        return f"{name} ≥ 0"
    if name == "array":
        items = _resolved(node["items"], schema)
        of = (
            "objects"
            if items.get("type") == "object"
            else "such"
            if "string" in node["type"]
            else "strings or integers"
        )
        of = "integers" if items.get("type") == "integer" else of
        return f"list{_at_most(node.get('maxItems'))} of {of}"
    return name


def _at_most(limit: int | None) -> str:
    return f" ≤ {limit}" if limit else ""


def _resolved(node: Schema, schema: Schema) -> Schema:
    """A node with what it refers to; its own words win."""
    target = str(node.get("$ref", "")).removeprefix("#/$defs/")
    found: dict[str, Any] = {**schema["$defs"][target], **node} if target else node
    return found
