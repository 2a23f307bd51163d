"""What ends is counted once, and what is lost is logged: by the lane, and by a platform's late report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest
import structlog

from gateway.model.delivery import State
from gateway.model.errors import OutboxFull
from gateway.plugin import FollowUp, Limits, Request, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from structlog.typing import EventDict

pytestmark = pytest.mark.anyio

REPORTS = {"done": verdicts.delivered(), "failed": verdicts.reject("EVENT_TOO_OLD", "too old")}
DAY_S = 86_400.0


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EventDict]]:
    monkeypatch.setattr("gateway.delivery.ends.log", structlog.get_logger())
    with structlog.testing.capture_logs() as found:
        yield found


def told(lines):
    """The log's lines of ends: level, state, code, count."""
    names = ("log_level", "state", "code", "count")
    return [tuple(line[name] for name in names) for line in lines if line["event"] == "deliveries_ended"]


def counted(world):
    """(state, code) → how many, of the instance `acme`."""
    found = Counter()
    for one in world.ended:
        assert (one.instance, one.count > 0) == ("acme", True)
        found[one.state, one.code] += one.count
    return dict(found)


async def test_each_event_of_a_mixed_request_is_counted_by_its_own_end(world, lines):
    world.platform.answer = lambda ids: ["ok", "reject", "ok"] if len(ids) == 3 else "ok"
    async with world.running():
        await world.post("a", "b", "c")
        await world.clock.until(world.settled("a", "b", "c"))
    assert [one.verdict for one in world.attempts] == ["mixed"]
    assert counted(world) == {(State.DELIVERED, ""): 2, (State.DEAD, "bad"): 1}
    assert told(lines) == [("warning", "dead", "bad", 1)]
    [line] = [one for one in lines if one["event"] == "deliveries_ended"]
    assert line["instance"] == "acme"


async def test_what_is_tried_again_has_not_ended(world, lines):
    world.platform.answer = lambda ids: 503 if len(world.platform.requests) == 1 else "ok"
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(lambda: len(world.attempts) == 1)
        assert world.ended == []
        await world.clock.until(world.settled("a", "b"))
    assert counted(world) == {(State.DELIVERED, ""): 2}
    assert told(lines) == []


async def test_what_grows_too_old_in_a_pause_is_counted_and_logged(world, use, lines):
    world.configured(use(limits=Limits(max_age_s=DAY_S)))
    world.platform.answer = lambda ids: "pause" if world.clock.now() < world.platform.times[0] + 2 * DAY_S else "ok"
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(lambda: world.status().state == "paused")
        assert world.ended == []
        await world.clock.until(world.settled("a", "b"), within_s=3 * DAY_S)
    assert world.states("a", "b") == ["expired", "expired"]
    assert counted(world) == {(State.EXPIRED, "too_old"): 2}
    assert sum(count for *_, count in told(lines)) == 2
    assert {line[:3] for line in told(lines)} == {("warning", "expired", "too_old")}


async def test_what_the_mapping_skips_is_counted_and_is_no_warning(world, lines):
    async with world.running():
        await world.post("a", custom_data={"unmappable": True})
        await world.clock.until(world.settled("a"))
    assert counted(world) == {(State.SKIPPED, "missing_field"): 1}
    assert told(lines) == []


async def test_many_of_one_recording_are_one_line(world, use, lines):
    """What ends without a request gathers until it is recorded."""

    def fails(event, config):
        raise ValueError("a plugin's mistake")

    world.configured(use(map_event=fails))
    await world.post("a", "b", "c")
    async with world.running():
        await world.clock.until(world.settled("a", "b", "c"))
    assert counted(world) == {(State.DEAD, "plugin_bug"): 3}
    assert told(lines) == [("warning", "dead", "plugin_bug", 3)]


async def test_nothing_is_counted_before_it_is_written_down_and_nothing_twice(world, lines, monkeypatch):
    full = [True] * 2
    write = type(world.outbox).write

    async def sometimes(self, work, *, size=0):
        if full and world.platform.requests:
            full.pop()
            assert world.ended == []
            raise OutboxFull("no space left on the disk")
        return await write(self, work, size=size)

    monkeypatch.setattr(type(world.outbox), "write", sometimes)
    world.platform.answer = lambda ids: "reject"
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    assert not full
    assert counted(world) == {(State.DEAD, "bad"): 1}


async def test_a_long_code_is_cut(world, use, lines):
    words = verdicts.reject("X" * 500, "no")
    world.configured(use(classify=lambda response, n: words))
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    assert counted(world) == {(State.DEAD, "X" * 60): 1}


@pytest.fixture
def asked(world, use):
    """The platform acknowledges everything and reports `world.report` when it is asked."""

    def question(request_id, config):
        return Request("GET", f"https://acme.example/status/{request_id}")

    def report(response):
        return REPORTS.get(world.report, verdicts.received("request-1"))

    plan = FollowUp(first_s=10, factor=2, max_s=40, give_up_s=200, build_request=question, classify=report)
    world.configured(use(follow_up=plan))
    take = world.platform.network().handler

    async def handler(request):
        return await take(request) if request.method == "POST" else httpx.Response(200, json={})

    world.networks["acme"] = httpx.MockTransport(handler)
    world.platform.answer = lambda ids: "received"
    return world


@pytest.mark.parametrize(
    ("report", "end", "logged"),
    [
        ("failed", (State.DEAD, "EVENT_TOO_OLD"), [("warning", "dead", "EVENT_TOO_OLD", 2)]),
        ("done", (State.DELIVERED, ""), []),
        ("never", (State.RECEIVED, "outcome_unknown"), []),
    ],
)
async def test_what_a_platform_reports_late_ends_with_its_report(asked, lines, report, end, logged):
    asked.report = report
    async with asked.running():
        await asked.post("a", "b")
        await asked.clock.until(lambda: asked.states("a", "b") == ["received", "received"])
        assert asked.ended == []
        await asked.clock.until(lambda: asked.ended, within_s=600)
    assert counted(asked) == {end: 2}
    assert told(lines) == logged


async def test_a_late_report_counts_only_those_that_it_is_about(asked, lines):
    asked.report = "failed"
    asked.platform.answer = lambda ids: ["received", "reject"]
    async with asked.running():
        await asked.post("a", "b")
        await asked.clock.until(lambda: asked.states("a", "b") == ["dead", "dead"])
    assert counted(asked) == {(State.DEAD, "bad"): 1, (State.DEAD, "EVENT_TOO_OLD"): 1}


async def test_without_a_later_report_received_is_the_end(world, lines):
    world.platform.answer = lambda ids: "received"
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    assert counted(world) == {(State.RECEIVED, ""): 1}
