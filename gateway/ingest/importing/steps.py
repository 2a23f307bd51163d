"""Rows as events, those that belong together as one, with the position in the file that each brings it to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.ingest.formats.files.events import Row, Translated, Trouble, plain_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gateway.ingest.formats.files.events import Translator

#: Rows that are put together at most: more than any event holds, so that one with so many is refused.
GROUP = 2_000
#: Lines that cannot be read, among the rows of one event, after which those rows are not waited for any more.
HELD = 100
#: Why an event is refused whose rows are not all there.
UNREAD = ("rows_unread", "a line among the rows of this event could not be read")


class Step(NamedTuple):
    """What one or more records of a file came to."""

    #: Records of the file that are done after it.
    position: int
    #: `None`: nothing stands there.
    what: Translated | Trouble | None


def steps(
    rows: Iterable[Row | Trouble], translator: Translator | None, key: bytes, clock: Callable[[], float], done: int
) -> Iterator[Step]:
    """What rows come to, but for the first `done` of them. Without a translator they are events already.

    `key`: of the ids that are derived.
    """
    together = _Together(translator, clock) if translator is not None else None
    for position, row in enumerate(rows, 1):
        if position <= done:
            continue
        if together is not None:
            yield from together.add(position, row)
        elif isinstance(row, Trouble):
            yield Step(position, row)
        else:
            yield Step(position, None if row.cells is None else Translated([row], plain_event(row.cells, key)))
    if together is not None:
        yield from together.end()


class _Together:
    """Gathers the rows of one event."""

    def __init__(self, translator: Translator, clock: Callable[[], float]) -> None:
        self._translator = translator
        self._clock = clock
        self._rows: list[Row] = []
        #: Position after the last of them.
        self._position = 0
        #: What stands behind them, and may stand between them.
        self._behind: list[Step] = []
        #: What stands between them.
        self._unread: list[Trouble] = []

    def add(self, position: int, row: Row | Trouble) -> Iterator[Step]:
        """The next row of the file. Gives what is complete with it."""
        translator = self._translator
        if not isinstance(row, Row):
            what: Translated | Trouble | None = row
        elif row.cells is None:
            what = None
        elif not translator.takes(row):
            what = Trouble(row.line, "", "", "wrong_type", "expected an object")
        else:
            if not (self._rows and len(self._rows) < GROUP and translator.same_event(self._rows[0], row)):
                yield from self.end()
            self._unread += [one.what for one in self._behind if isinstance(one.what, Trouble)]
            self._behind.clear()
            self._rows.append(row)
            self._position = position
            return
        self._behind.append(Step(position, what))
        if not translator.groups or len(self._behind) > HELD:
            yield from self.end()

    def end(self) -> Iterator[Step]:
        """What is left: no more rows belong to it."""
        if self._rows:
            found = self._translator.translate(self._rows, self._clock())
            if self._unread:
                unread = (*self._unread, Trouble(found.line, "", "", *UNREAD))
                found = Translated(found.rows, None, (*unread, *found.troubles))
            yield Step(self._position, found)
        yield from self._behind
        self._rows, self._behind, self._unread = [], [], []
