"""Against what a site would otherwise write: an endpoint that commits each event, and posts it itself.

python -m bench.naive PORT [SINK_PORT]     that endpoint: it stores; with a sink it also posts, before it answers
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route

from bench import setup
from bench.ingest import LOADS, ROUNDS, SECONDS, drive
from bench.machine import cores, free_port, python, server

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

#: One event a request: that endpoint knows no other.
CONNECTIONS = LOADS[1]


def run() -> None:
    """Print rates and ratios."""
    _compare("storing", posting=False)
    _compare("storing and posting to one destination", posting=True)


def _compare(what: str, *, posting: bool) -> None:
    on, load_on = cores()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name, contextlib.ExitStack() as running:
        folder, plain_port, port, sink_port = Path(name), free_port(), free_port(), free_port()
        config = setup.write(folder, port=port, sink_port=sink_port, destinations=("meta",))

        def started(command: Sequence[str], at: int, where: set[int]) -> subprocess.Popen[bytes]:
            return running.enter_context(server(command, at, on=where, cwd=folder))

        started(python("bench.sink", sink_port), sink_port, load_on)
        plain = started(python("bench.naive", plain_port, *([sink_port] if posting else [])), plain_port, on)
        flags = [] if posting else ["--no-dispatch"]
        gateway = started(python("gateway", "serve", "--config", config, *flags), port, on)
        pairs = []
        for _ in range(ROUNDS):
            theirs = drive(plain.pid, plain_port, 1, CONNECTIONS).rate
            ours = _delivered(gateway.pid, port) if posting else drive(gateway.pid, port, 1, CONNECTIONS).rate
            pairs.append((theirs, ours))
    theirs, ours = map(statistics.median, zip(*pairs, strict=True))
    ratio = statistics.median(our / their for their, our in pairs)
    print(f"  {what}: {ours:,.0f} events/s against {theirs:,.0f}: {ratio:.1f} times")


def _delivered(pid: int, port: int) -> float:
    """Events a second, counted until the last of them is delivered."""
    accepted = drive(pid, port, 1, CONNECTIONS).rate * SECONDS
    ended = time.perf_counter()
    while not _all_delivered(port):
        time.sleep(0.02)
    return accepted / (SECONDS + time.perf_counter() - ended)


def _all_delivered(port: int) -> bool:
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=60).text
    behind = [line for line in text.splitlines() if line.startswith("gateway_lane_behind{")]
    if not behind:
        raise SystemExit("no lane says how far it is behind")
    return all(float(line.rpartition(" ")[2]) == 0 for line in behind)


def app(path: Path, sink: str | None) -> Starlette:
    """The endpoint, as one writes it in an afternoon: hash, insert, commit, post, answer."""
    db, lock = sqlite3.connect(path, check_same_thread=False), threading.Lock()
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")  # what a 2xx promises is on disk, as ours is
    db.execute("CREATE TABLE IF NOT EXISTS event (id TEXT PRIMARY KEY, body TEXT, sent INTEGER)")
    client = httpx.AsyncClient()

    def store(event: dict[str, Any]) -> None:
        with lock, db:
            db.execute("INSERT OR IGNORE INTO event VALUES (?, ?, 0)", (event["event_id"], json.dumps(event)))

    async def take(request: Request) -> JSONResponse:
        event = await request.json()
        person = event["user_data"]
        for key in ("email", "phone", "external_id", "first_name", "last_name", "city", "state", "zip", "country"):
            person[key] = hashlib.sha256(person[key].strip().lower().encode()).hexdigest()
        await run_in_threadpool(store, event)
        if sink is not None:
            answer = await client.post(f"{sink}/meta", json={"data": [event]})
            answer.raise_for_status()
        return JSONResponse({"ok": True}, 202)

    @contextlib.asynccontextmanager
    async def life(_app: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(routes=[Route("/v1/events", take, methods=["POST"])], lifespan=life)


if __name__ == "__main__":
    port_, *sink_ = sys.argv[1:]
    served = app(Path(f"naive-{port_}.db"), f"http://127.0.0.1:{sink_[0]}" if sink_ else None)
    uvicorn.run(served, port=int(port_), loop="uvloop", http="httptools", access_log=False, log_level="warning")
