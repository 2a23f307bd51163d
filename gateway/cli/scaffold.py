"""`gateway plugins new`: the template's three files under a new name."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from gateway import registry
from gateway.model.errors import ConfigError

#: Folder of the plugin where no other is given: its tests then are beside that folder, as in the guide.
PLUGINS = "plugins"

#: Template → where it goes, below the folder. `acme` stands for the name in both paths and texts.
FILES = {
    "destination.py.txt": "acme.py",
    "test.py.txt": "tests/test_acme.py",
    "golden.json.txt": "tests/golden/acme/purchase.json",
}


def rendered(name: str) -> dict[str, str]:
    """Path below the folder → text."""
    template = files("gateway.plugin") / "template"
    return {
        path.replace("acme", name): _named((template / source).read_text("utf-8"), name)
        for source, path in FILES.items()
    }


def laid_out(name: str) -> dict[str, str]:
    """The same in the guide's layout: the plugin in `plugins/`, its test and golden case in `tests/`."""
    plugin, *others = rendered(name).items()
    beside = {path: text.replace("HERE.parent /", f'HERE.parent / "{PLUGINS}" /') for path, text in others}
    return {f"{PLUGINS}/{plugin[0]}": plugin[1], **beside}


def write(name: str, folder: Path | None = None) -> list[Path]:
    """Write the files: all below `folder`, or without one in the guide's layout.

    Raises `ConfigError` for a name that cannot be used, or when one of the files is there already.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"{name!r} is no name for a destination: lower case letters, digits and _, a letter first")
    if name in registry.load().destinations:
        raise ConfigError(f"there is a destination {name!r} already; choose another name")
    given = laid_out(name) if folder is None else rendered(name)
    texts = {(folder or Path()) / path: text for path, text in given.items()}
    if there := [path for path in texts if path.exists()]:
        raise ConfigError(f"{there[0]} is there already; nothing was written")
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return list(texts)


def _named(text: str, name: str) -> str:
    title = name.replace("_", " ").title()
    words = {"TestAcme": f"Test{title.replace(' ', '')}", "Acme": title, "ACME": name.upper(), "acme": name}
    for word, instead in words.items():
        text = text.replace(word, instead)
    return text
