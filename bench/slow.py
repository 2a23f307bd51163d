"""A thousand connections that send their headers or bodies by drops: what do they cost the others?"""

from __future__ import annotations

import socket
import statistics
import tempfile
import time
from pathlib import Path

from bench import setup
from bench.machine import cores, free_port, python, server
from bench.overload import _driven

SLOW, ROUNDS, SECONDS, CONNECTIONS = 1000, 5, 3.0, 8
HEAD = f"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Write-Key: {setup.KEY}\r\nContent-Type: application/json\r\n".encode()


def run() -> None:
    """Print the healthy clients' p99 with and without the slow ones, and when these were closed."""
    on, load_on = cores()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder, port, sink_port = Path(name), free_port(), free_port()
        config = setup.write(folder, port=port, sink_port=sink_port)
        command = python("gateway", "serve", "--config", config, "--no-dispatch")
        with server(command, port, on=on, cwd=folder) as gateway:
            healthy = (gateway.pid, load_on, "bench.load", port, 1, CONNECTIONS, SECONDS, setup.KEY)
            _driven(*healthy)
            pairs, held = [], []
            for _ in range(ROUNDS):
                without, _memory = _driven(*healthy)
                slow, begun = [_slow(port, number) for number in range(SLOW)], time.monotonic()
                beside, _memory = _driven(*healthy)
                pairs.append((without["p99"], beside["p99"]))
                held.append((slow, begun))
                _hang_up(slow if len(held) < ROUNDS else [])
            seconds = _closed_after(*held[-1])
    ratio = statistics.median(beside / without for without, beside in pairs)
    print(f"  p99 beside {SLOW:,} slow connections: {ratio:.2f} times that without (median of {ROUNDS} pairs: {pairs})")
    print(f"  the last of them was closed {seconds:.1f} s after it came")


def _slow(port: int, number: int) -> socket.socket:
    """A connection that stops in its headers, in its body, or before anything."""
    one = socket.create_connection(("127.0.0.1", port))
    one.sendall((b"POST /v1/ev", HEAD + b"Content-Length: 1000\r\n\r\n{", b"")[number % 3])
    return one


def _hang_up(connections: list[socket.socket]) -> None:
    for one in connections:
        one.close()


def _closed_after(connections: list[socket.socket], begun: float) -> float:
    for one in connections:
        one.settimeout(30)
        while one.recv(4096):
            pass
        one.close()
    return time.monotonic() - begun
