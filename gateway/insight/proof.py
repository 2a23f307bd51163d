"""Whether the consent ledger holds: the whole chain and every event that is still there, or one event from end to end.

Everything is made again from what the rows say and compared with what they say it is. docs/ledger.md tells what such a
check can find, and what it cannot.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.outbox import ledger, queries
from gateway.outbox.ledger import INTAKE, REOPENED, WITH_EVENTS, Entry, Head, Kept, Row
from gateway.privacy.consent import PURPOSES
from gateway.privacy.sealing import NO_KEYS, Keyring

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.outbox.anchor import Anchored
    from gateway.outbox.engine import Connection

#: Faults that are told one by one.
TOLD = 100
_EVERY = 2**62


#: Retention prunes once in a while: this much later, in seconds, is no fault.
LEEWAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that does not hold."""

    #: A word for it: see docs/codes.md.
    code: str
    message: str
    #: The row, the event's number, as far as it is about one.
    row: int | None = None
    seq: int | None = None


@dataclass(slots=True)
class Checked:
    """What a check of the whole ledger found."""

    #: Rows that the chain begins behind and ends with.
    base: int
    head: int
    head_hash: str
    rows: int = 0
    #: Events in the rows; those still there whose commitment was opened, and of these those with their strings.
    entries: int = 0
    opened: int = 0
    strings_opened: int = 0
    #: Events whose payload cannot be opened with the keys that are configured: what it says was not compared.
    closed: int = 0
    rulings: int = 0
    #: Anchored lines that fit, and those from before the chain's base.
    anchors: int = 0
    anchors_older: int = 0
    faults: list[Flaw] = field(default_factory=list)
    #: Faults beyond those that are told.
    more_faults: int = 0

    @property
    def holds(self) -> bool:
        """Nothing is wrong."""
        return not self.faults

    def flaw(self, code: str, message: str, row: int | None = None, seq: int | None = None) -> None:
        """Tell of a fault."""
        if len(self.faults) < TOLD:
            self.faults.append(Flaw(code, message, row, seq))
        else:
            self.more_faults += 1


class _Said(msgspec.Struct):
    """What of a payload is compared."""

    consent: dict[str, Any] = {}
    region: str | None = None


_decode_payload = msgspec.json.Decoder(_Said).decode


# The whole ledger.


def verify(
    db: Connection, anchors: Sequence[Anchored] = (), keyring: Keyring = NO_KEYS, kept_since: float = math.inf
) -> Checked:
    """Check the chain, the rulings, every event that is there, and what was anchored.

    `kept_since`: Unix seconds; what was decided since then has not been pruned by retention, and so has to be there.
    `keyring`: what payloads are sealed with; of one that cannot be opened the strings and signals are not compared.
    """
    found = Checked(0, 0, "")
    with ledger.one_moment(db):
        try:
            base, head = ledger.base(db), ledger.head(db)
            found.base, found.head, found.head_hash = base.id, head.id, head.hash.hex()
            _Check(db, found, base, anchors, keyring, kept_since + LEEWAY_S).run()
        except ledger.NEVER_WRITTEN:
            message = "somewhere in the ledger is a value that is never written there; what follows was not checked"
            found.flaw("value_unreadable", message)
    return found


class _Check:
    def __init__(
        self,
        db: Connection,
        found: Checked,
        base: Head,
        anchors: Sequence[Anchored],
        keyring: Keyring,
        kept_since: float,
    ) -> None:
        self._db, self._keyring, self._kept_since = db, keyring, kept_since
        self._found = found
        self._base = base
        self._rulings = _rulings(db, found)
        self._missing: set[bytes] = set()
        self._anchors: dict[int, list[Anchored]] = {}
        for one in anchors:
            if one.hash:
                self._anchors.setdefault(one.id, []).append(one)
            else:
                found.flaw("anchor_unreadable", f"line {one.line} is not `time, number, hash`: torn, or changed")
        #: Number → the last entry of an event that was decided anew.
        self._anew = _decided_anew(db)
        self._first_kept = ledger.first_kept(db)
        #: The number behind the last event in the rows so far; `None` before the first.
        self._next_seq: int | None = None

    def run(self) -> None:
        self._anchored(self._base.id, self._base.hash)
        last = self._base
        for row in ledger.rows(self._db, -_EVERY):
            self._row(row, last)
            last = Head(row.id, row.hash)
        if self._next_seq is not None or not self._base.id:
            self._not_in_it(self._next_seq or 1, _EVERY, salted_only=self._next_seq is None)
        else:
            self._not_in_it(1, _EVERY, salted_only=True, since=self._kept_since)
        self._anchors_left()

    def _row(self, row: Row, last: Head) -> None:
        found = self._found
        found.rows += 1
        if row.id != last.id + 1:
            found.flaw("row_missing", f"row {row.id} follows row {last.id}", row.id)
        elif _hash_of(row, last.hash) != row.hash:
            found.flaw("row_changed", "its hash is not that of the row before and of what it says", row.id)
        self._anchored(row.id, row.hash)
        if row.kind not in WITH_EVENTS:
            return
        try:
            entries = ledger.unpacked(row)
        except ValueError as error:
            found.flaw("row_unreadable", f"{error}", row.id)
            return
        for ruling in {one.ruling for one in entries} - self._rulings.keys() - self._missing:
            self._missing.add(ruling)
            found.flaw("ruling_missing", f"there is no ruling {ruling.hex()}", row.id)
        if row.kind == INTAKE:
            self._group(row, entries)

    def _group(self, row: Row, entries: Sequence[Entry]) -> None:
        self._found.entries += row.count
        end = row.first_seq + row.count
        if self._next_seq is None and not self._base.id:
            self._not_in_it(1, row.first_seq - 1, salted_only=True)
        elif self._next_seq is None:
            self._not_in_it(1, row.first_seq - 1, salted_only=True, since=self._kept_since)
        else:
            self._not_in_it(self._next_seq, row.first_seq - 1, salted_only=False)
        self._next_seq = max(self._next_seq or 0, end)
        if self._first_kept is None or end <= self._first_kept:
            return
        for one in ledger.kept(self._db, row.first_seq, end - 1, self._keyring):
            self._event(row.id, one, entries[one.seq - row.first_seq])

    def _event(self, row: int, kept: Kept, entry: Entry) -> None:
        if fault := _unopened(kept, entry):
            self._found.flaw(*fault, row, kept.seq)
            return
        self._found.opened += 1
        self._found.closed += kept.is_closed
        if kept.payload is not None and _said(kept.payload) is None:
            self._found.flaw("payload_unreadable", "its payload is not what is ever written there", row, kept.seq)
        now = self._anew.get(kept.seq, entry)
        for fault in (_strings_differ(kept, now), _decision_differs(kept, self._rulings.get(now.ruling))):
            if fault:
                self._found.flaw(*fault, row, kept.seq)
        self._found.strings_opened += kept.payload is not None and now.strings is not None

    def _not_in_it(self, first: int, last: int, *, salted_only: bool, since: float = -math.inf) -> None:
        """Events that no row knows, received since then. Those without a salt may be from before there was a ledger."""
        if self._first_kept is None or last < self._first_kept:
            return
        for one in ledger.kept(self._db, first, last, self._keyring):
            if one.received_at < since:
                continue
            if (one.salt is not None or not salted_only) and one.seq not in self._anew:
                self._found.flaw("event_unknown", "no row of the ledger has this event", None, one.seq)

    def _anchored(self, row: int, digest: bytes) -> None:
        for one in self._anchors.pop(row, ()):
            if one.hash == digest:
                self._found.anchors += 1
            else:
                message = f"line {one.line} ({one.at}) says another hash of this row"
                self._found.flaw("anchor_differs", message, row)

    def _anchors_left(self) -> None:
        for row, lines in sorted(self._anchors.items()):
            if row < self._base.id:
                self._found.anchors_older += len(lines)
                if young := [one for one in lines if one.unix >= self._kept_since]:
                    message = f"line {young[0].line} ({young[0].at}) knows row {row}, which retention keeps until later"
                    self._found.flaw("pruned_too_early", message, row)
                continue
            message = f"line {lines[0].line} ({lines[0].at}) knows row {row}, which is not there"
            self._found.flaw("anchor_beyond", message, row)


def _rulings(db: Connection, found: Checked) -> dict[bytes, dict[str, Any]]:
    """Hash → ruling, of all; a fault for one that is not what its hash says."""
    rulings = {}
    for key, data in ledger.rulings(db).items():
        found.rulings += 1
        rulings[key] = _ruling(data)
        if hashlib.sha256(data.encode() if isinstance(data, str) else data).digest() != key:
            found.flaw("ruling_changed", f"the ruling {key.hex()} is not what its hash says")
    return rulings


def _ruling(data: str) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        found = None
    return found if isinstance(found, dict) else {}


def _decided_anew(db: Connection) -> dict[int, Entry]:
    found = {}
    for row in ledger.later_rows(db):
        if row.kind == REOPENED:
            try:
                found.update({one.seq: one for one in ledger.unpacked(row)})
            except ValueError:  # told with its row
                continue
    return found


def _hash_of(row: Row, previous: bytes) -> bytes:
    """Its hash made again; empty when there is something in it that no row holds."""
    try:
        return ledger.row_hash(previous, row.id, row.at, row.kind, row.first_seq, row.count, row.entries)
    except (struct.error, TypeError, AttributeError):
        return b""


# One event against its entry.


class Wrong(NamedTuple):
    """What is wrong with it."""

    code: str
    message: str


def _unopened(kept: Kept, entry: Entry) -> Wrong | None:
    if kept.salt is None:
        return Wrong("salt_missing", "the event has lost its salt")
    if _commitment(kept.salt, kept) != entry.event:
        return Wrong("event_changed", "its id, name, time or salt is not what was committed to")
    return None


def _commitment(salt: bytes, kept: Kept) -> bytes:
    try:
        return ledger.commit_event(salt, kept.received_at, kept.event_name, kept.event_id)
    except (struct.error, TypeError, AttributeError):
        return b""


def _strings_differ(kept: Kept, entry: Entry) -> Wrong | None:
    if kept.payload is None or kept.salt is None:
        return None
    said = _said(kept.payload)
    strings = ledger.canonical_strings(said.consent) if said is not None else b""
    made = ledger.commit_strings(kept.salt, strings) if strings else None
    return (
        None if made == entry.strings else Wrong("strings_changed", "its consent strings are not what was committed to")
    )


def _decision_differs(kept: Kept, ruling: Mapping[str, Any] | None) -> Wrong | None:
    if ruling is None:  # told with its row
        return None
    if kept.source != ruling.get("source"):
        return Wrong("event_changed", "its source is not the ruling's")
    decided = _ruling(kept.decided)
    if any(decided.get(key) != ruling.get(key) for key in ("policy", "to")):
        return Wrong("decision_changed", "its decision is not what the ruling says")
    said = _said(kept.payload) if kept.payload is not None else None
    signals = ruling.get("signals", {})
    if said is not None and not signals.get("withdrawn") and _signals(said) != _comparable(signals):
        return Wrong("signals_changed", "its signals are not what the ruling says")
    return None


def _said(payload: bytes) -> _Said | None:
    try:
        return _decode_payload(payload)
    except msgspec.DecodeError:
        return None


def _signals(said: _Said) -> dict[str, Any]:
    return _comparable({**said.consent, "region": said.region})


def _comparable(signals: Mapping[str, Any]) -> dict[str, Any]:
    """Signals as they stand in a payload and in a ruling alike."""
    return {name: value for name in (*PURPOSES, "gpc", "region") if (value := signals.get(name)) is not None}


# One event.


@dataclass(frozen=True, slots=True)
class Since:
    """Something that was decided or done later."""

    row: int
    #: Unix seconds.
    at: float
    kind: str
    said: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """A row of the chain."""

    row: int
    at: float
    kind: str
    previous: str
    hash: str
    #: Its hash was made again from what it says, and from the row before.
    holds: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """An event's place in the ledger, opened."""

    seq: int
    event_id: str
    event_name: str
    source: str
    received_at: float
    #: Everything holds.
    holds: bool
    #: Why not; empty when it does.
    faults: tuple[Flaw, ...]
    #: The row of its group; the salt, with which anybody can open the commitments; the commitments.
    row: int | None = None
    salt: str = ""
    event_commitment: str = ""
    strings_commitment: str = ""
    #: `opened`, `none` when there were none, `not kept`: they went with the payload.
    strings: str = "none"
    ruling_hash: str = ""
    #: source, signals, policy, to: as it was decided first.
    ruling: Mapping[str, Any] = field(default_factory=dict)
    later: tuple[Since, ...] = ()
    #: From its own row to the head.
    chain: tuple[Link, ...] = ()


def prove(db: Connection, event_id: str, keyring: Keyring = NO_KEYS) -> list[Proof]:
    """Every event with this id, oldest first. `keyring`: what payloads are sealed with. Raises `OutboxError`."""
    with ledger.one_moment(db), ledger.as_written():
        return [_proof(db, one.seq, keyring) for one in queries.find(db, event_id)]


def _proof(db: Connection, seq: int, keyring: Keyring) -> Proof:
    (kept,) = ledger.kept(db, seq, seq, keyring)
    float(kept.received_at)  # else it is none that was ever written
    about = (seq, kept.event_id, kept.event_name, kept.source, kept.received_at)
    row = ledger.row_of(db, seq)
    faults: list[Flaw] = []
    entry = _entry(row, seq, faults)
    if row is None or entry is None:
        return Proof(*about, holds=False, faults=tuple(faults))
    checked = Checked(0, 0, "")
    rulings = _rulings(db, checked)
    later_rows = [one for one in ledger.later_rows(db) if seq in _seqs(one)]
    now = _decided_anew(db).get(seq, entry)
    faults += [one for one in checked.faults if entry.ruling.hex() in one.message or now.ruling.hex() in one.message]
    faults += [
        Flaw("ruling_missing", f"there is no ruling {key.hex()}", row.id)
        for key in sorted({entry.ruling, now.ruling} - rulings.keys())
    ]
    opened = (_unopened(kept, entry), _strings_differ(kept, now), _decision_differs(kept, rulings.get(now.ruling)))
    faults += [Flaw(*one, row.id, seq) for one in opened if one]
    chain = tuple(_links(db, row.id))
    faults += [
        Flaw("row_changed", "its hash is not what it says, or rows are missing before it", one.row)
        for one in chain
        if not one.holds
    ]
    return Proof(
        *about,
        holds=not faults,
        faults=tuple(faults),
        row=row.id,
        salt=kept.salt.hex() if kept.salt else "",
        event_commitment=entry.event.hex(),
        strings_commitment=now.strings.hex() if now.strings else "",
        strings="none" if now.strings is None else "opened" if kept.payload is not None else "not kept",
        ruling_hash=entry.ruling.hex(),
        ruling=rulings.get(entry.ruling, {}),
        later=tuple(_later(one, seq, rulings) for one in later_rows),
        chain=chain,
    )


def _entry(row: Row | None, seq: int, faults: list[Flaw]) -> Entry | None:
    if row is None:
        faults.append(Flaw("event_unknown", "no row of the ledger has this event", None, seq))
        return None
    try:
        return ledger.unpacked(row)[seq - row.first_seq]
    except ValueError as error:
        faults.append(Flaw("row_unreadable", str(error), row.id, seq))
        return None


def _seqs(row: Row) -> Iterable[int]:
    if row.kind in WITH_EVENTS:
        return range(row.first_seq, row.first_seq + row.count)
    try:
        return ledger.seqs_of(row)
    except msgspec.DecodeError:
        return ()


def _later(row: Row, seq: int, rulings: Mapping[bytes, Mapping[str, Any]]) -> Since:
    if row.kind in WITH_EVENTS:
        said: Mapping[str, Any] = rulings.get(ledger.unpacked(row)[seq - row.first_seq].ruling, {})
    else:
        said = {name: value for name, value in msgspec.json.decode(row.entries).items() if name != "seqs"}
    return Since(row.id, row.at, row.kind, said)


def _links(db: Connection, first: int) -> Iterable[Link]:
    previous = ledger.before(db, first)
    for row in ledger.rows(db, first - 1):
        holds = row.id == previous.id + 1 and _hash_of(row, previous.hash) == row.hash
        yield Link(row.id, float(row.at), row.kind, previous.hash.hex(), row.hash.hex(), holds)
        previous = Head(row.id, row.hash)
