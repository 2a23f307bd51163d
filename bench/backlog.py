"""A backlog: what accepting, reading and acknowledging cost over a thousand and over millions of waiting deliveries.

The first size is what the others are held against; costs are processor time, so that they compare under load too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from bench import setup
from bench.events import numbered
from gateway.delivery.hand import Hand
from gateway.ingest.decode import Body
from gateway.ingest.pipeline import Door
from gateway.model.delivery import State
from gateway.outbox import Outbox, Record, lanes, retention
from gateway.outbox.engine import Connection, connect, transaction
from gateway.outbox.lanes import Change, Tried
from gateway.outbox.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = (1_000, 100_000, 1_000_000, 4_000_000)
#: What is measured in turns: events accepted, deliveries read and acknowledged, by the round.
ROUNDS, ACCEPTED, READ, BATCH, GROUP = 3, 20_000, 20_000, 1_000, 100

#: `:start` to `:stop`, without the last.
NUMBERS = "WITH RECURSIVE number (n) AS (SELECT :start UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :stop)"
ROWS = {
    "event": "n, :now, 'web', 'Purchase', 'order-' || n, 1, :payload",
    "clear": "n, :clear",
    "delivery": ":lane, n, 'waiting', 1, :now - 60, 0, :now - 60 + n * 1e-6, 0, NULL, 'http_503', '', :now, ''",
}


@dataclass
class Built:
    """An outbox with a backlog, open."""

    events: int
    outbox: Outbox
    #: Seconds from nothing to ready.
    started_s: float
    #: Resident memory that it added, in bytes.
    grown: int
    #: Lane → where it reads on.
    hand: Hand


def run(sizes: Sequence[int] = SIZES) -> None:
    """Print costs and ratios."""
    asyncio.run(_run(sizes))


async def _run(sizes: Sequence[int]) -> None:
    record = await _record()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        built = []
        for size in sizes:
            path = Path(name) / f"{size}.db"
            _build(path, size, record)
            built.append(_start(path, size))
        costs: dict[int, list[dict[str, float]]] = {one.events: [] for one in built}
        for turn in range(ROUNDS):
            for one in built:
                costs[one.events].append(await _measure(one, record, turn))
        first = built[0].events
        for one in built:
            _report(one, _best(costs[one.events]), _best(costs[first]))
            one.outbox.close()


async def _record() -> Record:
    """An ordinary event as the door would store it."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        settings = setup.load(setup.write(Path(name), port=1, sink_port=1))
        outbox, kept = Outbox(settings.outbox.path), []

        async def append(records: Sequence[Record]) -> list[Any]:
            kept.extend(records)
            return [lanes for _ in records]

        outbox.append = append  # type: ignore[assignment,method-assign]
        with contextlib.suppress(AttributeError):  # there is no answer to give
            await Door(settings, outbox).accept(Body([numbered(1)], False), settings.sources["web"])
        return kept[0]


def _build(path: Path, size: int, one: Record) -> None:
    """An outbox of `size` events that one lane has still to read, and as many rows of another that waits."""
    db = connect(path)
    migrate(db, path)
    db.execute("PRAGMA synchronous = OFF")
    now = time.time()
    with transaction(db):
        db.execute("INSERT INTO decision VALUES (1, ?)", (one.decision,))
        lanes.open_lane(db, "meta", 1)
        waiting = lanes.open_lane(db, "tiktok", 1).id
    for start in range(1, size + 1, 50_000):
        stop = min(start + 50_000, size + 1)
        with transaction(db):
            span = {
                "start": start,
                "stop": stop,
                "now": now,
                "lane": waiting,
                "clear": one.clear,
                "payload": one.payload,
            }
            for table, row in ROWS.items():
                db.execute(f"{NUMBERS} INSERT INTO {table} SELECT {row} FROM number", span)  # noqa: S608  # all ours
            for first in range(start, stop, GROUP):
                count = min(GROUP, stop - first)
                db.execute(
                    "INSERT INTO intake VALUES (?, ?, ?, ?, ?, NULL)",
                    (first, count, now, os.urandom(4 * count), os.urandom(8 * count)),
                )
            db.execute("UPDATE lane SET cursor = ? WHERE id = ?", (stop - 1, waiting))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _start(path: Path, size: int) -> Built:
    before, begun = _resident(), time.perf_counter()
    outbox = Outbox(path)
    outbox.start()

    def look(db: Connection) -> None:
        for name in ("meta", "tiktok"):
            row = lanes.open_lane(db, name, lanes.end_of_log(db))
            lanes.settled_after(db, row.id, row.cursor)
            lanes.waiting_serials(db, row.id)

    outbox.write_blocking(look)
    return Built(size, outbox, time.perf_counter() - begun, _resident() - before, Hand())


async def _measure(one: Built, record: Record, turn: int) -> dict[str, float]:
    """Costs in µs an event or delivery, `keep` in ms a step."""
    found = {"accept": await _accept(one, record)}
    found["log"] = await _log(one)
    found["due"] = await _due(one)
    found["keep"] = await _keep(one)
    return found


async def _accept(one: Built, record: Record) -> float:
    records = [
        msgspec.structs.replace(record, dedup_key=int.from_bytes(os.urandom(8), "little", signed=True))
        for _ in range(ACCEPTED)
    ]
    groups = [records[at : at + GROUP] for at in range(0, ACCEPTED, GROUP)]
    begun = time.process_time()
    for group in groups:
        await one.outbox.append(group)
    return (time.process_time() - begun) / ACCEPTED * 1e6


async def _log(one: Built) -> float:
    """Read the log and write down that it was delivered, a batch at a time, as a lane does."""
    wanted, done, begun = min(READ, one.events // ROUNDS), 0, time.process_time()
    while done < wanted:
        read: list[Any] = []
        while len(read) < min(BATCH, wanted - done):
            limit = min(500, wanted - done - len(read))
            log, rows = await one.outbox.read(_look(one.hand.scan, limit))
            read += one.hand.take_log(log, rows)
        done += len(read)
        seqs = [stored.seq for stored in read]
        await _acknowledge(one, 1, seqs, [], [])
        one.hand.settle(seqs)
    return (time.process_time() - begun) / done * 1e6


def _look(scan: int, limit: int) -> Callable[[Connection], tuple[list[Any], set[int]]]:
    def look(db: Connection) -> tuple[list[Any], set[int]]:
        log = lanes.read_log(db, scan, limit)
        return log, lanes.rows_among(db, 1, log)

    return look


async def _due(one: Built) -> float:
    """Read what waits, half of it delivered and half to be tried again."""
    wanted, done, begun = min(READ, one.events // ROUNDS), 0, time.process_time()
    while done < wanted:
        now, end = time.time(), one.events
        limit = min(500, wanted - done)
        due = await one.outbox.read(lambda db, at=now, to=end, most=limit: lanes.read_due(db, 2, at, most, to))
        seqs = [delivery.event.seq for delivery in due]
        again = [Change(seq, State.WAITING, 2, now, 0.0, now + 3600, code="http_503") for seq in seqs[1::2]]
        await _acknowledge(one, 2, sorted(seqs), seqs[::2], again)
        done += len(seqs)
    return (time.process_time() - begun) / done * 1e6


async def _acknowledge(one: Built, lane: int, seqs: list[int], settled: list[int], changes: list[Change]) -> None:
    tried = Tried(seqs, time.time(), 0.1, 200, "mixed" if changes else "delivered", "", "")
    cursor, now = one.hand.cursor if lane == 1 else None, time.time()
    await one.outbox.write(
        lambda db: lanes.record(db, lane, cursor=cursor, tried=tried, settled=settled, changes=changes, now=now)
    )


async def _keep(one: Built) -> float:
    """The longest that a step of the retention holds the writer, in ms; where it begins is a reader's to find."""
    longest, now, running = 0.0, time.time(), [1, 2]
    steps: dict[str, tuple[float | None, Callable[..., int]]] = {
        "addresses": (None, partial(retention.shred_clear, lanes=running, older_than=None)),
        "payloads": (now, partial(retention.drop_payloads, lanes=running, older_than=now)),
        "events": (now, partial(retention.drop_events, lanes=running, older_than=now, dedup_since=now - 60, now=now)),
    }
    for what, (old, step) in steps.items():
        look = partial(retention.first_free, lanes=running, what=what, older_than=old, start=0)
        start = await one.outbox.read(look) or one.events
        begun = time.perf_counter()
        await one.outbox.write(partial(step, start=start))
        longest = max(longest, time.perf_counter() - begun)
    return longest * 1000


def _best(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {key: min(one[key] for one in rounds) for key in rounds[0]}


def _report(one: Built, costs: dict[str, float], first: dict[str, float]) -> None:
    print(
        f"  {one.events:>9,} waiting: start {one.started_s:.2f} s, memory {one.grown / 1e6:+.0f} MB; "
        f"accepting {first['accept'] / costs['accept']:.2f} of the first; "
        f"log read and acknowledged {costs['log']:.2f} µs, due {costs['due']:.2f} µs a delivery; "
        f"retention at most {costs['keep']:.0f} ms a step"
    )


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
