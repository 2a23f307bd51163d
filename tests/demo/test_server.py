"""The mock server puts every mock on one port, remembers what they took, and says how to reach them."""

from __future__ import annotations

import socket
import tomllib
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway import config, registry
from gateway.demo import server
from gateway.demo.configuration import gateway_toml
from gateway.demo.mock import MockPlatform, MockReply, MockRequest
from gateway.demo.server import PLATFORMS, MockServer, Served, line

if TYPE_CHECKING:
    from pathlib import Path

ITEM = {"id": "1"}


def _echo(request: MockRequest, now: float) -> MockReply:
    body = {"path": request.path, "params": dict(request.params), "type": request.headers["content-type"], "now": now}
    taken = (ITEM,) if request.json == {"send": 1} else ()
    return MockReply(200, body, {"x-mock": "yes"}, accepted=taken, tested=() if taken else (ITEM, ITEM))


ECHO = MockPlatform("echo", _echo, {"token_url": "/token", "account": "1"})


def test_a_mock_sees_the_request_without_its_prefix_and_its_items_are_remembered() -> None:
    with MockServer([ECHO], clock=lambda: 5.0) as mocks:
        answer = httpx.post(f"{mocks.base_url('echo')}/v1/events:ingest?a=b", json={"send": 1})
        httpx.post(f"{mocks.base_url('echo')}/v1", json={"send": 2})
    assert answer.json() == {"path": "/v1/events:ingest", "params": {"a": "b"}, "type": "application/json", "now": 5.0}
    assert answer.headers["x-mock"] == "yes"
    assert mocks.received == {"echo": [ITEM]}
    assert mocks.tested == {"echo": [ITEM, ITEM]}


def test_all_platforms_answer_under_their_names() -> None:
    with MockServer() as mocks:
        statuses = {name: httpx.get(f"{mocks.base_url(name)}/nothing").status_code for name in mocks.platforms}
        stranger = httpx.get(f"http://127.0.0.1:{mocks.port}/nobody/v1")
    assert statuses.keys() == {"meta", "tiktok", "google", "pinterest", "snapchat"}
    assert min(statuses.values()) >= 400
    assert stranger.status_code == 404
    assert "/snapchat" in stranger.json()["error"]


def test_an_outage_lasts_as_many_requests_as_it_was_given() -> None:
    seen: list[Served] = []
    with MockServer([ECHO], unavailable={"echo": 2}, observe=seen.append) as mocks:
        statuses = [httpx.post(mocks.base_url("echo"), json={"send": 1}).status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert [one.reply.status for one in seen] == statuses
    assert mocks.received["echo"] == [ITEM]


def test_the_port_is_free_again_afterwards() -> None:
    with MockServer([ECHO]) as mocks:
        port = mocks.port
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/echo")


def test_addresses_of_token_endpoints_are_completed() -> None:
    with MockServer([ECHO]) as mocks:
        table = mocks.config("echo")
        base = mocks.base_url("echo")
    assert table == {
        "plugin": "echo",
        "base_url": base,
        "allow_private": True,
        "token_url": f"{base}/token",
        "account": "1",
    }


def test_the_written_configuration_is_one_that_the_gateway_reads(tmp_path: Path) -> None:
    with MockServer() as mocks:
        text = gateway_toml(mocks)
        port = mocks.port
    path = tmp_path / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    settings = config.load(path, {}, lambda folder: registry.load(folder).destinations)
    assert list(settings.enabled) == [platform.name for platform in PLATFORMS]
    assert settings.destinations["google"].base_url == f"http://127.0.0.1:{port}/google"
    assert (
        settings.destinations["meta"].secrets["access_token"]
        == tomllib.loads(text)["destinations"]["meta"]["access_token"]
    )
    assert settings.destinations["tiktok"].retry.first_s == 0.3


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (MockReply(200, {"ok": 1}, accepted=(ITEM, ITEM)), "200  2 received"),
        (MockReply(200, {"ok": 1}, tested=(ITEM,)), "200  1 as a test"),
        (MockReply(400, {"error": "bad"}), '400  {"error": "bad"}'),
        (MockReply(200, {"access_token": "secret-token"}), "200  a token"),
    ],
)
def test_a_line_tells_what_a_platform_made_of_a_request(reply: MockReply, words: str) -> None:
    told = line(Served("google", MockRequest("POST", "/v1/events:ingest"), reply))
    assert told == f"google     POST /v1/events:ingest  {words}"


def test_a_taken_port_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert server.main(["--port", str(port)]) == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
