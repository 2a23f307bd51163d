"""What a visit told joins the order that comes later from the shop's server, under the consent given then."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from gateway.ingest.draft import BrowserHints
from gateway.insight.explain import Explainer
from gateway.outbox import people, residue, visits
from gateway.outbox.erasure import erase
from gateway.privacy.identity import person
from gateway.privacy.visits import refuses
from gateway.privacy.withdrawal import Said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.flows.conftest import World

WEB = """
[sources.web]
public_key = "made-up-public-key-00001"
origins = ["https://shop.example"]
remember_visits = true
"""
YES = {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"}
AGENT, IP, FBP = "Mozilla/5.0 (X11; Linux x86_64)", "203.0.113.77", "fb.1.1795000000000.1098115397"
BROWSER = BrowserHints(ip=IP, user_agent=AGENT, cookies={"_fbp": FBP})
LANDING = "https://shop.example/socks?utm_source=ad&fbclid=IwAR0kx-made-up&gclid=Cj0KCQ-made-up"


@pytest.fixture
def shop(world: Callable[..., World]) -> World:
    """A web source whose visits are remembered, and a back office that knows nothing of browsers."""
    return world(source="", more=WEB)


def visit(shop: World, *, cart: str = "cart-1", hints: BrowserHints | None = BROWSER, **fields: Any) -> None:
    event = {
        "event_name": "PageView",
        "event_id": f"view-{time.monotonic_ns()}",
        "event_source_url": LANDING,
        "consent": {**YES, "region": "DE"},
        "context": {"cart_token": cart},
        **fields,
    }
    assert shop.post(event, through="web", hints=hints)[0]["status"] == "accepted"


def order(number: str, *, cart: str | None = "cart-1", **fields: Any) -> dict[str, Any]:
    return {
        "event_name": "Purchase",
        "custom_data": {"order_id": number, "value": 59.9, "currency": "EUR"},
        "user_data": {"email": "jane.doe@example.com"},
        **({"context": {"cart_token": cart}} if cart else {}),
        **fields,
    }


def sent(shop: World, number: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What Meta and Google were sent of an order."""
    meta = next(one for one in shop.arrived["meta"] if one["event_id"] == number)
    google = next(one for one in shop.arrived["google"] if one["transactionId"] == number)
    return meta, google


def stored(shop: World, event_id: str) -> dict[str, Any]:
    with shop.outbox.reading() as db:
        row = db.execute(
            "SELECT e.payload, c.data FROM event e LEFT JOIN clear c USING (seq) WHERE event_id = ?", (event_id,)
        ).fetchone()
    return {**json.loads(row[0]), "clear": json.loads(row[1] or b"{}")}


def rows(shop: World) -> int:
    with shop.outbox.reading() as db:
        return int(db.execute("SELECT count(*) FROM visit").fetchone()[0])


def only_a_no(shop: World) -> bool:
    """Whether nothing is remembered but that somebody said no."""
    with shop.outbox.reading() as db:
        found = [json.loads(row[0]) for row in db.execute("SELECT data FROM visit")]
    return all(set(one) == {"consent"} and refuses(one["consent"][0]) for one in found)


def about(shop: World, **named: str) -> tuple[int, ...]:
    return person(shop.outbox.key, named).pseudonyms


def test_an_order_from_the_back_office_gains_click_browser_and_consent_of_its_visit(shop: World) -> None:
    alone = shop.post(order("1001"))[0]
    assert set(alone["destinations"].values()) == {"skipped:consent"}  # nobody knows what she allowed
    visit(shop, user_data={"anonymous_id": "visitor-1"})
    answered = shop.post(order("1002"))[0]
    assert answered["destinations"]["meta"] == answered["destinations"]["google"] == "queued"
    shop.deliver()
    meta, google = sent(shop, "1002")
    who = meta["user_data"]
    assert who["fbc"].startswith("fb.1.")
    assert who["fbc"].endswith(".IwAR0kx-made-up")
    assert (who["fbp"], who["client_ip_address"], who["client_user_agent"]) == (FBP, IP, AGENT)
    assert len(who["em"]) == 1
    assert meta["event_source_url"].startswith("https://shop.example/socks")
    assert google["adIdentifiers"]["gclid"] == "Cj0KCQ-made-up"
    assert google["consent"]["adUserData"] == "CONSENT_GRANTED"


def test_the_carts_token_is_not_stored_and_no_fault(world: Callable[..., World]) -> None:
    strict = world(source="", more=f'{WEB}[privacy]\nmisplaced = "refuse"\n')
    visit(strict, context={"cart_token": "c/1-abcdef", "page_title": "Socks"})
    assert "warnings" not in strict.post({**order("1", cart="c/1-abcdef"), "event_id": "1"})[0]
    with strict.outbox.reading() as db:
        payloads = [json.loads(row[0]) for row in db.execute("SELECT payload FROM event ORDER BY seq")]
    assert [one.get("context") for one in payloads] == [{"page_title": "Socks"}, {}]
    assert payloads[1]["user_data"]["gclid"] == "Cj0KCQ-made-up"


def test_explain_tells_where_each_field_came_from(shop: World) -> None:
    visit(shop)
    shop.post(order("1003"))
    with shop.outbox.reading() as db:
        (found,) = Explainer(shop.settings).explain(db, "1003")
    assert set(found.joined) == {
        "user_data.fbc", "user_data.fbp", "user_data.gclid", "user_data.client_ip_address",
        "user_data.client_user_agent", "event_source_url", "consent",
    }  # fmt: skip
    assert {(one.by, one.source) for one in found.joined.values()} == {("cart_token", "web")}
    assert all(abs(one.at - time.time()) < 60 for one in found.joined.values())


@pytest.mark.parametrize(
    ("visitor", "ordered"),
    [
        ({"user_data": {"anonymous_id": "v-9"}}, {"user_data": {"anonymous_id": "v-9"}}),
        ({"user_data": {"external_id": "c-9"}}, {"user_data": {"external_id": "c-9"}}),
        ({"user_data": {"email": "Max@Example.com"}}, {"user_data": {"email": "max@example.com "}}),
        (
            {"user_data": {"email": "max@example.com"}},
            {"user_data": {"email": "5b9ba104efe9fb8b8ddc47a09b30aa94c2cf9f7d74e5c6d7da18d9e8d1a3a0f6"}},
        ),
        ({"context": {"cart_token": "t-9"}}, {"context": {"cart_token": "t-9"}}),
    ],
    ids=["anonymous_id", "external_id", "email", "digest", "cart_token"],
)
def test_a_visit_is_found_by_each_id(world: Callable[..., World], visitor: Any, ordered: Any) -> None:
    import hashlib

    shop = world(source="", more=WEB)
    if len(ordered.get("user_data", {}).get("email", "")) == 64:
        ordered = {"user_data": {"email": hashlib.sha256(b"max@example.com").hexdigest().upper()}}
    visit(shop, **{"context": {}, **visitor})
    shop.post(order("1", cart=None, **{"user_data": {}, **ordered}))
    assert stored(shop, "1")["user_data"]["gclid"] == "Cj0KCQ-made-up"
    shop.post(order("2", cart=None))
    assert "gclid" not in stored(shop, "2")["user_data"]


def test_a_visit_is_found_by_the_order_only_within_a_dedup_group(world: Callable[..., World]) -> None:
    placed = {"event_name": "InitiateCheckout", "context": {}, "custom_data": {"order_id": "77"}}
    apart, together = world(source="", more=WEB), world(source='dedup_group = "s"', more=f'{WEB}dedup_group = "s"\n')
    for shop, found in ((apart, False), (together, True)):
        visit(shop, **placed)
        shop.post(order("77", cart=None))
        assert ("gclid" in stored(shop, "77")["user_data"]) is found


def test_groups_of_sources_do_not_hear_of_one_anothers_visits(world: Callable[..., World]) -> None:
    shop = world(source='dedup_group = "other"', more=f'{WEB}dedup_group = "mine"\n')
    visit(shop)
    assert set(shop.post(order("1"))[0]["destinations"].values()) == {"skipped:consent"}


def test_what_the_event_says_itself_stands(shop: World) -> None:
    visit(shop)
    own = {"email": "jane.doe@example.com", "gclid": "own", "client_ip_address": "198.51.100.9"}
    shop.post(order("1", user_data=own, event_source_url="https://shop.example/thanks"))
    kept = stored(shop, "1")
    assert kept["user_data"]["gclid"] == "own"
    assert kept["clear"]["client_ip_address"] == "198.51.100.9"
    assert kept["event_source_url"] == "https://shop.example/thanks"
    assert not {"user_data.gclid", "user_data.client_ip_address", "event_source_url"} & set(kept["joined"])
    assert kept["user_data"]["fbp"] == FBP


def test_the_events_own_consent_goes_before_the_visits(shop: World) -> None:
    visit(shop)
    refused = {**YES, "ad_storage": "denied", "region": "DE"}
    answered = shop.post(order("1", consent=refused))[0]
    kept = stored(shop, "1")
    assert answered["destinations"]["meta"] == "skipped:consent"
    assert "consent" not in kept.get("joined", {})
    assert not {"fbc", "fbp", "gclid"} & set(kept["user_data"])
    assert not any(path.startswith("user_data.fb") for path in kept.get("joined", {}))


def test_a_visit_without_consent_leaves_nothing_to_join(shop: World) -> None:
    visit(shop, consent={"region": "DE"})
    assert rows(shop) == 0
    visit(shop, consent={"ad_storage": "denied", "ad_user_data": "denied", "region": "DE"})
    assert only_a_no(shop)
    assert set(shop.post(order("1"))[0]["destinations"].values()) == {"skipped:consent"}


def test_a_visitor_who_says_no_later_is_forgotten_and_one_who_was_not_asked_yet_is_not(shop: World) -> None:
    visit(shop)
    visit(shop, consent={"region": "DE"}, event_source_url="https://shop.example/")
    shop.post(order("1"))
    assert stored(shop, "1")["user_data"]["gclid"] == "Cj0KCQ-made-up"
    visit(shop, consent={**dict.fromkeys(YES, "denied"), "region": "DE"})
    assert set(shop.post(order("2"))[0]["destinations"].values()) == {"skipped:consent"}


def test_click_ids_alone_are_forgotten_where_only_storage_is_refused(world: Callable[..., World]) -> None:
    shop = world(source="", more=WEB + '[consent.regions.DE]\ndefault = "allow"\n')
    visit(shop)
    visit(shop, consent={"ad_storage": "denied", "region": "DE"}, hints=None)
    with shop.outbox.reading() as db:
        contents = b"".join(row[0] for row in db.execute("SELECT data FROM visit"))
    assert b"gclid" not in contents
    assert b"fbp" not in contents


def test_global_privacy_control_of_the_visit_holds_for_the_order(shop: World) -> None:
    visit(shop, consent={"region": "US-CA"}, hints=BrowserHints(ip=IP, user_agent=AGENT, gpc=True))
    visit(shop, consent={"region": "US-CA"}, cart="other")
    assert shop.post(order("1"))[0]["destinations"]["meta"] == "skipped:consent"
    other = {"email": "john@example.com"}  # hers is known to have objected by now
    assert shop.post(order("2", cart="other", user_data=other))[0]["destinations"]["meta"] == "queued"
    assert shop.post(order("3", cart="other"))[0]["destinations"]["meta"] == "skipped:consent"


def test_a_store_purchase_gets_the_click_but_not_the_browser(shop: World) -> None:
    visit(shop)
    shop.post(order("1", action_source="physical_store"))
    kept = stored(shop, "1")
    assert kept["user_data"]["gclid"] == "Cj0KCQ-made-up"
    assert "client_ip_address" not in kept["clear"]
    assert "event_source_url" not in kept


def test_nothing_from_after_the_order_joins_it_and_nothing_from_long_before(world: Callable[..., World]) -> None:
    shop = world(source="", more=WEB + '[privacy]\nvisit_retention = "2h"\n')
    now = time.time()
    visit(shop, event_time=now - 3000)
    for number, at, found in (("1", now, True), ("2", now - 5000, True), ("3", now - 8000, False)):
        shop.post(order(number, event_time=at))
        assert ("gclid" in stored(shop, number)["user_data"]) is found, number
    visit(shop, event_time=now - 7300, cart="old")
    shop.post(order("4", cart="old"))
    assert "gclid" not in stored(shop, "4")["user_data"]


def test_what_is_over_is_deleted(world: Callable[..., World]) -> None:
    shop = world(source="", more=WEB + '[privacy]\nvisit_retention = "1h"\n')
    visit(shop, user_data={"anonymous_id": "a", "external_id": "b"})
    with shop.outbox.reading() as db:
        people_ = db.execute("SELECT count(*) FROM visit_person").fetchone()[0]
    before = rows(shop) + people_
    assert min(rows(shop), people_) >= 2
    with shop.outbox.reading() as db:
        assert not visits.expired(db, time.time())
        assert visits.expired(db, time.time() + 3700)
    assert shop.outbox.write_blocking(lambda db: visits.forget_expired(db, time.time() + 3700)) == before
    assert rows(shop) == 0


def refund(order_id: str, **fields: Any) -> dict[str, Any]:
    given = {"order_id": order_id, "refund_id": f"r-{order_id}", "value": 59.9, "currency": "EUR"}
    return {"event_name": "Refund", "custom_data": given, **fields}


def test_a_refund_goes_under_its_orders_consent_as_long_as_the_order_is_kept(world: Callable[..., World]) -> None:
    office = "remember_visits = true\n"
    shop, now, day = world(source=office, more=WEB), time.time(), 86_400.0
    shop.post(order("1"), order("2", consent={**YES, "region": "DE"}))
    late = [shop.post(refund(one), at=now + 20 * day)[0]["destinations"]["google"] for one in ("1", "2")]
    assert late == ["skipped:consent", "queued"]
    kept = stored(shop, "r-2")
    assert set(kept["joined"]) == {"consent"}
    assert kept["joined"]["consent"]["by"] == "order"
    too_late = shop.post({**refund("2"), "event_id": "r"}, at=now + 31 * day)[0]
    assert too_late["destinations"]["google"] == "skipped:consent"


def test_a_no_after_the_order_holds_for_its_refund(world: Callable[..., World]) -> None:
    shop = world(source="remember_visits = true\n", more=WEB)
    shop.post(order("1", consent={**YES, "region": "DE"}, user_data={"anonymous_id": "v"}))
    visit(shop, user_data={"anonymous_id": "v"}, context={}, consent={**dict.fromkeys(YES, "denied"), "region": "DE"})
    assert shop.post(refund("1"))[0]["destinations"]["google"] == "skipped:consent"


def test_of_an_order_only_the_consent_is_kept_longer(world: Callable[..., World]) -> None:
    shop = world(source="remember_visits = true\n", more=WEB)
    own = {"email": "eve@example.com", "gclid": "made-up", "client_ip_address": IP}
    shop.post(order("1", consent={**YES, "region": "DE"}, user_data=own))
    shop.outbox.write_blocking(lambda db: visits.forget_expired(db, time.time() + 8 * 86_400))
    with shop.outbox.reading() as db:
        (content,) = [json.loads(row[0]) for row in db.execute("SELECT data FROM visit")]
    assert set(content) == {"consent"}


def test_a_later_page_without_click_ids_keeps_those_of_the_landing(shop: World) -> None:
    visit(shop)
    visit(shop, event_source_url="https://shop.example/cart", hints=BrowserHints(ip="198.51.100.4", user_agent="B"))
    shop.post(order("1"))
    kept = stored(shop, "1")
    assert kept["user_data"]["gclid"] == "Cj0KCQ-made-up"
    assert kept["clear"]["client_ip_address"] == "198.51.100.4"
    assert kept["event_source_url"] == "https://shop.example/cart"


def test_a_second_click_replaces_the_first(shop: World) -> None:
    visit(shop)
    visit(shop, event_source_url="https://shop.example/?gclid=second&fbclid=IwAR-second")
    shop.post(order("1"))
    kept = stored(shop, "1")
    assert kept["user_data"]["gclid"] == "second"
    assert kept["user_data"]["fbc"].endswith(".IwAR-second")


def test_a_page_that_has_not_asked_yet_does_not_get_an_earlier_consent(shop: World) -> None:
    visit(shop)
    page = {
        "event_name": "ViewContent",
        "event_id": "v",
        "context": {"cart_token": "cart-1"},
        "consent": {"region": "DE"},
    }
    assert shop.post(page, through="web", hints=BROWSER)[0]["destinations"]["meta"] == "skipped:consent"


def test_an_id_that_joined_finds_the_visit_from_then_on(shop: World) -> None:
    """The order ties the customer to the cart: the next order of the customer finds the browser without it."""
    visit(shop)
    shop.post({**order("1"), "user_data": {"external_id": "customer-5"}}, through="web", hints=None)
    shop.post(order("2", cart=None, user_data={"external_id": "customer-5"}))
    kept = stored(shop, "2")
    assert kept["user_data"]["gclid"] == "Cj0KCQ-made-up"
    assert kept["joined"]["user_data.gclid"]["by"] == "external_id"


def test_erasure_takes_visits_with_all_ids_that_they_were_found_by(shop: World) -> None:
    visit(shop, user_data={"anonymous_id": "v-3", "email": "eve@example.com"})
    visit(shop, user_data={"anonymous_id": "v-4"}, cart="cart-4")
    assert rows(shop) > 4
    erased = anyio.run(erase, shop.outbox, about(shop, email="eve@example.com"), time.time())
    assert erased.overwritten
    assert rows(shop) == 2  # the other's
    # the other's event and their two rows: nothing of hers is left in the file, free pages included
    assert shop.outbox.path.read_bytes().count(IP.encode()) == 3
    assert set(shop.post(order("1"))[0]["destinations"].values()) == {"skipped:consent"}


def test_erasure_follows_ids_that_came_together_step_by_step(shop: World) -> None:
    """Address and cart, then browser alone, then browser and address: all of it is one visitor's."""
    visit(shop, user_data={"email": "eve@example.com"}, cart="cart-7")
    visit(shop, user_data={"anonymous_id": "v-7"}, context={})
    visit(shop, user_data={"anonymous_id": "v-7", "email": "eve@example.com"}, context={})
    anyio.run(erase, shop.outbox, about(shop, email="eve@example.com"), time.time())
    assert rows(shop) == 0


@pytest.mark.parametrize(
    ("consent", "all_of_it"), [(dict.fromkeys(YES, "denied"), True), ({**YES, "ad_storage": "denied"}, False)]
)
def test_who_says_no_under_one_id_is_forgotten_under_all(shop: World, consent: dict[str, str], all_of_it: bool) -> None:
    visit(shop, user_data={"anonymous_id": "v-8", "email": "eve@example.com"}, cart="cart-8")
    visit(shop, user_data={"anonymous_id": "v-8"}, context={}, consent={**consent, "region": "DE"}, hints=None)
    assert only_a_no(shop) or not all_of_it
    with shop.outbox.reading() as db:
        contents = b"".join(row[0] for row in db.execute("SELECT data FROM visit"))
    assert b"gclid" not in contents
    assert b"fbp" not in contents


def test_consent_taken_back_forgets_visits(shop: World) -> None:
    visit(shop, user_data={"external_id": "c-1"})
    denial = Said(denied=frozenset({"ad_storage", "ad_user_data"}))
    whos = about(shop, external_id="c-1")
    shop.outbox.write_blocking(lambda db: people.remember(db, whos, denial, time.time()))
    assert rows(shop) == 0
    visit(shop, user_data={"external_id": "c-1"}, cart="cart-2")
    assert only_a_no(shop)


def test_visits_are_sealed_like_payloads(world: Callable[..., World]) -> None:
    shop = world(source="", more=f'{WEB}[privacy]\nencryption_key = "{"01" * 32}"\n')
    visit(shop)
    with shop.outbox.reading() as db:
        contents = [row[0] for row in db.execute("SELECT data FROM visit")]
    assert contents
    assert all(one.startswith(b"\x01") and b"203.0.113" not in one for one in contents)
    assert shop.post(order("1"))[0]["destinations"]["meta"] == "queued"


def test_nothing_is_remembered_where_nobody_needs_it(world: Callable[..., World]) -> None:
    plain = world(source="", more=WEB.replace("remember_visits = true\n", ""))
    visit(plain)
    assert rows(plain) == 0


def test_what_no_destination_may_have_is_not_remembered(world: Callable[..., World]) -> None:
    shop = world(source="", more=WEB)
    everywhere = frozenset({"user_data.client_ip_address", "event_source_url"})
    from dataclasses import replace

    shop.settings = replace(
        shop.settings,
        destinations={name: replace(one, deny_fields=everywhere) for name, one in shop.settings.destinations.items()},
    )
    visit(shop)
    with shop.outbox.reading() as db:
        contents = b"".join(row[0] for row in db.execute("SELECT data FROM visit"))
    assert b"gclid" in contents
    assert b"203.0.113" not in contents
    assert b"event_source_url" not in contents


def test_what_is_looked_for_in_free_space_is_how_visits_stand_in_the_file(shop: World) -> None:
    visit(shop, user_data={"anonymous_id": "v-1", "external_id": "c-1"})
    with shop.outbox.reading() as db:
        wanted = residue.traces_of_visits(visits.rows_about(db, about(shop, external_id="c-1")))
    anyio.run(shop.outbox.empty_wal)
    content = shop.outbox.path.read_bytes()
    assert b'"user_data.anonymous_id":["v-1"' in wanted
    assert f'"user_data.client_ip_address":["{IP}"'.encode() in wanted
    assert sum(len(one) == 8 for one in wanted) == 3  # cart, browser, customer
    assert [one for one in wanted if one not in content] == []


def test_a_no_is_heard_through_a_source_that_remembers_nothing(shop: World) -> None:
    visit(shop)
    shop.post(order("1", consent={**dict.fromkeys(YES, "denied"), "region": "DE"}))
    assert set(shop.post(order("2"))[0]["destinations"].values()) == {"skipped:consent"}


def test_a_no_is_heard_from_a_duplicate(shop: World) -> None:
    page = {"event_name": "PageView", "event_id": "p", "context": {"cart_token": "cart-1"}}
    shop.post({**page, "consent": {**YES, "region": "DE"}}, through="web", hints=BROWSER)
    refused = {**dict.fromkeys(YES, "denied"), "region": "DE"}
    assert shop.post({**page, "consent": refused}, through="web", hints=BROWSER)[0]["status"] == "duplicate"
    assert only_a_no(shop)


@pytest.mark.parametrize(
    ("said", "erased"),
    [
        ({"phone": "+1 212 555 0123"}, {"phone": "+12125550123"}),
        ({"email": "jane.doe@gmail.com"}, {"email": "janedoe@gmail.com"}),
    ],
)
def test_an_erasure_by_what_no_visit_is_found_by_takes_it_all_the_same(shop: World, said: Any, erased: Any) -> None:
    visit(shop, user_data={**said, "anonymous_id": "v-5"})
    anyio.run(erase, shop.outbox, about(shop, **erased), time.time())
    assert rows(shop) == 0
    assert IP.encode() not in b"".join(one.read_bytes() for one in shop.outbox.path.parent.glob("gateway.db*"))


DENIED = {**dict.fromkeys(YES, "denied"), "region": "DE"}
GRANTED = {**YES, "region": "DE"}
VISITOR = {"anonymous_id": "v-1"}


@pytest.mark.parametrize("flag", ["ad_storage", "ad_personalization"])
@pytest.mark.parametrize("named", [True, False])
def test_a_no_to_a_part_counts_under_every_id(shop: World, flag: str, named: bool) -> None:
    """Not the consent that was given before under an id that is surer, or that the no does not name."""
    visit(shop, event_name="Lead", user_data=VISITOR, cart="c1")
    visit(shop, event_name="Lead", user_data=VISITOR, context={}, consent={**GRANTED, flag: "denied"})
    answered = shop.post(order("1", cart="c1", **({"user_data": VISITOR} if named else {})))[0]
    assert answered["destinations"]["meta"] == "skipped:consent"


@pytest.mark.parametrize("late", [0, 600])
def test_what_was_allowed_before_a_no_does_not_count_when_it_comes_late(shop: World, late: float) -> None:
    now = time.time()
    visit(shop, consent=GRANTED, event_time=now - 900)
    visit(shop, consent=DENIED, event_time=now - 10)
    visit(shop, consent=GRANTED, event_time=now - late - 11)
    assert shop.post(order("1"))[0]["destinations"]["meta"] == "skipped:consent"
    assert only_a_no(shop)


def test_whoever_allows_it_anew_is_remembered_again(shop: World) -> None:
    now = time.time()
    visit(shop, consent=DENIED, event_time=now - 60)
    visit(shop, consent=GRANTED, event_time=now - 10)
    assert shop.post(order("1"))[0]["destinations"]["meta"] == "queued"


def test_a_no_by_one_id_holds_against_a_yes_by_another(shop: World) -> None:
    visit(shop, cart="c1")
    visit(shop, context={}, user_data={"email": "eve@example.com"}, consent=DENIED)
    found = shop.post(order("1", cart="c1", user_data={"email": "eve@example.com"}))[0]
    assert found["destinations"]["meta"] == "skipped:consent"


@pytest.mark.parametrize("by", [{"email": "jane.doe@example.com"}, {"phone": "+1 212 555 0123"}])
@pytest.mark.parametrize("asks", ["withdrawal", "erasure"])
def test_of_an_order_too_the_person_can_take_it_back_weeks_later(
    world: Callable[..., World], by: dict[str, str], asks: str
) -> None:
    shop = world(source="remember_visits = true\n", more=WEB)
    now, day = time.time(), 86_400.0
    who = {"email": "jane.doe@example.com", "phone": "+1 212 555 0123"}
    shop.post(order("1", consent=GRANTED, user_data=who))
    shop.outbox.write_blocking(lambda db: visits.forget_expired(db, now + 10 * day))
    if asks == "erasure":
        anyio.run(erase, shop.outbox, about(shop, **by), now + 10 * day)
    else:
        denial = Said(denied=frozenset({"ad_storage", "ad_user_data"}))
        shop.outbox.write_blocking(lambda db: people.remember(db, about(shop, **by), denial, now + 10 * day))
    assert rows(shop) == 0
    assert shop.post(refund("1"), at=now + 11 * day)[0]["destinations"]["google"] == "skipped:consent"


def test_where_a_source_is_does_not_go_before_where_the_order_is(world: Callable[..., World]) -> None:
    """A page without any signal says nothing of its visitor's region: its source does."""
    shop = world(source='region = "DE"', more=WEB + 'region = "US"\n')
    visit(shop, consent={})
    assert shop.post(order("1"))[0]["destinations"]["meta"] == "skipped:consent"
    unsaid = world(source="", more=WEB + 'region = "US"\n')
    visit(unsaid, consent={})
    assert unsaid.post(order("1"))[0]["destinations"]["meta"] == "queued"


def test_an_order_that_a_visit_joined_takes_it_along_when_it_is_erased(shop: World) -> None:
    """Although its own source remembers nothing."""
    visit(shop)
    shop.post(order("1"))
    anyio.run(erase, shop.outbox, about(shop, email="jane.doe@example.com"), time.time())
    assert rows(shop) == 0


def test_what_is_written_after_a_withdrawal_does_not_bring_the_visit_back(shop: World) -> None:
    """An event that was taken before, and is stored behind it."""
    from gateway.ingest.pipeline import Door

    event = {"event_name": "Lead", "event_id": "l", "consent": GRANTED, "event_source_url": LANDING}
    event |= {"user_data": {"external_id": "c-1"}, "context": {"cart_token": "cart-1"}}
    taken = Door(shop.settings, shop.outbox).take(event, shop.settings.sources["web"], time.time(), hints=BROWSER)
    assert taken.record is not None
    record, denial = taken.record, Said(denied=frozenset({"ad_storage", "ad_user_data"}))
    shop.outbox.write_blocking(lambda db: people.remember(db, about(shop, external_id="c-1"), denial, time.time()))
    anyio.run(shop.outbox.append, [record])
    assert rows(shop) == 0


DEFAULT = {**dict.fromkeys(YES, "denied"), "region": "DE"}
#: A page that its visitor has not answered yet.
ASKING = replace(BROWSER, pending=True)


def test_a_default_does_not_take_the_place_of_an_answer(shop: World) -> None:
    visit(shop, user_data={"email": "jane.doe@example.com"})
    visit(shop, consent=DEFAULT, hints=ASKING, user_data={"email": "jane.doe@example.com"})
    assert shop.post(order("1"))[0]["destinations"]["meta"] == "queued"
    assert stored(shop, "1")["user_data"]["gclid"] == "Cj0KCQ-made-up"


@pytest.mark.parametrize("region", ["DE", "US-NY"])
def test_where_nobody_has_answered_the_default_holds(shop: World, region: str) -> None:
    default = {**DEFAULT, "region": region}
    visit(shop, consent=default, hints=ASKING)
    assert set(shop.post(order("1", consent={"region": region}))[0]["destinations"].values()) == {"skipped:consent"}
    assert stored(shop, "1")["joined"].keys() == {"consent"}  # it is not the shop that has said no
    with shop.outbox.reading() as db:
        assert not any(b'"consent"' in row[0] for row in db.execute("SELECT data FROM visit"))
    visit(shop, consent={**YES, "region": region})
    assert shop.post(order("2"))[0]["destinations"]["meta"] == "queued"


@pytest.mark.parametrize("more", [{"gpc": True}, {"gpp": "DBABLA~BVQqAAAAAgA.QA"}], ids=["gpc", "string"])
def test_what_a_visitor_has_set_is_an_answer_whatever_the_page_says(shop: World, more: dict[str, Any]) -> None:
    visit(shop)
    visit(shop, consent={**DEFAULT, **more}, hints=ASKING)
    assert only_a_no(shop)


def test_an_answer_that_comes_with_a_copy_is_remembered(world: Callable[..., World]) -> None:
    shop = world(source='remember_visits = true\ndedup_group = "shop"\n', more=f'{WEB}dedup_group = "shop"\n')
    shop.post(order("1", consent=DEFAULT), through="web", hints=ASKING)
    shop.post(order("1", consent={**YES, "region": "DE"}), through="web", hints=BROWSER)
    assert shop.post(refund("1"))[0]["destinations"]["google"] == "queued"


def test_an_id_that_many_share_does_not_bring_all_of_them_together(shop: World) -> None:
    count = 2 * visits.MOST_LINKED
    for at in range(0, count, 40):
        guests = [
            {
                "event_name": "PageView",
                "event_id": f"g{number}",
                "event_source_url": f"https://shop.example/?gclid=made-up-{number:03}x",
                "consent": {**YES, "region": "DE"},
                "user_data": {"external_id": "guest", "email": f"p{number}@example.com"},
            }
            for number in range(at, at + 40)
        ]
        shop.post(*guests, through="web", hints=BROWSER)
    with shop.outbox.reading() as db:
        together = [row[0] for row in db.execute("SELECT count(*) FROM visit GROUP BY link")]
    assert max(together) <= visits.MOST_LINKED
    assert len(together) > count / 2
    # each is still found by their own id, alone
    last = order("1", cart=None, user_data={"email": f"p{count - 2}@example.com"})
    assert shop.post(last)[0]["destinations"]["google"] == "queued"
    assert stored(shop, "1")["user_data"]["gclid"] == f"made-up-{count - 2}x"
    # and erased, by whatever holds something of theirs: who shares an id is forgotten as well
    found = person(shop.outbox.key, {"email": f"p{count - 1}@example.com"})
    anyio.run(lambda: erase(shop.outbox, found.pseudonyms, time.time()))
    with shop.outbox.reading() as db:
        kept = b"".join(row[0] for row in db.execute("SELECT data FROM visit"))
    assert f"made-up-{count - 1}x".encode() not in kept
