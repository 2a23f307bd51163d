"""What it costs to remember visits and to join them to orders: processor time an event, in turns without and with."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from bench import setup
from bench.disk import PAGE_VIEW
from bench.events import PURCHASE
from gateway.ingest.decode import Body
from gateway.ingest.pipeline import Door
from gateway.outbox import Outbox
from gateway.outbox.lanes import open_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Settings

#: Visitors, and the pages that each looks at; events of one request; turns.
VISITORS, PAGES, BODY, TURNS = 2_000, 5, 100, 5


def run() -> None:
    """Print the cost of an event without and with visits, and what is left of the rate."""
    turns = [(_turn(remember=False), _turn(remember=True)) for _ in range(TURNS)]
    for at, what in enumerate(("page views", "orders", "of guests")):
        without, with_ = (statistics.median(turn[side][at] for turn in turns) for side in (0, 1))
        print(
            f"  {what:<11} {without:6.1f} µs an event without, {with_:6.1f} µs with, {without / with_:.2f} of the rate"
        )


def _turn(*, remember: bool) -> list[float]:
    with tempfile.TemporaryDirectory() as name:
        settings = setup.load(setup.write(Path(name), port=1, sink_port=2))
        source = replace(settings.sources["web"], remember_visits=remember)
        return anyio.run(_measure, replace(settings, sources={"web": source}))


async def _measure(settings: Settings) -> list[float]:
    outbox = Outbox(settings.outbox.path)
    outbox.start()
    await outbox.write(lambda db: open_lanes(db, settings.enabled))
    door = Door(settings, outbox)
    views = [_page(visitor, page) for page in range(PAGES) for visitor in range(VISITORS)]
    orders = ([make(one) for one in range(VISITORS)] for make in (_order, _guest))
    times = [await _taken(door, settings, events) for events in (views, *orders)]
    outbox.close()
    return times


async def _taken(door: Door, settings: Settings, events: Sequence[dict[str, Any]]) -> float:
    start = time.process_time()
    for at in range(0, len(events), BODY):
        await door.accept(Body(list(events[at : at + BODY]), odd=False), settings.sources["web"])
    return (time.process_time() - start) / len(events) * 1e6


def _page(visitor: int, page: int) -> dict[str, Any]:
    user_data = {**PAGE_VIEW["user_data"], "anonymous_id": f"visitor-{visitor}"}
    return {**PAGE_VIEW, "event_id": f"v{visitor}-{page}", "user_data": user_data}


def _order(visitor: int) -> dict[str, Any]:
    user_data = {"email": f"user{visitor}@example.com", "anonymous_id": f"visitor-{visitor}"}
    custom_data = {**PURCHASE["custom_data"], "order_id": str(visitor)}
    return {**PURCHASE, "event_id": f"order-{visitor}", "user_data": user_data, "custom_data": custom_data}


def _guest(visitor: int) -> dict[str, Any]:
    """An order whose shop calls all guests by one id."""
    order = _order(visitor)
    return {**order, "event_id": f"guest-{visitor}", "user_data": {**order["user_data"], "external_id": "guest"}}
