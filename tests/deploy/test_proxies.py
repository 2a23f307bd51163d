"""The proxies' configurations, under the real proxies: what passes, and whose address the gateway believes."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from gateway.outbox.engine import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[2] / "deploy"
HOST = "collect.shop.example"
KEY = "public-key-of-the-shop"

CONFIG = """
[server]
port = {port}
trusted_proxies = ["127.0.0.1"]
[sources.web]
write_key = "write-key-of-the-shop"
public_key = "{key}"
origins = ["https://shop.example"]
region = "US"
[destinations.sink]
plugin = "webhook"
url = "http://127.0.0.1:1/"
secret = "made-up-secret-of-the-sink"
allow_private = true
"""

#: What surrounds the server block in a folder of the test's own.
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {server}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[None]:
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (
        (folder / f"log-{port}").open("w") as log,
        subprocess.Popen(command, stderr=log, stdout=log, env=environ) as it,
    ):
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > end or it.poll() is not None:
                        raise AssertionError((folder / f"log-{port}").read_text()) from None
                    time.sleep(0.02)
            yield
        finally:
            it.terminate()
            it.wait(30)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[int]:
    port, config = free_port(), tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(port=port, key=KEY))
    with running([sys.executable, "-m", "gateway", "serve", "--config", str(config)], port, tmp_path):
        yield port


def certificate(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*made, "-keyout", key, "-out", cert, *subject, "-days", "2"], check=True, capture_output=True)
    return key, cert


def nginx(folder: Path, gateway: int) -> tuple[list[str], int]:
    key, cert = certificate(folder)
    port = free_port()
    text = (DEPLOY / "nginx.conf").read_text()
    text = text.replace("listen 443", f"listen 127.0.0.1:{port}").replace("    listen [::]:443 ssl;\n", "")
    text = re.sub(r"(ssl_certificate +)\S+;", rf"\1{cert};", text)
    text = re.sub(r"(ssl_certificate_key +)\S+;", rf"\1{key};", text)
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway}")
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, server=text))
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")], port


def caddy(folder: Path, gateway: int) -> tuple[list[str], int]:
    key, cert = certificate(folder)
    port = free_port()
    text = (DEPLOY / "Caddyfile").read_text()
    text = text.replace(f"{HOST} {{", f"{HOST}:{port} {{\n\tbind 127.0.0.1\n\ttls {cert} {key}", 1)
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{gateway}")
    (folder / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + text)
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"], port


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(params=PROXIES)
def outside(request: pytest.FixtureRequest, gateway: int, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client as a browser is, on the far side of the proxy."""
    if shutil.which(request.param) is None:
        assert not os.environ.get("CI"), f"CI installs {request.param}"
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path / request.param
    folder.mkdir()
    command, port = PROXIES[request.param](folder, gateway)
    trust = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    transport = httpx.HTTPTransport(verify=trust, local_address="127.0.0.9")
    headers = {"Host": HOST, "Origin": "https://shop.example", "X-Write-Key": KEY}
    with running(command, port, folder), httpx.Client(transport=transport, headers=headers) as client:
        client.base_url = httpx.URL(f"https://127.0.0.1:{port}")
        client.extensions = {"sni_hostname": HOST}  # type: ignore[attr-defined]
        yield client


def post(client: httpx.Client, event: dict[str, object], **headers: str) -> httpx.Response:
    found: httpx.Response = client.post("/v1/collect", json=event, headers=headers, extensions={"sni_hostname": HOST})
    return found


def get(client: httpx.Client, path: str) -> int:
    return client.get(path, extensions={"sni_hostname": HOST}).status_code


def test_doors_are_open_and_the_rest_is_not(outside: httpx.Client) -> None:
    assert post(outside, {"event_name": "Lead", "event_id": "a"}).status_code == 202
    assert {path: get(outside, path) for path in ("/metrics", "/readyz", "/healthz", "/openapi.json", "/admin/")} == (
        dict.fromkeys(("/metrics", "/readyz", "/healthz", "/openapi.json", "/admin/"), 404)
    )


def test_a_visitor_cannot_choose_the_address(outside: httpx.Client, tmp_path: Path) -> None:
    answer = post(outside, {"event_name": "Lead", "event_id": "a"}, **{"X-Forwarded-For": "203.0.113.66"})
    assert answer.status_code == 202
    db = connect(tmp_path / "gateway.db", readonly=True)
    try:
        stored = [json.loads(row[0]) for row in db.execute("SELECT data FROM clear")]
    finally:
        db.close()
    assert [one["client_ip_address"] for one in stored] == ["127.0.0.9"]


def test_a_body_past_the_limit_is_refused_before_the_gateway_has_it(outside: httpx.Client) -> None:
    answer = outside.post("/v1/collect", content=b" " * 6_000_000, extensions={"sni_hostname": HOST})
    assert answer.status_code == 413
