"""`gateway prove`, `gateway ledger`: what is changed in one place is found, what is forgotten by right is none."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import struct
import time

import anyio
import pytest

from gateway.outbox import Outbox, anchor, ledger, retention
from gateway.web.upkeep import anchor_head, forget_decisions

DENIED = {"ad_storage": "denied", "ad_user_data": "denied", "ad_personalization": "denied", "region": "DE"}
UNREADABLE = {"tcf": "CPnotAString", "region": "FR"}


@pytest.fixture
def filled(stage):
    """Five groups, a copy that brought consent, and an event that consent was taken back of."""
    stage.run(stage.event("a"), stage.event("b", consent=DENIED))
    stage.run(stage.event("c", consent=UNREADABLE))
    stage.run(stage.event("d"))
    stage.run(stage.event("b"))
    stage.run(stage.event("e", consent={"region": "US"}))
    outbox = Outbox(stage.settings.outbox.path)
    outbox.start()
    outbox.write_blocking(lambda db: ledger.note(db, "withdrawal", time.time(), {"denied": ["ad_user_data"]}))
    outbox.close()
    return stage


def change(stage, *statements):
    with sqlite3.connect(stage.settings.outbox.path) as db:
        for statement in statements:
            db.execute(statement)


def codes(answer):
    return {one["code"] for one in answer["faults"]}


def test_an_honest_ledger_holds(filled, answer, gateway):
    found = answer("ledger", "verify")
    assert (found["holds"], found["rows"], found["entries"]) == (True, 6, 5)
    assert (found["opened"], found["strings_opened"]) == (5, 1)
    code, out, _ = gateway("ledger", "verify")
    assert code == 0
    assert "The ledger holds." in out
    assert found["head_hash"] in out


#: What somebody might do → what is found.
TAMPERINGS = {
    "UPDATE ledger SET at = at + 1 WHERE id = 2": "row_changed",
    "UPDATE ledger SET at = 'then' WHERE id = 2": "row_changed",
    "UPDATE ledger SET kind = 'erasure' WHERE id = 6": "row_changed",
    "UPDATE ledger SET kind = x'00' WHERE id = 2": "row_changed",
    "UPDATE ledger SET first_seq = 2 WHERE id = 6": "row_changed",
    "UPDATE ledger SET count = 0 WHERE id = 3": "row_changed",
    "UPDATE ledger SET hash = zeroblob(32) WHERE id = 6": "anchor_differs",
    "UPDATE ledger SET hash = zeroblob(32) WHERE id = 3": "row_changed",
    "UPDATE ledger SET entries = substr(entries, 1, 36) || zeroblob(length(entries) - 36) WHERE id = 1": "row_changed",
    "UPDATE ledger SET entries = entries || x'00' WHERE id = 1": "row_unreadable",
    "UPDATE ledger SET entries = '{}' WHERE id = 6": "row_changed",
    "DELETE FROM ledger WHERE id = 1": "row_missing",
    "DELETE FROM ledger WHERE id = 3": "row_missing",
    "DELETE FROM ledger WHERE id = 5": "row_missing",
    "DELETE FROM ledger WHERE id = 6": "anchor_beyond",
    "DELETE FROM ledger WHERE id >= 5": "event_unknown",
    "DELETE FROM ledger": "event_unknown",
    "INSERT INTO ledger SELECT 7, at, kind, first_seq, count, entries, hash FROM ledger WHERE id = 6": "row_changed",
    "INSERT INTO ledger SELECT -1, at, kind, first_seq, count, entries, hash FROM ledger WHERE id = 6": "row_missing",
    "UPDATE ledger SET id = CASE id WHEN 2 THEN -3 ELSE id END": "row_missing",
    "UPDATE ledger_base SET hash = randomblob(32)": "row_changed",
    "UPDATE ledger_base SET id = 2": "row_missing",
    "UPDATE ruling SET data = replace(data, 'granted', 'denied')": "ruling_changed",
    "UPDATE ruling SET data = data || ' '": "ruling_changed",
    "UPDATE ruling SET hash = randomblob(32)": "ruling_missing",
    "DELETE FROM ruling": "ruling_missing",
    "UPDATE ruling SET data = x'ff00'": "ruling_changed",
    "UPDATE ledger SET count = 'abc' WHERE id = 1": "row_changed",
    "UPDATE ledger SET first_seq = 'x' WHERE id = 1": "value_unreadable",
    "DELETE FROM ledger_base": "value_unreadable",
    "UPDATE ledger_base SET id = 'x'": "value_unreadable",
    "UPDATE event SET payload = '[1]' WHERE seq = 1": "payload_unreadable",
    "UPDATE event SET event_id = 'x' WHERE seq = 1": "event_changed",
    "UPDATE event SET event_name = 'Lead' WHERE seq = 3": "event_changed",
    "UPDATE event SET received_at = received_at + 1 WHERE seq = 4": "event_changed",
    "UPDATE event SET received_at = 'then' WHERE seq = 4": "event_changed",
    "UPDATE event SET salt = 'salt' WHERE seq = 4": "event_changed",
    "UPDATE event SET source = 'app' WHERE seq = 1": "event_changed",
    "UPDATE event SET salt = randomblob(16) WHERE seq = 5": "event_changed",
    "UPDATE event SET salt = NULL WHERE seq = 5": "salt_missing",
    "UPDATE event SET decision = (SELECT decision FROM event WHERE seq = 3) WHERE seq = 1": "decision_changed",
    "UPDATE event SET decision = (SELECT min(id) FROM decision) WHERE seq = 3": "decision_changed",
    "UPDATE decision SET data = replace(data, 'skipped', 'send')": "decision_changed",
    "UPDATE event SET payload = replace(CAST(payload AS TEXT), 'CPnotA', 'CPaNot') WHERE seq = 3": "strings_changed",
    "UPDATE event SET payload = replace(CAST(payload AS TEXT), 'granted', 'denied') WHERE seq = 1": "signals_changed",
    "UPDATE event SET payload = replace(CAST(payload AS TEXT), '\"DE\"', '\"US\"') WHERE seq = 2": "signals_changed",
    "INSERT INTO event SELECT 9, received_at, source, event_name, event_id, decision, payload, salt FROM event "
    "WHERE seq = 1": "event_unknown",
    "INSERT INTO event SELECT 9, received_at, source, event_name, event_id, decision, payload, NULL FROM event "
    "WHERE seq = 1": "event_unknown",
}


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_a_change_in_one_place_is_found(filled, answer, statement):
    path = filled.settings.outbox.path
    with sqlite3.connect(path) as db:
        head = ledger.head(db)  # type: ignore[arg-type]
    anchor.append(filled.folder / "heads", head, time.time())
    whole = answer("ledger", "verify", "--anchor", str(filled.folder / "heads"))
    assert (whole["holds"], whole["anchors"]) == (True, 1)
    change(filled, statement)
    found = answer("ledger", "verify", "--anchor", str(filled.folder / "heads"), code=1)
    assert not found["holds"]
    assert TAMPERINGS[statement] in codes(found)


def test_swapped_rows_are_found(filled, answer):
    swap = ("UPDATE ledger SET id = -id WHERE id IN (2, 3)", "UPDATE ledger SET id = 5 + id WHERE id < 0")
    change(filled, *swap)
    assert "row_changed" in codes(answer("ledger", "verify", code=1))


def test_what_is_forgotten_by_right_leaves_it_whole(filled, answer):
    outbox = Outbox(filled.settings.outbox.path)
    outbox.start()
    outbox.write_blocking(lambda db: retention.drop_payloads(db, [], time.time() + 1))
    outbox.close()
    found = answer("ledger", "verify")
    assert (found["opened"], found["strings_opened"]) == (5, 0)
    change(filled, "DELETE FROM event WHERE seq IN (1, 3)")  # with them go their salts
    found = answer("ledger", "verify")
    assert (found["holds"], found["entries"], found["opened"]) == (True, 5, 3)


def test_events_from_before_the_ledger_are_no_fault(filled, answer):
    tables = ("DELETE FROM ledger", "DELETE FROM ruling", "UPDATE event SET salt = NULL")
    change(filled, *tables)
    filled.run(filled.event("f"))
    found = answer("ledger", "verify")
    assert (found["holds"], found["entries"], found["opened"]) == (True, 1, 1)
    assert codes(answer("prove", "a", code=1)["events"][0]) == {"event_unknown"}


def test_pruned_rows_leave_a_base(filled, answer):
    outbox = Outbox(filled.settings.outbox.path)
    outbox.start()
    with outbox.reading() as db:
        third = list(ledger.rows(db))[3]
        anchor.append(filled.folder / "heads", ledger.Head(1, b"x" * 32), 1.0)
        anchor.append(filled.folder / "heads", ledger.before(db, 4), 2.0)
        anchor.append(filled.folder / "heads", ledger.head(db), 3.0)
    anyio.run(forget_decisions, outbox, third.at, anyio.Event())
    outbox.close()
    with filled.path.open("a") as config:
        config.write('\n[privacy]\nledger_retention = "1s"\n')
    found = answer("ledger", "verify", "--anchor", str(filled.folder / "heads"))
    assert (found["base"], found["rows"], found["anchors"], found["anchors_older"]) == (3, 3, 2, 1)
    filled.run(filled.event("f"))
    assert answer("ledger", "verify")["rows"] == 4


def test_a_restored_copy_goes_on_from_its_own_head(filled, answer):
    answer("backup", "copy.db")
    filled.run(filled.event("lost"))
    answer("restore", "copy.db", "--yes")
    filled.run(filled.event("f"))
    found = answer("ledger", "verify")
    assert (found["holds"], found["rows"]) == (True, 8)
    with sqlite3.connect(filled.settings.outbox.path) as db:
        kinds = [kind for (kind,) in db.execute("SELECT kind FROM ledger ORDER BY id")]
    assert kinds[-2:] == ["restored", "intake"]


def test_the_head_is_written_down_when_it_changed(filled, answer):
    path = filled.folder / "heads"

    async def twice():
        outbox = Outbox(filled.settings.outbox.path)
        outbox.start()
        first = await anchor_head(outbox, path, b"", 1_795_000_000.0)
        assert await anchor_head(outbox, path, first, 1_795_000_060.0) == first
        outbox.close()

    anyio.run(twice)
    [line] = path.read_text().splitlines()
    assert line.startswith("2026-11-18T")
    assert line.endswith(f", 6, {answer('ledger', 'verify')['head_hash']}")


@pytest.mark.parametrize("line", ["2026-11-18T00:00:00Z, 6", "2026-11-18T00:00:00Z, x, 00", "now, 6, 00"])
def test_a_line_that_is_no_anchor_is_told_and_hides_no_other(filled, answer, line):
    """A crash may have torn it: the next one is a line of its own, and still counts."""
    (filled.folder / "heads").write_text(line)
    with Outbox(filled.settings.outbox.path).reading() as db:
        anchor.append(filled.folder / "heads", ledger.head(db), time.time())
    found = answer("ledger", "verify", "--anchor", "heads", code=1)
    assert found["anchors"] == 1
    assert [one["code"] for one in found["faults"]] == ["anchor_unreadable"]


def test_what_is_pruned_before_its_time_is_found(filled, answer):
    """By the anchors, which are young, and by the events that no row has any more."""
    with Outbox(filled.settings.outbox.path).reading() as db:
        anchor.append(filled.folder / "heads", ledger.before(db, 3), time.time())
    with sqlite3.connect(filled.settings.outbox.path) as db:
        db.execute("UPDATE ledger_base SET (id, hash) = (SELECT id, hash FROM ledger ORDER BY id DESC LIMIT 1)")
        db.execute("DELETE FROM ledger")
    codes = {one["code"] for one in answer("ledger", "verify", "--anchor", "heads", code=1)["faults"]}
    assert codes == {"pruned_too_early", "event_unknown"}
    assert {one["code"] for one in answer("ledger", "verify", code=1)["faults"]} == {"event_unknown"}


# One event.


def test_an_event_is_proved_from_its_row_to_the_head(filled, answer, gateway):
    [found] = answer("prove", "c")["events"]
    assert (found["holds"], found["row"], found["strings"]) == (True, 2, "opened")
    assert found["ruling"]["signals"] == {
        "region": "FR",
        "strings": {"given": ["tcf"], "unread": found["ruling"]["signals"]["strings"]["unread"]},
    }
    assert found["ruling"]["to"]["left"][:3] == ["skipped", "consent", "consent_string_unread"]
    assert [one["row"] for one in found["chain"]] == [2, 3, 4, 5, 6]
    name = found["event_name"].encode()
    made = hashlib.sha256(
        bytes.fromhex(found["salt"])
        + b"gateway-event-1\0"
        + struct.pack("<dI", found["received_at"], len(name))
        + name
        + b"c"
    )
    assert made.hexdigest() == found["event_commitment"]
    code, out, _ = gateway("prove", "c")
    assert code == 0
    for words in ("It holds", "consent_string_unread", found["event_commitment"], found["chain"][-1]["hash"], "FR"):
        assert words in out


def test_later_decisions_are_told(filled, answer, gateway):
    [found] = answer("prove", "b")["events"]
    assert found["holds"]
    assert found["ruling"]["to"]["left"][0] == "skipped"
    [later] = found["later"]
    assert (later["kind"], later["said"]["to"]["left"][0]) == ("reopened", "send")
    assert "a copy of the event brought consent" in gateway("prove", "b")[1]


@pytest.mark.parametrize(
    ("statement", "flaw"),
    [
        ("UPDATE event SET received_at = 1 WHERE seq = 3", "event_changed"),
        ("UPDATE ledger SET at = 1 WHERE id = 4", "row_changed"),
        ("DELETE FROM ledger WHERE id = 2", "event_unknown"),
        ("DELETE FROM ledger WHERE id = 4", "row_changed"),
        ("UPDATE ruling SET data = replace(data, 'FR', 'US')", "ruling_changed"),
        ("DELETE FROM ruling", "ruling_missing"),
    ],
)
def test_what_does_not_hold_is_told(filled, answer, gateway, statement, flaw):
    change(filled, statement)
    [found] = answer("prove", "c", code=1)["events"]
    assert not found["holds"]
    assert flaw in codes(found)
    assert "does NOT hold" in gateway("prove", "c")[1]


def test_an_event_that_is_not_there_proves_nothing(filled, gateway):
    code, _, err = gateway("prove", "nothing")
    assert code == 1
    assert "no event 'nothing'" in err


# For others.


def check(lines):
    """A verifier that knows docs/ledger.md alone. Returns the rows that it has read."""
    header, *rest = [json.loads(line) for line in lines]
    assert header["format"] == "gateway-ledger/1"
    number, last = header["base"]["row"], bytes.fromhex(header["base"]["hash"])
    rulings, rows = {}, 0
    for one in rest:
        if "ruling" in one:
            assert hashlib.sha256(one["data"].encode()).hexdigest() == one["ruling"], "ruling"
            rulings[one["ruling"]] = json.loads(one["data"])
            continue
        assert one["row"] == number + 1, "gap"
        kind, entries = one["kind"].encode(), bytes.fromhex(one["entries"])
        packed = struct.pack("<qdqqI", one["row"], one["at"], one["first_seq"], one["count"], len(kind))
        made = hashlib.sha256(b"gateway-ledger-1\0" + last + packed + kind + entries).digest()
        assert made.hex() == one["hash"], "hash"
        if "events" in one:
            (count,) = struct.unpack_from("<I", entries)
            hashes = [entries[4 + 32 * at : 36 + 32 * at].hex() for at in range(count)]
            at = 4 + 32 * count
            indexes = struct.unpack_from(f"<{one['count']}I", entries, at)
            at += 4 * one["count"]
            events = [entries[at + 32 * n : at + 32 * n + 32].hex() for n in range(one["count"])]
            at += 32 * one["count"]
            strings = {offset: digest.hex() for offset, digest in struct.iter_unpack("<I32s", entries[at:])}
            for n, (event, index) in enumerate(zip(events, indexes, strict=True)):
                told = {"seq": one["first_seq"] + n, "ruling": hashes[index], "event": event, "strings": strings.get(n)}
                assert one["events"][n] == told, "entry"
                assert told["ruling"] in rulings, "no ruling"
        else:
            assert json.loads(entries) == one["data"], "data"
        number, last, rows = one["row"], made, rows + 1
    assert (number, last.hex()) == (header["head"]["row"], header["head"]["hash"]), "head"
    return rows


def test_others_can_check_an_export(filled, gateway):
    code, out, _ = gateway("ledger", "export", "-")
    assert code == 0
    assert check(out.splitlines()) == 6
    for secret in ("jane", "CPnotAString", '"b"'):
        assert secret not in out


def test_an_export_may_be_of_a_time(filled, gateway):
    with sqlite3.connect(filled.settings.outbox.path) as db:
        ats = [at for (at,) in db.execute("SELECT at FROM ledger ORDER BY id")]
    for since, until, rows in ((ats[2], ats[4], 2), (ats[2], None, 4), (None, ats[1], 1), (ats[5] + 9, None, 0)):
        with sqlite3.connect(filled.settings.outbox.path) as db:
            from gateway.insight.exported import lines

            told = [json.dumps(one) for one in lines(db, since, until)]  # type: ignore[arg-type]
        assert check(told) == rows
    assert gateway("ledger", "export", "-", "--since", "1h", "--until", "2h")[1].count("\n") == 1


@pytest.mark.parametrize("at", range(1, 13))
def test_a_changed_export_is_found(filled, gateway, at):
    lines = gateway("ledger", "export", "-")[1].splitlines()
    if at >= len(lines):
        pytest.skip("no such line")
    with pytest.raises(AssertionError):
        check([*lines[:at], *lines[at + 1 :]])


def test_an_export_replaces_nothing(filled, gateway):
    file = filled.folder / "out.ndjson"
    assert gateway("ledger", "export", str(file))[0] == 0
    shutil.copy(file, filled.folder / "before")
    assert gateway("ledger", "export", str(file))[0] == 1
    assert file.read_bytes() == (filled.folder / "before").read_bytes()


def test_a_file_without_an_anchor_proves_nothing(filled, gateway):
    (filled.folder / "heads").write_text("")
    code, _, err = gateway("ledger", "verify", "--anchor", str(filled.folder / "heads"))
    assert code != 0
    assert "there is no anchor in it" in err


@pytest.mark.parametrize(
    ("statement", "arguments"),
    [
        ("UPDATE ledger SET at = 'x' WHERE id = 2", ("prove", "a")),
        ("UPDATE event SET received_at = 'x' WHERE event_id = 'a'", ("prove", "a")),
        ("UPDATE ledger SET kind = 'cancelled', entries = '{\"seqs\": 5}' WHERE id = 6", ("prove", "a")),
        ("UPDATE ruling SET data = '[]'", ("consent", "report")),
        ("UPDATE ledger SET entries = '' WHERE kind = 'reopened'", ("consent", "report")),
    ],
)
def test_what_was_made_something_else_is_told_in_words(filled, gateway, statement, arguments):
    change(filled, statement)
    code, _, err = gateway(*arguments)
    assert code != 0
    assert "a value that is never written there" in err
