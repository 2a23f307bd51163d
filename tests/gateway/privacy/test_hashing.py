"""Identifiers in, digests out, and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model.errors import ConfigError
from gateway.model.event import MATCH_KEYS
from gateway.privacy import hashing
from gateway.privacy.hashing import DigestPlan, Hashed, hash_user_data
from gateway.privacy.normalize import RULES

META = {
    "email": "email_plain",
    "phone": "phone_digits",
    "external_id": "id_trimmed",
    "first_name": "name_spaced",
    "gender": "gender_fm",
    "city": "city_letters",
    "state": "state_code",
    "zip": "zip_us5",
    "country": "country_lower",
}
TIKTOK = {"email": "email_plain", "phone": "phone_e164", "external_id": "id_trimmed", "madid": "madid_lowercase"}
TIKTOK_CLEAR = {"city": "city_compact", "state": "state_code", "country": "country_lower"}
PLAN = DigestPlan.of([(META, {}), (TIKTOK, TIKTOK_CLEAR)])

JANE = "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def hashed(user_data: dict[str, Any], *, plan: DigestPlan = PLAN, default_country: str | None = None) -> Hashed:
    return hash_user_data(user_data, plan, default_country)


def codes(result: Hashed) -> list[tuple[str, str]]:
    return [(fault.path, fault.code) for fault in result.warnings]


def test_each_rule_that_somebody_declares_is_hashed_once() -> None:
    result = hashed({"email": " Jane.Doe@Example.COM", "phone": "+14155552671", "city": "São Paulo"})
    assert result.digests == {
        "email:email_plain": (JANE,),
        "phone:phone_digits": (sha("14155552671"),),
        "phone:phone_e164": (sha("+14155552671"),),
        "city:city_letters": (sha("sãopaulo"),),
    }
    assert result.clear == {"city:city_compact": "sãopaulo"}
    assert result.warnings == ()


def test_the_rest_is_as_it_came_and_holds_no_match_key() -> None:
    given_ = {"client_ip_address": "203.0.113.9", "madid": "EA7583CD-A667-48BC-B806-42ECB2B48606", "fbp": "fb.1.1.2"}
    result = hashed({**dict.fromkeys(MATCH_KEYS, "Jane"), **given_})
    assert result.rest == given_
    assert result.digests["madid:madid_lowercase"] == (sha("ea7583cd-a667-48bc-b806-42ecb2b48606"),)


def test_several_values_keep_their_order_and_lose_their_doubles() -> None:
    result = hashed({"email": ["b@example.com", "A@example.com ", "a@example.com", "", None], "external_id": [7, "7"]})
    assert result.digests["email:email_plain"] == (sha("b@example.com"), sha("a@example.com"))
    assert result.digests["external_id:id_trimmed"] == (sha("7"),)
    assert result.warnings == ()


def test_an_integer_is_hashed_as_its_digits() -> None:
    assert hashed({"external_id": 42}).digests == {"external_id:id_trimmed": (sha("42"),)}


@pytest.mark.parametrize("value", [JANE, JANE.upper(), f"  {JANE} ", [JANE.upper()]])
def test_a_digest_is_taken_for_every_rule_and_not_hashed_again(value: Any) -> None:
    assert hashed({"email": value}).digests == {"email:email_plain": (JANE,)}


def test_a_raw_value_and_its_digest_are_one() -> None:
    assert hashed({"email": ["jane.doe@example.com", JANE.upper()]}).digests["email:email_plain"] == (JANE,)


def test_a_digest_cannot_be_sent_in_the_clear() -> None:
    result = hashed({"city": [sha("berlin"), "Paris"]})
    assert result.digests["city:city_letters"] == (sha("berlin"), sha("paris"))
    assert result.clear == {"city:city_compact": "paris"}
    assert hashed({"city": sha("berlin")}).clear == {}


def test_the_digest_of_nothing_is_nobody() -> None:
    result = hashed({"email": sha("")})
    assert result.digests == {}
    assert codes(result) == [("/user_data/email", "not_normalisable")]


def test_a_hashed_phone_is_a_warning_only_where_two_ways_of_writing_it_are_wanted() -> None:
    digest = sha("+14155552671")
    both = hashed({"phone": [digest]})
    assert both.digests == {"phone:phone_digits+phone_e164": (digest,)}
    assert codes(both) == [("/user_data/phone/0", "prehashed_phone")]
    assert hashed({"phone": digest}, plan=DigestPlan.of([(META, {})])).warnings == ()


@pytest.mark.parametrize("blank", ["", "   ", "\n", None, [], ["", None]])
def test_a_blank_value_is_no_value(blank: Any) -> None:
    assert hashed(dict.fromkeys(MATCH_KEYS, blank)) == Hashed({}, {}, {}, ())


def test_the_country_is_the_events_then_the_sources() -> None:
    national = {"phone": "415 555 2671", "zip": "94105-1234"}
    us = sha("+14155552671")
    for user_data, default in (
        ({**national, "country": "United States"}, None),
        ({**national, "country": ["", "usa"]}, "DE"),
        (national, "US"),
        ({**national, "country": " "}, "us"),
    ):
        result = hashed(user_data, default_country=default)
        assert result.digests["phone:phone_e164"] == (us,)
        assert result.digests["zip:zip_us5"] == (sha("94105"),)


@pytest.mark.parametrize("country", ["Narnia", sha("us"), 42])
def test_a_country_that_cannot_be_read_is_not_replaced_by_a_guess(country: Any) -> None:
    result = hashed({"phone": "415 555 2671", "country": country}, default_country="US")
    assert "phone:phone_e164" not in result.digests
    assert ("/user_data/phone", "phone_without_country") in codes(result)


def test_what_cannot_be_normalised_is_left_out_with_its_place() -> None:
    result = hashed(
        {"email": ["nobody", "jane.doe@example.com"], "phone": "5552671", "gender": "x", "external_id": {"a": 1}}
    )
    assert result.digests == {"email:email_plain": (JANE,)}
    assert codes(result) == [
        ("/user_data/email/0", "not_normalisable"),
        ("/user_data/phone", "phone_without_country"),
        ("/user_data/external_id", "not_normalisable"),
        ("/user_data/gender", "not_normalisable"),
    ]
    assert "one @" in result.warnings[0].message


def test_a_number_with_letters_does_not_lack_a_country() -> None:
    assert codes(hashed({"phone": "call me"})) == [("/user_data/phone", "not_normalisable")]


def test_a_key_that_no_rule_wants_is_dropped_without_a_word() -> None:
    assert hashed({"street": "12 Elm Street", "date_of_birth": "not a date"}) == Hashed({}, {}, {}, ())


def test_one_rule_may_take_what_another_refuses() -> None:
    plan = DigestPlan.of([({"email": "email_plain"}, {}), ({"email": "email_gmail"}, {})])
    result = hashed({"email": "...@gmail.com"}, plan=plan)
    assert result.digests == {"email:email_plain": (sha("...@gmail.com"),)}
    assert "email_gmail" in result.warnings[0].message


def test_all_rules_can_be_asked_for() -> None:
    plan = DigestPlan.all([({"idfv": "id_trimmed"}, {"city": "city_compact"})])
    assert {rule for rules in plan.digests.values() for rule in rules} == set(RULES)
    assert plan.digests["email"] == ("email_plain", "email_gmail")
    assert plan.digests["idfv"] == ("id_trimmed",)
    assert plan.clear == {"city": ("city_compact",)}


def test_a_plan_with_an_unknown_rule_stops_the_start() -> None:
    with pytest.raises(ConfigError, match="did you mean 'email_plain'"):
        DigestPlan.of([({"email": "email_plane"}, {})])


@pytest.mark.parametrize("key", ["email", "phone", "first_name", "external_id"])
def test_only_places_may_stay_in_the_clear(key: str) -> None:
    with pytest.raises(ConfigError, match="cannot be sent unhashed"):
        DigestPlan.of([({}, {key: "id_trimmed"})])


def test_no_cache_remembers_who_somebody_is() -> None:
    hashing._cached.cache_clear()
    who = {"email": "jane@example.com", "phone": "+14155552671", "first_name": "Jane", "external_id": "c1"}
    hashed(who, plan=DigestPlan.all())
    assert hashing._cached.cache_info().currsize == 0
    hashed({"city": "Paris", "zip": "75001"}, plan=DigestPlan.all())
    assert hashing._cached.cache_info().currsize == 2


def test_a_cached_answer_is_not_the_callers_to_change() -> None:
    first = hashed({"city": "Lyon"})
    first.digests.clear()
    first.clear["city:city_compact"] = "changed"
    assert hashed({"city": "Lyon"}).clear == {"city:city_compact": "lyon"}
    assert hashed({"city": "Lyon"}).digests == {"city:city_letters": (sha("lyon"),)}


VALUES = st.one_of(
    st.none(),
    st.integers(),
    st.text(max_size=80),
    st.sampled_from([JANE, JANE.upper(), "jane@example.com", "+14155552671", "415 555 2671", "030 1234567", "US"]),
)


@given(
    user_data=st.dictionaries(st.sampled_from([*MATCH_KEYS, "madid", "fbp"]), VALUES | st.lists(VALUES, max_size=3)),
    default_country=st.sampled_from([None, "US", "DE"]),
)
def test_whatever_comes_only_digests_and_places_leave(user_data: dict[str, Any], default_country: str | None) -> None:
    before = json.dumps(user_data)
    result = hashed(user_data, plan=DigestPlan.all([({}, TIKTOK_CLEAR)]), default_country=default_country)
    assert json.dumps(user_data) == before
    assert not set(result.rest) & set(MATCH_KEYS)
    assert {label.partition(":")[0] for label in result.clear} <= {"city", "state", "country"}
    for digests in result.digests.values():
        assert digests
        assert len(set(digests)) == len(digests)
        assert all(len(digest) == 64 and digest == digest.lower() for digest in digests)


SECRET = "zq7vk"


@pytest.mark.parametrize("key", [*MATCH_KEYS, "madid"])
@pytest.mark.parametrize(
    "value",
    [f"{SECRET} @@ {SECRET}", f"+1 555 {SECRET}", [f"{SECRET}@", {"x": SECRET}], {SECRET: SECRET}, f" {SECRET}\u0007"],
)
def test_no_warning_holds_a_value(key: str, value: Any) -> None:
    result = hashed({key: value}, plan=DigestPlan.all(), default_country="US")
    assert SECRET not in json.dumps([asdict(fault) for fault in result.warnings])
