"""What a lane has in its hands: which of the log's numbers it has read, claimed and settled."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable, Sequence

    from gateway.outbox.lanes import Due, Stored

#: Settled numbers kept before those that the cursor has passed are looked for.
KEPT = 4_000


class Hand:
    """Numbers only. `cursor` is what may be written down: everything up to it is settled on disk."""

    def __init__(self, cursor: int = 0, settled: Iterable[int] = ()) -> None:
        #: Reading the log goes on behind this number.
        self.scan = cursor
        self._fresh: set[int] = set()
        #: The same as a heap, and numbers that left since: asked for the least with every batch.
        self._order: list[int] = []
        self._due: set[int] = set()
        #: Left the hand since `begin_reading`: what was read meanwhile may still show them as due.
        self._left: set[int] = set()
        #: Settled, although something before them is not.
        self._settled: set[int] = set(settled)
        self._prune_at = KEPT

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

    def take_log(self, read: Sequence[Stored], rows: Container[int] = ()) -> list[Stored]:
        """Take what was read from the log; returns what is neither settled nor in hand yet.

        `rows`: numbers that have a row of their own, which counts instead of the log.
        """
        if not read:
            return []
        self.scan = max(self.scan, read[-1].seq)
        mine = [
            one for one in read if one.seq not in self._settled and one.seq not in self._fresh and one.seq not in rows
        ]
        for one in mine:
            self._fresh.add(one.seq)
            heappush(self._order, one.seq)
        return mine

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
        if len(self._settled) > self._prune_at:
            cursor = self.cursor
            self._settled = {seq for seq in self._settled if seq > cursor}
            self._prune_at = max(KEPT, 2 * len(self._settled))  # one that takes long may hold the cursor back

    def let_go(self, seqs: Collection[int]) -> None:
        """Unclaim: what came from the log is read from there again, the rest from its row."""
        back = [seq for seq in seqs if seq in self._fresh]
        self._left.update(seq for seq in seqs if seq in self._due)
        self._due.difference_update(seqs)
        self._fresh.difference_update(back)
        if back:
            self.scan = min(self.scan, min(back) - 1)
            self._order = sorted(self._fresh)
