"""The disk fails the n-th write, sync, open or truncation, or is full: nothing is acknowledged that is not stored."""

from __future__ import annotations

import errno
import http.client
import json
import mmap
import os
import signal
import struct
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from gateway.outbox import Outbox
from gateway.outbox.engine import connect
from gateway.outbox.space import FULL_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "gateway.db"
KEY = "made-up-write-key-000001"
EXIT_DISK = 74
#: What fails → the letter of disk.c.
KINDS = {"write": "w", "sync": "s", "open": "o", "truncate": "t"}
#: `struct control` of disk.c: quota, reached, unused; then for each kind: left, error, sticky; the name.
HEAD, PLAN, NAME_BYTES = struct.Struct("<qii"), struct.Struct("<iii"), 64


class Control:
    """The switches of the disk that fails, in the memory that the servers share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(HEAD.size + 128 * PLAN.size + NAME_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def fail(self, kind: str, n: int, error: int) -> None:
        """Have the n-th operation of a kind fail."""
        self._map[:] = bytes(len(self._map))
        PLAN.pack_into(self._map, HEAD.size + ord(KINDS[kind]) * PLAN.size, n, error, 0)

    def quota(self, size: int) -> None:
        """Have the disk be this large; 0: any size."""
        HEAD.pack_into(self._map, 0, size, 0, 0)

    @property
    def reached(self) -> int:
        """Operations that failed so far."""
        found: int = HEAD.unpack_from(self._map, 0)[1]
        return found

    @property
    def failed(self) -> str:
        """The name of the file that failed last."""
        return self._map[-NAME_BYTES:].split(b"\0", 1)[0].decode()

    def close(self) -> None:
        """Let go of the memory."""
        self._map.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the outbox is, and nothing else."""
    made = tmp_path / "disk"
    made.mkdir()
    return made


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    made = Control(tmp_path / "control")
    yield made
    made.close()


@pytest.fixture
def environ(disk: Path, folder: Path, control: Control) -> dict[str, str]:
    return {"LD_PRELOAD": str(disk), "DISK_FOLDER": str(folder), "DISK_CONTROL": str(control.path)}


@pytest.fixture
def on_disk(servers, folder: Path):
    """The servers, with their outbox in the folder that is watched."""
    text = servers.config.read_text()
    servers.config.write_text(f'{text}\n[outbox]\nurl = "sqlite:///{folder.name}/{NAME}"\n')
    return servers


def post(port: int, *ids: str, size: int = 10) -> tuple[int, str | None]:
    """Post events; status and `Retry-After`, status 0 when no answer came."""
    custom = {"value": 1, "currency": "EUR", "note": "x" * size}
    events = [{"event_name": "Lead", "event_id": one, "custom_data": custom} for one in ids]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    try:
        connection.request("POST", "/v1/events", json.dumps(events), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("Retry-After")
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()


def stored(path: Path) -> set[str]:
    """What the next start finds, on a disk that works again. The database is whole."""
    outbox = Outbox(path)
    outbox.start()
    try:
        with outbox.reading() as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            return {row[0] for row in db.execute("SELECT event_id FROM event")}
    finally:
        outbox.close()


def emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def started(servers, pid: int) -> bool:
    """Whether the server takes connections; `False` when it ends before it does."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if servers.listens(within_s=0.02):
            return True
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe"):
                continue
        return False
    raise AssertionError("neither started nor ended")


class Life:
    """A short life of a server with one fault in it."""

    def __init__(self, servers, port: int, folder: Path, control: Control, kind: str, n: int, error: int) -> None:
        emptied(folder)
        control.fail(kind, n, error)
        pid, acknowledged = servers.start(), set()
        self.answers: list[tuple[int, str | None]] = []
        self.started = started(servers, pid)
        for number in range(6 if self.started else 0):
            ids = [f"{number}-{at}" for at in range(3)]
            self.answers.append(post(port, *ids))
            if self.answers[-1][0] == 202:
                acknowledged.update(ids)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        self.exit_code = servers.wait()
        self.reached, self.failed = control.reached > 0, control.failed
        control.fail(kind, 0, 0)
        #: Acknowledged, and not found by the next start.
        self.lost = acknowledged - stored(folder / NAME)

    @property
    def refusals(self) -> set[int]:
        """Status of the answers that were not 202; 0: none came."""
        return {status for status, _ in self.answers} - {202}


def lives(servers, port, folder, control, kind, error, every: int) -> Iterator[tuple[int, Life]]:
    """One life for each n, the first few and then every so many, until it ends without having come so far."""
    n = 1
    while True:
        life = Life(servers, port, folder, control, kind, n, error)
        if not life.reached:
            return
        yield n, life
        n += 1 if n < 8 else every


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_of_the_disk_ends_it(on_disk, port, folder, control, size, figure, kind):
    """EIO: senders hear 503, and the process ends with 74 before anything more is acknowledged."""
    codes, counted, lost, faults = Counter(), 0, set(), []
    for n, life in lives(on_disk, port, folder, control, kind, errno.EIO, size(9, 1)):
        counted += 1
        codes[life.exit_code] += 1
        lost |= life.lost
        if not life.refusals <= {503, 0}:
            faults.append(f"{n}: answers {life.answers}")
        # not so the folder, whose sync SQLite takes no notice of, the index of the log, and the reserve
        if kind in ("write", "sync") and life.failed in (NAME, f"{NAME}-wal"):
            if life.exit_code != EXIT_DISK:
                faults.append(f"{n}: {life.failed}: exit code {life.exit_code}, answers {life.answers}")
        elif life.refusals and life.exit_code == 0:
            faults.append(f"{n}: {life.failed}: refused and went on: {life.answers}")
    figure(f"EIO at the n-th {kind}: {counted} lives, exit codes {dict(sorted(codes.items()))}, lost {len(lost)}")
    assert faults == []
    assert lost == set()
    assert counted >= 3


def test_no_space_for_a_write_is_told_and_passes(on_disk, port, folder, control, size, figure):
    """ENOSPC: senders hear 503 with `Retry-After`, and the process goes on."""
    counted, lost, faults, refused = 0, set(), [], 0
    for n, life in lives(on_disk, port, folder, control, "write", errno.ENOSPC, size(9, 1)):
        counted += 1
        lost |= life.lost
        refused += bool(life.refusals)
        if life.started and (life.exit_code != 0 or not life.refusals <= {503}):
            faults.append(f"{n}: {life.failed}: exit code {life.exit_code}, answers {life.answers}")
        faults += [
            f"{n}: no Retry-After" for status, wait in life.answers if status == 503 and not (wait or "").isdigit()
        ]
    figure(f"ENOSPC at the n-th write: {counted} lives, {refused} with refusals, lost {len(lost)}")
    assert faults == []
    assert lost == set()
    assert refused


def test_on_a_full_disk_deliveries_go_on_and_it_heals_by_itself(on_disk, sink, port, folder, control, deadline, figure):
    sink.random.random = lambda: 1.0  # no trouble of its own
    control.quota(3 * FULL_BYTES)
    with on_disk.one(signal.SIGTERM):
        sink.answering.clear()
        accepted, status = 0, 202
        while status == 202:
            ids = [f"{accepted}-{number}" for number in range(100)]
            status, wait = post(port, *ids, size=4_000)
            accepted += 100 * (status == 202)
        assert (status, (wait or "").isdigit()) == (503, True)
        assert control.reached
        assert not (folder / f"{NAME}.reserve").exists()
        sink.answering.set()
        deadline(lambda: len(sink.arrived) == accepted, within_s=60)
        deadline(lambda: settled(folder / NAME), within_s=60)
        assert post(port, "one-more")[0] == 503
        ready = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        ready.request("GET", "/readyz")
        assert ready.getresponse().status == 503
        ready.close()
        control.quota(0)
        deadline(lambda: post(port, "after")[0] == 202)
        assert (folder / f"{NAME}.reserve").exists()
        deadline(lambda: ("after", 1) in sink.arrived)
    assert on_disk.exit_code == 0
    assert len({event_id for event_id, _ in sink.arrived}) == len(sink.arrived) == accepted + 1
    assert len(stored(folder / NAME)) == accepted + 1
    figure(f"a full disk: {accepted} events accepted before it, all delivered and recorded while it was full; healed")


def settled(path: Path) -> bool:
    """Whether the outbox has it in writing that all is delivered."""
    db = connect(path, readonly=True)
    try:
        last = db.execute("SELECT max(seq) FROM event").fetchone()[0]
        return bool(db.execute("SELECT cursor FROM lane").fetchone()[0] == last)
    finally:
        db.close()
