"""The real gateway, killed at random instants: what was acknowledged arrives, what was recorded is not sent again."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
from sqlite_utils import Database

from gateway.outbox import Outbox, Record
from gateway.outbox.engine import connect
from gateway.outbox.ledger import ruling
from gateway.outbox.migrations import migrations
from gateway.outbox.packing import id_sum, key_hash, unpack_seqs

if TYPE_CHECKING:
    from pathlib import Path

NAME = "gateway.db"
SENT = '{"policy": "p", "to": {"sink": ["send", "consent_granted", "", "a rule"]}}'


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    db = connect(path, readonly=True)
    try:
        found: list[tuple[Any, ...]] = db.execute(statement).fetchall()
        return found
    finally:
        db.close()


def recorded(path: Path) -> set[str]:
    """Event ids that the outbox knows to be delivered."""
    ids = dict(rows(path, "SELECT seq, event_id FROM event"))
    packed = rows(path, "SELECT first_seq, count, seqs FROM attempt WHERE verdict = 'delivered'")
    return {ids[seq] for one in packed for seq in unpack_seqs(*one) if seq in ids}


def is_settled(path: Path) -> bool:
    """Whether all that is stored has been delivered."""
    last = rows(path, "SELECT coalesce(max(seq), 0) FROM event")[0][0]
    cursor = rows(path, "SELECT cursor FROM lane")[0][0]
    return bool(cursor >= last and not rows(path, "SELECT count(*) FROM delivery WHERE state = 'waiting'")[0][0])


def is_whole(path: Path, check: str = "quick_check") -> bool:
    return rows(path, f"PRAGMA {check}") == [("ok",)]


def test_what_was_acknowledged_arrives_however_often_it_is_killed(
    servers, sink, clients, load, tmp_path, deadline, size, figure
):
    """Every fifth time the kill comes in the middle of an orderly end."""
    chance, kills, path = random.Random(11), size(100, 1_000), tmp_path / NAME
    known: list[tuple[int, set[str]]] = []
    for number in range(kills):
        with servers.one(signal.SIGKILL) as pid, load(clients):
            time.sleep(chance.uniform(0.005, 0.25))
            if number % 5 == 4:
                os.kill(pid, signal.SIGTERM)
                time.sleep(chance.uniform(0.0, 0.05))
        assert servers.exit_code in (-signal.SIGKILL, 0)
        if number % 10 == 9:  # what arrives from here on was not recorded by then
            assert is_whole(path)
            known.append((len(sink.arrived), recorded(path)))
    acknowledged = set().union(*(one.acknowledged for one in clients))
    assert len(acknowledged) > kills
    with servers.one(signal.SIGTERM):
        deadline(lambda: is_settled(path), within_s=60)
    assert servers.exit_code == 0

    counted = Counter(event_id for event_id, _ in sink.arrived)
    lost = acknowledged - counted.keys()
    again = {event_id for at, before in known for event_id, _ in sink.arrived[at:] if event_id in before}
    stored = Counter(row[0] for row in rows(path, "SELECT event_id FROM event"))
    figure(
        f"kill -9: {kills:,} kills under load, {len(acknowledged):,} events acknowledged, lost {len(lost)}; "
        f"{sum(counted.values()) - len(counted):,} repeats, {len(again)} of what had been recorded as delivered"
    )
    assert lost == set()
    assert again == set()
    # nothing came that was not posted, and a repeat is the same event under the same id
    assert counted.keys() <= set().union(*(one.posted for one in clients))
    assert all(event_id.rpartition("-")[2] == str(int(value)) for event_id, value in sink.arrived)
    assert acknowledged <= stored.keys()
    assert set(stored.values()) == {1}  # what was posted again was known as a duplicate
    assert is_whole(path, "integrity_check")


def test_while_it_forgets(servers, sink, clients, load, tmp_path, deadline, size, figure):
    """Retention takes away what is delivered, and nothing else."""
    times = '[privacy]\npayload_retention = "50ms"\n[outbox]\nretention = "100ms"\ndedup_window = "100ms"\n'
    servers.config.write_text(servers.config.read_text() + times)
    chance, kills, path = random.Random(12), size(20, 200), tmp_path / NAME
    for _ in range(kills):
        with servers.one(signal.SIGKILL, upkeep_s=0.02), load(clients):
            time.sleep(chance.uniform(0.05, 0.3))
        assert is_whole(path)
    acknowledged = set().union(*(one.acknowledged for one in clients))
    with servers.one(signal.SIGTERM):
        deadline(lambda: is_settled(path), within_s=60)
    arrived = {event_id for event_id, _ in sink.arrived}
    forgotten = len(acknowledged) - rows(path, "SELECT count(*) FROM event")[0][0]
    figure(
        f"kill -9 during retention: {kills} kills, {len(acknowledged):,} events acknowledged, "
        f"{forgotten:,} of them forgotten in time, lost {len(acknowledged - arrived)}"
    )
    assert forgotten > len(acknowledged) / 2
    assert acknowledged <= arrived
    assert is_whole(path, "integrity_check")


def record(event_id: str) -> Record:
    now = time.time()
    said = {"event_name": "Lead", "event_id": event_id, "event_time": now, "action_source": "website"}
    payload = json.dumps({**said, "received_at": now, "region": "US", "custom_data": {"value": 0}}).encode()
    keys = key_hash("source:shop", "Lead", event_id), id_sum(event_id)
    return Record(*keys, now, "shop", "Lead", event_id, now, (7,), SENT, (), payload, None, ruling("shop", "{}", SENT))


def fill(path: Path, events: int) -> None:
    """An outbox with events that nobody has delivered yet."""
    outbox = Outbox(path)
    outbox.start()
    outbox.write_blocking(lambda db: db.execute("INSERT INTO lane (instance, cursor) VALUES ('sink', 0)").rowcount)

    async def run() -> None:
        for first in range(0, events, 2_000):
            await outbox.append([record(f"event-{number}") for number in range(first, min(events, first + 2_000))])

    anyio.run(run)
    outbox.close()


def test_during_a_migration(servers, tmp_path, size, figure):
    """An outbox of the first version's shape is brought up to date, with a kill in between."""
    kills, chance, path = size(15, 150), random.Random(13), tmp_path / NAME
    steps = [one.name for one in migrations.pending(Database(memory=True))]
    reached: Counter[int] = Counter()
    for _ in range(kills):
        for file in tmp_path.glob(f"{NAME}*"):
            file.unlink()
        old_shape(path, steps[1])
        pid = servers.start()
        time.sleep(chance.uniform(0.0, 0.4))
        os.kill(pid, signal.SIGKILL)
        servers.wait()
        assert is_whole(path)
        reached[len(applied(path))] += 1
        Outbox(path).close()  # the next start goes on from there
        assert applied(path) == steps
        assert rows(path, "SELECT count(*), sum(length(payload)) FROM event") == [(2_000, 400_000)]
    figure(f"kill -9 during migration: {kills} kills, steps done by then {dict(sorted(reached.items()))}; nothing lost")
    assert min(reached) == 1
    assert max(reached) == len(steps)


def old_shape(path: Path, before: str) -> None:
    """An outbox as the version before this migration left it."""
    utils = Database(path)
    migrations.apply(utils, stop_before=before)
    with utils.conn:
        utils.conn.execute("INSERT INTO decision VALUES (1, ?)", (SENT,))
        events = [(seq, f"event-{seq}", b"x" * 200) for seq in range(1, 2_001)]
        utils.conn.executemany("INSERT INTO event VALUES (?, 1.0, 'shop', 'Lead', ?, 1, ?)", events)
        utils.conn.execute("INSERT INTO intake VALUES (1, 2000, 1.0, zeroblob(8000), zeroblob(16000))")
    utils.close()


def applied(path: Path) -> list[str]:
    """Names of the migrations that an outbox has behind it."""
    return [row[0] for row in rows(path, f"SELECT name FROM {migrations.migrations_table} ORDER BY rowid")]


def test_during_a_replay(servers, sink, tmp_path, deadline, size, figure):
    """The command is killed in the middle and given again: each event goes once more, not twice."""
    events, path = size(6_000, 60_000), tmp_path / NAME
    fill(path, events)
    with servers.one(signal.SIGTERM):
        deadline(lambda: is_settled(path), within_s=120)
    again = ("replay", "--since", "1h", "--again", "--yes")
    queued, partial, before = "SELECT count(*) FROM delivery WHERE state = 'waiting'", 0, 0
    while before < events:
        pid = servers.start(*again)
        deadline(lambda before=before: rows(path, queued)[0][0] > before)
        os.kill(pid, signal.SIGKILL)
        servers.wait()
        assert is_whole(path)
        before = rows(path, queued)[0][0]
        partial += before < events
    servers.start(*again)
    assert servers.wait() == 0
    assert rows(path, queued)[0][0] == events
    before = Counter(event_id for event_id, _ in sink.arrived)
    with servers.one(signal.SIGTERM):
        deadline(lambda: is_settled(path), within_s=60)
    after = Counter(event_id for event_id, _ in sink.arrived) - before
    figure(
        f"kill -9 during replay: {partial} times stopped half way, then {events:,} events sent once more, none twice"
    )
    assert partial
    assert set(after.values()) == {1}
    assert len(after) == events


def test_a_start_with_many_waiting(servers, tmp_path, size, figure):
    """How long it takes is a figure, not a verdict: machines differ."""
    events, path = size(50_000, 1_000_000), tmp_path / NAME
    fill(path, events)
    started = time.monotonic()
    with servers.one(signal.SIGKILL):
        ready_s = time.monotonic() - started
    figure(f"start with {events:,} events waiting: takes events after {ready_s:.2f} s, interpreter and imports apart")
    assert is_whole(path)
