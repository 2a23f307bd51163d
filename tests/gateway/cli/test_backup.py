"""`gateway backup` and `gateway restore`, as an operator uses them."""

from __future__ import annotations


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
