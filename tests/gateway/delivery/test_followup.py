"""Asking a platform later what became of what it only acknowledged."""

from __future__ import annotations

import httpx
import pytest

from gateway.delivery import followup, lane
from gateway.model.errors import OutboxFull
from gateway.plugin import FollowUp, Request, verdicts

pytestmark = pytest.mark.anyio

REPORTS = {
    "processing": verdicts.received("request-1"),
    "done": verdicts.delivered(),
    "failed": verdicts.reject("EVENT_TOO_OLD", "too old"),
    "resend": verdicts.retry("INTERNAL_ERROR", "send it again"),
    "denied": verdicts.pause("PERMISSION_DENIED", "no access"),
    "later": verdicts.retry("TOO_RECENT_CLICK", after_s=6 * 3600),
}


def question(request_id, config):
    return Request("GET", f"https://acme.example/status/{request_id}")


def report(response):
    return REPORTS[response.find("report")]


@pytest.fixture
def asked(world, use):
    """The platform acknowledges everything and reports what the list says, the last entry for ever."""
    reports: list[str] = []
    questions: list[float] = []
    plan = FollowUp(first_s=10, factor=2, max_s=40, give_up_s=200, build_request=question, classify=report)
    world.configured(use(follow_up=plan))
    take = world.platform.network().handler

    async def handler(request):
        if request.method == "POST":
            return await take(request)
        questions.append(world.clock.now())
        assert request.url.path == "/status/request-1"
        one = reports.pop(0) if len(reports) > 1 else reports[0]
        return httpx.Response(500) if one == "error" else httpx.Response(200, json={"report": one})

    world.networks["acme"] = httpx.MockTransport(handler)
    world.platform.answer = lambda ids: "received"
    world.reports, world.questions = reports, questions
    return world


def reported(world, *ids):
    return lambda: not {"received", "queued", "waiting"} & set(world.states(*ids))


async def test_received_becomes_delivered_when_the_platform_says_so(asked):
    asked.reports += ["processing", "processing", "done"]
    async with asked.running():
        await asked.post("a", "b")
        await asked.clock.until(lambda: asked.states("a", "b") == ["received", "received"])
        await asked.clock.until(reported(asked, "a", "b"))
    assert asked.states("a", "b") == ["delivered", "delivered"]
    assert len(asked.platform.requests) == 1
    waits = [later - earlier for earlier, later in zip(asked.questions, asked.questions[1:], strict=False)]
    assert 20 <= waits[0] <= 22
    assert 40 <= waits[1] <= 42


async def test_a_failure_reported_late_is_a_dead_letter(asked):
    asked.reports += ["failed"]
    async with asked.running():
        await asked.post("a", "b")
        await asked.clock.until(reported(asked, "a", "b"))
    dead = asked.standing("b")
    assert (dead.state, dead.code, dead.message) == ("dead", "EVENT_TOO_OLD", "too old")


async def test_what_the_platform_lost_is_sent_again_once(asked):
    asked.reports += ["resend", "done"]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(reported(asked, "a"))
    assert asked.platform.requests == [["a"], ["a"]]
    assert asked.states("a") == ["delivered"]


async def test_what_it_loses_twice_is_a_dead_letter(asked):
    asked.reports += ["resend"]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(reported(asked, "a"))
    assert asked.platform.requests == [["a"], ["a"]]
    assert asked.standing("a").code == "INTERNAL_ERROR"


async def test_that_others_were_sent_again_costs_nobody_its_own_second_chance(asked, use):
    """A request that was sent again spans the number of another that was not."""
    plan = asked.settings.enabled["acme"].follow_up
    asked.configured(use(follow_up=plan, group_key=lambda event, config: event.event_name))
    asked.reports += ["resend", "resend", "done"]
    async with asked.running():
        events = [
            {"event_name": name, "event_id": one} for name, one in (("Lead", "a"), ("Refund", "b"), ("Lead", "c"))
        ]
        await asked.post_events(events)
        await asked.clock.until(reported(asked, "a", "b", "c"))
    assert sorted(asked.platform.requests) == [["a", "c"], ["a", "c"], ["b"], ["b"]]
    assert asked.states("a", "b", "c") == ["delivered"] * 3


async def test_nor_that_another_of_its_request_had_been(asked, use):
    asked.configured(use(follow_up=asked.settings.enabled["acme"].follow_up, linger_s=1.0))
    asked.reports += ["resend", "resend", "done"]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(lambda: asked.states("a") == ["waiting"])
        await asked.post("b")
        await asked.clock.until(reported(asked, "a", "b"))
    assert [sorted(ids) for ids in asked.platform.requests] == [["a"], ["a", "b"], ["b"]]
    assert asked.states("a", "b") == ["dead", "delivered"]


async def test_a_platform_that_wants_to_be_left_alone_is_not_asked_either(asked):
    scripted = ["received", httpx.Response(429, headers={"Retry-After": "3600"})]
    asked.platform.answer = lambda ids: scripted.pop(0) if scripted else "received"
    asked.reports += ["processing"]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(lambda: asked.states("a") == ["received"])
        await asked.post("b")
        await asked.clock.until(lambda: len(asked.platform.requests) == 2)
        before = len(asked.questions)
        await asked.clock.pass_s(3500)
        assert len(asked.questions) == before
        await asked.clock.pass_s(200)
        assert len(asked.questions) > before


async def test_pauses_that_are_over_are_no_time_of_what_goes_again(asked):
    """Its clock begins with the report."""
    asked.reports += ["denied", "resend", "done"]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(lambda: asked.status().state == "paused")
        await asked.clock.until(lambda: asked.standing("a").code == "INTERNAL_ERROR")
        with asked.outbox.reading() as db:
            [frozen] = db.execute("SELECT frozen_s FROM delivery").fetchall()
            assert frozen == db.execute("SELECT frozen_s FROM lane").fetchone()
        assert frozen[0] > 0
        await asked.clock.until(reported(asked, "a"))


async def test_a_report_says_nothing_of_what_was_sent_in_another_request_since(asked):
    scripted = [["received", "again"]]
    asked.platform.answer = lambda ids: scripted.pop(0) if scripted else "received"
    asked.reports += ["failed", "done"]
    async with asked.running():
        await asked.post("a", "b")
        await asked.clock.until(reported(asked, "a", "b"))
    assert asked.platform.requests == [["a", "b"], ["b"]]
    assert asked.states("a", "b") == ["dead", "delivered"]


async def test_a_permission_that_is_gone_pauses_the_lane_and_the_events_go_again(asked):
    asked.reports += ["denied", "done"]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(lambda: asked.status().state == "paused")
        await asked.clock.until(reported(asked, "a"))
    assert asked.platform.requests == [["a"], ["a"]]
    assert asked.states("a") == ["delivered"]


@pytest.mark.parametrize("word", ["processing", "error"])
async def test_in_the_end_the_question_is_given_up(asked, word):
    """Also when the question itself never gets an answer: what is owed holds back the retention."""
    asked.reports += [word]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(lambda: asked.standing("a").code == "outcome_unknown", within_s=600)
    with asked.outbox.reading() as db:
        assert db.execute("SELECT count(*) FROM receipt").fetchone()[0] == 0
    assert asked.states("a") == ["received"]
    assert asked.questions[-1] - asked.questions[0] <= 300


async def test_questions_are_asked_on_after_a_restart(asked):
    asked.reports += ["done"]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(lambda: asked.states("a") == ["received"])
    await asked.clock.pass_s(30)
    async with asked.running():
        await asked.clock.until(reported(asked, "a"), within_s=5)
    assert asked.states("a") == ["delivered"]
    assert len(asked.platform.requests) == 1


async def test_a_full_disk_does_not_end_the_lane(asked, monkeypatch):
    asked.reports += ["done"]
    full = [True] * 2
    write = type(asked.outbox).write

    async def sometimes(self, work, *, size=0):
        if full and asked.questions:
            full.pop()
            raise OutboxFull("no space left on the disk")
        return await write(self, work, size=size)

    monkeypatch.setattr(type(asked.outbox), "write", sometimes)
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(reported(asked, "a"))
    assert not full
    assert asked.states("a") == ["delivered"]


@pytest.mark.parametrize("word", ["later", "denied"])
async def test_a_refund_waits_for_a_purchase_that_is_to_be_sent_again(asked, use, word, monkeypatch):
    monkeypatch.setattr(lane, "POLL_S", 600.0)  # the platform asks for six hours
    monkeypatch.setattr(followup, "LOOK_S", 60.0)
    asked.configured(
        use(
            follow_up=asked.settings.enabled["acme"].follow_up,
            serial_key=lambda event, config: event.custom_data.get("order_id"),
            follows=lambda event, config: event.event_name == "Refund",
        )
    )
    asked.reports += [word, "done"]
    order = {"order_id": "1", "value": 1, "currency": "EUR"}
    async with asked.running():
        await asked.post_events([{"event_name": "Purchase", "event_id": "p1", "custom_data": order}])
        await asked.clock.until(lambda: asked.states("p1") == ["received"])
        await asked.clock.until(lambda: asked.states("p1") != ["received"])
        await asked.post_events([{"event_name": "Refund", "event_id": "r1", "custom_data": order}])
        await asked.clock.until(reported(asked, "p1", "r1"), within_s=1e5)
    assert asked.states("p1", "r1") == ["delivered", "delivered"]
    assert asked.platform.requests == [["p1"], ["p1"], ["r1"]]


@pytest.mark.parametrize("word", ["resend", "failed"])
async def test_a_report_on_nothing_that_is_left_ends_nothing(asked, word):
    """All of the request's people were erased meanwhile."""
    asked.reports += ["processing", word]
    async with asked.running():
        await asked.post("a")
        await asked.clock.until(lambda: asked.states("a") == ["received"])
        with asked.clock.working():
            await asked.outbox.write(lambda db: db.execute("DELETE FROM event").rowcount)
        await asked.clock.until(lambda: len(asked.questions) == 2)
        await asked.clock.pass_s(60)
        with asked.outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
            assert db.execute("SELECT verdict FROM attempt").fetchall() != [("received",)]
    assert asked.ended == []
