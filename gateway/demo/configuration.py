"""The demo's gateway.toml: a plain configuration whose destinations are the mocks, in a hurry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.demo.server import MockServer

#: Opens the demo's only source. The server listens to this machine only, and ends with the demo.
WRITE_KEY = "demo-write-key-0123456789"

#: Times fit for a reader who waits, for every destination: a production's are the plugin's own.
HURRY: Mapping[str, Any] = {
    "batch_linger": "300ms",
    "retry": {"first": "300ms", "factor": 1, "max": "300ms"},
}
#: For those that report later what became of a request; asking counts as a request too.
HURRY_LATER: Mapping[str, Any] = {"rate_limit": "100/s", "follow_up": {"first": "300ms", "max": "5s"}}
LATER = ("google",)

_HEAD = """\
# Written by `gateway demo`: its destinations are mock platforms, which ended with it.
# `python -m gateway.demo.server --port {port}` starts them anew.

[sources.shop]
write_key = "{write_key}"
"""


def gateway_toml(mocks: MockServer) -> str:
    """The whole file."""
    more = {name: {**HURRY, **(HURRY_LATER if name in LATER else {})} for name in mocks.platforms}
    head = _HEAD.format(port=mocks.port, write_key=WRITE_KEY)
    return f"{head}\n{destinations_toml(mocks, more)}"


def destinations_toml(mocks: MockServer, more: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """A `[destinations.NAME]` table for each mock; `more` keys for some of them."""
    tables = []
    for name in mocks.platforms:
        table = {**mocks.config(name), **(more or {}).get(name, {})}
        lines = "".join(f"{key} = {_value(value)}\n" for key, value in table.items())
        tables.append(f"[destinations.{name}]\n{lines}")
    return "\n".join(tables)


def _value(value: Any) -> str:
    """A value as TOML writes it. JSON's strings are TOML's; a dollar would begin a variable."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False).replace("$", "$$")
