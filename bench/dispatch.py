"""Delivering: a full outbox to a local sink, with the whole mapping of all five destinations."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

import anyio
import uvloop

from bench import setup
from bench.events import numbered
from bench.machine import cores, free_port, python, server
from gateway.delivery.dispatcher import Dispatcher
from gateway.ingest.decode import Body
from gateway.ingest.pipeline import Door
from gateway.outbox import Outbox

EVENTS = 20_000


def run() -> None:
    """Print deliveries a second of one core."""
    on, load_on = cores()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder, sink_port = Path(name), free_port()
        with server(python("bench.sink", sink_port), sink_port, on=load_on, cwd=folder):
            os.sched_setaffinity(0, on)
            try:
                for destinations in (("meta",), setup.PLATFORMS):
                    path = setup.write(folder, port=1, sink_port=sink_port, destinations=destinations)
                    uvloop.run(_drain(path, destinations))
                    for file in folder.glob("gateway.db*"):
                        file.unlink()
            finally:
                os.sched_setaffinity(0, on | load_on)


async def _drain(path: Path, destinations: tuple[str, ...]) -> None:
    settings = setup.load(path)
    outbox = Outbox(settings.outbox.path)
    outbox.start()
    door = Door(settings, outbox)
    warm = Dispatcher(settings, outbox)
    async with anyio.create_task_group() as tasks:  # so that the lanes exist before there is something to deliver
        tasks.start_soon(warm.run)
        await asyncio.sleep(0.5)
        warm.stop()
    for start in range(0, EVENTS, 500):
        await door.accept(Body([numbered(start + at) for at in range(500)], False), settings.sources["web"])
    done = 0

    def count(attempt: object) -> None:
        nonlocal done
        if attempt.verdict in ("delivered", "received"):  # type: ignore[attr-defined]
            done += attempt.size  # type: ignore[attr-defined]

    dispatcher = Dispatcher(settings, outbox, observe=count)
    wall, cpu = time.perf_counter(), time.process_time()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatcher.run)
        while done < EVENTS * len(destinations):
            if time.perf_counter() - wall > 120:
                raise SystemExit(f"only {done} of {EVENTS * len(destinations)} deliveries in two minutes")
            await asyncio.sleep(0.02)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        dispatcher.stop()
    outbox.close()
    print(f"  to {', '.join(destinations)}: {done / wall:,.0f} deliveries/s, {done / cpu:,.0f} per core-second")
