"""What people ask of the outbox: events by id or time, dead letters. Functions of a connection; none writes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlite_utils import Database

from gateway.model.delivery import State
from gateway.model.errors import OutboxError
from gateway.outbox.append import first_since
from gateway.outbox.engine import Connection, connect, sqlite3, translated
from gateway.outbox.migrations import migrations
from gateway.outbox.packing import id_sum, key_hash, positions
from gateway.privacy.sealing import NO_KEYS, PAYLOAD, Keyring

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

#: States that only a row of `delivery` can give.
ROW_STATES = frozenset({State.WAITING, State.DEAD, State.EXPIRED, State.CANCELLED})

_EVENT = "seq, received_at, source, event_name, event_id, decision"


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event of the log, without what it says."""

    seq: int
    #: Unix seconds.
    received_at: float
    source: str
    event_name: str
    event_id: str
    #: `decision.id`
    decision: int


@dataclass(frozen=True, slots=True)
class Money:
    """A sum in one currency."""

    #: ISO 4217.
    currency: str
    value: float


@dataclass(frozen=True, slots=True)
class DeadGroup:
    """Dead letters of one cause: destination, code, and the field that the platform blames."""

    #: What names it on the command line: the same as long as the cause is.
    cause: str
    instance: str
    code: str
    #: Empty where the platform names none.
    field: str
    count: int
    #: Unix seconds: when the first and the last of them died.
    first_at: float
    last_at: float
    #: The reason of the last of them, in words.
    message: str
    #: The sums of `custom_data.value` of those whose payload is still kept and says value and currency.
    money: tuple[Money, ...]
    #: How many say no value, or nothing any more.
    without_value: int


class OutboxOlder(OutboxError):
    """The outbox is of an older version's shape: the next start brings it up to date."""


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """A connection that can only read; the file is neither made nor changed.

    Raises `OutboxError` when there is none, or when it is not of this version's shape.
    """
    if not path.is_file():
        raise OutboxError(f"{path}: there is no outbox yet; `gateway serve` makes it")
    db = connect(path, readonly=True)
    try:
        _check_shape(db, path)
        yield db
    except sqlite3.Error as error:
        raise translated(error, path) from error
    finally:
        db.close()


def _check_shape(db: Connection, path: Path) -> None:
    known = {migration.name for migration in migrations.pending(Database(memory=True))}
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (migrations.migrations_table,)).fetchone():
        raise OutboxError(f"{path}: not an outbox of the gateway")
    names = f'SELECT name FROM "{migrations.migrations_table}" WHERE migration_set = ?'
    applied = {row[0] for row in db.execute(names, (migrations.name,))}
    if applied - known:
        raise OutboxError(f"{path}: written by a newer version of the gateway; use that version's commands")
    if known - applied:
        raise OutboxOlder(f"{path}: written by an older version of the gateway; `gateway serve` brings it up to date")


# Events.


def find(db: Connection, event_id: str) -> list[EventRow]:
    """All events with this id, oldest first: an id is unique only together with name and source, and for a while."""
    wanted = id_sum(event_id)
    found: list[EventRow] = []
    for first, sums in db.execute("SELECT first_seq, id_sums FROM intake ORDER BY first_seq"):
        for at in positions(sums, wanted, "I"):
            row = event(db, first + at)
            if row is not None and row.event_id == event_id:
                found.append(row)
    return found


def event(db: Connection, seq: int) -> EventRow | None:
    """An event by its number in the log."""
    row = db.execute(f"SELECT {_EVENT} FROM event WHERE seq = ?", (seq,)).fetchone()
    return EventRow(*row) if row else None


def payload(db: Connection, seq: int) -> tuple[bytes | None, bytes | None]:
    """What an event says, and its short-lived part; `None` for what is not kept any more."""
    row = db.execute(
        "SELECT e.payload, c.data FROM event e LEFT JOIN clear c ON c.seq = e.seq WHERE e.seq = ?", (seq,)
    ).fetchone()
    return (row[0], row[1]) if row else (None, None)


def newest(
    db: Connection,
    *,
    before: int | None,
    limit: int,
    since: float | None = None,
    event_name: str | None = None,
    source: str | None = None,
    seqs: Sequence[int] | None = None,
) -> list[EventRow]:
    """Events, newest first. `before`: only with smaller numbers. `since`: received then or later (Unix seconds).

    `seqs`: only these.
    """
    low = first_since(db, since) if since is not None else 0
    only = [] if seqs is None else [f"seq IN ({','.join(map(str, seqs))})"]
    terms = {"seq >= ?": low, "seq < ?": before, "received_at >= ?": since, "event_name = ?": event_name}
    where, values = _where(only, {**terms, "source = ?": source})
    rows = db.execute(f"SELECT {_EVENT} FROM event {where} ORDER BY seq DESC LIMIT ?", (*values, limit))
    return [EventRow(*row) for row in rows.fetchall()]


def oldest(
    db: Connection,
    *,
    after: int,
    limit: int,
    since: float | None = None,
    until: float | None = None,
    event_name: str | None = None,
) -> list[EventRow]:
    """Events, oldest first, from behind the number `after`; received from `since` on and before `until`."""
    low = max(after + 1, first_since(db, since) if since is not None else 0)
    terms = {"seq >= ?": low, "received_at >= ?": since, "received_at < ?": until, "event_name = ?": event_name}
    where, values = _where([], terms)
    rows = db.execute(f"SELECT {_EVENT} FROM event {where} ORDER BY seq LIMIT ?", (*values, limit))
    return [EventRow(*row) for row in rows.fetchall()]


def with_state(db: Connection, state: State, instance: str | None, *, before: int | None, limit: int) -> list[int]:
    """Numbers of events with a delivery in one of `ROW_STATES`, newest first."""
    rows = db.execute(
        "SELECT DISTINCT d.seq FROM delivery d JOIN lane l ON l.id = d.lane WHERE d.state = ? AND d.seq < ? "
        "AND (? IS NULL OR l.instance = ?) ORDER BY d.seq DESC LIMIT ?",
        (str(state), 2**62 if before is None else before, instance, instance, limit),
    )
    return [row[0] for row in rows.fetchall()]


def _where(fixed: Sequence[str], terms: Mapping[str, object]) -> tuple[str, list[object]]:
    """The `WHERE` of those terms that have a value, and the values."""
    given = {term: value for term, value in terms.items() if value is not None}
    return f"WHERE {' AND '.join((*fixed, *given))}", list(given.values())


# Dead letters.


_VALUE, _CURRENCY = (f"json_extract(opened(e.payload), '$.custom_data.{key}')" for key in ("value", "currency"))


def dead_groups(db: Connection, keyring: Keyring = NO_KEYS) -> list[DeadGroup]:
    """Dead letters by cause, the most frequent first; of sealed payloads the value is told with their keys only."""
    db.create_function("opened", 1, lambda payload: None if payload is None else keyring.text(payload, PAYLOAD))
    rows = db.execute(
        f"SELECT l.instance, d.code, d.field, {_CURRENCY}, count(*), count({_VALUE}), sum({_VALUE}), "
        "min(d.changed_at), max(d.changed_at), d.message "  # the message of the row that has the maximum
        "FROM delivery d JOIN lane l ON l.id = d.lane LEFT JOIN event e ON e.seq = d.seq WHERE d.state = 'dead' "
        "GROUP BY d.lane, d.code, d.field, 4"
    )
    found: dict[tuple[str, str, str], list[Any]] = {}
    for instance, code, field, *counted in rows:
        found.setdefault((instance, code, field), []).append(counted)
    groups = [_dead_group(*cause, parts) for cause, parts in found.items()]
    return sorted(groups, key=lambda one: (-one.count, one.instance, one.code, one.field))


def _dead_group(instance: str, code: str, field: str, parts: list[Any]) -> DeadGroup:
    count = sum(part[1] for part in parts)
    sums = sorted((currency, round(value, 2)) for currency, _, valued, value, *_ in parts if currency and valued)
    valued = sum(part[2] for part in parts if part[0])
    last = max(parts, key=lambda part: part[5])
    first_at = min(part[4] for part in parts)
    told = (count, first_at, last[5], last[6], tuple(Money(*one) for one in sums), count - valued)
    return DeadGroup(cause_of(instance, code, field), instance, code, field, *told)


def cause_of(instance: str, code: str, field: str) -> str:
    """A cause's name: eight hexadecimal digits."""
    return f"{key_hash(instance, code, field) & 0xFFFFFFFF:08x}"


def dead_letters(
    db: Connection,
    instance: str,
    *,
    code: str | None = None,
    field: str | None = None,
    seqs: Iterable[int] | None = None,
) -> list[int]:
    """Numbers of an instance's dead letters, in order."""
    rows = db.execute(
        "SELECT d.seq FROM delivery d JOIN lane l ON l.id = d.lane WHERE l.instance = ? AND d.state = 'dead' "
        "AND (? IS NULL OR d.code = ?) AND (? IS NULL OR d.field = ?) ORDER BY d.seq",
        (instance, code, code, field, field),
    )
    wanted = None if seqs is None else set(seqs)
    return [row[0] for row in rows if wanted is None or row[0] in wanted]


def last_commit(db: Connection) -> float | None:
    """When events were stored last, Unix seconds."""
    row = db.execute("SELECT committed_at FROM intake ORDER BY first_seq DESC LIMIT 1").fetchone()
    return row[0] if row else None


def sealed_under(db: Connection) -> set[bytes]:
    """The names of the keys that what is kept of events is sealed under (see `gateway.privacy.sealing`)."""
    rows = db.execute("SELECT DISTINCT substr(payload, 2, 4) FROM event WHERE substr(payload, 1, 1) = x'01'")
    return {bytes(row[0]) for row in rows}
