"""Where a run over a file begins: at its first row, where another run has stopped, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from gateway.ingest.importing.tally import Tally, decoded
from gateway.model.errors import GatewayError
from gateway.outbox import imports

if TYPE_CHECKING:
    from gateway.ingest.importing.run import File
    from gateway.outbox.engine import Connection

#: How long before the window of duplicates closes a file is no longer begun anew, in seconds: a run takes its time.
MARGIN_S = 3600.0


class ImportRefused(GatewayError):
    """The rows of a file would count again."""


def begin(db: Connection, file: File, mapping: bytes, now: float, *, window_s: float, again: bool) -> tuple[int, Tally]:
    """Take up a file. Returns the position to begin at, and what became of the rows before it.

    A run that was broken off goes on, with the same mapping; so does a file that has grown since. Otherwise rows that
    were taken before are duplicates as long as the window of duplicates is open; past it they would count again: raises
    `ImportRefused` unless `again`.
    """
    found = imports.find(db, file.fingerprint, file.source)
    start = partial(imports.begin, db, file.fingerprint, file.source, mapping, size=file.size, now=now)
    if found is None:
        before = (imports.find(db, one, file.source) for one in file.beginnings)
        grown = next((one for one in before if one is not None), None)
        if grown is not None and grown.mapping == mapping and not again:
            start(began_at=grown.began_at, position=grown.position)
            return grown.position, Tally()  # of its new rows alone
        if grown is None:
            start(began_at=now)
            return 0, Tally()
        found = grown
    elif found.finished_at is None and found.mapping == mapping and not again:
        return found.position, decoded(found.tally)
    known = now - found.began_at + MARGIN_S < window_s
    if not known and not again:
        raise ImportRefused(_words(found))
    start(began_at=found.began_at if known else now)
    return 0, Tally()


def _words(found: imports.Progress) -> str:
    rows = decoded(found.tally).rows
    if found.finished_at is not None:
        when = f"{datetime.fromtimestamp(found.finished_at, UTC):%Y-%m-%d %H:%M} UTC"
        told = f"this file was imported already ({rows} rows, done {when})"
    else:
        told = f"a run with another mapping has stopped after {rows} rows of this file; with that one it would go on"
    return f"{told}. Its rows are no longer known as duplicates, so they would count again; --again imports it anew"
