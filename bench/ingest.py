"""Accepting: the gateway against an endpoint that only reads and answers, in turns, on the same core."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench import setup
from bench.machine import cores, cpu_seconds, free_port, python, resident_bytes, server

ROUNDS, SECONDS, CONNECTIONS = 3, 3.0, 64


@dataclass(frozen=True)
class Measured:
    """One server under one load."""

    rate: float
    #: Events a second of processor time: what one core does.
    per_core: float
    p99_ms: float


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
            for batch, connections in ((1, CONNECTIONS), (100, 16)):
                pairs = [
                    (
                        _drive(noop.pid, noop_port, batch, connections, load_on),
                        _drive(gateway.pid, port, batch, connections, load_on),
                    )
                    for _ in range(ROUNDS)
                ]
                _report(batch, pairs)
            print(f"  resident memory of the gateway: {resident_bytes(gateway.pid) / 1e6:.0f} MB")


def _drive(pid: int, port: int, batch: int, connections: int, on: set[int]) -> Measured:
    command = python("bench.load", "127.0.0.1", port, "/v1/events", batch, connections, SECONDS, setup.KEY)
    before = cpu_seconds(pid)
    done = subprocess.run(command, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, on))
    used = cpu_seconds(pid) - before
    found = json.loads(done.stdout)
    if set(found["statuses"]) != {"202"}:
        raise SystemExit(f"not every request was accepted: {found['statuses']}")
    return Measured(found["events"] / found["seconds"], found["events"] / max(used, 1e-9), found["p99"])


def _report(batch: int, pairs: list[tuple[Measured, Measured]]) -> None:
    middle = statistics.median
    rate, core = middle(ours.rate / noop.rate for noop, ours in pairs), middle(ours.per_core for _, ours in pairs)
    noop_core = middle(noop.per_core for noop, _ in pairs)
    p99, noop_p99 = middle(ours.p99_ms for _, ours in pairs), middle(noop.p99_ms for noop, _ in pairs)
    name = "single events" if batch == 1 else f"batches of {batch}"
    print(f"  {name}: {middle(ours.rate for _, ours in pairs):,.0f} events/s, {core:,.0f} per core-second")
    print(f"    against the no-op: rate {rate:.2f}, per core {core / noop_core:.2f};", end=" ")
    print(f"p99 {p99:.1f} ms against {noop_p99:.1f} ms")
