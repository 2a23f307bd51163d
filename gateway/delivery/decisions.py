"""The decisions that stored events carry by number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.delivery.claims import Decided, read_decision
from gateway.outbox import Outbox, lanes

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Decisions kept in memory.
CACHED = 10_000

_NOTHING = Decided("")


class Decisions:
    """Decision numbers → what was decided; read once."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._known: dict[int, Decided] = {}

    def __getitem__(self, number: int) -> Decided:
        return self._known.get(number, _NOTHING)

    async def learn(self, numbers: Iterable[int]) -> None:
        """Have these at hand."""
        wanted = set(numbers)
        if len(self._known) > CACHED:
            self._known = {number: one for number, one in self._known.items() if number in wanted}
        unknown = sorted(wanted - self._known.keys())
        if unknown:
            found = await self._outbox.read(lambda db: lanes.decisions(db, unknown))
            self._known.update((number, read_decision(data)) for number, data in found.items())
