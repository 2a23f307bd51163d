"""What an event costs on its way through the door, stage by stage, in microseconds of one core."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from bench import setup
from bench.events import numbered
from gateway.ingest.decode import JSON, read_body
from gateway.ingest.draft import Draft
from gateway.ingest.pipeline import STAGES, Door
from gateway.ingest.record import read, record

EVENTS, ROUNDS = 2_000, 7


def run() -> float:
    """Print the table; returns the sum in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        settings = setup.load(setup.write(Path(folder), port=1, sink_port=2))
    door, source = Door(settings, None), settings.sources["web"]
    rounds = [_round(door, source) for _ in range(ROUNDS)]
    names = ["decode", *(stage.__name__ for stage in STAGES), "record"]
    best = [min(times) for times in zip(*rounds, strict=True)]
    for name, seconds in zip(names, best, strict=True):
        print(f"  {name:<10} {seconds / EVENTS * 1e6:6.1f} µs")
    total = sum(best) / EVENTS * 1e6
    print(f"  {'sum':<10} {total:6.1f} µs an event, {len(json.dumps(numbered(1)))} bytes, five destinations")
    _mapping(door, settings)
    return total


def _round(door: Door, source: object) -> list[float]:
    bodies = [json.dumps(numbered(number)).encode() for number in range(EVENTS)]
    now = time.time()
    start = time.perf_counter()
    raws = [read_body(body, JSON, "", max_bytes=10**6, max_events=1).events[0] for body in bodies]
    times = [time.perf_counter() - start]
    drafts = [Draft(raw, source, now) for raw in raws]  # type: ignore[arg-type]
    for stage in (*STAGES, record):
        start = time.perf_counter()
        for draft in drafts:
            stage(draft, door.setup)
        times.append(time.perf_counter() - start)
    return times


def _mapping(door: Door, settings: object) -> None:
    from gateway.delivery.claims import Claimer

    taken = door.take(numbered(1), settings.sources["web"], time.time())  # type: ignore[attr-defined]
    if taken.record is None:
        raise SystemExit(f"the benchmark's event was refused: {taken.errors}")
    for name, instance in settings.enabled.items():  # type: ignore[attr-defined]
        claimer = Claimer(instance, door.gate)
        event = read(taken.record.payload, taken.record.clear)
        view = claimer.view(event, limited=False)
        best = {"view": 1.0, "map": 1.0}
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(EVENTS):
                claimer.view(event, limited=False)
            best["view"] = min(best["view"], time.perf_counter() - start)
            start = time.perf_counter()
            for _ in range(EVENTS):
                instance.destination.map_event(view, instance.config)
            best["map"] = min(best["map"], time.perf_counter() - start)
        print(f"  {name:<10} view {best['view'] / EVENTS * 1e6:5.1f} µs, map {best['map'] / EVENTS * 1e6:5.1f} µs")
