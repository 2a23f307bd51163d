"""What waits when a person takes consent back, or is erased, does not go any more."""

from __future__ import annotations

import json

import anyio
import pytest

from gateway.delivery.stopping import stop_open
from gateway.ingest.gate import Gate
from gateway.model.event import Consent
from gateway.outbox import erasure, people, repair, standing
from gateway.outbox.erasure import erase
from gateway.privacy.identity import person
from gateway.privacy.withdrawal import said

pytestmark = pytest.mark.anyio

GRANTED = {"ad_user_data": "granted", "region": "DE"}
JANE, JOAN = {"external_id": "jane"}, {"external_id": "joan"}


def whos(world, who):
    return person(world.outbox.key, who).pseudonyms


async def take_back(world, who=JANE, *, stop=False, outbox=None, **consent):
    outbox, now = outbox or world.outbox, world.clock.now()
    heard = said(Consent(**(consent or {"ad_user_data": "denied"})), {}, now)
    mine = whos(world, who)
    with world.clock.working():
        await outbox.write(lambda db: people.remember(db, mine, heard, now))
        if stop:
            gate = Gate(world.settings)
            done = await outbox.write(lambda db: stop_open(db, gate, people.events_about(db, mine), now))
            return done.total()
    return 0


async def slowly(world, word):
    await world.clock.wait(anyio.Event(), 2.0)
    return word


async def wipe(world, who=JANE, **options):
    with world.clock.working():
        return await erase(world.outbox, whos(world, who), world.clock.now(), **options)


async def test_a_queued_event_is_cancelled(world):
    await world.post("a", user_data=JANE, consent=GRANTED)
    await world.post("b", user_data=JOAN, consent=GRANTED)
    await take_back(world)
    async with world.running():
        await world.clock.until(world.settled("a", "b"))
    assert world.states("a", "b") == ["cancelled", "delivered"]
    assert world.standing("a").code == "consent_withdrawn"
    assert world.platform.taken == ["b"]


async def test_a_later_event_is_held_at_the_door_until_there_is_a_newer_grant(world):
    await take_back(world)
    [answer] = await world.post("a", user_data=JANE, consent=GRANTED)
    assert answer["destinations"] == {"acme": "skipped:consent"}
    await take_back(world, ad_user_data="granted")
    [answer] = await world.post("b", user_data=JANE, consent=GRANTED)
    assert answer["destinations"] == {"acme": "queued"}
    async with world.running():
        await world.clock.until(world.settled("a", "b"))
    assert world.states("a", "b") == ["skipped", "delivered"]


async def test_nobody_may_have_it_so_that_nobody_is_in_it(world):
    await take_back(world)
    await world.post("a", user_data={**JANE, "client_ip_address": "203.0.113.7"}, consent=GRANTED)
    with world.outbox.reading() as db:
        payload, count = db.execute("SELECT payload, (SELECT count(*) FROM clear) FROM event").fetchone()
        assert (b"203.0.113.7" in payload, count) == (False, 0)
        assert people.people_of(db, [1]) == {}


async def test_what_waits_for_its_next_try_is_stopped_at_once(world):
    world.platform.answer = lambda ids: "later"
    await world.post("a", user_data=JANE, consent=GRANTED)
    async with world.running():
        await world.clock.until(lambda: world.states("a") == ["waiting"])
        assert await take_back(world, stop=True) == 1
        assert world.states("a") == ["cancelled"]
        await world.clock.pass_s(3_600)
    assert world.states("a") == ["cancelled"]
    assert world.platform.requests == [["a"]]


async def test_what_waits_behind_a_pause_is_stopped_at_once(world):
    world.platform.answer = lambda ids: "pause"
    await world.post("a", user_data=JANE, consent=GRANTED)
    await world.post("b", user_data=JOAN, consent=GRANTED)
    async with world.running():
        await world.clock.until(lambda: world.lane().paused_at is not None)
        assert await take_back(world, stop=True) == 1
        assert world.states("a", "b") == ["cancelled", "queued"]


async def test_what_is_in_a_batch_that_waits_for_company_does_not_go(world, use):
    world.configured(use(batch_size=10, linger_s=5.0))
    await world.post("a", user_data=JANE, consent=GRANTED)
    await world.post("b", user_data=JOAN, consent=GRANTED)
    async with world.running():
        await world.clock.pass_s(1.0)  # claimed, and in a batch
        await take_back(world)
        await world.clock.until(world.settled("a", "b"))
    assert world.platform.taken == ["b"]
    assert world.states("a", "b") == ["cancelled", "delivered"]


async def test_what_another_process_was_told_counts(world, use):
    world.configured(use(batch_size=10, linger_s=5.0))
    await world.post("a", user_data=JANE, consent=GRANTED)
    other = type(world.outbox)(world.path, world.clock)
    other.start()
    try:
        async with world.running():
            await world.clock.pass_s(1.0)
            await take_back(world, outbox=other)
            await world.clock.until(world.settled("a"))
    finally:
        other.close()
    assert world.states("a") == ["cancelled"]
    assert world.platform.taken == []


async def test_a_grant_releases_nothing_that_was_stopped(world):
    await world.post("a", user_data=JANE, consent=GRANTED)
    await take_back(world, stop=True)
    await take_back(world, ad_user_data="granted")
    async with world.running():
        await world.clock.pass_s(60)
    assert world.states("a") == ["cancelled"]


async def test_a_grant_before_the_lane_comes_lets_it_go(world):
    await world.post("a", user_data=JANE, consent=GRANTED)
    await take_back(world)
    await take_back(world, ad_user_data="granted")
    async with world.running():
        await world.clock.until(world.settled("a"))
    assert world.states("a") == ["delivered"]


async def test_an_erased_persons_events_do_not_go(world, use):
    world.configured(use(batch_size=10, linger_s=5.0))
    await world.post("a", user_data=JANE, consent=GRANTED)
    await world.post("b", user_data=JOAN, consent=GRANTED)
    async with world.running():
        await world.clock.pass_s(1.0)
        erased = await wipe(world)
        await world.clock.until(world.settled("b"))
        await world.clock.pass_s(60)
    assert (erased.events, erased.destinations["acme"].stopped) == (1, 1)
    assert world.platform.taken == ["b"]
    with world.outbox.reading() as db:
        assert db.execute("SELECT event_id FROM event").fetchall() == [("b",)]


async def test_a_request_under_way_leaves_no_row_of_an_erased_event(world):
    world.platform.answer = lambda ids: slowly(world, "later")
    await world.post("a", user_data=JANE, consent=GRANTED)
    async with world.running():
        await world.clock.pass_s(1.0)
        await wipe(world)
        await world.clock.pass_s(30)
        with world.outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
            assert standing.behind(db, ["acme"]) == {"acme": 0}
        world.platform.answer = lambda ids: "ok"
        await world.post("b", user_data=JOAN, consent=GRANTED)
        await world.clock.until(world.settled("b"))
    assert world.states("b") == ["delivered"]


async def test_the_receipt_says_who_has_the_person(world, use):
    world.configured(use("acme"), use("other"))
    async with world.running():
        await world.post("a", "b", user_data=JANE, consent=GRANTED)
        await world.post("c", user_data=JANE, consent={**GRANTED, "ad_user_data": "denied"})
        await world.post(
            "d", user_data={**JANE, "email": "jane@example.com"}, destinations={"other": False}, consent=GRANTED
        )
        await world.post("e", user_data={"email": "jane@example.com"}, consent=GRANTED)
        await world.clock.until(world.settled("a", "b", "d", "e"))
        await world.clock.until(world.settled("a", "b", "e", instance="other"))
    erased = await wipe(world)
    assert (erased.events, erased.linked_events, erased.overwritten) == (3, 1, True)
    assert {name: one.delivered for name, one in erased.destinations.items()} == {"acme": 3, "other": 2}
    again = await wipe(world, {"email": "jane@example.com"})
    assert (again.events, again.linked_events) == (1, 0)


async def test_linked_events_go_if_asked_for(world):
    await world.post("a", user_data={**JANE, "email": "jane@example.com"}, consent=GRANTED)
    await world.post("b", user_data={"email": "jane@example.com"}, consent=GRANTED)
    await world.post("c", user_data=JOAN, consent=GRANTED)
    erased = await wipe(world, linked=True)
    assert (erased.events, erased.linked_events) == (2, 0)
    [late] = await world.post("d", user_data={"email": "jane@example.com"}, event_time=world.clock.now() - 60)
    assert late["status"] == "rejected"


async def test_the_past_does_not_come_back_and_a_new_customer_does(world):
    await world.post("a", user_data=JANE, consent=GRANTED)
    await wipe(world)
    [late] = await world.post("b", user_data=JANE, consent=GRANTED, event_time=world.clock.now() - 1)
    assert [late["status"], late["errors"][0]["code"]] == ["rejected", "person_erased"]
    [copy] = await world.post("a", user_data=JANE, consent=GRANTED, event_time=world.clock.now() - 1)
    assert copy["status"] == "rejected"
    [other] = await world.post("c", user_data=JOAN, consent=GRANTED, event_time=world.clock.now() - 1)
    assert other["status"] == "accepted"
    await world.clock.pass_s(10)
    [fresh] = await world.post("d", user_data=JANE, consent=GRANTED)
    assert fresh["destinations"] == {"acme": "queued"}
    async with world.running():
        await world.clock.until(world.settled("c", "d"))
    assert world.platform.taken == ["c", "d"]


async def test_a_copy_that_brings_consent_does_not_bring_an_erased_person(world):
    then = world.clock.now() - 5
    await world.post("a", user_data=JANE, consent={"region": "DE"}, event_time=then)  # stored without a person
    await wipe(world)
    [copy] = await world.post("a", user_data=JANE, consent=GRANTED, event_time=then)
    assert copy["status"] == "rejected"
    async with world.running():
        await world.clock.pass_s(10)
    assert world.platform.taken == []


async def test_whom_a_copy_brought_is_found(world):
    await world.post("a", user_data=JANE, consent={"region": "DE"})
    await world.post("a", user_data=JANE, consent=GRANTED)
    await take_back(world)
    async with world.running():
        await world.clock.until(world.settled("a"))
    assert world.states("a") == ["cancelled"]
    assert (await wipe(world)).events == 1


async def test_an_erasure_ends_what_was_taken_back(world):
    await take_back(world)
    await wipe(world)
    await world.clock.pass_s(10)
    [fresh] = await world.post("a", user_data=JANE, consent=GRANTED)
    assert fresh["destinations"] == {"acme": "queued"}


async def test_the_last_event_of_the_log_may_go(world):
    await world.post("a", user_data=JOAN, consent=GRANTED)
    await world.post("b", user_data=JANE, consent=GRANTED)
    await wipe(world)
    async with world.running():
        await world.post("c", user_data=JOAN, consent=GRANTED)
        await world.clock.until(world.settled("a", "c"))
    assert world.platform.taken == ["a", "c"]


async def test_what_was_taken_after_it_was_stopped_counts_as_delivered(world):
    world.platform.answer = lambda ids: slowly(world, "ok")
    await world.post("a", user_data=JANE, consent=GRANTED)
    await world.post("b", user_data=JANE, consent=GRANTED)
    async with world.running():
        await world.clock.pass_s(1.0)  # both are under way
        assert await take_back(world, stop=True) == 2
        assert world.states("a", "b") == ["cancelled", "cancelled"]
        await world.clock.pass_s(30)
    assert world.states("a", "b") == ["delivered", "delivered"]


async def test_what_was_stopped_under_way_is_not_tried_again(world):
    world.platform.answer = lambda ids: slowly(world, "later")
    await world.post("a", user_data=JANE, consent=GRANTED)
    async with world.running():
        await world.clock.pass_s(1.0)
        assert await take_back(world, stop=True) == 1
        await world.clock.pass_s(3.0)  # the platform has asked to be asked again, and it is not time yet
        assert world.platform.requests == [["a"]]
        assert world.states("a") == ["cancelled"]
        await world.clock.pass_s(3_600)
    assert world.states("a") == ["cancelled"]
    assert world.platform.requests == [["a"]]


async def test_of_a_request_answered_one_by_one_only_what_was_taken_is_delivered(world):
    world.platform.answer = lambda ids: slowly(world, ["ok", "later"])
    await world.post("a", "b", user_data=JANE, consent=GRANTED)
    async with world.running():
        await world.clock.pass_s(1.0)
        assert await take_back(world, stop=True) == 2
        await world.clock.pass_s(3_600)
    assert world.states("a", "b") == ["delivered", "cancelled"]


async def test_a_flag_that_is_taken_back_is_not_told_as_granted(world, use):
    seen = []

    def keep(event, config):
        seen.append((event.event_id, event.consent.ad_personalization, dict(event.user_data)))
        return {"id": event.event_id}

    world.configured(use(map_event=keep))
    granted = {**GRANTED, "ad_personalization": "granted", "ad_storage": "granted"}
    with_ids = {**JANE, "gclid": "click-1"}
    await world.post("a", user_data=with_ids, consent=granted)
    await take_back(world, ad_personalization="denied", ad_storage="denied")
    await world.post("b", user_data=with_ids, consent=granted)
    async with world.running():
        await world.clock.until(world.settled("a", "b"))
    assert [(one, told, "gclid" in ids) for one, told, ids in seen] == [("a", "denied", False), ("b", "denied", False)]
    with world.outbox.reading() as db:
        assert b"click-1" not in db.execute("SELECT payload FROM event WHERE event_id = 'b'").fetchone()[0]


async def test_what_a_lane_reads_while_an_erasure_is_under_way_does_not_go(world, use):
    world.configured(use(batch_size=10, linger_s=5.0))
    await world.post("a", user_data=JANE, consent=GRANTED)
    await world.post("b", user_data=JOAN, consent=GRANTED)
    now, mine = world.clock.now(), whos(world, JANE)
    with world.clock.working():
        await world.outbox.write(lambda db: erasure._begin(db, mine, now))
    async with world.running():
        await world.clock.pass_s(1.0)  # claimed with what is known so far
        with world.clock.working():
            await world.outbox.write(lambda db: erasure._erase(db, [1], [], now))
        await world.clock.until(world.settled("b"))
    assert world.platform.taken == ["b"]


async def test_without_its_person_an_event_keeps_the_denial_itself(world, use):
    """It could go to a destination that comes later: nobody could look up any more whose it was."""
    await take_back(world)
    await world.post("a", user_data=JANE, consent=GRANTED)
    with world.outbox.reading() as db:
        stored = json.loads(db.execute("SELECT payload FROM event").fetchone()[0])
    assert (stored["consent"]["ad_user_data"], stored["digests"]) == ("denied", {})
    world.configured(use("acme"), use("later"))
    with world.clock.working():
        await world.outbox.write(lambda db: repair.replay(db, "later", [1], world.clock.now(), lambda at: True))
    async with world.running():
        await world.clock.until(world.settled("a", instance="later"))
    assert (world.states("a", instance="later"), world.platform.taken) == (["cancelled"], [])
