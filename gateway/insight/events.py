"""The newest events, and where their deliveries are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.log import clean
from gateway.model.delivery import State
from gateway.outbox import queries, standing
from gateway.outbox.standing import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.outbox.engine import Connection
    from gateway.outbox.queries import EventRow

#: Events looked at together.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events to list. What is `None` does not matter."""

    #: Received then or later, Unix seconds.
    since: float | None = None
    event_name: str | None = None
    #: Posted as this source.
    source: str | None = None
    #: At least one delivery is in this state.
    state: State | None = None
    #: It is owed to this instance; with `state`, that delivery is meant.
    instance: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """One event and its deliveries."""

    seq: int
    event_id: str
    event_name: str
    source: str
    #: Unix seconds.
    received_at: float
    #: Instance → where that delivery is.
    destinations: Mapping[str, Standing]


def newest(db: Connection, wanted: Wanted, limit: int) -> list[Listed]:
    """Events, newest first."""
    found: list[Listed] = []
    for page in _pages(db, wanted, min(PAGE, max(limit, 50))):
        where = standing.standings(db, page)
        for row in page:
            deliveries = where[row.seq]
            if _fits(deliveries, wanted):
                found.append(Listed(*_about(row), _cleaned(deliveries)))
                if len(found) == limit:
                    return found
    return found


def _about(row: EventRow) -> tuple[int, str, str, str, float]:
    return row.seq, row.event_id, row.event_name, row.source, row.received_at


def _cleaned(deliveries: Mapping[str, Standing]) -> dict[str, Standing]:
    """A platform may repeat what it was sent: nothing personal of that is shown."""
    return {name: replace(at, message=clean(at.message)) for name, at in deliveries.items()}


def _fits(deliveries: Mapping[str, Standing], wanted: Wanted) -> bool:
    names = deliveries.keys() if wanted.instance is None else deliveries.keys() & {wanted.instance}
    if wanted.state is None:
        return wanted.instance is None or bool(names)
    return any(deliveries[name].state is wanted.state for name in names)


def _pages(db: Connection, wanted: Wanted, size: int) -> Iterator[list[EventRow]]:
    """The log backwards; where a state needs a row of its own, only the events that have one."""
    before: int | None = None
    seqs: list[int] | None = None
    while True:
        if wanted.state in queries.ROW_STATES:
            seqs = queries.with_state(db, wanted.state, wanted.instance, before=before, limit=size)
            if not seqs:
                return
        page = queries.newest(
            db,
            before=before,
            limit=size,
            since=wanted.since,
            event_name=wanted.event_name,
            source=wanted.source,
            seqs=seqs,
        )
        if page:
            yield page
        if seqs is None and len(page) < size:
            return
        before = seqs[-1] if seqs else page[-1].seq
