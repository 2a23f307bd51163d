"""`gateway erase`: a person goes, and the receipt says where they have been."""

from __future__ import annotations

import json

import pytest


def ids(stage):
    from gateway.outbox.queries import newest, reading

    with reading(stage.settings.outbox.path) as db:
        return sorted(row.event_id for row in newest(db, before=None, limit=100))


def test_the_person_goes_and_the_platforms_are_named(stage, answer, refused):
    stage.run(
        stage.event("a"), stage.event("b"), stage.event("c", user_data={"email": "joan@example.com"}), right=refused
    )
    found = answer("erase", "--email", "JANE.DOE@example.com")
    assert (found["events"], found["linked_events"], found["overwritten"]) == (2, 0, True)
    [left] = found["destinations"]
    assert (left["destination"], left["plugin"], left["delivered"], left["unsure"]) == ("left", "acme", 2, 0)
    assert left["first_at"] <= left["last_at"] <= found["erased_at"]
    assert ids(stage) == ["c"]
    assert answer("dead", "list")["groups"][0]["count"] == 1


def test_it_is_told_in_words(stage, gateway):
    stage.run(stage.event("a", user_data={"email": "jane@example.com", "external_id": "7"}))
    stage.run(stage.event("b", user_data={"external_id": "7"}))
    code, out, _ = gateway("erase", "--email", "jane@example.com")
    assert code == 0
    for words in ("1 event", "left: 1 delivered", "only the platform can delete", "--linked"):
        assert words in out
    assert "jane" not in out


def test_that_nobody_was_found_is_told(stage, gateway):
    stage.run(stage.event("a"))
    code, out, _ = gateway("erase", "--email", "nobody@example.com")
    assert code == 0
    assert "0 events" in out
    assert "Nobody was found by this" in " ".join(out.split())


def test_every_identifier_given_counts(stage, answer):
    people = [{"email": "a@example.com"}, {"phone": "+12015550123"}, {"external_id": "7"}, {"anonymous_id": "v"}]
    stage.run(*(stage.event(f"e{at}", user_data=one) for at, one in enumerate([*people, {"external_id": "8"}])))
    given = ["--email", "x@example.com", "--email", "a@example.com", "--phone", "201 555 0123", "--country", "US"]
    found = answer("erase", *given, "--external-id", "7", "--anonymous-id", "v")
    assert found["events"] == 4
    assert ids(stage) == ["e4"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "say whom"),
        (["--email", "jane"], "email: expected an e-mail address"),
        (["--email", "a@example.com", "--phone", "201 555 0123"], "phone: a national number needs"),
    ],
)
def test_what_cannot_be_read_erases_nothing(stage, gateway, given, words):
    stage.run(stage.event("a", user_data={"email": "a@example.com"}))
    code, _, err = gateway("erase", *given)
    assert code == 2
    assert words in err.replace("\n", " ")
    assert ids(stage) == ["a"]


def test_replay_brings_nobody_back(stage, answer):
    stage.run(stage.event("a"))
    answer("erase", "--email", "jane.doe@example.com")
    assert answer("replay", "--since", "1d", "--again", "--yes")["done"] == 0
    stage.run(stage.event("a", event_time=1_700_000_000))
    assert ids(stage) == []


def test_explain_tells_what_was_taken_back(stage, answer):
    from gateway.model.event import Consent
    from gateway.outbox import Outbox, people
    from gateway.privacy.identity import person
    from gateway.privacy.withdrawal import said

    stage.run(stage.event("a"))
    outbox = Outbox(stage.settings.outbox.path)
    outbox.start()
    whos = person(outbox.key, {"email": "jane.doe@example.com"}).pseudonyms
    heard = said(Consent(ad_user_data="denied"), {}, 0.0)
    outbox.write_blocking(lambda db: people.remember(db, whos, heard, 1.0))
    outbox.close()
    left = answer("explain", "a")["events"][0]["destinations"]["left"]
    assert (left["state"], left["consent"]["now"]) == ("delivered", "skip")
    assert left["consent"]["steps"][-1]["question"] == "taken back since"
    plan = answer("replay", "--since", "1d", "--again", "--yes")
    assert {one["code"] for one in plan["left"]} == {"consent_withdrawn"}
    assert json.dumps(plan).count("jane") == 0


def test_where_there_is_no_outbox_none_is_made(stage, gateway):
    code, out, err = gateway("erase", "--email", "jane.doe@example.com")
    assert (code, out) == (1, "")
    assert "there is no outbox yet" in err
    assert not (stage.folder / "gateway.db").exists()
