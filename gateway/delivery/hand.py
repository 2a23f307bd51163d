"""What a lane has in its hands: which of the log's numbers it has read, claimed and settled."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from gateway.outbox.lanes import Due, Stored


class Hand:
    """Numbers only. `cursor` is what may be written down: everything up to it is settled on disk."""

    def __init__(self, cursor: int = 0, settled: Iterable[int] = ()) -> None:
        #: Reading the log goes on behind this number.
        self.scan = cursor
        self._fresh: set[int] = set()
        self._due: set[int] = set()
        #: Settled, although something before them is not.
        self._settled: set[int] = set(settled)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._due)

    @property
    def cursor(self) -> int:
        """Everything up to here is settled."""
        return min(self.scan, min(self._fresh) - 1) if self._fresh else self.scan

    @property
    def due_count(self) -> int:
        """Claims that have a row on disk."""
        return len(self._due)

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
        self._fresh.update(one.seq for one in mine)
        return mine

    def take_due(self, read: Sequence[Due], limit: int) -> list[Due]:
        """Take deliveries that are due; returns those not in hand yet, be it from the log."""
        mine = [one for one in read if one.event.seq not in self._due and one.event.seq not in self._fresh][:limit]
        self._due.update(one.event.seq for one in mine)
        return mine

    def settle(self, seqs: Iterable[int]) -> None:
        """These are on disk as settled, or have a row."""
        for seq in seqs:
            if seq in self._fresh:
                self._fresh.discard(seq)
                self._settled.add(seq)
            self._due.discard(seq)
        if len(self._settled) > 4_000:
            cursor = self.cursor
            self._settled = {seq for seq in self._settled if seq > cursor}

    def let_go(self, seqs: Iterable[int]) -> None:
        """Unclaim: what came from the log is read from there again, the rest from its row."""
        back = [seq for seq in seqs if seq in self._fresh]
        self._due.difference_update(seqs)
        self._fresh.difference_update(back)
        if back:
            self.scan = min(self.scan, min(back) - 1)
