"""Deliveries that share a serial key, through a lane."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.plugin import Retry

pytestmark = pytest.mark.anyio


def order(event, config):
    return event.custom_data.get("order_id")


def of_order(number, *ids):
    """Events of one order."""
    return [{"event_name": "Lead", "event_id": one, "custom_data": {"order_id": str(number)}} for one in ids]


def serial(use, **options):
    return use(serial_key=order, batch_size=10, max_concurrency=4, **options)


def sales(*pairs):
    """`("Purchase", "p1")` …, all of order 1."""
    fields = {"order_id": "1", "value": 1, "currency": "EUR"}
    return [{"event_name": name, "event_id": one, "custom_data": fields} for name, one in pairs]


def refunds(use, **options):
    return serial(use, follows=lambda event, config: event.event_name == "Refund", **options)


async def test_of_one_key_there_is_one_at_a_time_and_in_order(world, use):
    world.configured(serial(use))
    async with world.running():
        await world.post_events([*of_order(1, "a1", "a2", "a3"), *of_order(2, "b1", "b2")])
        await world.clock.until(world.settled("a3", "b2"))
    assert world.platform.requests == [["a1", "b1"], ["a2", "b2"], ["a3"]]


async def test_events_without_a_key_wait_for_nobody(world, use):
    world.configured(serial(use))
    world.platform.answer = lambda ids: "later" if "a1" in ids and len(world.platform.requests) == 1 else "ok"
    async with world.running():
        await world.post_events(of_order(1, "a1", "a2"))
        await world.clock.until(lambda: world.attempts)
        world.platform.answer = lambda ids: "ok"
        await world.post("free")
        await world.clock.until(world.settled("a1", "a2", "free"))
    assert world.platform.taken.index("a1") < world.platform.taken.index("a2")


async def test_an_event_that_is_tried_again_is_not_overtaken(world, use):
    """While the first waits on disk the second is parked behind it, and a third that comes later behind the second."""
    world.configured(serial(use))
    world.platform.answer = lambda ids: [
        "again" if one == "a1" and len(world.platform.requests) < 3 else "ok" for one in ids
    ]
    async with world.running():
        await world.post_events(of_order(1, "a1"))
        await world.clock.until(lambda: world.attempts)
        await world.post_events(of_order(1, "a2"))
        await world.clock.until(lambda: len(world.attempts) == 2)
        await world.post_events(of_order(1, "a3"))
        await world.clock.until(world.settled("a1", "a2", "a3"))
    assert world.platform.taken == ["a1", "a2", "a3"]
    assert world.states("a1", "a2", "a3") == ["delivered"] * 3


async def test_a_third_does_not_pass_the_second_that_is_parked_while_the_first_is_in_flight_again(world, use):
    world.configured(serial(use))
    gate = anyio.Event()

    async def slow(ids):
        await gate.wait()
        return "ok"

    world.platform.answer = lambda ids: "again"
    async with world.running():
        await world.post_events(of_order(1, "a1"))
        await world.clock.until(lambda: world.attempts)
        await world.post_events(of_order(1, "a2"))
        world.platform.answer = slow
        await world.clock.until(lambda: len(world.platform.requests) == 2)  # a1 again, and not answered
        await world.post_events(of_order(1, "a3"))
        await world.clock.pass_s(1)
        gate.set()
        await world.clock.until(world.settled("a1", "a2", "a3"))
    assert world.platform.requests == [["a1"], ["a1"], ["a2"], ["a3"]]
    assert world.states("a1", "a2", "a3") == ["delivered"] * 3


async def test_a_pause_keeps_the_order(world, use):
    """What had been read behind the event that came back unsent is read again behind it."""
    world.configured(serial(use))
    world.platform.answer = lambda ids: "pause" if len(world.platform.requests) == 1 else "ok"
    async with world.running():
        events = [event for number in range(30) for event in of_order(number % 3, f"{number % 3}-{number:02}")]
        await world.post_events(events)
        ids = [event["event_id"] for event in events]
        await world.clock.until(world.settled(*ids))
    for key in "012":
        mine = [one for one in world.platform.taken if one.startswith(f"{key}-")]
        assert mine == sorted(mine)
        assert len(mine) == 10


async def test_a_dead_letter_lets_the_next_one_go(world, use):
    world.configured(serial(use))
    world.platform.answer = lambda ids: ["reject" if one == "a1" else "ok" for one in ids]
    async with world.running():
        await world.post_events(of_order(1, "a1", "a2"))
        await world.clock.until(world.settled("a1", "a2"))
    assert world.states("a1", "a2") == ["dead", "delivered"]


async def test_the_order_holds_over_a_restart(world, use):
    world.configured(serial(use))
    world.platform.answer = lambda ids: "later"
    async with world.running():
        await world.post_events(of_order(1, "a1", "a2"))
        await world.clock.until(lambda: world.attempts)
    await world.post_events(of_order(1, "a3"))
    world.platform.answer = lambda ids: "ok"
    async with world.running():
        await world.clock.until(world.settled("a1", "a2", "a3"))
    assert world.platform.taken == ["a1", "a2", "a3"]


async def test_a_refund_follows_its_purchase(world, use):
    world.configured(refunds(use))
    async with world.running():
        await world.post_events(sales(("Purchase", "p1"), ("Refund", "r1")))
        await world.clock.until(world.settled("p1", "r1"))
    assert world.platform.requests == [["p1"], ["r1"]]


async def test_a_refund_waits_while_its_purchase_is_tried_again(world, use):
    world.configured(refunds(use))
    answers = iter(["again", "again"])
    world.platform.answer = lambda ids: next(answers, "ok")
    async with world.running():
        await world.post_events(sales(("Purchase", "p1")))
        await world.clock.until(lambda: world.attempts)
        await world.post_events(sales(("Refund", "r1")))
        await world.clock.until(world.settled("p1", "r1"))
    assert world.platform.requests == [["p1"], ["p1"], ["p1"], ["r1"]]


@pytest.mark.parametrize("purchase", ["missing", "dead", "later"])
async def test_a_refund_of_what_the_platform_never_took_is_skipped(world, use, purchase):
    world.configured(refunds(use))
    world.platform.answer = lambda ids: "reject" if "p1" in ids else "ok"
    events = {"missing": [], "dead": sales(("Purchase", "p1")), "later": []}[purchase]
    async with world.running():
        await world.post_events([*events, *sales(("Refund", "r1"))])
        await world.clock.until(world.settled("r1"))
        if purchase == "later":
            world.platform.answer = lambda ids: "ok"
            await world.post_events(sales(("Purchase", "p1")))
            await world.clock.until(world.settled("p1"))
    skipped = world.standing("r1")
    assert (skipped.state, skipped.code) == ("skipped", "original_not_delivered")
    assert "r1" not in world.platform.taken
    if purchase == "later":
        assert world.states("p1") == ["delivered"]


async def test_a_refund_after_a_restart_still_knows_of_its_purchase(world, use):
    world.configured(refunds(use))
    async with world.running():
        await world.post_events(sales(("Purchase", "p1")))
        await world.clock.until(world.settled("p1"))
    async with world.running():
        await world.post_events(sales(("Refund", "r1")))
        await world.clock.until(world.settled("r1"))
    assert world.platform.taken == ["p1", "r1"]


async def test_a_refund_waits_for_whatever_nobody_has_read_yet(world, use):
    """What a restored copy owes is known by its numbers: which of it has the refund's key, only a lane can tell."""
    world.configured(refunds(use))
    fields = {"value": 1, "currency": "EUR"}
    owed = [
        {"event_name": "Purchase", "event_id": f"p{number}", "custom_data": {**fields, "order_id": str(number)}}
        for number in range(600)
    ]
    await world.post_events(owed)
    world.outbox.write_blocking(
        lambda db: db.execute("CREATE TABLE backup AS SELECT ? AS made_at", (world.clock.now(),))
    )
    world.outbox.close()
    world.outbox = type(world.outbox)(world.path, world.clock)
    world.outbox.start()
    last = {"event_name": "Refund", "event_id": "r", "custom_data": {**fields, "order_id": "599"}}
    await world.post_events([last])
    async with world.running():
        await world.clock.until(world.settled("r", "p599"), within_s=1000)
    assert world.states("r", "p599") == ["delivered", "delivered"]


async def test_what_a_newer_event_has_overtaken_is_not_sent(world, use):
    """A dead letter put back by hand must not restate an order that has moved on."""
    world.configured(serial(use))
    world.platform.answer = lambda ids: ["reject" if one == "a1" else "ok" for one in ids]
    async with world.running():
        await world.post_events(of_order(1, "a1", "a2"))
        await world.clock.until(world.settled("a1", "a2"))
        world.outbox.write_blocking(
            lambda db: db.execute("UPDATE delivery SET state = 'waiting', tries = 0, next_at = 0 WHERE seq = 1")
        )
        await world.clock.until(world.settled("a1"))
    superseded = world.standing("a1")
    assert (superseded.state, superseded.code) == ("skipped", "superseded")
    assert world.platform.taken == ["a2"]


SCRIPTS = st.lists(
    st.sampled_from(["ok", "ok", "again", "reject", "at once", "pause", "later", 503]), min_size=5, max_size=60
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.integers(0, 3), min_size=1, max_size=25), script=SCRIPTS, restart=st.integers(0, 12))
def test_whatever_the_platform_answers_the_order_holds_and_nothing_is_lost(new_world, use, keys, script, restart):
    """Answers at random to events of four keys, with a restart in between; key 0 stands for none."""
    anyio.run(_try, new_world(), use, keys, script, restart)


async def _try(world, use, keys, script, restart):
    left = list(script)

    def answer(ids):
        if not left:
            return "ok"
        if isinstance(left[0], int) or left[0] == "pause":
            return left.pop(0)
        return [word if isinstance(word := left.pop(0) if left else "ok", str) else "again" for _ in ids]

    world.configured(serial(use, retry=Retry(first_s=1, max_s=4)))
    world.platform.answer = answer
    events = [event for at, key in enumerate(keys) for event in of_order(key, f"{key}-{at:02}")]
    for event in events:
        if event["custom_data"]["order_id"] == "0":
            event["custom_data"] = {}
    ids = [event["event_id"] for event in events]
    async with world.running():
        await world.post_events(events[::2])
        await world.clock.until(lambda: len(world.platform.requests) >= restart or world.settled(*ids[::2])())
        await world.post_events(events[1::2])
        await world.clock.pass_s(restart / 4)
    async with world.running():
        await world.clock.until(world.settled(*ids), within_s=1e5)
    world.outbox.close()
    assert set(world.states(*ids)) <= {"delivered", "dead"}
    assert sorted(world.platform.taken) == sorted(one for one in ids if world.states(one) == ["delivered"])
    for key in "123":
        mine = [one for one in world.platform.taken if one[0] == key]
        accepted = [one for one in (*ids[::2], *ids[1::2]) if one in mine]
        assert mine == accepted
