"""Platforms in trouble, under a virtual clock: poisoned batches, a day without an answer, credentials that went bad."""

from __future__ import annotations

import math
import random

import pytest

from gateway.delivery import lane

pytestmark = pytest.mark.anyio

BATCH = 500
HOUR = 3600.0


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Nothing is to be polled for: no other process posts."""
    monkeypatch.setattr(lane, "POLL_S", 900.0)


async def test_poison_costs_a_logarithm(world, use, size, figure):
    """Bad events in random places, on a platform that refuses whole batches and does not say which one is to blame."""
    events, count = size(3_000, 10_000), size(15, 50)
    world.configured(use(batch_size=BATCH, max_concurrency=2))
    ids = [f"e{number:05d}" for number in range(events)]
    bad = set(random.Random(9).sample(ids, count))

    def answer(asked):
        if not bad.intersection(asked):
            return "ok"
        return "split" if len(asked) > 1 else "reject"

    world.platform.answer = answer
    async with world.running():
        for first in range(0, events, 1_000):
            await world.post(*ids[first : first + 1_000])
        await world.clock.until(lambda: len(world.platform.taken) == events - count, within_s=HOUR)
        await world.clock.until(world.settled(*bad), within_s=HOUR)
    needed = math.ceil(events / BATCH)
    more = (len(world.platform.requests) - needed) / count
    figure(
        f"poison: {count} bad among {events:,} events in batches of {BATCH}: {len(world.platform.taken):,} delivered, "
        f"{count} dead letters, {more:.1f} more requests for each bad one"
    )
    assert sorted(world.platform.taken) == sorted(set(ids) - bad)
    assert world.states(*bad) == ["dead"] * count
    assert {world.standing(one).message for one in bad} == {"this one is bad"}
    assert more <= 2 * math.ceil(math.log2(BATCH))


async def test_a_day_without_an_answer_costs_probes_and_loses_nothing(world, use, size, figure):
    """Events come in all day, nobody answers; then the platform is well, and everything arrives once."""
    each_hour = size(40, 400)
    world.configured(use(batch_size=50, max_concurrency=2))
    world.platform.answer = lambda asked: 503
    ids: list[str] = []
    async with world.running():
        for hour in range(24):
            fresh = [f"{hour}-{number}" for number in range(each_hour)]
            await world.post(*fresh)
            ids += fresh
            await world.clock.pass_s(HOUR)
        probes, began = len(world.platform.requests), world.clock.now()
        assert world.status().state == "broken"
        world.platform.answer = lambda asked: "ok"
        await world.clock.until(lambda: len(world.platform.taken) == len(ids), within_s=2 * HOUR)
        drained_s = world.clock.now() - began
    figure(
        f"a day without an answer: {len(ids):,} events, {probes} requests meanwhile, then delivered once each within "
        f"{drained_s:.0f} s of virtual time, the wait for the next probe included"
    )
    assert sorted(world.platform.taken) == sorted(ids)
    assert probes <= 24 * HOUR / 150 + 20  # the breaker's longest pause is 300 s, with jitter down to half
    assert drained_s < 400


async def test_after_a_day_fresh_events_do_not_wait_for_the_backlog(world, use, size, figure):
    """The platform is well again, but takes a request a second. What comes in meanwhile is on its way at once."""
    backlog, each_s = size(6_000, 60_000), 5.0
    world.configured(use(batch_size=50, rate=1.0, burst=1))
    world.platform.answer = lambda asked: 503
    posted: dict[str, float] = {}
    came: dict[str, float] = {}

    def answer(asked):
        came.update((one, world.clock.now()) for one in asked if one in posted)
        return "ok"

    async with world.running():
        for first in range(0, backlog, 500):
            await world.post(*(f"old{number}" for number in range(first, first + 500)))
            await world.clock.pass_s(24 * HOUR * 500 / backlog)
        world.platform.answer = answer
        await world.clock.until(lambda: world.status().state == "running")
        began, before = world.clock.now(), len(world.platform.requests)
        while len(world.platform.taken) < backlog + len(posted):
            name = f"fresh{len(posted)}"
            posted[name] = world.clock.now()
            await world.post(name)
            await world.clock.pass_s(each_s)
        drained_s, requests = world.clock.now() - began, len(world.platform.requests) - before
    waits = sorted(came[one] - at for one, at in posted.items())
    p95_s = waits[int(len(waits) * 0.95)]
    figure(
        f"after a day without an answer: {backlog:,} events drained in {drained_s:,.0f} s at a request of 50 a second; "
        f"{len(posted)} fresh ones meanwhile waited {p95_s:.1f} s (p95), {waits[-1]:.1f} s at most"
    )
    assert len(set(world.platform.taken)) == len(world.platform.taken) == backlog + len(posted)
    assert p95_s < 10
    assert waits[-1] < 60
    assert requests <= (backlog + len(posted)) / 50 * 1.1 + 10  # full speed: whole batches


async def test_bad_credentials_stop_the_clock_and_the_first_success_starts_it(world, use, figure):
    """Longer than anything is tried again for: nothing ages into the dead letters."""
    world.configured(use(batch_size=10))
    ids = [f"e{number}" for number in range(30)]
    world.platform.answer = lambda asked: 500
    async with world.running():
        await world.post(*ids)
        await world.clock.pass_s(60)
        world.platform.answer = lambda asked: "pause"
        await world.clock.until(lambda: world.status().state == "paused")
        before = len(world.platform.requests)
        await world.clock.pass_s(30 * 24 * HOUR)
        assert (world.status().state, world.status().code) == ("paused", "token_dead")
        assert world.lane().pause_code == "token_dead"
        asked = len(world.platform.requests) - before
        assert set(world.states(*ids)) <= {"queued", "waiting"}
        world.platform.answer = lambda asked: "ok"
        await world.clock.until(world.settled(*ids), within_s=2 * HOUR)
        assert world.status().state == "running"
    figure(f"wrong credentials for 30 days: {asked} probes, {len(ids)} of {len(ids)} delivered after, none given up")
    assert world.states(*ids) == ["delivered"] * len(ids)
    assert asked <= 30 * 24 * HOUR / 900 + 10


async def test_a_dead_destination_moves_no_other(world, use, figure):
    """Five lanes; one never gets an answer before its deadline. The others deliver when they would have without it."""
    names = ["a", "b", "c", "d"]
    moments = {}
    for dead in (False, True):
        instances = [use(name, batch_size=5) for name in [*names, "e"]]
        world.configured(*instances)
        times: dict[str, list[float]] = {name: [] for name in names}
        for name in [*names, "e"]:
            world.networks[name] = _network(world, times.get(name), silent=dead and name == "e")
        started = world.clock.now()
        async with world.running():
            for number in range(40):
                await world.post(f"{dead}-{number}")
                await world.clock.pass_s(1.0)
            await world.clock.until(lambda times=times: all(len(one) >= 40 for one in times.values()))
        moments[dead] = {name: [round(one - started, 3) for one in found] for name, found in times.items()}
    figure("one dead destination among five: the other four deliver at the same virtual moments as without it")
    assert moments[True] == moments[False]


def _network(world, times, *, silent):
    import json

    import anyio
    import httpx

    async def handle(request):
        items = json.loads(request.content)["data"]
        if silent:
            await world.clock.wait(anyio.Event(), 10.0)
            raise httpx.ReadTimeout("no answer")
        if times is not None:
            times.extend([world.clock.now()] * len(items))
        return httpx.Response(200, json={"verdict": "ok"})

    return httpx.MockTransport(handle)
