"""Copies of the outbox: whole, private, and aware that what they owe may have been sent since."""

from __future__ import annotations

import stat
import threading

import anyio
import pytest

from gateway.model.errors import OutboxError
from gateway.outbox import backup, lanes
from gateway.outbox.engine import connect

WHEN = 1_795_000_100.0


def silent(left, total):
    """Nobody watches."""


def lane(outbox, name="acme", end=1):
    outbox.write_blocking(lambda db: lanes.open_lane(db, name, end))


def settle(outbox, seq, *, state=None):
    """As a lane does: an attempt that delivered, or a row."""

    def work(db):
        done = lanes.Tried([seq], WHEN - 5, 0.1, 200, "delivered", "", "") if state is None else None
        rows = [] if state is None else [lanes.Change(seq, state, 1, WHEN - 5, next_at=WHEN, code="again")]
        lanes.record(db, 1, cursor=None, tried=done, settled=(), changes=rows, now=WHEN)

    outbox.write_blocking(work)


def rows(path, statement):
    db = connect(path, readonly=True)
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


@pytest.fixture
def copied(opened, record, put, tmp_path):
    """A copy in which 1 is delivered, 2 waits, 3 is dead, 4 and 5 are to come (5 is not owed)."""
    outbox = opened()
    lane(outbox)
    put(outbox, *(record(one) for one in "abcd"), record("e", acme="consent"))
    settle(outbox, 1)
    settle(outbox, 2, state="waiting")
    settle(outbox, 3, state="dead")
    return backup.copy(opened.path, tmp_path / "copy.db", WHEN, silent)


def test_a_copy_is_one_private_file_with_everything_in_it(copied, tmp_path):
    assert (copied.events, copied.made_at) == (5, WHEN)
    assert stat.S_IMODE(copied.path.stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith("copy")) == ["copy.db"]
    assert rows(copied.path, "SELECT event_id FROM event ORDER BY seq") == [(one,) for one in "abcde"]
    assert rows(copied.path, "PRAGMA integrity_check") == [("ok",)]


def test_it_is_one_moment_although_others_write_meanwhile(opened, record, put, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "PAGES", 5)
    outbox = opened()
    put(outbox, *(record(f"early-{number}", clear=b"x" * 500) for number in range(500)))
    added = iter(range(10_000))

    def meanwhile(left, total):
        put(outbox, record(f"late-{next(added)}"))

    found = backup.copy(opened.path, tmp_path / "copy.db", WHEN, meanwhile)
    assert next(added) > 5
    assert found.events == 500
    assert rows(found.path, "SELECT count(*) FROM intake") == [(1,)]


def test_nothing_is_replaced_and_nothing_is_left_behind(opened, tmp_path):
    opened()
    there = tmp_path / "copy.db"
    there.write_text("mine")
    with pytest.raises(OutboxError, match="is there already"):
        backup.copy(opened.path, there, WHEN, silent)
    assert there.read_text() == "mine"
    with pytest.raises(OutboxError, match="cannot be written"):
        backup.copy(opened.path, tmp_path / "no" / "copy.db", WHEN, silent)
    assert not (tmp_path / "no").exists()


def test_a_damaged_outbox_gives_no_copy(opened, record, put, tmp_path):
    outbox = opened()
    put(outbox, *(record(f"event-{number}", clear=b"x" * 800) for number in range(300)))
    outbox.close()
    with opened.path.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"\xff" * 3 * 4096)
    with pytest.raises(OutboxError):
        backup.copy(opened.path, tmp_path / "copy.db", WHEN, silent)
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith("copy")] == []


def test_what_a_copy_owes_may_have_been_sent_since(copied, opened):
    opened.path = copied.path
    opened().close()
    found = rows(copied.path, "SELECT seq, state, unseen, first_at, code FROM delivery ORDER BY seq")
    assert found == [
        (2, "waiting", 1, WHEN - 5, "again"),
        (3, "dead", 0, WHEN - 5, "again"),
        (4, "waiting", 1, WHEN, "restored"),
    ]
    assert rows(copied.path, "SELECT count(*) FROM sqlite_master WHERE name = 'backup'") == [(0,)]


def test_that_is_said_once(copied, opened):
    opened.path = copied.path
    opened().close()
    outbox = opened()
    outbox.write_blocking(lambda db: db.execute("UPDATE delivery SET unseen = 0").rowcount)
    outbox.close()
    opened().close()
    assert rows(copied.path, "SELECT sum(unseen) FROM delivery") == [(0,)]


def test_the_outbox_that_was_copied_is_not_changed(copied, opened):
    assert rows(opened.path, "SELECT count(*) FROM sqlite_master WHERE name = 'backup'") == [(0,)]
    assert rows(opened.path, "SELECT sum(unseen) FROM delivery") == [(0,)]


def test_the_way_back_moves_what_is_there_aside(copied, opened, record, put):
    outbox = opened()
    put(outbox, record("later"))
    opened.close()
    moved = backup.restore(copied.path, opened.path, ".old")
    assert moved[0] == opened.path.with_name("gateway.db.old")
    assert rows(moved[0], "SELECT count(*) FROM event") == [(6,)]
    assert rows(opened.path, "SELECT count(*) FROM event") == [(5,)]
    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o600
    assert copied.path.exists()


@pytest.mark.parametrize("holder", ["server", "dispatcher"])
def test_there_is_no_way_back_beneath_a_running_gateway(copied, opened, holder):
    opened.close()
    outbox = opened()
    if holder == "dispatcher":
        assert outbox.take_lease()
    with pytest.raises(OutboxError, match="in use"):
        backup.restore(copied.path, opened.path, ".old")
    assert rows(opened.path, "SELECT count(*) FROM event") == [(5,)]


def test_a_file_that_is_no_copy_is_refused(tmp_path, opened):
    other = tmp_path / "other.db"
    other.write_bytes(b"no database at all" * 100)
    with pytest.raises(OutboxError, match="not a database"):
        backup.restore(other, opened.path, ".old")
    connect(tmp_path / "empty.db").close()
    with pytest.raises(OutboxError, match="not an outbox"):
        backup.look(tmp_path / "empty.db")
    assert not opened.path.exists()


def test_an_outbox_with_a_write_ahead_log_is_no_copy(opened, record, put, tmp_path):
    put(opened(), record("a"))
    with pytest.raises(OutboxError, match="not a copy but an outbox"):
        backup.restore(opened.path, tmp_path / "another.db", ".old")
    assert opened.path.with_name("gateway.db-wal").exists()


def test_a_copy_under_load_loses_nothing_that_was_acknowledged_before(opened, record, put, tmp_path):
    outbox, stop, stored = opened(), threading.Event(), []

    def load():
        async def run():
            number = 0
            while not stop.is_set():
                await outbox.append([record(f"event-{number}")])
                stored.append(number)
                number += 1

        anyio.run(run)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        while len(stored) < 50:
            stop.wait(0.001)
        before = len(stored)
        found = backup.copy(opened.path, tmp_path / "copy.db", WHEN, silent)
    finally:
        stop.set()
        thread.join()
    assert before <= found.events <= len(stored)
