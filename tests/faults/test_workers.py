"""Several processes on one outbox, killed one by one: the same promises as of one."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.conftest import Steady
from tests.faults.test_kill import NAME, is_settled, is_whole, recorded, rows

WORKERS = 3


def children(pid: int) -> list[int]:
    """The processes that a process has started and that run."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def lease_holder(path: Path, pids: list[int]) -> int | None:
    """Which of the processes dispatches: the one that has locked the lease's file; `None` while nobody does yet."""
    lease = path.with_name(f"{path.name}.dispatcher")
    if not lease.exists():
        return None
    inode = lease.stat().st_ino
    for line in Path("/proc/locks").read_text("ascii").splitlines():
        parts = line.split()
        if "->" not in parts and int(parts[4]) in pids and parts[5].rpartition(":")[2] == str(inode):
            return int(parts[4])
    return None


def test_workers_that_are_killed_lose_and_repeat_nothing(servers, sink, load, port, tmp_path, deadline, size, figure):
    """Pairs of clients post the same events at the same time. Every third kill meets the process that delivers."""
    servers.config.write_text(servers.config.read_text().replace("[server]\n", f"[server]\nworkers = {WORKERS}\n"))
    chance, kills, path = random.Random(14), size(30, 500), tmp_path / NAME
    clients = [Steady(name, port) for name in ("one", "one", "two", "two")]
    known: list[tuple[int, set[str]]] = []
    handed_over: list[float] = []
    with servers.one(signal.SIGTERM, restart_s=0.05) as supervisor, load(clients):
        for number in range(kills):
            deadline(lambda: len(children(supervisor)) == WORKERS)
            time.sleep(chance.uniform(0.02, 0.4))
            running = children(supervisor)
            holder = lease_holder(path, running)
            victim = holder if number % 3 == 0 and holder is not None else chance.choice(running)
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
            if victim == holder:
                killed = time.monotonic()
                deadline(lambda before=holder: lease_holder(path, children(supervisor)) not in (None, before))
                handed_over.append(time.monotonic() - killed)
            if number % 10 == 9:
                before = recorded(path)
                known.append((len(sink.arrived), before))  # in this order: it goes on meanwhile
    assert servers.exit_code == 0
    with pytest.raises(ProcessLookupError):  # nobody of its group is left
        os.killpg(supervisor, 0)
    with servers.one(signal.SIGTERM):
        deadline(lambda: is_settled(path), within_s=60)

    acknowledged = set().union(*(one.acknowledged for one in clients))
    counted = Counter(event_id for event_id, _ in sink.arrived)
    lost = acknowledged - counted.keys()
    again = {event_id for at, before in known for event_id, _ in sink.arrived[at:] if event_id in before}
    stored = Counter(row[0] for row in rows(path, "SELECT event_id FROM event"))
    accepted = Counter(event_id for one in clients for event_id in one.accepted)
    figure(
        f"workers: {kills} kills of one of {WORKERS}, {len(handed_over)} of the one that delivers; "
        f"{len(acknowledged):,} events acknowledged, lost {len(lost)}; posted by two at the same time, stored twice "
        f"{sum(count > 1 for count in stored.values())}; another delivers after {max(handed_over):.1f} s at most"
    )
    assert len(acknowledged) > kills
    assert lost == set()
    assert again == set()
    assert set(stored.values()) == {1}
    assert set(accepted.values()) == {1}  # the same event is accepted in one place and a duplicate in all others
    assert counted.keys() <= set().union(*(one.posted for one in clients))
    assert max(handed_over) < 5
    assert is_whole(path, "integrity_check")


def test_a_worker_that_lives_delivers_in_the_place_of_one_that_was_killed(
    servers, sink, load, port, tmp_path, deadline
):
    """It does not wait for the other to be started again."""
    servers.config.write_text(servers.config.read_text().replace("[server]\n", "[server]\nworkers = 2\n"))
    path = tmp_path / NAME
    with servers.one(signal.SIGTERM, restart_s=6.0) as supervisor:
        deadline(lambda: lease_holder(path, children(supervisor)) is not None)
        before = children(supervisor)
        holder = lease_holder(path, before)
        os.kill(holder, signal.SIGKILL)
        [other] = set(before) - {holder}
        deadline(lambda: lease_holder(path, [other]) == other, within_s=4.0)
        with load([Steady("late", port)]):
            deadline(lambda: sink.arrived, within_s=4.0)
