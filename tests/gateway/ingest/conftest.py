"""A door under a configuration with all five bundled platforms."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from gateway import config, registry
from gateway.ingest.pipeline import Door, Taken

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Source
    from gateway.ingest.draft import BrowserHints
    from gateway.outbox import Outbox

PLATFORMS = ("meta", "tiktok", "google", "pinterest", "snapchat")
#: Unix seconds: 2026-11-18T11:06:40Z.
NOW = 1_795_000_000.0
KEY = "made-up-write-key-000001"


def toml_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f'"{key}" = {toml_value(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)


def destination_table(name: str, more: str = "") -> str:
    mock = importlib.import_module(f"gateway.demo.platforms.{name}").MOCK
    keys = "".join(f"{key} = {toml_value(value)}\n" for key, value in mock.config.items() if key != "token_url")
    return f'[destinations.{name}]\nplugin = "{name}"\n{keys}{more}\n'


class At:
    """A door that stands at `NOW`, and its one source."""

    def __init__(self, door: Door, source: Source) -> None:
        self.door, self.source = door, source

    def take(self, event: Any, *, hints: BrowserHints | None = None) -> Taken:
        return self.door.take(event, self.source, NOW, hints=hints, odd=True)

    def stored(self, event: Any, **more: Any) -> dict[str, Any]:
        """The payload as the outbox would keep it, with the short-lived part under `clear`."""
        taken = self.take(event, **more)
        assert taken.errors == ()
        assert taken.record is not None
        payload: dict[str, Any] = json.loads(taken.record.payload)
        return {**payload, "clear": json.loads(taken.record.clear or b"{}")}

    def errors(self, event: Any) -> list[tuple[str, str]]:
        taken = self.take(event)
        assert (taken.record is None) == bool(taken.errors)
        return [(one.path, one.code) for one in taken.errors]

    def warnings(self, event: Any) -> list[tuple[str, str]]:
        taken = self.take(event)
        assert taken.errors == ()
        return [(one.path, one.code) for one in taken.draft.warnings]

    def statuses(self, event: Any) -> Mapping[str, str]:
        routing = self.take(event).draft.routing
        assert routing is not None
        return routing.statuses


@pytest.fixture(scope="session")
def plugins() -> registry.Registry:
    return registry.load()


@pytest.fixture
def make(tmp_path: Path, plugins: registry.Registry) -> Callable[..., At]:
    def make(
        *,
        source: str = 'region = "US"',
        more: str = "",
        only: tuple[str, ...] = PLATFORMS,
        outbox: Outbox | None = None,
        tables: Mapping[str, str] | None = None,
    ) -> At:
        """`source`, `more`: lines of `[sources.shop]` and of the file; `tables`: lines of a destination's table."""
        file = tmp_path / "gateway.toml"
        parts = [f'[sources.shop]\nwrite_key = "{KEY}"\n{source}\n', more]
        parts += [destination_table(name, (tables or {}).get(name, "")) for name in only]
        file.write_text("\n".join(parts), "utf-8")
        settings = config.load(file, {}, lambda _: plugins.destinations)
        return At(Door(settings, outbox, clock=lambda: NOW), settings.sources["shop"])

    return make


@pytest.fixture
def at(make: Callable[..., At]) -> At:
    """All five platforms, and a source whose region is the United States."""
    return make()
