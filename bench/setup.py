"""The configuration that the benchmarks run under: the embedded default, everything on, all five destinations."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

from gateway import config, registry

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.config import Settings

KEY = "bench-write-key-0123456789"
PLATFORMS = ("meta", "tiktok", "google", "pinterest", "snapchat")


def write(
    folder: Path, *, port: int, sink_port: int, destinations: tuple[str, ...] = PLATFORMS, workers: int = 1
) -> Path:
    """A gateway.toml whose destinations send to the sink."""
    lines = ["[server]", f"port = {port}", f"workers = {workers}", "[sources.web]", f'write_key = "{KEY}"']
    for name in destinations:
        mock = importlib.import_module(f"gateway.demo.platforms.{name}").MOCK
        lines += [f"[destinations.{name}]", f'plugin = "{name}"', "allow_private = true"]
        lines.append(f'base_url = "http://127.0.0.1:{sink_port}/{name}"')
        for key, value in mock.config.items():
            lines.append(
                f"{key} = {_toml(f'http://127.0.0.1:{sink_port}/google/token' if key == 'token_url' else value)}"
            )
    path = folder / "gateway.toml"
    path.write_text("\n".join(lines) + "\n")
    return path


def load(path: Path) -> Settings:
    """The configuration as values."""
    return config.load(path, {}, lambda folder: registry.load(folder).destinations)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)
