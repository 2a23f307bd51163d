"""What sending stored events again would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.insight.forecast import Plan
from gateway.model.delivery import State
from gateway.outbox import queries, standing
from gateway.outbox.repair import DISCARDED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.insight.forecast import Forecast
    from gateway.outbox.engine import Connection
    from gateway.outbox.queries import EventRow
    from gateway.outbox.standing import Standing

#: Events looked at together.
PAGE = 500

#: State → why such a delivery is never replayed.
_ON_ITS_WAY = {
    State.QUEUED: "it is on its way already",
    State.WAITING: "it will be tried again by itself",
}
#: State → why such a delivery is replayed only with `--again`.
_DONE = {
    State.DELIVERED: "the platform has it; --again sends it once more",
    State.RECEIVED: "the platform has it and will report; --again sends it once more",
}
#: Reason given at the door → why replay does not overrule it.
_REFUSED = {
    "consent": "consent held it back: replay releases nothing",
    # also for a destination that came later: an event that names its destinations did not name that one
    "not_routed": "the event's own `destinations` left it out",
}


@dataclass(frozen=True, slots=True)
class Span:
    """Which events to replay. What is `None` does not matter."""

    #: Received from then on and before then, Unix seconds.
    since: float | None = None
    until: float | None = None
    event_name: str | None = None
    event_id: str | None = None


def hindrance(at: Standing | None, *, again: bool) -> tuple[str, str] | None:
    """Why a delivery is not replayed, as code and words; `None` when it may be. Not owed so far: it may."""
    if at is None:
        return None
    if at.state in _ON_ITS_WAY:
        return str(at.state), _ON_ITS_WAY[at.state]
    if at.state is State.SKIPPED and at.code in _REFUSED:
        return at.code, _REFUSED[at.code]
    if at.state in _DONE and not again:
        return str(at.state), _DONE[at.state]
    if at.state is State.CANCELLED and at.code == DISCARDED and not again:
        return DISCARDED, "discarded by hand; --again sends it all the same"
    return None


def plan_replay(db: Connection, forecast: Forecast, span: Span, instances: Sequence[str], *, again: bool) -> Plan:
    """What would become of these events at these instances if they were sent again now."""
    plan = Plan()
    for page in _pages(db, span):
        where = standing.standings(db, page)
        for row in page:
            named = any(entry[1] == "not_routed" for entry in standing.decided(db, row.decision).values())
            for name in instances:
                at = where[row.seq].get(name)
                reason = ("not_routed", _REFUSED["not_routed"]) if at is None and named else hindrance(at, again=again)
                if reason is None:
                    forecast.ask(db, row, name, plan)
                else:
                    plan.leave(name, *reason)
    return plan


def _pages(db: Connection, span: Span) -> Iterator[list[EventRow]]:
    if span.event_id is not None:
        yield [row for row in queries.find(db, span.event_id) if _inside(row, span)]
        return
    after = 0
    while page := queries.oldest(
        db, after=after, limit=PAGE, since=span.since, until=span.until, event_name=span.event_name
    ):
        yield page
        after = page[-1].seq


def _inside(row: EventRow, span: Span) -> bool:
    since, until = span.since, span.until
    timely = (since is None or row.received_at >= since) and (until is None or row.received_at < until)
    return timely and span.event_name in (None, row.event_name)
