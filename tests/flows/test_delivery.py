"""Bundled destinations through the dispatcher under virtual time, against their mock platforms."""

from __future__ import annotations

import importlib
import json
from typing import Any

import httpx
import pytest

from gateway import config, registry
from gateway.demo.mock import MockRequest

pytestmark = pytest.mark.anyio

PERSON = {"email": "ann@example.com", "client_ip_address": "192.0.2.7", "client_user_agent": "Mozilla/5.0 (made up)"}


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {toml(one)}' for key, one in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture
def run(new_world, tmp_path):
    """A world with one bundled destination and its mock; `requests` are those that carried events."""
    made = []

    def make(name: str, more: str = ""):
        mock = importlib.import_module(f"gateway.demo.platforms.{name}").MOCK
        keys = "".join(f"{key} = {toml(one)}\n" for key, one in mock.config.items() if key != "token_url")
        file = tmp_path / "gateway.toml"
        file.write_text(
            '[sources.web]\nwrite_key = "made-up-write-key-000001"\n'
            f'[destinations.{name}]\nbase_url = "http://127.0.0.1:1"\nallow_private = true\n{keys}{more}'
        )
        world = new_world()
        made.append(world)
        settings = config.load(file, {}, lambda _: registry.load().destinations)
        world.configured(settings.destinations[name])
        world.requests, world.accepted, world.down = [], [], False

        def handler(request: httpx.Request) -> httpx.Response:
            if world.down:
                return httpx.Response(503)
            headers = {key.lower(): value for key, value in request.headers.items()}
            seen = MockRequest(request.method, request.url.path, dict(request.url.params), headers, request.content)
            reply = mock.answer(seen, world.clock.now())
            if reply.accepted or reply.status != 200:
                world.requests.append((request.url.path, len(reply.accepted), reply.status))
            world.accepted += reply.accepted
            return httpx.Response(reply.status, json=reply.json, headers=reply.headers)

        world.networks[name] = httpx.MockTransport(handler)
        return world

    yield make
    for world in made:
        world.outbox.close()


def purchases(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "event_name": "Purchase",
            "event_id": f"order-{number}",
            "event_source_url": "https://shop.example/thanks",
            "user_data": PERSON,
            "custom_data": {"value": 10 + number, "currency": "EUR", "order_id": f"order-{number}"},
            **fields,
        }
        for number in range(count)
    ]


def ids(count: int) -> list[str]:
    return [f"order-{number}" for number in range(count)]


async def test_meta_gets_two_and_a_half_thousand_events_in_three_requests(run):
    world = run("meta")
    async with world.running():
        await world.post_events(purchases(2500))
        await world.clock.until(world.settled("order-2499", instance="meta"))
    assert [(size, status) for _, size, status in world.requests] == [(1000, 200), (1000, 200), (500, 200)]
    assert sorted(item["event_id"] for item in world.accepted) == sorted(ids(2500))


async def test_a_stale_event_does_not_sink_the_batch_of_its_neighbours(run):
    """Meta refuses a whole request for one event that is too old: it has to be left out before."""
    world = run("meta")
    limit = world.settings.enabled["meta"].destination.limits.max_age_s
    events = purchases(20)
    events[7]["event_time"] = world.clock.now() - limit + 60  # a minute left when it is posted
    await world.post_events(events)
    await world.clock.pass_s(120)
    async with world.running():
        await world.clock.until(world.settled(*ids(20), instance="meta"))
    assert world.standing("order-7", "meta").state == "expired"
    assert [(size, status) for _, size, status in world.requests] == [(19, 200)]


async def test_an_outage_delays_and_loses_nothing(run):
    world = run("meta")
    world.down = True
    async with world.running():
        await world.post_events(purchases(30))
        await world.clock.until(lambda: world.status("meta").state == "broken")
        world.down = False
        await world.clock.until(world.settled(*ids(30), instance="meta"))
    assert world.states(*ids(30), instance="meta") == ["delivered"] * 30
    assert sorted(item["event_id"] for item in world.accepted) == sorted(ids(30))


async def test_google_reports_the_outcome_later(run):
    world = run("google", 'follow_up = {first = "20s"}\n')
    async with world.running():
        await world.post_events(purchases(3))
        await world.clock.until(lambda: world.states(*ids(3), instance="google") == ["received"] * 3)
        await world.clock.until(lambda: world.states(*ids(3), instance="google") == ["delivered"] * 3)
    assert len(world.accepted) == 3


async def test_a_pause_in_a_platforms_own_words(run):
    world = run("meta")
    handler = world.networks["meta"].handler
    broken = [True]

    def revoked(request: httpx.Request) -> httpx.Response:
        if not broken:
            return handler(request)
        error = {"message": "Error validating access token: revoked", "code": 190, "type": "OAuthException"}
        return httpx.Response(400, json={"error": error})

    world.networks["meta"] = httpx.MockTransport(revoked)
    async with world.running():
        await world.post_events(purchases(3))
        await world.clock.until(lambda: world.status("meta").state == "paused")
        assert "revoked" in world.status("meta").message
        assert world.states(*ids(3), instance="meta") == ["queued"] * 3
        broken.clear()
        await world.clock.until(world.settled(*ids(3), instance="meta"))
    assert len(world.accepted) == 3


@pytest.mark.parametrize("together", [True, False], ids=["in one body", "later"])
async def test_google_learns_from_the_gateway_when_a_refunded_purchase_happened(run, together):
    """A shop's refund names its order, hardly ever the time of it; the platform wants to have it."""
    world = run("google")
    [sale] = purchases(1, event_time=world.clock.now() - 3600, event_id="sale-1")
    refund = {"event_name": "Refund", "event_id": "refund-1", "user_data": PERSON, "action_source": "system_generated"}
    refund["custom_data"] = {"order_id": "order-0", "value": 4, "remaining_value": 6, "currency": "EUR"}
    second = {**refund, "event_id": "refund-2", "custom_data": {**refund["custom_data"], "remaining_value": 0}}
    async with world.running():
        if together:
            await world.post_events([sale, refund, second])
        else:
            for event in (sale, refund, second):
                await world.post_events([event])
                await world.clock.pass_s(10)
        await world.clock.until(lambda: len(world.accepted) == 3)
    assert [item["conversionValue"] for item in world.accepted] == [10, 6, 0]
    assert len({item["eventTimestamp"] for item in world.accepted}) == 1, "all of them at the time of the purchase"
    assert {item["transactionId"] for item in world.accepted} == {"order-0"}
