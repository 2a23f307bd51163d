"""`gateway init` and `gateway check`."""

from __future__ import annotations

import json
import tomllib
from types import SimpleNamespace

import httpx
import pytest

from gateway.insight import checks
from gateway.outbox import engine


def by_name(found):
    return {one["name"]: (one["status"], one["message"]) for one in found["checks"]}


def test_init_writes_a_file_that_only_its_owner_reads(tmp_path, gateway, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert gateway("init")[0] == 0
    path = tmp_path / "gateway.toml"
    assert path.stat().st_mode & 0o777 == 0o600
    keys = tomllib.loads(path.read_text())
    assert gateway("check")[0] == 0
    assert keys["sources"]["web"]["write_key"] not in gateway("check")[1]


def test_init_leaves_a_file_alone_unless_forced(tmp_path, gateway):
    path = tmp_path / "gateway.toml"
    path.write_text("mine")
    code, _, err = gateway("init", "--config", str(path))
    assert (code, path.read_text()) == (1, "mine")
    assert "--force" in err
    assert gateway("init", "--path", str(tmp_path), "--force")[0] == 0
    assert (tmp_path / "gateway.toml.old").read_text() == "mine"
    assert "[sources.web]" in path.read_text()


def test_keys_are_fresh_each_time(tmp_path, gateway):
    texts = []
    for name in ("a.toml", "b.toml"):
        gateway("init", "--config", str(tmp_path / name))
        texts.append((tmp_path / name).read_text())
    assert texts[0] != texts[1]


def test_check_finds_all_in_order(stage, answer):
    stage.run(stage.event("a"))
    found = answer("check")
    assert found["ok"] is True
    assert {name: status for name, (status, _) in by_name(found).items()} == {
        "configuration": "ok",
        "plugins": "ok",
        "schemas": "ok",
        "storage": "ok",
        "sqlite": "ok",
        "clock": "ok",
    }


def test_check_says_where_shops_send_their_webhooks(stage, answer):
    shop = 'kind = "shopify"\nsigning_secret = ["made-up-secret-0000001", "made-up-secret-0000002"]\norder_id = "name"'
    stage.path.write_text(f"{stage.path.read_text()}\n[sources.shop]\n{shop}\n")
    status, words = by_name(answer("check"))["source shop"]
    assert status == "ok"
    assert all(word in words for word in ("/webhooks/shop", "2 secrets", "paid", "`name`"))
    assert "made-up" not in words


def test_check_makes_no_outbox(stage, answer):
    assert "will be made" in by_name(answer("check"))["storage"][1]
    assert not (stage.folder / "gateway.db").exists()


def test_a_wrong_configuration_ends_with_2_and_a_line_for_each_fault(stage, gateway):
    stage.path.write_text(stage.path.read_text() + "\nbase_ulr = 1\n[servre]\n")
    code, out, err = gateway("check")
    assert (code, out) == (2, "")
    assert "base_ulr" in err
    assert "servre" in err
    assert "Traceback" not in err


def test_a_plugin_that_cannot_be_loaded_ends_with_2(stage, gateway):
    (stage.folder / "plugins" / "bad.py").write_text("import nowhere_at_all\n")
    code, _, err = gateway("check")
    assert code == 2
    assert "bad.py" in err


def test_the_configuration_comes_from_the_environment(stage, gateway, monkeypatch):
    other = stage.folder / "other.toml"
    stage.path.rename(other)
    monkeypatch.setenv("GATEWAY_CONFIG", str(other))
    assert gateway("check")[0] == 0


def test_paused_lanes_and_dead_letters_are_named(stage, gateway, refused):
    stage.run(stage.event("a"), left=refused)
    stage.change(
        "UPDATE lane SET paused_at = 1795000000, pause_code = '190', pause_message = 'token' WHERE instance = 'right'"
    )
    code, out, _ = gateway("check", "--json")
    found = json.loads(out)
    assert (code, found["ok"]) == (1, False)
    assert by_name(found)["lane right"][0] == "problem"
    assert "190" in by_name(found)["lane right"][1]
    assert by_name(found)["lane left"] == ("warning", "1 dead letter: `gateway dead list` tells why")


def test_a_platform_that_does_not_answer_is_named_and_is_no_problem_of_ours(stage, gateway, refused):
    stage.run(stage.event("a"))
    stage.change("UPDATE lane SET broken_at = 1795000000, broken_code = 'http_503' WHERE instance = 'right'")
    code, out, _ = gateway("check", "--json")
    found = json.loads(out)
    assert (code, found["ok"]) == (0, True)
    status, words = by_name(found)["lane right"]
    assert (status, "broken since 2026-11-18" in words, "http_503" in words) == ("warning", True, True)


def test_a_file_that_is_no_outbox_is_a_problem(stage, gateway):
    (stage.folder / "gateway.db").write_text("not a database, but long enough to be read as one" * 100)
    code, out, _ = gateway("check", "--json")
    assert code == 1
    assert by_name(json.loads(out))["storage"][0] == "problem"


def test_outboxes_of_other_versions_are_told_apart(stage, gateway):
    stage.run(stage.event("a"))
    stage.change("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('gateway', 'm999', '')")
    code, _, err = gateway("events")
    assert code == 1
    assert "newer version" in err
    (stage.folder / "gateway.db").unlink()
    db = engine.connect(stage.folder / "gateway.db")
    db.execute(
        "CREATE TABLE _sqlite_migrations (id INTEGER PRIMARY KEY, migration_set TEXT, name TEXT, applied_at TEXT)"
    )
    db.close()
    assert "older version" in gateway("events")[2]
    assert by_name(json.loads(gateway("check", "--json")[1]))["storage"][0] == "warning"


def test_an_unsafe_sqlite_is_a_warning(stage, answer, monkeypatch):
    monkeypatch.setattr(checks, "version_is_unsafe", lambda: True)
    assert by_name(answer("check"))["sqlite"][0] == "warning"


@pytest.mark.parametrize(("now", "words"), [(1_000_000_000, "clock is wrong"), (1_750_000_000, "went back")])
def test_a_wrong_clock_is_a_problem(stage, now, words):
    stage.run(stage.event("a"))
    (found,) = checks.clock(stage.settings, now)
    assert found.status == "problem"
    assert words in found.message


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, {}, "ok"),
        (401, {"error": {"code": "invalid_token", "message": "jane@example.com"}}, "problem"),
        (503, {}, "problem"),
        (400, {"error": {"code": "invalid_event", "message": "empty"}}, "ok"),
    ],
)
def test_live_asks_each_platform(stage, gateway, monkeypatch, status, body, found):
    plugin = stage.folder / "plugins" / "acme.py"
    text = plugin.read_text().replace("    classify=classify,\n", "    classify=classify,\n    probe=probe,\n")
    probe = 'def probe(config, now):\n    return build_request(Batch.of([{"id": str(now)}], test=True), config)\n\n\n'
    plugin.write_text(text.replace("ACME = Destination", probe + "ACME = Destination"))
    stage.configure("left")
    asked = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["Authorization"])
        return httpx.Response(status, json=body)

    monkeypatch.setattr(checks, "transport_for", lambda instance: real(instance, httpx.MockTransport(reply)))
    code, out, _ = gateway("check", "--live", "--json")
    assert asked == ["Bearer a-secret-token"]
    assert by_name(json.loads(out))["live left"][0] == found
    assert code == (0 if found == "ok" else 1)
    assert "a-secret-token" not in out
    assert "jane" not in out


real = checks.transport_for


def test_live_without_a_probe_is_a_warning(stage, answer):
    assert by_name(answer("check", "--live"))["live left"][0] == "warning"


@pytest.mark.parametrize(
    ("free", "status", "words"),
    [(16_000_000, "problem", "the disk is full (16 MB free)"), (900_000_000, "warning", "only 900 MB free")],
)
def test_a_disk_that_is_full_is_told(stage, monkeypatch, free, status, words):
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    first = next(iter(checks.storage(stage.settings)))
    assert (first.status, words in first.message) == (status, True)


def test_deliveries_that_nobody_sends_are_a_warning(stage, answer):
    stage.run(stage.event("a"), left=lambda request: httpx.Response(503))
    status, message = by_name(answer("check"))["dispatcher"]
    assert status == "warning"
    assert "(left 1)" in message
    assert "`gateway dispatch`" in message
    lock = engine.FileLock(stage.folder / "gateway.db.dispatcher")
    assert lock.acquire(wait=False)
    try:
        assert "dispatcher" not in by_name(answer("check"))
    finally:
        lock.release()


def test_checking_takes_no_lease_and_makes_none(stage, answer):
    stage.run(stage.event("a"), left=lambda request: httpx.Response(503))
    lock = stage.folder / "gateway.db.dispatcher"
    lock.unlink()
    assert "dispatcher" in by_name(answer("check"))
    assert not lock.exists()


@pytest.mark.parametrize(("name", "meant"), [("Purchas", "Purchase"), ("QuizFinished", None)])
def test_a_custom_name_near_a_standard_one_is_a_warning(stage, answer, name, meant):
    stage.configure("left", more=f'events = {{ {name} = "Something" }}')
    told = [one["message"] for one in answer("check")["checks"] if one["status"] == "warning"]
    wrong = f"destinations.left.events: {name} is no standard name; did you mean {meant}?"
    assert told == ([wrong] if meant else [])


@pytest.mark.parametrize(
    ("mode", "status", "words"),
    [(0o600, None, ""), (0o640, None, ""), (0o644, "warning", "read the secrets"), (0o602, "problem", "change it")],
)
def test_a_file_that_is_open_to_others_is_told(stage, gateway, mode, status, words):
    stage.path.chmod(mode)
    code, out, _ = gateway("check", "--json")
    found = by_name(json.loads(out)).get("permissions")
    assert code == (1 if status == "problem" else 0)
    assert found is None if status is None else (found[0], words in found[1]) == (status, True)
    assert "a-secret-token" not in out


def test_what_holds_no_secret_may_be_read(stage, answer, monkeypatch):
    monkeypatch.setenv("KEY", "a-write-key-of-the-tests")
    monkeypatch.setenv("TOKEN", "a-secret-token")
    text = stage.path.read_text().replace("a-write-key-of-the-tests", "${KEY}").replace("a-secret-token", "${TOKEN}")
    stage.path.write_text(text)
    stage.path.chmod(0o644)
    assert "permissions" not in by_name(answer("check"))


@pytest.mark.parametrize("what", ["plugins", "plugins/acme.py"])
def test_a_plugin_that_anybody_could_have_written_is_not_run(stage, gateway, what):
    path = stage.folder / what
    path.chmod(path.stat().st_mode | 0o002)
    code, _, err = gateway("check")
    assert code == 2
    assert f"anybody can write to {path}" in err


def test_a_missing_key_of_peoples_pseudonyms_is_a_problem(stage, answer, gateway):
    stage.run(stage.event("a"))
    (stage.folder / "gateway.db.key").rename(stage.folder / "elsewhere")
    code, out, _ = gateway("check", "--json")
    status, message = by_name(json.loads(out))["storage"]
    assert (code, status) == (1, "problem")
    assert "gateway.db.key" in message
    (stage.folder / "elsewhere").rename(stage.folder / "gateway.db.key")
    assert by_name(answer("check"))["storage"][0] == "ok"
