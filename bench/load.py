"""A load generator in a process of its own: keeps connections busy with POSTs and counts the answers.

python -m bench.load HOST PORT PATH BATCH CONNECTIONS SECONDS [KEY [RATE]]     prints one line of JSON

With a RATE (requests a second, of all connections together) each request has its time, and its latency counts from
then: a server that stalls is charged for those that could not be sent meanwhile.
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
        due = self.totals.next_due()
        if due >= self.totals.until:
            self.transport.close()
            return
        wait = due - time.perf_counter()
        if wait > 0:
            asyncio.get_running_loop().call_later(wait, self.send_now, due)
        else:
            self.send_now(due)

    def send_now(self, due: float) -> None:
        if self.transport.is_closing():
            return
        ids = [b"%012d" % next(_ids) for _ in range(len(self.parts) - 1)]
        body = b"".join(itertools.chain.from_iterable(itertools.zip_longest(self.parts, ids, fillvalue=b"")))
        self.started = due
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

    def __init__(self, seconds: float, rate: float = 0.0) -> None:
        self.begun = self.due = time.perf_counter()
        self.every = 1 / rate if rate else 0.0
        self.until = self.begun + seconds
        self.latencies: list[float] = []
        self.statuses: dict[str, int] = {}

    def next_due(self) -> float:
        """When the next request is to be sent: at its turn, or at once."""
        if not self.every:
            return time.perf_counter()
        self.due += self.every
        return self.due

    def count(self, status: bytes, latency_s: float) -> None:
        self.latencies.append(latency_s)
        key = status.decode()
        self.statuses[key] = self.statuses.get(key, 0) + 1


async def run(
    host: str, port: int, path: str, batch: int, connections: int, seconds: float, key: str, rate: float = 0.0
) -> dict[str, object]:
    """Drive one server; returns counts and latencies in milliseconds."""
    parts = template(batch)
    length = sum(map(len, parts)) + 12 * (len(parts) - 1)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Write-Key: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
    totals = Totals(seconds, rate)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Client(parts, head, totals), host, port) for _ in range(connections)]
    await asyncio.gather(*(client.done for _, client in made))
    taken = time.perf_counter() - totals.begun
    ranked = sorted(totals.latencies)
    at = {name: round(ranked[int(len(ranked) * share)] * 1000, 2) for name, share in (("p50", 0.5), ("p99", 0.99))}
    return {"requests": len(ranked), "events": len(ranked) * batch, "seconds": taken, "statuses": totals.statuses, **at}


if __name__ == "__main__":
    host_, port_, path_, batch_, connections_, seconds_, *more = sys.argv[1:]
    key_, rate_ = (*more, "", "0")[:2] if len(more) != 1 else (more[0], "0")
    answer = run(host_, int(port_), path_, int(batch_), int(connections_), float(seconds_), key_, float(rate_))
    print(json.dumps(uvloop.run(answer)))
