"""A shop's pages, a gateway that runs, the mock platforms behind it, and a browser: all on this machine."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.demo.configuration import HURRY, HURRY_LATER, LATER, destinations_toml
from gateway.demo.server import MockServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
KEY = "made-up-public-key-000001"
#: The shop, and a host of its own for the gateway: one site. Names below localhost are this machine's, and count as
#: secure, so that cookies are as they are in production.
SHOP, EVENTS, STRANGER = "www.shop.localhost", "events.shop.localhost", "www.stranger.localhost"
#: In no test is anything waited for longer, in seconds.
PATIENCE_S = 15.0

CONFIG = """\
[server]
port = {port}
[sources.web]
public_key = "{key}"
write_key = "made-up-write-key-000001"
origins = ["http://{shop}:{pages}"]
region = "DE"
remember_visits = true
{browser}
[sources.open]
public_key = "made-up-public-key-000002"
origins = ["*"]
region = "US"
"""
BROWSER = """
[sources.web.browser]
cookies = ["_fbc", "_fbp"]
cookie_domain = "shop.localhost"
"""


def until(find: Callable[[], Any], what: str = "", page: Any = None) -> Any:
    """What `find` finds, as soon as it does. With `page`, what was to be told of its requests is told meanwhile."""
    end = time.monotonic() + PATIENCE_S
    while not (found := find()):
        assert time.monotonic() < end, f"not in time: {what}"
        if page is None:
            time.sleep(0.02)
        else:
            page.wait_for_timeout(20)
    return found


@dataclass
class Pages:
    """A server of pages: path → HTML, the same for every host, with headers if there are any."""

    port: int = 0
    html: dict[str, str] = field(default_factory=dict)
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def url(self, path: str, host: str = SHOP) -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture(scope="session")
def pages() -> Iterator[Pages]:
    found = Pages()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            body = found.html.get(path)
            self.send_response(404 if body is None else 200)
            kind = "text/javascript" if path.endswith(".js") else "text/html; charset=utf-8"
            for name, value in {"Content-Type": kind, **found.headers.get(path, {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Gateway:
    """One that runs, and the platforms behind it."""

    port: int
    folder: Path
    mocks: MockServer

    def url(self, path: str = "", host: str = EVENTS) -> str:
        return f"http://{host}:{self.port}{path}"

    def items(self, platform: str, event_id: str) -> list[dict[str, Any]]:
        """What a platform received under this id."""
        key = "transactionId" if platform == "google" else "event_id"
        return [dict(one) for one in self.mocks.received[platform] if one[key] == event_id]

    def item(self, platform: str, event_id: str) -> dict[str, Any]:
        """The one item under this id, once it is there."""
        until(lambda: self.items(platform, event_id), f"{event_id} at {platform}")
        [found] = self.items(platform, event_id)
        return found

    def stored(self, name: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """(event id, payload) of what is stored, in order; of one name."""
        with closing(sqlite3.connect(f"file:{self.folder / 'gateway.db'}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT event_id, event_name, payload FROM event ORDER BY seq").fetchall()
        return [(row[0], json.loads(row[2])) for row in rows if name in (None, row[1])]

    def event(self, name: str, event_id: str | None = None) -> dict[str, Any]:
        """The newest event of a name, once it is there."""

        def find() -> list[dict[str, Any]]:
            return [payload for one, payload in self.stored(name) if event_id in (None, one)]

        found: dict[str, Any] = until(find, f"{name} {event_id}")[-1]
        return found


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, pages: Pages) -> Iterator[Gateway]:
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    with MockServer() as mocks:
        more = {
            name: {**HURRY, "batch_linger": 0, **(HURRY_LATER if name in LATER else {})} for name in mocks.platforms
        }
        text = CONFIG.format(port=port, key=KEY, shop=SHOP, pages=pages.port, browser=BROWSER)
        (folder / "gateway.toml").write_text(text + destinations_toml(mocks, more))
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.toml")]
        with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log, cwd=Path.cwd()) as process:
            try:
                url = f"http://127.0.0.1:{port}/readyz"
                until(lambda: _answers(url), (folder / "log").read_text())
                yield Gateway(port, folder, mocks)
            finally:
                process.terminate()
                process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")  # Playwright's event loop lives as long, and no other can run beside it
def chromium() -> Iterator[Any]:
    if not Path(CHROMIUM).exists():
        assert not os.environ.get("CI"), "CI installs Chromium"
        pytest.skip("there is no Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visitor(chromium: Any) -> Iterator[Any]:
    """Somebody's browser: without cookies, and with nothing that may go wrong in a page unnoticed."""
    context = chromium.new_context(locale="de-DE")
    context.set_default_timeout(PATIENCE_S * 1000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context
    context.unroute_all(behavior="ignoreErrors")
    context.close()
    assert errors == [], "the snippet threw into the page"


@pytest.fixture
def shop(gateway: Gateway, pages: Pages) -> Callable[..., str]:
    """A page of the shop: `shop("/thanks", script)` → its address."""

    def make(path: str, script: str = "", head: str = "", gateway_host: str = EVENTS, **data: str) -> str:
        attributes = "".join(f' data-{name}="{value}"' for name, value in {"key": KEY, **data}.items())
        pages.html[path] = (
            f"<!doctype html><title>A page</title>{head}"
            "<script>window.cg=window.cg||function(){(cg.q=cg.q||[]).push(arguments)}</script>"
            f'<script async src="{gateway.url("/collect.js", gateway_host)}"{attributes}></script>'
            f"<h1>Shop</h1><script>{script}</script>"
        )
        return pages.url(path)

    return make
