"""The consent ledger: one chain, whoever writes; what opens a commitment lies with the event alone."""

from __future__ import annotations

import hashlib
import itertools
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.model.delivery import Action, State
from gateway.model.event import Consent
from gateway.outbox import lanes, ledger, retention
from gateway.outbox.lanes import Change, Tried
from gateway.privacy.consent import PURPOSES, REFUSALS, Policy, Requirement, decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Opener, Time

    from gateway.outbox import Outbox, Record
    from gateway.outbox.ledger import Row


def chain(outbox: Outbox) -> list[Row]:
    """All rows, each of which follows from the one before."""
    with outbox.reading() as db:
        rows, previous = list(ledger.rows(db)), ledger.base(db)
    for row in rows:
        made = ledger.row_hash(previous.hash, row.id, row.at, row.kind, row.first_seq, row.count, row.entries)
        assert (row.id, row.hash) == (previous.id + 1, made)
        previous = ledger.Head(row.id, row.hash)
    return rows


def test_a_group_is_one_row_that_commits_to_each_event(
    opened: Opener, record: Callable[..., Record], put: Callable[..., object], time: Time
) -> None:
    outbox = opened()
    put(outbox, record("one"), record("two", acme="consent"), record("three", strings=b'["x"]'))
    (row,) = chain(outbox)
    assert (row.kind, row.first_seq, row.count) == ("intake", 1, 3)
    entries = ledger.unpacked(row)
    with outbox.reading() as db:
        salts = [salt for (salt,) in db.execute("SELECT salt FROM event ORDER BY seq")]
        rulings = dict(db.execute("SELECT hash, data FROM ruling").fetchall())
    assert len(set(salts)) == 3
    assert {len(salt) for salt in salts} == {16}
    for entry, salt, name in zip(entries, salts, ("one", "two", "three"), strict=True):
        assert entry.event == ledger.commit_event(salt, time.now, "Lead", name)
    assert [entry.strings for entry in entries[:2]] == [None, None]
    assert entries[2].strings == ledger.commit_strings(salts[2], b'["x"]')
    assert len(rulings) == 2
    assert all(hashlib.sha256(data.encode()).digest() == key for key, data in rulings.items())
    to = [msgspec.json.decode(rulings[entry.ruling])["to"]["acme"][0] for entry in entries]
    assert to == ["send", "skipped", "send"]


def test_processes_write_one_chain(opened: Opener, record: Callable[..., Record], put: Callable[..., object]) -> None:
    outboxes = [opened(), opened()]
    threads = [
        threading.Thread(target=lambda one=one, at=at: [put(one, record(f"{at}-{n}")) for n in range(25)])  # type: ignore[misc]
        for at, one in enumerate(outboxes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(row.count for row in chain(outboxes[0])) == 50


def test_a_group_that_fails_leaves_no_row(
    opened: Opener, record: Callable[..., Record], put: Callable[..., object]
) -> None:
    outbox = opened()
    put(outbox, record("one"))

    def fails(db: ledger.Connection) -> None:
        ledger.note(db, "erasure", 1.0, {"events": 1})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outbox.write_blocking(fails)
    put(outbox, record("two", acme="consent"))
    assert [row.kind for row in chain(outbox)] == ["intake", "intake"]


def test_a_ruling_is_written_again_after_it_was_pruned(
    opened: Opener, record: Callable[..., Record], put: Callable[..., object], time: Time
) -> None:
    outbox, other = opened(), opened()
    put(outbox, record("one"))
    time.now += 10 * ledger.DAY
    assert other.write_blocking(lambda db: ledger.prune(db, time.now - ledger.DAY)) == 1
    assert chain(outbox) == []
    with outbox.reading() as db:
        assert db.execute("SELECT count(*) FROM ruling").fetchone() == (0,)
    put(outbox, record("two"))
    (row,) = chain(outbox)
    assert row.id == 2
    with outbox.reading() as db:
        assert [key for (key,) in db.execute("SELECT hash FROM ruling")] == [ledger.unpacked(row)[0].ruling]


def test_pruning_keeps_the_rulings_that_are_referred_to(
    opened: Opener, record: Callable[..., Record], put: Callable[..., object], time: Time
) -> None:
    outbox = opened()
    start = time.now
    for day in range(12):
        time.now = start + day * ledger.DAY
        put(outbox, record(f"always {day}"), *([record("once", acme="consent")] if day == 0 else []))
    outbox.write_blocking(lambda db: ledger.prune(db, start + 5 * ledger.DAY))
    rows = chain(outbox)
    assert [row.id for row in rows] == [*range(6, 13)]
    with outbox.reading() as db:
        assert {key for (key,) in db.execute("SELECT hash FROM ruling")} == {
            entry.ruling for row in rows for entry in ledger.unpacked(row)
        }


def test_a_copy_that_brings_consent_is_a_row_of_its_own(
    opened: Opener, record: Callable[..., Record], put: Callable[..., object], time: Time
) -> None:
    outbox = opened()
    put(outbox, record("one", acme="consent"))
    time.now += 5
    put(outbox, record("one", acme="send", strings=b'["y"]'))
    first, second = chain(outbox)
    assert (second.kind, second.first_seq, second.count) == ("reopened", 1, 1)
    (before,), (after,) = ledger.unpacked(first), ledger.unpacked(second)
    assert (before.event, before.ruling == after.ruling) == (after.event, False)
    with outbox.reading() as db:
        salt = db.execute("SELECT salt FROM event").fetchone()[0]
    assert after.strings == ledger.commit_strings(salt, b'["y"]')


def test_what_consent_stops_later_and_what_was_taken_all_the_same(
    opened: Opener, record: Callable[..., Record], put: Callable[..., object]
) -> None:
    outbox = opened()
    put(outbox, *(record(f"event {number}") for number in range(4)))
    lane = outbox.write_blocking(lambda db: lanes.open_lane(db, "acme", 1)).id
    changes = [
        Change(seq, State.CANCELLED, code=code, message="why", policy="p")
        for seq, code in ((1, "gpc"), (2, "consent_denied"), (3, "gpc"), (4, "not_routed"), (99, "gpc"))
    ]
    tried = Tried((1, 4), 1.0, 1.0, 200, "delivered", "", "")
    for what in (
        lambda db: lanes.record(db, lane, cursor=None, tried=None, settled=(), changes=changes, now=5.0),
        lambda db: lanes.record(db, lane, cursor=None, tried=tried, settled=(), changes=(), now=6.0),
    ):
        outbox.write_blocking(what)
    _, *later = chain(outbox)
    said = {"to": "acme", "rule": "why", "policy": "p"}
    assert [(row.kind, row.first_seq, row.count, msgspec.json.decode(row.entries)) for row in later] == [
        ("cancelled", 1, 2, {**said, "reason": "gpc", "seqs": [1, 3]}),
        ("cancelled", 2, 1, {**said, "reason": "consent_denied", "seqs": [2]}),
        ("taken", 1, 1, {"to": "acme", "seqs": [1]}),
    ]


def test_retention_keeps_the_salt_as_long_as_the_event(
    opened: Opener, record: Callable[..., Record], put: Callable[..., object], time: Time
) -> None:
    outbox = opened()
    put(outbox, record("one"))
    with outbox.reading() as db:
        before = db.execute("SELECT salt FROM event").fetchone()[0]
    outbox.write_blocking(lambda db: retention.drop_payloads(db, [], time.now + 1))
    with outbox.reading() as db:
        assert db.execute("SELECT payload, salt FROM event").fetchone() == (None, before)


def test_all_reasons_of_a_refusal_are_known() -> None:
    values = ("granted", "denied", None)
    requirement = Requirement(frozenset(PURPOSES))
    found = {
        decision.reason
        for flags in itertools.product(values, repeat=4)
        for gpc, region, tcf in itertools.product((True, None), ("DE", "US", None), (None, "x"))
        if (
            decision := decide(
                Consent(**dict(zip(PURPOSES, flags, strict=True)), gpc=gpc, tcf=tcf), region, requirement, Policy(), 1e9
            )
        ).action
        is Action.SKIP
    }
    assert found <= REFUSALS
    assert found >= {"consent_string_unread", "consent_denied", "gpc", "opted_out", "consent_missing"}
