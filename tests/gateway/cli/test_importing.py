"""`gateway import`: a file's rows as events, each once, with what is wrong told by line."""

from __future__ import annotations

import csv
import gzip
import json
import os
import time
from contextlib import closing
from pathlib import Path

import anyio
import pytest
import zstandard

from gateway.model.errors import OutboxBusy, OutboxFailed, OutboxFull
from gateway.outbox import Outbox, imports
from gateway.outbox.engine import connect
from gateway.outbox.queries import newest

CONSENT = "ad_storage,ad_user_data,ad_personalization"
GRANTED = "granted,granted,granted"
DAY = 86400


@pytest.fixture
def till(stage):
    """Writes a file of `count` purchases; returns its path."""

    def write(count=3, name="till.csv", *, start=0, extra=()):
        head = f"event_name,event_time,email,value,currency,order_id,region,{CONSENT}"
        head = head.replace("region", "consent.region")
        rows = [
            f"Purchase,{time.time() - 60:.0f},p{n}@example.com,5,EUR,o{n},DE,{GRANTED}" for n in range(start, count)
        ]
        path = stage.folder / name
        path.write_text("\n".join([head, *rows, *extra]) + "\n", "utf-8")
        return str(path)

    return write


def stored(stage):
    """Ids of what is in the outbox, in the order of the log."""
    with closing(connect(stage.settings.outbox.path, readonly=True)) as db:
        return [row.event_id for row in reversed(newest(db, before=None, limit=100_000))]


def test_rows_are_stored_and_delivered(stage, answer, till):
    found = answer("import", till())
    assert (found["rows"], found["accepted"], found["rejected"], found["finished"]) == (3, 3, 0, True)
    assert found["destinations"] == {"left": {"queued": 3}, "right": {"queued": 3}}
    stage.run()
    assert sorted(stage.sent["left"]) == ["o0", "o1", "o2"]


def test_nothing_of_a_person_is_kept_in_the_clear(stage, answer, till):
    answer("import", till())
    files = [path.read_bytes() for path in stage.folder.glob("gateway.db*")]
    assert files
    assert not any(b"p1@example.com" in data for data in files)


def test_the_gate_has_the_word(stage, answer, till):
    path = till()
    text = (stage.folder / "till.csv").read_text("utf-8").replace(GRANTED, "granted,denied,granted", 1)
    (stage.folder / "till.csv").write_text(text.replace(f"DE,{GRANTED}", "DE,,,", 1), "utf-8")
    assert answer("import", path)["destinations"]["left"] == {"skipped:consent": 2, "queued": 1}


def test_what_is_wrong_is_told_by_line_and_column_and_never_by_value(stage, answer, gateway, till):
    bad = [
        f"Purchase,1795000000,x,-5,EUR,o8,DE,{GRANTED}",
        f"Purchase,soon,,5,EUR,o9,DE,{GRANTED}",
        "one,two",
        '"open,1',
    ]
    path = till(extra=[*bad, "", f"Purchase,{time.time() - 60:.0f},p1@example.com,5,EUR,o1,DE,{GRANTED}"])
    code, out, err = gateway("import", path, "--report", "faults.csv")
    assert (code, err) == (1, "")
    assert "line 6, event_time: bad_format: expected a time" in out
    told = list(csv.DictReader((stage.folder / "faults.csv").read_text("utf-8").splitlines()))
    assert [(one["level"], one["line"], one["column"], one["code"]) for one in told] == [
        ("error", "5", "value", "out_of_range"),
        ("error", "6", "event_time", "bad_format"),
        ("error", "7", "", "malformed_csv"),
        ("error", "8", "", "malformed_csv"),
        ("duplicate", "10", "", "duplicate"),
    ]
    assert "soon" not in out + (stage.folder / "faults.csv").read_text("utf-8")


def test_a_report_can_name_any_column(stage, answer):
    path = stage.folder / "odd.csv"
    head = b"event_name;Conversion\xa0Time;e-mail;order_id\n"
    path.write_bytes(head + b"Purchase;soon;jane.doe@example.com;1\n")
    for report in ("faults.ndjson", "faults.csv"):
        found = answer("import", str(path), "--report", report, code=1)
        assert (found["rejected"], found["errors"]) == (1, {"bad_format": 1})
        assert "bad_format" in (stage.folder / report).read_text("utf-8")


def test_a_line_that_nests_deep_costs_no_other(stage, answer):
    deep = "[" * 400 + "]" * 400
    lines = [f'{{"event_name": "Lead", "event_id": "e{n}", "event_time": {time.time():.0f}}}' for n in range(2)]
    path = stage.folder / "deep.ndjson"
    path.write_text("\n".join([lines[0], f'{{"event_name": {deep}}}', lines[1]]) + "\n", "utf-8")
    found = answer("import", str(path), code=1)
    assert (found["accepted"], found["errors"]) == (2, {"too_deep": 1})


def test_a_report_of_lines(stage, answer, till):
    answer("import", till(extra=["one"]), "--report", "faults.ndjson", code=1)
    (told,) = map(json.loads, (stage.folder / "faults.ndjson").read_text("utf-8").splitlines())
    assert (told["line"], told["code"]) == (5, "malformed_csv")


def test_a_dry_run_stores_nothing_and_makes_no_file(stage, answer, till):
    path = till(
        extra=[
            f"Purchase,{time.time() - 60:.0f},,5,EUR,o9,DE,{GRANTED}",
            f"Lead,{time.time() - 60:.0f},a@example.com,,,,DE,,,",
        ]
    )
    before = sorted(os.listdir(stage.folder))
    found = answer("import", path, "--dry-run")
    assert found["dry_run"]
    assert found["destinations"]["left"] == {"queued": 3, "skipped:no_identity": 1, "skipped:consent": 1}
    assert sorted(os.listdir(stage.folder)) == before


def test_a_dry_run_beside_an_outbox_leaves_it_alone(stage, answer, till):
    answer("import", till(2, "first.csv"))
    before = stage.settings.outbox.path.read_bytes()
    assert answer("import", till(5, start=2), "--dry-run")["accepted"] == 3
    assert stage.settings.outbox.path.read_bytes() == before
    assert stored(stage) == ["o0", "o1"]


def test_a_dry_run_finds_doubles_within_the_file(answer, till):
    path = till(extra=[f"Purchase,{time.time() - 60:.0f},p1@example.com,5,EUR,o1,DE,{GRANTED}"])
    found = answer("import", path, "--dry-run")
    assert (found["accepted"], found["duplicates"]) == (3, 1)


def test_a_column_that_nobody_knows_stops_it_unless_it_may_be_left_out(stage, answer, gateway, till):
    path = till()
    lines = (stage.folder / "till.csv").read_text("utf-8").splitlines()
    (stage.folder / "till.csv").write_text(
        "\n".join([f"{lines[0]},Notes", *(f"{one},x" for one in lines[1:])]), "utf-8"
    )
    code, out, err = gateway("import", path)
    assert (code, out) == (2, "")
    assert err.startswith(f"gateway: {path}: Notes: a column that is not understood: say its path in `columns`")
    assert not stage.settings.outbox.path.exists()
    found = answer("import", path, "--dry-run", code=1)
    assert (found["unknown_columns"], found["accepted"], found["faults"][0]["code"]) == (["Notes"], 3, "unknown_column")
    found = answer("import", path, "--ignore-unknown")
    assert (found["accepted"], found["ignored_columns"]) == (3, ["Notes"])


def test_a_mapping_and_constants(stage, answer):
    (stage.folder / "map.toml").write_text(
        'timezone = "Europe/Berlin"\ndecimal = "comma"\n[columns]\nBon = "custom_data.order_id"\n'
        'Datum = "event_time"\nBetrag = "custom_data.value"\n[constants]\naction_source = "physical_store"\n'
        'custom_data.currency = "EUR"\n',
        "utf-8",
    )
    text = "Bon;Datum;Betrag;E-Mail\r\n7;2026-11-20 14:03;1.234,50;jürgen@example.com\r\n"
    (stage.folder / "kasse.csv").write_bytes(text.encode("cp1252"))
    options = ["--map", "map.toml", "--set", "event_name=Purchase", "--set", "consent.region=US"]
    assert answer("import", "kasse.csv", *options, code=1)["errors"] == {"invalid_utf8": 1}
    (stage.folder / "map.toml").write_text('encoding = "cp1252"\n' + (stage.folder / "map.toml").read_text(), "utf-8")
    assert answer("import", "kasse.csv", *options)["accepted"] == 1
    (event,) = answer("explain", "7")["events"]
    assert (event["action_source"], event["event_time"]) == ("physical_store", 1795179780)


def test_a_wrong_mapping_is_told_with_its_path(stage, gateway, till):
    (stage.folder / "map.toml").write_text('[columns]\nA = "user_data.emial"\n', "utf-8")
    code, _, err = gateway("import", till(), "--map", "map.toml")
    assert (code, err) == (
        2,
        "gateway: map.toml: columns.A: no such path in the event; did you mean `user_data.email`?\n",
    )
    assert gateway("import", till(), "--map", "none.toml")[0] == 2


def test_events_as_lines(stage, answer):
    lines = [stage.event(f"n{n}", event_time=time.time() - 5) for n in range(3)]
    (stage.folder / "e.ndjson").write_text("\n".join([*map(json.dumps, lines), "", "[1]", '{"event_name": ']), "utf-8")
    found = answer("import", "e.ndjson", code=1)
    assert (found["format"], found["accepted"], found["rejected"]) == ("ndjson", 3, 2)
    assert [(one["line"], one["code"]) for one in found["faults"]] == [(5, "wrong_type"), (6, "malformed_json")]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_files(stage, answer, gateway, till, pack):
    till()
    data = (stage.folder / "till.csv").read_bytes()
    (stage.folder / "packed").write_bytes(pack(data))
    assert answer("import", "packed")["accepted"] == 3
    (stage.folder / "cut").write_bytes(pack(data)[:-4])
    code, _, err = gateway("import", "cut", "--dry-run")
    assert (code, err) == (1, "gateway: cut: the compressed file is damaged, or cut off\n")
    code, _, err = gateway("import", "cut")
    assert (code, err) == (1, "gateway: cut: the compressed file is damaged, or cut off\n")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PK\x03\x04", "a spreadsheet or a zip archive"),
        (b"[{}]", "a list of JSON"),
        (b"", "names of columns are expected"),
    ],
)
def test_what_is_no_file_of_rows(stage, gateway, data, told):
    (stage.folder / "f").write_bytes(data)
    code, out, err = gateway("import", "f")
    assert (code in (1, 2), out) == (True, "")
    assert told in err


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, lambda data: data.decode().encode("utf-16")], ids=["plain", "gzip", "utf-16"]
)
def test_a_file_that_has_grown_goes_on_with_its_new_rows(stage, answer, gateway, till, monkeypatch, pack):
    path = Path(till(4))
    whole = path.read_bytes()
    first = b"".join(whole.splitlines(keepends=True)[:3])

    def run(data, code=0):
        path.write_bytes(pack(data))
        return answer("import", str(path), code=code)

    assert run(first)["accepted"] == 2
    later = time.time() + 30 * DAY  # when nobody knows its rows any more
    monkeypatch.setattr("time.time", lambda: later)
    found = run(whole)
    assert (found["resumed_after"], found["rows"], found["accepted"], found["duplicates"]) == (2, 2, 2, 0)
    assert stored(stage) == ["o0", "o1", "o2", "o3"]
    path.write_bytes(pack(whole + b"\n"))
    code, _, err = gateway("import", str(path), "--timezone", "UTC")  # whose rows may be other events
    assert (code, "would count again" in " ".join(err.split())) == (1, True)
    assert run(first.replace(b"o0", b"o8") + b"x", code=1)["resumed_after"] is None  # it begins otherwise
    assert run(whole[:-1] + b"0\n", code=1)["resumed_after"] == 2  # its last row is another one


def test_which_source(stage, answer, gateway, till):
    shop = '[sources.hooks]\nkind = "shopify"\nsigning_secret = "a-secret-of-the-shop"\n'
    stage.configure("left", more=f'[sources.crm]\nwrite_key = "another-write-key-0001"\n{shop}')
    assert gateway("import", till(), "--source", "hooks")[0] == 2  # it takes webhooks alone
    code, _, err = gateway("import", till())
    assert code == 2
    assert "say as which source: --source NAME; there are: web, crm" in " ".join(err.split())
    assert gateway("import", till(), "--source", "shop")[0] == 2
    assert answer("import", till(), "--source", "crm")["source"] == "crm"
    assert answer("import", till(), "--source", "web")["accepted"] == 3  # each source is a stream of its own


def test_standard_input(stage, answer, monkeypatch, till):
    till()
    for count in (3, 0):
        with (stage.folder / "till.csv").open() as data:
            monkeypatch.setattr("sys.stdin", data)
            assert answer("import", "-")["accepted"] == count


# Again, and on from where it stopped.


def test_the_same_file_again_makes_no_doubles(stage, answer, till):
    path = till(extra=[f"Lead,{time.time() - 60:.0f},x@example.com,,,,DE,{GRANTED}"])
    assert answer("import", path)["accepted"] == 4
    found = answer("import", path)
    assert (found["accepted"], found["duplicates"]) == (0, 4)
    assert len(stored(stage)) == 4


def test_past_the_window_of_duplicates_only_on_request(stage, answer, gateway, till):
    path = till()
    answer("import", path)
    stage.change(f"UPDATE import SET began_at = began_at - {8 * DAY}, finished_at = finished_at - {8 * DAY}")
    stage.change(f"UPDATE intake SET committed_at = committed_at - {8 * DAY}")
    code, out, err = gateway("import", path)
    assert (code, out) == (1, "")
    assert "was imported already (3 rows" in err
    assert "--again imports it anew" in err
    assert len(stored(stage)) == 3
    assert answer("import", path, "--again")["accepted"] == 3
    assert answer("import", path)["duplicates"] == 3


def test_beginning_anew_does_not_make_rows_known_for_longer(stage, answer, gateway, till):
    """They are forgotten a window after they came, however often the file was looked at since."""
    path = till()
    answer("import", path)
    stage.change(f"UPDATE import SET began_at = began_at - {6 * DAY}")
    assert answer("import", path)["duplicates"] == 3
    stage.change(f"UPDATE import SET began_at = began_at - {2 * DAY}")
    assert gateway("import", path)[0] == 1


class Crash(BaseException):
    """The process ends."""


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 4])
def test_a_run_that_breaks_off_goes_on_with_each_row_once(stage, answer, gateway, till, monkeypatch, batch, before):
    monkeypatch.setattr("gateway.ingest.importing.run.BATCH", 3)
    path = till(11, extra=["broken"])
    real, count = Outbox.append, [0]

    async def append(self, *arguments):
        count[0] += 1
        if count[0] == batch and before:
            raise Crash
        found = await real(self, *arguments)
        if count[0] == batch:
            raise Crash
        return found

    with monkeypatch.context() as broken:
        broken.setattr(Outbox, "append", append)
        with pytest.raises(Crash):
            gateway("import", path)
    done = min(3 * (batch - before), 11)
    assert len(stored(stage)) == done
    stage.change(f"UPDATE intake SET committed_at = committed_at - {8 * DAY}")  # no duplicate is known any more
    found = answer("import", path, code=1)
    assert (found["accepted"], found["duplicates"], found["rejected"]) == (11, 0, 1)  # of the whole file
    assert found["resumed_after"] == (done + (batch == 4 and not before) or None)
    assert stored(stage) == [f"o{n}" for n in range(11)]


def test_a_group_is_not_cut_in_two(stage, answer, gateway, monkeypatch):
    monkeypatch.setattr("gateway.ingest.importing.run.BATCH", 2)
    (stage.folder / "m.toml").write_text(
        'group_by = "custom_data.order_id"\n[constants]\nevent_name = "Purchase"\nconsent.region = "US"\n', "utf-8"
    )
    rows = [f"{order},{time.time() - 60:.0f},5,USD,SKU{n},a@example.com" for order in "abcde" for n in range(3)]
    (stage.folder / "f.csv").write_text("\n".join(["order_id,event_time,value,currency,SKU,email", *rows]), "utf-8")
    real, count = Outbox.append, [0]

    async def append(self, *arguments):
        count[0] += 1
        found = await real(self, *arguments)
        if count[0] == 2:
            raise Crash
        return found

    with monkeypatch.context() as broken:
        broken.setattr(Outbox, "append", append)
        with pytest.raises(Crash):
            gateway("import", "f.csv", "--map", "m.toml")
    found = answer("import", "f.csv", "--map", "m.toml")
    assert (found["rows"], found["accepted"], found["duplicates"], found["resumed_after"]) == (15, 5, 0, 12)
    request = answer("replay", "--event-id", "b", "--dry-run")["left"]
    assert request is not None
    with closing(connect(stage.settings.outbox.path, readonly=True)) as db:
        payloads = [json.loads(row[0]) for row in db.execute("SELECT payload FROM event ORDER BY seq")]
    assert [[one["id"] for one in payload["custom_data"]["contents"]] for payload in payloads] == [
        ["SKU0", "SKU1", "SKU2"]
    ] * 5


def test_another_mapping_begins_anew_and_past_the_window_only_on_request(stage, answer, gateway, till, monkeypatch):
    monkeypatch.setattr("gateway.ingest.importing.run.BATCH", 2)
    path = till(5)
    monkeypatch.setattr("gateway.cli.intake.Intake._tell", lambda *_: None)
    stop_after(monkeypatch, 1)
    assert answer("import", path, code=1)["finished"] is False
    monkeypatch.undo()
    monkeypatch.chdir(stage.folder)
    found = answer("import", path, "--set", "test=no")
    assert (found["accepted"], found["duplicates"], found["resumed_after"]) == (3, 2, None)


def stop_after(monkeypatch, batches):
    """Have the run told to stop while its n-th batch is under way, as an interrupt does."""
    from gateway.ingest.importing.run import Import

    real, count = Import._take, [0]

    async def take(self, *arguments, **more):
        count[0] += 1
        self.stopping = count[0] >= batches
        await real(self, *arguments, **more)

    monkeypatch.setattr(Import, "_take", take)


def test_an_interrupted_run_says_how_to_go_on(stage, answer, gateway, till, monkeypatch):
    monkeypatch.setattr("gateway.ingest.importing.run.BATCH", 2)
    path = till(7)
    with monkeypatch.context() as interrupted:
        stop_after(interrupted, 2)
        code, out, _ = gateway("import", path)
    assert code == 1
    assert f"Stopped in {path}: 4 rows" in out
    assert "The same command goes on after these rows." in out
    code, out, _ = gateway("import", path)
    assert code == 0
    assert "It went on after 4 rows that were in already." in out
    assert stored(stage) == [f"o{n}" for n in range(7)]


@pytest.mark.parametrize(("error", "code"), [(OutboxFull, 1), (OutboxFailed, 74), (OutboxBusy, 1)])
def test_a_disk_that_is_full_or_fails_ends_it_and_it_goes_on_later(
    stage, answer, gateway, till, monkeypatch, error, code
):
    monkeypatch.setattr("gateway.ingest.importing.run.BATCH", 2)
    path, real, count = till(7), Outbox.append, [0]

    async def append(self, *arguments):
        count[0] += 1
        if count[0] == 3:
            raise error("gateway.db: it is so")
        return await real(self, *arguments)

    with monkeypatch.context() as broken:
        broken.setattr(Outbox, "append", append)
        ended, out, err = gateway("import", path)
    words = "gateway: gateway.db: it is so; 4 rows are in, and the same command goes on after them\n"
    assert (ended, out, err) == (code, "", words)
    assert answer("import", path)["accepted"] == 7
    assert stored(stage) == [f"o{n}" for n in range(7)]


def test_two_runs_at_once_stop_one_of_them(stage, answer, gateway, till, monkeypatch):
    monkeypatch.setattr("gateway.ingest.importing.run.BATCH", 2)
    path = till(7)
    real, count = Outbox.append, [0]

    async def append(self, records, work):
        count[0] += 1
        if count[0] == 2:  # another process has moved on meanwhile
            await self.write(lambda db: db.execute("UPDATE import SET position = 6"))
        return await real(self, records, work)

    monkeypatch.setattr(Outbox, "append", append)
    code, _, err = gateway("import", path)
    assert code == 1
    assert err.startswith("gateway: the same file is being imported by another process: this one has stopped")
    assert stored(stage) == ["o0", "o1"]  # its second batch was not kept


def test_who_was_erased_does_not_come_back(stage, answer, till):
    whole = Path(till(4))
    first = stage.folder / "first.csv"
    first.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:2]))
    answer("import", str(first))
    answer("erase", "--email", "p2@example.com")
    found = answer("import", str(whole), code=1)
    assert (found["resumed_after"], found["accepted"], found["errors"]) == (1, 2, {"person_erased": 1})


def test_positions_move_only_from_where_they_are(tmp_path):
    outbox = Outbox(tmp_path / "g.db")
    outbox.start()
    try:
        outbox.write_blocking(lambda db: imports.begin(db, b"f", "web", b"m", size=9, began_at=1.0, now=2.0))
        move = {"tally": "{}", "now": 3.0}
        outbox.write_blocking(lambda db: imports.move(db, b"f", "web", since=0, to=5, **move))
        with pytest.raises(imports.ImportTaken):
            outbox.write_blocking(lambda db: imports.move(db, b"f", "web", since=0, to=5, **move))
        outbox.write_blocking(lambda db: imports.move(db, b"f", "web", since=5, to=9, finished=True, **move))
        with pytest.raises(imports.ImportTaken):
            outbox.write_blocking(lambda db: imports.move(db, b"f", "web", since=9, to=9, **move))
        found = anyio.run(lambda: outbox.read(lambda db: imports.find(db, b"f", "web")))
        assert found == imports.Progress(b"m", 9, "{}", 1.0, 3.0, 3.0)
        assert anyio.run(lambda: outbox.read(lambda db: imports.find(db, b"f", "crm"))) is None
    finally:
        outbox.close()
