"""The gateway's clocks, threads and disk as one seed has them: everything happens on the event loop, in its time.

What would happen on another thread happens here when the seed says so.
"""

from __future__ import annotations

import asyncio
import functools
import math
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.model.errors import OutboxFull
from gateway.outbox import Outbox
from gateway.outbox.writer import Writer
from tests.conftest import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import anyio
    import pytest

#: On a disk in memory where there is one: what a disk does to the outbox is for other tests.
MEMORY = next((one for one in ("/dev/shm",) if Path(one).is_dir()), None)  # noqa: S108  # for mkdtemp
#: Of people's pseudonyms: the same in each world.
KEY = "07" * 32
#: At today's times a number of seconds has no more digits than this.
RESOLUTION_S = 1e-6


class LoopClock(FakeClock):
    """Virtual time that the running event loop goes by as well: deadlines pass in it."""

    def __init__(self) -> None:
        super().__init__()
        self._loop: Any = asyncio.get_running_loop()
        self._loop.time, self._loop._clock_resolution = self.now, RESOLUTION_S

    def _following(self) -> float:
        timers = (one.when() for one in self._loop._scheduled if not one.cancelled())
        return min(super()._following(), min(timers, default=math.inf))


class ProcessClock:
    """A process's clock: as the machine's was when it started, which may have been wrong."""

    def __init__(self, clock: FakeClock, offset_s: float) -> None:
        self._clock, self._offset_s = clock, offset_s

    def now(self) -> float:
        return self._clock.now() + self._offset_s

    async def wait(self, event: anyio.Event, timeout_s: float | None) -> None:
        await self._clock.wait(event, timeout_s)


class Stopwatch:
    """Stands in for the module `time`: how long work takes is the seed's choice too."""

    def __init__(self, seed: int, clock: FakeClock) -> None:
        self._rng, self._clock, self._worked_s = random.Random(seed), clock, 0.0

    def perf_counter(self) -> float:
        self._worked_s += self._rng.choice((0.0, 0.0001, 0.02))
        return self._worked_s

    def monotonic(self) -> float:
        return self._clock.now()

    time = monotonic


def take_time(patch: pytest.MonkeyPatch, stopwatch: Stopwatch) -> None:
    """No module of the gateway looks at a real clock."""
    for name, module in list(sys.modules.items()):
        if name.startswith("gateway.") and getattr(module, "time", None) is time:
            patch.setattr(module, "time", stopwatch)


class InlineWriter(Writer):
    """Commits between two turns of the event loop, without threads: together what was handed over in one turn."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._db.execute("PRAGMA synchronous = OFF")
        self._jobs: list[Any] = []
        self.crashed = self.disk_full = False

    def start(self) -> None:
        self._log.attach(self._db)

    def close(self) -> None:
        self._closed = True
        self._db.close()

    def run_blocking(self, work: Callable[[Any], Any]) -> Any:
        [(_, result, error)] = self._commit([type("Job", (), {"records": (), "work": staticmethod(work)})])
        if error is not None:
            raise error
        return result

    def _put(self, job: Any) -> None:
        if not self._jobs:
            asyncio.get_running_loop().call_soon(self._flush)
        self._jobs.append(job)

    def _flush(self) -> None:
        group, self._jobs = self._jobs, []
        if self.crashed:
            return
        for job, result, error in self._commit(group):
            if job.done.done():
                continue
            if error is not None:
                job.done.set_exception(error)
            else:
                job.done.set_result(result)

    def _work(self, group: list[Any]) -> list[Any]:
        if self.disk_full and any(job.records for job in group):
            raise OutboxFull("no space left on the disk")
        return super()._work(group)


class InlineOutbox(Outbox):
    """An outbox whose every step happens on the event loop, after a wait of the seed's choice."""

    def __init__(self, path: Path, rng: random.Random, clock: Callable[[], float]) -> None:
        super().__init__(path, dedup_window_s=86_400.0, clock=clock)
        self._rng = rng
        self.writer = self._writer = InlineWriter(self.path, self._log)
        self.writer.start()
        self.writer._space.is_full = lambda: self.writer.disk_full  # type: ignore[method-assign]

    async def read(self, work: Callable[[Any], Any]) -> Any:
        for _ in range(self._rng.randrange(3)):
            await asyncio.sleep(0)
        if self.writer.crashed:
            await asyncio.Event().wait()
        with self.reading() as db:
            return work(db)

    async def leave_nothing_of(self, parts: Collection[bytes]) -> bool:
        return True  # what it does to the files is for other tests

    def fill(self, full: bool) -> None:
        """The disk has no space left, or some again."""
        self.writer.disk_full = self.writer._space.full = full


def new_folder() -> Path:
    """A folder with an empty outbox in it."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY))
    (folder / "gateway.db").write_bytes(_empty_outbox())
    (folder / "gateway.db.key").write_text(KEY)
    return folder


@functools.cache
def _empty_outbox() -> bytes:
    """The file of an outbox without events, made once."""
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=MEMORY))
    try:
        (folder / "gateway.db.key").write_text(KEY)
        Outbox(folder / "gateway.db").close()
        return (folder / "gateway.db").read_bytes()
    finally:
        shutil.rmtree(folder)
