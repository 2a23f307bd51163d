"""No statement that runs while events come in goes through a table that grows with them."""

from __future__ import annotations

import re

import pytest

from gateway.model.delivery import State
from gateway.outbox import lanes, retention, standing
from gateway.outbox.append import first_since
from gateway.outbox.lanes import Bond, Change, Tried

GROWING = {"event", "clear", "delivery", "attempt", "serial", "receipt", "intake"}
NOW = 1_795_000_000.0


def hot(db, lane: int) -> None:
    """All that the lanes, the retention and the probes ask and write."""
    tried = Tried([1, 2], NOW, 0.1, 200, "received", "", "", "request", [Bond(7, NOW), None], NOW)
    waits = [Change(3, State.WAITING, 1, NOW, 0.0, NOW, serial=7), Change(4, State.DEAD)]
    lanes.record(db, lane, cursor=2, tried=tried, settled=[5], changes=waits, now=NOW, held_until=NOW, rate_full_at=NOW)
    read = lanes.read_log(db, 2, 10)
    lanes.rows_among(db, lane, read)
    lanes.received_at(db, read[0].seq)
    for up_to in (None, 3):
        lanes.read_due(db, lane, NOW, 10, up_to)
    lanes.next_due(db, lane)
    lanes.end_of_log(db)
    lanes.settled_after(db, lane, 2)
    lanes.waiting_serials(db, lane)
    lanes.decisions(db, [1])
    lanes.series(db, lane, 7, 100)
    lanes.series(db, lane, 8, 100)
    lanes.resent(db, lane, [1, 2])
    lanes.next_receipt(db, lane)
    [receipt] = lanes.due_receipts(db, lane, NOW, 10)
    lanes.postpone_receipt(db, receipt, NOW)
    lanes.seqs_of(db, receipt.attempt)
    lanes.reported_on(db, lane, receipt.attempt)
    changes = [Change(1, State.WAITING), Change(2, State.WAITING)]
    lanes.close_receipt(db, lane, receipt, verdict="retry", code="", message="", changes=changes, now=NOW)
    standing.behind(db, ["acme"])
    standing.oldest(db, ["acme"])
    standing.attempts(db, lane, 1)
    first_since(db, NOW)
    for what in ("addresses", "payloads", "events"):
        for old in (None, NOW):
            retention.first_free(db, [lane], what, old, 1)
    retention.shred_clear(db, [lane], older_than=None, start=1)
    retention.drop_payloads(db, [lane], NOW, 1)


@pytest.fixture
def asked(opened, record, put):
    """Each statement that `hot` and an append run, as it was run."""
    outbox = opened()
    put(outbox, *(record(f"e{number}", clear=b"{}") for number in range(50)))
    outbox.write_blocking(lambda db: lanes.open_lane(db, "acme", 1) and None)
    statements: list[str] = []
    db = outbox._writer._db

    def watch(on):
        db.set_trace_callback(statements.append if on else None)

    outbox.write_blocking(lambda _: watch(True))
    put(outbox, record("new"), record("e1"))
    outbox.write_blocking(lambda db: hot(db, standing.lane_rows(db)["acme"].id))
    outbox.write_blocking(lambda _: watch(False))
    return outbox, [one for one in dict.fromkeys(statements) if re.match(r"SELECT|UPDATE|DELETE|INSERT", one)]


#: The names that statements give to tables.
ALIASES = {"d": "delivery", "e": "event", "t": "event", "a": "attempt", "r": "receipt", "s": "serial", "c": "clear"}


def test_nothing_is_gone_through_from_end_to_end(asked):
    """Save for the first row in a table's own order, which is found at once."""
    outbox, statements = asked
    assert len(statements) > 40
    found = []
    with outbox.reading() as db:
        for statement in statements:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
            first_only = re.search(r"LIMIT 1\b", statement) and not any("TEMP B-TREE" in step for step in plan)
            for step in plan:
                scanned = re.match(r"SCAN (\w+)", step)
                name = scanned[1] if scanned else ""
                if ALIASES.get(name, name) in GROWING and not first_only:
                    found.append((step, statement))
    assert found == []
