"""One dead destination among five: how long the other four take from the acceptance of an event to its arrival.

A real gateway on a core of its own; five platforms and the site on the other. In turns: all five are well; the fifth is
dead in one of its ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from bench import setup
from bench.machine import cores, free_port, python, server

#: How the fifth may be dead.
WAYS = ("refuses connections", "never answers", "answers 503", "drips its answer")
PAIRS, SECONDS, RATE = 3, 5.0, 100.0
#: Seconds before what counts, in which the breaker opens and caches fill, and after it, for the last to arrive.
WARM_S = SETTLE_S = 1.5
NAMES = ("a", "b", "c", "d")
_ID = re.compile(rb'"event_id":\s*"([^"]+)"')


@dataclass
class Platforms:
    """Five platforms on one port: a path each."""

    #: How `/e` is dead; empty while it is well.
    way: str = ""
    #: Event id → when the site was told that it is accepted (`time.perf_counter`).
    accepted: dict[str, float] = field(default_factory=dict)
    #: Platform, event id → when it arrived.
    arrived: dict[tuple[str, str], float] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                name = head.split(b" ", 2)[1].decode().strip("/")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
                body, now = await reader.readexactly(length), time.perf_counter()
                if name == "e" and self.way:
                    await self._badly(writer)
                    continue
                for one in _ID.findall(body):
                    self.arrived[name, one.decode()] = now
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async def _badly(self, writer: asyncio.StreamWriter) -> None:
        if self.way == "never answers":
            await asyncio.sleep(3600)
        if self.way == "answers 503":
            writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
        if self.way == "drips its answer":
            for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
                if writer.is_closing():
                    return
                writer.write(bytes([byte]))
                await asyncio.sleep(0.05)

    def missing(self) -> int:
        """Deliveries that have not arrived yet at the four that are well."""
        return sum((name, one) not in self.arrived for one in self.accepted for name in NAMES)

    def latencies(self) -> list[float]:
        """Milliseconds from acceptance to arrival at the four that are well, ascending."""
        if missing := self.missing():
            raise SystemExit(f"{missing} deliveries did not arrive")
        return sorted((self.arrived[name, one] - at) * 1000 for one, at in self.accepted.items() for name in NAMES)


def run() -> None:
    """Print p50 and p99 with and without the dead one."""
    for way in WAYS:
        pairs = [(_measure(""), _measure(way)) for _ in range(PAIRS)]
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            at = [(_at(well, share), _at(dead, share)) for well, dead in pairs]
            ratio = statistics.median(dead / well for well, dead in at)
            told = ", ".join(f"{well:.1f} → {dead:.1f}" for well, dead in at)
            print(f"  the fifth {way}: {name} of the other four {ratio:.2f} times that without (ms: {told})")


def _at(ranked: list[float], share: float) -> float:
    return ranked[int(len(ranked) * share)]


def _measure(way: str) -> list[float]:
    on, _ = cores()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        port, sink_port = free_port(), free_port()
        config = Path(name) / "gateway.toml"
        config.write_text(_config(port, sink_port, free_port() if way == "refuses connections" else sink_port))
        return uvloop.run(_driven(Platforms(way), Path(name), config, port, sink_port, on))


def _config(port: int, sink_port: int, fifth_port: int) -> str:
    lines = ["[server]", f"port = {port}", "[sources.web]", f'write_key = "{setup.KEY}"', 'region = "US"']
    for name in (*NAMES, "e"):
        url = f"http://127.0.0.1:{fifth_port if name == 'e' else sink_port}/{name}"
        lines += [f"[destinations.{name}]", 'plugin = "webhook"', f'url = "{url}"', 'secret = "bench-secret-of-a-sink"']
        lines += ["allow_private = true", 'batch_linger = "10ms"', 'timeout = "2s"']
    return "\n".join(lines) + "\n"


async def _driven(
    platforms: Platforms, folder: Path, config: Path, port: int, sink_port: int, on: set[int]
) -> list[float]:
    listening = await asyncio.start_server(platforms.serve, "127.0.0.1", sink_port)
    command = python("gateway", "serve", "--config", config)
    with contextlib.ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, server(command, port, on=on, cwd=folder))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await _post(platforms, reader, writer, WARM_S)
        platforms.accepted.clear()
        await _post(platforms, reader, writer, SECONDS)
        await asyncio.sleep(SETTLE_S)
        writer.close()
        await asyncio.to_thread(stack.close)
    listening.close()
    return platforms.latencies()


async def _post(
    platforms: Platforms, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
) -> None:
    """Single events, evenly."""
    begun = time.perf_counter()
    for number in range(int(seconds * RATE)):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        event_id = f"{begun:.6f}-{number}"
        event = {"event_name": "Lead", "event_id": event_id, "custom_data": {"value": 1, "currency": "EUR"}}
        body = json.dumps(event).encode()
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Write-Key: "
            + f"{setup.KEY}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
        if not head.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"not accepted: {head!r}")
        platforms.accepted[event_id] = time.perf_counter()
