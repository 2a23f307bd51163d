"""The configuration reference, made from the schema: `python -m gateway.config.reference` rewrites its page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.config.faults import resolved
from gateway.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"

#: The tables of the file: heading, name in `$defs` and, below it, the key of a table inside.
TABLES = (
    ("[server]", "server", ""),
    ("[outbox]", "outbox", ""),
    ("[privacy]", "privacy", ""),
    ("[sources.NAME]", "source", ""),
    ("[sources.NAME.conversions_api]", "source", "conversions_api"),
    ("[sources.NAME.measurement_protocol]", "source", "measurement_protocol"),
    ("[sources.NAME.browser]", "source", "browser"),
    ("[sources.NAME.segment]", "source", "segment"),
    ("[consent]", "consent", ""),
    ('[consent.regions."CODE"]', "region_rule", ""),
    ("[destinations.NAME]", "destination", ""),
    ("[destinations.NAME.retry]", "destination", "retry"),
    ("[destinations.NAME.follow_up]", "destination", "follow_up"),
    ("[destinations.NAME.consent]", "destination", "consent"),
)

INTRO = """\
# Configuration

<!-- Made from schemas/config.schema.json by `python -m gateway.config.reference`: change the schema, not this page. -->

One file, [TOML](https://toml.io), configures the gateway: `./gateway.toml`, the file that `$GATEWAY_CONFIG` names, or
the one given with `--config`. `gateway init` writes one with fresh keys; `gateway check` says what is wrong with yours,
all of it at once, each line with the key and what is allowed. Every key has a default fit for production, or is
required.

## Values from elsewhere

| in a string | becomes |
|---|---|
| `${NAME}` | the environment variable `NAME` |
| `${file:PATH}` | what the file holds, without one newline at its end; `PATH` is relative to the configuration file |
| `$$` | a dollar |

- A variable or file that is missing or empty is an error; so is a dollar on its own. What was put in is not looked at
  again.
- A table with `enabled = false` is left as it is: a destination that is switched off needs none of its secrets. The
  names of its keys are still checked, so that it does not rot. It is in `enabled` itself that a variable may stand:
  `enabled = "${META_ENABLED}"`, with `true` or `false` in it.
- Where a number or a truth value belongs, the text of a variable is read as one: `port = "${PORT}"`.
- Secrets are never printed, neither by `gateway check` nor in an error; nor is any value that came from elsewhere.

## Forms

| form | examples |
|---|---|
| duration | `30` (seconds), `"500ms"`, `"30s"`, `"5m"`, `"12h"`, `"7d"` |
| size | `1048576` (bytes), `"500kB"`, `"5MB"` (millions), `"8MiB"` (powers of two) |
| rate | `"10/s"`, `"300/m"`, `"5000/h"` |
| path | relative to the configuration file, or absolute |
| URL of a platform | `https://…`; to this machine or a private network (or http there) with `allow_private = true` |

A key opens one door of one source: the same key twice, anywhere in the file, is an error. The keys in the repository's
gateway.toml are public, and refused unless the gateway listens to this machine only.
"""

PLUGIN_KEYS = """\
Beside these, a destination takes the keys of its plugin: see [plugins](../plugins/README.md), or
`gateway plugins list`. A plugin's key that ends in `_url` is checked like `base_url`, one that ends in `_file` is a
path. `batch_size` and `max_age` may not exceed what the platform takes; `rate_limit` and `max_concurrency` may, since
accounts differ.

In a table of `events` the keys may be custom names: `{ QuizDone = "Lead" }`. A list may name custom events only if the
plugin sends them. Events that a plugin has switched off by default are sent when `events` asks for them."""


def page() -> str:
    """The whole page, in Markdown."""
    schema = load_schema("config.schema.json")
    plain = {key: node for key, node in schema["properties"].items() if resolved(schema, node)["type"] != "object"}
    parts = [INTRO.rstrip(), "## Top level", _table({"properties": plain}, schema)]
    for heading, name, key in TABLES:
        part = schema["$defs"][name]
        part = part["properties"][key] if key else part
        parts += [f"## `{heading}`", str(part["description"]), _table(part, schema)]
        parts += [PLUGIN_KEYS] if heading == "[destinations.NAME]" else []
    return "\n\n".join(parts) + "\n"


def _table(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    rows = ["| key | type | default | what it does |", "|---|---|---|---|"]
    for key, node in part["properties"].items():
        node = resolved(schema, node)
        default = f"`{json.dumps(node['default'])}`" if node.get("default") not in (None, {}) else "–"
        cells = (f"`{key}`", " or ".join(_types(node)), default, node["description"])
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


#: The forms that the page explains, by the beginning of their title in the schema.
_FORMS = {
    "a number of seconds": "duration",
    '"final", a number of seconds': '`"final"` or duration',
    "a number of bytes": "size",
    "requests per second": "rate",
}


def _types(node: Mapping[str, Any]) -> Iterator[str]:
    for beginning, form in _FORMS.items():
        if node.get("title", "").startswith(beginning):
            yield form
            return
    if "enum" in node:
        yield from (f'`"{option}"`' for option in node["enum"])
        return
    kinds = node["type"]
    words = {"object": "table", "array": "list"}
    yield from (words.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
