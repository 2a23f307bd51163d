"""The real server, killed again and again while events are posted: what was acknowledged arrives."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from gateway.outbox.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: How often the server is killed. A hundred take about a minute.
KILLS = int(os.environ.get("GATEWAY_TEST_KILLS", "20"))
KEY = "made-up-write-key-000001"
CLIENTS = 3

CONFIG = """
[server]
port = {port}
[sources.shop]
write_key = "{key}"
region = "US"
[destinations.sink]
plugin = "webhook"
url = "http://127.0.0.1:{sink}/events"
secret = "made-up-secret-of-the-sink"
allow_private = true
batch_size = 20
batch_linger = "10ms"
retry = {{ first = "20ms", max = "200ms" }}
"""

#: Imports once, then forks a server for each line it reads: a start costs a moment, and each is a process of its own.
ZYGOTE = """
import os, sys
from pathlib import Path
from gateway.web.server import serve
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.setsid()
        os._exit(serve(Path(sys.argv[1])))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Sink(ThreadingHTTPServer):
    """A platform that notes what it is sent; now and then it has trouble of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SinkHandler)
        self.arrived: list[tuple[str, Any]] = []
        self.random = random.Random(7)


class _SinkHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sink = self.server
        assert isinstance(sink, Sink)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        trouble = sink.random.random() < 0.03
        if not trouble:
            sink.arrived += [(event["event_id"], event["custom_data"]["value"]) for event in body["events"]]
        self.send_response(503 if trouble else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        with suppress(ConnectionError):  # the other side was killed
            super().handle()


class Servers:
    """One server at a time, on one configuration."""

    def __init__(self, config: Path, port: int, log: Any) -> None:
        self._port = port
        self._zygote = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE, config],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    @contextmanager
    def one(self, number: int) -> Iterator[int]:
        """A server that takes events; at the end it gets the signal, and its end is awaited. Gives its process id."""
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.write("\n")
        self._zygote.stdin.flush()
        pid = int(self._line())
        try:
            self._await_ready()
            yield pid
        finally:
            os.kill(pid, number)
            self.exit_code = int(self._line())

    def _line(self) -> str:
        """The next number; what the servers log to the same place is passed over."""
        assert self._zygote.stdout is not None
        for line in self._zygote.stdout:
            if line.strip().lstrip("-").isdigit():
                return line
        raise AssertionError("no server could be started")

    def _await_ready(self) -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            time.sleep(0.005)
        raise AssertionError("the server does not listen")

    def close(self) -> None:
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.close()
        try:
            self._zygote.wait(10)
        finally:
            self._zygote.kill()
            self._zygote.wait()
            self._zygote.stdout.close()


class Client:
    """A site's backend: posts small batches one after another, and posts again what was not acknowledged."""

    def __init__(self, name: str, port: int) -> None:
        self._name, self._port = name, port
        self._numbers = count()
        self._unanswered: list[dict[str, Any]] = []
        self.acknowledged: set[str] = set()
        self.posted: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Until told to stop or the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        with suppress(OSError, http.client.HTTPException):
            while not stop.is_set():
                self._post(connection)
        connection.close()

    def _post(self, connection: http.client.HTTPConnection) -> None:
        fresh = 1 + len(self.posted) % 7
        events = [*self._unanswered, *(self._event() for _ in range(fresh))]
        self._unanswered = events
        self.posted.update(event["event_id"] for event in events)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/events", json.dumps(events), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status == 202:
            assert json.loads(body)["rejected"] == 0
            self.acknowledged.update(event["event_id"] for event in events)
            self._unanswered = []

    def _event(self) -> dict[str, Any]:
        number = next(self._numbers)
        event_id = f"{self._name}-{number}"
        return {"event_name": "Lead", "event_id": event_id, "custom_data": {"value": number, "currency": "EUR"}}


@pytest.fixture
def sink() -> Iterator[Sink]:
    server = Sink()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def servers(tmp_path: Path, sink: Sink, port: int) -> Iterator[Servers]:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(port=port, key=KEY, sink=sink.server_port))
    with (tmp_path / "log").open("w") as log:
        made = Servers(config, port, log)
        yield made
        made.close()


def test_what_was_acknowledged_arrives_however_often_the_server_is_killed(servers, sink, port, tmp_path, deadline):
    chance = random.Random(11)
    clients = [Client(f"client{number}", port) for number in range(CLIENTS)]
    for _ in range(KILLS):
        threads, stop = [], threading.Event()
        with servers.one(signal.SIGKILL):
            threads = [threading.Thread(target=one.run, args=(stop,)) for one in clients]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.005, 0.25))
        stop.set()
        for thread in threads:
            thread.join()
        assert servers.exit_code == -signal.SIGKILL

    acknowledged = set().union(*(one.acknowledged for one in clients))
    assert len(acknowledged) > KILLS
    with servers.one(signal.SIGTERM):
        deadline(lambda: _is_settled(tmp_path / "gateway.db"))
    assert servers.exit_code == 0

    assert acknowledged <= {event_id for event_id, _ in sink.arrived}
    # nothing came that was not posted, and a repeat is the same event under the same id
    assert {event_id for event_id, _ in sink.arrived} <= set().union(*(one.posted for one in clients))
    assert all(event_id.rpartition("-")[2] == str(int(value)) for event_id, value in sink.arrived)
    _check_database(tmp_path / "gateway.db", acknowledged)


def _is_settled(path: Path) -> bool:
    """Whether all that is stored has been delivered."""
    db = connect(path, readonly=True)
    try:
        last = db.execute("SELECT max(seq) FROM event").fetchone()[0]
        cursor = db.execute("SELECT cursor FROM lane").fetchone()[0]
        return bool(cursor == last and not db.execute("SELECT count(*) FROM delivery").fetchone()[0])
    finally:
        db.close()


def _check_database(path: Path, acknowledged: set[str]) -> None:
    db = connect(path)
    try:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        stored = Counter(row[0] for row in db.execute("SELECT event_id FROM event"))
    finally:
        db.close()
    assert acknowledged <= stored.keys()
    assert set(stored.values()) == {1}  # what was posted again was known as a duplicate
