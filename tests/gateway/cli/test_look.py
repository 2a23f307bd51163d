"""`gateway preview`, `explain`, `events`."""

from __future__ import annotations

import io
import json
import sys

import httpx
import pytest


def test_preview_shows_the_request_without_secret_and_stores_nothing(stage, gateway):
    (stage.folder / "one.json").write_text(json.dumps(stage.event("order-1")))
    code, out, _ = gateway("preview", "one.json", "--json")
    assert code == 0
    (result,) = json.loads(out)["results"]
    request = result["preview"]["left"]["request"]
    assert request["headers"]["Authorization"] == "Bearer ***"
    assert request["json"]["events"][0]["id"] == "order-1"
    assert len(request["json"]["events"][0]["user"]["email"][0]) == 64
    assert "a-secret-token" not in out
    assert "jane.doe@example.com" not in out
    assert not (stage.folder / "gateway.db").exists()


def test_preview_prints_json_that_can_be_copied(stage, gateway):
    long = "x" * 300
    (stage.folder / "one.json").write_text(json.dumps(stage.event(long[:100], custom_data={"order_id": long})))
    code, out, _ = gateway("preview", "one.json")
    assert code == 0
    assert f'"id": "{long}"' in out


def test_preview_reads_lines_from_standard_input_and_fails_on_a_refused_one(stage, gateway, monkeypatch):
    lines = f'{json.dumps(stage.event("order-1"))}\n{{"event_name": 7}}\nno json\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    code, out, _ = gateway("preview", "-", "--json")
    assert code == 1
    results = json.loads(out)["results"]
    assert [one["status"] for one in results] == ["accepted", "rejected", "rejected"]
    assert results[1]["errors"][0]["path"] == "/event_name"


def test_preview_says_why_a_destination_is_left_out(stage, gateway):
    event = stage.event("order-1", consent={"region": "DE"}, destinations={"right": False})
    (stage.folder / "one.json").write_text(json.dumps(event))
    code, out, _ = gateway("preview", "one.json")
    assert code == 0
    assert "left: skipped, consent: consent_missing" in out
    assert "right: skipped, not_routed" in out


@pytest.mark.parametrize("arguments", [("none.json",), ("none.json", "--config", "none.toml")])
def test_preview_of_what_is_not_there_is_wrong_usage(stage, gateway, arguments):
    code, out, err = gateway("preview", *arguments)
    assert (code, out) == (2, "")
    assert f"{arguments[-1]}: " in err
    assert "Traceback" not in err


def test_preview_of_what_is_no_json_says_where(stage, gateway):
    (stage.folder / "one.json").write_text('{"event_name": ')
    code, out, err = gateway("preview", "one.json")
    assert (code, out) == (1, "")
    assert err.startswith("gateway: the body is not JSON")
    assert err.count("\n") == 1


def test_explain_tells_a_delivery_from_door_to_answer(stage, answer):
    stage.run(stage.event("order-1"))
    (event,) = answer("explain", "order-1")["events"]
    assert (event["event_name"], event["source"], event["payload_kept"]) == ("Purchase", "web", True)
    assert event["signals"] == {
        "ad_storage": "granted",
        "ad_user_data": "granted",
        "ad_personalization": "granted",
        "region": "DE",
    }
    left = event["destinations"]["left"]
    assert left["state"] == "delivered"
    assert left["match_keys"] == ["email"]
    assert left["fields"] == ["event", "id", "time", "user.email", "order.id", "order.value", "order.currency"]
    assert left["consent"]["reason"] == "consent_granted"
    assert left["consent"]["steps"][-1]["answer"] == "send"
    (attempt,) = left["attempts"]
    assert (attempt["status"], attempt["verdict"], attempt["size"]) == (200, "delivered", 1)


def test_explain_tells_each_event_of_an_id(stage, answer):
    stage.run(stage.event("order-1"), stage.event("order-1", event_name="Lead"))
    found = answer("explain", "order-1")["events"]
    assert [event["event_name"] for event in found] == ["Purchase", "Lead"]


def test_explain_names_no_value_and_cleans_platforms_words(stage, gateway, refused):
    stage.run(stage.event("order-1"), left=refused)
    for arguments in (("explain", "order-1"), ("explain", "order-1", "--json"), ("dead", "list")):
        _, out, _ = gateway(*arguments)
        assert "invalid_event" in out
        assert "[e-mail]" in out
        assert "jane" not in out


def test_explain_of_a_skipped_event_gives_the_rule(stage, gateway):
    stage.run(stage.event("order-1", consent={"region": "DE"}))
    code, out, _ = gateway("explain", "order-1")
    assert code == 0
    assert "left: skipped" in out
    assert "consent_missing" in out
    assert "not given → skip" in out
    assert "match keys" not in out


def test_explain_of_a_waiting_delivery_gives_the_next_try(stage, answer):
    stage.run(stage.event("order-1"), left=lambda request: httpx.Response(503))
    left = answer("explain", "order-1")["events"][0]["destinations"]["left"]
    assert (left["state"], left["code"], left["tries"]) == ("waiting", "http_503", 1)
    assert left["next_at"] >= left["first_at"]


def test_explain_says_that_a_payload_is_gone(stage, gateway):
    stage.run(stage.event("order-1"))
    stage.change("UPDATE event SET payload = NULL")
    code, out, _ = gateway("explain", "order-1")
    assert code == 0
    assert "not kept any more" in out
    assert "left: delivered" in out


def test_explain_of_an_unknown_id_ends_with_1(stage, gateway):
    stage.run(stage.event("order-1"))
    code, out, err = gateway("explain", "order-2")
    assert (code, out) == (1, "")
    assert "no event 'order-2'" in err
    code, out, _ = gateway("explain", "order-2", "--json")
    assert (code, json.loads(out)) == (1, {"event_id": "order-2", "events": []})


def test_an_id_cannot_steer_the_terminal(stage, gateway):
    stage.run(stage.event("order-\x1b[2J[bold]x"))
    _, out, _ = gateway("events")
    assert "\x1b" not in out
    assert "[bold]" in out


def test_reading_makes_no_outbox(stage, gateway):
    code, out, err = gateway("events")
    assert (code, out) == (1, "")
    assert "no outbox yet" in err
    assert not (stage.folder / "gateway.db").exists()


def test_events_are_listed_newest_first_and_filtered(stage, answer, refused):
    lead, held = stage.event("b", event_name="Lead"), stage.event("c", consent={"region": "DE"})
    stage.run(stage.event("a"), lead, held, left=refused)

    def ids(*arguments):
        return [event["event_id"] for event in answer("events", *arguments)["events"]]

    assert ids() == ["c", "b", "a"]
    assert ids("--limit", "1") == ["c"]
    assert ids("--event-name", "Lead") == ["b"]
    assert ids("--source", "web") == ["c", "b", "a"]
    assert ids("--source", "shop") == []
    assert ids("--state", "dead") == ["b", "a"]
    assert ids("--state", "dead", "--event-name", "Purchase") == ["a"]
    assert ids("--state", "dead", "--destination", "right") == []
    assert ids("--state", "delivered", "--destination", "right") == ["b", "a"]
    assert ids("--state", "skipped") == ["c"]
    assert ids("--since", "1h") == ["c", "b", "a"]
    assert ids("--since", "2999-01-01") == []


def test_many_pages_of_events_are_searched(stage, answer, monkeypatch):
    monkeypatch.setattr("gateway.insight.events.PAGE", 3)
    stage.run(*(stage.event(f"e{number}") for number in range(10)), stage.event("late", consent={"region": "DE"}))
    assert len(answer("events", "--state", "delivered", "--limit", "9")["events"]) == 9


@pytest.mark.parametrize("arguments", [("--state", "lost"), ("--since", "yesterday"), ("--limit", "0")])
def test_a_wrong_filter_is_wrong_usage(stage, gateway, arguments):
    code, out, err = gateway("events", *arguments)
    assert (code, out) == (2, "")
    assert "Error" in err


def test_no_id_is_broken_on_a_narrow_terminal(stage, gateway, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ids = ["0d9b2c1e-5b7a-4c59-9d0a-3f1f6a1f7c55", "long-" * 20 + "end"]
    stage.run(*(stage.event(one, consent={"region": "DE"}) for one in ids))
    _, out, _ = gateway("events")
    assert all(f"id            {one}\n" in out for one in ids)
    assert out.count("  destinations  skipped (consent): left, right\n") == 2
    assert out.count("ago)  Purchase\n") + out.count("now)  Purchase\n") == 2


def test_short_ids_leave_room_for_a_table_with_ages(stage, gateway, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stage.run(stage.event("order-10042"))
    _, out, _ = gateway("events")
    heads, _, row = [one.split() for one in out.splitlines()[:3]]
    assert heads == ["received", "event", "id", "source", "destinations"]
    assert row[-6:] == ["Purchase", "order-10042", "web", "delivered:", "left,", "right"]
    assert max(map(len, out.splitlines())) <= 80


def test_no_event_is_said_without_a_table(stage, gateway):
    stage.run(stage.event("a"))
    assert gateway("events", "--event-name", "Lead")[1] == "No event fits.\n"


def test_a_destination_that_never_was_is_wrong_usage(stage, gateway):
    stage.run(stage.event("a"))
    code, out, err = gateway("events", "--destination", "lfet")
    assert (code, out) == (2, "")
    assert "there is no destination 'lfet'; there are: left, right" in err
    stage.configure("left")
    assert "right" in gateway("events", "--destination", "right")[1]


def test_explain_tells_that_the_destination_is_paused(stage, gateway, answer):
    stage.run(stage.event("a"), left=lambda request: httpx.Response(503))
    stage.change("UPDATE delivery SET next_at = 1795000000")
    assert "due; when the dispatcher comes to it" in gateway("explain", "a")[1]
    stage.change(
        "UPDATE lane SET paused_at = 1795000000, pause_code = '190', pause_message = 'token of jane@example.com'"
    )
    found = answer("explain", "a")["events"][0]["destinations"]
    assert found["left"]["paused"] == {"since": 1795000000, "code": "190", "message": "token of [e-mail]"}
    assert found["right"]["paused"] is None
    _, out, _ = gateway("explain", "a")
    assert "the destination, since 2026-11-18 11:06:40Z" in " ".join(out.split())
    assert "when the destination is not paused any more" in out
