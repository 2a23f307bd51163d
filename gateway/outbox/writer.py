"""The one thread that writes: everything that waits goes into one transaction (group commit).

A caller hands over records or a function of the connection and gets a future. Groups form by themselves behind the
commit that is running; a timer would add nothing. A failed disk is never tried again: the thread stops and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.model.errors import OutboxBusy, OutboxError, OutboxFailed, OutboxFull
from gateway.outbox.append import Appended, Log, Record
from gateway.outbox.engine import (
    Connection,
    checkpoint,
    connect,
    is_of_a_statement,
    sqlite3,
    transaction,
    translated,
)
from gateway.outbox.space import Space

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

#: Bytes that may wait to be written before callers are turned away.
QUEUE_BYTES = 32 * 1024 * 1024
#: Jobs in one transaction at most, so that no commit grows without bound.
GROUP_JOBS = 2_000
#: The write-ahead log is copied into the database past this many bytes of it.
CHECKPOINT_BYTES = 16 * 1024 * 1024
#: What a group adds to the log beyond its jobs' own bytes: the pages it touches.
GROUP_BYTES = 16 * 1024


@dataclass(slots=True)
class _Job:
    """Something to do in a transaction: records to append, any other work, or both."""

    done: asyncio.Future[Any] | Future[Any]
    size: int
    records: Sequence[Record] = ()
    work: Callable[[Connection], Any] | None = None
    #: Done after the records are appended, with what became of them.
    beside: Callable[[Connection, list[Appended]], Any] | None = None


class Writer:
    """Runs jobs in groups on its own connection, in its own thread."""

    def __init__(self, path: Path, log: Log, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self._path = path
        self._log = log
        self._queue_bytes = queue_bytes
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._failure: OutboxFailed | None = None
        self._closed = False
        self._db = connect(path)
        self._thread = threading.Thread(target=self._run, name="outbox-writer", daemon=True)
        self._checkpointer = _Checkpointer(path, self._failed)
        self._space = Space(path)

    def start(self) -> None:
        """Fill the dedup index and begin to work."""
        self._space.keep()
        self._log.attach(self._db)
        self._thread.start()
        self._checkpointer.start()

    @property
    def failure(self) -> OutboxFailed | None:
        """The disk's failure that stopped the thread, if one did."""
        return self._failure

    @property
    def full(self) -> bool:
        """The disk has no space left, as far as is known."""
        return self._space.is_full()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait to be written."""
        return self._waiting_bytes

    def append(
        self, records: Sequence[Record], size: int, work: Callable[[Connection, list[Appended]], Any] | None = None
    ) -> asyncio.Future[list[Appended]]:
        """Store events in the next group; resolves after the commit. Called on an event loop.

        `size`: bytes that the records hold in memory. `work` is done in the same transaction, with what became of the
        records: both stand, or neither does. Raises `OutboxBusy` when too many wait, `OutboxFull` while the
        disk is full, the failure when it has failed. When nothing waits, there is always room in memory: coming back
        later would not make them fewer.
        """
        if self._space.is_full():
            raise OutboxFull(f"{self._path}: no space left on the disk")
        if self._waiting_bytes and self._waiting_bytes + size > self._queue_bytes:
            raise OutboxBusy("too many events wait to be written")
        done: asyncio.Future[list[Appended]] = asyncio.get_running_loop().create_future()
        self._put(_Job(done, size, records, beside=work))
        return done

    def run(self, work: Callable[[Connection], T], *, size: int = 0) -> asyncio.Future[T]:
        """Have `work` done in the next group; resolves after the commit. Called on an event loop. Never turned away."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._put(_Job(done, size, work=work))
        return done

    def run_blocking(self, work: Callable[[Connection], T]) -> T:
        """The same from plain code: waits for the commit."""
        done: Future[T] = Future()
        self._put(_Job(done, 0, work=work))
        return done.result()

    def close(self) -> None:
        """Finish what waits, then stop."""
        if not self._closed:
            with self._lock:
                self._closed = True
                self._queue.put(None)
            self._thread.join()
            self._checkpointer.stop()
            if self._failure is None:  # as closing does, but here it is heard of when it fails
                self._checkpointer.copy(self._db)
            self._db.close()

    def _put(self, job: _Job) -> None:
        if self._failure is not None:
            raise self._failure
        with self._lock:  # nothing gets behind the end of the queue
            if self._closed:
                raise OutboxError("the outbox is closed")
            self._waiting_bytes += job.size
            self._queue.put(job)

    def _run(self) -> None:
        last = False
        while not last:
            group, last = self._next_group()
            if group:
                outcomes = self._commit(group)
                size = sum(job.size for job in group)
                with self._lock:
                    self._waiting_bytes -= size
                _resolve(outcomes)
                self._checkpointer.written(size + GROUP_BYTES)

    def _next_group(self) -> tuple[list[_Job], bool]:
        group: list[_Job] = []
        job = self._queue.get()
        while job is not None:
            group.append(job)
            if self._queue.empty() or len(group) >= GROUP_JOBS:
                return group, False
            job = self._queue.get()
        return group, True

    def _commit(self, group: list[_Job]) -> list[tuple[_Job, Any, Exception | None]]:
        """Run a group in one transaction; a mistake of one job is its own, a fault of the disk everybody's."""
        try:
            if self._failure is not None:
                raise self._failure
            with transaction(self._db):
                self._log.sync(self._db)
                results = self._work(group)
        except Exception as error:
            self._log.forget()
            ours = translated(error, self._path) if isinstance(error, sqlite3.Error) else error
            if isinstance(ours, OutboxFailed):
                self._failed(ours)
            if isinstance(ours, OutboxFull):
                return self._without_space(group, ours)
            shared = isinstance(error, OutboxFailed | sqlite3.Error) and not is_of_a_statement(error)
            if len(group) > 1 and not shared:
                return [outcome for job in group for outcome in self._commit([job])]
            return [(job, None, ours) for job in group]
        with contextlib.suppress(sqlite3.Error):  # it is committed; what is not heard now is with the next group
            self._log.hear(self._db)
        return [(job, result, None) for job, result in zip(group, results, strict=True)]

    def _without_space(self, group: list[_Job], error: OutboxFull) -> list[tuple[_Job, Any, Exception | None]]:
        """The disk is full: new events are refused, and what remains is tried again in the reserve."""
        more = self._space.ran_out()
        refused = [job for job in group if job.work is None]
        rest = [job for job in group if job.work is not None]
        outcomes: list[tuple[_Job, Any, Exception | None]] = [(job, None, error) for job in refused]
        if rest and (refused or more):
            return [*outcomes, *self._commit(rest)]
        return [*outcomes, *((job, None, error) for job in rest)]

    def _failed(self, failure: OutboxFailed) -> None:
        self._failure = self._failure or failure

    def _work(self, group: list[_Job]) -> list[Any]:
        records = [record for job in group for record in job.records]
        appended = iter(self._log.append(self._db, records) if records else ())
        return [self._done(job, appended) for job in group]

    def _done(self, job: _Job, appended: Iterator[Appended]) -> Any:
        if job.work is not None:
            return job.work(self._db)
        results = list(islice(appended, len(job.records)))
        if job.beside is not None:
            job.beside(self._db, results)
        return results


def _resolve(outcomes: list[tuple[_Job, Any, Exception | None]]) -> None:
    """Tell the callers; those on an event loop all in one call, which is what makes many of them cheap."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any, Exception | None]]] = {}
    for job, result, error in outcomes:
        if isinstance(job.done, asyncio.Future):
            by_loop.setdefault(job.done.get_loop(), []).append((job.done, result, error))
        elif error is not None:
            job.done.set_exception(error)
        else:
            job.done.set_result(result)
    for loop, answers in by_loop.items():
        # a RuntimeError means that the loop has ended, and with it whoever waited
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_set_results, answers)


def _set_results(answers: list[tuple[asyncio.Future[Any], Any, Exception | None]]) -> None:
    for done, result, error in answers:
        if done.done():  # its caller was cancelled
            continue
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)


class _Checkpointer:
    """Copies the write-ahead log into the database on a connection of its own, so that no commit waits for it."""

    def __init__(self, path: Path, failed: Callable[[OutboxFailed], None]) -> None:
        """`failed` is told when the disk fails: as at a commit, a sync that failed is not tried again."""
        self._path = path
        self._failed = failed
        self._wake = threading.Event()
        self._stop = False
        self._bytes = 0
        self._thread = threading.Thread(target=self._run, name="outbox-checkpoint", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def written(self, size: int) -> None:
        """Count what a group added to the log; past the limit, a checkpoint is due."""
        self._bytes += size
        if self._bytes > CHECKPOINT_BYTES:
            self._bytes = 0
            self._wake.set()

    def stop(self) -> None:
        self._stop = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        db = connect(self._path)
        try:
            while not self._stop:
                self._wake.wait()
                self._wake.clear()
                self.copy(db)
        finally:
            db.close()

    def copy(self, db: Connection) -> None:
        """Copy what nobody reads any more."""
        try:
            checkpoint(db, self._path)
        except OutboxFailed as failure:
            self._failed(failure)
        except OutboxError:  # locked, or full: the log is copied another time
            return
