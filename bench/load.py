"""A load generator in a process of its own: keeps connections busy with POSTs and counts the answers.

python -m bench.load HOST PORT PATH BATCH CONNECTIONS SECONDS [KEY]     prints one line of JSON
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time

import uvloop

from bench.events import template

_ids = itertools.count(int(time.time() * 1000) % 10**9 * 1000)


class Client(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, parts: list[bytes], head: bytes, totals: Totals) -> None:
        self.parts, self.head, self.totals = parts, head, totals
        self.buffer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.send()

    def send(self) -> None:
        if time.perf_counter() >= self.totals.until:
            self.transport.close()
            return
        ids = [b"%012d" % next(_ids) for _ in range(len(self.parts) - 1)]
        body = b"".join(itertools.chain.from_iterable(itertools.zip_longest(self.parts, ids, fillvalue=b"")))
        self.started = time.perf_counter()
        self.transport.write(self.head + body)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        self.totals.count(head[9:12], time.perf_counter() - self.started)
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        self.done.set_result(None)


class Totals:
    """What came back."""

    def __init__(self, seconds: float) -> None:
        self.begun = time.perf_counter()
        self.until = self.begun + seconds
        self.latencies: list[float] = []
        self.statuses: dict[str, int] = {}

    def count(self, status: bytes, latency_s: float) -> None:
        self.latencies.append(latency_s)
        key = status.decode()
        self.statuses[key] = self.statuses.get(key, 0) + 1


async def run(
    host: str, port: int, path: str, batch: int, connections: int, seconds: float, key: str
) -> dict[str, object]:
    """Drive one server; returns counts and latencies in milliseconds."""
    parts = template(batch)
    length = sum(map(len, parts)) + 12 * (len(parts) - 1)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Write-Key: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
    totals = Totals(seconds)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(parts, head, totals), host, port) for _ in range(connections)]
    await asyncio.gather(*(client.done for _, client in made))
    taken = time.perf_counter() - totals.begun
    ranked = sorted(totals.latencies)
    at = {name: round(ranked[int(len(ranked) * share)] * 1000, 2) for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {"requests": len(ranked), "events": len(ranked) * batch, "seconds": taken, "statuses": totals.statuses, **at}


if __name__ == "__main__":
    host_, port_, path_, batch_, connections_, seconds_, *key_ = sys.argv[1:]
    answer = run(host_, int(port_), path_, int(batch_), int(connections_), float(seconds_), *(key_ or [""]))
    print(json.dumps(uvloop.run(answer)))
