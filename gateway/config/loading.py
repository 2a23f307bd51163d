"""A document and the known plugins → `Settings`, or one `ConfigError` with everything that is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import segment, tables
from gateway.config.defaults import coerced, filled
from gateway.config.faults import Faults, check
from gateway.config.instances import Reader
from gateway.config.reading import Document, read
from gateway.config.settings import ConsentSettings, OutboxSettings, Privacy, Server, Settings
from gateway.schema import EVENT_SCHEMA, load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gateway.plugin.destination import Destination

CONFIG_SCHEMA = "config.schema.json"


def load(
    path: Path,
    environ: Mapping[str, str],
    plugins: Callable[[Path | None], Mapping[str, Destination]],
) -> Settings:
    """Read gateway.toml and all that it names. `plugins` gives the destinations by name, those in the folder too."""
    document = read(path, environ)
    return settings(document, plugins(document.plugins_dir))


def settings(document: Document, plugins: Mapping[str, Destination]) -> Settings:
    """Check a document and give it shape. Raises `ConfigError` with a line for each fault."""
    schema = load_schema(CONFIG_SCHEMA)
    faults = document.faults.copy()
    data = coerced(document.data, schema, document.interpolated)
    given = data.get("destinations", {})
    # What stands in a destination is its plugin's to say. Here it only has to be a table with a good name.
    bare = {name: {} if isinstance(table, dict) else table for name, table in _entries(given).items()}
    core = {**data, "destinations": bare if isinstance(given, dict) else given}
    check(core, schema, faults, (), document.interpolated)
    found = _tables(filled(core, schema), document.path.parent, faults)
    reader = Reader(schema, load_schema(EVENT_SCHEMA), document.path.parent, document.interpolated, faults)
    made = {
        name: reader.instance(name, table, plugins)
        for name, table in _entries(given).items()
        if isinstance(table, dict)
    }
    for name, source in found["sources"].items():
        segment.check(source.segment, made, faults, ("sources", name, "segment"))
    faults.raise_any()
    destinations = {name: instance for name, instance in made.items() if instance is not None}
    return Settings(path=document.path, plugins_dir=document.plugins_dir, destinations=destinations, **found)


def _entries(table: Any) -> Mapping[str, Any]:
    return table if isinstance(table, dict) else {}


def _tables(data: Mapping[str, Any], folder: Path, faults: Faults) -> dict[str, Any]:
    """The gateway's own tables as settings. One with a fault in it is left at a stand-in: the start fails anyway."""

    def sound(*path: str) -> bool:
        return not faults.under(*path)

    server = tables.server(data["server"], faults) if sound("server") else Server()
    stand_in = OutboxSettings(url="", path=folder)
    outbox = tables.outbox(data["outbox"], folder, faults) if sound("outbox") else stand_in
    privacy = tables.privacy(data["privacy"], folder, faults) if sound("privacy") else Privacy()
    consent = tables.consent(data["consent"], faults) if sound("consent") else ConsentSettings()
    sources = {
        name: tables.source(name, table, faults)
        for name, table in _entries(data["sources"]).items()
        if sound("sources", name)
    }
    tables.check_keys(sources, server, faults)
    tables.check_streams(sources, faults)
    sources = tables.beside_others(sources, _entries(data["sources"]))
    return {"server": server, "outbox": outbox, "privacy": privacy, "consent": consent, "sources": sources}
