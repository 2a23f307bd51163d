"""The consent ledger as lines of JSON, for somebody who has nothing but this: docs/ledger.md tells each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.outbox import ledger
from gateway.outbox.ledger import WITH_EVENTS, Entry, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.outbox.engine import Connection

FORMAT = "gateway-ledger/1"


def lines(db: Connection, since: float | None = None, until: float | None = None) -> Iterator[dict[str, Any]]:
    """A header, then the rows written from `since` on and before `until` (Unix seconds), in the chain's order.

    Each ruling comes before the first row that refers to it.
    """
    with ledger.one_moment(db):
        first, last = ledger.span(db, since, until)
        base, head = ledger.before(db, first), ledger.before(db, last + 1)
        yield {
            "format": FORMAT,
            "base": {"row": base.id, "hash": base.hash.hex()},
            "head": {"row": head.id, "hash": head.hash.hex()},
        }
        rulings, told = ledger.rulings(db), set[bytes]()
        for row in ledger.rows(db, first - 1):
            if row.id > last:
                break
            entries = ledger.unpacked(row) if row.kind in WITH_EVENTS else []
            for key in dict.fromkeys(one.ruling for one in entries):
                if key not in told:
                    told.add(key)
                    yield {"ruling": key.hex(), "data": rulings.get(key)}
            yield _row(row, entries)


def _row(row: Row, entries: list[Entry]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "row": row.id,
        "at": row.at,
        "kind": row.kind,
        "first_seq": row.first_seq,
        "count": row.count,
        "entries": row.entries.hex(),
        "hash": row.hash.hex(),
    }
    if row.kind in WITH_EVENTS:
        return {**told, "events": [_entry(one) for one in entries]}
    return {**told, "data": msgspec.json.decode(row.entries)}


def _entry(entry: Entry) -> dict[str, Any]:
    strings = entry.strings.hex() if entry.strings is not None else None
    return {"seq": entry.seq, "ruling": entry.ruling.hex(), "event": entry.event.hex(), "strings": strings}
