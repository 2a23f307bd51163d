"""What must be remembered of people beyond their events: consent taken back, erasure. By pseudonym only.

Which events are about somebody stands in `intake.people`, packed by commit group like the other indexes of the log:
taking one in costs nothing but its bytes, and looking for a person reads all of them, which nobody does often.
"""

from __future__ import annotations

import secrets
import struct
import threading
from typing import TYPE_CHECKING

from gateway.model.errors import OutboxError
from gateway.outbox import ledger, visits
from gateway.outbox.files import private, synced
from gateway.outbox.keys import Keys
from gateway.outbox.packing import pack
from gateway.privacy.identity import pseudonym
from gateway.privacy.withdrawal import Denial, Said, both, decoded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from gateway.outbox.engine import Connection

#: An entry of `intake.people`: a pseudonym, and the event's offset from the group's first.
_ENTRY = struct.Struct("<qI")
KEY_BYTES = 32
#: More pseudonyms than these are looked for entry by entry, whatever their number.
FEW = 20
#: No event has a greater number.
_EVERY = 2**62


class People:
    """What a process has heard of people, and the key of their pseudonyms.

    In memory are only the pseudonyms of whom anything is remembered; what that is stands in the database. `hear` may be
    called by any thread.
    """

    def __init__(self, key: bytes) -> None:
        self.key = key
        #: The number of the last change that was heard of.
        self.change = 0
        self._known = Keys()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        """Whether anything is remembered of anybody."""
        return self.change > 0

    def hear(self, db: Connection) -> int:
        """Take in what processes have written down since. Returns the number of the last change."""
        number = int(db.execute("SELECT number FROM person_change").fetchone()[0])
        if number > self.change:
            with self._lock:
                for (who,) in db.execute("SELECT who FROM person WHERE change > ?", (self.change,)).fetchall():
                    if self._known.get(who, 0) is None:
                        self._known.add(1, pack("q", (who,)))
                self.change = max(self.change, number)
        return number

    def among(self, whos: Iterable[int]) -> list[int]:
        """Those of whom something may be remembered."""
        return [who for who in whos if self._known.get(who, 0) is not None] if self else []


# What is remembered.


def denial_of(db: Connection, whos: Iterable[int]) -> Denial | None:
    """What a person with these pseudonyms has taken back."""
    rows = (db.execute("SELECT denied FROM person WHERE who = ?", (who,)).fetchone() for who in whos)
    return both(decoded(row[0]) for row in rows if row is not None and row[0] is not None)


def changed_at(db: Connection, whos: Iterable[int]) -> float | None:
    """When something was last written down of the person, Unix seconds."""
    rows = (db.execute("SELECT changed_at FROM person WHERE who = ?", (who,)).fetchone() for who in whos)
    return max((row[0] for row in rows if row is not None), default=None)


def erased_at(db: Connection, whos: Iterable[int]) -> float | None:
    """When the person was erased last, Unix seconds."""
    rows = (db.execute("SELECT erased_at FROM person WHERE who = ?", (who,)).fetchone() for who in whos)
    return max((row[0] for row in rows if row is not None and row[0] is not None), default=None)


def remember(db: Connection, whos: Sequence[int], said: Said, now: float) -> Denial | None:
    """Write down what a person says of their consent, for each pseudonym. Returns what is denied from now on."""
    if said.denies:
        visits.forget_person(db, whos)
    change, left = next_change(db), []
    for who in whos:
        denial = (denial_of(db, (who,)) or Denial()).after(said)
        left.append(denial)
        db.execute(
            "INSERT INTO person (who, change, changed_at, denied) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (who) DO UPDATE SET change = excluded.change, changed_at = excluded.changed_at, "
            "denied = excluded.denied",
            (who, change, now, denial.encoded() if denial else None),
        )
    db.execute("DELETE FROM person WHERE denied IS NULL AND erased_at IS NULL")
    told = {"denied": sorted(said.denied), "granted": sorted(said.granted), "opted_out": said.opted_out}
    to = {name: sorted(flags) for name, flags in sorted(said.to.items())}
    ledger.note(db, "withdrawal" if said.denies else "grant", now, {**told, "destinations": to})
    return both(left)


def suppress(db: Connection, whos: Sequence[int], now: float) -> None:
    """Write down that a person was erased: what happened until now does not come in again, what was denied is gone."""
    change = next_change(db)
    db.executemany(
        "INSERT INTO person (who, change, changed_at, erased_at) VALUES (?, ?, ?, ?) ON CONFLICT (who) DO UPDATE SET "
        "change = excluded.change, changed_at = excluded.changed_at, erased_at = excluded.erased_at, denied = NULL",
        [(who, change, now, now) for who in whos],
    )


def next_change(db: Connection) -> int:
    """Number a change, so that every process hears of it."""
    db.execute("UPDATE person_change SET number = number + 1")
    return int(db.execute("SELECT number FROM person_change").fetchone()[0])


# Whom events are about.


def packed(people: Iterable[Sequence[int]]) -> bytes | None:
    """The entries of a group: the pseudonyms of each of its events, in their order. `None` when there are none."""
    return b"".join([_ENTRY.pack(who, at) for at, whos in enumerate(people) for who in whos]) or None


def events_about(db: Connection, whos: Collection[int], *, after: int = 0, up_to: int = _EVERY) -> list[int]:
    """Numbers of all events behind `after` and up to `up_to` that are about somebody with one of these pseudonyms."""
    found: set[int] = set()
    wanted, needles = set(whos), [pack("q", (who,)) for who in whos]
    for first, people in _groups(db, after + 1, up_to):
        if len(needles) > FEW:
            found.update(first + offset for who, offset in _ENTRY.iter_unpack(people) if who in wanted)
        else:
            found.update(first + offset for needle in needles for offset in _offsets(people, needle))
    return sorted(seq for seq in found if after < seq <= up_to)


def everybody(db: Connection) -> Iterator[tuple[int, int]]:
    """Every event's number with each of its pseudonyms."""
    for first, people in _groups(db, 0, _EVERY):
        for who, offset in _ENTRY.iter_unpack(people):
            yield first + offset, who


def people_of(db: Connection, seqs: Collection[int]) -> dict[int, set[int]]:
    """Number → pseudonyms, of those events that have any."""
    found: dict[int, set[int]] = {}
    wanted = set(seqs)
    for low, high in _near(sorted(wanted)):
        for first, people in _groups(db, low, high):
            for who, offset in _ENTRY.iter_unpack(people):
                if first + offset in wanted:
                    found.setdefault(first + offset, set()).add(who)
    return found


def denials_of(db: Connection, seqs: Collection[int], people: People | None = None) -> dict[int, Denial]:
    """Number → what the person has taken back, of those events where there is such a thing."""
    found = {}
    for seq, whos in people_of(db, seqs).items():
        if denial := denial_of(db, sorted(whos) if people is None else people.among(sorted(whos))):
            found[seq] = denial
    return found


def affected_since(db: Connection, change: int, seqs: Collection[int]) -> set[int]:
    """Those events that are gone, or about somebody of whom something was written down after the change `change`."""
    whos = {row[0] for row in db.execute("SELECT who FROM person WHERE change > ?", (change,))}
    found = {seq for seq, mine in people_of(db, seqs).items() if not whos.isdisjoint(mine)}
    return found | {seq for seq in seqs if db.execute("SELECT 1 FROM event WHERE seq = ?", (seq,)).fetchone() is None}


def add_to(db: Connection, seq: int, whos: Sequence[int]) -> None:
    """Say of an event that is there already whom it is about, too."""
    row = db.execute(
        "SELECT first_seq, people FROM intake WHERE first_seq <= ? ORDER BY first_seq DESC LIMIT 1", (seq,)
    ).fetchone()
    known = {who for who, offset in _ENTRY.iter_unpack(row[1] or b"") if row[0] + offset == seq}
    more = b"".join(_ENTRY.pack(who, seq - row[0]) for who in whos if who not in known)
    if more:
        db.execute("UPDATE intake SET people = ? WHERE first_seq = ?", ((row[1] or b"") + more, row[0]))


def forget_links(db: Connection, seqs: Sequence[int]) -> None:
    """Take events (ascending) out of the indexes by person and by id. The dedup key stays, so that no copy comes in."""
    groups: dict[int, set[int]] = {}
    for seq in seqs:
        first = db.execute("SELECT max(first_seq) FROM intake WHERE first_seq <= ?", (seq,)).fetchone()[0]
        if first is not None:
            groups.setdefault(first, set()).add(seq - first)
    for first, gone in groups.items():
        id_sums, people = db.execute("SELECT id_sums, people FROM intake WHERE first_seq = ?", (first,)).fetchone()
        sums = bytearray(id_sums)
        for offset in gone:
            sums[4 * offset : 4 * offset + 4] = bytes(4)
        kept = b"".join(_ENTRY.pack(who, at) for who, at in _ENTRY.iter_unpack(people or b"") if at not in gone)
        db.execute("UPDATE intake SET id_sums = ?, people = ? WHERE first_seq = ?", (bytes(sums), kept or None, first))


def _groups(db: Connection, low: int, high: int) -> Iterator[tuple[int, bytes]]:
    """Commit groups with events from `low` to `high`: the number of the first, and whom they are about."""
    return db.execute(  # type: ignore[no-any-return]
        "SELECT first_seq, people FROM intake WHERE people IS NOT NULL AND first_seq <= ? AND first_seq >= "
        "(SELECT coalesce(max(first_seq), 0) FROM intake WHERE first_seq <= ?) ORDER BY first_seq",
        (high, low),
    )


def _offsets(people: bytes, needle: bytes) -> Iterator[int]:
    at = people.find(needle)
    while at >= 0:
        if at % _ENTRY.size == 0:
            yield _ENTRY.unpack_from(people, at)[1]
        at = people.find(needle, at + 1)


def _near(seqs: Sequence[int], gap: int = 1_000) -> Iterator[tuple[int, int]]:
    """Ascending numbers as spans: what lies near one another is looked at together."""
    start = last = None
    for seq in seqs:
        if start is None or last is None or seq - last > gap:
            if start is not None and last is not None:
                yield start, last
            start = seq
        last = seq
    if start is not None and last is not None:
        yield start, last


# The key.


def key_path(database: Path) -> Path:
    """Where the key of a database's pseudonyms lies."""
    real = database.resolve()
    return real.with_name(real.name + ".key")


def load_key(db: Connection, database: Path) -> bytes:
    """The key of the pseudonyms, made with the first start. Called under the lock of a start. Raises as `check_key`."""
    key = check_key(db, database) or _make_key(key_path(database))
    db.execute("DELETE FROM key_check")
    db.execute("INSERT INTO key_check VALUES (?)", (_check_of(key),))
    return key


def check_key(db: Connection, database: Path) -> bytes | None:
    """The key as it lies there; `None` where there is none, and none was needed so far.

    Raises `OutboxError` when it is not the one that the database was written with: without it nobody in there can be
    found any more, and who was erased would come back.
    """
    path = key_path(database)
    row, key = db.execute("SELECT pseudonym FROM key_check").fetchone(), _read_key(path)
    if row is None or not _in_use(db):
        return key
    if key is None:
        raise OutboxError(
            f"{path}: the key by which people are found in the outbox is missing. Put it back: it lies beside the "
            "database and is not part of a backup. Without it nobody's erasure or withdrawal can be kept"
        )
    if row[0] != _check_of(key):
        raise OutboxError(f"{path}: not the key that the outbox was written with; put the right one there")
    return key


def _check_of(key: bytes) -> int:
    """What tells one key from another."""
    return pseudonym(key, "key", "check")


def _in_use(db: Connection) -> bool:
    there = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    tables = ("person", "intake WHERE people IS NOT NULL", *(("visit",) if "visit" in there else ()))
    return any(db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)


def _read_key(path: Path) -> bytes | None:
    try:
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutboxError(f"{path}: the key cannot be read ({error.strerror})") from error
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise OutboxError(f"{path}: not a key: it is to hold {2 * KEY_BYTES} hexadecimal digits")
    return key


def _make_key(path: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    part = path.with_name(path.name + ".part")
    try:
        private(part)
        part.write_text(key.hex() + "\n", encoding="ascii")
        synced(part, path)
    except OSError as error:
        raise OutboxError(f"{path}: the key of people's pseudonyms cannot be written ({error.strerror})") from error
    return key
