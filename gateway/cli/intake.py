"""How `gateway import` runs: progress while it does, a report of faults by line, what it prints at the end."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import secrets
import signal
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TextIO

from gateway.cli import opening, show
from gateway.ingest.formats.files.events import Translator, Trouble
from gateway.ingest.importing.resume import begin
from gateway.ingest.importing.rows import Rows, rows
from gateway.ingest.importing.run import ERROR, File, Import
from gateway.ingest.pipeline import Door
from gateway.insight.outlook import Outlook
from gateway.outbox import imports
from gateway.outbox.lanes import open_lanes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.progress import Progress

    from gateway.config import Settings, Source
    from gateway.ingest.formats.files.mapping import Mapping
    from gateway.ingest.importing.file import Opened
    from gateway.ingest.importing.tally import Tally
    from gateway.outbox import Outbox

#: Faults that are shown, and of each code among them.
SHOWN, OF_EACH = 20, 5
#: Columns of a report.
COLUMNS = ("level", "line", "column", "path", "code", "message")


class Intake:
    """One run of the command."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        file: Opened,
        mapping: Mapping,
        *,
        mapped: bool,
        report: Path | None,
        quiet: bool,
    ) -> None:
        self.settings, self.source, self.file = settings, source, file
        self.mapping, self.mapped = mapping, mapped
        self.quiet = quiet
        self._report = report
        self._run: Import | None = None
        self._told: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()

    async def look(self) -> dict[str, Any]:
        """Only tell what would become of the rows."""
        found = rows(self.file, self.mapping, mapped=self.mapped, strict=False)
        door = Door(self.settings, None)
        run = self._import(found, door, None, None, secrets.token_bytes(32))
        run.outlook = Outlook(self.settings, door.gate)
        with self._reported(resumed=False):
            for name, what in found.plan.unknown if found.plan is not None else ():
                self._tell(ERROR, Trouble(1, name, "", "unknown_column", what))
            finished = await self._going(run, found)
        return self._made(run, found, finished=finished, since=None)

    async def take(self, *, again: bool) -> dict[str, Any]:
        """Take the rows in."""
        known = self._known() if self.file.again else None
        found = rows(self.file, self.mapping, mapped=self.mapped, strict=True)
        with opening.writing(self.settings) as outbox:
            await outbox.write(lambda db: open_lanes(db, self.settings.enabled))
            run = self._import(found, Door(self.settings, outbox), outbox, known, outbox.key)
            if known is not None:
                window_s, now = self.settings.outbox.dedup_window_s, time.time()
                run.position, run.tally = await outbox.write(
                    lambda db: begin(db, known, self.mapping.fingerprint, now, window_s=window_s, again=again)
                )
            since = run.tally.rows or run.position
            with self._reported(resumed=run.position > 0):
                finished = await self._going(run, found)
        return self._made(run, found, finished=finished, since=since)

    def _known(self) -> File:
        """What the file is known by, also if it is one from before that has grown."""
        found = self.file.fingerprint(imports.sizes(self.settings.outbox.path, self.source.name))
        return File(found.digest, self.source.name, found.size, found.beginnings)

    def _import(self, found: Rows, door: Door, outbox: Outbox | None, known: File | None, key: bytes) -> Import:
        translator = Translator(found.plan, key) if found.plan is not None else None
        moved = lambda tally: None  # noqa: E731  # replaced as soon as there is somebody to show it to
        self._run = Import(
            door, self.source, outbox, known, translator, key, self._tell, moved, thorough=self._report is not None
        )
        return self._run

    def how_to_go_on(self) -> str:
        """What to say behind an error of the outbox."""
        if self._run is None or self._run.file is None or not self._run.position:
            return ""
        rows = show.plural(self._run.tally.rows, "row is", "rows are")
        return f"; {rows} in, and the same command goes on after them"

    async def _going(self, run: Import, found: Rows) -> bool:
        """Run, with progress on a terminal; an interrupt ends it after the batch that is under way."""
        with self._progress() as progress, _interrupts(run):
            if progress is not None:
                task = progress.add_task("", total=self.file.size, rows=0, rate=0.0, refused=0)
                began, before = time.monotonic(), run.tally.rows
                run.moved = lambda tally: progress.update(
                    task,
                    completed=self.file.position,
                    rows=tally.rows,
                    rate=(tally.rows - before) / max(time.monotonic() - began, 0.001),
                    refused=tally.rejected,
                )
            return await run.run(found.rows)

    @contextlib.contextmanager
    def _progress(self) -> Iterator[Progress | None]:
        if self.quiet or not sys.stderr.isatty():
            yield None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        shown = (
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rows]:,} rows, {task.fields[rate]:,.0f}/s, {task.fields[refused]:,} refused"),
            TimeRemainingColumn(),
        )
        with Progress(*shown, console=Console(stderr=True), transient=True) as progress:
            yield progress

    @contextlib.contextmanager
    def _reported(self, *, resumed: bool) -> Iterator[None]:
        """The report, open while it is written; that of a run that goes on is gone on with."""
        if self._report is None:
            self._write = _nowhere
            yield
            return
        with self._report.open(
            "a" if resumed else "w", encoding="utf-8", errors="backslashreplace", newline="", buffering=1
        ) as out:
            self._write = _writer(out, as_csv=self._report.suffix.lower() == ".csv", head=not out.tell())
            yield

    def _tell(self, level: str, trouble: Trouble) -> None:
        told = {"level": level, **trouble._asdict()}
        self._write(told)
        self._counts[trouble.code] += 1
        if len(self._told) < SHOWN and self._counts[trouble.code] <= OF_EACH:
            self._told.append(told)

    def _made(self, run: Import, found: Rows, *, finished: bool, since: int | None) -> dict[str, Any]:
        tally: Tally = run.tally
        return {
            "file": self.file.name,
            "format": found.format,
            "source": self.source.name,
            "dry_run": run.outbox is None,
            "finished": finished,
            "resumed_after": since or None,
            "rows": tally.rows,
            "accepted": tally.accepted,
            "duplicates": tally.duplicates,
            "rejected": tally.rejected,
            "left_out": tally.left_out,
            "destinations": {name: dict(counts.most_common()) for name, counts in tally.destinations.items()},
            "errors": dict(tally.errors.most_common()),
            "warnings": dict(tally.warnings.most_common()),
            "faults": self._told,
            "unknown_columns": [name for name, _ in found.plan.unknown] if found.plan is not None else [],
            "ignored_columns": list(found.plan.ignored) if found.plan is not None else [],
        }


def _nowhere(_: dict[str, Any]) -> None:
    pass


def _writer(out: TextIO, *, as_csv: bool, head: bool) -> Any:
    if not as_csv:
        return lambda told: out.write(json.dumps(told, ensure_ascii=False) + "\n")
    made = csv.DictWriter(out, COLUMNS)
    if head:
        made.writeheader()
    return made.writerow


@contextlib.contextmanager
def _interrupts(run: Import) -> Iterator[None]:
    """The first interrupt ends the run after its batch, a second one the process."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        run.stopping = True
        for one in caught:
            loop.remove_signal_handler(one)

    try:
        for one in caught:
            loop.add_signal_handler(one, stop)
    except RuntimeError:  # not the main thread: nobody interrupts it
        yield
        return
    try:
        yield
    finally:
        for one in caught:
            loop.remove_signal_handler(one)


def printed(made: dict[str, Any], report: Path | None) -> None:
    """Print it for people."""
    out = show.console()
    refused = made["dry_run"] and made["unknown_columns"]
    done = (
        "Would refuse, for its columns,"
        if refused
        else "Would import"
        if made["dry_run"]
        else "Imported"
        if made["finished"]
        else "Stopped in"
    )
    show.line(out, f"{done} {made['file']}: {show.plural(made['rows'], 'row', 'rows')}", "bold")
    if made["resumed_after"]:
        show.line(out, f"It went on after {made['resumed_after']} rows that were in already.", indent=2)
    counts = [(words, f"{made[name]:,}") for name, words in _WORDS.items() if made[name] or name == "accepted"]
    show.pairs(out, counts)
    for name, statuses in made["destinations"].items():
        told = ", ".join(f"{count:,} {status}" for status, count in statuses.items())
        show.line(out, f"{name}: {told}", indent=2)
    if made["ignored_columns"]:
        show.line(out, f"Left out: {', '.join(made['ignored_columns'])}", indent=2)
    _faults(out, made, report)
    if not made["finished"]:
        show.line(out, "It was interrupted. The same command goes on after these rows.", "yellow")


def _faults(out: Any, made: dict[str, Any], report: Path | None) -> None:
    for one in made["faults"]:
        where = ", ".join(filter(None, (f"line {one['line']}", one["column"] or one["path"])))
        style = "red" if one["level"] == ERROR else "yellow"
        show.line(out, f"{where}: {one['code']}: {one['message']}", style)
    totals = [(code, count) for key in ("errors", "warnings") for code, count in made[key].items()]
    more = sum(count for _, count in totals) + made["duplicates"] - len(made["faults"])
    if more > 0:
        words = ", ".join(f"{count:,} {code}" for code, count in totals) or "duplicates"
        show.line(out, f"In all: {words}", "yellow")
    if report is not None:
        show.line(out, f"Every fault with its line: {report}", indent=2)
    elif more > 0:
        show.line(out, "--report FILE writes every fault with its line.", indent=2)


#: What became of rows, in the order of the summary.
_WORDS = {
    "accepted": "accepted",
    "duplicates": "duplicates",
    "rejected": "refused",
    "left_out": "left out by the mapping",
}
