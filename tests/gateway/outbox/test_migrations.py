"""The database's shape, and who may bring it there."""

from __future__ import annotations

import threading

import pytest
from sqlite_utils import Database

from gateway.model.errors import OutboxError, OutboxFailed
from gateway.outbox import Outbox
from gateway.outbox.engine import connect
from gateway.outbox.migrations import migrate, migrations


def tables(path):
    db = connect(path)
    try:
        return {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    finally:
        db.close()


def test_a_fresh_file_gets_the_whole_shape(tmp_path):
    path = tmp_path / "gateway.db"
    Outbox(path)
    assert {"event", "clear", "decision", "intake", "lane", "delivery", "attempt", "receipt"} <= tables(path)
    db = connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert db.execute("PRAGMA secure_delete").fetchone()[0] == 1
    db.close()


def test_opening_again_changes_nothing(tmp_path):
    path = tmp_path / "gateway.db"
    Outbox(path)
    db = connect(path)
    before = db.execute("SELECT * FROM _sqlite_migrations").fetchall()
    db.close()
    Outbox(path)
    db = connect(path)
    assert db.execute("SELECT * FROM _sqlite_migrations").fetchall() == before
    db.close()


def test_a_database_from_a_newer_version_is_refused_and_not_changed(tmp_path):
    path = tmp_path / "gateway.db"
    Outbox(path)
    db = connect(path)
    db.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('gateway', 'm999_the_future', 'then')"
    )
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match=r"newer version of the gateway \(m999_the_future\)"):
        Outbox(path)
    assert path.read_bytes() == before


def test_many_openers_at_once_agree(tmp_path):
    path = tmp_path / "gateway.db"
    errors = []
    start = threading.Barrier(6)

    def open_it():
        start.wait()
        try:
            Outbox(path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert "event" in tables(path)


def test_a_step_that_fails_leaves_the_shape_of_before(tmp_path, monkeypatch):
    path = tmp_path / "gateway.db"
    first = migrations._migrations[:1]
    monkeypatch.setattr(migrations, "_migrations", [*first])

    @migrations()
    def m002_half(db):
        db.execute("CREATE TABLE half (one)")
        raise ZeroDivisionError

    db = connect(path)
    with pytest.raises(ZeroDivisionError):
        migrate(db, path)
    db.close()
    assert "event" in tables(path)
    assert "half" not in tables(path)
    monkeypatch.setattr(migrations, "_migrations", first)
    db = connect(path)
    assert [one.name for one in migrations.applied(Database(db))] == ["m001_the_log"]
    db.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be looked at" * 20, b"SQLite format 3\0" + b"\xff" * 4000]
)
def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "gateway.db"
    path.write_bytes(content)
    with pytest.raises(OutboxFailed, match="not a database"):
        Outbox(path)
    assert path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutboxError, match="its folder does not exist"):
        Outbox(tmp_path / "missing" / "gateway.db")


def test_a_path_with_signs_that_mean_something_in_a_url_is_opened(tmp_path):
    path = tmp_path / "50%3f of #1?.db"
    Outbox(path)
    assert path.is_file()
    assert "event" in tables(path)


def test_events_without_their_index_are_not_written_to(opened, record, put):
    put(opened(), record("a"))
    opened.close()
    db = connect(opened.path)
    db.execute("DELETE FROM intake")
    db.close()
    outbox = Outbox(opened.path)
    with pytest.raises(OutboxError, match="damaged"):
        outbox.start()
    outbox._writer._db.close()
