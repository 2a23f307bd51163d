"""A lane against a scripted platform, under virtual time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from gateway.config import ConsentSettings
from gateway.delivery.sender import RETRY_AFTER_MAX_S
from gateway.model.errors import OutboxFull
from gateway.outbox import lanes
from gateway.plugin import Limits, Request, Retry
from gateway.privacy.consent import RegionRule

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


def script(*answers: Any, then: Any = "ok") -> Callable[[list[str]], Any]:
    """An answer for each request in turn, and one for all later ones."""
    left = list(answers)
    return lambda ids: left.pop(0) if left else then


def names(count: int, prefix: str = "e") -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


def poison(*bad: str) -> Callable[[list[str]], str]:
    """Refuses a request whole if a bad event is in it."""
    return lambda ids: ("split" if len(ids) > 1 else "reject") if set(bad) & set(ids) else "ok"


# Delivered, retried, given up.


async def test_what_is_accepted_is_delivered(world):
    async with world.running():
        await world.post("a", "b", "c")
        await world.clock.until(world.settled("a", "b", "c"))
    assert world.platform.requests == [["a", "b", "c"]]
    assert world.states("a", "b", "c") == ["delivered"] * 3
    assert world.lane().cursor == 3
    assert [(one.size, one.verdict, one.status) for one in world.attempts] == [(3, "delivered", 200)]


async def test_a_failed_request_is_sent_again_with_the_same_events_in_one_request(world):
    world.platform.answer = script(503, httpx.ReadError("broken"))
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(world.settled("a", "b"))
    assert world.platform.requests == [["a", "b"]] * 3
    assert world.states("a", "b") == ["delivered", "delivered"]


async def test_between_two_tries_a_delivery_waits_with_its_reason(world):
    world.platform.answer = script("later")
    async with world.running():
        await world.post("a")
        await world.clock.until(lambda: world.platform.requests)
        await world.clock.pass_s(1)
        waiting = world.standing("a")
        assert (waiting.state, waiting.code, waiting.tries) == ("waiting", "later", 1)
        assert waiting.next_at == pytest.approx(world.platform.times[0] + 100, abs=1)
        await world.clock.until(world.settled("a"))
    assert world.platform.times[1] >= world.platform.times[0] + 100


async def test_retry_after_holds_the_whole_lane(world):
    world.platform.answer = script(httpx.Response(429, headers={"Retry-After": "60"}))
    async with world.running():
        await world.post("a")
        await world.clock.until(lambda: world.platform.requests)
        await world.post("b")
        await world.clock.until(world.settled("a", "b"))
    assert world.platform.times[1] >= world.platform.times[0] + 60


async def test_a_rejected_delivery_is_a_dead_letter_with_the_platforms_words(world):
    world.platform.answer = lambda ids: "reject"
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    dead = world.standing("a")
    assert (dead.state, dead.code, dead.message, dead.tries) == ("dead", "bad", "this one is bad", 1)
    assert len(world.platform.requests) == 1


async def test_an_unknown_answer_gets_its_few_tries(world):
    world.platform.answer = lambda ids: "thrice"
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    dead = world.standing("a")
    assert (dead.state, dead.code, dead.tries) == ("dead", "odd", 3)
    assert len(world.platform.requests) == 3


async def test_after_the_time_to_give_up_it_is_dead(world, use):
    world.configured(use(retry=Retry(first_s=5, max_s=10, give_up_s=60)))
    world.platform.answer = lambda ids: 500
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    dead = world.standing("a")
    assert (dead.state, dead.code) == ("dead", "http_500")
    assert "no success" in dead.message
    assert world.platform.times[-1] - world.platform.times[0] <= 60 + 10  # the breaker may hold the last planned one


# Split, mixed answers.


async def test_a_poisoned_event_among_a_hundred_is_isolated_by_halving(world):
    ids = names(100)
    world.platform.answer = poison("e37")
    async with world.running():
        await world.post(*ids)
        await world.clock.until(world.settled(*ids))
    assert world.standing("e37").state == "dead"
    assert sorted(world.platform.taken) == sorted(set(ids) - {"e37"})
    assert len(world.platform.requests) <= 1 + 2 * 7  # both halves, ceil(log2(100)) times


async def test_each_event_gets_its_own_verdict(world):
    world.platform.answer = script(["ok", "reject", "again", "ok"])
    async with world.running():
        await world.post("a", "b", "c", "d")
        await world.clock.until(world.settled("a", "b", "c", "d"))
    assert world.states("a", "b", "c", "d") == ["delivered", "dead", "delivered", "delivered"]
    assert world.platform.requests == [["a", "b", "c", "d"], ["c"]]
    assert world.attempts[0].verdict == "mixed"
    assert world.attempts[0].code == "bad"


async def test_what_a_guilty_neighbour_held_up_goes_again_at_once_and_for_free(world):
    world.platform.answer = script(["at once", "reject", "at once"])
    async with world.running():
        await world.post("a", "b", "c")
        await world.clock.until(world.settled("a", "b", "c"))
    assert world.platform.requests == [["a", "b", "c"], ["a", "c"]]
    assert world.platform.times[1] - world.platform.times[0] < 1
    assert world.attempts[0].code == "bad"


@pytest.mark.parametrize("word", ["at once", "pause"])
async def test_a_crash_after_a_mixed_answer_loses_nothing(world, word):
    """What a mixed answer did not settle is on disk as waiting before anything else happens."""
    world.platform.answer = script(["reject", word])
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(lambda: world.attempts)
        with world.outbox.reading() as db:
            settled = lanes.settled_after(db, 1, 0)
            rows = dict(db.execute("SELECT seq, state FROM delivery"))
    assert list(settled) == [(1, 2)]
    assert rows == {1: "dead", 2: "waiting"}


async def test_a_late_pause_in_a_mixed_answer_stops_the_lane_and_keeps_the_rest(world):
    world.platform.answer = script(["ok", "pause", "reject"])
    async with world.running():
        await world.post("a", "b", "c")
        await world.clock.until(lambda: world.attempts)
        assert world.status().state == "paused"
        assert world.states("a", "b", "c") == ["delivered", "queued", "dead"]
        await world.clock.until(world.settled("b"))
    assert world.platform.taken == ["a", "b"]


# Pause, breaker, rate.


async def test_a_pause_stops_the_lane_and_a_probe_resumes_it(world):
    world.platform.answer = script("pause", "pause")
    async with world.running():
        await world.post(*names(5))
        await world.clock.until(lambda: world.platform.requests)
        status = world.status()
        assert (status.state, status.code, status.message) == ("paused", "token_dead", "log in again")
        await world.clock.until(world.settled(*names(5)))
        assert world.status().state == "running"
    assert world.states(*names(5)) == ["delivered"] * 5
    sizes = [len(ids) for ids in world.platform.requests]
    assert sizes[:3] == [5, 1, 1]  # probes carry one event each
    waits = [later - earlier for earlier, later in zip(world.platform.times, world.platform.times[1:], strict=False)]
    assert waits[0] >= 30
    assert waits[1] >= 60


async def test_while_paused_nothing_is_sent_and_the_retry_clock_stands_still(world, use):
    world.configured(use(retry=Retry(first_s=5, max_s=5, give_up_s=40)))
    world.platform.answer = script(500, "pause", "pause", "pause", 500)
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    assert world.states("a") == ["delivered"]
    assert world.platform.times[-1] - world.platform.times[0] > 200  # far more than give_up, nearly all of it paused


async def test_a_pause_survives_a_restart_and_is_probed_at_once(world):
    world.platform.answer = lambda ids: "pause"
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(lambda: world.platform.requests)
    paused = world.lane()
    assert (paused.paused_at is not None, paused.pause_code) == (True, "token_dead")
    await world.clock.pass_s(500)
    world.platform.answer = lambda ids: "ok"
    async with world.running():
        await world.clock.until(world.settled("a", "b"), within_s=5)
    assert [len(ids) for ids in world.platform.requests] == [2, 1, 1]
    resumed = world.lane()
    assert resumed.paused_at is None
    assert resumed.frozen_s >= 500


async def test_answers_to_requests_from_before_a_pause_do_not_make_it_longer(world, use):
    world.configured(use(max_concurrency=4, batch_size=1))
    gate = anyio.Event()

    async def together(ids):
        await gate.wait()
        return "pause"

    world.platform.answer = together
    async with world.running():
        await world.post(*names(4))
        await world.clock.until(lambda: len(world.platform.requests) == 4)
        gate.set()
        world.platform.answer = lambda ids: "ok"
        await world.clock.until(world.settled(*names(4)), within_s=40)
    assert world.platform.times[4] - world.platform.times[3] < 35


async def test_the_breaker_opens_probes_with_one_event_and_closes(world, use):
    world.configured(use(batch_size=10, retry=Retry(first_s=1, max_s=1)))
    world.platform.answer = lambda ids: 503
    async with world.running():
        await world.post(*names(60))
        await world.clock.until(lambda: world.status().state == "broken")
        opened = len(world.platform.requests)
        assert opened == 5
        await world.clock.pass_s(30)
        probes = world.platform.requests[opened:]
        assert probes
        assert all(len(ids) == 1 for ids in probes)
        assert len(probes) < 8
        world.platform.answer = lambda ids: "ok"
        await world.clock.until(world.settled(*names(60)))
        assert world.status().state == "running"
    assert len(world.platform.taken) == 60


async def test_an_open_breaker_is_on_disk_and_the_next_process_begins_with_one_probe(world, use):
    world.configured(use(batch_size=10, max_concurrency=4))
    world.platform.answer = lambda ids: 503
    await world.post(*names(100))
    async with world.running():
        await world.clock.until(lambda: world.status().state == "broken")
        await world.clock.pass_s(1)
        since = world.lane().broken_at
        assert (since, world.lane().broken_code) == (world.status().since, "http_503")
    asked = len(world.platform.requests)
    async with world.running():
        await world.clock.until(lambda: len(world.platform.requests) > asked)
        await world.clock.pass_s(0.5)
        assert [len(ids) for ids in world.platform.requests[asked:]] == [1]
        assert (world.status().state, world.status().since) == ("broken", since)
        world.platform.answer = lambda ids: "ok"
        await world.clock.until(world.settled(*names(100)))
        assert (world.lane().broken_at, world.lane().broken_code) == (None, "")


@pytest.mark.parametrize("orderly", [True, False], ids=["an end", "a crash"])
async def test_over_starts_and_crashes_requests_keep_to_the_rate(world, use, orderly):
    """A process that dispatches anew each ten seconds has no more than one that goes on."""
    world.configured(use(batch_size=1, rate=0.5, burst=4, max_concurrency=2))
    await world.post(*names(100))
    for _ in range(12):
        await one_life(world, 10, orderly=orderly)
    times = world.platform.times
    spent_s = times[-1] - times[0]
    assert len(times) <= 4 + 0.5 * spent_s + 1
    assert len(times) >= (50 if orderly else 25)


async def test_lives_that_record_nothing_use_the_allowance_up(world, use):
    """Each may have sent what it could have under way."""
    world.configured(use(batch_size=1, rate=0.01, burst=6, max_concurrency=2))
    for _ in range(3):
        await one_life(world, 1, orderly=False)
    await world.post(*names(10))
    async with world.running():
        await world.clock.pass_s(50)
    assert world.platform.requests == []


async def one_life(world, seconds, *, orderly):
    """A process that dispatches for a while, and ends in order or at once."""
    async with anyio.create_task_group() as tasks, world.running():
        await world.clock.pass_s(seconds)
        if not orderly:
            tasks.cancel_scope.cancel()
    world.outbox.release_lease()


async def test_requests_keep_to_the_rate(world, use):
    world.configured(use(batch_size=1, rate=2.0, max_concurrency=4))
    async with world.running():
        await world.post(*names(12))
        await world.clock.until(world.settled(*names(12)))
    begun = world.platform.times
    for at in begun:
        assert sum(at <= other < at + 1 for other in begun) <= 4  # a second's worth saved up, and the second itself


# Batches.


async def test_batches_are_full_when_there_is_enough(world, use):
    world.configured(use(batch_size=1000))
    async with world.running():
        await world.post(*names(2500))
        await world.clock.until(world.settled("e2499"))
    assert [len(ids) for ids in world.platform.requests] == [1000, 1000, 500]
    assert [one for ids in world.platform.requests for one in ids] == names(2500)


async def test_a_lone_event_waits_for_company_no_longer_than_the_linger_time(world, use):
    world.configured(use(batch_size=1000, linger_s=7.0))
    async with world.running():
        await world.post("a")
        begun = world.clock.now()
        await world.clock.until(world.settled("a"))
    assert 7.0 <= world.platform.times[0] - begun <= 8.0


async def test_a_request_over_the_platforms_bytes_is_halved_before_it_is_sent(world, use):
    sizes = []
    world.configured(use(limits=Limits(batch=100, bytes=2_000)))
    world.platform.answer = lambda ids: sizes.append(len(ids)) or "ok"
    async with world.running():
        await world.post(*names(100, prefix="a-rather-long-name-for-an-event-"))
        await world.clock.until(world.settled("a-rather-long-name-for-an-event-99"))
    assert max(sizes) <= 25
    assert sum(sizes) == 100


async def test_events_of_different_groups_and_tests_never_share_a_request(world, use):
    world.configured(use(group_key=lambda event, config: event.event_name, accepts_test=lambda config: True))
    async with world.running():
        await world.post("a", "b")
        await world.post("c", name="Purchase", custom_data={"value": 1, "currency": "EUR"})
        await world.post("d", test=True)
        await world.clock.until(world.settled("a", "b", "c", "d"))
    assert sorted(world.platform.requests) == [["a", "b"], ["c"], ["d"]]


async def test_a_test_event_that_would_count_as_real_is_a_dry_run(world):
    async with world.running():
        answered = await world.post("a", test=True)
        await world.clock.pass_s(2)
    assert answered[0]["destinations"] == {"acme": "dry_run"}
    assert world.platform.requests == []
    assert world.states("a") == ["dry_run"]


# Age.


async def test_what_grows_too_old_before_it_can_be_sent_expires(world, use):
    world.configured(use(limits=Limits(batch=100, max_age_s=600)))
    world.platform.answer = lambda ids: 503
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(world.settled("a", "b"), within_s=7200)
    assert world.states("a", "b") == ["expired", "expired"]
    assert world.platform.times[-1] - world.platform.times[0] <= 600


async def test_a_million_expired_events_are_recorded_in_pieces(world, use, monkeypatch):
    """What is settled without a request does not gather in memory until the log ends."""
    monkeypatch.setattr("gateway.delivery.lane.GATHERED", 50)
    monkeypatch.setattr("gateway.delivery.reading.CHUNK", 40)
    world.configured(use(limits=Limits(batch=100, max_age_s=600)))
    await world.post(*names(300))
    await world.clock.pass_s(1000)
    gathered = []
    record = lanes.record
    monkeypatch.setattr(lanes, "record", lambda *a, **k: gathered.append(len(k["changes"])) or record(*a, **k))
    async with world.running():
        await world.clock.until(world.settled("e299"))
    assert sum(gathered) == 300
    assert max(gathered) <= 50


async def test_after_an_unseen_answer_no_repeat_leaves_the_platforms_dedup_window(world, use):
    world.configured(use(retry=Retry(first_s=100, max_s=100, unseen_s=250)))
    world.platform.answer = lambda ids: httpx.ReadTimeout("no answer")
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    dead = world.standing("a")
    assert dead.state == "dead"
    assert "count twice" in dead.message
    assert world.platform.times[-1] - world.platform.times[0] <= 250


async def test_an_unseen_answer_is_remembered_over_a_standstill(world, use):
    """The repeat was planned inside the window; then nobody dispatched until after it."""
    world.configured(use(retry=Retry(first_s=50, max_s=50, unseen_s=250)))
    world.platform.answer = script(httpx.ReadTimeout("no answer"))
    async with world.running():
        await world.post("a")
        await world.clock.until(lambda: world.attempts)
    await world.clock.pass_s(1000)
    async with world.running():
        await world.clock.until(world.settled("a"))
    assert len(world.platform.requests) == 1
    dead = world.standing("a")
    assert (dead.state, dead.code) == ("dead", "unseen_window")


async def test_an_answer_that_was_seen_sets_no_such_limit(world, use):
    world.configured(use(retry=Retry(first_s=100, factor=1, max_s=100, unseen_s=250)))
    world.platform.answer = script(*[500] * 8)
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    assert world.states("a") == ["delivered"]
    assert world.platform.times[-1] - world.platform.times[0] > 250


# Consent, configuration.


async def test_a_policy_that_is_stricter_by_the_time_of_sending_cancels(world, use):
    await world.post("a")
    rule = RegionRule("deny", "skip")
    world.configured(use(), consent=ConsentSettings(regions={"US": rule}))
    async with world.running():
        await world.clock.until(world.settled("a"))
    assert world.platform.requests == []
    assert world.states("a") == ["cancelled"]
    assert world.standing("a").code.startswith("consent")


async def test_a_delivery_that_waits_is_asked_for_consent_again(world, use):
    world.platform.answer = script("later")
    async with world.running():
        await world.post("a")
        await world.clock.until(lambda: world.attempts)
    world.configured(use(), consent=ConsentSettings(regions={"US": RegionRule("deny", "skip")}))
    async with world.running():
        await world.clock.until(world.settled("a"))
    assert len(world.platform.requests) == 1
    assert world.states("a") == ["cancelled"]


async def test_a_destination_that_was_off_for_a_while_delivers_what_it_was_promised(world, use):
    both = (use(), use("other"))
    world.configured(*both)
    await world.post("before")
    world.configured(use(), use("other", enabled=False))
    async with world.running():
        await world.post("meanwhile")
        await world.clock.until(world.settled("before", "meanwhile"))
    world.configured(*both)
    world.platform.requests.clear()
    async with world.running():
        await world.post("after")
        await world.clock.until(world.settled("before", "after", instance="other"))
        await world.clock.until(world.settled("after"))
    assert world.states("before", "meanwhile", "after", instance="other") == ["delivered", "not owed", "delivered"]
    assert sorted(map(sorted, world.platform.requests)) == [["after"], ["after", "before"]]


async def test_a_new_configuration_is_taken_without_losing_or_repeating(world, use):
    async with world.running() as dispatcher:
        await world.post(*names(10))
        await world.clock.until(world.settled(*names(10)))
        changed = world.configured(use(batch_size=2))
        dispatcher.reload(changed)
        await world.post(*names(6, prefix="f"))
        await world.clock.until(world.settled(*names(6, prefix="f")))
    assert [len(ids) for ids in world.platform.requests] == [10, 2, 2, 2]
    assert len(set(world.platform.taken)) == 16


async def test_a_copy_that_brings_consent_is_sent_once_whether_the_lane_was_past_it_or_not(world):
    world.platform.answer = script("pause")
    no, yes = {"gpc": True}, {"ad_user_data": "granted", "ad_storage": "granted", "ad_personalization": "granted"}
    async with world.running():
        await world.post("early", consent=no)
        await world.clock.pass_s(1)
        await world.post("first")  # pauses the lane, so that nothing reads on
        await world.clock.until(lambda: world.platform.requests)
        await world.post("late", consent=no)
        for one in ("early", "late"):
            assert [result["status"] for result in await world.post(one, consent=yes)] == ["duplicate"]
        await world.clock.until(world.settled("early", "first", "late"))
        await world.clock.pass_s(5)
    assert sorted(world.platform.taken) == ["early", "first", "late"]


# Plugins with mistakes.


def breaks_on(bad: str, function: Callable[..., Any], found: Callable[..., list[str]]) -> Callable[..., Any]:
    """A plugin's function that raises when the bad event is in its hands."""

    def broken(*given: Any) -> Any:
        if bad in found(*given):
            raise KeyError("secret words of an event")
        return function(*given)

    return broken


async def test_a_mapping_that_raises_costs_one_delivery_and_names_the_plugin(world, use):
    one = use().destination
    world.configured(use(map_event=breaks_on("e3", one.map_event, lambda event, config: [event.event_id])))
    async with world.running():
        await world.post(*names(8))
        await world.clock.until(world.settled(*names(8)))
    dead = world.standing("e3")
    assert (dead.state, dead.code) == ("dead", "plugin_bug")
    assert "acme: map_event raised KeyError at line" in dead.message
    assert "secret" not in dead.message
    assert len(world.platform.taken) == 7


async def test_a_builder_that_raises_costs_one_delivery_and_names_the_plugin(world, use):
    one = use().destination
    broken = breaks_on("e3", one.build_request, lambda batch, config: [item["id"] for item in batch])
    world.configured(use(build_request=broken))
    async with world.running():
        await world.post(*names(8))
        await world.clock.until(world.settled(*names(8)))
    dead = world.standing("e3")
    assert (dead.state, dead.code) == ("dead", "plugin_bug")
    assert "acme: build_request raised KeyError" in dead.message
    assert len(world.platform.taken) == 7


async def test_a_judge_that_raises_costs_one_delivery_and_names_the_plugin(world, use):
    def broken(response, n):
        raise ZeroDivisionError("secret words of an answer")

    world.configured(use(classify=broken, retry=Retry(first_s=1)))
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    dead = world.standing("a")
    assert (dead.state, dead.code, dead.tries) == ("dead", "plugin_bug", 1)
    assert "acme: classify raised ZeroDivisionError" in dead.message
    assert "secret" not in dead.message


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "mistake",
    [
        {"map_event": lambda event, config: None},
        {"group_key": lambda event, config: ["a", "list"]},
        {"serial_key": lambda event, config: 7},
        {"age_limit": lambda event, config: 1 / 0},
        {"build_request": lambda batch, config: None},
        {"build_request": lambda batch, config: Request("POST", "https://acme.example", headers={"X": "café"})},
        {"build_request": lambda batch, config: Request("POST", "https://[acme", json={})},
        {"build_request": lambda batch, config: Request("POST", "https://acme.example", json=ENDLESS)},
    ],
    ids=["no item", "group", "serial", "age", "no request", "header", "url", "json"],
)
async def test_what_a_plugin_may_not_return_is_a_dead_letter_and_the_lane_goes_on(world, use, mistake):
    world.configured(use(**mistake), use("sound"))
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(world.settled("a", "b"))
        await world.clock.until(world.settled("a", "b", instance="sound"))
        assert world.status().state == "running"
    assert [world.standing(one).code for one in ("a", "b")] == ["plugin_bug"] * 2
    assert world.states("a", "b", instance="sound") == ["delivered"] * 2


async def test_a_skip_is_recorded_with_its_reason(world):
    async with world.running():
        await world.post("a", custom_data={"unmappable": True})
        await world.post("b")
        await world.clock.until(world.settled("a", "b"))
    skipped = world.standing("a")
    assert (skipped.state, skipped.code) == ("skipped", "missing_field")
    assert "custom_data.value" in skipped.message
    assert world.platform.taken == ["b"]


async def test_a_payload_that_cannot_be_read_is_a_dead_letter(world):
    await world.post("a", "b")
    world.outbox.write_blocking(lambda db: db.execute("UPDATE event SET payload = x'7b' WHERE seq = 1"))
    async with world.running():
        await world.clock.until(world.settled("a", "b"))
    assert world.states("a", "b") == ["dead", "delivered"]
    assert world.standing("a").code == "unreadable"


async def test_a_payload_whose_retention_is_over_is_a_dead_letter(world):
    await world.post("a")
    world.outbox.write_blocking(lambda db: db.execute("UPDATE event SET payload = NULL"))
    async with world.running():
        await world.clock.until(world.settled("a"))
    assert (world.standing("a").state, world.standing("a").code) == ("dead", "payload_gone")


# The disk, the lease.


async def test_a_full_disk_delays_the_record_and_repeats_nothing(world, monkeypatch):
    full = [True] * 3
    write = type(world.outbox).write

    async def sometimes(self, work, *, size=0):
        if full and world.platform.requests:
            full.pop()
            raise OutboxFull("no space left on the disk")
        return await write(self, work, size=size)

    monkeypatch.setattr(type(world.outbox), "write", sometimes)
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
    assert not full
    assert world.platform.requests == [["a"]]


async def test_one_dispatcher_at_a_time_and_the_next_takes_over(world, tmp_path):
    second = type(world.outbox)(world.path, world.clock)
    second.start()
    try:
        async with anyio.create_task_group() as tasks:
            async with world.running() as first:
                await world.clock.until(lambda: first.has_lease)
                other = type(first)(
                    world.settings, second, clock=world.clock, network={"acme": world.platform.network()}
                )
                tasks.start_soon(other.run)
                await world.post("a")
                await world.clock.until(world.settled("a"))
                await world.clock.pass_s(3)
                assert not other.has_lease
            await world.clock.until(lambda: other.has_lease, within_s=1)
            await world.post("b")
            await world.clock.until(world.settled("b"))
            other.stop()
            await world.clock.until(lambda: not other.has_lease)
    finally:
        second.close()
    assert world.platform.requests == [["a"], ["b"]]


async def test_a_new_configuration_while_it_waits_for_the_lease_is_what_it_starts_with(world, use):
    second = type(world.outbox)(world.path, world.clock)
    second.start()
    assert second.take_lease()
    try:
        await world.post(*names(4))
        async with world.running() as dispatcher:
            await world.clock.pass_s(1)
            dispatcher.reload(world.configured(use(batch_size=2)))
            before = world.clock.now()
            await world.clock.pass_s(5)  # asks now and then; a busy loop would never let time pass
            assert world.clock.now() == before + 5
            second.release_lease()
            await world.clock.until(world.settled(*names(4)))
        assert [len(ids) for ids in world.platform.requests] == [2, 2]
    finally:
        second.close()


async def test_stopping_finishes_what_is_under_way_and_leaves_the_rest(world, use):
    world.configured(use(batch_size=1))
    gate = anyio.Event()

    async def slow(ids):
        await gate.wait()
        return "ok"

    world.platform.answer = slow
    async with world.running() as dispatcher:
        await world.post("a", "b")
        await world.clock.until(lambda: world.platform.requests)
        dispatcher.stop()
        await world.clock.pass_s(1)
        assert dispatcher.has_lease
        gate.set()
    assert world.platform.requests == [["a"]]
    assert world.states("a", "b") == ["delivered", "queued"]
    async with world.running():
        await world.clock.until(world.settled("b"))
    assert world.platform.requests == [["a"], ["b"]]


async def test_a_token_refused_once_is_renewed_and_a_second_time_pauses(world):
    world.platform.answer = script("renew", "ok", "renew", "renew")
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"))
        assert world.status().state == "running"
        await world.post("b")
        await world.clock.until(lambda: world.status().state == "paused")
    assert world.platform.requests == [["a"], ["a"], ["b"], ["b"]]
    assert world.status().code == "token"


async def test_the_observer_hears_of_each_try_and_its_mistake_costs_nothing(world):
    class Manager:
        class hook:  # as pluggy spells it
            @staticmethod
            def delivery_attempted(attempt):
                raise RuntimeError("of an observer")

    async with world.running() as dispatcher:
        dispatcher._plugins = Manager()
        await world.post("a")
        await world.clock.until(world.settled("a"))
    assert world.states("a") == ["delivered"]
    assert [(one.instance, one.size) for one in world.attempts] == [("acme", 1)]


async def test_the_other_half_of_a_refused_request_waits_too_when_the_platform_asks_for_it(world, use):
    world.configured(use(batch_size=4))

    def answer(ids):
        if len(ids) == 4:
            return "split"
        return httpx.Response(429, headers={"Retry-After": "100"}) if len(world.platform.requests) == 2 else "ok"

    world.platform.answer = answer
    async with world.running():
        await world.post("a", "b", "c", "d")
        await world.clock.until(world.settled("a", "b", "c", "d"))
    assert world.platform.requests[:2] == [["a", "b", "c", "d"], ["a", "b"]]
    assert world.platform.times[2] - world.platform.times[1] >= 100


async def test_a_delivery_put_back_does_not_go_before_earlier_new_ones_of_its_key(world, use):
    """The copy brings consent to the second before the lane has read the first."""
    world.configured(use(serial_key=lambda event, config: "one-key", batch_size=1))
    denied = {"consent": {"ad_user_data": "denied", "region": "DE"}}
    await world.post("a")
    await world.post("b", **denied)
    await world.post("b", consent={"ad_user_data": "granted", "region": "DE"})
    async with world.running():
        await world.clock.until(world.settled("a", "b"))
    assert world.platform.requests == [["a"], ["b"]]


async def test_a_lane_that_starts_again_leaves_the_platform_alone_until_its_retry_after(world, use):
    """A reload, a restart or a crash is no reason to ask before the time that the platform said."""
    world.configured(use(batch_size=1))
    world.platform.answer = lambda ids: (
        httpx.Response(429, headers={"Retry-After": "600"}) if len(world.platform.requests) == 1 else "ok"
    )
    async with world.running() as dispatcher:
        await world.post("a", "b")
        await world.clock.until(lambda: world.lane().held_until)
        dispatcher.reload(world.configured(use(batch_size=2)))
        await world.clock.pass_s(60)
    async with world.running():
        await world.clock.until(world.settled("a", "b"))
    assert len(world.platform.requests) > 1
    assert world.platform.times[1] - world.platform.times[0] >= 600


async def test_a_clock_that_was_set_back_holds_a_lane_no_longer_than_a_retry_after_may_be(world, use):
    world.configured(use())
    far = world.clock.now() + 30 * 86_400
    world.outbox.write_blocking(lambda db: db.execute("UPDATE lane SET held_until = ?", (far,)) and None)
    started = world.clock.now()
    async with world.running():
        await world.post("a")
        await world.clock.until(world.settled("a"), within_s=100_000)
    assert world.platform.times[0] - started == pytest.approx(RETRY_AFTER_MAX_S, abs=1)


async def test_others_in_flight_heed_a_retry_after_that_cannot_be_written_down_yet(world, use):
    """A full disk keeps the answer waiting to be recorded, not what it asks for."""
    world.configured(use(batch_size=1, max_concurrency=2, rate=1.0, burst=1))
    world.platform.answer = lambda ids: (
        httpx.Response(429, headers={"Retry-After": "100"}) if len(world.platform.requests) == 1 else "ok"
    )
    real, refusals = world.outbox.write, iter(range(20))

    async def write(work, *, size=0):
        if world.platform.requests and next(refusals, None) is not None:
            raise OutboxFull("no space left on the disk")
        return await real(work, size=size)

    world.outbox.write = write
    await world.post("a", "b", "c")
    async with world.running():
        await world.clock.until(world.settled("a", "b", "c"))
    assert world.platform.times[1] - world.platform.times[0] >= 100


async def test_a_copys_consent_sends_an_event_once_though_the_log_is_read_again(world, use):
    """Its row is there before the lane has read the event; then an earlier claim is given back."""
    world.configured(use(batch_size=1, max_concurrency=2, linger_s=0.0))
    gate = anyio.Event()

    async def answer(ids):
        if ids == ["z"] and world.platform.requests.count(["z"]) == 1:
            return httpx.Response(429, headers={"Retry-After": "100"})
        if ids == ["a"] and world.platform.requests.count(["a"]) == 1:
            await gate.wait()
            return "pause"
        return "ok"

    world.platform.answer = answer
    async with world.running():
        await world.post("z")
        await world.clock.until(lambda: world.platform.requests)
        await world.post("a", consent={"ad_user_data": "granted", "region": "DE"})
        await world.post("b", consent={"ad_user_data": "denied", "region": "DE"})
        await world.post("b", consent={"ad_user_data": "granted", "region": "DE"})
        await world.post("c", consent={"ad_user_data": "granted", "region": "DE"})
        await world.clock.until(lambda: ["a"] in world.platform.requests and world.states("b") == ["delivered"])
        gate.set()
        await world.clock.until(world.settled("a", "b", "c"))
        await world.clock.pass_s(60)
    assert world.platform.requests.count(["b"]) == 1


async def test_an_orderly_end_does_not_wait_for_the_platforms_limit(world, use):
    world.configured(use(batch_size=1, rate=1 / 3600, burst=1))
    async with world.running():
        await world.post("a", "b")
        await world.clock.until(world.settled("a"))
        await world.clock.pass_s(5)
        began = world.clock.now()
    assert world.clock.now() - began < 10
    assert world.states("a", "b") == ["delivered", "queued"]
