"""Rows → events → the door → the outbox, in batches. A batch and the position after it are stored together."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio.lowlevel

from gateway.config import Source
from gateway.ingest.formats.files.events import Row, Translated, Translator, Trouble
from gateway.ingest.formats.files.places import CONTENTS
from gateway.ingest.importing.file import FileUnusable
from gateway.ingest.importing.steps import Step, steps
from gateway.ingest.importing.tally import Tally, encoded
from gateway.ingest.pipeline import ERASED, EXPLAINED, Door, Taken
from gateway.outbox import Appended, Outbox, imports
from gateway.outbox.keys import Keys
from gateway.outbox.packing import pack
from gateway.schema import MAX_FAULTS

if TYPE_CHECKING:
    from gateway.model.errors import Fault
    from gateway.outbox.engine import Connection

#: Rows in one batch: what a running gateway waits for while a batch is written, a few milliseconds.
BATCH = 100
#: Rows after which others have their turn.
SLICE = 25
#: The products' place in the event.
_PRODUCTS = "/" + CONTENTS.strip(".").replace(".", "/")

#: An event of the same file that came before, where nothing is stored.
_AGAIN = Appended(0, duplicate=True)

#: Level of what is told of a row.
ERROR, WARNING, DUPLICATE = "error", "warning", "duplicate"

Tell = Callable[[str, Trouble], None]


@dataclass(frozen=True, slots=True)
class File:
    """The file that is imported, as the outbox remembers it."""

    fingerprint: bytes
    source: str
    #: Bytes of its content.
    size: int = 0
    #: Fingerprints that it may have had before it grew, the longest first.
    beginnings: tuple[bytes, ...] = ()


@dataclass(slots=True)
class Import:
    """One run over the rows of a file."""

    door: Door
    source: Source
    #: Where events go; `None`: nothing is stored, this only tells what would become of them.
    outbox: Outbox | None
    #: What is remembered of the file; `None` where it cannot be read again.
    file: File | None
    #: Makes events of rows; `None`: lines that are events already.
    translator: Translator | None
    #: Of derived ids.
    key: bytes
    #: Told of each fault, warning and duplicate.
    tell: Tell
    #: Told after each batch.
    moved: Callable[[Tally], None]
    #: What becomes of an accepted event beyond what the door says: destination → status.
    outlook: Callable[[Taken], Any] | None = None
    #: Tell all faults of all rows, not only the first of most.
    thorough: bool = False
    clock: Callable[[], float] = time.time
    tally: Tally = field(default_factory=Tally)
    position: int = 0
    #: Set to end after the batch that is under way.
    stopping: bool = False
    _seen: Keys = field(default_factory=Keys)
    _explained: int = 0

    async def run(self, rows: Iterable[Row | Trouble]) -> bool:
        """Take the rows in. Returns whether that was all of them: `False` if it was stopped."""
        batch: list[Step] = []
        try:
            for step in steps(rows, self.translator, self.key, self.clock, self.position):
                batch.append(step)
                if len(batch) >= BATCH:
                    full, batch = batch, []
                    await self._take(full)
                    if self.stopping:
                        return False
        except FileUnusable:
            if batch:  # what could still be read
                await self._take(batch)
            raise
        await self._take(batch, last=True)
        return True

    async def _take(self, batch: Sequence[Step], *, last: bool = False) -> None:
        """One batch through the door and into the outbox."""
        if not batch and not last:
            return
        now = self.clock()
        through: list[tuple[Translated, Taken]] = []
        for index, step in enumerate(batch):
            if index % SLICE == SLICE - 1:
                await anyio.lowlevel.checkpoint()
            if isinstance(step.what, Translated) and step.what.event is not None:
                through.append((step.what, self._through(step.what, now)))
        appended = await self._store(batch, through, last=last)
        self._report(batch, through, appended)
        self.moved(self.tally)

    def _through(self, one: Translated, now: float) -> Taken:
        most = MAX_FAULTS if self.thorough or self._explained < EXPLAINED else 1
        taken = self.door.take(one.event, self.source, now, odd=any(row.odd for row in one.rows), most_faults=most)
        self._explained += taken.record is None
        return taken

    async def _store(
        self, batch: Sequence[Step], through: Sequence[tuple[Translated, Taken]], *, last: bool
    ) -> Sequence[Appended | None]:
        """What became of each event that the door took, in their order; `None` for one that would be stored."""
        since, to = self.position, batch[-1].position if batch else self.position
        records = [taken.record for _, taken in through if taken.record is not None]
        after = self.tally

        def beside(db: Connection, appended: Sequence[Appended | None]) -> None:
            nonlocal after
            after = self.tally.plus(self._counted(batch, through, appended))
            if self.file is not None:
                told = {"tally": encoded(after), "now": self.clock(), "finished": last}
                imports.move(db, self.file.fingerprint, self.file.source, since=since, to=to, **told)  # type: ignore[arg-type]

        appended: Sequence[Appended | None]
        if self.outbox is None:
            appended = [None if self._is_new(one.dedup_key) else _AGAIN for one in records]
            after = self.tally.plus(self._counted(batch, through, appended))
        else:
            appended = await self.outbox.append(records, beside)
        self.tally, self.position = after, to
        return appended

    def _is_new(self, key: int) -> bool:
        if self._seen.get(key, 0) is not None:
            return False
        self._seen.add(1, pack("q", [key]))
        return True

    def _counted(
        self, batch: Sequence[Step], through: Sequence[tuple[Translated, Taken]], appended: Iterable[Appended | None]
    ) -> Tally:
        """What a batch adds to the tally."""
        added = Tally()
        for step in batch:
            if isinstance(step.what, Trouble):
                added.rows += 1
                added.rejected += 1
                added.errors[step.what.code] += 1
            elif step.what is not None:
                added.rows += len(step.what.rows)
                if step.what.event is None:
                    added.rejected += bool(step.what.troubles)
                    added.left_out += 0 if step.what.troubles else len(step.what.rows)
                    added.errors.update(one.code for one in step.what.troubles)
        stored = iter(appended)
        for _, taken in through:
            if taken.record is None:
                added.rejected += 1
                added.errors.update(one.code for one in taken.errors)
                continue
            one = next(stored)
            added.warnings.update(fault.code for fault in taken.draft.warnings)
            if one is not None and one.erased:
                added.rejected += 1
                added.errors[ERASED.code] += 1
            elif one is not None and one.duplicate:
                added.duplicates += 1
            else:
                added.accepted += 1
                for name, status in self._statuses(taken).items():
                    added.destinations.setdefault(name, Counter())[status] += 1
        return added

    def _statuses(self, taken: Taken) -> Any:
        if self.outlook is not None:
            return self.outlook(taken)
        return taken.draft.routing.statuses if taken.draft.routing is not None else {}

    def _report(
        self, batch: Sequence[Step], through: Sequence[tuple[Translated, Taken]], appended: Iterable[Appended | None]
    ) -> None:
        """Tell of what is wrong, in the order of the file."""
        stored = iter(appended)
        told: list[tuple[str, Trouble]] = []
        for step in batch:
            if isinstance(step.what, Trouble):
                told.append((ERROR, step.what))
            elif step.what is not None:
                told += [(ERROR, one) for one in step.what.troubles]
        for one, taken in through:
            if taken.record is None:
                told += [(ERROR, self._trouble(one, fault)) for fault in taken.errors]
                continue
            found = next(stored)
            if found is not None and found.erased:
                told.append((ERROR, self._trouble(one, ERASED)))
                continue
            told += [(WARNING, self._trouble(one, fault)) for fault in taken.draft.warnings]
            if found is not None and found.duplicate:
                told.append(
                    (DUPLICATE, Trouble(one.line, "", "", "duplicate", "an event of this name and id is there"))
                )
        for level, trouble in sorted(told, key=lambda one: one[1].line):
            self.tell(level, trouble)

    def _trouble(self, one: Translated, fault: Fault) -> Trouble:
        """A fault of the pipeline with the line and the column that it comes from."""
        line = one.line
        if fault.path.startswith(f"{_PRODUCTS}/"):
            index = fault.path.removeprefix(f"{_PRODUCTS}/").partition("/")[0]
            line = one.rows[min(int(index), len(one.rows) - 1)].line if index.isdigit() else line
        column = self.translator.plan.column_at(fault.path) if self.translator is not None else ""
        return Trouble(line, column, fault.path, fault.code, fault.message)
