"""The one thread that writes."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import anyio
import pytest

from gateway.model.errors import OutboxBusy, OutboxError, OutboxFailed, OutboxFull
from gateway.outbox import space
from gateway.outbox.engine import sqlite3
from gateway.outbox.space import FULL_BYTES, Space


class Hold:
    """A job that keeps the writer busy until it is released, so that what follows forms one group."""

    def __init__(self, outbox):
        self._outbox = outbox
        self.begun, self.go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=outbox.write_blocking, args=(self._work,))

    def _work(self, db):
        self.begun.set()
        assert self.go.wait(10)

    def __enter__(self):
        self._thread.start()
        assert self.begun.wait(10)
        return self

    def __exit__(self, *_):
        self.go.set()
        self._thread.join()


async def outcome(call):
    """A job's result, or the kind of its error."""
    try:
        return await call
    except Exception as error:
        return type(error)


def together(outbox, *calls):
    """Run calls so that the writer finds them all waiting. Returns their outcomes."""
    results = [None] * len(calls)

    async def run():
        async def one(at, call):
            results[at] = await outcome(call())

        with Hold(outbox) as hold:
            async with anyio.create_task_group() as tasks:
                for at, call in enumerate(calls):
                    tasks.start_soon(one, at, call)
                while outbox._writer._queue.qsize() < len(calls):
                    await anyio.lowlevel.checkpoint()
                hold.go.set()

    anyio.run(run)
    return results


def broken(db):
    raise ZeroDivisionError


def bad_sql(db):
    db.execute("INSERT INTO lane (instance) VALUES (NULL)")


def misspelled(db):
    db.execute("SELECT nothing FROM nowhere")


def count(outbox, table="event"):
    with outbox.reading() as db:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_what_waits_goes_into_one_commit(opened, record):
    outbox = opened()
    made = [record(f"e{number}") for number in range(20)]
    results = together(outbox, *(lambda one=one: outbox.append([one]) for one in made))
    assert [answer[0].seq for answer in results] == list(range(1, 21))
    assert count(outbox, "intake") == 1


@pytest.mark.parametrize("mistake", [broken, bad_sql, misspelled])
def test_one_bad_job_spoils_none_of_its_neighbours(opened, record, mistake):
    outbox = opened()
    results = together(
        outbox,
        lambda: outbox.append([record("a")]),
        lambda: outbox.write(mistake),
        lambda: outbox.append([record("b"), record("a")]),
        lambda: outbox.write(lambda db: "done"),
    )
    assert issubclass(results[1], ZeroDivisionError | OutboxError)
    assert [one.seq for one in results[0]] == [1]
    assert [(one.seq, one.duplicate) for one in results[2]] == [(2, False), (1, True)]
    assert results[3] == "done"
    assert outbox.failure is None


def test_a_job_that_fails_leaves_nothing_of_itself(opened):
    outbox = opened()

    def half(db):
        db.execute("INSERT INTO lane (instance, cursor) VALUES ('half', 0)")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outbox.write_blocking(half)
    assert count(outbox, "lane") == 0


def test_a_rolled_back_append_forgets_its_keys_and_decisions(opened, record, put, monkeypatch):
    from gateway.outbox import append

    outbox = opened()
    insert = append.Log._insert
    monkeypatch.setattr(append.Log, "_insert", lambda self, *a: (insert(self, *a), broken(None)))
    with pytest.raises(ZeroDivisionError):
        put(outbox, record("a"))
    monkeypatch.setattr(append.Log, "_insert", insert)
    assert put(outbox, record("a")) == [(1, False)]
    with outbox.reading() as db:
        assert db.execute("SELECT count(*) FROM event JOIN decision ON id = decision").fetchone()[0] == 1


def test_too_much_waiting_is_turned_away_and_then_taken_again(opened, record, put):
    outbox = opened()
    outbox._writer._queue_bytes = 2_000

    async def run():
        with Hold(outbox) as hold:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(outbox.append, [record("a")] * 6)
                while not outbox.waiting_bytes:
                    await anyio.lowlevel.checkpoint()
                with pytest.raises(OutboxBusy):
                    await outbox.append([record("b")] * 6)
                hold.go.set()

    anyio.run(run)
    assert put(outbox, record("b")) == [(2, False)]
    assert outbox.waiting_bytes == 0


def test_a_request_that_is_larger_than_what_may_wait_is_taken_when_nothing_waits(opened, record, put):
    outbox = opened()
    outbox._writer._queue_bytes = 500
    assert len(put(outbox, *(record(str(number)) for number in range(6)))) == 6
    assert outbox.waiting_bytes == 0


def test_a_full_disk_is_told_and_heals(opened, record, put, monkeypatch):
    monkeypatch.setattr(space, "LOOK_S", 0.0)
    outbox = opened()
    put(outbox, record("a"))
    pages = outbox.write_blocking(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    outbox.write_blocking(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    big = [record(f"{number}-{'x' * 400}") for number in range(500)]
    with pytest.raises(OutboxFull):
        put(outbox, *big)
    assert outbox.failure is None
    assert count(outbox) == 1
    outbox.write_blocking(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    answers = put(outbox, *big)
    assert [seq for seq, _ in answers] == list(range(2, 502))
    assert not any(duplicate for _, duplicate in answers)


def test_on_a_full_disk_events_are_refused_and_what_is_known_of_deliveries_is_written_down(opened, record, put):
    outbox = opened()
    put(outbox, record("a"))
    pages = outbox.write_blocking(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    outbox.write_blocking(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    big = [record(f"{number}-{'x' * 400}") for number in range(500)]
    results = together(
        outbox,
        lambda: outbox.append(big),
        lambda: outbox.write(lambda db: db.execute("UPDATE event SET source = 'known'").rowcount),
        lambda: outbox.append([record("small")]),
    )
    assert results == [OutboxFull, 1, OutboxFull]
    with outbox.reading() as db:
        assert db.execute("SELECT source FROM event").fetchall() == [("known",)]


def test_room_is_kept_for_that_and_taken_again_when_there_is_plenty(opened, record, put, monkeypatch):
    monkeypatch.setattr(space, "LOOK_S", 0.0)
    outbox = opened()
    reserve = opened.path.with_name("gateway.db.reserve")
    assert reserve.stat().st_size == space.RESERVE_BYTES
    pages = outbox.write_blocking(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    outbox.write_blocking(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    with pytest.raises(OutboxFull):
        put(outbox, *(record(f"{number}-{'x' * 400}") for number in range(500)))
    assert not reserve.exists()
    outbox.write_blocking(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
    put(outbox, record("b"))
    assert reserve.stat().st_size == space.RESERVE_BYTES


def test_a_checkpoint_that_fails_is_the_disks_failure(opened, record, put, monkeypatch):
    failed = OutboxFailed("the disk failed")
    outbox = opened()
    assert outbox.failure is None
    outbox._writer._checkpointer._failed(failed)
    with pytest.raises(OutboxFailed):
        put(outbox, record("a"))
    assert outbox.failure is failed


class FailingDisk:
    """A connection whose commit fails as a disk does."""

    def __init__(self, db):
        self._db = db

    def __getattr__(self, name):
        return getattr(self._db, name)

    def execute(self, statement, *values):
        if statement == "COMMIT":
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = 1034  # SQLITE_IOERR_FSYNC
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error
        return self._db.execute(statement, *values)


def test_a_failed_disk_is_never_tried_again(opened, record, put):
    outbox = opened()
    writer = outbox._writer
    sound = writer._db
    writer._db = FailingDisk(sound)
    with pytest.raises(OutboxFailed, match="SQLITE_IOERR_FSYNC"):
        put(outbox, record("a"))
    writer._db = sound  # even if the disk seems well again
    with pytest.raises(OutboxFailed):
        put(outbox, record("b"))
    with pytest.raises(OutboxFailed):
        outbox.write_blocking(lambda db: None)
    assert isinstance(outbox.failure, OutboxFailed)
    assert count(outbox) == 0


def test_what_waits_with_the_failure_fails_with_it(opened, record):
    outbox = opened()
    writer = outbox._writer
    writer._db = FailingDisk(writer._db)
    made = [record(f"e{number}") for number in range(3)]

    async def run():
        results = []

        async def one(each):
            results.append(await outcome(outbox.append([each])))

        async with anyio.create_task_group() as tasks:
            for each in made:
                tasks.start_soon(one, each)
        return results

    assert anyio.run(run) == [OutboxFailed] * 3
    assert outbox.waiting_bytes == 0


def test_closing_finishes_what_waits(opened, record):
    outbox = opened()

    async def run():
        async with anyio.create_task_group() as tasks:
            with Hold(outbox) as hold:
                tasks.start_soon(outbox.append, [record("a")])
                while not outbox.waiting_bytes:
                    await anyio.lowlevel.checkpoint()
                closing = threading.Thread(target=outbox.close)
                closing.start()
                hold.go.set()
            await anyio.to_thread.run_sync(closing.join)

    anyio.run(run)
    with pytest.raises(OutboxError, match="closed"):
        outbox.write_blocking(lambda db: None)
    assert count(opened()) == 1


def test_a_caller_that_went_away_costs_nothing(opened, record, put):
    outbox = opened()

    async def run():
        with Hold(outbox) as hold:
            with anyio.move_on_after(0.01):
                await outbox.append([record("gone")])
            hold.go.set()

    anyio.run(run)
    assert put(outbox, record("gone"), record("b")) == [(1, True), (2, False)]


def test_the_log_is_copied_into_the_database_in_the_background(opened, record, put, monkeypatch, deadline):
    monkeypatch.setattr("gateway.outbox.writer.CHECKPOINT_BYTES", 100_000)
    outbox = opened()
    put(outbox, *(record(f"{number}-{'x' * 300}") for number in range(1000)))
    deadline(lambda: outbox.path.stat().st_size > 300_000)


def test_reading_does_not_see_what_is_not_committed(opened):
    outbox = opened()
    with Hold(outbox):
        assert count(outbox, "lane") == 0


def test_what_one_process_gave_back_the_others_do_not_take(tmp_path, monkeypatch):
    """The room of the reserve is for what must still be written, whichever process it ran out for."""
    free, now = [10 * FULL_BYTES], [0.0]
    monkeypatch.setattr("gateway.outbox.space.os.statvfs", lambda _: SimpleNamespace(f_bavail=free[0], f_frsize=1))
    monkeypatch.setattr("gateway.outbox.space.time.monotonic", lambda: now[0])
    one, other = Space(tmp_path / "gateway.db"), Space(tmp_path / "gateway.db")
    one.keep()
    other.keep()
    now[0] += 10
    free[0] = FULL_BYTES // 2
    assert not other.is_full()  # the reserve stands
    assert one.ran_out()
    now[0] += 10
    assert (one.is_full(), other.is_full()) == (True, True)
    free[0] = 2 * FULL_BYTES
    now[0] += 10
    assert (one.is_full(), other.is_full()) == (False, False)
    assert (tmp_path / "gateway.db.reserve").exists()
