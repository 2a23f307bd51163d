"""The running process: signals, deadlines, reload, several workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress

import httpx
import pytest

SERVE = """
import sys
from pathlib import Path
from gateway import log
from dataclasses import replace
from gateway.web import server
from gateway.web.listening import Deadlines
from gateway.web.server import serve
log.configure()
workers = int(sys.argv[2])
def load(path, known=None, real=server.load):  # the number is given here, whatever the configuration may say yet
    loaded = real(path, known)
    settings = replace(loaded.settings, server=replace(loaded.settings.server, workers=workers))
    return replace(loaded, settings=settings)
server.load = load
sys.exit(serve(Path(sys.argv[1]), deadlines=Deadlines(headers_s=0.3, body_s=0.3, idle_s=5, drain_s=5)))
"""

CONFIG = """
[server]
port = {port}
[sources.web]
write_key = "example-write-key-0000"
region = "US"
"""

HEAD = (
    b"POST /v1/events HTTP/1.1\r\nHost: x\r\nX-Write-Key: example-write-key-0000\r\nContent-Type: application/json\r\n"
)
EVENT = b'{"event_name": "Lead", "event_id": "%d"}'
#: The beginning of a body that buys some seconds for the rest.
BLANKS = b" " * 65536
SLOW = HEAD + b"Content-Length: 100000\r\n\r\n" + BLANKS


def free_port():
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    def __init__(self, folder, workers=1):
        self.port, self.folder = free_port(), folder
        self.config = folder / "gateway.toml"
        self.config.write_text(CONFIG.format(port=self.port))
        self.err = (folder / "log").open("w")
        command = [sys.executable, "-c", SERVE, str(self.config), str(workers)]
        self.process = subprocess.Popen(command, stderr=self.err, cwd=folder, process_group=0)

    def lines(self):
        return [json.loads(line) for line in (self.folder / "log").read_text().splitlines() if line.startswith("{")]

    def wait_for(self, event, count=1):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if len(found := [line for line in self.lines() if line["event"] == event]) >= count:
                return found
            assert self.process.poll() is None or event == "stopped", (self.folder / "log").read_text()
            time.sleep(0.02)
        raise AssertionError(f"no {event}: {(self.folder / 'log').read_text()}")

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        return closing(connection)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"


@contextmanager
def running(folder, **options):
    server = Server(folder, **options)
    try:
        server.wait_for("started", options.get("workers", 1))
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(server.process.pid, signal.SIGKILL)
        server.process.wait()
        server.err.close()


def read_all(connection):
    data = b""
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            data += chunk
    return data


@pytest.fixture
def server(tmp_path):
    with running(tmp_path) as server:
        yield server


def test_slow_headers_and_bodies_end_in_time_and_cost_no_other_request(server):
    started = time.monotonic()
    with server.connect() as idle, server.connect() as headers, server.connect() as body, server.connect() as second:
        headers.sendall(b"POST /v1/events HTTP/1.1\r\nHost:")
        body.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        # one whole request, then a slow one on the same connection
        whole = EVENT % 1
        second.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(whole) + whole + b"POST /v1/events HT")
        assert httpx.get(server.url("/healthz")).status_code == 200
        assert read_all(idle) == b""
        assert read_all(headers) == b""
        answer = read_all(body)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"too_slow"' in answer
        second.sendall(b"T")  # a trickle buys no time
        assert read_all(second).startswith(b"HTTP/1.1 202 ")
    assert time.monotonic() - started < 5


def test_a_request_that_is_under_way_is_finished_at_sigterm(server):
    event = BLANKS + EVENT % 1
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(event) + event[:-5])
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("stopping")
        connection.sendall(event[-5:])
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert server.process.wait(10) == 0
    assert [line["event"] for line in server.lines()][-2:] == ["stopping", "stopped"]
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_a_second_signal_ends_it_at_once(server):
    with server.connect() as connection:
        connection.sendall(SLOW)  # holds the end up
        time.sleep(0.05)
        server.process.send_signal(signal.SIGINT)
        server.wait_for("stopping")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(5) == 128 + signal.SIGTERM


def test_nothing_acknowledged_is_lost_when_it_is_killed(tmp_path):
    with running(tmp_path) as server:
        for number in range(20):
            answer = httpx.post(
                server.url("/v1/events"),
                content=EVENT % number,
                headers={"X-Write-Key": "example-write-key-0000", "Content-Type": "application/json"},
            )
            assert answer.status_code == 202
        server.process.kill()
        server.process.wait()
    with running(tmp_path) as server:
        answer = httpx.post(
            server.url("/v1/events"),
            content=b"\n".join(EVENT % number for number in range(20)),
            headers={"X-Write-Key": "example-write-key-0000", "Content-Type": "application/x-ndjson"},
        )
        assert answer.json()["duplicates"] == 20


def test_sighup_takes_up_a_right_configuration_and_refuses_a_wrong_one(server):
    def post(key):
        headers = {"X-Write-Key": key, "Content-Type": "application/json"}
        return httpx.post(server.url("/v1/events"), content=EVENT % 1, headers=headers).status_code

    text = server.config.read_text()
    server.config.write_text(text + "\n[sources.web2]\nwrite_keyy = 5\n")
    server.process.send_signal(signal.SIGHUP)
    [refused] = server.wait_for("reload_refused")
    assert "write_keyy" in str(refused["faults"])
    assert post("example-write-key-0000") == 202
    other = text.replace("example-write-key-0000", "another-write-key-0000").replace(str(server.port), "1")
    server.config.write_text(other)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for("reloaded")
    assert server.wait_for("restart_needed")[0]["keys"] == ["server.port"]
    assert post("example-write-key-0000") == 401
    assert post("another-write-key-0000") == 202


def test_a_key_is_replaced_without_a_gap(server):
    """Two keys at once, each for as long as it stands in the file; the admin token's too."""

    def answers(key, call=httpx.post, path="/v1/events", content=EVENT % 1):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        return call(
            server.url(path), headers=headers, **({"content": content} if call is httpx.post else {})
        ).status_code

    def reload(keys, tokens, count):
        lines = f"port = {server.port}\nadmin_token = {json.dumps(tokens)}"
        text = CONFIG.format(port=server.port).replace(f"port = {server.port}", lines)
        server.config.write_text(text.replace('"example-write-key-0000"', json.dumps(keys)))
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded", count)
        assert len(server.wait_for("reloaded", count)) == count
        events = [answers(key) for key in (old, new)]
        return events, [answers(key, httpx.get, "/admin/api/status") for key in (first, second)]

    old, new = "example-write-key-0000", "the-write-key-after-it"
    first, second = "token-of-the-operator", "the-token-after-it"
    assert [answers(key) for key in (old, new)] == [202, 401]
    assert answers(first, httpx.get, "/admin/api/status") == 404
    assert reload([old], [first], 1) == ([202, 401], [200, 401])
    assert reload([old, new], [first, second], 2) == ([202, 202], [200, 200])
    assert reload([new], [second], 3) == ([401, 202], [401, 200])


def test_several_workers_share_a_socket_and_one_outbox(tmp_path):
    with running(tmp_path, workers=2) as server:
        headers = {"X-Write-Key": "example-write-key-0000", "Content-Type": "application/json"}
        found = [httpx.post(server.url("/v1/events"), content=EVENT % 1, headers=headers).json() for _ in range(12)]
        assert sum(one["accepted"] for one in found) == 1
        assert sum(one["duplicates"] for one in found) == 11
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(server.process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        os.kill(int(children[0]), signal.SIGKILL)
        server.wait_for("worker_ended")
        server.wait_for("started", 3)
        assert httpx.get(server.url("/readyz")).status_code == 200
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded", 2)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_of_several_workers_counts_once(tmp_path, number):
    event = BLANKS + EVENT % 1
    with running(tmp_path, workers=2) as server:
        with server.connect() as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(event) + event[:-5])
            time.sleep(0.1)
            os.killpg(server.process.pid, number)
            server.wait_for("stopping", 2)
            connection.sendall(event[-5:])
            assert read_all(connection).startswith(b"HTTP/1.1 202 ")
        assert server.process.wait(10) == 0
        names = [line["event"] for line in server.lines()]
    assert (names.count("stopping"), names.count("stopped"), names.count("worker_ended")) == (2, 2, 0)


def test_a_second_signal_to_all_of_several_workers_ends_them_at_once(tmp_path):
    with running(tmp_path, workers=2) as server, server.connect() as connection:
        connection.sendall(SLOW)  # holds the end up
        time.sleep(0.05)
        os.killpg(server.process.pid, signal.SIGTERM)
        server.wait_for("stopping", 2)
        os.killpg(server.process.pid, signal.SIGTERM)
        assert server.process.wait(5) == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            os.killpg(server.process.pid, 0)


def test_workers_end_in_order_when_their_supervisor_is_killed(tmp_path):
    with running(tmp_path, workers=3) as server:
        server.process.kill()
        server.process.wait()
        server.wait_for("stopped", 3)
        names = [line["event"] for line in server.lines()]
    assert names.count("supervisor_ended") == 3


def test_an_address_that_is_taken_is_told(tmp_path):
    with running(tmp_path) as server, socket.socket():
        second = subprocess.run(
            [sys.executable, "-c", SERVE, str(server.config), "1"], capture_output=True, text=True, check=False
        )
    assert second.returncode == 1  # another start may succeed
    assert "cannot listen on 127.0.0.1" in second.stderr


def test_workers_that_are_told_to_end_take_no_new_connection(tmp_path):
    """Nor does their supervisor's socket, in which connections would wait for nobody."""
    with running(tmp_path, workers=2) as server:
        with server.connect() as slow:
            slow.sendall(SLOW)
            time.sleep(0.1)
            server.process.terminate()
            server.wait_for("stopping", 2)
            time.sleep(0.4)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", server.port)).close()
            assert server.process.poll() is None  # the slow one is still waited for
        server.process.wait(20)
