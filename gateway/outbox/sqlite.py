"""The embedded outbox: one SQLite file, one writer thread, readers apart."""

from __future__ import annotations

import contextlib
import os
import time
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, TypeVar

import anyio.to_thread

from gateway.model.errors import OutboxError, OutboxFailed
from gateway.outbox import residue, visits
from gateway.outbox.append import Appended, Log, Record, is_of_the_past
from gateway.outbox.engine import Connection, checkpoint, connect, empty_wal, lease_of, sqlite3, translated
from gateway.outbox.migrations import check_shape, migrate
from gateway.outbox.people import People, denial_of
from gateway.outbox.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from gateway.privacy.visits import Key
    from gateway.privacy.withdrawal import Denial

T = TypeVar("T")

#: Slices in which the dedup index is swept, one at a time.
SWEEP_SLICES = 64


class Outbox:
    """Events and deliveries on disk.

    Reads are functions of a connection, run on a thread of their own (`read`) or in place (`reading`); writes are
    functions of the writer's connection, run in its next group (`write`).
    """

    def __init__(
        self, path: Path, *, dedup_window_s: float = 7 * 86400.0, clock: Callable[[], float] = time.time
    ) -> None:
        """Open or make the file and bring it to this version's shape. Raises `OutboxError`."""
        self.path = path
        if not path.parent.is_dir():
            raise OutboxError(f"{path}: its folder does not exist")
        with contextlib.suppress(OSError):  # there already, or not to be made: what opens it says which
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(connect(path, as_it_is=True)) as db:
            check_shape(db, path)
        db = connect(path)
        try:
            self.people = People(migrate(db, path))
            checkpoint(db, path)
        finally:
            db.close()
        self._log = Log(dedup_window_s, self.people, clock)
        self._writer: Writer | None = None
        self._readers: LifoQueue[Connection] = LifoQueue()
        self._lease = lease_of(path)
        self._on_append: list[Callable[[], None]] = []
        self._sweep_index = 0
        self._knows_visits, self._look_again = False, 0.0
        #: Calls of `append` under way.
        self.appending = 0

    def start(self) -> None:
        """Start the writer."""
        self._writer = Writer(self.path, self._log)
        self._writer.start()

    def close(self) -> None:
        """Finish what is to be written, give the lease back, close the file."""
        with contextlib.suppress(Empty):
            while True:  # before the writer: the last to close copies the write-ahead log into the database
                self._readers.get_nowait().close()
        if self._writer is not None:
            self._writer.close()
        self.release_lease()

    @property
    def failure(self) -> OutboxFailed | None:
        """The disk's failure, after which nothing is written any more."""
        return self._writer.failure if self._writer else None

    @property
    def full(self) -> bool:
        """The disk has no space left: events are refused, deliveries go on."""
        return self._writer is not None and self._writer.full

    @property
    def waiting_bytes(self) -> int:
        """Bytes of events that wait to be written."""
        return self._writer.waiting_bytes if self._writer else 0

    async def append(
        self, records: Sequence[Record], work: Callable[[Connection, list[Appended]], object] | None = None
    ) -> list[Appended]:
        """Store events; returns after the commit, in the order of `records`.

        `work` is done in the same transaction, with what became of them; what it raises undoes both.
        """
        size = sum(len(one.payload) + 200 for one in records)
        self.appending += 1
        try:
            appended = await self._running.append(records, size, work)
        finally:
            self.appending -= 1
        for notify in self._on_append:
            notify()
        return appended

    def on_append(self, notify: Callable[[], None]) -> None:
        """Have `notify` called (on the event loop) after each commit of new events in this process."""
        self._on_append.append(notify)

    async def write(self, work: Callable[[Connection], T], *, size: int = 0) -> T:
        """Run `work` on the writer's connection, inside its next transaction; returns after the commit."""
        return await self._running.run(work, size=size)

    def write_blocking(self, work: Callable[[Connection], T]) -> T:
        """The same from plain code."""
        return self._running.run_blocking(work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a reader's connection, on another thread."""

        def on_thread() -> T:
            with self.reading() as db:
                return work(db)

        return await anyio.to_thread.run_sync(on_thread)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A reader's connection, for the time of the block."""
        try:
            db = self._readers.get_nowait()
        except Empty:
            db = connect(self.path, readonly=True)
        try:
            yield db
        except sqlite3.Error as error:
            db.close()
            raise translated(error, self.path) from error
        except BaseException:
            db.close()
            raise
        self._readers.put(db)

    @property
    def key(self) -> bytes:
        """The key of people's pseudonyms."""
        return self.people.key

    def denial(self, people: Sequence[int]) -> Denial | None:
        """What the person with these pseudonyms has taken back of their consent, as far as this process knows.

        Whoever sends asks again: another process may have heard more.
        """
        if not (known := self.people.among(people)):
            return None
        with self.reading() as db:
            return denial_of(db, known)

    def knows_visits(self) -> bool:
        """Whether anything is remembered of any visit. Who remembers none looks again after a second."""
        if not self._knows_visits and (now := time.monotonic()) >= self._look_again:
            self._look_again = now + 1.0
            with self.reading() as db:
                self._knows_visits = visits.any_there(db)
        return self._knows_visits

    def visits_were_told(self) -> None:
        """There is something to be found from now on."""
        self._knows_visits = True

    def visits(self, keys: Sequence[Key], now: float) -> list[tuple[str, bytes]]:
        """(kind, content) of what is remembered under these keys, in their order."""
        with self.reading() as db:
            return visits.find(db, keys, now)

    def is_of_the_past(self, record: Record) -> bool:
        """Whether its person was erased since it happened, so that it would not be stored."""
        with self.reading() as db:
            self.people.hear(db)
            return is_of_the_past(db, self.people, record)

    def take_lease(self) -> bool:
        """Become the one dispatcher of this outbox; `False` while another process is.

        The lease is a lock of the operating system: it needs no clock and ends with the process that holds it.
        """
        return self._lease.acquire(wait=False)

    def holds_lease(self) -> bool:
        """Whether it is still held: another process would get it if somebody had deleted its file."""
        return self._lease.is_held()

    def release_lease(self) -> None:
        """Let another process dispatch."""
        self._lease.release()

    async def empty_wal(self) -> bool:
        """Copy the write-ahead log into the database and cut it to nothing; `False` if a reader was in the way."""

        def on_thread() -> bool:
            with contextlib.closing(connect(self.path)) as db:
                return empty_wal(db, self.path)

        return await anyio.to_thread.run_sync(on_thread)

    async def leave_nothing_of(self, parts: Collection[bytes]) -> bool:
        """Empty the write-ahead log, and write the database anew if one of these is left in its free space.

        Returns whether nothing is left of them; `False` if somebody else's reading or writing was in the way.
        """
        if not await self.empty_wal():
            return False
        if not await anyio.to_thread.run_sync(residue.is_left, self.path, parts):
            return True
        try:
            await anyio.to_thread.run_sync(residue.write_anew, self.path)
        except OutboxError:
            return False
        return await self.empty_wal()

    async def sweep_dedup(self) -> None:
        """Forget dedup keys past the window, a slice at a time."""
        index = self._sweep_index
        self._sweep_index = (index + 1) % SWEEP_SLICES
        await self.write(lambda db: self._log.sweep(db, SWEEP_SLICES, index))

    @property
    def _running(self) -> Writer:
        if self._writer is None:
            raise OutboxError("the outbox was not started")
        return self._writer
