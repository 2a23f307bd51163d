"""The consent ledger: what was decided of whom and why, as rows of which each holds the hash of the one before.

One row stands for a commit group, with a commitment for each of its events; what they were decided by is shared and
stands in `ruling`. A commitment can be opened only with the salt beside the event: once that is erased, nobody can tell
any more whose it was, and the chain is as it was. docs/ledger.md has all of it byte by byte. Functions that write run
inside the writer's transaction, so that several processes make one chain.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.model.errors import OutboxError
from gateway.outbox.packing import pack, unpack
from gateway.privacy.sealing import PAYLOAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.outbox.engine import Connection
    from gateway.privacy.sealing import Keyring

#: Bytes of a hash, of a salt.
HASH, SALT = 32, 16
#: Kinds of rows whose entries are events with their rulings; of all others they are JSON.
INTAKE, REOPENED = WITH_EVENTS = ("intake", "reopened")
#: A delivery that consent stopped later; one of these that a platform took all the same.
CANCELLED, TAKEN = "cancelled", "taken"
#: What reading a value raises that was changed to another type or shape.
NEVER_WRITTEN = (TypeError, ValueError, AttributeError, LookupError, struct.error)
#: Before the first row.
NOTHING = bytes(HASH)
#: A ruling's time of use is written down once a day.
DAY = 86_400.0
#: Rows pruned in one step.
STEP = 500

_ROW_TAG, _EVENT_TAG, _STRINGS_TAG = b"gateway-ledger-1\0", b"gateway-event-1\0", b"gateway-consent-1\0"
_ROW = struct.Struct("<qdqqI")
_EVENT = struct.Struct("<dI")
_STRINGS = struct.Struct(f"<I{HASH}s")
_COLUMNS = "id, at, kind, first_seq, count, entries, hash"
#: As they are read: somebody may have put a text there.
_READ = "id, at, kind, first_seq, count, CAST(entries AS BLOB), CAST(hash AS BLOB)"
_encode = msgspec.json.Encoder(order="deterministic").encode


class Ruling(msgspec.Struct, frozen=True):
    """What was decided by what, for every event that it holds for."""

    #: Of `data`.
    hash: bytes
    #: JSON: source, signals, policy, and `to`: instance → outcome, reason, detail, rule.
    data: str


class _Signals(msgspec.Struct):
    signals: msgspec.Raw


_decode_signals = msgspec.json.Decoder(_Signals).decode


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the chain."""

    id: int
    #: Unix seconds.
    at: float
    kind: str
    #: Of a row with events: the number of the first, and how many.
    first_seq: int
    count: int
    entries: bytes
    hash: bytes


class Entry(msgspec.Struct, frozen=True):
    """One event in a row."""

    seq: int
    #: `Ruling.hash`
    ruling: bytes
    #: Commitments to the event and to its consent strings; `None` when it had none.
    event: bytes
    strings: bytes | None


@dataclass(frozen=True, slots=True)
class Kept:
    """An event that is still there, with what opens its commitments."""

    seq: int
    received_at: float
    source: str
    event_name: str
    event_id: str
    #: `None` for an event from before there was a ledger.
    salt: bytes | None
    #: `None` once its retention is over.
    payload: bytes | None
    #: Its decision's JSON.
    decided: str
    #: There is a payload, and it cannot be opened with the keys that are configured.
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """An end of the chain."""

    id: int
    hash: bytes


# Hashes and commitments. Pure.


def ruling(source: str, signals: str, decision: str) -> Ruling:
    """What was decided for the events of a source that came with these signals (JSON) and got this decision (JSON)."""
    said = {"source": source, "signals": msgspec.Raw(signals.encode()), **msgspec.json.decode(decision)}
    data = _encode(said)
    return Ruling(hashlib.sha256(data).digest(), data.decode())


def signals_of(ruling: Ruling) -> str:
    """The signals of a ruling, as JSON."""
    return bytes(_decode_signals(ruling.data).signals).decode()


def row_hash(previous: bytes, row_id: int, at: float, kind: str, first_seq: int, count: int, entries: bytes) -> bytes:
    """The hash of a row behind the row with the hash `previous`."""
    name = kind.encode()
    header = _ROW.pack(row_id, at, first_seq, count, len(name))
    return hashlib.sha256(b"".join((_ROW_TAG, previous, header, name, entries))).digest()


def commit_event(salt: bytes, received_at: float, event_name: str, event_id: str) -> bytes:
    """The commitment to an event."""
    name = event_name.encode()
    return hashlib.sha256(salt + _EVENT_TAG + _EVENT.pack(received_at, len(name)) + name + event_id.encode()).digest()


def commit_strings(salt: bytes, strings: bytes) -> bytes:
    """The commitment to consent strings: see `canonical_strings`."""
    return hashlib.sha256(salt + _STRINGS_TAG + strings).digest()


def canonical_strings(consent: Mapping[str, Any]) -> bytes:
    """An event's consent strings as they are committed to; empty when it has none."""
    given = [consent.get(name) for name in ("tcf", "gpp", "gpp_sid", "additional_consent")]
    return b"" if given == [None] * 4 else _encode(given)


def packed(entries: Sequence[Entry]) -> bytes:
    """Entries as bytes: the rulings, once each; which one each event has; the events; strings where there are any."""
    hashes = list(dict.fromkeys(one.ruling for one in entries))
    at = {value: index for index, value in enumerate(hashes)}
    strings = [_STRINGS.pack(offset, one.strings) for offset, one in enumerate(entries) if one.strings is not None]
    numbers = pack("I", [len(hashes)])
    indexes = pack("I", [at[one.ruling] for one in entries])
    return b"".join((numbers, *hashes, indexes, *[one.event for one in entries], *strings))


def unpacked(row: Row) -> list[Entry]:
    """The inverse of `packed`. Raises `ValueError` for bytes that it never makes."""
    data, count = row.entries, row.count
    (rulings,) = unpack("I", data[:4])
    hashes = [data[at : at + HASH] for at in range(4, 4 + rulings * HASH, HASH)]
    indexes_at = 4 + rulings * HASH
    events_at = indexes_at + 4 * count
    strings_at = events_at + HASH * count
    if strings_at > len(data) or (len(data) - strings_at) % _STRINGS.size:
        raise ValueError("entries of a wrong length")
    indexes = unpack("I", data[indexes_at:events_at])
    if any(index >= rulings for index in indexes):
        raise ValueError("a ruling that is not listed")
    strings = dict(_STRINGS.iter_unpack(data[strings_at:]))
    return [
        Entry(
            row.first_seq + offset,
            hashes[index],
            data[events_at + HASH * offset : events_at + HASH * (offset + 1)],
            strings.get(offset),
        )
        for offset, index in enumerate(indexes)
    ]


def tally(row: Row) -> Counter[bytes]:
    """The rulings of a row with events, and how many events have each."""
    (rulings,) = unpack("I", row.entries[:4])
    end = 4 + rulings * HASH
    indexes = Counter(unpack("I", row.entries[end : end + 4 * row.count]))
    return Counter({row.entries[4 + HASH * at : 4 + HASH * (at + 1)]: count for at, count in indexes.items()})


# Writing.


class Ledger:
    """What the writer's thread keeps of the ledger: which rulings are written down. The chain itself is read anew."""

    def __init__(self) -> None:
        #: Hash → the day on which its use was written down.
        self._known: dict[bytes, int] = {}
        #: The last row that was pruned when they were: rulings go with them.
        self._base = 0

    def forget(self) -> None:
        """After a rollback: what was written is not there."""
        self._known.clear()

    def write(self, db: Connection, kind: str, at: float, entries: Sequence[Entry], rulings: Sequence[Ruling]) -> None:
        """Append a row with events, ascending and without a gap, and the rulings that it is the first to refer to."""
        base, last = _ends(db)
        if base.id != self._base or len(self._known) > 10_000:
            self._base = base.id
            self._known.clear()
        day = int(at // DAY)
        for one in {one.hash: one for one in rulings}.values():
            if self._known.get(one.hash) != day:
                db.execute(
                    "INSERT INTO ruling (hash, data, used_at) VALUES (?, ?, ?) "
                    "ON CONFLICT (hash) DO UPDATE SET used_at = max(used_at, excluded.used_at)",
                    (one.hash, one.data, at),
                )
                self._known[one.hash] = day
        _append(db, last, kind, at, entries[0].seq, len(entries), packed(entries))


def note(db: Connection, kind: str, at: float, data: Mapping[str, Any]) -> None:
    """Append a row that says something of its own: a later decision, a withdrawal, an erasure. Nothing personal."""
    seqs = data.get("seqs", ())
    _append(db, head(db), kind, at, seqs[0] if seqs else 0, len(seqs), _encode(data))


def salts(count: int) -> list[bytes]:
    """As many fresh salts."""
    fresh = os.urandom(SALT * count)
    return [fresh[at : at + SALT] for at in range(0, SALT * count, SALT)]


def _append(db: Connection, last: Head, kind: str, at: float, first_seq: int, count: int, entries: bytes) -> None:
    number = last.id + 1
    made = row_hash(last.hash, number, at, kind, first_seq, count, entries)
    db.execute(
        f"INSERT INTO ledger ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (number, at, kind, first_seq, count, entries, made),
    )


def prune(db: Connection, older_than: float) -> int:
    """Delete rows from before `older_than`, oldest first, and the rulings that none refers to any more.

    The last of them stays as the base that the chain begins from. Returns how many were deleted.
    """
    rows = db.execute("SELECT id, at, hash FROM ledger ORDER BY id LIMIT ?", (STEP,)).fetchall()
    gone = 0
    while gone < len(rows) and rows[gone][1] < older_than:
        gone += 1
    if not gone:
        return 0
    last = rows[gone - 1]
    db.execute("UPDATE ledger_base SET id = ?, hash = ?", (last[0], last[2]))
    db.execute("DELETE FROM ledger WHERE id <= ?", (last[0],))
    if gone < STEP:  # a ruling's last use may be a day later, and clocks go back a little
        db.execute("DELETE FROM ruling WHERE used_at < ?", (older_than - 2 * DAY,))
    return gone


# Reading.


@contextlib.contextmanager
def one_moment(db: Connection) -> Iterator[None]:
    """Have all that is read in the block be of one moment."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


@contextlib.contextmanager
def as_written() -> Iterator[None]:
    """Raises `OutboxError` where something in the tables has a type or a shape that the gateway never writes there."""
    try:
        yield
    except NEVER_WRITTEN as error:
        raise OutboxError(
            "the ledger holds a value that is never written there: somebody changed the database. "
            "`gateway ledger verify` tells what else does not hold"
        ) from error


def is_due(db: Connection, older_than: float) -> bool:
    """Whether there is something to prune."""
    row = db.execute("SELECT at FROM ledger ORDER BY id LIMIT 1").fetchone()
    return row is not None and row[0] < older_than


def head(db: Connection) -> Head:
    """The last row; before the first and behind the last that was pruned, the base."""
    return _ends(db)[1]


def base(db: Connection) -> Head:
    """What the chain begins from: the last row that was pruned, or nothing."""
    return _ends(db)[0]


def _ends(db: Connection) -> tuple[Head, Head]:
    row = db.execute(
        "SELECT b.id, CAST(b.hash AS BLOB), l.id, CAST(l.hash AS BLOB) FROM ledger_base b "
        "LEFT JOIN ledger l ON l.id = (SELECT max(id) FROM ledger)"
    ).fetchone()
    base = Head(row[0], row[1])
    return base, Head(row[2], row[3]) if row[2] is not None else base


def rows(db: Connection, after: int = 0) -> Iterator[Row]:
    """The chain behind a row."""
    for row in db.execute(f"SELECT {_READ} FROM ledger WHERE id > ? ORDER BY id", (after,)):
        yield Row(*row)


def before(db: Connection, row_id: int) -> Head:
    """The row before one; before the first that is there, the base."""
    row = db.execute(
        "SELECT id, CAST(hash AS BLOB) FROM ledger WHERE id < ? ORDER BY id DESC LIMIT 1", (row_id,)
    ).fetchone()
    return Head(*row) if row is not None else base(db)


def begins_at(db: Connection) -> float | None:
    """When the first row that is there was written, Unix seconds."""
    found: float | None = db.execute("SELECT min(at) FROM ledger").fetchone()[0]
    return found


def rows_between(db: Connection, since: float, until: float) -> Iterator[Row]:
    """The rows that were written from `since` on and before `until` (Unix seconds)."""
    for row in db.execute(f"SELECT {_READ} FROM ledger WHERE at >= ? AND at < ? ORDER BY id", (since, until)):
        yield Row(*row)


def span(db: Connection, since: float | None, until: float | None) -> tuple[int, int]:
    """The first and the last row that were written from `since` on and before `until` (Unix seconds)."""
    low, high = (0 if since is None else since), (float("inf") if until is None else until)
    row = db.execute("SELECT min(id), max(id) FROM ledger WHERE at >= ? AND at < ?", (low, high)).fetchone()
    last = head(db).id
    return (row[0], row[1]) if row[0] is not None else (last + 1, last)


def later_rows(db: Connection) -> list[Row]:
    """All rows but those of commit groups: what was decided or done later."""
    found = db.execute(f"SELECT {_READ} FROM ledger WHERE kind <> 'intake' ORDER BY id")
    return [Row(*row) for row in found]


def row_of(db: Connection, seq: int) -> Row | None:
    """The row of an event's commit group."""
    found = db.execute(
        f"SELECT {_READ} FROM ledger WHERE kind = 'intake' AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",
        (seq,),
    ).fetchone()
    row = Row(*found) if found is not None else None
    return row if row is not None and seq < row.first_seq + row.count else None


def seqs_of(row: Row) -> list[int]:
    """The numbers of the events that a row without entries speaks of."""
    data = msgspec.json.decode(row.entries)
    seqs = data.get("seqs", ()) if isinstance(data, dict) else ()
    return [seq for seq in seqs if isinstance(seq, int)]


def rulings(db: Connection) -> dict[bytes, str]:
    """Hash → what is said to have it."""
    return dict(db.execute("SELECT hash, data FROM ruling").fetchall())


def kept(db: Connection, first: int, last: int, keyring: Keyring) -> Iterator[Kept]:
    """The events from one number to another that are still there; a payload that cannot be opened counts as gone."""
    found = db.execute(
        "SELECT e.seq, e.received_at, e.source, e.event_name, e.event_id, e.salt, e.payload, coalesce(d.data, '') "
        "FROM event e LEFT JOIN decision d ON d.id = e.decision WHERE e.seq BETWEEN ? AND ? ORDER BY e.seq",
        (first, last),
    )
    for row in found:
        text = keyring.text(row[6], PAYLOAD) if row[6] is not None else None
        payload = None if text is None else text.encode()
        yield Kept(*(*row[:6], payload, row[7], payload is None and row[6] is not None))


def first_kept(db: Connection) -> int | None:
    """The number of the first event that is still there."""
    found: int | None = db.execute("SELECT min(seq) FROM event").fetchone()[0]
    return found
