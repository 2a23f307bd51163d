"""A page and a server tell of one order: it goes once, with what both say, as far as both allow it."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from gateway.ingest.draft import BrowserHints
from gateway.insight import proof
from gateway.insight.explain import Explainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.conftest import World

YES = {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted", "region": "DE"}
NO = {**dict.fromkeys(YES, "denied"), "region": "DE"}
AGENT, IP, FBP = "Mozilla/5.0 (X11; Linux x86_64)", "203.0.113.77", "fb.1.1795000000000.1098115397"
BROWSER = BrowserHints(ip=IP, user_agent=AGENT, cookies={"_fbp": FBP})
EMAIL = sha256(b"jane.doe@example.com").hexdigest()
LABELS = ("page first", "server first")


def shop(world: Callable[..., World], wait: str = "60s", more: str = "") -> World:
    group = f'dedup_group = "shop"\ncopy_wait = "{wait}"\n'
    web = f'[sources.web]\npublic_key = "made-up-public-key-00001"\norigins = ["https://shop.example"]\n{group}'
    return world(source=group, more=f"{web}{more}")


def page(**fields: Any) -> dict[str, Any]:
    return {
        "event_name": "Purchase",
        "event_source_url": "https://shop.example/thanks?gclid=Cj0KCQ-made-up",
        "custom_data": {"order_id": "1", "value": 59.9, "currency": "EUR", "content_name": "Socks"},
        "consent": YES,
        **fields,
    }


def server(**fields: Any) -> dict[str, Any]:
    return {
        "event_name": "Purchase",
        "custom_data": {"order_id": "1", "value": 59.9, "currency": "EUR", "tax": 9.57},
        "user_data": {"email": "jane.doe@example.com", "city": "Berlin", "country": "DE"},
        "consent": YES,
        **fields,
    }


def tell(world: World, order: str, from_page: dict[str, Any], from_server: dict[str, Any]) -> list[dict[str, Any]]:
    """Post both copies, in the order asked for. Returns the results."""
    posts: list[Callable[[], list[dict[str, Any]]]] = [
        lambda: world.post(from_page, through="web", hints=BROWSER),
        lambda: world.post(from_server),
    ]
    if order == "server first":
        posts.reverse()
    return [one()[0] for one in posts]


@pytest.mark.parametrize("order", LABELS)
@pytest.mark.parametrize("more", ["", f'[privacy]\nencryption_key = "{"01" * 32}"\n'], ids=["plain", "sealed"])
def test_it_goes_once_with_the_fields_of_both(world: Callable[..., World], order: str, more: str) -> None:
    both = shop(world, more=more)
    answers = tell(both, order, page(), server())
    assert [one["status"] for one in answers] == ["accepted", "duplicate"]
    assert answers[0]["destinations"]["meta"] == "queued"
    both.deliver()
    (meta,) = both.arrived["meta"]
    who = meta["user_data"]
    assert (who["fbp"], who["client_ip_address"], who["client_user_agent"]) == (FBP, IP, AGENT)
    assert len(who["em"]) == 1
    assert meta["event_source_url"].startswith("https://shop.example/thanks")
    (google,) = both.arrived["google"]
    assert google["adIdentifiers"]["gclid"] == "Cj0KCQ-made-up"
    assert {name: len(found) for name, found in both.arrived.items()} == dict.fromkeys(both.arrived, 1)


def test_the_first_copy_waits_and_says_so(world: Callable[..., World]) -> None:
    both = shop(world)
    both.post(server())
    states = both.states()
    assert {code for _, code in states.values()} == {"awaiting_copy"}
    assert {state for state, _ in states.values()} == {"waiting"}
    both.post(page(), through="web", hints=BROWSER)
    with both.outbox.reading() as db:
        due = [row[0] for row in db.execute("SELECT next_at FROM delivery")]
    assert all(at <= time.time() for at in due)


def test_without_its_other_copy_it_goes_after_a_while(world: Callable[..., World]) -> None:
    alone = shop(world, wait="200ms")
    alone.post(server(event_source_url="https://shop.example/thanks"))
    alone.deliver()
    assert alone.ids("meta") == ["1"]
    alone.post(page(), through="web", hints=BROWSER)
    alone.deliver()
    assert alone.ids("meta") == ["1"]


@pytest.mark.parametrize("name", ["Lead", "PageView"])
def test_only_orders_wait(world: Callable[..., World], name: str) -> None:
    both = shop(world)
    both.post({"event_name": name, "event_id": "7", "consent": YES})
    assert both.states() == {}


@pytest.mark.parametrize("order", LABELS)
def test_a_copy_that_says_no_stops_what_waits(world: Callable[..., World], order: str) -> None:
    both = shop(world)
    refusing, asking = (page(consent=NO), server()) if order == "server first" else (page(), server(consent=NO))
    tell(both, order, refusing, asking)
    states = both.states()
    assert {state for state, _ in states.values()} == {"cancelled"}
    assert {code for _, code in states.values()} == {"consent_denied"}
    both.deliver()
    assert both.requests == []


def test_a_default_that_nobody_has_answered_stops_nothing_that_was_allowed(world: Callable[..., World]) -> None:
    both = shop(world)
    both.post(server())
    asking = replace(BROWSER, pending=True)
    assert both.post(page(consent=NO), through="web", hints=asking)[0]["status"] == "duplicate"
    assert {code for _, code in both.states().values()} == {"awaiting_copy"}
    both.post(page(), through="web", hints=BROWSER)
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert (meta["user_data"]["fbp"], len(meta["user_data"]["em"])) == (FBP, 1)


def test_a_default_stops_what_no_visitor_has_allowed(world: Callable[..., World]) -> None:
    both, region = shop(world), {"region": "US-NY"}
    assert both.post(server(consent=region))[0]["destinations"]["meta"] == "queued"
    both.post(page(consent={**NO, **region}), through="web", hints=replace(BROWSER, pending=True))
    assert both.states() == {}
    both.deliver()
    assert both.requests == []
    with both.outbox.reading() as db:
        (found,) = Explainer(both.settings).explain(db, "1")
        assert proof.verify(db).faults == []
    assert {one.state for one in found.destinations.values()} == {"skipped"}
    both.post(page(consent={**YES, **region}), through="web", hints=BROWSER)  # they answer
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert (meta["user_data"]["fbp"], len(meta["user_data"]["em"])) == (FBP, 1)
    with both.outbox.reading() as db:
        assert proof.verify(db).faults == []


def test_a_copy_without_any_signal_adds_only_what_is_nobodys(world: Callable[..., World]) -> None:
    both = shop(world)
    tell(both, "page first", page(), server(consent={"region": "DE"}))
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert "em" not in meta["user_data"]
    assert meta["user_data"]["fbp"] == FBP


def test_a_server_copy_without_consent_gets_the_pages_where_visits_are_remembered(world: Callable[..., World]) -> None:
    group = 'dedup_group = "shop"\ncopy_wait = "60s"\nremember_visits = true\n'
    web = f'[sources.web]\npublic_key = "made-up-public-key-00001"\norigins = ["https://shop.example"]\n{group}'
    both = world(source=group, more=web)
    tell(both, "page first", page(), server(consent={}))
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert len(meta["user_data"]["em"]) == 1


def test_what_the_first_lacked_consent_for_goes_with_both_once_the_copy_brings_it(
    world: Callable[..., World],
) -> None:
    both = shop(world)
    answers = tell(both, "server first", page(), server(consent={"region": "DE"}))
    assert set(answers[0]["destinations"].values()) == {"skipped:consent"}
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert meta["user_data"]["fbp"] == FBP
    assert both.ids("meta") == ["1"]


def test_explain_tells_what_the_copy_added(world: Callable[..., World]) -> None:
    both = shop(world)
    tell(both, "page first", page(), server())
    with both.outbox.reading() as db:
        (found,) = Explainer(both.settings).explain(db, "1")
    assert {path for path, one in found.joined.items() if (one.by, one.source) == ("copy", "shop")} == {
        "custom_data.tax", "digests.city", "digests.country", "digests.email", "user_data.city", "user_data.country",
    }  # fmt: skip


def test_both_copies_people_find_the_event(world: Callable[..., World]) -> None:
    """An erasure by what only the copy brought takes the event."""
    import anyio

    from gateway.outbox.erasure import erase
    from gateway.privacy.identity import person

    both = shop(world)
    tell(both, "page first", page(), server())
    whos = person(both.outbox.key, {"email": "jane.doe@example.com"}).pseudonyms
    assert anyio.run(erase, both.outbox, whos, time.time()).events == 1


def test_two_addresses_of_one_customer_are_both_sent(world: Callable[..., World]) -> None:
    both = shop(world)
    tell(both, "page first", page(user_data={"email": "jane@example.org"}), server())
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert len(meta["user_data"]["em"]) == 2


@pytest.mark.parametrize("region", ["DE", "US-NY"])
def test_whatever_comes_in_whatever_order_nothing_goes_twice_or_against_a_no(
    world: Callable[..., World], region: str
) -> None:
    """Two sources tell of orders in random order, with random consent, again and again, while deliveries go out."""
    rng = random.Random(20261127)
    both = shop(world, wait="10ms")
    said: dict[str, list[str]] = {}
    for round_ in range(12):
        for _ in range(10):
            order_id = f"{round_}-{rng.randrange(6)}"
            word = rng.choice(("granted", "granted", "denied", ""))
            consent = {**dict.fromkeys(tuple(YES)[:3], word), "region": region} if word else {"region": region}
            fields: dict[str, Any] = {"consent": consent}
            if rng.random() < 0.5:
                asking = rng.random() < 0.5  # then a denial is a default
                both.post(named(page(**fields), order_id), through="web", hints=replace(BROWSER, pending=asking))
                word = "default" if word == "denied" and asking else word
            else:
                both.post(named(server(**fields), order_id))
            said.setdefault(order_id, []).append(word)
        if rng.random() < 0.7:
            both.deliver()
    both.deliver()
    for name, found in both.arrived.items():
        ids = both.ids(name)
        assert len(ids) == len(set(ids)) == len(found), name
        silence_allows = {"granted"} if region == "DE" else {"granted", ""}
        assert all(silence_allows & {*said[one]} for one in ids), name
    for order_id, words in said.items():  # a no before anybody said yes, or while the first waited, stops it
        if words[0] in ("denied", "default") and "granted" not in words and region == "DE":
            assert order_id not in both.ids("meta")
    with both.outbox.reading() as db:
        assert proof.verify(db).faults == []
    assert both.arrived["meta"]
    assert both.refusals == []


def named(event: dict[str, Any], order_id: str) -> dict[str, Any]:
    return {**event, "custom_data": {**event["custom_data"], "order_id": order_id}}


@pytest.mark.parametrize("order", LABELS)
@pytest.mark.parametrize(
    "denied",
    [{"ad_storage": "denied"}, {"ad_personalization": "denied"}, {"ad_user_data": "granted", "ad_storage": None}],
)
def test_what_one_copy_does_not_allow_goes_with_neither(
    world: Callable[..., World], order: str, denied: dict[str, str | None]
) -> None:
    """Of two different consents the first copy's stands, with its own fields alone."""
    both = shop(world)
    mine = {key: value for key, value in {**YES, **denied}.items() if value}
    tell(both, order, page(), server(consent=mine))
    both.deliver()
    sent = json.dumps([one for found in both.arrived.values() for one in found])
    from_page, from_server = "Cj0KCQ-made-up" in sent, EMAIL in sent
    assert not (from_page and from_server)


def test_a_copy_that_others_may_not_have_opens_nothing(world: Callable[..., World]) -> None:
    """Google may have what the server allows, another what the page does: neither gets the other's fields."""
    both = shop(world)
    storage = {**dict.fromkeys(tuple(YES)[:3]), "ad_storage": "granted", "region": "DE"}
    data = {"ad_user_data": "granted", "region": "DE"}
    tell(both, "page first", page(consent={k: v for k, v in storage.items() if v}), server(consent=data))
    both.deliver()
    sent = json.dumps([one for found in both.arrived.values() for one in found])
    assert not ("Cj0KCQ-made-up" in sent and EMAIL in sent)


def test_a_sender_that_repeats_itself_is_not_the_other_copy(world: Callable[..., World]) -> None:
    both = shop(world)
    both.post(server())
    both.post(server())
    assert {code for _, code in both.states().values()} == {"awaiting_copy"}
    both.post(page(), through="web", hints=BROWSER)
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert meta["user_data"]["fbp"] == FBP


def test_a_no_stops_what_is_to_be_tried_again(world: Callable[..., World]) -> None:
    both = shop(world, wait="10ms")
    both.post(server())
    both.outbox.write_blocking(lambda db: db.execute("UPDATE delivery SET code = 'timeout', next_at = next_at + 60"))
    both.post(page(consent=NO), through="web", hints=BROWSER)
    assert {state for state, _ in both.states().values()} == {"cancelled"}


def test_a_test_and_a_real_order_do_not_mix(world: Callable[..., World]) -> None:
    both = shop(world)
    tell(both, "page first", page(), server(test=True))
    both.deliver()
    (meta,) = both.arrived["meta"]
    assert "em" not in meta["user_data"]


def test_an_amount_keeps_its_own_currency(world: Callable[..., World]) -> None:
    both = shop(world)
    bare = page(custom_data={"order_id": "1", "value": 59.9})
    tell(both, "page first", bare, server(custom_data={"order_id": "1", "value": 70, "currency": "USD", "tax": 5}))
    with both.outbox.reading() as db:
        payload = json.loads(db.execute("SELECT payload FROM event").fetchone()[0])
    assert payload["custom_data"] == {"order_id": "1", "value": 59.9, "tax": 5}


def test_what_the_first_copy_says_itself_has_not_joined_it(world: Callable[..., World]) -> None:
    group = 'dedup_group = "shop"\ncopy_wait = "60s"\nremember_visits = true\n'
    web = f'[sources.web]\npublic_key = "made-up-public-key-00001"\norigins = ["https://shop.example"]\n{group}'
    both = world(source=group, more=web)
    tell(both, "page first", page(), server(consent={}))  # whose consent is the page's
    with both.outbox.reading() as db:
        (found,) = Explainer(both.settings).explain(db, "1")
    assert "consent" not in found.joined
    assert found.joined["digests.email"].by == "copy"
