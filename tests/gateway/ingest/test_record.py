"""What the outbox is given to keep, and what of a person is in it when nobody may have the event."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.ingest.record import read
from gateway.privacy.sealing import NO_KEYS

PERSON = {
    "email": "jane.doe@example.com", "phone": "+1 212 555 0142", "external_id": "customer-77", "first_name": "Jane",
    "last_name": "Doe", "street": "12 Sample Street", "city": "Springfield", "state": "NY", "zip": "10001",
    "country": "US", "date_of_birth": "1990-12-31", "gender": "f", "client_ip_address": "203.0.113.9",
    "client_user_agent": "Firefox", "anonymous_id": "anon-5f0c", "madid": "38400000-8cf0-11bd-b23e-10b96e40000d",
    "fbp": "fb.1.1794990000000.55", "gclid": "G-click", "subscription_id": "sub-1", "fb_login_id": "991",
}  # fmt: skip
DEVICE = {
    "id": "com.example.shop", "os": "android", "install_id": "install-1", "device_model": "Phone 7", "carrier": "Tel",
    "install_referrer": "utm_source=x", "advertiser_tracking_enabled": True,
}  # fmt: skip
TALK = {"channel": "whatsapp", "page_scoped_user_id": "psid-1", "ctwa_clid": "ctwa-1", "page_id": "page-1"}
EVENT = {
    "event_name": "Purchase",
    "event_id": "o-1",
    "event_time": 1_794_999_000,
    "event_source_url": "https://shop.example/thanks?gclid=G-click&step=2",
    "user_data": PERSON,
    "custom_data": {"value": 1, "currency": "USD", "order_id": "o-1", "user_properties": {"tier": "gold"}},
    "app": DEVICE,
    "messaging": TALK,
    "context": {"session_id": "session-1"},
    "original_event": {"order_id": "o-0", "event_time": "2026-11-01T00:00:00Z"},
}

#: Values of `EVENT` that say who somebody is, or which device or visit it was.
IDENTITY = [
    *(str(value) for key, value in PERSON.items() if key not in ("country", "gender", "state")),
    "install-1", "Phone 7", "psid-1", "ctwa-1", "session-1", "gold",
]  # fmt: skip
IN_THE_CLEAR = [
    "jane", "Jane", "Doe", "2125550142", "212 555 0142", "customer-77", "Sample Street", "1990-12-31", "19901231"
]  # fmt: skip


def test_reads_back_as_it_was_stored(at: Any) -> None:
    record = at.take(EVENT).record
    event = read(record.payload, record.clear, NO_KEYS)
    assert (event.event_name, event.event_id, event.event_time) == ("Purchase", "o-1", 1_794_999_000)
    assert event.event_source_url == EVENT["event_source_url"]
    assert event.user_data["client_ip_address"] == "203.0.113.9"
    assert event.user_data["client_user_agent"] == "Firefox"
    assert event.user_data["gclid"] == "G-click"
    assert event.clear == {
        "country:country_upper": "US", "zip:zip_google": "10001", "city:city_compact": "springfield",
        "state:state_code": "ny", "country:country_lower": "us",
    }  # fmt: skip
    assert event.custom_data == EVENT["custom_data"]
    assert (event.app, event.messaging, event.original_event) == (DEVICE, TALK, EVENT["original_event"])
    assert (event.region, event.received_at, event.test) == ("US", 1_795_000_000.0, False)
    assert len(event.digests) > 10
    assert all(len(digest) == 64 for found in event.digests.values() for digest in found)


def test_match_keys_are_nowhere_in_it(at: Any) -> None:
    record = at.take(EVENT).record
    text = (record.payload + (record.clear or b"") + record.decision.encode()).decode()
    assert [value for value in IN_THE_CLEAR if value in text] == []


def test_what_is_short_lived_is_kept_apart(at: Any) -> None:
    record = at.take(EVENT).record
    for value in (b"203.0.113.9", b"Firefox", b"springfield", b"10001"):
        assert value in record.clear
        assert value not in record.payload


@pytest.mark.parametrize(
    ("region", "consent"),
    [
        ("DE", {}),
        ("DE", {"ad_user_data": "denied", "ad_storage": "granted"}),
        ("US", {"gpc": True}),
        ("US", {"gpc": True, "ad_storage": "granted"}),
        ("US", {"gpp": "DBABLA~CVQVAAAAAACA.YA"}),
        (None, {}),
    ],
)
class TestForbidden:
    """Consent keeps the event from everybody: nothing of who it was is stored."""

    def stored(self, make: Any, region: str | None, consent: Any, **keys: Any) -> str:
        door = make(source="" if region is None else f'region = "{region}"')
        taken = door.take({**EVENT, "consent": consent, **keys})
        assert taken.draft.routing.anonymous
        assert taken.record.clear is None
        return taken.record.payload.decode()

    def test_nothing_of_a_person_is_stored(self, make: Any, region: str | None, consent: Any) -> None:
        text = self.stored(make, region, consent)
        assert [value for value in IDENTITY if value in text] == []
        stored = json.loads(text)
        assert (stored["digests"], stored["user_data"]) == ({}, {})
        assert stored["custom_data"] == {"value": 1, "currency": "USD", "order_id": "o-1"}
        assert stored["consent"] == consent

    def test_whatever_else_keeps_it_from_a_destination(self, make: Any, region: str | None, consent: Any) -> None:
        for keys in ({"destinations": {"*": False}}, {"destinations": {"meta": False}}, {"event_name": "Refund"}):
            text = self.stored(make, region, consent, **keys)
            assert [value for value in IDENTITY if value in text] == []


def test_one_destination_that_may_have_it_keeps_the_identity(at: Any) -> None:
    consent = {"region": "DE", "ad_user_data": "granted"}  # enough for Google
    stored = at.stored({**EVENT, "consent": consent})
    assert stored["digests"]
    assert stored["clear"]["client_ip_address"] == "203.0.113.9"


def test_an_event_that_is_only_too_old_keeps_its_identity(at: Any) -> None:
    assert at.stored({**EVENT, "event_time": 1_700_000_000})["digests"]


@pytest.mark.parametrize(("group", "same"), [("shops", True), (None, False)])
def test_a_dedup_group_makes_sources_one(at: Any, group: str | None, same: bool) -> None:
    keys = set()
    for name in ("shop", "app"):
        source = replace(at.source, name=name, dedup_group=group)
        keys.add(at.door.take(EVENT, source, 1_795_000_000.0).record.dedup_key)
    assert (len(keys) == 1) is same


def test_the_events_own_routing_is_kept_without_what_cannot_be_a_name(at: Any) -> None:
    wanted = {
        "*": False,
        "meta": True,
        "Meta-EU_2": True,
        "jane.doe@example.com": True,
        "12125550142": True,
        "Jane Doe": True,
    }
    stored = at.stored({**EVENT, "destinations": wanted})
    assert stored["destinations"] == {"*": False, "meta": True, "Meta-EU_2": True}


def test_name_and_id_make_the_dedup_key(at: Any) -> None:
    keys = [
        at.take({**EVENT, **change}).record.dedup_key
        for change in (
            {},
            {"event_id": "o-2"},
            {"event_name": "Lead"},
            {"event_time": 1_794_998_000},
            {"event_id": "o-1"},
        )
    ]
    assert keys[0] == keys[3] == keys[4]
    assert len(set(keys)) == 3


class TestWhatNoDestinationIsSent:
    """`fields` of a destination keep something from it; what they keep from all of them is not stored."""

    DENIED = (
        "user_data.email", "user_data.gclid", "user_data.client_ip_address", "user_data.city",
        "custom_data.contents.title", "event_source_url", "app.device_model", "messaging",
    )  # fmt: skip

    def stored(self, make: Any, **tables: Any) -> dict[str, Any]:
        lines = {name: f"fields = {json.dumps(fields)}" for name, fields in tables.items()}
        contents = [{"id": "a", "title": "Some Title"}, {"id": "b"}]
        event = {**EVENT, "custom_data": {**EVENT["custom_data"], "contents": contents}}
        found: dict[str, Any] = make(only=tuple(tables), tables=lines).stored(event)
        return found

    def test_is_not_stored(self, make: Any) -> None:
        found = self.stored(make, meta=self.DENIED, google=(*self.DENIED, "user_data.phone"))
        assert found["custom_data"]["contents"] == [{"id": "a"}, {"id": "b"}]
        assert found["messaging"] == {}
        assert not any(label.startswith("email:") for label in found["digests"])
        assert any(label.startswith("phone:") for label in found["digests"])
        assert "client_user_agent" in found["clear"]
        for gone in ("G-click", "203.0.113.9", "springfield", "Springfield", "Some Title", "shop.example", "Phone 7"):
            assert gone not in json.dumps(found)

    def test_is_stored_for_who_is_sent_it(self, make: Any) -> None:
        found = self.stored(make, meta=self.DENIED, google=())
        assert found["custom_data"]["contents"][0]["title"] == "Some Title"
        assert any(label.startswith("email:") for label in found["digests"])
        assert found["event_source_url"].startswith("https://shop.example/thanks")
        assert (found["user_data"]["gclid"], found["clear"]["client_ip_address"]) == ("G-click", "203.0.113.9")
        assert found["messaging"] == TALK
