"""`gateway backup` and `gateway restore`, as an operator uses them."""

from __future__ import annotations

from hashlib import sha256

from gateway.outbox import Outbox, people
from gateway.privacy.withdrawal import Denial, Said


def test_a_copy_can_be_looked_at_and_put_back(stage, answer, gateway, refused):
    stage.run(stage.event("a"), left=refused)
    found = answer("backup", "copy.db")
    assert found == {"path": "copy.db", "events": 1, "bytes": (stage.folder / "copy.db").stat().st_size}
    stage.run(stage.event("b"))
    code, _, err = gateway("restore", "copy.db")
    assert (code, "nobody can be asked" in err) == (2, True)
    back = answer("restore", "copy.db", "--yes")
    assert back["events"] == 1
    assert back["made_at"] is not None
    assert [one["event_id"] for one in answer("events")["events"]] == ["a"]
    assert answer("dead", "list")["groups"][0]["count"] == 1
    assert len(back["moved"]) == 1


def test_what_was_owed_goes_again_under_its_id(stage, answer, gateway):
    stage.run(stage.event("a"))
    stage.change("UPDATE lane SET cursor = 0")  # as it stood before its delivery was recorded
    stage.change("DELETE FROM attempt")
    assert gateway("backup", "copy.db")[0] == 0
    assert gateway("restore", "copy.db", "--yes")[0] == 0
    stage.sent.clear()
    stage.run()
    assert stage.sent == {"left": ["a"], "right": ["a"]}
    assert "from a backup" not in str(answer("explain", "a")["events"][0]["destinations"]["left"]["state"])


def test_people_are_told_what_happened(stage, gateway):
    stage.run(stage.event("a"))
    code, out, _ = gateway("backup", "copy.db")
    assert (code, out.startswith("Wrote copy.db: 1 events, ")) == (0, True)
    code, _, err = gateway("backup", "copy.db")
    assert (code, "is there already" in err) == (1, True)
    code, out, _ = gateway("restore", "copy.db", "--yes")
    first, second, third, last = out.splitlines()
    assert first.startswith("copy.db: 1 events, ")
    assert "(now)" in first
    assert "will be moved aside" in second
    assert "is the copy now. The old one is" in third
    assert "gateway check" in last


def test_there_must_be_an_outbox_and_a_copy(stage, gateway):
    assert gateway("backup", "copy.db")[0] == 1
    assert gateway("restore", "copy.db", "--yes")[0] == 1
    assert not (stage.folder / "copy.db").exists()


def test_who_was_erased_since_is_not_in_it_again(stage, answer, gateway):
    stage.run(stage.event("a"), stage.event("b", user_data={"email": "joan@example.com"}))
    assert gateway("backup", "copy.db")[0] == 0
    answer("erase", "--email", "jane.doe@example.com")
    code, out, _ = gateway("restore", "copy.db", "--yes")
    assert code == 0
    assert "1 event of people who were erased since" in out
    assert [one["event_id"] for one in answer("events")["events"]] == ["b"]
    stage.run(stage.event("a", event_time=1_700_000_000))
    assert [one["event_id"] for one in answer("events")["events"]] == ["b"]
    digest = sha256(b"jane.doe@example.com").hexdigest().encode()
    assert digest in (stage.folder / "copy.db").read_bytes()
    assert digest not in (stage.folder / "gateway.db").read_bytes()


def test_who_came_back_after_the_erasure_stays(stage, answer, gateway):
    stage.run(stage.event("a"))
    answer("erase", "--email", "jane.doe@example.com")
    stage.run(stage.event("b"))
    assert gateway("backup", "copy.db")[0] == 0
    assert answer("restore", "copy.db", "--yes")["erased_again"] == 0
    assert [one["event_id"] for one in answer("events")["events"]] == ["b"]


def test_what_was_said_of_consent_since_holds(stage, answer, gateway):
    stage.run(stage.event("a"))
    outbox = Outbox(stage.settings.outbox.path)
    outbox.start()
    outbox.write_blocking(lambda db: people.remember(db, [7], Said(denied=frozenset({"ad_storage"})), 1.0))
    assert gateway("backup", "copy.db")[0] == 0
    outbox.write_blocking(lambda db: people.remember(db, [7], Said(granted=frozenset({"ad_storage"})), 2.0))
    outbox.write_blocking(lambda db: people.remember(db, [8], Said(denied=frozenset({"ad_user_data"})), 3.0))
    outbox.close()
    answer("restore", "copy.db", "--yes")
    outbox = Outbox(stage.settings.outbox.path)
    outbox.start()
    assert (outbox.denial([7]), outbox.denial([8])) == (None, Denial(frozenset({"ad_user_data"})))
    outbox.close()


def test_an_outbox_that_cannot_be_read_is_told(stage, answer, gateway):
    stage.run(stage.event("a"))
    assert gateway("backup", "copy.db")[0] == 0
    stage.settings.outbox.path.write_bytes(b"no database" * 1_000)
    for beside in stage.folder.glob("gateway.db-*"):
        beside.unlink()
    code, out, err = gateway("restore", "copy.db", "--yes")
    assert (code, "erase again who asked" in out) == (0, True), err


def test_where_no_outbox_was_it_says_what_could_not_be_carried_over(stage, answer, gateway):
    stage.run(stage.event("a"))
    assert gateway("backup", "copy.db")[0] == 0
    for file in stage.folder.glob("gateway.db*"):
        file.unlink()
    code, out, _ = gateway("restore", "copy.db", "--yes")
    assert code == 0
    assert "Erase again who asked" in out
    assert "gateway.db.key back" in out
