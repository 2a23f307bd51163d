"""Bodies made to cost: what each costs the server in processor time and memory, and what it is answered."""

from __future__ import annotations

import gzip
import http.client
import json
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from bench import setup
from bench.events import PURCHASE
from bench.machine import cores, cpu_seconds, free_port, python, resident_bytes, server
from bench.overload import Memory

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How often each is sent: the clock of processor time ticks in hundredths.
TIMES = 10
MB = 1_000_000


def bodies() -> Mapping[str, tuple[bytes, dict[str, str]]]:
    """Name → body and headers. None is larger than the server takes (5 MB), unless that is the point."""
    gzipped, zstd = {"Content-Encoding": "gzip"}, {"Content-Encoding": "zstd"}
    bomb = b" " * 1000 * MB
    lines = {"Content-Type": "application/x-ndjson"}
    packed = zstandard.ZstdCompressor(level=19)
    return {
        "gzip, 1 GB in 1 MB": (gzip.compress(bomb, 9), gzipped),
        "gzip, 250,000 empty members": (gzip.compress(b"", 9) * 240_000, gzipped),
        "zstd, 1 GB in 30 kB": (packed.compress(bomb), zstd),
        "zstd, 300,000 empty frames": (packed.compress(b"") * 300_000, zstd),
        "nested 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, {}),
        "nested 900 deep in custom_data": (_with("custom_data", _nested(900)), {}),
        "nested 500 deep, 1,000 times": (
            b'{"events":[' + b",".join([_with("context", _nested(500))] * 1000) + b"]}",
            {},
        ),
        "100,000 tiny events": (b"[" + b",".join([b'{"event_name":"x"}'] * 100_000) + b"]", {}),
        "1,600,000 empty objects": (b"[" + b",".join([b"{}"] * 1_600_000) + b"]", {}),
        "2,400,000 numbers": (b"[" + b",".join([b"1"] * 2_400_000) + b"]", {}),
        "100,000 tiny lines": (b'{"event_name":"x"}\n' * 100_000, lines),
        "2,500,000 empty lines": (b"\n" * 2_500_000, lines),
        "1,000 events of nothing right": (b"[" + b",".join([_wrong()] * 1000) + b"]", {}),
        "a string of 4.9 MB": (_with("event_id", b'"' + b"a" * 4_900_000 + b'"'), {}),
        "a number of 4.9 MB": (_with("event_time", b"1" * 4_900_000), {}),
        "a fraction of 4.9 MB": (_with("event_time", b"0." + b"1" * 4_900_000), {}),
        "the same key 300,000 times": (b"{" + b",".join([b'"event_name":"a"'] * 290_000) + b"}", {}),
        "200,000 unknown keys": (_with(*_keys(200_000)), {}),
        "200,000 keys in custom_data": (_with("custom_data", b"{" + _pairs(200_000) + b"}"), {}),
        "contents of 100,000": (
            _with("custom_data", b'{"contents":[' + b",".join([b'{"id":"a"}'] * 100_000) + b"]}"),
            {},
        ),
        "400,000 e-mail addresses": (
            _with("user_data", b'{"email":[' + b",".join([b'"a@b.co"'] * 400_000) + b"]}"),
            {},
        ),
        "a URL of 4.9 MB": (_with("event_source_url", b'"https://a.example/?' + b"a=%40&" * 800_000 + b'"'), {}),
        "a text of 4 MB of + and digits": (_with("custom_data", b'{"description":"' + b"+1 " * 1_300_000 + b'"}'), {}),
        "a text of 4 MB of @ and dots": (_with("custom_data", b'{"description":"' + b"a.@" * 1_300_000 + b'"}'), {}),
    }


def _with(key: str, value: bytes) -> bytes:
    return b'{"event_name":"Lead","%b":%b}' % (key.encode(), value)


def _nested(depth: int) -> bytes:
    return b'{"a":' * depth + b"1" + b"}" * depth


def _pairs(count: int) -> bytes:
    return b",".join(b'"k%d":1' % number for number in range(count))


def _keys(count: int) -> tuple[str, bytes]:
    return "k", b"1," + _pairs(count)


def _wrong() -> bytes:
    event = dict.fromkeys(PURCHASE, 7) | {f"nonsense_{number}": 1 for number in range(60)}
    return json.dumps(event).encode()


def run() -> None:
    """Print a line for each."""
    on, _ = cores()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder, port, sink_port = Path(name), free_port(), free_port()
        config = setup.write(folder, port=port, sink_port=sink_port)
        command = python("gateway", "serve", "--config", config, "--no-dispatch")
        with server(command, port, on=on, cwd=folder) as gateway:
            # an ordinary body as large as may be, so that what the largest needs is there already
            largest = b"[" + b",".join([json.dumps(PURCHASE).encode()] * 1000) + b"]"
            _post(port, largest, {})
            normal = resident_bytes(gateway.pid)
            _report("1,000 ordinary events", port, gateway.pid, largest, {}, normal)
            for name, (body, headers) in bodies().items():
                _report(name, port, gateway.pid, body, headers, normal)


def _report(name: str, port: int, pid: int, body: bytes, headers: dict[str, str], normal: int) -> None:
    memory = Memory(pid)
    watching = threading.Thread(target=memory.watch)
    watching.start()
    before = cpu_seconds(pid)
    answers = [_post(port, body, headers) for _ in range(TIMES)]
    used = (cpu_seconds(pid) - before) / TIMES
    memory.over = True
    watching.join()
    status, size = answers[-1]
    print(f"  {name:<32} {len(body):>9,} bytes: {status}, {size:>7,} bytes back; {used * 1000:4.0f} ms;", end=" ")
    print(f"memory {memory.peak / normal:.2f} times")


def _post(port: int, body: bytes, headers: dict[str, str]) -> tuple[int, int]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        usual = {"X-Write-Key": setup.KEY, "Content-Type": "application/json"}
        connection.request("POST", "/v1/events", body, usual | headers)
        answer = connection.getresponse()
        return answer.status, len(answer.read())
    finally:
        connection.close()
