"""Which destinations may have an event: consent, routing, names, age and test mode in one answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

ALL = ("meta", "tiktok", "google", "pinterest", "snapchat")
GRANTED = {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"}


def purchase(**keys: Any) -> dict[str, Any]:
    money = {"value": 1, "currency": "EUR", "order_id": "o-1"}
    return {"event_name": "Purchase", "event_id": "o-1", "custom_data": money, **keys}


class TestRouting:
    @pytest.mark.parametrize(
        ("wanted", "left_out"),
        [
            ({}, ()),
            ({"meta": False}, ("meta",)),
            ({"meta": True}, ()),
            ({"meta": False, "google": False}, ("meta", "google")),
            ({"*": False}, ALL),
            ({"*": True}, ()),
            ({"*": False, "google": True}, ("meta", "tiktok", "pinterest", "snapchat")),
            ({"google": True, "*": False}, ("meta", "tiktok", "pinterest", "snapchat")),
            ({"*": True, "google": False}, ("google",)),
        ],
    )
    def test_of_one_event(self, at: Any, wanted: Any, left_out: tuple[str, ...]) -> None:
        expected = {name: "skipped:not_routed" if name in left_out else "queued" for name in ALL}
        assert at.statuses(purchase(destinations=wanted)) == expected
        assert at.warnings(purchase(destinations=wanted)) == []

    def test_an_unknown_name_earns_a_warning(self, at: Any) -> None:
        event = purchase(destinations={"mta": False, "google": False})
        assert at.warnings(event) == [("/destinations/mta", "unknown_destination")]
        assert at.statuses(event)["google"] == "skipped:not_routed"

    def test_a_name_that_may_be_personal_is_not_repeated(self, at: Any) -> None:
        taken = at.take(purchase(destinations={"jane.doe@example.com": True, "+1 212 555 0142": True}))
        assert [one.path for one in taken.draft.warnings] == ["/destinations", "/destinations"]

    @pytest.mark.parametrize("value", ["false", 0, None, {"on": True}])
    def test_is_true_or_false(self, at: Any, value: Any) -> None:
        assert at.errors(purchase(destinations={"meta": value})) == [("/destinations/meta", "wrong_type")]

    def test_a_switched_off_destination_is_not_in_the_answer(self, make: Any) -> None:
        door = make(tables={"meta": "enabled = false"})
        assert set(door.statuses(purchase())) == set(ALL) - {"meta"}
        assert door.warnings(purchase(destinations={"meta": True})) == [("/destinations/meta", "unknown_destination")]


class TestTestEvents:
    def test_go_only_where_they_do_not_count(self, at: Any) -> None:
        # TikTok's mock configuration names a test code, Meta's does not
        assert at.statuses(purchase(test=True)) == dict.fromkeys(ALL, "queued") | {"meta": "dry_run"}
        assert at.statuses(purchase(test=False)) == dict.fromkeys(ALL, "queued")

    def test_a_test_code_lets_them_through(self, make: Any) -> None:
        door = make(only=("meta",), tables={"meta": 'test_event_code = "TEST123"'})
        assert door.statuses(purchase(test=True)) == {"meta": "queued"}

    def test_still_ask_for_consent(self, at: Any) -> None:
        statuses = at.statuses(purchase(test=True, consent={"region": "DE"}))
        assert set(statuses.values()) == {"skipped:consent"}


class TestRegion:
    def test_of_the_event_wins_over_the_sources(self, make: Any) -> None:
        assert set(make(source='region = "US"').statuses(purchase()).values()) == {"queued"}
        german = purchase(consent={"region": "de"})
        assert set(make(source='region = "US"').statuses(german).values()) == {"skipped:consent"}
        american = purchase(consent={"region": "us-ny"})
        assert set(make(source='region = "DE"').statuses(american).values()) == {"queued"}

    def test_is_unknown_without_either(self, make: Any) -> None:
        assert set(make(source="").statuses(purchase()).values()) == {"skipped:consent"}
        assert set(make(source="", more='[consent]\nunknown_region = "allow"\n').statuses(purchase()).values()) == {
            "queued"
        }

    def test_of_the_configuration_may_be_in_lower_case(self, make: Any) -> None:
        door = make(source='region = "us-ca"', more='[consent.regions.us-ca]\ndefault = "deny"\n')
        assert set(door.statuses(purchase()).values()) == {"skipped:consent"}
        assert set(door.statuses(purchase(consent={"region": "US-NY"})).values()) == {"queued"}


class TestRequires:
    def test_of_one_instance(self, make: Any) -> None:
        door = make(tables={"meta": 'consent = {requires = ["ad_user_data"]}'})
        event = purchase(consent={"region": "DE", "ad_user_data": "granted"})
        assert door.statuses(event) == dict.fromkeys(ALL, "skipped:consent") | {"meta": "queued", "google": "queued"}

    def test_a_denial_of_user_data_holds_although_it_is_not_required(self, make: Any) -> None:
        door = make(only=("meta",), tables={"meta": 'consent = {requires = ["ad_storage"]}'})
        for region in ("DE", "US"):
            event = purchase(consent={"region": region, "ad_storage": "granted", "ad_user_data": "denied"})
            assert door.statuses(event) == {"meta": "skipped:consent"}


def test_limited_mode_is_queued_and_kept_in_the_decision(make: Any) -> None:
    door = make(more='[consent.regions."US-CA"]\non_opt_out = "limited"\n')
    taken = door.take(purchase(consent={"region": "US-CA", "gpc": True}))
    assert set(taken.draft.routing.statuses.values()) == {"queued"}
    decided = json.loads(taken.record.decision)["to"]
    assert {tuple(one[:2]) for one in decided.values()} == {("send_limited", "gpc")}
    assert set(taken.record.consented) == set(ALL)


def test_the_decision_says_who_ruled_what(at: Any) -> None:
    decided = json.loads(at.take(purchase(consent={"region": "DE"})).record.decision)
    assert decided["policy"] == at.door.gate.fingerprint
    outcome, reason, detail, rule = decided["to"]["google"]
    assert (outcome, reason, detail) == ("skipped", "consent", "consent_missing")
    assert rule == "DE (opt-in): ad_user_data not given"


def test_an_answer_from_the_cache_is_the_answer_itself(at: Any, make: Any) -> None:
    events = [
        purchase(**keys)
        for keys in (
            {}, {"consent": {"region": "DE"}}, {"consent": {"region": "DE", **GRANTED}}, {"consent": {"gpc": True}},
            {"consent": {"gpc": False}}, {"test": True}, {"test": False}, {"destinations": {"meta": False}},
            {"destinations": {"meta": True}}, {"consent": {"tcf": "a"}}, {"consent": {"gpp": "a"}}, {"event_name": "x"},
            {"consent": {"tcf": "b", **GRANTED}}, {"consent": {**GRANTED, "ad_storage": "denied"}},
            {"event_time": 1_795_000_000 - 30 * 86400}, {"consent": {"ad_user_data": "denied"}},
        )
    ]  # fmt: skip
    fresh = [make().statuses(event) for event in events]
    assert [at.statuses(event) for event in events + events] == fresh + fresh


def test_consent_strings_are_not_kept_in_memory(at: Any) -> None:
    for number in range(50):
        at.take(purchase(consent={"tcf": f"string-{number}" * 100}))
    assert len(at.door.gate._consents) == 0
    assert len(at.door.gate._routings) == 1


def test_policies_and_requirements_have_fingerprints(make: Any) -> None:
    prints = [
        make().door.gate.fingerprint,
        make(more='[consent]\nunknown_region = "allow"\n').door.gate.fingerprint,
        make(more='[consent]\ngpp_without_gpc = "read"\n').door.gate.fingerprint,
        make(more='[consent.regions."US-CA"]\non_opt_out = "limited"\n').door.gate.fingerprint,
        make(tables={"meta": 'consent = {requires = ["ad_user_data"]}'}).door.gate.fingerprint,
        make(tables={"meta": 'consent = {on_opt_out = "limited"}'}).door.gate.fingerprint,
    ]
    assert len(set(prints)) == len(prints)
    assert prints[0] == make().door.gate.fingerprint


def test_a_gpp_string_whose_cmp_leaves_a_part_out_is_read_where_that_is_said(make: Any) -> None:
    event = purchase(consent={"gpp": "DBABLA~CVQqAAAAAACA", "region": "US-CA"})
    strict, read = make(), make(more='[consent]\ngpp_without_gpc = "read"\n')
    assert set(strict.statuses(event).values()) == {"skipped:consent"}
    assert "queued" in read.statuses(event).values()
    assert "cannot be used" in strict.take(event).draft.seen.signals
    assert "cannot be used" not in read.take(event).draft.seen.signals
