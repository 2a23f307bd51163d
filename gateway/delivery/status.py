"""How a lane is, for whoever asks: in this process, or as the process that dispatches wrote it down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.outbox.lanes import LaneRow

BROKEN_WORDS = "the platform does not answer, or asks to come back later"


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """A lane as an operator sees it."""

    instance: str
    #: `running`, `paused` (credentials or account), `broken` (breaker open) or `off` (another process dispatches).
    state: str
    #: Unix seconds since when; `None` while it runs.
    since: float | None = None
    code: str = ""
    message: str = ""
    in_flight: int = 0


def written(row: LaneRow) -> LaneStatus:
    """What the row of a lane says."""
    if row.paused_at is not None:
        return LaneStatus(row.instance, "paused", row.paused_at, row.pause_code, row.pause_message)
    if row.broken_at is not None:
        return broken(row.instance, row.broken_at, row.broken_code)
    return LaneStatus(row.instance, "running")


def broken(instance: str, since: float, code: str, in_flight: int = 0) -> LaneStatus:
    """A lane whose breaker is open. `code`: of the failure that opened it."""
    message = f"{BROKEN_WORDS} ({code})" if code else BROKEN_WORDS
    return LaneStatus(instance, "broken", since, "breaker_open", message, in_flight)
