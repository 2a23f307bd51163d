"""One person, whatever way an identifier is written."""

from hashlib import sha256

import pytest

from gateway.privacy.hashing import DigestPlan, hash_user_data
from gateway.privacy.identity import IDENTIFIERS, _every_rule, person, pseudonyms, unasked
from gateway.privacy.normalize import RULES

KEY, OTHER = bytes(range(32)), bytes(32)
PLANS = [
    DigestPlan.of([({"email": email, "phone": phone, "external_id": ids}, {})])
    for email in ("email_plain", "email_gmail")
    for phone in ("phone_digits", "phone_e164")
    for ids in ("id_trimmed", "id_lowercase")
]


def of_event(plan: DigestPlan, **user_data: object) -> tuple[int, ...]:
    made = [hash_user_data(user_data, one, "US").digests for one in (plan, unasked(plan))]
    return (*pseudonyms(KEY, made[0]), *pseudonyms(KEY, made[1]))


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("name", "posted", "asked"),
    [
        ("email", "Jane.Doe+a@gmail.com ", " JANE.DOE+a@Gmail.com"),
        ("phone", "(201) 555-0123", "+1 201 555 0123"),
        ("phone", "+12015550123", "12015550123"),
        ("external_id", " User-7", "User-7 "),
        ("external_id", 7, "7"),
        ("anonymous_id", "a1B2", "a1B2"),
    ],
)
def test_an_event_is_found_by_an_identifier_in_another_spelling(plan, name, posted, asked):
    made = of_event(plan, **{name: posted})
    assert made
    assert set(made) & set(person(KEY, {name: asked}, "US").pseudonyms)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize(
    ("name", "raw", "hashed"),
    [
        ("email", "jane.doe@gmail.com", "jane.doe@gmail.com"),
        ("email", "jane.doe@gmail.com", "janedoe@gmail.com"),
        ("phone", "+12015550123", "+12015550123"),
        ("phone", "+12015550123", "12015550123"),
        ("external_id", "User-7", "User-7"),
        ("external_id", "User-7", "user-7"),
        ("anonymous_id", "V-1", "V-1"),
    ],
)
def test_an_event_that_came_hashed_is_found_by_the_plain_value(plan, name, raw, hashed):
    made = of_event(plan, **{name: sha256(hashed.encode()).hexdigest()})
    assert set(made) & set(person(KEY, {name: raw}, None).pseudonyms)


@pytest.mark.parametrize("plan", PLANS)
def test_a_hashed_request_finds_an_event_that_came_plain(plan):
    made = of_event(plan, email="jane@example.com", phone="+12015550123")
    assert set(made) & set(person(KEY, {"email": sha256(b"jane@example.com").hexdigest()}).pseudonyms)


def test_somebody_else_is_not_found():
    mine = set(of_event(PLANS[0], email="jane@example.com", phone="+12015550123", external_id="7", anonymous_id="8"))
    others = {"email": "joan@example.com", "phone": "+12015550124", "external_id": "8", "anonymous_id": "7"}
    assert len(mine) == 5  # the telephone by two rules
    assert mine.isdisjoint(person(KEY, others).pseudonyms)
    assert mine.isdisjoint(person(KEY, {"external_id": sha256(b"jane@example.com").hexdigest()}).pseudonyms)


def test_without_the_key_nobody_is_found():
    named = {"email": "jane@example.com"}
    assert set(person(KEY, named).pseudonyms).isdisjoint(person(OTHER, named).pseudonyms)


def test_every_rule_of_an_identifier_is_covered():
    plan = _every_rule().digests
    assert plan.keys() == set(IDENTIFIERS)
    for rule in RULES.values():
        for key in set(rule.keys) & plan.keys():
            assert rule.name in plan[key]


def test_what_cannot_be_read_is_told():
    found = person(KEY, {"email": "nobody", "phone": "555 0123"})
    assert found.pseudonyms == ()
    assert [one.path for one in found.warnings] == ["/user_data/email", "/user_data/phone"]
    assert not any("nobody" in one.message or "0123" in one.message for one in found.warnings)


def test_a_hashed_phone_is_no_news_here():
    assert person(KEY, {"phone": "a" * 64}).warnings == ()


@pytest.mark.parametrize("plan", [*PLANS, DigestPlan.of([])])
@pytest.mark.parametrize(
    ("name", "posted", "asked"),
    [
        ("email", "Jane.Doe@gmail.com", sha256(b"jane.doe@gmail.com").hexdigest()),
        ("email", "Jane.Doe@gmail.com", sha256(b"janedoe@gmail.com").hexdigest()),
        ("email", "Jane.Doe@gmail.com", "janedoe@gmail.com"),
        ("phone", "(201) 555-0123", sha256(b"+12015550123").hexdigest()),
        ("phone", "(201) 555-0123", sha256(b"12015550123").hexdigest()),
        ("external_id", "ABC", "abc"),
        ("external_id", "ABC", sha256(b"ABC").hexdigest()),
    ],
)
def test_whatever_destinations_there_are_an_event_is_found_by_every_rule(plan, name, posted, asked):
    assert set(of_event(plan, **{name: posted})) & set(person(KEY, {name: asked}, "US").pseudonyms)
