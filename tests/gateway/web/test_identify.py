"""What `identify` says of a person joins their later events, as digests, under consent, for a time."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

from gateway.ingest.decode import Body
from gateway.ingest.draft import BrowserHints
from gateway.outbox import people
from gateway.privacy.identity import person
from gateway.web.identify import identify

if TYPE_CHECKING:
    from gateway.outbox import Outbox
    from gateway.web.service import Service

pytestmark = pytest.mark.anyio

JANE = {"external_id": "u-1", "anonymous_id": "a-1", "email": "Jane.Doe@example.com", "phone": "+1 212 555 0123"}
GRANTED = {"ad_user_data": "granted", "region": "DE"}
EMAIL = sha256(b"jane.doe@example.com").hexdigest()


class Site:
    """One source that identifies people and tracks events of them."""

    def __init__(self, service: Service) -> None:
        self.service, self.source = service, service.effective.settings.sources["web"]

    async def identify(self, *said: Any, hints: BrowserHints | None = None) -> dict[str, Any]:
        return await identify(self.service, self.service.effective, Body(list(said), odd=True), self.source, hints)

    async def track(self, event_id: str, **fields: Any) -> dict[str, Any]:
        event = {"event_name": "Lead", "event_id": event_id, "consent": GRANTED, **fields}
        answer = await self.service.effective.door.accept(Body([event], odd=False), self.source)
        result: dict[str, Any] = answer["results"][0]
        return result

    def stored(self, event_id: str) -> dict[str, Any]:
        with self.service.outbox.reading() as db:
            row = db.execute("SELECT payload FROM event WHERE event_id = ?", (event_id,)).fetchone()
        found: dict[str, Any] = json.loads(row[0])
        return found

    def rows(self) -> bytes:
        with self.service.outbox.reading() as db:
            return b"".join(row[0] for row in db.execute("SELECT data FROM visit"))


@pytest.fixture
def site(service: Service) -> Site:
    return Site(service)


@pytest.mark.parametrize("by", ["external_id", "anonymous_id", "email"])
async def test_digests_join_later_events_of_the_same_person(site: Site, by: str) -> None:
    answer = await site.identify({"user_data": JANE, "consent": GRANTED})
    assert answer == {"accepted": 1, "duplicates": 0, "rejected": 0, "results": [{"index": 0, "status": "accepted"}]}
    await site.track("1", user_data={by: JANE[by]})
    found = site.stored("1")
    assert [made for label, made in found["digests"].items() if label.startswith("email:")] == [[EMAIL]]
    assert by == "email" or found["joined"]["digests.email"]["by"] == by
    assert "digests.phone" not in found.get("joined", {})  # no destination asks for it
    await site.track("2", user_data={"external_id": "somebody else"})
    assert not any(label.startswith("email:") for label in site.stored("2")["digests"])


async def test_only_digests_are_kept(site: Site, outbox: Outbox) -> None:
    await site.identify({"user_data": {**JANE, "first_name": "Jane", "street": "1 Elm Street"}, "consent": GRANTED})
    everything = site.rows().lower()
    assert EMAIL.encode() in everything
    for text in (b"jane", b"example.com", b"5550123", b"elm street"):
        assert text not in everything


@pytest.mark.parametrize("consent", [{"ad_user_data": "denied", "region": "DE"}, {"region": "DE"}, {"gpc": True}])
async def test_without_consent_nothing_is_remembered(site: Site, consent: dict[str, Any]) -> None:
    assert (await site.identify({"user_data": JANE, "consent": consent}))["accepted"] == 1
    assert site.rows() == b""


async def test_an_event_without_consent_does_not_get_it_from_nowhere(site: Site) -> None:
    await site.identify({"user_data": JANE, "consent": GRANTED})
    assert (await site.track("1", user_data={"external_id": "u-1"}, consent={}))["destinations"] == {"acme": "queued"}
    refused = await site.track("2", user_data={"external_id": "u-1"}, consent={"ad_user_data": "denied"})
    assert refused["destinations"] == {"acme": "skipped:consent"}
    assert site.stored("2")["digests"] == {}


async def test_a_browser_that_somebody_else_uses_now_says_nothing_of_the_first(site: Site) -> None:
    await site.identify({"user_data": JANE, "consent": GRANTED})
    await site.identify({"user_data": {"external_id": "u-2", "anonymous_id": "a-1"}, "consent": GRANTED})
    await site.track("1", user_data={"external_id": "u-2", "anonymous_id": "a-1"})
    await site.track("2", user_data={"anonymous_id": "a-1"})
    await site.track("3", user_data={"external_id": "u-3", "anonymous_id": "a-1"})
    await site.track("4", user_data={"external_id": "u-1"})
    emails = [any(label.startswith("email:") for label in site.stored(event_id)["digests"]) for event_id in "1234"]
    assert emails == [False, False, False, True]


async def test_what_is_said_piece_by_piece_adds_up(site: Site) -> None:
    await site.identify({"user_data": {"external_id": "u-1", "email": JANE["email"]}, "consent": GRANTED})
    await site.identify({"user_data": {"external_id": "u-1", "first_name": "Jane"}, "consent": GRANTED})
    assert EMAIL.encode() in site.rows()
    assert b"digests.first_name" in site.rows()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"user_data": {"phone": "+1 212 555 0123"}}, "no_identifier"),
        ({}, "no_identifier"),
        ({"user_data": {"e-mail": "x"}}, "unknown_key"),
        ("text", "wrong_type"),
        ({"user_data": JANE, "event_time": 1_795_000_000_000}, "in_milliseconds"),
    ],
)
async def test_what_cannot_be_read_is_refused_and_costs_its_neighbours_nothing(
    site: Site, said: Any, code: str
) -> None:
    answer = await site.identify(said, {"user_data": JANE, "consent": GRANTED})
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert answer["results"][0]["errors"][0]["code"] == code
    assert EMAIL.encode() in site.rows()


async def test_consent_that_a_server_says_is_the_persons_from_now_on(site: Site) -> None:
    await site.track("1", user_data={"external_id": "u-1"})
    await site.identify({"user_data": {"external_id": "u-1"}, "consent": {"ad_user_data": "denied"}})
    with site.service.outbox.reading() as db:
        assert db.execute("SELECT state, code FROM delivery").fetchall() == [("cancelled", "consent_withdrawn")]
    assert (await site.track("2", user_data={"external_id": "u-1"}))["destinations"] == {"acme": "skipped:consent"}
    await site.identify({"user_data": {"external_id": "u-1"}, "consent": {"ad_user_data": "granted"}})
    assert (await site.track("3", user_data={"external_id": "u-1"}))["destinations"] == {"acme": "queued"}


async def test_a_page_changes_nobodys_consent_for_good(site: Site) -> None:
    hints = BrowserHints(ip="203.0.113.7")
    await site.identify({"user_data": JANE, "consent": {"ad_user_data": "denied"}}, hints=hints)
    assert (await site.track("1", user_data={"external_id": "u-1"}))["destinations"] == {"acme": "queued"}


async def test_saying_the_same_again_changes_nothing(site: Site) -> None:
    for _ in range(3):
        await site.identify({"user_data": JANE, "consent": GRANTED})
    with site.service.outbox.reading() as db:
        assert db.execute("SELECT number FROM person_change").fetchone()[0] == 0


async def test_the_erased_do_not_come_back_with_what_was_said_before(site: Site, outbox: Outbox) -> None:
    whos = person(outbox.key, JANE).pseudonyms
    now = site.service.effective.door.now()
    await outbox.write(lambda db: people.suppress(db, whos, now))
    await site.identify({"user_data": JANE, "consent": GRANTED, "event_time": now - 60})
    assert site.rows() == b""
    await site.identify({"user_data": JANE, "consent": GRANTED})
    assert EMAIL.encode() in site.rows()


async def test_what_no_destination_may_have_is_not_remembered(site: Site, service: Service) -> None:
    settings = service.effective.settings
    acme = replace(settings.destinations["acme"], deny_fields=frozenset({"user_data.email"}))
    service.effective = type(service.effective).of(replace(settings, destinations={"acme": acme}), service.outbox)
    await site.identify({"user_data": JANE, "consent": GRANTED})
    assert b"digests.email" not in site.rows()
    assert b"digests.phone" in site.rows()


async def test_an_old_consent_does_not_lift_a_newer_denial(site: Site) -> None:
    await site.identify({"user_data": {"external_id": "u-1"}, "consent": {"ad_user_data": "denied"}})
    day_ago = site.service.effective.door.now() - 86_400
    await site.identify({"user_data": {"external_id": "u-1"}, "consent": GRANTED, "event_time": day_ago})
    assert (await site.track("1", user_data={"external_id": "u-1"}))["destinations"] == {"acme": "skipped:consent"}


async def test_a_denial_that_is_known_of_one_id_is_written_for_the_others(site: Site) -> None:
    await site.identify({"user_data": {"external_id": "u-1"}, "consent": {"ad_user_data": "denied"}})
    both = {"external_id": "u-1", "email": JANE["email"]}
    await site.identify({"user_data": both, "consent": {"ad_user_data": "denied"}})
    assert (await site.track("1", user_data={"email": JANE["email"]}))["destinations"] == {"acme": "skipped:consent"}


async def test_nothing_is_told_of_whoever_has_taken_consent_back(site: Site) -> None:
    await site.identify({"user_data": JANE, "consent": {"ad_storage": "denied"}})
    page = {"user_data": {**JANE, "gclid": "made-up-click"}, "consent": {**GRANTED, "ad_storage": "granted"}}
    await site.identify(page, hints=BrowserHints(ip="203.0.113.7"))
    assert b"made-up-click" not in site.rows()
    assert b"203.0.113" not in site.rows()


async def test_a_browser_that_another_address_uses_says_nothing_of_the_first(site: Site) -> None:
    await site.identify({"user_data": JANE, "consent": GRANTED})
    await site.track("1", user_data={"anonymous_id": "a-1", "email": "other@example.com"})
    assert not any(label.startswith("phone:") for label in site.stored("1")["digests"])
    assert not any(path.startswith("digests.") for path in site.stored("1").get("joined", {}))
