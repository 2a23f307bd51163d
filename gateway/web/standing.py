"""Where the lanes stand, for processes that need to know it without running them. Functions of a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.outbox.lanes import open_lane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.outbox.engine import Connection


@dataclass(frozen=True, slots=True)
class Stopped:
    """A destination that takes nothing for now."""

    instance: str
    #: `paused`, or `broken` while the platform does not answer.
    state: str
    #: Unix seconds.
    since: float | None
    code: str
    message: str


def open_lanes(db: Connection, instances: Iterable[str]) -> None:
    """Give each destination its place in the log, before the first event that it is promised is stored."""
    end = db.execute("SELECT coalesce(max(seq), 0) + 1 FROM event").fetchone()[0]
    for name in instances:
        open_lane(db, name, end)


def lane_ids(db: Connection, instances: Iterable[str]) -> list[int] | None:
    """The lanes of these destinations; `None` while one has none yet."""
    known = dict(db.execute("SELECT instance, id FROM lane"))
    found = [known.get(name) for name in instances]
    return None if None in found else [number for number in found if number is not None]


def paused(db: Connection, instances: Iterable[str]) -> list[Stopped]:
    """Which of these destinations are paused, as another process wrote it down."""
    rows = db.execute(
        "SELECT instance, 'paused', paused_at, pause_code, pause_message FROM lane WHERE paused_at IS NOT NULL"
    )
    wanted = set(instances)
    return [Stopped(*row) for row in rows if row[0] in wanted]
