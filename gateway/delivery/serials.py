"""Deliveries that share a serial key go one after another: who goes, who waits in hand, who waits on disk."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

from gateway.delivery.claims import Claim


class Serials:
    """The order among claims of one key. Claims without a key are not its business."""

    def __init__(self) -> None:
        #: Keys in hand (in a batch or in flight) and the claims behind them.
        self._busy: dict[int, deque[Claim]] = {}
        #: Rows that wait on disk, by key.
        self._parked: Counter[int] = Counter()

    def __len__(self) -> int:
        """Claims held back in hand."""
        return sum(len(behind) for behind in self._busy.values())

    def parked(self, keys: Iterable[int]) -> None:
        """Rows that wait on disk already."""
        self._parked.update(keys)

    def admit(self, claim: Claim) -> str:
        """`go`, `hold` (in hand, behind another) or `park` (write it down as waiting, behind a row that waits)."""
        key = claim.serial
        if key is None:
            return "go"
        if key in self._busy:
            self._busy[key].append(claim)
            return "hold"
        if not claim.due and self._parked[key]:
            self._parked[key] += 1
            return "park"
        self._busy[key] = deque()
        return "go"

    def finish(self, claim: Claim, *, waits: bool) -> tuple[list[Claim], list[Claim]]:
        """A claim has been recorded; `waits`: it has a row that waits. Returns (who goes next, whom to park)."""
        key = claim.serial
        if key is None:
            return [], []
        if waits and not claim.due:
            self._parked[key] += 1
        if not waits and claim.due:
            self._unpark(key)
        behind = self._busy.pop(key, deque())
        if waits:
            fresh = [one for one in behind if not one.due]
            self._parked[key] += len(fresh)
            return [], list(behind)
        if not behind:
            return [], []
        following = behind.popleft()
        self._busy[key] = behind
        return [following], []

    def let_go(self, claim: Claim) -> list[Claim]:
        """A claim is given back; so are those behind it, which are returned."""
        return list(self._busy.pop(claim.serial, ())) if claim.serial is not None else []

    def _unpark(self, key: int) -> None:
        self._parked[key] -= 1
        if self._parked[key] <= 0:
            del self._parked[key]
