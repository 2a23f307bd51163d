"""What SQLite leaves behind of rows that are gone: it is found, and written over."""

from __future__ import annotations

import json
import random
from hashlib import sha256

import anyio
import pytest
from msgspec.structs import replace

from gateway.outbox import residue
from gateway.outbox.erasure import erase

SEALED = b"\x01" + bytes(range(80))


def digest(number):
    return sha256(f"p{number}@example.com".encode()).hexdigest()


def told(record, number, chance):
    payload = {
        "event_id": f"order-number-{number}",
        "user_data": {"fbp": f"fb.1.1700000000000.{number:010}"},
        "digests": {"email": [digest(number)]},
        "custom_data": {"note": "x y " * chance.randrange(200)},
    }
    one = record(f"order-number-{number}", people=(number,), clear=None)
    return replace(one, payload=json.dumps(payload).encode())


def content(outbox):
    return b"".join(file.read_bytes() for file in outbox.path.parent.glob(f"{outbox.path.name}*"))


def planted(outbox, text):
    """Writes into the free space of some page, where SQLite would have left it."""
    data = bytearray(outbox.path.read_bytes())
    for at in range(4_096, len(data), 4_096):
        first = at + 8 + 2 * int.from_bytes(data[at + 3 : at + 5], "big")
        last = at + int.from_bytes(data[at + 5 : at + 7], "big")
        if data[at] == 13 and last - first > len(text) + 8:
            data[last - len(text) - 4 : last - 4] = text
            outbox.path.write_bytes(data)
            return
    raise AssertionError("no page has so much free space")


def test_a_copy_in_free_space_is_found_and_the_file_is_written_anew(opened, record, put):
    outbox = opened()
    put(outbox, *(record(f"e{number}") for number in range(40)))
    assert anyio.run(outbox.empty_wal)
    outbox.close()
    wanted = {digest(7).encode()}
    assert not residue.is_left(outbox.path, wanted)
    planted(outbox, digest(7).encode())
    assert residue.is_left(outbox.path, wanted)
    assert not residue.is_left(outbox.path, {digest(8).encode()})
    outbox = opened()
    assert anyio.run(outbox.leave_nothing_of, wanted)
    assert digest(7).encode() not in content(outbox)
    with outbox.reading() as db:
        assert db.execute("SELECT count(*) FROM event").fetchone() == (40,)
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert put(outbox, record("e3"), record("later")) == [(4, True), (41, False)]


def test_the_file_is_left_alone_where_nothing_is_found(opened, record, put, monkeypatch):
    outbox = opened()
    put(outbox, *(record(f"e{number}") for number in range(40)))
    monkeypatch.setattr(residue, "write_anew", None)
    assert anyio.run(outbox.leave_nothing_of, {digest(7).encode()})
    assert anyio.run(outbox.leave_nothing_of, set())


@pytest.mark.parametrize("seed", range(3))
def test_after_many_erasures_no_digest_is_left(opened, record, put, seed):
    outbox, chance = opened(), random.Random(seed)
    for first in range(0, 300, 6):
        put(outbox, *(told(record, number, chance) for number in range(first, first + 6)))
    gone = chance.sample(range(300), 60)
    for number in gone:
        erased = anyio.run(lambda number=number: erase(outbox, [number], 1_900_000_000.0))
        assert (erased.events, erased.overwritten) == (1, True)
        assert digest(number).encode() not in content(outbox)
    assert all(digest(number).encode() in content(outbox) for number in set(range(300)) - set(gone))


def test_what_an_event_is_looked_for_by(opened, record, put):
    outbox, chance = opened(), random.Random(1)
    put(outbox, told(record, 1, chance), record("short", clear=b'{"client_ip_address": "203.0.113.7xx"}'))
    put(outbox, replace(record("sealed-one-12"), payload=SEALED))
    put(outbox, replace(record("4"), payload=b'{"user_data":{"anonymous_id":"v-1","language":"en"}}'))
    with outbox.reading() as db:
        first, second, third, fourth = (residue.traces(db, [seq]) for seq in (1, 2, 3, 4))
        salts = [row[0] for row in db.execute("SELECT salt FROM event ORDER BY seq")]
    assert first == {b"order-number-1", digest(1).encode(), b"fb.1.1700000000000.0000000001", salts[0]}
    assert second == {b"203.0.113.7xx", b'"client_ip_address":"203.0.113.7xx"', salts[1]}
    assert third == {b"sealed-one-12", SEALED[:64], salts[2]}
    assert fourth == {b'"anonymous_id":"v-1"', salts[3]}
