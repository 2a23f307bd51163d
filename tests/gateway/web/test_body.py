"""The body's deadline and bounds."""

import asyncio

import pytest

from gateway.ingest.problem import RequestRefused
from gateway.web.body import ARRIVED, Budget, Disconnected, Pace, Reading

pytestmark = pytest.mark.anyio


PACE = Pace(first_s=0.05, bytes_per_s=1_000.0)


def sender(*chunks, gap=0.0, last=False):
    """`receive` as a slow sender's server gives it."""
    left = list(chunks)

    async def receive():
        if gap:
            await asyncio.sleep(gap)
        if not left:
            await asyncio.Event().wait()
        chunk = left.pop(0)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(left) or not last}

    return receive


async def read(receive, *, budget=None, max_bytes=1_000, headers=None, scope=None):
    with Reading(scope or {}, receive, budget or Budget(), max_bytes, PACE) as reading:
        return await reading.plain(headers or {})


async def test_pieces_are_put_together():
    assert await read(sender(b"ab", b"", b"c", last=True)) == b"abc"


@pytest.mark.parametrize("chunks", [(), (b"a",)])
async def test_a_body_that_does_not_come_is_given_up(chunks):
    budget = Budget()
    with pytest.raises(RequestRefused) as refused:
        await read(sender(*chunks), budget=budget, headers={b"content-length": b"10"})
    assert (refused.value.status, refused.value.code) == (408, "too_slow")
    assert budget.taken == 0


async def test_a_trickle_is_given_up_although_something_always_comes():
    with pytest.raises(RequestRefused) as refused:
        await asyncio.wait_for(read(sender(*[b"a"] * 1_000, gap=0.01)), timeout=2.0)
    assert refused.value.code == "too_slow"


async def test_a_large_body_may_take_longer_than_a_small_one():
    chunks = [b"a" * 100] * 5  # each earns 0.1 s, and takes 0.03 s
    assert len(await read(sender(*chunks, gap=0.03, last=True))) == 500


async def test_a_body_that_was_there_from_the_beginning_has_the_same_bounds():
    arrived = {ARRIVED: True}
    assert await read(sender(b"abc", last=True), scope=arrived) == b"abc"
    assert await read(sender(b"abc", b"d", last=True), scope=arrived) == b"abcd"
    with pytest.raises(RequestRefused) as refused:
        await read(sender(b"a" * 1_001, last=True), scope=arrived)
    assert refused.value.status == 413


async def test_a_sender_that_goes_away_is_no_error():
    budget = Budget()
    with pytest.raises(Disconnected):
        await read(sender(b"a", None), budget=budget)
    assert budget.taken == 0


async def test_the_bound_holds_without_an_announced_length():
    with pytest.raises(RequestRefused) as refused:
        await read(sender(b"a" * 1_001, last=True))
    assert refused.value.status == 413


@pytest.mark.parametrize(("length", "status"), [(b"1001", 413), (b"9" * 5_000, 413), (b"-1", 400), (b"abc", 400)])
async def test_an_announced_length_is_looked_at_first(length, status):
    with pytest.raises(RequestRefused) as refused:
        await read(sender(), headers={b"content-length": length})
    assert refused.value.status == status


async def test_what_is_decompressed_is_paid_for():
    import gzip

    budget = Budget(limit=10_000)
    budget.take(9_500)
    with pytest.raises(RequestRefused) as refused:
        await read(sender(gzip.compress(b"a" * 900), last=True), budget=budget, headers={b"content-encoding": b"gzip"})
    assert refused.value.status == 429
    assert budget.taken == 9_500


def test_one_body_alone_always_has_room():
    budget = Budget(limit=10)
    budget.take(50)
    budget.take(50, held=50)
    with pytest.raises(RequestRefused):
        budget.take(1)
