"""A module imports only from floors below its own: the folders are the journey of an event."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gateway"

#: Folder or module of the package → its floor. What is on one floor may import within its own folder, and from below.
FLOORS = {
    "__init__": 0,
    "model": 0,
    "plugin": 1,
    "privacy": 1,
    "config": 2,
    "log": 2,
    "schema": 2,
    "reference": 2,
    "registry": 2,
    "starter": 2,
    "outbox": 2,
    "ingest": 3,
    "delivery": 3,
    "insight": 4,
    "web": 5,
    "cli": 5,
    "demo": 5,
    "__main__": 5,
}

#: Within a floor, what may import from what: the journey goes on in this order.
DOWNHILL = {
    ("plugin", "privacy"),  # the contract suite hashes as the door does
    ("config", "schema"),
    ("registry", "config"),
    ("starter", "config"),
    ("reference", "schema"),
    ("reference", "registry"),
    ("delivery", "ingest"),  # the gate is asked again at send
    ("cli", "web"),
    ("cli", "demo"),
    ("demo", "web"),
    ("__main__", "cli"),
}

#: The mock platforms and the demo may know a destination by name; the core may not.
DESTINATIONS = ("meta", "tiktok", "google", "pinterest", "snapchat")
MAY_NAME = ("demo",)

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "bundled" not in path.parts)


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported(path: Path) -> set[str]:
    """Rooms of the package that a module imports from, also inside functions and for types."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            head, _, rest = name.partition(".")
            if head == "gateway" and rest:
                inner = rest.split(".")[0]
                found.add(inner if inner in FLOORS else "__init__")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downhill(path: Path) -> None:
    own = room(path)
    assert own in FLOORS, f"give {own} a floor"
    for other in imported(path) - {own}:
        lower = FLOORS[other] < FLOORS[own]
        assert lower or (own, other) in DOWNHILL, f"{own} (floor {FLOORS[own]}) imports {other} (floor {FLOORS[other]})"


def test_model_needs_only_the_standard_library() -> None:
    import sys

    for path in (PACKAGE / "model").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                head = node.module.split(".")[0]
                assert head == "gateway" or head in sys.stdlib_module_names, f"{path.name} imports {head}"


@pytest.mark.parametrize("path", sorted((ROOT / "plugins").glob("*.py")), ids=lambda path: path.name)
def test_plugins_use_what_outsiders_have(path: Path) -> None:
    import sys

    impure = {"socket", "os", "time", "random", "secrets", "urllib.request", "http", "asyncio", "subprocess", "pathlib"}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            assert name == "gateway.plugin" or name.split(".")[0] in sys.stdlib_module_names, f"imports {name}"
            assert name not in impure, f"{name} is not pure"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_destination_is_named_in_the_core(path: Path) -> None:
    if room(path) in MAY_NAME:
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert node.value not in DESTINATIONS, f"line {node.lineno} names {node.value}"
