"""A service on a real outbox in a temporary folder, with one destination that sends nothing anywhere."""

from dataclasses import replace
from ipaddress import ip_network

import httpx
import pytest

from gateway.config import Instance, OutboxSettings, Server, Settings, Source
from gateway.outbox import Outbox
from gateway.outbox.lanes import open_lanes
from gateway.plugin import Destination, Request, verdicts
from gateway.web.app import App
from gateway.web.service import Effective, Service

WRITE_KEY, PUBLIC_KEY = "write-key-of-the-shop", "public-key-of-the-shop"
SHOP = "https://shop.example"

ACME = Destination(
    name="acme",
    api_version="v1",
    docs="https://acme.example/docs",
    config_schema={"type": "object"},
    names={"Purchase": "Buy", "Lead": "Lead"},
    purposes=frozenset({"ad_user_data"}),
    digests={"email": "email_plain"},
    map_event=lambda event, config: {"name": event.platform_name, "id": event.event_id},
    build_request=lambda batch, config: Request("POST", "https://acme.example/v1/events", json=list(batch)),
    classify=lambda response, count: verdicts.by_status(response, count),
)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def settings(tmp_path):
    sources = [
        Source(
            name="web",
            write_keys=(WRITE_KEY, "its-second-key"),
            public_keys=(PUBLIC_KEY,),
            origins=(SHOP,),
            region="US",
        ),
        Source(name="open", public_keys=("public-key-for-anybody",), origins=("*",), region="US"),
        Source(name="hooks", write_keys=("key-of-a-webhook",), kind="shopify"),
    ]
    acme = Instance(name="acme", destination=ACME, names=ACME.names, digests=ACME.digests, requires=ACME.purposes)
    return Settings(
        path=tmp_path / "gateway.toml",
        server=Server(max_body_bytes=100_000, max_events=50, trusted_proxies=(ip_network("10.0.0.0/8"),)),
        outbox=OutboxSettings(url="sqlite:///gateway.db", path=tmp_path / "gateway.db"),
        sources={source.name: source for source in sources},
        destinations={"acme": acme, "off": replace(acme, name="off", enabled=False)},
    )


@pytest.fixture
def outbox(settings):
    outbox = Outbox(settings.outbox.path)
    outbox.start()
    outbox.write_blocking(lambda db: open_lanes(db, settings.enabled))
    yield outbox
    outbox.close()


@pytest.fixture
def service(settings, outbox):
    return Service(Effective.of(settings, outbox), outbox)


@pytest.fixture
async def client(service, anyio_backend):
    transport = httpx.ASGITransport(App(service), client=("203.0.113.7", 4711))
    headers = {"Authorization": f"Bearer {WRITE_KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.example", headers=headers) as client:
        yield client


@pytest.fixture
def stored(outbox):
    """The stored events' ids and payloads, in order."""

    def read():
        with outbox.reading() as db:
            return db.execute("SELECT event_id, payload FROM event ORDER BY seq").fetchall()

    return read
