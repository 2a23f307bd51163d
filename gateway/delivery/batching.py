"""Claims gathered into batches: bounded in number, and in how long the first of them waits for company."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.delivery.claims import Claim

if TYPE_CHECKING:
    from collections.abc import Hashable


@dataclass(slots=True)
class _Open:
    opened_at: float
    claims: deque[Claim] = field(default_factory=deque)


class Batches:
    """One open batch for each group; a full one, or one whose time is up, is ready."""

    def __init__(self, size: int, linger_s: float) -> None:
        self._size, self._linger_s = size, linger_s
        #: In the order of opening, so that the first is the oldest.
        self._open: dict[Hashable, _Open] = {}
        self._full: deque[Hashable] = deque()

    def __len__(self) -> int:
        return sum(len(batch.claims) for batch in self._open.values())

    @property
    def ready_at(self) -> float | None:
        """When the oldest open batch's time is up; `None` when there is none."""
        for batch in self._open.values():
            return batch.opened_at + self._linger_s
        return None

    def add(self, claim: Claim, now: float) -> None:
        """Put a claim with its group. Test events never share a request with real ones."""
        key = (claim.test, claim.group)
        batch = self._open.get(key)
        if batch is None:
            batch = self._open[key] = _Open(now)
        batch.claims.append(claim)
        if len(batch.claims) == self._size:
            self._full.append(key)

    def ready(self, now: float, limit: int) -> list[Claim] | None:
        """A batch that can go, of at most `limit` claims."""
        key = self._full[0] if self._full else next(iter(self._open), None)
        if key is None or (not self._full and self._open[key].opened_at + self._linger_s > now):
            return None
        batch = self._open[key]
        taken = [batch.claims.popleft() for _ in range(min(limit, len(batch.claims)))]
        if self._full and len(batch.claims) < self._size:
            self._full.popleft()
        if not batch.claims:
            del self._open[key]
        return taken

    def drain(self) -> list[Claim]:
        """Give all claims back."""
        claims = [claim for batch in self._open.values() for claim in batch.claims]
        self._open.clear()
        self._full.clear()
        return claims
