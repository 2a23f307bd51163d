"""The background task that forgets."""

import time
from dataclasses import replace

import anyio
import pytest

from gateway.outbox.lanes import record
from gateway.web.upkeep import forget, upkeep

pytestmark = pytest.mark.anyio

DAY = 86_400.0
EVENT = {
    "event_name": "Lead",
    "event_id": "l-1",
    "user_data": {"client_ip_address": "203.0.113.7", "email": "jane.doe@example.com"},
    "consent": {"ad_storage": "granted", "ad_user_data": "granted"},
}


def counts(outbox):
    with outbox.reading() as db:
        clear = db.execute("SELECT count(*) FROM clear").fetchone()[0]
        rows, payloads = db.execute("SELECT count(*), count(payload) FROM event").fetchone()
    return {"addresses": clear, "events": rows, "payloads": payloads}


async def deliver(outbox):
    """As the dispatcher writes it down: the lane has read everything, nothing waits."""
    await outbox.write(lambda db: record(db, 1, cursor=10**6, tried=None, settled=(), changes=(), now=time.time()))


async def test_nothing_is_forgotten_before_its_delivery_is_final(client, outbox, settings):
    await client.post("/v1/events", json=EVENT)
    await forget(outbox, settings, anyio.Event(), time.time() + 100 * DAY)
    assert counts(outbox) == {"addresses": 1, "events": 1, "payloads": 1}


async def test_each_part_goes_in_its_time_after_delivery(client, outbox, settings):
    await client.post("/v1/events", json=EVENT)
    await deliver(outbox)
    now = time.time()
    await forget(outbox, settings, anyio.Event(), now)
    assert counts(outbox) == {"addresses": 0, "events": 1, "payloads": 1}
    await forget(outbox, settings, anyio.Event(), now + 7.1 * DAY)
    assert counts(outbox) == {"addresses": 0, "events": 1, "payloads": 0}
    await forget(outbox, settings, anyio.Event(), now + 30.1 * DAY)
    assert counts(outbox) == {"addresses": 0, "events": 0, "payloads": 0}


async def test_addresses_may_have_a_time_of_their_own(client, outbox, settings):
    await client.post("/v1/events", json=EVENT)
    settings = replace(settings, privacy=replace(settings.privacy, ip_retention_s=3_600.0))
    await forget(outbox, settings, anyio.Event(), time.time() + 3_000)
    assert counts(outbox)["addresses"] == 1
    await forget(outbox, settings, anyio.Event(), time.time() + 4_000)
    assert counts(outbox)["addresses"] == 0, "although it is not delivered"


@pytest.mark.parametrize("has_lease", [True, False])
async def test_only_the_process_with_the_lease_deletes_and_every_one_sweeps(
    client, outbox, settings, monkeypatch, has_lease
):
    await client.post("/v1/events", json=EVENT)
    await deliver(outbox)
    stop, swept = anyio.Event(), []
    sweep = outbox.sweep_dedup

    async def counted():
        swept.append(1)
        if len(swept) == 2:
            stop.set()
        await sweep()

    monkeypatch.setattr(outbox, "sweep_dedup", counted)
    with anyio.fail_after(5):
        await upkeep(outbox, lambda: settings, stop, has_lease=lambda: has_lease, round_s=0.01)
    assert len(swept) == 2
    assert counts(outbox)["addresses"] == (0 if has_lease else 1)
