"""The file and the environment → a document: parsed, with `${NAME}`, `${file:PATH}` and `$$` put in."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.faults import Faults, KeyPath
from gateway.model.errors import ConfigError

#: One piece of a string: an escaped dollar, a reference, or a dollar that is neither.
_DOLLAR = re.compile(r"\$\$|\$\{([^}]*)\}|\$")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_WHERE = re.compile(r"^(.*) \(at (?:line (\d+), column (\d+)|(end of document))\)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration file, read. Its faults are told by `settings`, together with all others."""

    #: As it was named by the operator: what messages call it.
    name: str
    #: Absolute.
    path: Path
    #: With all references put in.
    data: Mapping[str, Any] = field(repr=False)
    #: The keys whose values came from elsewhere: never shown.
    interpolated: frozenset[KeyPath]
    faults: Faults

    @property
    def plugins_dir(self) -> Path | None:
        """The folder of plugin files, absolute. It is known before the rest can be: plugins say what the rest means."""
        given = self.data.get("plugins_dir")
        return self.path.parent / given if isinstance(given, str) and given else None


def read(path: Path, environ: Mapping[str, str]) -> Document:
    """Read gateway.toml. Raises `ConfigError` if there is no file or no TOML in it."""
    data = toml(path, "`gateway init` writes one, --config names another")
    faults = Faults(str(path))
    absolute = path.absolute()
    put = _Interpolation(environ, absolute.parent, faults)
    return Document(str(path), absolute, put.table(data, ()), frozenset(put.done), faults)


def toml(path: Path, absent: str) -> dict[str, Any]:
    """A file of TOML as it stands. Raises `ConfigError`; `absent` says what to do if there is no such file."""
    return _parse(path, _text(path, absent))


def _text(path: Path, absent: str) -> str:
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; {absent}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _WHERE.match(str(error))
        if match is None:
            raise ConfigError(f"{path}: not TOML: {error}") from None
        if match[4]:
            raise ConfigError(f"{path}: end of the file: not TOML: {match[1]}") from None
        raise ConfigError(f"{path}: line {match[2]}, column {match[3]}: not TOML: {match[1]}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None


class _Interpolation:
    """One walk through a document. `done` gathers the keys that had a reference in them."""

    def __init__(self, environ: Mapping[str, str], folder: Path, faults: Faults) -> None:
        self.environ = environ
        self.folder = folder
        self.faults = faults
        self.done: set[KeyPath] = set()

    def table(self, table: Mapping[str, Any], at: KeyPath) -> dict[str, Any]:
        """A table with `enabled = false` is left as it is, so that it needs none of its secrets."""
        if table.get("enabled") is False:
            return dict(table)
        if isinstance(table.get("enabled"), str):
            switch = self.text(table["enabled"], (*at, "enabled"))
            table = {**table, "enabled": {"true": True, "false": False}.get(switch, switch)}
            if table["enabled"] is False:
                return dict(table)
        return {key: self.value(value, (*at, key)) for key, value in table.items()}

    def value(self, value: Any, at: KeyPath) -> Any:
        if isinstance(value, str):
            return self.text(value, at)
        if isinstance(value, dict):
            return self.table(value, at)
        if isinstance(value, list):
            return [self.value(entry, (*at, number)) for number, entry in enumerate(value)]
        if isinstance(value, float) and not math.isfinite(value):
            self.faults.add(at, "expected a finite number")
        return value

    def text(self, text: str, at: KeyPath) -> str:
        if "$" not in text:
            return text
        self.done.add(at)
        return _DOLLAR.sub(lambda match: self.reference(match, at), text)

    def reference(self, match: re.Match[str], at: KeyPath) -> str:
        if match[0] == "$$":
            return "$"
        if match[1] is None:
            self.faults.add(at, "a dollar on its own; write $$ for a dollar, ${NAME} for an environment variable")
            return ""
        if match[1].startswith("file:"):
            return self.file(match[1].removeprefix("file:"), at)
        if _NAME.fullmatch(match[1]) is None:
            self.faults.add(at, "expected ${NAME}, the name of an environment variable, or ${file:PATH}")
            return ""
        value = self.environ.get(match[1], "")
        if not value:
            state = "empty" if match[1] in self.environ else "not set"
            self.faults.add(at, f"the environment variable {match[1]} is {state}")
        return value

    def file(self, name: str, at: KeyPath) -> str:
        try:
            content = (self.folder / name).read_bytes().decode()
        except OSError as error:
            self.faults.add(at, f"the file {name} cannot be read: {error.strerror}")
            return ""
        except ValueError:  # not UTF-8, or a NUL in the name
            self.faults.add(at, f"the file {name} is not UTF-8 text")
            return ""
        content = content.removesuffix("\r\n" if content.endswith("\r\n") else "\n")
        if not content:
            self.faults.add(at, f"the file {name} is empty")
        return content
