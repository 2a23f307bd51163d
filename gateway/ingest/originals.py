"""When the event that a refund belongs to happened, looked up in the outbox for a sender who does not say.

A platform that restates a conversion (Google's Data Manager) wants the original's time; a shop's refund rarely has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.ingest.record import read
from gateway.outbox import Outbox, queries

if TYPE_CHECKING:
    from collections.abc import Collection

    from gateway.outbox.engine import Connection

#: Events that adjust another → the name of that one.
ADJUSTS = {"Refund": "Purchase"}
_NAMES = tuple(ADJUSTS)  # names of events that are not valid yet may be anything: compared, not hashed


async def with_original_times(events: list[Any], sources: Collection[str], outbox: Outbox) -> list[Any]:
    """The events, those that adjust another with that one's `original_event.event_time`, where it is known.

    `sources`: names of the sources whose events may be meant. Events need not be valid yet; none is changed in place.
    """
    if not any(isinstance(raw, dict) and raw.get("event_name") in _NAMES for raw in events):
        return events  # nearly always
    wanted = {index: ids for index, raw in enumerate(events) if (ids := _originals(raw))}

    def look(db: Connection) -> dict[int, float]:
        found = {}
        for index, (name, ids) in wanted.items():
            times = (time for one in ids if (time := _time(db, name, one, sources)) is not None)
            if (time := next(times, None)) is not None:
                found[index] = time
        return found

    times = await outbox.read(look)
    return [_with_time(raw, times[index]) if index in times else raw for index, raw in enumerate(events)]


def _originals(raw: Any) -> tuple[str, list[str]] | None:
    """The original's name and the ids that it may have; `None` when there is nothing to look up."""
    name = raw.get("event_name") if isinstance(raw, dict) else None
    if not isinstance(name, str) or name not in ADJUSTS:
        return None
    original, custom = raw.get("original_event", {}), raw.get("custom_data", {})
    if not isinstance(original, dict) or not isinstance(custom, dict) or "event_time" in original:
        return None
    given = (original.get("event_id"), original.get("order_id"), custom.get("order_id"))
    ids = [str(one) for one in given if isinstance(one, str | int) and not isinstance(one, bool) and one != ""]
    return (ADJUSTS[name], list(dict.fromkeys(ids))) if ids else None


def _time(db: Connection, name: str, event_id: str, sources: Collection[str]) -> float | None:
    for row in queries.find(db, event_id):
        if row.event_name == name and row.source in sources:
            payload, _ = queries.payload(db, row.seq)
            if payload is not None:
                return read(payload, None).event_time
    return None


def _with_time(raw: dict[str, Any], time: float) -> dict[str, Any]:
    return {**raw, "original_event": {**raw.get("original_event", {}), "event_time": time}}
