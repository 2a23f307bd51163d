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


#: Platform → what it answers when a token has run out: status, body.
EXPIRED: dict[str, tuple[int, Any]] = {
    "meta": (401, {"error": {"message": "Session has expired", "type": "OAuthException", "code": 190}}),
    "tiktok": (200, {"code": 40105, "message": "Access token is incorrect or has been revoked.", "data": {}}),
    "google": (401, {"error": {"code": 401, "message": "Invalid credentials.", "status": "UNAUTHENTICATED"}}),
    "pinterest": (401, {"code": 2, "message": "Authentication failed."}),
    "snapchat": (401, {"status": "INVALID", "reason": "token"}),
}
TWO_GOOD = 2


def items_of(request: httpx.Request) -> list[dict[str, Any]]:
    """The events that a request carries, in the platform's words; none if it asks for a token or an outcome."""
    if request.method != "POST" or "json" not in request.headers.get("content-type", ""):
        return []
    body = json.loads(request.content)
    found: list[dict[str, Any]] = body.get("data") or body.get("events") or []
    return found


def id_of(item: dict[str, Any]) -> str:
    found: str = item.get("event_id") or item["transactionId"]
    return found


def between(world: Any, name: str, answer: Any) -> None:
    """Let `answer(items)` speak for a platform first; it returns a response, or nothing to leave it to the mock."""
    handler = world.networks[name].handler

    def spoken(request: httpx.Request) -> httpx.Response:
        items = items_of(request)
        given = answer(items) if items else None
        return handler(request) if given is None else given

    world.networks[name] = httpx.MockTransport(spoken)


@pytest.mark.parametrize("name", EXPIRED)
async def test_a_token_that_runs_out_between_two_batches_loses_nothing(run, name):
    """Where the gateway can renew it (Google) it goes on at once; where it cannot, the lane waits for its operator."""
    world = run(name, "batch_size = 10\n")
    answered, mended = [], []

    def answer(items):
        answered.append(len(items))
        if mended or len(answered) <= TWO_GOOD or (name == "google" and len(answered) > TWO_GOOD + 1):
            return None
        status, body = EXPIRED[name]
        return httpx.Response(status, json=body)

    between(world, name, answer)
    async with world.running():
        await world.post_events(purchases(50))
        if name != "google":
            await world.clock.until(lambda: world.status(name).state == "paused")
            assert world.status(name).message
            taken = {id_of(item) for item in world.accepted}
            assert set(world.states(*(set(ids(50)) - taken), instance=name)) <= {"queued", "waiting"}
            mended.append(True)
        await world.clock.until(lambda: len(world.accepted) == 50)
    assert sorted(map(id_of, world.accepted)) == sorted(ids(50))
    assert len(answered) > 5


BAD = {"order-3", "order-17"}
WORDS = "this one is not right"


def refused_in_part(name: str, items: list[dict[str, Any]]) -> httpx.Response | None:
    """How each platform says that it does not like some of the events: see the plugins for the sources."""
    bad = [at for at, item in enumerate(items) if id_of(item) in BAD]
    if not bad:
        return None
    if name == "meta":  # all or nothing
        error = {"message": "Invalid parameter", "code": 100, "error_subcode": 2804050, "error_user_msg": WORDS}
        return httpx.Response(400, json={"error": {**error, "type": "OAuthException"}})
    if name == "snapchat":  # the first of them, and nothing is taken
        refusal = {"status": "INVALID", "event": bad[0] + 1, "errors": {"codes": ["E1002"], "error_msgs": [WORDS]}}
        return httpx.Response(200, json=refusal)
    if name == "tiktok":
        failed = [{"index": at, "message": WORDS} for at in bad]
        body = {"code": 20001, "message": "Partially successful", "data": {"failed_events": failed}}
        return httpx.Response(200, json=body)
    if name == "pinterest":
        rows = [
            {"status": "failed" if at in bad else "processed", "error_message": WORDS if at in bad else ""}
            for at in range(len(items))
        ]
        details = {"num_events_received": len(items), "num_events_processed": len(items) - len(bad), "events": rows}
        return httpx.Response(422, json={"code": 4196, "message": "Not all events were processed.", "details": details})
    violations = [
        {"field": f"events.events[{at}].user_data", "description": WORDS, "reason": "INVALID_HEX_ENCODING"}
        for at in bad
    ]
    info = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
    error = {"code": 400, "status": "INVALID_ARGUMENT", "message": "There was a problem.", "details": info}
    return httpx.Response(400, json={"error": error})


#: Platforms that take the rest of a request of which they refuse a part.
TAKES_THE_REST = {"tiktok", "pinterest"}


@pytest.mark.parametrize("name", EXPIRED)
async def test_what_a_platform_refuses_in_part_costs_the_others_nothing(run, name):
    world = run(name)
    good = sorted(set(ids(20)) - BAD)

    def answer(items):
        refusal = refused_in_part(name, items)
        if refusal is not None and name in TAKES_THE_REST:
            world.accepted += [item for item in items if id_of(item) not in BAD]
        return refusal

    between(world, name, answer)
    async with world.running():
        await world.post_events(purchases(20))
        await world.clock.until(lambda: world.states(*BAD, instance=name) == ["dead", "dead"])
        await world.clock.until(lambda: len(world.accepted) >= len(good))
        await world.clock.pass_s(60)
    assert sorted(map(id_of, world.accepted)) == good
    assert set(world.states(*good, instance=name)) <= {"delivered", "received"}
    assert all(WORDS in world.standing(one, name).message for one in BAD)
