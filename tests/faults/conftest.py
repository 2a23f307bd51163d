"""What the fault tests share: a disk that fails, a platform, and real servers to torment."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

KEY = "made-up-write-key-000001"

#: A gateway that delivers to the sink; tests add to it.
CONFIG = """
[server]
port = {port}
[sources.shop]
write_key = "{key}"
region = "US"
remember_visits = true
[destinations.sink]
plugin = "webhook"
url = "http://127.0.0.1:{sink}/events"
secret = "made-up-secret-of-the-sink"
allow_private = true
batch_size = 20
batch_linger = "10ms"
retry = {{ first = "20ms", max = "200ms" }}
"""

#: Imports once, then forks a process for each line it reads: a start costs a moment. Prints its id, then its exit code.
ZYGOTE = """
import json, os, sys
import gateway.web.server
from gateway.cli.main import call
from gateway.web import upkeep, workers
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        if "upkeep_s" in order:
            upkeep.upkeep.__kwdefaults__["round_s"] = order["upkeep_s"]
        if "restart_s" in order:
            workers.Supervisor.__init__.__kwdefaults__["restart_s"] = order["restart_s"]
        os._exit(call(order["command"]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`disk.c` as a library to preload: a disk that can be watched and made to fail."""
    compiler = shutil.which("cc")
    if compiler is None:
        assert not os.environ.get("CI"), "CI installs a compiler"
        pytest.skip("needs a C compiler, for the disk that fails")
    library = tmp_path_factory.mktemp("disk") / "disk.so"
    source = Path(__file__).with_name("disk.c")
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-ldl"]
    subprocess.run([*command, "-lpthread"], check=True)
    return library


class Sink(ThreadingHTTPServer):
    """A platform that notes what it is sent; now and then it has trouble of its own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SinkHandler)
        self.arrived: list[tuple[str, Any]] = []
        self.random = random.Random(7)
        #: Cleared: answers wait.
        self.answering = threading.Event()
        self.answering.set()
        self._connections = 0
        self._changed = threading.Condition()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count a connection, in the order in which they came."""
        with self._changed:
            self._connections += 1
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        super().process_request_thread(request, client_address)
        with self._changed:
            self._connections -= 1
            self._changed.notify_all()

    def wait_until_idle(self, within_s: float = 20.0) -> None:
        """Take in all that had been sent when a gateway ended."""
        with socket.create_connection(self.server_address[:2], within_s) as last:
            last.shutdown(socket.SHUT_WR)
            assert last.recv(1) == b""  # it was served: all that connected before has been counted
        with self._changed:
            assert self._changed.wait_for(lambda: self._connections == 0, within_s)


class _SinkHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sink = self.server
        assert isinstance(sink, Sink)
        length = int(self.headers["Content-Length"])
        data = self.rfile.read(length)
        if len(data) < length:  # the other side was killed
            self.close_connection = True
            return
        body = json.loads(data)
        sink.answering.wait(30)
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
    """Real servers on one configuration, one at a time, each a process of its own."""

    def __init__(self, config: Path, port: int, log: Any, environ: dict[str, str]) -> None:
        self.config = config
        self._port = port
        self.exit_code = 0
        self._zygote = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environ},
        )

    def start(self, *arguments: str, **settings: float) -> int:
        """Run a command of the gateway, by default `serve`; returns its process id.

        `upkeep_s`: how often it forgets what is due; `restart_s`: how soon a worker that ended is started again.
        """
        assert self._zygote.stdin is not None
        command = [*(arguments or ("serve",)), "--config", str(self.config)]
        self._zygote.stdin.write(json.dumps({"command": command, **settings}) + "\n")
        self._zygote.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """Wait for the end of what was started last; the number of a signal is negative."""
        self.exit_code = int(self._line())
        return self.exit_code

    @contextmanager
    def one(self, number: int, **settings: float) -> Iterator[int]:
        """A server that takes events; at the end it gets the signal, and its end is awaited. Gives its process id."""
        pid = self.start(**settings)
        try:
            assert self.listens(), "the server does not listen"
            yield pid
        finally:
            os.kill(pid, number)
            self.wait()

    def listens(self, within_s: float = 30.0) -> bool:
        """Wait until the server takes connections; `False` when it does not in time."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return True
            time.sleep(0.005)
        return False

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

    def _line(self) -> str:
        """The next number; what the processes print to the same place is passed over."""
        assert self._zygote.stdout is not None
        for line in self._zygote.stdout:
            if line.strip().lstrip("-").isdigit():
                return line
        raise AssertionError("no process could be started")


class Client:
    """A site's backend: posts small batches one after another, and posts again what was not acknowledged."""

    def __init__(self, name: str, port: int) -> None:
        self.name, self._port = name, port
        self._numbers = count()
        self._unanswered: list[dict[str, Any]] = []
        self.acknowledged: set[str] = set()
        self.posted: set[str] = set()
        #: Status and headers of the answers that were not 202.
        self.refusals: list[tuple[int, Mapping[str, str]]] = []

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
        found = self.call(connection, "POST", "/v1/events", events)
        if found is None:
            return
        assert self.refused(found["results"]) == []
        self.answered(found["results"])
        self.acknowledged.update(event["event_id"] for event in events)
        self._unanswered = []

    def call(self, connection: http.client.HTTPConnection, method: str, path: str, content: Any) -> Any:
        """What the gateway answers; `None` when it refuses the request as a whole."""
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(content), headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status in (200, 202, 422):
            return json.loads(body)
        self.refusals.append((answer.status, dict(answer.headers)))
        time.sleep(0.01)
        return None

    def refused(self, results: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Results that should not be."""
        return [one for one in results if one["status"] == "rejected"]

    def answered(self, results: Sequence[Mapping[str, Any]]) -> None:
        """What the answer says of each event that was posted."""

    def _event(self) -> dict[str, Any]:
        number = next(self._numbers)
        event_id = f"{self.name}-{number}"
        return {"event_name": "Lead", "event_id": event_id, "custom_data": {"value": number, "currency": "EUR"}}


class Steady(Client):
    """A client that connects again when its server goes away, and tells what it was answered of each event."""

    def __init__(self, name: str, port: int) -> None:
        super().__init__(name, port)
        #: Event ids that were answered as `accepted`, once for each time.
        self.accepted: list[str] = []

    def run(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.is_set():
            super().run(stop)
            time.sleep(0.005)

    def answered(self, results: Sequence[Mapping[str, Any]]) -> None:
        self.accepted += [one["event_id"] for one in results if one["status"] == "accepted"]


class Load:
    """Clients at work beside a test, until the end of the block."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=one.run, args=(self._stop,)) for one in clients]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


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
def environ() -> dict[str, str]:
    """What the servers' environment has beside the test's own."""
    return {}


@pytest.fixture
def servers(tmp_path: Path, sink: Sink, port: int, environ: dict[str, str]) -> Iterator[Servers]:
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(port=port, key=KEY, sink=sink.server_port))
    with (tmp_path / "log").open("w") as log:
        made = Servers(config, port, log, environ)
        yield made
        made.close()


@pytest.fixture
def clients(port: int) -> list[Client]:
    """Three clients of the server."""
    return [Client(f"client{one}", port) for one in range(3)]


@pytest.fixture
def load() -> type[Load]:
    """`with load(clients): …`"""
    return Load
