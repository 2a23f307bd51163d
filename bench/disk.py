"""Bytes on disk for each event: while it waits, once it is delivered, and after its payload's retention."""

from __future__ import annotations

import asyncio
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from bench import setup
from bench.events import PURCHASE, numbered
from bench.machine import free_port, python, server
from gateway.delivery.dispatcher import Dispatcher
from gateway.ingest.decode import Body
from gateway.ingest.pipeline import Door
from gateway.outbox import Outbox, retention
from gateway.outbox.lanes import lane_ids, open_lanes

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config import Settings

EVENTS = 20_000
#: The least that a page view says.
PAGE_VIEW = {
    "event_name": "PageView",
    "event_source_url": "https://shop.example/",
    "user_data": {key: PURCHASE["user_data"][key] for key in ("client_ip_address", "client_user_agent", "fbp")},
    "consent": PURCHASE["consent"],
}


def run() -> None:
    """Print bytes an event."""
    for what, make in (("purchases", numbered), ("page views", lambda number: {**PAGE_VIEW, "event_id": f"v{number}"})):
        for destinations in (("meta",), setup.PLATFORMS):
            with tempfile.TemporaryDirectory() as name:
                folder, port = Path(name), free_port()
                with server(python("bench.sink", port), port, on=None, cwd=folder):
                    path = setup.write(folder, port=1, sink_port=port, destinations=destinations)
                    anyio.run(_measure, setup.load(path), f"{what}, {len(destinations)} destinations", make)


async def _measure(settings: Settings, what: str, make: Callable[[int], dict[str, Any]]) -> None:
    outbox = Outbox(settings.outbox.path)
    outbox.start()
    await outbox.write(lambda db: open_lanes(db, settings.enabled))
    empty = await outbox.read(_used)
    door = Door(settings, outbox)
    for start in range(0, EVENTS, 500):
        await door.accept(Body([make(number) for number in range(start, start + 500)], False), settings.sources["web"])
    waiting = await outbox.read(_used)
    dispatcher = Dispatcher(settings, outbox)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        with anyio.fail_after(120):
            while not await outbox.read(_settled):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        dispatcher.stop()
    lanes = await outbox.read(lambda db: lane_ids(db, settings.enabled)) or []
    await _all(outbox, partial(retention.shred_clear, lanes=lanes, older_than=None))
    delivered = await outbox.read(_used)
    await outbox.write(lambda db: db.execute("DELETE FROM receipt").rowcount)  # what platforms report is in
    await _all(outbox, partial(retention.drop_payloads, lanes=lanes, older_than=2**40))
    bare = await outbox.read(_used)
    outbox.close()
    found = [(one - empty) / EVENTS for one in (waiting, delivered, bare)]
    print(f"  {what}: {found[0]:,.0f} bytes waiting, {found[1]:,.0f} delivered, {found[2]:,.0f} without payload")


async def _all(outbox: Outbox, step: Callable[[Any], int]) -> None:
    while await outbox.write(step) >= retention.STEP:
        pass


def _used(db: Any) -> int:
    """Bytes of pages in use, the write-ahead log's included."""
    pages, free, size = (
        db.execute(f"PRAGMA {one}").fetchone()[0] for one in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _settled(db: Any) -> bool:
    last = db.execute("SELECT max(seq) FROM event").fetchone()[0]
    late = db.execute("SELECT count(*) FROM lane WHERE cursor < ?", (last,)).fetchone()[0]
    return not late and not db.execute("SELECT 1 FROM delivery WHERE state = 'waiting' LIMIT 1").fetchone()
