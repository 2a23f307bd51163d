"""Deliveries that share a serial key go one after another: who goes, who waits in hand, who waits on disk."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.delivery.claims import Claim

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class _Line:
    """Claims of one key in hand."""

    #: In a batch or in flight.
    head: Claim
    behind: deque[Claim] = field(default_factory=deque)


class Serials:
    """The order among claims of one key. Claims without a key are not its business."""

    def __init__(self) -> None:
        self._busy: dict[int, _Line] = {}
        #: Key → events whose row waits on disk, those in hand included.
        self._rows: dict[int, set[int]] = {}

    def __len__(self) -> int:
        """Claims held back in hand."""
        return sum(len(line.behind) for line in self._busy.values())

    def parked(self, rows: Iterable[tuple[int, int]]) -> None:
        """Keys and numbers of rows that wait on disk already."""
        for key, seq in rows:
            self._rows.setdefault(key, set()).add(seq)

    def admit(self, claim: Claim) -> str:
        """`go`, `hold` (in hand, behind another) or `park` (write it down as waiting, behind a row that waits)."""
        key = claim.serial
        if key is None:
            return "go"
        line = self._busy.get(key)
        if not claim.due:
            head = line.head.seq if line is not None else None
            if any(seq < claim.seq and seq != head for seq in self._rows.get(key, ())):
                self.parked([(key, claim.seq)])
                return "park"
        if claim.due:
            self.parked([(key, claim.seq)])
        if line is not None:
            line.behind.append(claim)
            return "hold"
        self._busy[key] = _Line(claim)
        return "go"

    def finish(self, claim: Claim, *, waits: bool) -> tuple[list[Claim], list[Claim]]:
        """A claim has been recorded; `waits`: it has a row that waits. Returns (who goes next, whom to park)."""
        key = claim.serial
        if key is None:
            return [], []
        behind = self._line_of(claim)
        if waits:
            self.parked((key, one.seq) for one in (claim, *behind))
            return [], list(behind)
        self._unpark(key, claim.seq)
        if not behind:
            return [], []
        following = behind.popleft()
        self._busy[key] = _Line(following, behind)
        return [following], []

    def let_go(self, claim: Claim) -> list[Claim]:
        """A claim is given back; so are those behind it, which are returned."""
        return list(self._line_of(claim))

    def _line_of(self, claim: Claim) -> deque[Claim]:
        """Take away the line that a claim stands at the head of; returns who stood behind."""
        line = self._busy.get(claim.serial) if claim.serial is not None else None
        if line is None or line.head is not claim or claim.serial is None:
            return deque()
        del self._busy[claim.serial]
        return line.behind

    def _unpark(self, key: int, seq: int) -> None:
        rows = self._rows.get(key)
        if rows is not None:
            rows.discard(seq)
            if not rows:
                del self._rows[key]
