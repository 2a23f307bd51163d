"""The door as a whole: its answers, duplicates, consent that comes later, and any document whatever."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.ingest.decode import Body, read_body
from gateway.ingest.pipeline import Taken, answer
from gateway.ingest.problem import RequestRefused
from gateway.ingest.record import read
from gateway.model.errors import Fault
from gateway.outbox import Outbox
from gateway.privacy.sealing import NO_KEYS
from gateway.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ALL = ("meta", "tiktok", "google", "pinterest", "snapchat")
QUEUED = dict.fromkeys(ALL, "queued")
GRANTED = {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"}
MONEY = {"value": 1, "currency": "EUR"}


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "gateway.db", clock=lambda: 1_795_000_000.0)
    opened.start()
    yield opened
    opened.close()


@pytest.fixture
def post(make: Any, outbox: Outbox) -> Callable[..., dict[str, Any]]:
    at = make(outbox=outbox)

    def post(*events: Any, odd: bool = False) -> dict[str, Any]:
        async def accept() -> dict[str, Any]:
            found: dict[str, Any] = await at.door.accept(Body(list(events), odd), at.source)
            return found

        return anyio.run(accept)

    return post


def purchase(number: int = 1, **keys: Any) -> dict[str, Any]:
    return {"event_name": "Purchase", "event_id": f"o-{number}", "custom_data": MONEY, **keys}


class TestAnswer:
    def test_of_an_event(self, post: Any) -> None:
        assert post(purchase()) == {
            "accepted": 1,
            "duplicates": 0,
            "rejected": 0,
            "results": [{"index": 0, "event_id": "o-1", "status": "accepted", "destinations": QUEUED}],
        }

    def test_of_one_with_a_warning(self, post: Any) -> None:
        result = post({"event_name": "purchase", "event_id": 7})["results"][0]
        words = "taken as a custom event; the standard name is Purchase"
        assert result["warnings"] == [{"path": "/event_name", "code": "near_standard_name", "message": words}]
        assert list(result) == ["index", "event_id", "status", "warnings", "destinations"]

    def test_of_a_mixed_body(self, post: Any) -> None:
        unreadable = Fault("", "malformed_json", "the line is not JSON")
        found = post(
            purchase(1), {"event_name": "Lead", "event_time": 1e12}, purchase(1), unreadable, purchase(2), None
        )
        assert {key: found[key] for key in ("accepted", "duplicates", "rejected")} == {
            "accepted": 2, "duplicates": 1, "rejected": 3
        }  # fmt: skip
        assert [one["status"] for one in found["results"]] == [
            "accepted", "rejected", "duplicate", "rejected", "accepted", "rejected"
        ]  # fmt: skip
        assert [one["index"] for one in found["results"]] == list(range(6))
        assert found["results"][2] == {"index": 2, "event_id": "o-1", "status": "duplicate"}
        assert found["results"][1] == {
            "index": 1,
            "status": "rejected",
            "errors": [
                {
                    "path": "/event_time",
                    "code": "in_milliseconds",
                    "message": "expected Unix seconds; a number this large can only be milliseconds",
                }
            ],
        }
        assert found["results"][3]["errors"] == [
            {"path": "", "code": "malformed_json", "message": "the line is not JSON"}
        ]

    def test_when_nothing_was_taken(self, post: Any, outbox: Outbox) -> None:
        assert post(None, {})["rejected"] == 2
        with outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM event").fetchone() == (0,)

    def test_leaves_after_the_commit(self, post: Any, outbox: Outbox) -> None:
        post(*[purchase(number) for number in range(60)])
        with outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM event").fetchone() == (60,)


class TestDuplicates:
    def test_of_an_earlier_body(self, post: Any, outbox: Outbox) -> None:
        post(purchase(1), purchase(2))
        found = post(purchase(2, custom_data={"value": 99, "currency": "EUR"}), purchase(3))
        assert [one["status"] for one in found["results"]] == ["duplicate", "accepted"]
        with outbox.reading() as db:
            assert db.execute("SELECT event_id FROM event ORDER BY seq").fetchall() == [("o-1",), ("o-2",), ("o-3",)]

    def test_are_of_the_same_name(self, post: Any) -> None:
        found = post(purchase(1), purchase(1, event_name="Lead"), purchase(1, event_name="Purchase"))
        assert [one["status"] for one in found["results"]] == ["accepted", "accepted", "duplicate"]

    def test_have_ids_of_the_same_text(self, post: Any) -> None:
        found = post(purchase(event_id=5), purchase(event_id="5"), purchase(event_id=5.0), purchase(event_id="05"))
        assert [one["status"] for one in found["results"]] == ["accepted", "duplicate", "duplicate", "accepted"]

    def test_are_found_by_the_order(self, post: Any) -> None:
        order = {"event_name": "Purchase", "custom_data": {**MONEY, "order_id": "o-9"}}
        found = post(order, order, purchase(event_id="o-9"))
        assert [one["status"] for one in found["results"]] == ["accepted", "duplicate", "duplicate"]

    def test_a_refused_event_is_no_first_copy(self, post: Any) -> None:
        found = post(purchase(1, event_time=1e12), purchase(1))
        assert [one["status"] for one in found["results"]] == ["rejected", "accepted"]


class TestConsentThatComesLater:
    PERSON: ClassVar = {"email": "jane.doe@example.com", "client_ip_address": "203.0.113.9"}

    def test_queues_what_was_held(self, post: Any, outbox: Outbox) -> None:
        german = {"region": "DE"}
        first = post(purchase(user_data=self.PERSON, consent=german))["results"][0]
        assert set(first["destinations"].values()) == {"skipped:consent"}
        with outbox.reading() as db:
            assert json.loads(db.execute("SELECT payload FROM event").fetchone()[0])["digests"] == {}
        copy = post(purchase(user_data=self.PERSON, consent=german | GRANTED))["results"][0]
        assert copy == {"index": 0, "event_id": "o-1", "status": "duplicate"}
        with outbox.reading() as db:
            payload, clear = db.execute("SELECT e.payload, c.data FROM event e JOIN clear c USING (seq)").fetchone()
        assert any(label.startswith("email:") for label in read(payload, clear, NO_KEYS).digests)

    @pytest.mark.parametrize("consent", [{"region": "DE"}, {"region": "DE", **GRANTED, "ad_user_data": "denied"}])
    def test_stays_held_if_the_copy_brings_none(self, post: Any, outbox: Outbox, consent: Any) -> None:
        post(purchase(user_data=self.PERSON, consent={"region": "DE"}))
        post(purchase(user_data=self.PERSON, consent=consent))
        with outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM delivery").fetchone() == (0,)
            assert json.loads(db.execute("SELECT payload FROM event").fetchone()[0])["digests"] == {}

    def test_a_denial_takes_nothing_back(self, post: Any, outbox: Outbox) -> None:
        post(purchase(user_data=self.PERSON))
        post(purchase(consent={"ad_user_data": "denied"}))
        with outbox.reading() as db:
            decided = json.loads(
                db.execute("SELECT data FROM decision d JOIN event e ON e.decision = d.id").fetchone()[0]
            )
        assert {one[0] for one in decided["to"].values()} == {"send"}


class _Stored:
    duplicate = erased = False


SCHEMA = load_schema("event.v1.schema.json")
EMAILS = ("jane.doe@example.com", "Jane.Doe%40Example.com", "jane＠example.com")
SECRETS = (*EMAILS, "+1 212 555 0142", "jane doe 12 sample street", "4111 1111 1111 1111")

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=12)
    | st.sampled_from(SECRETS) | st.sampled_from(["granted", "denied", "EUR", "12.50", "DE", "2026-11-18T08:20:00Z"])
)  # fmt: skip
KEYS = st.sampled_from(
    sorted(
        {
            *SCHEMA["properties"],
            *(key for part in SCHEMA["$defs"].values() for key in part.get("properties", ())),
            *ALL, "*", "", "0", "~/", "jane.doe@example.com", "12125550142",
        }
    )
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=5), inner, max_size=5),
)


def test_of_many_refused_events_the_first_are_explained_in_full(post: Any) -> None:
    wrong = dict.fromkeys(("user_data", "custom_data", "consent", "app", "test"), 7)
    results = post(*[wrong] * 40)["results"]
    assert [len(one["errors"]) for one in results] == [6] * 20 + [1] * 20


def test_an_event_of_very_many_values_is_refused_alone(post: Any) -> None:
    crowded = {"event_name": "Lead", "custom_data": {"list": list(range(400_000 // 8))}}
    results = post(crowded, purchase(), odd=True)["results"]
    assert [one["status"] for one in results] == ["rejected", "accepted"]
    assert results[0]["errors"][0]["code"] == "too_many"


def shaped(draw_values: Any) -> Any:
    """Documents that get past the first rows of the schema now and then."""
    properties = SCHEMA["properties"]
    texts = st.sampled_from(["Purchase", "Lead", "purchase", "x"])
    optional = {key: draw_values for key in properties if key != "event_name"}
    return st.fixed_dictionaries({"event_name": texts}, optional=optional)


USER_DATA = st.fixed_dictionaries(
    {},
    optional={
        key: st.sampled_from([*SECRETS, "DE", "f" * 64, "f" * 63, "", " ", "19901231", "0171 5550142", "\u200b"])
        | st.lists(st.sampled_from([*SECRETS, "x"]) | st.text(max_size=30), max_size=3)
        | st.text(alphabet=string.printable, max_size=40)
        for key in SCHEMA["$defs"]["user_data"]["properties"]
    },
)


class TestAnyDocument:
    """Whatever is posted: no exception, a verdict, and nothing of a person in it."""

    @settings(
        max_examples=400,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(document=VALUES | shaped(VALUES))
    def test_gets_a_verdict(self, at: Any, document: Any) -> None:
        taken = at.take(document)
        assert isinstance(taken, Taken)
        assert (taken.record is None) == bool(taken.errors)
        found = json.dumps(answer([taken], iter([_Stored()])))
        assert not any(secret.lower() in found.lower() for secret in SECRETS)

    @settings(
        max_examples=300,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(user_data=USER_DATA)
    def test_with_any_identity_gets_a_verdict_without_it(self, at: Any, user_data: Any) -> None:
        taken = at.take({"event_name": "Lead", "event_id": "1", "user_data": user_data})
        told = json.dumps(answer([taken], iter([_Stored()])))
        kept = "" if taken.record is None else (taken.record.payload + (taken.record.clear or b"")).decode()
        assert not any(email.lower() in (told + kept).lower() for email in EMAILS)
        assert "212 555 0142" not in told

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(document=st.lists(VALUES, max_size=3) | shaped(VALUES))
    def test_means_the_same_as_bytes(self, at: Any, document: Any) -> None:
        data = json.dumps(document).encode()
        try:
            body = read_body(data, "application/json", "", max_bytes=10**6, max_events=10)
        except RequestRefused:
            return
        for event in body.events:
            at.door.take(event, at.source, 1_795_000_000.0, odd=body.odd)


class TestMisplaced:
    """Personal data where it does not belong: removed, or the event is refused, as the operator has it."""

    PLACES: ClassVar[dict[str, dict[str, Any]]] = {
        "/event_source_url": {"event_source_url": "https://shop.example/?email=jane@example.com"},
        "/referrer_url": {"referrer_url": "https://shop.example/?u=amFuZS5kb2VAZXhhbXBsZS5jb20="},
        "/custom_data/note": {"custom_data": {"note": "call +1 212 555 0142"}},
        "/custom_data/contents/1/title": {"custom_data": {"contents": [{"id": "1"}, {"title": "for j@example.com"}]}},
        "/context/traits": {"context": {"traits": {"email": "jane@example.com"}}},
        "/app/name": {"app": {"name": "jane@example.com"}},
        "/messaging/page_id": {"messaging": {"page_id": "jane@example.com"}},
        "/user_data/anonymous_id": {"user_data": {"anonymous_id": "jane@example.com"}},
        "/user_data/city": {"user_data": {"city": "jane@example.com"}},
    }

    @pytest.mark.parametrize("path", PLACES)
    def test_is_removed_with_a_warning(self, make: Any, path: str) -> None:
        found = make().warnings({"event_name": "Lead", "event_id": "1", **self.PLACES[path]})
        assert [code for where, code in found if where.startswith(path)] == ["personal_data_removed"]

    @pytest.mark.parametrize("path", PLACES)
    def test_is_refused_if_the_operator_wants_so(self, make: Any, path: str) -> None:
        door = make(more='[privacy]\nmisplaced = "refuse"')
        taken = door.take({"event_name": "Lead", "event_id": "1", **self.PLACES[path]})
        assert taken.record is None
        assert [one.code for one in taken.errors] == ["personal_data"]
        assert taken.errors[0].path.startswith(path)
        assert "jane" not in str(taken.errors)
        assert door.take({"event_name": "Lead", "event_id": "1", "custom_data": {"note": "blue"}}).errors == ()

    def test_where_it_belongs_it_is_welcome(self, make: Any) -> None:
        door = make(more='[privacy]\nmisplaced = "refuse"')
        assert door.take({"event_name": "Lead", "event_id": "1", "user_data": {"email": "jane@example.com"}}).record
