"""`gateway plugins new`: the template's three files under a new name."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

from gateway import registry
from gateway.model.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

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


def write(name: str, folder: Path) -> list[Path]:
    """Write the files. Raises `ConfigError` for a name that cannot be used, or when one of them is there already."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"{name!r} is no name for a destination: lower case letters, digits and _, a letter first")
    if name in registry.load().destinations:
        raise ConfigError(f"there is a destination {name!r} already; choose another name")
    texts = {folder / path: text for path, text in rendered(name).items()}
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
