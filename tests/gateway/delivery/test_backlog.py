"""Behind a backlog: what is new has its turn at once, and the backlog loses nothing by it."""

from __future__ import annotations

import pytest

from gateway.outbox import standing

pytestmark = pytest.mark.anyio

OLD = [f"old{number:04d}" for number in range(300)]


async def backlog(world, use, **options):
    """A lane whose platform takes a request a second, and events from before."""
    world.configured(use(batch_size=10, rate=1.0, burst=1, **options))
    await world.post_events(
        [{"event_name": "Lead", "event_id": one, "custom_data": {"order": one}} for one in OLD],
    )
    await world.clock.pass_s(60)


def all_taken(world, *ids):
    """For `until`: each of these was sent once, and nothing else."""
    wanted = sorted(ids)
    return lambda: len(world.platform.taken) >= len(wanted) and sorted(world.platform.taken) == wanted


def taken_at(world, event_id: str) -> float:
    """When the platform was sent an event, the first time."""
    return next(at for at, ids in zip(world.platform.times, world.platform.requests, strict=True) if event_id in ids)


async def test_fresh_events_do_not_wait_for_the_backlog(world, use):
    await backlog(world, use)
    posted = {}
    async with world.running():
        began = world.clock.now()
        for number in range(5):
            await world.clock.pass_s(5)
            posted[f"new{number}"] = world.clock.now()
            await world.post(f"new{number}")
        await world.clock.until(all_taken(world, *OLD, *posted))
    assert max(taken_at(world, one) - at for one, at in posted.items()) <= 5
    assert len(world.platform.requests) <= len(OLD) / 10 + len(posted)
    assert world.platform.times[-1] - began <= 60 + 5
    assert world.lane().cursor == len(OLD) + len(posted)


async def test_a_second_backlog_on_top_of_the_first_makes_nobody_wait_either(world, use):
    """Down, well for a while, down again: what came in meanwhile is old as well by then."""
    await backlog(world, use)
    async with world.running():
        await world.clock.pass_s(5)
        world.platform.answer = lambda ids: 503
        await world.clock.pass_s(1_000)
        second = [f"second{number}" for number in range(300)]
        await world.post(*second)
        await world.clock.pass_s(1_000)
        world.platform.answer = lambda ids: "ok"
        await world.clock.until(lambda: world.status().state == "running")
        await world.clock.pass_s(10)
        await world.post("fresh")
        at = world.clock.now()
        await world.clock.until(all_taken(world, *OLD, *second, "fresh"), within_s=7_200)
    assert taken_at(world, "fresh") - at <= 10
    assert world.platform.times[-1] - at >= 40


async def test_after_a_crash_nothing_that_went_ahead_is_sent_again(world, use):
    await backlog(world, use)
    for life in range(3):
        async with world.running():
            await world.clock.pass_s(3)
            await world.post(*(f"life{life}-{number}" for number in range(20)))
            await world.clock.pass_s(5)
        assert 0 < world.lane().cursor < len(OLD)
        with world.outbox.reading() as db:
            left = len(OLD) + 20 * (life + 1) - len(world.platform.taken)
            assert standing.behind(db, ["acme"]) == {"acme": left}
    fresh = [f"life{life}-{number}" for life in range(3) for number in range(20)]
    assert world.states(*fresh) == ["delivered"] * 60
    async with world.running():
        await world.clock.until(all_taken(world, *OLD, *fresh))


async def test_what_failed_ahead_of_the_backlog_is_tried_again_ahead_of_it(world, use):
    await backlog(world, use)
    async with world.running():
        await world.clock.pass_s(5)
        world.platform.answer = lambda ids: ["again" if one == "fresh" else "ok" for one in ids]
        await world.post("fresh")
        at = world.clock.now()
        await world.clock.pass_s(5)
        assert world.standing("fresh").state == "waiting"
        world.platform.answer = lambda ids: "ok"
        await world.clock.until(world.settled("fresh"))
        assert world.clock.now() - at <= 20
        assert world.states(OLD[-1]) == ["queued"]
        await world.clock.until(all_taken(world, *OLD, "fresh"))


def order(event, config):
    return event.custom_data.get("order")


async def test_what_shares_a_serial_key_goes_in_its_order_and_all_else_goes_ahead(world, use):
    """A later state of an order must not overtake an earlier one, wherever in the backlog that is."""
    await backlog(world, use, serial_key=order)
    async with world.running():
        await world.clock.pass_s(5)
        await world.post("keyed", custom_data={"order": OLD[-1]})
        await world.post("free")
        at = world.clock.now()
        await world.clock.until(world.settled("free"))
        assert world.clock.now() - at <= 5
        assert (world.standing("keyed").state, world.standing("keyed").code) == ("queued", "")
        await world.clock.until(all_taken(world, *OLD, "keyed", "free"))
    assert world.states(OLD[-1], "keyed") == ["delivered", "delivered"]
    assert taken_at(world, OLD[-1]) < taken_at(world, "keyed")


async def test_a_lane_that_keeps_up_reads_in_one_place(world, use):
    """However much comes in at once: only what has waited is a backlog."""
    world.configured(use(batch_size=10, rate=100.0, burst=1))
    async with world.running() as dispatcher:
        await world.post(*OLD)
        await world.clock.until(lambda: world.platform.requests)
        assert dispatcher._lanes["acme"].lane._hand.head is None
        await world.clock.until(all_taken(world, *OLD))
    assert [one for ids in world.platform.requests for one in ids] == OLD
