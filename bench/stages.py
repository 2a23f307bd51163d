"""What an event costs on its way through the door, stage by stage, in microseconds of one core."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import setup
from bench.events import numbered
from gateway.ingest.decode import JSON, read_body
from gateway.ingest.draft import Draft
from gateway.ingest.pipeline import STAGES, Door
from gateway.ingest.record import read, record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Settings


class Nobody:
    """Remembers nobody."""

    key = bytes(32)

    def denial(self, people: Sequence[int]) -> None:
        """Nothing was taken back."""


EVENTS, ROUNDS = 2_000, 7


def run() -> None:
    """Print the tables."""
    door, settings = made(setup.PLATFORMS)
    found = measure(door, settings)
    for name, us in found.items():
        print(f"  {name:<10} {us:6.1f} µs")
    size = len(json.dumps(numbered(1)))
    print(f"  {'sum':<10} {sum(found.values()):6.1f} µs an event, {size} bytes, five destinations")
    print(f"  {'in turn':<10} {_in_turn(door, settings):6.1f} µs, one event after another through all of them")
    _one_more()
    _mapping(door, settings)


def measure(door: Door | None = None, settings: Settings | None = None) -> dict[str, float]:
    """Stage → microseconds an event, each stage by itself over many events: the best of a few rounds."""
    if door is None or settings is None:
        door, settings = made(setup.PLATFORMS)
    rounds = [_round(door, settings.sources["web"]) for _ in range(ROUNDS)]
    names = ["decode", *(stage.__name__ for stage in STAGES), "record"]
    best = [min(times) for times in zip(*rounds, strict=True)]
    return {name: seconds / EVENTS * 1e6 for name, seconds in zip(names, best, strict=True)}


def made(destinations: tuple[str, ...]) -> tuple[Door, Settings]:
    """A door that stores nothing, and its configuration. Events get their pseudonyms as with an outbox."""
    with tempfile.TemporaryDirectory() as folder:
        settings = setup.load(setup.write(Path(folder), port=1, sink_port=2, destinations=destinations))
    door = Door(settings, None)
    door.setup = replace(door.setup, recall=Nobody())
    return door, settings


def _in_turn(door: Door, settings: Settings) -> float:
    source, now = settings.sources["web"], time.time()
    raws, best = [numbered(number) for number in range(EVENTS)], 1.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for raw in raws:
            door.take(raw, source, now)
        best = min(best, time.perf_counter() - start)
    return best / EVENTS * 1e6


def _one_more() -> None:
    """What a destination more costs at the door, in turns."""
    few, many = (made(setup.PLATFORMS[:count]) for count in (1, len(setup.PLATFORMS)))
    pairs = [(_in_turn(*few), _in_turn(*many)) for _ in range(3)]
    more = [(five - one) / (len(setup.PLATFORMS) - 1) for one, five in pairs]
    print(f"  {'one more':<10} {statistics.median(more):6.1f} µs for each destination past the first")


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
        event = read(taken.record.payload, taken.record.clear, door.gate.keyring)
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
