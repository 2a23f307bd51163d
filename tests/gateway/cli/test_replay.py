"""`gateway replay`: what is sent again, and what is left alone."""

from __future__ import annotations

import pytest


def left_alone(found):
    return {(one["instance"], one["code"]): one["count"] for one in found["left"]}


def test_delivered_events_go_only_with_again(stage, answer):
    stage.run(stage.event("a"))
    found = answer("replay", "--since", "1h", "--yes")
    assert (found["done"], left_alone(found)) == (0, {("left", "delivered"): 1, ("right", "delivered"): 1})
    found = answer("replay", "--since", "1h", "--again", "--destination", "left", "--yes")
    assert found["done"] == 1
    stage.run()
    assert stage.sent == {"left": ["a", "a"], "right": ["a"]}


def test_a_destination_that_came_later_is_filled(stage, answer):
    stage.configure("left")
    stage.run(stage.event("a"), stage.event("b"))
    stage.configure("left", "right")
    assert answer("replay", "--since", "1h", "--destination", "right", "--yes")["done"] == 2
    stage.run()
    assert stage.sent == {"left": ["a", "b"], "right": ["a", "b"]}


def test_a_destination_that_came_later_is_not_filled_against_the_events_routing(stage, answer):
    stage.configure("left", "middle")
    stage.run(stage.event("a", destinations={"*": False, "left": True}))
    stage.configure("left", "middle", "right")
    found = answer("replay", "--since", "1h", "--yes")
    assert found["chosen"] == 0
    assert left_alone(found)[("right", "not_routed")] == 1


def test_consent_is_asked_again_and_not_overruled(stage, answer):
    denied = {"ad_storage": "denied", "ad_user_data": "denied", "ad_personalization": "denied", "region": "DE"}
    stage.run(stage.event("a", consent=denied))
    stage.configure("left", "right", "later")
    found = answer("replay", "--since", "1h", "--again", "--yes")
    assert found["done"] == 0
    assert left_alone(found)[("left", "consent")] == 1
    assert left_alone(found)[("later", "consent_denied")] == 1


def test_dead_letters_and_mapping_skips_are_included(stage, answer, refused):
    stage.run(stage.event("a"), stage.event("b", user_data={"fbp": "fb.1.1795183389000.1"}), left=refused)
    found = answer("replay", "--since", "1h", "--destination", "left", "--dry-run")
    assert (found["destinations"], found["done"], found["dry_run"]) == ({"left": 1}, 0, True)
    assert left_alone(found) == {("left", "no_identity"): 1}


def test_a_dry_run_changes_nothing(stage, answer, refused):
    stage.run(stage.event("a"), left=refused)
    before = answer("explain", "a")
    assert answer("replay", "--since", "1h", "--dry-run")["destinations"] == {"left": 1}
    assert answer("explain", "a") == before


def test_what_is_on_its_way_is_not_doubled(stage, answer, refused):
    stage.run(stage.event("a"), left=refused)
    assert answer("replay", "--event-id", "a", "--yes")["done"] == 1
    again = answer("replay", "--event-id", "a", "--again", "--destination", "left", "--yes")
    assert (again["done"], left_alone(again)) == (0, {("left", "queued"): 1})
    stage.run()
    assert stage.sent["left"] == ["a"]


def test_time_and_name_choose(stage, answer, refused):
    stage.run(stage.event("a"), stage.event("b", event_name="Lead"), left=refused)
    assert answer("replay", "--since", "1h", "--event-name", "Lead", "--dry-run")["chosen"] == 1
    assert answer("replay", "--since", "1h", "--until", "30m", "--dry-run")["chosen"] == 0
    assert answer("replay", "--event-id", "a", "--event-name", "Lead", "--dry-run")["chosen"] == 0
    assert answer("replay", "--since", "2000-01-01", "--dry-run")["chosen"] == 2


def test_discarded_ones_go_only_with_again(stage, answer, refused):
    stage.run(stage.event("a"), left=refused)
    answer("dead", "discard", "--all", "--yes")
    assert answer("replay", "--event-id", "a", "--destination", "left", "--dry-run")["chosen"] == 0
    assert answer("replay", "--event-id", "a", "--destination", "left", "--again", "--dry-run")["chosen"] == 1


def test_digests_that_nobody_made_are_reported(stage, answer):
    stage.configure("left", more='digests = {email = "email_gmail"}')
    user = {"email": "jane.doe+shop@gmail.com", "phone": "+12025550143", "client_ip_address": "192.0.2.7"}
    stage.run(stage.event("a", user_data=user))
    stage.configure("left", "right", more="")
    found = answer("replay", "--since", "1h", "--destination", "right", "--dry-run")
    assert found["lacking"] == {"right: email": 1}


def test_addresses_that_are_forgotten_are_reported(stage, answer, gateway):
    client = {"client_ip_address": "192.0.2.7", "client_user_agent": "Mozilla/5.0"}
    stage.run(stage.event("a", user_data={"email": "a@example.com", **client}))
    replayed = ("replay", "--since", "1h", "--destination", "left", "--again")
    assert answer(*replayed, "--dry-run")["lacking"] == {}
    stage.change("DELETE FROM clear")
    assert answer(*replayed, "--dry-run")["lacking"] == {"left: addresses": 1}
    assert "left: addresses: 1 go without IP address and user agent" in gateway(*replayed, "--dry-run")[1]


def test_gone_payloads_are_left_alone(stage, answer, refused):
    stage.run(stage.event("a"), left=refused)
    stage.change("UPDATE event SET payload = NULL")
    found = answer("replay", "--since", "1h", "--destination", "left", "--yes")
    assert (found["done"], left_alone(found)) == (0, {("left", "payload_gone"): 1})


@pytest.mark.parametrize("arguments", [(), ("--until", "1h"), ("--since", "1h", "--destination", "elsewhere")])
def test_wrong_usage(stage, gateway, arguments):
    stage.run(stage.event("a"))
    assert gateway("replay", *arguments, "--yes")[0] == 2


def test_people_are_told_by_reason_that_nothing_goes(stage, gateway):
    stage.run(stage.event("a"), stage.event("b"))
    code, out, _ = gateway("replay", "--since", "1h", "--dry-run")
    first, second = out.splitlines()
    assert (code, first) == (0, "Nothing to send again.")
    assert second.startswith("4 left alone (left 2, right 2), delivered: ")
    assert gateway("replay", "--since", "2999-01-01", "--dry-run")[1] == "Nothing fits.\n"
