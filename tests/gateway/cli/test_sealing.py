"""A gateway whose payloads are encrypted: everything works, nothing can be read, keys can be changed."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

ONE, TWO = "00112233" * 8, "44556677" * 8
DIGEST = sha256(b"jane.doe@example.com").hexdigest().encode()


def keyed(stage, *keys):
    stage.configure("left", "right", more=f"[privacy]\nencryption_key = {json.dumps(keys)}\n" if keys else "")


def content(stage):
    return b"".join(one.read_bytes() for one in stage.folder.iterdir() if one.name.startswith("gateway.db"))


def event(stage, event_id):
    user_data = {"email": "jane.doe@example.com", "client_ip_address": "203.0.113.77"}
    return stage.event(event_id, user_data=user_data, custom_data={"value": 5, "currency": "EUR", "order_id": "o-77"})


def test_nothing_of_an_event_can_be_read_and_all_of_it_is_sent(stage, answer, refused):
    keyed(stage, ONE)
    stage.run(event(stage, "a"), right=refused)
    assert stage.sent == {"left": ["a"]}
    for planted in (DIGEST, b"203.0.113.77", b"o-77", b"EUR"):
        assert planted not in content(stage)
    found = answer("explain", "a")["events"][0]
    assert (found["payload_kept"], found["destinations"]["left"]["state"]) == (True, "delivered")
    [group] = answer("dead", "list")["groups"]
    assert (group["money"], group["without_value"]) == ([{"currency": "EUR", "value": 5.0}], 0)
    assert answer("ledger", "verify")
    assert answer("prove", "a")


def test_it_is_switched_on_beside_what_is_there_and_keys_change(stage, answer):
    stage.run(event(stage, "plain"))
    assert DIGEST in content(stage)
    keyed(stage, ONE)
    stage.run(event(stage, "one"))
    keyed(stage, TWO, ONE)
    stage.run(event(stage, "two"))
    assert answer("replay", "--since", "1d", "--again", "--yes")["done"] == 6
    stage.sent.clear()
    stage.run()
    assert sorted(stage.sent["left"]) == ["one", "plain", "two"]


def test_without_its_key_an_event_is_not_sent_and_says_why(stage, answer, gateway):
    keyed(stage, ONE)
    stage.run(event(stage, "one"))
    keyed(stage, TWO)
    stage.sent.clear()
    plan = answer("replay", "--since", "1d", "--again", "--yes")
    assert (plan["done"], {one["code"] for one in plan["left"]}) == (0, {"unreadable"})
    assert "is not among [privacy] encryption_key" in plan["left"][0]["message"]
    [found] = answer("explain", "one")["events"]
    assert (found["payload_kept"], "is not among" in found["unreadable"]) == (False, True)
    code, out, _ = gateway("explain", "one")
    assert (code, "cannot be read: sealed under the key" in " ".join(out.split())) == (0, True)
    [check] = [one for one in answer("check", code=1)["checks"] if one["name"] == "encryption"]
    assert (check["status"], "is not among" in check["message"]) == ("problem", True)
    keyed(stage, TWO, ONE)
    [check] = [one for one in answer("check")["checks"] if one["name"] == "encryption"]
    assert check["status"] == "ok"
    keyed(stage, TWO)
    stage.run()
    assert stage.sent == {}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET payload = CAST(substr(payload, 1, 50) || x'00' || substr(payload, 52) AS BLOB) WHERE seq = 1",
        "UPDATE event SET payload = (SELECT payload FROM event WHERE seq = 2) WHERE seq = 1",
        "UPDATE clear SET data = (SELECT data FROM clear WHERE seq = 2) WHERE seq = 1",
    ],
    ids=["changed", "another event's payload", "another event's address"],
)
def test_what_was_changed_or_exchanged_is_not_sent(stage, answer, change):
    keyed(stage, ONE)
    stage.run(event(stage, "a"), event(stage, "b"))
    for statement in ("UPDATE lane SET cursor = 0", "DELETE FROM attempt", change):
        stage.change(statement)
    stage.sent.clear()
    stage.run()
    assert stage.sent == {"left": ["b"], "right": ["b"]}
    assert {one["code"] for one in answer("dead", "list")["groups"]} == {"unreadable"}
