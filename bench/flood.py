"""An open-loop load generator: requests come at a rate, whether or not earlier ones are answered, and heed no 429.

python -m bench.flood HOST PORT PATH BATCH CONNECTIONS SECONDS KEY RATE     prints one line of JSON
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque

import uvloop

from bench.events import template
from bench.load import _ids

#: Seconds between two bites of what is due.
TICK_S = 0.002


class Flood:
    """What is sent, and what came back."""

    def __init__(self, head: bytes, batch: int) -> None:
        parts = template(batch)
        self.gaps = [b"%012d"] * (len(parts) - 1)
        self.request = head + b"%012d".join(part.replace(b"%", b"%%") for part in parts)
        self.idle: deque[Client] = deque()
        self.accepted: list[float] = []
        self.refused: list[float] = []
        self.statuses: dict[str, int] = {}
        self.retry_after: set[str] = set()
        self.offered = self.unsent = self.lost = 0

    def one(self) -> bytes:
        """The next request, with numbers of its own."""
        return self.request % tuple([next(_ids) for _ in self.gaps])

    def answered(self, head: bytes, seconds: float) -> None:
        status = head[9:12]
        if status == b"202":
            self.accepted.append(seconds)
        else:
            self.refused.append(seconds)
            if status == b"429":
                self.retry_after.add(head.partition(b"retry-after: ")[2].partition(b"\r")[0].decode())
        key = status.decode()
        self.statuses[key] = self.statuses.get(key, 0) + 1


class Client(asyncio.Protocol):
    """One connection, with one request on its way at most; opened again when it is closed."""

    def __init__(self, flood: Flood) -> None:
        self.flood, self.buffer, self.started = flood, b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.flood.idle.append(self)

    def send(self) -> None:
        self.started = time.perf_counter()
        self.transport.write(self.flood.one())

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, mark, rest = self.buffer.partition(b"\r\n\r\n")
        if not mark or len(rest) < int(head.partition(b"content-length: ")[2].partition(b"\r")[0]):
            return
        self.buffer = b""
        self.flood.answered(head, time.perf_counter() - self.started)
        self.started = 0.0
        self.flood.idle.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.flood.lost += bool(self.started)


async def run(
    host: str, port: int, path: str, batch: int, connections: int, seconds: float, key: str, rate: float
) -> dict[str, object]:
    """Flood one server; returns counts, and latencies in milliseconds from the writing of a request."""
    length = sum(map(len, template(batch))) + 12 * (len(template(batch)) - 1)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Write-Key: {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()
    flood, loop = Flood(head, batch), asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Client(flood), host, port)
    begun = time.perf_counter()
    while (now := time.perf_counter() - begun) < seconds:
        due = int(now * rate) - flood.offered
        flood.offered += due
        sent = min(due, len(flood.idle))
        flood.unsent += due - sent
        for _ in range(sent):
            client = flood.idle.popleft()
            if not client.transport.is_closing():
                client.send()
        await asyncio.sleep(TICK_S)
    taken = time.perf_counter() - begun
    end = time.perf_counter() + 10
    while len(flood.accepted) + len(flood.refused) + flood.lost < flood.offered - flood.unsent:
        if time.perf_counter() > end:
            break
        await asyncio.sleep(0.05)
    unanswered = flood.offered - flood.unsent - len(flood.accepted) - len(flood.refused)
    return {
        "seconds": taken,
        "offered": flood.offered,
        "sent": flood.offered - flood.unsent,
        "accepted": len(flood.accepted),
        "unanswered": unanswered,
        "statuses": flood.statuses,
        "retry_after": sorted(flood.retry_after),
        "accepted_ms": _ranks(flood.accepted),
        "refused_ms": _ranks(flood.refused),
    }


def _ranks(times: list[float]) -> dict[str, float]:
    ranked = sorted(times) or [0.0]
    at = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    return {name: round(ranked[min(int(len(ranked) * share), len(ranked) - 1)] * 1000, 1) for name, share in at}


if __name__ == "__main__":
    host_, port_, path_, batch_, connections_, seconds_, key_, rate_ = sys.argv[1:]
    found = run(host_, int(port_), path_, int(batch_), int(connections_), float(seconds_), key_, float(rate_))
    print(json.dumps(uvloop.run(found)))
