"""Segment's and RudderStack's SDKs as published, with the gateway as their host: through it to the mock platforms.

Between an SDK and the gateway stands a proxy that loses answers, or gives others, so that the SDK sends again.
"""

from __future__ import annotations

import gzip
import http.client
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from gateway.demo.configuration import HURRY, destinations_toml
from gateway.demo.platforms import meta, tiktok
from gateway.demo.server import MockServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
SECRET, PUBLIC = "made-up-write-key-000001", "made-up-public-key-000001"
CONFIG = f"""\
[server]
port = {{port}}
[sources.shop]
write_key = "{SECRET}"
public_key = "{PUBLIC}"
origins = ["http://127.0.0.1:{{pages}}"]
region = "US"
"""
EMAIL, AGENT = "Jane.Doe@example.com", "Mozilla/5.0 (made up)"
DIGEST = sha256(EMAIL.lower().encode()).hexdigest()
DEADLINE_S = 20.0


def needs(*there: Path | str) -> pytest.MarkDecorator:
    """Skip where a tool is missing, but for CI."""
    missing = [str(one) for one in there if not (shutil.which(one) if isinstance(one, str) else one.exists())]
    return pytest.mark.skipif(bool(missing) and os.environ.get("CI") != "true", reason=f"not here: {missing}")


def until(done: Callable[[], Any]) -> Any:
    end = time.monotonic() + DEADLINE_S
    while not (found := done()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
    return found


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Proxy:
    """Between SDK and gateway. `faults`: what is done to the next requests that bring an order.

    `lose`: the gateway takes it and the answer is lost; `500`: another answer is given; `429`: it is not handed on.
    """

    target: int
    faults: list[str] = field(default_factory=list)
    #: What the gateway answered to calls, also where the SDK heard nothing of it.
    answers: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None: ...

            def do_GET(self) -> None:
                self.pass_on()

            def do_OPTIONS(self) -> None:
                self.pass_on()

            def do_POST(self) -> None:
                self.pass_on()

            def pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = ""
                if self.command == "POST":
                    proxy.paths.append(self.path)
                    plain = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                    fault = proxy.faults.pop(0) if proxy.faults and b"Order Completed" in plain else ""
                if fault == "429":
                    origin = self.headers.get("Origin", "*")
                    headers = {"Retry-After": "1", "Access-Control-Allow-Origin": origin}
                    self.reply(429, {**headers, "Access-Control-Expose-Headers": "Retry-After"}, b"{}")
                    return
                with closing(http.client.HTTPConnection("127.0.0.1", proxy.target, timeout=10)) as there:
                    there.request(self.command, self.path, body, dict(self.headers))
                    answer = there.getresponse()
                    data = answer.read()
                if self.command == "POST":
                    proxy.answers.append({"status": answer.status, **json.loads(data)})
                if fault == "lose":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                kept = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
                self.reply(500 if fault == "500" else answer.status, kept, data)

            def reply(self, status: int, headers: dict[str, str], data: bytes) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(data))}.items():
                    if name.lower() not in ("date", "server", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

        return Handler

    def results(self) -> list[dict[str, Any]]:
        return [result for answer in self.answers for result in answer.get("results", ())]


@dataclass
class Gateway:
    port: int
    pages: int
    mocks: MockServer
    proxy: Proxy
    #: The proxy's address: what an SDK gets as its host.
    host: str

    def arrived(self, platform: str = "meta") -> dict[str, Any]:
        """What a platform has, by the event's name there; each once."""
        items = self.mocks.received[platform]
        key = {"meta": "event_name", "tiktok": "event"}[platform]
        names = [one[key] for one in items]
        assert len(names) == len(set(names)), f"twice: {names}"
        return {one[key]: one for one in items}

    def all_there(self) -> dict[str, Any]:
        """Purchase, Lead and PageView; the second platform takes no page views unless told."""
        until(lambda: {"Purchase", "Lead", "PageView"} <= self.arrived().keys() and len(self.arrived("tiktok")) == 2)
        return self.arrived()


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Pages(SimpleHTTPRequestHandler):
    """The shop's pages: the bundles as npm has them, and one page."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given, directory=str(HERE))

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        if self.path.startswith("/node_modules/"):
            super().do_GET()
            return
        page = b"<!doctype html><title>Thank you</title>" if self.path.startswith("/thank-you") else b""
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    proxy = Proxy(port)
    with MockServer((meta.MOCK, tiktok.MOCK)) as mocks, serving(Pages) as pages, serving(proxy.handler()) as front:
        tables = destinations_toml(mocks, {name: {**HURRY, "batch_linger": 0} for name in mocks.platforms})
        (folder / "gateway.toml").write_text(CONFIG.format(port=port, pages=pages) + tables)
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(folder / "gateway.toml")]
        with (folder / "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
            try:
                until(lambda: ready(port))
                yield Gateway(port, pages, mocks, proxy, f"http://127.0.0.1:{front}")
            finally:
                process.terminate()
                process.wait(20)


def ready(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    return False


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """With nothing arrived and nothing wrong yet."""
    for items in running.mocks.received.values():
        items.clear()
    for told in (running.proxy.faults, running.proxy.answers, running.proxy.paths):
        told.clear()
    return running


def order(order_id: str) -> dict[str, Any]:
    product = {"product_id": "SKU-1", "name": "Blue shirt", "price": 29.99, "quantity": 2}
    return {
        "order_id": order_id,
        "revenue": 59.98,
        "currency": "USD",
        "products": [product],
        "gclid": "EAIaIQobChMIexample",
    }


def context() -> dict[str, Any]:
    return {
        "ip": "203.0.113.10",
        "userAgent": AGENT,
        "page": {"url": "https://shop.example/thank-you?fbclid=IwAR2Example", "referrer": "https://shop.example/"},
    }


def check_from_server(gateway: Gateway, order_id: str, user: str) -> None:
    """What a server's SDK was told is at the platforms, once."""
    found = gateway.all_there()
    bought = found["Purchase"]
    assert bought["event_id"] == order_id
    assert bought["custom_data"]["value"] == 59.98
    assert bought["custom_data"]["currency"] == "USD"
    product = {"id": "SKU-1", "quantity": 2, "item_price": 29.99, "title": "Blue shirt"}
    assert bought["custom_data"]["contents"] == [product]
    assert bought["user_data"]["external_id"] == [sha256(user.encode()).hexdigest()]
    assert bought["user_data"]["em"] == [DIGEST]  # from `identify`, or the traits
    assert bought["user_data"]["client_ip_address"] == "203.0.113.10"
    assert bought["user_data"]["client_user_agent"] == AGENT
    assert bought["user_data"]["fbc"].endswith(".IwAR2Example")
    assert found["Lead"]["user_data"]["em"] == [DIGEST]
    assert found["PageView"]["event_source_url"] == "https://shop.example/thank-you?fbclid=IwAR2Example"
    [paid] = [one for one in gateway.mocks.received["tiktok"] if "value" in one.get("properties", {})]
    assert paid["properties"]["value"] == 59.98
    repeated = [one for one in gateway.proxy.results() if one["status"] == "duplicate"]
    assert {one["event_id"] for one in repeated} >= {order_id}, "the SDK has not sent it again"
    assert all(answer["status"] == 200 for answer in gateway.proxy.answers)


@pytest.mark.parametrize("fault", ["lose", "500"])
def test_segment_for_python(gateway: Gateway, fault: str) -> None:
    from segment.analytics.client import Client

    gateway.proxy.faults = [fault]
    user, number = f"python-{fault}", f"order-python-{fault}"
    client = Client(SECRET, host=gateway.host, gzip=fault == "500", upload_interval=0.2, max_retries=3)
    client.identify(user, {"email": EMAIL, "firstName": "Jane"}, context())
    client.page(user, properties={}, context=context())
    client.track(user, "Lead", {"form": "newsletter"}, context())
    client.track(user, "Order Completed", order(number), context())
    client.shutdown()
    check_from_server(gateway, number, user)
    assert set(gateway.proxy.paths) == {"/v1/batch"}


def test_segment_for_python_waits_as_long_as_it_is_told(gateway: Gateway) -> None:
    from segment.analytics.client import Client

    gateway.proxy.faults = ["429"]
    client = Client(SECRET, host=gateway.host, upload_interval=0.2, max_retries=3)
    client.track("python-429", "Order Completed", order("order-python-429"), {**context(), "traits": {"email": EMAIL}})
    client.shutdown()
    assert until(lambda: gateway.arrived().get("Purchase"))["event_id"] == "order-python-429"
    assert [one["status"] for one in gateway.proxy.results()] == ["accepted"]


def test_rudderstack_for_python(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    from rudderstack.analytics.client import Client

    caplog.set_level(logging.CRITICAL, "backoff")
    gateway.proxy.faults = ["lose"]
    client = Client(SECRET, host=gateway.host, upload_interval=0.2, max_retries=5)
    client.identify("rudder", {"email": EMAIL}, context())
    client.page("rudder", properties={}, context=context())
    client.track("rudder", "Lead", {}, context())
    client.track("rudder", "Order Completed", order("order-rudder"), context())
    client.flush()
    client.join()
    check_from_server(gateway, "order-rudder", "rudder")


def test_rudderstack_for_python_gives_up_where_its_key_is_wrong(gateway: Gateway) -> None:
    """It reads `code` and `message` of a refusal, and sends again where they are missing."""
    from rudderstack.analytics.client import Client

    told: list[Exception] = []
    client = Client(
        "nobody-has-this-key-0001",
        host=gateway.host,
        upload_interval=0.1,
        max_retries=5,
        on_error=lambda error, _: told.append(error),
    )
    client.track("rudder", "Lead", {})
    client.flush()
    client.join()
    assert [one["status"] for one in gateway.proxy.answers] == [401]
    assert [str(one) for one in told] == ["[rudderstack] unknown_key: nobody has this key (401)"]


def node(script: str, gateway: Gateway) -> None:
    told = {"HOST": gateway.host, "KEY": SECRET, "ORDER": json.dumps(order("order-node"))}
    told |= {"CONTEXT": json.dumps(context()), "EMAIL": EMAIL, "PATH": os.environ["PATH"]}
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, cwd=HERE, env=told, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


SEGMENT_NODE = """
import { Analytics } from '@segment/analytics-node'
const { HOST, KEY, EMAIL } = process.env
const order = JSON.parse(process.env.ORDER), context = JSON.parse(process.env.CONTEXT)
const analytics = new Analytics({ writeKey: KEY, host: HOST, flushInterval: 100 })
const who = { userId: 'node-segment', context }
analytics.identify({ ...who, traits: { email: EMAIL } })
analytics.page({ ...who, properties: {} })
analytics.track({ ...who, event: 'Lead' })
analytics.track({ ...who, event: 'Order Completed', properties: { ...order, order_id: 'order-node-segment' } })
await analytics.closeAndFlush({ timeout: 15000 })
"""
RUDDER_NODE = """
import Analytics from '@rudderstack/rudder-sdk-node'
const { HOST, KEY, EMAIL } = process.env
const order = JSON.parse(process.env.ORDER), context = JSON.parse(process.env.CONTEXT)
const analytics = new Analytics(KEY, { dataPlaneUrl: HOST, flushAt: 4, logLevel: 'error' })
const who = { userId: 'node-rudder', context }
analytics.flushed = true  // no request of its own for the first call
analytics.identify({ ...who, traits: { email: EMAIL } })
analytics.page({ ...who, properties: {} })
analytics.track({ ...who, event: 'Lead' })
analytics.track({ ...who, event: 'Order Completed', properties: { ...order, order_id: 'order-node-rudder' } })
await analytics.flush()
"""


@needs("node", MODULES / "@segment/analytics-node")
@pytest.mark.parametrize("fault", ["lose", "500"])
def test_segment_for_node(gateway: Gateway, fault: str) -> None:
    gateway.proxy.faults = [fault]
    node(SEGMENT_NODE.replace("node-segment", f"node-segment-{fault}"), gateway)
    check_from_server(gateway, f"order-node-segment-{fault}", f"node-segment-{fault}")


@needs("node", MODULES / "@rudderstack/rudder-sdk-node")
def test_rudderstack_for_node(gateway: Gateway) -> None:
    gateway.proxy.faults = ["500"]
    node(RUDDER_NODE, gateway)
    check_from_server(gateway, "order-node-rudder", "node-rudder")


SEGMENT_PAGE = """
async ({ host, key, order, email }) => {
  const analytics = self.AnalyticsNext.AnalyticsBrowser.load(
    { writeKey: key, cdnURL: host },
    { integrations: { 'Segment.io': { apiHost: host.replace('http://', '') + '/v1', protocol: 'http' } } })
  await analytics.identify('page-segment', { email })
  await analytics.page()
  await analytics.track('Lead')
  await analytics.track('Order Completed', { ...order, order_id: 'order-page-segment' })
}
"""
RUDDER_PAGE = """
({ host, key, order, email }) => new Promise((done) => {
  const analytics = new self.rudderanalytics.RudderAnalytics()
  analytics.load(key, host, { configUrl: host, logLevel: 'ERROR' })
  analytics.ready(() => {
    analytics.identify('page-rudder', { email })
    analytics.page()
    analytics.track('Lead')
    analytics.track('Order Completed', { ...order, order_id: 'order-page-rudder' })
    done()
  })
})
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def visit(chromium: Any, gateway: Gateway, bundle: str, script: str, name: str) -> None:
    """Run an SDK in a page until each of its calls was answered, one of them only when it was sent again."""
    page = chromium.new_page(user_agent=AGENT)
    told: list[str] = []
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(f"http://127.0.0.1:{gateway.pages}/thank-you?fbclid=IwAR2Example")
    page.add_script_tag(url=f"/node_modules/{bundle}")
    given = {"host": gateway.host, "key": PUBLIC, "order": order(""), "email": EMAIL}
    page.evaluate(script, given)
    end = time.monotonic() + DEADLINE_S
    while not {f"order-{name}", "duplicate"} <= {
        one.get(key, "") for one in gateway.proxy.results() for key in ("event_id", "status")
    }:
        assert time.monotonic() < end, (told, gateway.proxy.answers)
        page.wait_for_timeout(50)
    found = gateway.all_there()
    page.close()
    bought = found["Purchase"]
    assert bought["event_id"] == f"order-{name}"
    assert bought["custom_data"]["value"] == 59.98
    assert bought["user_data"]["external_id"] == [sha256(name.encode()).hexdigest()]
    assert bought["user_data"]["em"] == [DIGEST]
    assert bought["user_data"]["client_ip_address"] == "127.0.0.1"  # the proxy's: its word is not believed
    assert bought["user_data"]["client_user_agent"] == AGENT
    assert bought["user_data"]["fbc"].endswith(".IwAR2Example")
    assert found["Lead"]["user_data"]["em"] == [DIGEST]
    assert found["PageView"]["event_source_url"].startswith(f"http://127.0.0.1:{gateway.pages}/thank-you")
    assert all(answer["status"] == 200 for answer in gateway.proxy.answers)
    assert told == []


@needs(Path(CHROMIUM), MODULES / "@segment/analytics-next")
def test_segment_in_a_page(gateway: Gateway, chromium: Any) -> None:
    gateway.proxy.faults = ["429", "lose"]
    visit(chromium, gateway, "@segment/analytics-next/dist/umd/index.js", SEGMENT_PAGE, "page-segment")
    assert {"/v1/i", "/v1/p", "/v1/t"} == set(gateway.proxy.paths)


@needs(Path(CHROMIUM), MODULES / "@rudderstack/analytics-js")
def test_rudderstack_in_a_page(gateway: Gateway, chromium: Any) -> None:
    gateway.proxy.faults = ["lose"]
    bundle = "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js"
    visit(chromium, gateway, bundle, RUDDER_PAGE, "page-rudder")
