"""Destinations by name: bundled ones, installed ones, and files dropped into a folder, all through the same door."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

from gateway.model.errors import PluginLoadError
from gateway.plugin import hookspecs
from gateway.plugin.destination import INTERFACE_VERSION, Destination

if TYPE_CHECKING:
    from types import ModuleType

#: Where a wheel carries the bundled plugins; a checkout has them beside the package.
_WHEEL = Path(__file__).parent / "bundled" / "plugins"
_CHECKOUT = Path(__file__).parent.parent / "plugins"


@dataclass(frozen=True)
class Registry:
    """What was found."""

    destinations: Mapping[str, Destination]
    #: Name of a destination → where it comes from: `bundled`, a file, or a package.
    origins: Mapping[str, str]
    #: For `delivery_attempted` and hooks to come.
    manager: pluggy.PluginManager


def bundled_folder() -> Path:
    """The folder of the bundled plugins."""
    return _WHEEL if _WHEEL.is_dir() else _CHECKOUT


def load(plugins_dir: Path | None = None) -> Registry:
    """Find all plugins. Raises `PluginLoadError` naming the file or package that is at fault."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    origins: dict[str, str] = {}
    destinations: dict[str, Destination] = {}
    for origin, module in _modules(plugins_dir):
        try:
            manager.register(module, name=origin)
            manager.check_pending()
        except (ValueError, pluggy.PluginValidationError) as error:
            raise PluginLoadError(f"{origin}: {error}") from error
        for destination in _registered(origin, manager, module):
            if destination.name in destinations:
                both = f"{origins[destination.name]} and {origin}"
                raise PluginLoadError(f"two plugins bring a destination named {destination.name!r}: {both}")
            destinations[destination.name] = destination
            origins[destination.name] = origin
    return Registry(destinations, origins, manager)


def _modules(plugins_dir: Path | None) -> Iterator[tuple[str, object]]:
    for path in _files(bundled_folder()):
        yield f"bundled {path.name}", _load_file(path)
    entry_points = importlib.metadata.entry_points(group=hookspecs.PROJECT)
    for entry in sorted(entry_points, key=lambda entry: entry.name):
        point = f"entry point {entry.name}"
        origin = f"package {entry.dist.name} ({point})" if entry.dist is not None else point
        try:
            yield origin, entry.load()
        except Exception as error:
            raise PluginLoadError(f"{origin}: cannot be imported: {type(error).__name__}: {error}") from error
    if plugins_dir is not None:
        if not plugins_dir.is_dir():
            raise PluginLoadError(f"plugins_dir: {plugins_dir} is not a folder")
        for path in (plugins_dir, *_files(plugins_dir)):
            if path.stat().st_mode & stat.S_IWOTH:
                raise PluginLoadError(f"plugins_dir: anybody can write to {path}, and it would be run: chmod o-w")
        for path in _files(plugins_dir):
            yield str(path), _load_file(path)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _load_file(path: Path) -> ModuleType:
    # Named after its whole path: one file must not stand in for another of the same name.
    name = "gateway_plugin_" + re.sub(r"\W", "_", str(path.resolve()))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginLoadError(f"{path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # as an import does: dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginLoadError(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _registered(origin: str, manager: pluggy.PluginManager, module: object) -> list[Destination]:
    hook = getattr(module, "register_destinations", None)
    if hook is None:
        if manager.get_hookcallers(module):
            return []  # it only observes
        raise PluginLoadError(f"{origin}: it has no register_destinations() marked with @hookimpl")
    if not hasattr(hook, f"{hookspecs.PROJECT}_impl"):
        raise PluginLoadError(f"{origin}: register_destinations() is not marked with @hookimpl")
    try:
        found = list(hook())
    except Exception as error:
        raise PluginLoadError(f"{origin}: register_destinations() raised {type(error).__name__}: {error}") from error
    for one in found:
        if not isinstance(one, Destination):
            raise PluginLoadError(f"{origin}: register_destinations() gave a {type(one).__name__}, not a Destination")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", one.name):
            raise PluginLoadError(f"{origin}: {one.name!r} is no name for a destination: lower case, digits and _ only")
        if one.interface > INTERFACE_VERSION:
            words = f"written for version {one.interface} of the plugin interface, this gateway has {INTERFACE_VERSION}"
            raise PluginLoadError(f"{origin}: {one.name} is {words}")
    return found
