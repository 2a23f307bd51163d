"""`gateway dead`: what died, put back or discarded, beside a running gateway or not."""

from __future__ import annotations

import json

import httpx
import pytest


@pytest.fixture
def dead(stage, refused):
    """Two dead letters of `left`, one of `right`."""
    stage.run(stage.event("a"), left=refused, right=refused)
    stage.run(stage.event("b"), left=refused)
    stage.sent.clear()
    return stage


def test_they_are_listed_by_cause(dead, answer):
    groups = answer("dead", "list")["groups"]
    assert [(one["instance"], one["code"], one["count"]) for one in groups] == [
        ("left", "invalid_event", 2),
        ("right", "invalid_event", 1),
    ]
    assert groups[0]["first_at"] <= groups[0]["last_at"]


def test_one_is_shown_by_id_or_number(dead, answer, gateway):
    by_id, by_number = answer("dead", "show", "a"), answer("dead", "show", "1")
    assert by_id == by_number
    assert by_id["events"][0]["destinations"].keys() == {"left", "right"}
    assert answer("dead", "show", "b")["events"][0]["destinations"].keys() == {"left"}
    code, _, err = gateway("dead", "show", "c")
    assert code == 1
    assert "no dead letter" in err


def test_put_back_they_are_sent_under_the_same_id(dead, answer):
    found = answer("dead", "retry", "--destination", "left", "--yes")
    assert (found["destinations"], found["done"]) == ({"left": 2}, 2)
    states = {one["event_id"]: one["destinations"] for one in answer("events")["events"]}
    assert states["a"]["left"]["state"] == "queued"
    assert states["a"]["right"]["state"] == "dead"
    dead.run()
    assert sorted(dead.sent["left"]) == ["a", "b"]
    assert "right" not in dead.sent
    assert answer("explain", "a")["events"][0]["destinations"]["left"]["state"] == "delivered"


def test_selectors_must_all_fit(dead, answer):
    assert answer("dead", "retry", "--event-id", "b", "--yes")["done"] == 1
    assert answer("dead", "retry", "--event-id", "a", "--destination", "right", "--code", "other", "--yes")["done"] == 0
    assert answer("dead", "retry", "--all", "--yes")["done"] == 2


def test_what_cannot_go_is_named_and_stays_dead(dead, answer):
    dead.change("UPDATE event SET payload = NULL WHERE event_id = 'a'")
    found = answer("dead", "retry", "--destination", "left", "--yes")
    assert found["done"] == 1
    (left,) = found["left"]
    assert (left["instance"], left["code"], left["count"]) == ("left", "payload_gone", 1)
    assert answer("dead", "list")["groups"][0]["count"] == 1


def test_what_is_too_old_by_now_is_named(dead, answer):
    dead.configure("left", "right", more='max_age = "1ms"')
    found = answer("dead", "retry", "--event-id", "a", "--yes")
    assert found["destinations"] == {"left": 1}
    assert [(one["instance"], one["code"]) for one in found["left"]] == [("right", "too_old")]


def test_a_destination_that_is_gone_is_named(dead, answer):
    dead.configure("left")
    found = answer("dead", "retry", "--all", "--yes")
    assert found["destinations"] == {"left": 2}
    assert [(one["instance"], one["code"]) for one in found["left"]] == [("right", "not_configured")]


def test_discarded_ones_stay_in_the_record(dead, answer):
    assert answer("dead", "discard", "--code", "invalid_event", "--yes")["done"] == 3
    assert answer("dead", "list")["groups"] == []
    left = answer("explain", "a")["events"][0]["destinations"]["left"]
    assert (left["state"], left["code"]) == ("cancelled", "discarded")
    assert "invalid_event" in left["message"]
    dead.run()
    assert dead.sent == {}


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_nothing_is_done_unasked(dead, gateway, answer, command):
    code, _, err = gateway("dead", command, "--all")
    assert code == 2
    assert "--yes" in err
    assert gateway("dead", command, "--yes")[0] == 2
    assert gateway("dead", command, "--all", "--code", "x", "--yes")[0] == 2
    assert sum(one["count"] for one in answer("dead", "list")["groups"]) == 3


def test_an_unseen_answer_is_remembered(stage, answer):
    """A repeat of what may have arrived goes on counting as one."""

    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("no answer", request=request)

    stage.configure("left", more="retry = {give_up = 1, first = 1, max = 1}")
    stage.run(stage.event("a"), left=silent)
    stage.change("UPDATE delivery SET state = 'dead', next_at = NULL")
    assert answer("dead", "retry", "--all", "--yes")["done"] == 1
    stage.change("UPDATE delivery SET code = code || unseen")
    assert answer("explain", "a")["events"][0]["destinations"]["left"]["code"] == "retried1"


def test_people_are_told_what_will_happen(dead, gateway):
    _, out, _ = gateway("dead", "retry", "--destination", "left", "--yes")
    assert "left: 2 deliveries to send again" in out
    assert "Put back: 2." in out
    assert json.loads(gateway("dead", "list", "--json")[1])["groups"][0]["instance"] == "right"


def test_no_code_is_broken_on_a_narrow_terminal(dead, gateway, monkeypatch):
    long = "a_code_that_takes_much_of_the_room_there_is"
    dead.change(
        f"UPDATE delivery SET code = '{long}', message = 'one of the words ' || 'and more words, ' || 'and more'"
    )
    for width in ("80", "50", "200"):
        monkeypatch.setenv("COLUMNS", width)
        _, out, _ = gateway("dead", "list")
        assert out.count(long) == 2
        assert max(map(len, out.splitlines())) <= int(width)


def test_causes_are_told_apart_by_the_field_with_what_is_at_stake_and_what_to_do(stage, answer, refused, gateway):
    stage.configure("left")
    events = [stage.event(one) for one in "abcd"]
    events[1]["custom_data"] = {"value": 7.5, "currency": "USD"}
    events[2]["custom_data"] = {}
    stage.run(*events, left=refused)
    stage.change("UPDATE delivery SET field = 'user_data.em' WHERE seq = 4")
    first, second = answer("dead", "list")["groups"]
    assert (first["count"], first["field"], first["without_value"]) == (3, "", 1)
    assert first["money"] == [{"currency": "EUR", "value": 5.0}, {"currency": "USD", "value": 7.5}]
    assert (second["count"], second["field"]) == (1, "user_data.em")
    assert "mend what your site sends" in first["advice"]
    assert first["docs"].startswith("https://")
    assert first["cause"] != second["cause"]
    _, out, _ = gateway("dead", "list")
    assert f"{second['cause']}  left invalid_event (user_data.em): 1 dead letter" in out
    assert "EUR 5.00, USD 7.50; 1 without a value" in " ".join(out.split())
    assert answer("dead", "retry", "--cause", second["cause"], "--yes")["done"] == 1
    assert answer("dead", "retry", "--cause", first["cause"], "--dry-run")["destinations"] == {"left": 3}
    assert answer("dead", "retry", "--cause", second["cause"], "--yes")["done"] == 0
    code, _, err = gateway("dead", "retry", "--cause", "such", "--yes")
    assert (code, "no cause" in err) == (2, True)


def test_a_dry_run_shows_the_payloads_of_today_and_changes_nothing(stage, answer, refused, gateway):
    stage.configure("left")
    stage.run(stage.event("a"), left=refused)
    before = answer("explain", "a")
    found = answer("dead", "retry", "--all", "--dry-run")
    [shown] = found["preview"]
    assert (found["done"], found["dry_run"], shown["event_id"]) == (0, True, "a")
    assert shown["request"]["json"]["events"][0]["id"] == "a"
    assert "a-secret-token" not in str(found)
    assert "POST" in gateway("dead", "retry", "--all", "--dry-run")[1]
    assert answer("explain", "a") == before


def test_putting_back_twice_is_putting_back_once_and_is_remembered(stage, answer, refused):
    stage.configure("left")
    stage.run(stage.event("a"), left=refused)
    assert answer("dead", "retry", "--all", "--yes")["done"] == 1
    assert answer("dead", "retry", "--all", "--yes")["done"] == 0
    told = answer("explain", "a")["events"][0]["destinations"]["left"]
    assert told["message"].startswith("put back by hand; it died of invalid_event")
    stage.run()
    assert stage.sent == {"left": ["a"]}


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_a_destination_that_never_was_is_wrong_usage(dead, gateway, command):
    code, out, err = gateway("dead", command, "--destination", "lfet", "--yes")
    assert (code, out) == (2, "")
    assert "'lfet'; there are: left, right" in err
