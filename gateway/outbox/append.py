"""Taking events in: duplicates found, the rest appended to the log. Runs inside the writer's transaction."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from gateway.model.errors import OutboxError
from gateway.outbox import ledger, people, visits
from gateway.outbox.keys import Keys
from gateway.outbox.lanes import AWAITING_COPY, CONSENT_GIVEN
from gateway.outbox.ledger import INTAKE, REOPENED, Ledger, Ruling, commit_event, commit_strings
from gateway.outbox.packing import pack
from gateway.privacy.sealing import Unopened

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.outbox.engine import Connection
    from gateway.outbox.people import People
    from gateway.privacy.visits import Visit


#: Rows in one statement: SQLite takes 999 values or more.
ROWS = 32


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
    #: When it happened, Unix seconds.
    event_time: float
    #: Whom it is about: `gateway.privacy.identity`.
    people: tuple[int, ...]
    #: The decision's JSON: a row of `decision`, shared by all events that it holds for.
    decision: str
    #: Instances to which this event may go although a first copy was held for want of consent.
    consented: tuple[str, ...]
    payload: bytes
    #: The short-lived part, `None` when there is none.
    clear: bytes | None
    #: The decision with what it was made from, for the ledger.
    ruling: Ruling
    #: Its consent strings, as `ledger.canonical_strings`.
    strings: bytes = b""
    #: What of it is remembered for later events of the same visitor.
    visit: Visit | None = None
    #: What it has for another copy of itself; `None` where none is expected.
    copy: Copy | None = None
    #: For how long it waits for that, in seconds.
    hold_s: float = 0.0


class Copy(Protocol):
    """What an event has for the other copy of itself: `gateway.ingest.copies`."""

    @property
    def unanswered(self) -> bool:
        """What it denies is a page's default, which its visitor has not answered yet."""

    def filled_in(self, payload: bytes, clear: bytes | None, *, consents: bool = False) -> tuple[bytes, bytes | None]:
        """The stored first copy with what this one adds. Raises `Unopened`."""

    def counts_beside(self, payload: bytes) -> bool:
        """Whether what it says of consent holds for the stored first copy. Raises `Unopened`."""

    def signals_beside(self, payload: bytes) -> str:
        """As JSON, the signals of a stored first copy that says nothing, and what this denies. Raises `Unopened`."""

    def agrees(self, payload: bytes, *, or_silent: bool = False) -> bool:
        """Whether the stored first copy says the same of consent; `or_silent`: or nothing. Raises `Unopened`."""


class Appended(NamedTuple):
    """What became of one record."""

    #: Its number in the log; for a duplicate, the first copy's.
    seq: int
    duplicate: bool
    #: It happened before its person was erased: it was not stored.
    erased: bool = False


class Log:
    """The log's state that the writer's thread keeps beside the database: all of it can be made again from there.

    The truth about duplicates is `intake.dedup_keys`. `sync` reads what this process and others have added to it, under
    the write lock, before any key is looked up: what was rolled back is not there, and so was never known.
    """

    def __init__(self, dedup_window_s: float, people: People, clock: Callable[[], float] = time.time) -> None:
        self._window_s = dedup_window_s
        self._people = people
        self._clock = clock
        self._keys = Keys()
        #: The keys of events before this number are known.
        self._next_seq = 0
        #: The first event within the window.
        self._oldest_seq = 0
        self._decisions: dict[str, int] = {}
        self._ledger = Ledger()

    def attach(self, db: Connection) -> None:
        """Fill the index from the database. Called once, before the first group."""
        db.execute("BEGIN")  # one view of the log: another process may be writing
        self._oldest_seq = first_since(db, self._clock() - self._window_s)
        self._next_seq = self._oldest_seq
        self.sync(db)  # and what is remembered of people
        self._next_seq = _end_of_log(db)
        db.execute("COMMIT")

    def sync(self, db: Connection) -> None:
        """Take in what was appended, and what is remembered of people. Called at the start of each group, under the
        write lock.
        """
        self._people.hear(db)
        rows = db.execute(
            "SELECT first_seq, count, dedup_keys FROM intake WHERE first_seq >= ? ORDER BY first_seq", (self._next_seq,)
        )
        for first, count, keys in rows:
            self._keys.add(first, keys)
            self._next_seq = first + count

    def hear(self, db: Connection) -> None:
        """Take in what a group has written down of people. Called once it is committed."""
        self._people.hear(db)

    def forget(self) -> None:
        """After a rollback: what was learnt inside the transaction is not so."""
        self._decisions.clear()
        self._ledger.forget()

    def append(self, db: Connection, records: Sequence[Record]) -> list[Appended]:
        """Store what is new. The answers are in the order of `records`."""
        results: list[Appended] = []
        fresh: list[Record] = []
        copies: list[tuple[Record, int]] = []
        first = seq = self._next_seq
        taken: dict[int, int] = {}
        for record in records:
            if is_of_the_past(db, self._people, record):
                results.append(Appended(0, False, erased=True))
                continue
            key = record.dedup_key
            earlier = taken.get(key)
            if earlier is None:
                earlier = self._keys.get(key, self._oldest_seq)
            if earlier is not None:
                results.append(Appended(earlier, True))
                copies.append((record, earlier))
                continue
            taken[key] = seq
            results.append(Appended(seq, False))
            fresh.append(record)
            seq += 1
        if fresh:
            self._insert(db, fresh, first)
        for record in fresh:
            self._remember(db, record)
        for record, earlier in copies:
            self._remember(db, record)  # it may bring the visitor's answer
            if record.consented or record.copy is not None:
                self._reopen(db, record, earlier)
            if record.copy is not None:
                self._fill_in(db, record, earlier)
        return results

    def sweep(self, db: Connection, slices: int, index: int) -> None:
        """Drop keys past the dedup window from slice `index` of `slices` of the index."""
        self._oldest_seq = first_since(db, self._clock() - self._window_s)
        self._keys.drop(index, slices, self._oldest_seq)

    def _reopen(self, db: Connection, record: Record, seq: int) -> None:
        """Queue what the first copy was refused for want of consent, now that this copy brings it.

        Not what was refused because of a withdrawal, which a later grant does not undo, and nothing that was received
        before the person was erased.
        """
        row = db.execute(
            "SELECT d.data, e.source, e.received_at, e.salt, e.payload, c.data FROM event e "
            "JOIN decision d ON d.id = e.decision LEFT JOIN clear c ON c.seq = e.seq WHERE e.seq = ?",
            (seq,),
        ).fetchone()
        if row is None:
            return
        data, source, received_at, salt, *stored = row
        erased = _erased_at(db, self._people, record)
        if erased is not None and received_at <= erased:
            return
        first = msgspec.json.decode(data)
        held = [name for name in record.consented if _lacked_consent(first["to"].get(name, ()))]
        copy = msgspec.json.decode(record.decision)
        if not held or _keeps_from_others(first, copy):  # there is one payload for all
            return
        now = self._clock()
        # what the first copy owes the others stands
        first["to"].update({name: copy["to"][name] for name in held})
        if copy["policy"] != first["policy"]:  # no one policy said all of this: whoever sends asks again
            first["policy"] = ""
        payload, clear = record.payload, record.clear
        if record.copy is not None and _may_all(first, record) and _agrees(record.copy, stored[0], or_silent=True):
            payload, clear = _filled_in(record.copy, stored[0], stored[1], consents=True) or (payload, clear)
        both = msgspec.json.encode(first).decode()
        salt = salt or ledger.salts(1)[0]
        db.execute(
            "UPDATE event SET decision = ?, payload = ?, salt = ? WHERE seq = ?",
            (self._decision(db, both), payload, salt, seq),
        )
        ruling = ledger.ruling(source, ledger.signals_of(record.ruling), both)
        entry = _entry(seq, record, salt, ruling, received_at)
        self._ledger.write(db, REOPENED, now, [entry], [ruling])
        people.add_to(db, seq, record.people)
        _put_clear(db, seq, clear)
        for name in held:
            db.execute(
                "INSERT OR IGNORE INTO delivery "
                "(lane, seq, state, tries, frozen_s, next_at, unseen, code, message, changed_at) "
                "SELECT id, ?, 'waiting', 0, frozen_s, ?, 0, ?, 'a copy of the event brought consent', ? "
                "FROM lane WHERE instance = ?",
                (seq, now, CONSENT_GIVEN, now, name),
            )

    def _remember(self, db: Connection, record: Record) -> None:
        """Write down what an event tells of its visit, unless its person has taken consent back meanwhile."""
        if record.visit is None:
            return
        known = self._people.among(record.people)
        withdrawn = bool(known) and people.denial_of(db, known) is not None
        visits.remember(db, replace(record.visit, told={}) if withdrawn else record.visit)

    def _fill_in(self, db: Connection, record: Record, seq: int) -> None:
        """Let what waited for this copy go, with what the copy adds; what the copy refuses does not go."""
        rows = db.execute(
            "SELECT l.instance, d.code FROM lane l JOIN delivery d ON d.lane = l.id "
            "WHERE d.seq = ? AND d.state = 'waiting'",
            (seq,),
        ).fetchall()
        first = db.execute("SELECT source, received_at, payload FROM event WHERE seq = ?", (seq,)).fetchone()
        if not rows or record.copy is None or first is None or first[0] == record.source:
            return  # nothing waits, or a sender repeats itself
        if not _counts_beside(record.copy, first[2]):
            return  # its page's visitor may still answer
        now, copy = self._clock(), msgspec.json.decode(record.decision)
        # of a destination that the copy was not asked for: what it says to the others
        no = next((one for one in copy["to"].values() if _refuses(one)), ())
        refused = {name: one for name, _ in rows if _refuses(one := copy["to"].get(name, no))}
        held = [name for name, code in rows if code == AWAITING_COPY]
        back = {name: one for name, one in refused.items() if name in held and record.copy.unanswered}
        if back and (signals := _signals_beside(record.copy, first[2])) is not None:
            self._hold_back(db, record, seq, back, signals)
            refused = {name: one for name, one in refused.items() if name not in back}
            held = [name for name in held if name not in back]
        for name, (_, _, reason, rule) in refused.items():
            db.execute(
                "UPDATE delivery SET state = 'cancelled', next_at = NULL, code = ?, message = ?, changed_at = ? "
                "WHERE seq = ? AND lane = (SELECT id FROM lane WHERE instance = ?)",
                (reason, f"the event's other copy: {rule}", now, seq, name),
            )
            told = {"to": name, "reason": reason, "rule": rule, "policy": copy["policy"], "seqs": [seq]}
            ledger.note(db, ledger.CANCELLED, now, told)
        payload, clear = db.execute(
            "SELECT e.payload, c.data FROM event e LEFT JOIN clear c ON c.seq = e.seq WHERE e.seq = ?", (seq,)
        ).fetchone()
        erased = _erased_at(db, self._people, record)
        of_the_past = erased is not None and first[1] <= erased
        allowed = held and not refused and not of_the_past and set(held) <= set(record.consented)
        allowed = allowed and _agrees(record.copy, payload)
        if allowed and (filled := _filled_in(record.copy, payload, clear)) is not None:
            db.execute("UPDATE event SET payload = ? WHERE seq = ?", (filled[0], seq))
            _put_clear(db, seq, filled[1])
            people.add_to(db, seq, record.people)
        db.execute(
            "UPDATE delivery SET next_at = ? WHERE seq = ? AND state = 'waiting' AND code = ?",
            (now, seq, AWAITING_COPY),
        )

    def _hold_back(
        self, db: Connection, record: Record, seq: int, refused: Mapping[str, Sequence[str]], signals: str
    ) -> None:
        """Skip an event for want of consent, as if its first copy had been: the visitor's answer may still bring it."""
        now = self._clock()
        data, source, received_at, salt = db.execute(
            "SELECT d.data, e.source, e.received_at, e.salt FROM event e JOIN decision d ON d.id = e.decision "
            "WHERE e.seq = ?",
            (seq,),
        ).fetchone()
        first, copy = msgspec.json.decode(data), msgspec.json.decode(record.decision)
        first["to"].update(refused)
        if copy["policy"] != first["policy"]:
            first["policy"] = ""
        both, salt = msgspec.json.encode(first).decode(), salt or ledger.salts(1)[0]
        db.execute("UPDATE event SET decision = ?, salt = ? WHERE seq = ?", (self._decision(db, both), salt, seq))
        ruling = ledger.ruling(source, signals, both)
        self._ledger.write(db, REOPENED, now, [_entry(seq, record, salt, ruling, received_at)], [ruling])
        db.executemany(
            "DELETE FROM delivery WHERE seq = ? AND lane = (SELECT id FROM lane WHERE instance = ?)",
            [(seq, name) for name in refused],
        )

    def _insert(self, db: Connection, fresh: list[Record], first: int) -> None:
        decision, now = self._decision, self._clock()
        salts = ledger.salts(len(fresh))
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
                    salt,
                )
                for seq, (one, salt) in enumerate(zip(fresh, salts, strict=True), first)
            ],
        )
        clear = [(seq, one.clear) for seq, one in enumerate(fresh, first) if one.clear is not None]
        insert_rows(db, "INSERT OR FAIL INTO clear", clear)
        db.execute(
            "INSERT INTO intake (first_seq, count, committed_at, id_sums, dedup_keys, people) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                first,
                len(fresh),
                now,
                pack("I", [one.id_sum for one in fresh]),
                pack("q", [one.dedup_key for one in fresh]),
                people.packed(one.people for one in fresh),
            ),
        )
        for seq, one in enumerate(fresh, first):
            if one.hold_s:
                _hold(db, seq, one, now)
        entries = [
            _entry(seq, one, salt, one.ruling, one.received_at)
            for seq, (one, salt) in enumerate(zip(fresh, salts, strict=True), first)
        ]
        self._ledger.write(db, INTAKE, now, entries, [one.ruling for one in fresh])

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


def is_of_the_past(db: Connection, known: People, record: Record) -> bool:
    """Whether its person was erased since it happened."""
    erased = _erased_at(db, known, record)
    return erased is not None and record.event_time <= erased


def _erased_at(db: Connection, known: People, record: Record) -> float | None:
    return people.erased_at(db, whos) if (whos := known.among(record.people)) else None


def _lacked_consent(ruling: Sequence[str]) -> bool:
    """Whether a destination was refused an event for what the event itself did not bring."""
    return list(ruling[:2]) == ["skipped", "consent"] and ruling[2] != "consent_withdrawn"


def _refuses(ruling: Sequence[str]) -> bool:
    """Whether a copy says no for a destination, rather than nothing."""
    return list(ruling[:2]) == ["skipped", "consent"] and ruling[2] != "consent_missing"


def _may_all(first: Mapping[str, Any], record: Record) -> bool:
    """Whether a copy consents to every destination that may have the event."""
    sends = {name for name, ruling in first["to"].items() if ruling[0].startswith("send")}
    return sends <= set(record.consented)


def _filled_in(
    copy: Copy, payload: bytes | None, clear: bytes | None, *, consents: bool = False
) -> tuple[bytes, bytes | None] | None:
    if payload is None:
        return None
    try:
        return copy.filled_in(payload, clear, consents=consents)
    except (Unopened, msgspec.DecodeError):  # sealed under a key that is gone: it stays as it is
        return None


def _keeps_from_others(first: Mapping[str, Any], copy: Mapping[str, Any]) -> bool:
    """Whether a destination that gets the first copy may not have what this one brings."""
    return any(
        ruling[0].startswith("send") and list(copy["to"].get(name, ())[:2]) == ["skipped", "consent"]
        for name, ruling in first["to"].items()
    )


def _agrees(copy: Copy, payload: bytes | None, *, or_silent: bool = False) -> bool:
    try:
        return payload is not None and copy.agrees(payload, or_silent=or_silent)
    except (Unopened, msgspec.DecodeError):
        return False


def _counts_beside(copy: Copy, payload: bytes | None) -> bool:
    try:
        return payload is None or copy.counts_beside(payload)
    except (Unopened, msgspec.DecodeError):
        return True


def _signals_beside(copy: Copy, payload: bytes | None) -> str | None:
    try:
        return copy.signals_beside(payload) if payload is not None else None
    except (Unopened, msgspec.DecodeError):
        return None


def _put_clear(db: Connection, seq: int, clear: bytes | None) -> None:
    """The short-lived part belongs to one payload: with another one comes another."""
    db.execute("DELETE FROM clear WHERE seq = ?", (seq,))
    if clear is not None:
        db.execute("INSERT INTO clear VALUES (?, ?)", (seq, clear))


def _hold(db: Connection, seq: int, record: Record, now: float) -> None:
    """Have an event wait for its other copy before anybody gets it."""
    db.executemany(
        "INSERT INTO delivery (lane, seq, state, tries, frozen_s, next_at, unseen, code, message, changed_at) "
        "SELECT id, ?, 'waiting', 0, frozen_s, ?, 0, ?, 'waits for its copy from another source of its group', ? "
        "FROM lane WHERE instance = ?",
        [(seq, now + record.hold_s, AWAITING_COPY, now, name) for name in record.consented],
    )


def _entry(seq: int, record: Record, salt: bytes, ruling: Ruling, received_at: float) -> ledger.Entry:
    strings = commit_strings(salt, record.strings) if record.strings else None
    event = commit_event(salt, received_at, record.event_name, record.event_id)
    return ledger.Entry(seq, ruling.hash, event, strings)


def insert_rows(db: Connection, insert: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, those of a large group with few statements.

    Python's lock is let go and asked for again at each row that SQLite takes by itself, and an event loop that is busy
    gives it back late. `OR FAIL` must be said: otherwise SQLite keeps each page as it was, to undo a statement of many
    rows, although the whole group is undone when one fails.
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
