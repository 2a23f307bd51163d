"""`gateway plugins test`: the contract suite on a plugin file, in a pytest of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from gateway.model.errors import ConfigError, PluginLoadError

#: Where golden cases are looked for, from the plugin's folder.
PLACES = ("tests/golden", "golden", "../tests/golden", "../tests/plugins/golden")

_TEST = """\
from pathlib import Path

from gateway.plugin.testing import destination_contract, load

for number, destination in enumerate(load({path!r}).register_destinations()):
    suite = destination_contract(destination, golden=Path({golden!r}[destination.name]))
    globals()[suite.__name__] = suite
del destination, suite
"""


def run(path: Path, golden: Path | None, *, update: bool) -> int:
    """Run the suite; returns 0 when all of it holds, else 1. Its report goes to standard output.

    Raises `ConfigError` when there is no such file, no pytest or no golden case, `PluginLoadError` when it cannot be
    imported.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    if importlib.util.find_spec("pytest") is None:
        raise ConfigError(f"pytest is not installed: pip install {_extra()}")
    folders = {name: str(_golden(path, name, golden)) for name in _names(path)}
    with tempfile.TemporaryDirectory(prefix="gateway-contract-") as folder:
        test = Path(folder) / "test_contract.py"
        test.write_text(_TEST.format(path=str(path.resolve()), golden=folders), "utf-8")
        (Path(folder) / "pytest.ini").write_text("[pytest]\n", "utf-8")
        options = ["-q", "-p", "no:cacheprovider", "-c", f"{folder}/pytest.ini", "--rootdir", folder]
        options += ["--update-golden"] if update else []
        command = [sys.executable, "-m", "pytest", *options, str(test)]
        return min(1, subprocess.run(command, check=False).returncode)  # noqa: S603  # no shell, and the user's own files


def _extra() -> str:
    """What to install: in a clone, the clone."""
    in_clone = (Path(__file__).parents[2] / "pyproject.toml").is_file()
    return "'.[test]', in the clone" if in_clone else "'conversions-gateway[test]'"


def _names(path: Path) -> list[str]:
    from gateway.plugin.testing import load

    try:
        return [destination.name for destination in load(path).register_destinations()]
    except Exception as error:  # it is the author's file: whatever it is, they are told
        raise PluginLoadError(f"{path}: {type(error).__name__}: {error}") from error


def _golden(path: Path, name: str, given: Path | None) -> Path:
    if given is not None:
        return given.resolve()
    folders = [(path.resolve().parent / place / name).resolve() for place in PLACES]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise ConfigError(f"{path}: no golden cases in {', '.join(map(str, folders))}; --golden names another folder")
    return found
