"""Ten times what can be taken, from senders that heed no refusal: what is accepted, how soon, and is it on disk?"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import setup
from bench.machine import cores, free_port, python, resident_bytes, server

#: Seconds at the sustainable rate and at `TIMES` it; connections of the two.
SECONDS, FLOOD_SECONDS, CONNECTIONS, FLOOD_CONNECTIONS = 4.0, 120.0, 64, 2000
TIMES = 10
#: Events in a request. Ten times the rate of single ones is more than one core of a load generator sends.
BATCHES = (1, 25)


@dataclass
class Memory:
    """The most that a process held while it was watched."""

    pid: int
    peak: int = 0
    over: bool = False

    def watch(self) -> None:
        while not self.over:
            self.peak = max(self.peak, resident_bytes(self.pid))
            time.sleep(0.05)


def run() -> None:
    """Print rates, counts and ratios."""
    for batch in BATCHES:
        _report(measure(batch, FLOOD_SECONDS, SECONDS))


def measure(batch: int, seconds: float, calm_s: float) -> dict[str, Any]:
    """A server at its sustainable rate, then flooded, then again as before; what became of all requests."""
    on, load_on = cores()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder, port, sink_port = Path(name), free_port(), free_port()
        config = setup.write(folder, port=port, sink_port=sink_port)
        command = python("gateway", "serve", "--config", config, "--no-dispatch")
        with server(command, port, on=on, cwd=folder) as gateway:
            ordinary = (gateway.pid, load_on, "bench.load", port, batch, CONNECTIONS, calm_s, setup.KEY)
            calm, normal = _driven(*ordinary)
            rate = calm["statuses"]["202"] / calm["seconds"]
            args = (port, batch, FLOOD_CONNECTIONS, seconds, setup.KEY, TIMES * rate)
            flood, peak = _driven(gateway.pid, load_on, "bench.flood", *args)
            # what goes on afterwards: nothing is left of it
            after, _ = _driven(*ordinary)
        with sqlite3.connect(f"file:{folder / 'gateway.db'}?mode=ro", uri=True) as db:
            stored = db.execute("SELECT count(*) FROM event").fetchone()[0]
    well = after["statuses"].get("202", 0)
    accepted = (calm["statuses"]["202"] + flood["accepted"] + well) * batch
    found = {"batch": batch, "rate": rate, "accepted_events": accepted, "stored": stored, "lost": accepted - stored}
    return {**flood, **found, "normal": normal, "peak": peak, "after": well / after["seconds"] / rate}


def _report(found: dict[str, Any]) -> None:
    rate, seconds, batch = found["rate"], found["seconds"], found["batch"]
    what = "single events" if batch == 1 else f"batches of {batch}"
    print(f"  {what}: sustainable {rate:,.0f} requests/s; {TIMES} times that for {seconds:.0f} s")
    print(f"    offered {found['offered']:,} ({found['offered'] / seconds / rate:.1f} times)", end=", ")
    print(f"sent {found['sent']:,} ({found['sent'] / seconds / rate:.1f} times), answers {found['statuses']}")
    print(f"    Retry-After {', '.join(found['retry_after'])}; unanswered {found['unanswered']}")
    print(f"    accepted {found['accepted'] / seconds / rate:.2f} of the sustainable rate", end="; ")
    print(f"afterwards {found['after']:.2f}")
    print(f"    accepted ones p50 {found['accepted_ms']['p50']} ms, p99 {found['accepted_ms']['p99']} ms", end=", ")
    print(f"worst {found['accepted_ms']['max']} ms; refused ones p99 {found['refused_ms']['p99']} ms")
    print(f"    memory {found['peak'] / 1e6:.0f} MB against {found['normal'] / 1e6:.0f} MB:", end=" ")
    print(f"{found['peak'] / found['normal']:.2f} times")
    print(f"    events accepted {found['accepted_events']:,}, stored {found['stored']:,}, lost {found['lost']}")


def _driven(pid: int, on: set[int], module: str, port: int, *args: object) -> tuple[dict[str, Any], int]:
    """Run a load generator to its end; returns what it found and the server's peak of memory."""
    memory = Memory(pid)
    watching = threading.Thread(target=memory.watch)
    watching.start()
    try:
        command = python(module, "127.0.0.1", port, "/v1/events", *args)
        pin = lambda: os.sched_setaffinity(0, on)  # noqa: E731
        done = subprocess.run(command, check=True, capture_output=True, preexec_fn=pin)
    finally:
        memory.over = True
        watching.join()
    found: dict[str, Any] = json.loads(done.stdout)
    return found, memory.peak
