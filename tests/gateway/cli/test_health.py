"""`gateway health`: what the gateway that runs on this machine says of itself."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.answers[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def running(stage):
    server = HTTPServer(("127.0.0.1", 0), Answers)
    server.answers = {
        "/healthz": (200, {"status": "ok"}),
        "/readyz": (503, {"detail": "the disk is full: nothing can be stored", "code": "disk_full"}),
    }
    stage.configure("left", more=f'[server]\nhost = "0.0.0.0"\nport = {server.server_port}')
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_alive_and_ready_are_two_questions(running, gateway):
    assert gateway("health") == (0, "ok\n", "")
    assert gateway("health", "--ready") == (1, "", "gateway: the disk is full: nothing can be stored\n")


def test_programs_get_the_answer_whole(running, gateway):
    code, out, _ = gateway("health", "--ready", "--json")
    assert (code, json.loads(out)["status"], json.loads(out)["ok"]) == (1, 503, False)
    assert json.loads(out)["answer"]["code"] == "disk_full"


def test_nobody_there_is_not_well(stage, gateway):
    stage.configure("left", more="[server]\nport = 1")
    code, out, err = gateway("health")
    assert (code, out) == (1, "")
    assert "http://127.0.0.1:1/healthz does not answer" in err


def test_a_proxy_of_the_environment_is_not_asked(running, gateway, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert gateway("health")[0] == 0
