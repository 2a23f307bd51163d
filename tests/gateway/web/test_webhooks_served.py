"""A shop's webhooks over a socket, to the running process."""

import os
import signal

import httpx
import pytest

from tests.gateway.ingest.formats.shop_payloads import SHOPIFY_SECRET, raw, shopify_headers, shopify_order
from tests.gateway.web.test_server import read_all, running

SHOP = f"""
[sources.shop]
kind = "shopify"
signing_secret = "{SHOPIFY_SECRET}"
region = "US"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("shop")) as server:
        with server.config.open("a") as file:
            file.write(SHOP)
        os.kill(server.process.pid, signal.SIGHUP)
        server.wait_for("reloaded")
        yield server


def in_pieces(data, size=700):
    for at in range(0, len(data), size):
        yield data[at : at + size]


def test_a_body_in_pieces_is_signed_as_a_whole(server):
    data = raw(shopify_order(id=1, note="Grüße \u2028 🧦"))
    for status in ("accepted", "duplicate"):
        headers = shopify_headers(data, "orders/paid")
        answer = httpx.post(server.url("/webhooks/shop"), content=in_pieces(data), headers=headers)
        assert answer.status_code == 200
        assert [one["status"] for one in answer.json()["results"]] == [status]


def test_a_body_that_ends_too_soon_is_nothing(server):
    data = raw(shopify_order(id=2))
    lines = [f"{name}: {value}" for name, value in shopify_headers(data, "orders/paid").items()]
    head = "\r\n".join(["POST /webhooks/shop HTTP/1.1", "Host: x", *lines, f"Content-Length: {len(data)}", "", ""])
    with server.connect() as connection:
        connection.sendall(head.encode() + data[:-1])  # the last bracket never comes
    with server.connect() as connection:
        cut = head.replace(f"Length: {len(data)}", f"Length: {len(data) - 1}\r\nConnection: close").encode() + data[:-1]
        connection.sendall(cut)
        assert read_all(connection).startswith(b"HTTP/1.1 401 ")
    answer = httpx.post(server.url("/webhooks/shop"), content=data, headers=shopify_headers(data, "orders/paid"))
    assert answer.json()["accepted"] == 1, "nothing of it had been stored"


def test_a_huge_body_is_refused_by_its_size(server):
    data = raw(shopify_order(id=3))
    headers = {**shopify_headers(data, "orders/paid"), "Content-Length": "5000001"}
    with server.connect() as connection:
        lines = "\r\n".join(f"{name}: {value}" for name, value in headers.items())
        connection.sendall(f"POST /webhooks/shop HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n\r\n".encode())
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")
