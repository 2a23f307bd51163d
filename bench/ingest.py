"""Accepting: the gateway against an endpoint that only reads and answers, in turns, on the same core."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import setup, stages
from bench.machine import cores, cpu_seconds, family, free_port, python, resident_bytes, server

ROUNDS, SECONDS = 3, 3.0
#: Events in a request → connections that saturate a core with them.
LOADS = {1: 64, 100: 8}


@dataclass(frozen=True)
class Measured:
    """One server under one load."""

    #: Events accepted, each second.
    rate: float
    #: Events accepted in a second of processor time: what one core does.
    per_core: float
    p99_ms: float
    #: Share of requests answered 429.
    refused: float


def run(*, dispatching: bool = False) -> None:
    """Print rates and ratios."""
    on, load_on = cores()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        noop_port, port, sink_port = free_port(), free_port(), free_port()
        config = setup.write(folder, port=port, sink_port=sink_port)
        flags = [] if dispatching else ["--no-dispatch"]
        with (
            server(python("bench.noop", noop_port), noop_port, on=on, cwd=folder) as noop,
            server(python("bench.sink", sink_port), sink_port, on=load_on, cwd=folder),
            server(python("gateway", "serve", "--config", config, *flags), port, on=on, cwd=folder) as gateway,
        ):
            for batch, connections in LOADS.items():
                pairs = [
                    (
                        drive(noop.pid, noop_port, batch, connections),
                        drive(gateway.pid, port, batch, connections),
                    )
                    for _ in range(ROUNDS)
                ]
                rate, noop_rate = _report(batch, pairs)
                if batch > 1:
                    alone = sum(us for name, us in stages.measure().items() if name != "enrich")
                    spent = 1e6 / statistics.median(ours.per_core for _, ours in pairs)
                    print(f"    {spent / alone:.1f} times what decode, verdict, consent, hash and encode cost alone")
                if batch == 1:
                    quiet = drive(gateway.pid, port, batch, connections, rate=rate / 2)
                    beside = drive(noop.pid, noop_port, batch, connections, rate=noop_rate / 2)
                    print(f"    at half of its rate: p99 {quiet.p99_ms:.1f} ms; the no-op {beside.p99_ms:.1f} ms")
            print(f"  resident memory of the gateway: {resident_bytes(gateway.pid) / 1e6:.0f} MB")


def drive(pid: int, port: int, batch: int, connections: int, *, rate: float = 0.0) -> Measured:
    """Load a server for a while: as fast as it answers, or at so many requests a second."""
    _, load_on = cores()
    command = python("bench.load", "127.0.0.1", port, "/v1/events", batch, connections, SECONDS, setup.KEY, rate)
    before = _spent(pid)
    done = subprocess.run(command, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, load_on))
    used = _spent(pid) - before
    found = json.loads(done.stdout)
    statuses = found["statuses"]
    if not set(statuses) <= {"202", "429"} or "202" not in statuses:
        raise SystemExit(f"not every request was accepted: {statuses}")
    events = statuses["202"] * batch
    refused = statuses.get("429", 0) / found["requests"]
    return Measured(events / found["seconds"], events / max(used, 1e-9), found["p99"], refused)


def _spent(pid: int) -> float:
    return sum(cpu_seconds(one) for one in family(pid))


def _report(batch: int, pairs: list[tuple[Measured, Measured]]) -> tuple[float, float]:
    """Print a comparison; returns both rates."""
    middle = statistics.median
    rate, core = middle(ours.rate for _, ours in pairs), middle(ours.per_core for _, ours in pairs)
    noop_rate, noop_core = middle(noop.rate for noop, _ in pairs), middle(noop.per_core for noop, _ in pairs)
    p99, noop_p99 = middle(ours.p99_ms for _, ours in pairs), middle(noop.p99_ms for noop, _ in pairs)
    name = "single events" if batch == 1 else f"batches of {batch}"
    print(f"  {name}: {rate:,.0f} events/s, {core:,.0f} per core-second; {1e6 / core:.0f} µs an event")
    print(f"    against the no-op ({noop_rate:,.0f}/s): rate", end=" ")
    print(f"{middle(ours.rate / noop.rate for noop, ours in pairs):.2f}, per core {core / noop_core:.2f};", end=" ")
    print(f"p99 {p99:.1f} ms against {noop_p99:.1f} ms: {p99 / noop_p99:.1f} times;", end=" ")
    print(f"answered 429: {middle(ours.refused for _, ours in pairs):.1%}")
    return rate, noop_rate
