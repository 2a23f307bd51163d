"""The key of pseudonyms, the index of people, and an erasure that leaves nothing behind."""

from __future__ import annotations

import json
import random
import stat
from contextlib import closing
from hashlib import sha256

import anyio
import pytest
from msgspec.structs import replace

from gateway.model.delivery import State
from gateway.model.errors import OutboxError
from gateway.outbox import Outbox, engine, lanes, ledger, people, queries, sqlite, visits
from gateway.outbox.engine import connect
from gateway.outbox.erasure import erase
from gateway.outbox.people import People, key_path
from gateway.privacy.visits import Key, Told, Visit
from gateway.privacy.withdrawal import Denial, Said


def of(number: int) -> int:
    return (number + 1) * 0x9E3779B97F4A7C15 % 2**62 - 2**61


class TestKey:
    def test_lies_beside_the_database_for_its_owner_alone(self, opened):
        outbox = opened()
        path = key_path(outbox.path)
        assert path.parent == outbox.path.parent
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert bytes.fromhex(path.read_text()) == outbox.key
        assert len(outbox.key) == 32

    def test_is_never_in_the_database(self, opened, record, put):
        outbox = opened()
        put(outbox, record("a", people=(1, 2)))
        for file in outbox.path.parent.glob(outbox.path.name + "*"):
            if file != key_path(outbox.path):
                content = file.read_bytes()
                assert outbox.key not in content
                assert outbox.key.hex().encode() not in content

    def test_stays_the_same(self, opened):
        key = opened().key
        assert opened().key == key

    def test_lost_while_people_are_known_by_it_stops_the_start(self, opened, record, put):
        outbox = opened()
        put(outbox, record("a", people=(1,)))
        outbox.close()
        key_path(outbox.path).unlink()
        with pytest.raises(OutboxError, match="the key by which people are found"):
            Outbox(outbox.path)
        assert not key_path(outbox.path).exists()

    def test_lost_while_a_visit_is_known_by_it_stops_the_start(self, opened):
        outbox = opened()
        told = {"user_data.gclid": Told("made-up", 1.0, "web")}
        visit = Visit([Key("cart_token", of(1), 1)], told, 2e9, 86_400.0, 86_400.0)
        outbox.write_blocking(lambda db: visits.remember(db, visit))
        outbox.close()
        key_path(outbox.path).unlink()
        with pytest.raises(OutboxError, match="the key by which people are found"):
            Outbox(outbox.path)

    def test_another_one_stops_the_start(self, opened, record, put):
        outbox = opened()
        put(outbox, record("a", people=(1,)))
        outbox.close()
        key_path(outbox.path).write_text("00" * 32)
        with pytest.raises(OutboxError, match="not the key that the outbox was written with"):
            Outbox(outbox.path)

    @pytest.mark.parametrize("content", ["", "00" * 31, "zz" * 32])
    def test_that_is_none_stops_the_start(self, opened, content):
        outbox = opened()
        outbox.close()
        key_path(outbox.path).write_text(content)
        with pytest.raises(OutboxError, match="64 hexadecimal digits"):
            Outbox(outbox.path)

    def test_lost_before_anybody_is_known_by_it_is_made_anew(self, opened):
        outbox = opened()
        outbox.close()
        key_path(outbox.path).unlink()
        assert opened().key != outbox.key


class TestIndex:
    def test_finds_all_events_of_a_person_and_no_others(self, opened, record, put):
        outbox, chance, about = opened(), random.Random(5), {}
        number = 0
        for size in (1, 1, 7, 40, 300, 2):
            batch = []
            for _ in range(size):
                number += 1
                about[number] = {of(chance.randrange(30)) for _ in range(chance.randrange(4))}
                batch.append(record(f"e{number}", people=tuple(about[number])))
            put(outbox, *batch)
        with outbox.reading() as db:
            for who in range(30):
                expected = [seq for seq, mine in about.items() if of(who) in mine]
                assert people.events_about(db, [of(who)]) == expected
                assert people.events_about(db, [of(who)], after=20, up_to=200) == [n for n in expected if 20 < n <= 200]
                many = [of(who), *range(people.FEW)]
                assert people.events_about(db, many, after=20, up_to=200) == [n for n in expected if 20 < n <= 200]
            seqs = [3, 9, 10, 300, 351]
            assert people.people_of(db, seqs) == {seq: about[seq] for seq in seqs if about[seq]}

    def test_the_bytes_of_two_entries_together_are_nobody(self, opened, record, put):
        outbox = opened()
        put(outbox, record("a", people=(0x1111111122222222, 0x3333333344444444)))
        with outbox.reading() as db:
            data = db.execute("SELECT people FROM intake").fetchone()[0]
            for at in range(1, 12):
                who = int.from_bytes(data[at : at + 8], "little", signed=True)
                assert people.events_about(db, [who]) == []

    def test_of_another_process_is_heard(self, opened, record, put):
        one, other = opened(), opened()
        one.write_blocking(lambda db: people.remember(db, [7], Said(denied=frozenset({"ad_storage"})), 1.0))
        assert one.denial([7]) == Denial(frozenset({"ad_storage"}))
        put(other, record("a"))  # it hears when it writes
        assert other.denial([7]) == Denial(frozenset({"ad_storage"}))
        assert other.denial([8]) is None

    def test_who_has_nothing_denied_any_more_is_forgotten(self, opened):
        outbox = opened()
        outbox.write_blocking(lambda db: people.remember(db, [7, 8], Said(denied=frozenset({"ad_storage"})), 1.0))
        outbox.write_blocking(lambda db: people.remember(db, [7], Said(granted=frozenset({"ad_storage"})), 2.0))
        assert outbox.denial([7]) is None
        assert outbox.denial([8]) is not None
        with outbox.reading() as db:
            assert db.execute("SELECT who FROM person").fetchall() == [(8,)]

    def test_what_was_rolled_back_was_not_heard(self, opened):
        outbox = opened()

        def fails(db):
            people.remember(db, [7], Said(denied=frozenset({"ad_storage"})), 1.0)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            outbox.write_blocking(fails)
        outbox.write_blocking(lambda db: people.remember(db, [8], Said(denied=frozenset({"ad_storage"})), 1.0))
        assert outbox.denial([7]) is None
        assert outbox.denial([8]) is not None

    def test_is_read_by_threads_at_once(self, opened):
        outbox = opened()
        outbox.write_blocking(lambda db: people.remember(db, range(500), Said(denied=frozenset({"ad_storage"})), 1.0))
        fresh = People(outbox.key)

        async def hear():
            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(outbox.read, fresh.hear)

        anyio.run(hear)
        assert fresh.among(range(-5, 500)) == list(range(500))


def wipe(outbox: Outbox, *whos: int, now: float = 50.0, **options: bool):
    return anyio.run(lambda: erase(outbox, whos, now, **options))


class TestErasure:
    def test_takes_every_row_of_the_person(self, opened, record, put):
        outbox = opened()
        outbox.write_blocking(lambda db: lanes.open_lane(db, "acme", 1))
        put(outbox, *(record(f"e{number}", people=(of(number % 2),)) for number in range(10)))
        tried = lanes.Tried([1, 2, 3, 4], 1.0, 0.1, 200, "mixed", "", "", serials=[lanes.Bond(5, 1.0)] * 4)
        changes = [lanes.Change(seq, State.DEAD, 1, 1.0, unseen=seq == 3, code="x") for seq in (3, 4)]
        changes.append(lanes.Change(5, State.WAITING, 1, next_at=1.0))
        outbox.write_blocking(
            lambda db: lanes.record(db, 1, cursor=5, tried=tried, settled=(), changes=changes, now=2.0)
        )
        erased = wipe(outbox, of(0))  # 1, 3, 5, 7, 9
        held = erased.destinations["acme"]
        assert (erased.events, held.delivered, held.unsure, held.stopped) == (5, 1, 1, 3)
        with outbox.reading() as db:
            for table in ("event", "clear"):
                assert [row[0] for row in db.execute(f"SELECT seq FROM {table}")] == [2, 4, 6, 8, 10]
            assert db.execute("SELECT seq FROM delivery").fetchall() == [(4,)]
            assert db.execute("SELECT seq FROM serial").fetchall() == [(2,), (4,)]
            assert people.events_about(db, [of(0)]) == []
            assert people.events_about(db, [of(1)]) == [2, 4, 6, 8, 10]
            assert [queries.find(db, f"e{number}") == [] for number in range(10)] == [True, False] * 5
            assert db.execute("SELECT who, erased_at FROM person").fetchall() == [(of(0), 50.0)]

    def test_of_nobody_is_remembered_all_the_same(self, opened, record, put):
        outbox = opened()
        put(outbox, record("a", people=(1,)))
        erased = wipe(outbox, 9)
        assert (erased.events, erased.linked_events, erased.destinations) == (0, 0, {})
        assert put(outbox, record("b", people=(9,), at=49.0)) == [(0, False)]
        with outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM event").fetchone() == (1,)

    def test_an_events_own_time_says_whether_it_is_of_the_past(self, opened, record, put):
        outbox = opened()
        wipe(outbox, 9)
        put(outbox, record("a", people=(1, 9), at=50.0), record("b", people=(9,), at=50.001), record("c", at=1.0))
        with outbox.reading() as db:
            assert [row[0] for row in db.execute("SELECT event_id FROM event")] == ["b", "c"]

    def test_the_last_one_counts(self, opened, record, put):
        outbox = opened()
        wipe(outbox, 9, now=50.0)
        wipe(outbox, 9, now=80.0)
        put(outbox, record("a", people=(9,), at=70.0))
        with outbox.reading() as db:
            assert db.execute("SELECT count(*) FROM event").fetchone() == (0,)

    def test_another_process_keeps_the_person_out_at_once(self, opened, record, put):
        one, other = opened(), opened()
        wipe(one, 9)
        assert put(other, record("a", people=(9,), at=1.0)) == [(0, False)]
        with one.reading() as db:
            assert db.execute("SELECT count(*) FROM event").fetchone() == (0,)

    def test_leaves_nothing_in_the_files(self, opened, record, put):
        """Rows of many sizes, deleted in any order, on pages that were split and merged: no digest stays anywhere."""
        outbox, chance = opened(), random.Random(8)
        digests = {number: sha256(str(number).encode()).hexdigest().encode() for number in range(300)}

        made = []
        for number, digest in digests.items():
            filler = bytes(chance.randrange(97, 123) for _ in range(chance.randrange(9_000)))
            made.append(
                replace(record(f"e{number}", people=(of(number),)), payload=digest + filler, clear=b"c" + digest)
            )
        for at in range(0, 300, 25):
            put(outbox, *made[at : at + 25])
        gone = chance.sample(range(300), 150)
        for number in gone:
            assert wipe(outbox, of(number)).overwritten
        files = [one for one in outbox.path.parent.iterdir() if one.name.startswith(outbox.path.name)]
        content = b"".join(one.read_bytes() for one in files)
        pseudonyms = {number: of(number).to_bytes(8, "little", signed=True) for number in range(300)}
        assert [number for number in gone if digests[number] in content] == []
        assert all(digests[number] in content for number in range(300) if number not in gone)
        # as the index had it; among the erased it stands the other way round
        assert [number for number in gone if pseudonyms[number] in content] == []

    def test_says_when_a_reader_is_in_the_way(self, opened, record, put, monkeypatch):
        outbox = opened()
        put(outbox, record("a", people=(9,)))

        monkeypatch.setattr(sqlite, "empty_wal", lambda db, path: engine.empty_wal(db, path, patience_s=0.0))
        monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 10)
        with closing(connect(outbox.path, readonly=True)) as db:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM event").fetchone()
            assert not wipe(outbox, 9).overwritten
        assert wipe(outbox, 9).overwritten

    def test_stands_in_the_ledger_without_the_person(self, opened, record, put):
        outbox = opened()
        put(outbox, record("a", people=(9,)), record("b", people=(8,)))
        outbox.write_blocking(lambda db: people.remember(db, [9], Said(denied=frozenset({"ad_storage"})), 40.0))
        outbox.write_blocking(lambda db: people.remember(db, [9], Said(granted=frozenset({"ad_storage"})), 45.0))
        wipe(outbox, 9)
        with outbox.reading() as db:
            rows = [row for row in ledger.rows(db) if row.kind in ("withdrawal", "grant", "erasure")]
        assert [(row.kind, row.at) for row in rows] == [("withdrawal", 40.0), ("grant", 45.0), ("erasure", 50.0)]
        assert [json.loads(row.entries)["denied"] for row in rows[:2]] == [["ad_storage"], []]
        assert json.loads(rows[2].entries) == {"events": 1}
