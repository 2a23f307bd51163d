"""What would become of an event that the door takes, destination by destination: its mapping is asked, too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.delivery.claims import Claimer, read_decision
from gateway.outbox.lanes import Change, Due, Stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.config import Settings
    from gateway.ingest.gate import Gate
    from gateway.ingest.pipeline import Taken

#: What the door says of a delivery that will be tried.
QUEUED = "queued"


class Outlook:
    """The lanes' questions about events that are stored nowhere."""

    def __init__(self, settings: Settings, gate: Gate, clock: Callable[[], float] = time.time) -> None:
        self._claimers = {name: Claimer(one, gate) for name, one in settings.enabled.items()}
        self._clock = clock

    def __call__(self, taken: Taken) -> Mapping[str, str]:
        """Destination → `queued`, `dry_run` or `skipped:` and why."""
        draft, record = taken.draft, taken.record
        if draft.routing is None or record is None:
            return {}
        found = dict(draft.routing.statuses)
        decided = read_decision(record.decision)
        for name, status in draft.routing.statuses.items():
            if status != QUEUED:
                continue
            stored = Stored(0, 0, record.payload, record.clear)
            made = self._claimers[name].claim(stored, decided, self._clock(), Due(stored, 0, None, 0.0, False))
            if isinstance(made, Change):
                found[name] = f"skipped:{made.code}"
        return found
