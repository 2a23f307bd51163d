"""The unit and the container's file say what the documentation says, and what the tools that read them understand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from gateway.cli.main import app
from gateway.outbox.engine import sqlite3

ROOT = Path(__file__).parents[2]
UNIT, CONTAINER = ROOT / "deploy/gateway.service", ROOT / "deploy/Containerfile"


@pytest.fixture
def unit() -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT)
    return parser


def test_the_unit_waits_longer_than_an_orderly_end_takes(unit: ConfigParser) -> None:
    from gateway.web.listening import Deadlines
    from gateway.web.process import FINISH_S

    assert int(unit["Service"]["TimeoutStopSec"]) >= FINISH_S + Deadlines().drain_s + 10


def test_the_unit_is_told_of_by_the_process(unit: ConfigParser) -> None:
    assert unit["Service"]["Type"] == "notify"
    assert unit["Service"]["NotifyAccess"] == "all"  # with several workers it is not the first process that speaks
    assert int(unit["Service"]["WatchdogSec"]) >= 10


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        assert not os.environ.get("CI"), f"CI installs {tool}"
        pytest.skip(f"{tool} is not installed")


def test_systemd_understands_the_unit_and_finds_it_hardened(tmp_path: Path) -> None:
    needs("systemd-analyze")
    copy = tmp_path / "gateway.service"
    copy.write_text(UNIT.read_text().replace("/opt/gateway/.venv/bin/gateway", sys.executable))
    found = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert "gateway.service" not in found.stderr
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", copy], capture_output=True, text=True, check=False
    )
    exposure = re.search(r"Overall exposure level for gateway.service: ([\d.]+)", rated.stdout)
    assert exposure is not None, rated.stderr
    assert float(exposure[1]) < 2.0


def test_what_the_gateway_needs_runs_where_no_memory_is_both_written_and_run() -> None:
    """As `MemoryDenyWriteExecute` has it; by the kernel's own switch, where it has one (Linux 6.3)."""
    deny = (
        "import ctypes, sys\n"
        "if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)\n"
        "import gateway.web.server, gateway.cli.main, uvloop, msgspec, jsonschema_rs, zstandard, cryptography\n"
        "from cryptography.hazmat.primitives.ciphers.aead import AESGCM\n"
        f"import {sqlite3.__name__.split('.')[0]}\n"
        "from gateway.demo.run import main\n"
        "sys.exit(main(True, None))\n"
    )
    done = subprocess.run([sys.executable, "-c", deny], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("the kernel has no such switch")
    assert done.returncode == 0, done.stderr


def test_the_container_runs_commands_that_there_are() -> None:
    import typer

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    text = CONTAINER.read_text()
    assert re.findall(r'CMD \["gateway", "(\w+)"\]', text) == ["health"]
    assert re.findall(r'^CMD \["(\w+)"\]', text, re.MULTILINE) == ["serve"]
    assert {"health", "serve"} <= set(commands)


def test_the_container_copies_all_that_the_wheel_is_made_of() -> None:
    copied = {
        name for line in re.findall(r"^COPY (?!--)(.+)$", CONTAINER.read_text(), re.M) for name in line.split()[:-1]
    }
    project = (ROOT / "pyproject.toml").read_text()
    wheel = set(re.findall(r'^"(\w+)" = "gateway/bundled', project, re.MULTILINE)) | {"gateway", "pyproject.toml"}
    assert wheel | set(re.findall(r'(?:readme|file) = "([^"]+)"', project)) <= copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_nothing_in_it_is_run_by_root() -> None:
    last = CONTAINER.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER (\d+):\d+$", last, re.MULTILINE)
    assert last.index("USER ") < last.index("ENTRYPOINT")
