"""An outbox that cannot be used: one line that says why, the right exit code, and not a byte of it changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gateway.outbox import Outbox
from gateway.outbox.engine import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "gateway.db"
CONFIG = """
[server]
port = 1
[sources.shop]
write_key = "made-up-write-key-000001"
"""
COMMANDS = (["serve"], ["dispatch"], ["check"], ["events"], ["dead", "list"], ["explain", "event-1"])


def zeroed_header(path: Path) -> None:
    overwrite(path, 0, bytes(100))


def garbage_page(path: Path) -> None:
    """The root of the list of what is in it, and the next."""
    overwrite(path, 100, b"\xa5" * 8_000)


def cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5_000)


def no_database(path: Path) -> None:
    path.write_text("A shopping list: bread, butter, milk.\n" * 200)


def another_database(path: Path) -> None:
    path.unlink()
    db = connect(path)
    db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    db.execute("PRAGMA journal_mode = DELETE")
    db.close()


def from_a_newer_version(path: Path) -> None:
    db = connect(path)
    db.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('gateway', 'm999', 'then')")
    db.close()


def overwrite(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


#: What was done to it → what `serve` says and exits with.
BROKEN: dict[Callable[[Path], None], tuple[str, int]] = {
    zeroed_header: ("not a database, or a damaged one", 74),
    garbage_page: ("not a database, or a damaged one", 74),
    cut_off: ("not a database, or a damaged one", 74),
    no_database: ("not a database, or a damaged one", 74),
    another_database: ("not an outbox", 1),
    from_a_newer_version: ("newer version", 1),
}


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    (tmp_path / "gateway.toml").write_text(CONFIG)
    path = tmp_path / NAME
    made = Outbox(path)
    made.start()
    made.write_blocking(
        lambda db: (
            db.executemany(
                "INSERT INTO event VALUES (?, 1.0, 'shop', 'Lead', ?, 1, ?, NULL)",
                [(seq, f"event-{seq}", b"x" * 500) for seq in range(1, 200)],
            ).rowcount
        )
    )
    made.write_blocking(
        lambda db: db.execute("INSERT INTO intake VALUES (1, 199, 1.0, x'', zeroblob(1592), NULL)").rowcount
    )
    made.close()
    return path


#: For root, whom permissions do not stop otherwise.
BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def run(folder: Path, *command: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [*before, sys.executable, "-m", "gateway", *command],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def sums(folder: Path) -> dict[str, str]:
    """The database and its log: locks, reserve and the index of the log hold nothing of their own."""
    files = (path for path in (folder / NAME, folder / f"{NAME}-wal") if path.exists())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.stat().st_size}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda one: one.__name__)
def test_it_is_told_in_one_line_and_left_alone(outbox, tmp_path, broken):
    words, code = BROKEN[broken]
    broken(outbox)
    before = sums(tmp_path)
    for command in COMMANDS:
        done = run(tmp_path, *command)
        said = done.stdout if command == ["check"] else done.stderr
        assert done.returncode == (1 if command == ["check"] else code), (command, done)
        assert words in " ".join(said.split()), (command, said)
        assert "Traceback" not in done.stderr
        if command != ["check"]:
            assert len(done.stderr.splitlines()) == 1
            assert done.stderr.startswith("gateway: ")
        assert sums(tmp_path) == before, command


def test_garbage_in_the_write_ahead_log_ends_it_there(outbox, tmp_path):
    """Frames whose sums are wrong are not part of the log: what was stored before them stays."""
    (tmp_path / f"{NAME}-wal").write_bytes(b"\xa5" * 40_000)
    done = run(tmp_path, "events", "--limit", "1", "--json")
    assert (done.returncode, "event-199" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_to_is_told_and_left_alone(outbox, tmp_path, what):
    before = sums(tmp_path)
    (tmp_path if what == "folder" else outbox).chmod(0o500 if what == "folder" else 0o400)
    try:
        done = run(tmp_path, "serve", before=BOUND)
        assert run(tmp_path, "check", before=BOUND).returncode == 1
    finally:
        tmp_path.chmod(0o700)
    assert done.returncode == 1, done
    assert "cannot be written to" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sums(tmp_path) == before


def test_one_that_another_process_holds_is_told(outbox, tmp_path):
    db = connect(outbox)
    db.execute("BEGIN IMMEDIATE")
    done = run(tmp_path, "serve")
    db.execute("ROLLBACK")
    db.close()
    assert done.returncode == 1
    assert "locked" in done.stderr
    assert len(done.stderr.splitlines()) == 1
