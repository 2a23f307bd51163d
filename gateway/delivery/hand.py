"""What a lane has in its hands: which of the log's numbers it has read, claimed and settled."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from gateway.outbox.ranges import Range, Ranges, runs

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence

    from gateway.outbox.lanes import Due, Stored

#: Settled numbers kept one by one, before they become ranges and what the cursor has passed is forgotten.
KEPT = 4_000


class Hand:
    """Numbers only. `cursor` is what may be written down: everything up to it is settled on disk."""

    def __init__(self, cursor: int = 0, settled: Iterable[Range] = ()) -> None:
        #: Reading the log goes on behind this number.
        self.scan = cursor
        #: What is new is read behind this number, far ahead of `scan`; `None` where one place is enough.
        self.head: int | None = None
        self._fresh: set[int] = set()
        #: The same as a heap, and numbers that left since: asked for the least with every batch.
        self._order: list[int] = []
        self._due: set[int] = set()
        #: Left the hand since `begin_reading`: what was read meanwhile may still show them as due.
        self._left: set[int] = set()
        #: Settled, although something before them is not: those of late, and all others.
        self._settled: set[int] = set()
        self._ranges = Ranges(settled)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._due)

    @property
    def cursor(self) -> int:
        """Everything up to here is settled."""
        while self._order and self._order[0] not in self._fresh:
            heappop(self._order)
        return min(self.scan, self._order[0] - 1) if self._order else self.scan

    @property
    def due_count(self) -> int:
        """Claims that have a row on disk."""
        return len(self._due)

    def begin_reading(self) -> None:
        """A read of the outbox starts. It sees a moment that is past by the time its rows are taken."""
        self._left.clear()
        self.scan = self._ranges.over(self.scan)
        self._meet()

    def take_log(self, read: Sequence[Stored], rows: Container[int] = ()) -> list[Stored]:
        """Take what was read from the log behind `scan`; returns what is neither settled nor in hand yet.

        `rows`: numbers that have a row of their own, which counts instead of the log.
        """
        if not read:
            return []
        self.scan = max(self.scan, read[-1].seq)
        self._meet()
        return self._take(read, rows)

    def take_news(self, read: Sequence[Stored], rows: Container[int] = ()) -> list[Stored]:
        """The same of what was read behind `head`."""
        if self.head is None or not read:
            return []
        self.head = max(self.head, read[-1].seq)
        return self._take(read, rows)

    def _meet(self) -> None:
        """Where the backlog has come up to what is new, one place is enough."""
        if self.head is not None and self.scan >= self.head:
            self.head = None

    def _take(self, read: Sequence[Stored], rows: Container[int]) -> list[Stored]:
        mine = [one for one in read if one.seq not in rows and not self._knows(one.seq)]
        if len(self._order) > KEPT + 2 * len(self._fresh):  # what left it behind one that stays
            self._order = sorted(self._fresh)
        for one in mine:
            self._fresh.add(one.seq)
            heappush(self._order, one.seq)
        return mine

    def _knows(self, seq: int) -> bool:
        return seq in self._settled or seq in self._fresh or seq in self._due or seq in self._ranges

    def is_ahead(self, seq: int) -> bool:
        """Whether it was read behind `head`, while there is a backlog before it."""
        return self.head is not None and seq > self.scan

    def take_due(self, read: Sequence[Due], limit: int) -> list[Due]:
        """Take deliveries that are due; returns those not in hand yet, be it from the log, nor done with meanwhile."""
        taken = (self._due, self._fresh, self._left)
        mine = [one for one in read if not any(one.event.seq in those for those in taken)][:limit]
        self._due.update(one.event.seq for one in mine)
        return mine

    def settle(self, seqs: Iterable[int]) -> None:
        """These are on disk as settled, or have a row."""
        for seq in seqs:
            if seq in self._fresh:
                self._fresh.discard(seq)
                self._settled.add(seq)
            elif seq in self._due:
                self._due.discard(seq)
                self._left.add(seq)
                if seq > self.cursor:  # its row may be gone by the time that the log is read as far, or read again
                    self._settled.add(seq)
        if len(self._settled) > KEPT:
            self._ranges.add(runs(sorted(self._settled)))
            self._ranges.drop(self.cursor)
            self._settled.clear()

    def leave(self, seq: int) -> None:
        """Leave what was read ahead to the backlog: it is read again once that has come as far."""
        self._fresh.discard(seq)

    def let_go(self, seqs: Collection[int]) -> None:
        """Unclaim: what came from the log is read from there again, the rest from its row."""
        back = [seq for seq in seqs if seq in self._fresh]
        self._left.update(seq for seq in seqs if seq in self._due)
        self._due.difference_update(seqs)
        self._fresh.difference_update(back)
        if not back:
            return
        news = [seq for seq in back if seq > self.scan]
        if self.head is not None and news:
            self.head = min(self.head, min(news) - 1)
        if len(news) < len(back):
            self.scan = min(back) - 1
        self._order = sorted(self._fresh)
