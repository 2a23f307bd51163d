"""Taking events in: duplicates found, the rest appended to the log. Runs inside the writer's transaction."""

from __future__ import annotations

import time
from array import array
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.model.errors import OutboxError
from gateway.outbox.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.outbox.engine import Connection


#: Rows in one statement: SQLite takes 999 values or more.
ROWS = 32
MARKS = ", ".join("?" * ROWS)
#: Number of keys → what looks them up.
LOOK_UP = {
    1: "SELECT key, seq FROM index_.dedup WHERE key = ?",
    ROWS: f"SELECT key, seq FROM index_.dedup WHERE key IN ({MARKS})",
}


class Record(msgspec.Struct, frozen=True):
    """One event, ready to be stored."""

    #: Hash of dedup group, event name and event id: `packing.key_hash`.
    dedup_key: int
    #: `packing.id_sum` of the event id.
    id_sum: int
    received_at: float
    source: str
    event_name: str
    event_id: str
    #: The decision's JSON: a row of `decision`, shared by all events that it holds for.
    decision: str
    #: Instances to which this event may go although a first copy was held for want of consent.
    consented: tuple[str, ...]
    payload: bytes
    #: The short-lived part, `None` when there is none.
    clear: bytes | None


class Appended(NamedTuple):
    """What became of one record."""

    #: Its number in the log; for a duplicate, the first copy's.
    seq: int
    duplicate: bool


class Log:
    """The log's state that the writer's thread keeps beside the database: all of it can be made again from there.

    The dedup index is an in-memory table attached to the writer's connection: it rolls back with the transaction;
    its truth is `intake.dedup_keys`, which other processes append to as well. `sync` reads what they added, under the
    write lock, before any key is looked up.
    """

    def __init__(self, dedup_window_s: float, clock: Callable[[], float] = time.time) -> None:
        self._window_s = dedup_window_s
        self._clock = clock
        self._next_seq = 0
        self._committed_seq = 0
        self._oldest_seq = 0
        self._decisions: dict[str, int] = {}

    def attach(self, db: Connection) -> None:
        """Make the index and fill it from the database. Called once, before the first group."""
        db.execute("ATTACH ':memory:' AS index_")
        db.execute("CREATE TABLE index_.dedup (key INTEGER PRIMARY KEY, seq INTEGER)")  # see insert_rows on NOT NULL
        oldest = self._clock() - self._window_s
        db.execute("BEGIN")  # one view of the log: another process may be writing
        rows = db.execute(
            "SELECT first_seq, count, dedup_keys FROM intake WHERE committed_at >= ? ORDER BY first_seq", (oldest,)
        )
        keys, seqs = array("q"), array("q")
        for first, count, packed in rows:
            keys.extend(unpack("q", packed))
            seqs.extend(range(first, first + count))
        # ascending inserts only ever touch the last page; of one key, the newest is the one that counts
        order = sorted(range(len(keys)), key=keys.__getitem__)
        pairs = ((keys[at], seqs[at]) for at in order)
        db.executemany("INSERT OR REPLACE INTO index_.dedup VALUES (?, ?)", pairs)
        self._next_seq = _end_of_log(db)
        self._oldest_seq = first_since(db, oldest)
        db.execute("COMMIT")

    def sync(self, db: Connection) -> None:
        """Take in what other processes appended. Called at the start of each group, under the write lock."""
        self._committed_seq = self._next_seq
        rows = db.execute(
            "SELECT first_seq, count, dedup_keys FROM intake WHERE first_seq >= ? ORDER BY first_seq", (self._next_seq,)
        ).fetchall()
        for first, count, keys in rows:
            pairs = zip(unpack("q", keys), range(first, first + count), strict=True)
            # a key that is here already had passed its window when the other process took it again
            db.executemany("INSERT OR REPLACE INTO index_.dedup VALUES (?, ?)", pairs)
            self._next_seq = first + count

    def forget(self) -> None:
        """After a rollback: what was learnt inside the transaction is not so."""
        self._decisions.clear()
        self._next_seq = self._committed_seq

    def append(self, db: Connection, records: Sequence[Record]) -> list[Appended]:
        """Store what is new. The answers are in the order of `records`."""
        results: list[Appended] = []
        fresh: list[Record] = []
        consented: list[tuple[Record, int]] = []
        first = seq = self._next_seq
        known = self._known(db, [record.dedup_key for record in records])
        for record in records:
            earlier = known.get(record.dedup_key)
            if earlier is not None:
                results.append(Appended(earlier, True))
                if record.consented:
                    consented.append((record, earlier))
                continue
            known[record.dedup_key] = seq
            results.append(Appended(seq, False))
            fresh.append(record)
            seq += 1
        if fresh:
            self._insert(db, fresh, first)
            self._next_seq = seq
        for record, earlier in consented:
            self._reopen(db, record, earlier)
        return results

    def _known(self, db: Connection, keys: Sequence[int]) -> dict[int, int]:
        """Those of the keys that are taken within the window → the first copy's number in the log."""
        found: dict[int, int] = {}
        for at in range(0, len(keys), ROWS):
            part = keys[at : at + ROWS]
            if 1 < len(part) < ROWS:  # so that there are two statements, not one for each number of keys
                part = [*part, *[part[0]] * (ROWS - len(part))]
            rows = db.execute(LOOK_UP[len(part)], part)
            found.update((key, seq) for key, seq in rows if seq >= self._oldest_seq)
        return found

    def sweep(self, db: Connection, slices: int, index: int) -> None:
        """Drop keys past the dedup window from slice `index` of `slices` of the index."""
        width = 2**64 // slices
        low = -(2**63) + index * width
        self._oldest_seq = first_since(db, self._clock() - self._window_s)
        db.execute(
            "DELETE FROM index_.dedup WHERE key >= ? AND key < ? AND seq < ?",
            (low, min(low + width, 2**63 - 1), self._oldest_seq),
        )

    def _reopen(self, db: Connection, record: Record, seq: int) -> None:
        """Queue what the first copy was refused for want of consent, now that this copy brings it."""
        row = db.execute(
            "SELECT d.data FROM event e JOIN decision d ON d.id = e.decision WHERE e.seq = ?", (seq,)
        ).fetchone()
        if row is None:
            return
        first = msgspec.json.decode(row[0])
        held = [name for name in record.consented if first["to"].get(name, ())[:2] == ["skipped", "consent"]]
        if not held:
            return
        now = self._clock()
        # what the first copy owes the others stands
        copy = msgspec.json.decode(record.decision)["to"]
        first["to"].update({name: copy[name] for name in held})
        decision = self._decision(db, msgspec.json.encode(first).decode())
        db.execute("UPDATE event SET decision = ?, payload = ? WHERE seq = ?", (decision, record.payload, seq))
        if record.clear is not None:
            db.execute("INSERT OR REPLACE INTO clear VALUES (?, ?)", (seq, record.clear))
        for name in held:
            db.execute(
                "INSERT OR IGNORE INTO delivery "
                "(lane, seq, state, tries, frozen_s, next_at, unseen, code, message, changed_at) "
                "SELECT id, ?, 'waiting', 0, frozen_s, ?, 0, 'consent_given', 'a copy of the event brought consent', ? "
                "FROM lane WHERE instance = ?",
                (seq, now, now, name),
            )

    def _insert(self, db: Connection, fresh: list[Record], first: int) -> None:
        decision = self._decision
        insert_rows(
            db,
            "INSERT OR FAIL INTO event",
            [
                (
                    seq,
                    one.received_at,
                    one.source,
                    one.event_name,
                    one.event_id,
                    decision(db, one.decision),
                    one.payload,
                )
                for seq, one in enumerate(fresh, first)
            ],
        )
        clear = [(seq, one.clear) for seq, one in enumerate(fresh, first) if one.clear is not None]
        insert_rows(db, "INSERT OR FAIL INTO clear", clear)
        # a key that is there already has passed its window
        keys = [(one.dedup_key, seq) for seq, one in enumerate(fresh, first)]
        insert_rows(db, "INSERT OR REPLACE INTO index_.dedup", keys)
        db.execute(
            "INSERT INTO intake VALUES (?, ?, ?, ?, ?)",
            (
                first,
                len(fresh),
                self._clock(),
                pack("I", [one.id_sum for one in fresh]),
                pack("q", [one.dedup_key for one in fresh]),
            ),
        )

    def _decision(self, db: Connection, data: str) -> int:
        found = self._decisions.get(data)
        if found is not None:
            return found
        row = db.execute("SELECT id FROM decision WHERE data = ?", (data,)).fetchone()
        number = row[0] if row else db.execute("INSERT INTO decision (data) VALUES (?)", (data,)).lastrowid
        if len(self._decisions) > 10_000:
            self._decisions.clear()
        self._decisions[data] = number
        return int(number)


def insert_rows(db: Connection, insert: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, those of a large group with few statements.

    Python's lock is let go and asked for again at each row that SQLite takes by itself, and an event loop that is busy
    gives it back late. `OR FAIL`, or `OR REPLACE` where no column is NOT NULL, must be said: otherwise SQLite keeps
    each page as it was, to undo a statement of many rows, although the whole group is undone when one fails.
    """
    whole = len(rows) - len(rows) % ROWS
    for at in range(0, whole, ROWS):
        part = rows[at : at + ROWS]
        db.execute(_statement(insert, ROWS, len(part[0])), [*chain.from_iterable(part)])
    if whole < len(rows):
        db.executemany(_statement(insert, 1, len(rows[0])), rows[whole:])


@cache
def _statement(insert: str, rows: int, columns: int) -> str:
    marks = ", ".join([f"({', '.join('?' * columns)})"] * rows)
    return f"{insert} VALUES {marks}"


def first_since(db: Connection, when: float) -> int:
    """The number of the first event committed at or after `when` (Unix seconds); past the end if there is none."""
    low, high = (db.execute(f"SELECT {end}(first_seq) FROM intake").fetchone()[0] or 0 for end in ("min", "max"))
    end = _end_of_log(db)
    while low <= high:
        middle = (low + high) // 2
        row = db.execute(
            "SELECT first_seq, committed_at, first_seq + count FROM intake "
            "WHERE first_seq >= ? ORDER BY first_seq LIMIT 1",
            (middle,),
        ).fetchone()
        if row is None or row[1] >= when:
            if row is not None:
                end = row[0]
            high = middle - 1
        else:
            low = row[2]
    return int(end)


def _end_of_log(db: Connection) -> int:
    row = db.execute("SELECT first_seq + count FROM intake ORDER BY first_seq DESC LIMIT 1").fetchone()
    if row is None:
        if db.execute("SELECT 1 FROM event LIMIT 1").fetchone():
            raise OutboxError("the outbox has events but no index of them: it is damaged, restore a backup")
        return 1
    return int(row[0])
