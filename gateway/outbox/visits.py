"""What is remembered of visits: one row for each id that a visit can be found by, in the order of nothing.

Rows that were ever written together share a `link`, by which a person's go together when one of them is named.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from gateway.privacy.visits import FRESH

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from gateway.outbox.engine import Connection
    from gateway.privacy.visits import Key, Visit

#: Rows deleted in one step.
STEP = 2_000
#: Rows that go together at most. More have an id that many share (`guest`), or one person's countless orders: what is
#: new stands by itself then, so that no event costs more than this.
MOST_LINKED = 128


def any_there(db: Connection) -> bool:
    """Whether anything is remembered at all."""
    return db.execute("SELECT 1 FROM visit LIMIT 1").fetchone() is not None


def find(db: Connection, keys: Iterable[Key], now: float) -> list[tuple[str, bytes]]:
    """(kind, content) of what is remembered under these keys, in their order."""
    found = []
    for kind, who, scope in keys:
        row = db.execute(
            "SELECT data FROM visit WHERE who = ? AND scope = ? AND expires_at > ?", (who, scope, now)
        ).fetchone()
        if row is not None:
            found.append((kind, row[0]))
    return found


def remember(db: Connection, visit: Visit) -> None:
    """Write down what an event adds, under each of its keys; what it says of consent, under every id of the visitor."""
    rows = _rows(db, visit)
    linked = list(dict.fromkeys(row[1] for row in rows if row is not None))
    link, merged = _one_link(db, linked)
    links = {link, *linked} - merged
    if visit.spreads:
        for one in links:
            if one == link or visit.says_no:  # a yes is not for others whom one id stands for as well
                _spread(db, visit, one)
    if visit.spreads or merged:
        rows = _rows(db, visit)
    for key, row in zip(visit.keys, rows, strict=True):
        stored, mine = row if row is not None else (None, link)
        data = visit.after(key.kind, stored)
        if data is None or data is stored:
            continue
        db.execute(
            "INSERT INTO visit (who, scope, link, expires_at, data) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (who, scope) DO UPDATE SET expires_at = excluded.expires_at, data = excluded.data",
            (key.who, key.scope, mine, visit.expires_at(key.kind), data),
        )
    if visit.people:
        for one in links:
            _belongs_to(db, visit, one)


def _rows(db: Connection, visit: Visit) -> list[tuple[bytes, int] | None]:
    """(content, link) of each of a visit's keys; `None` where nothing is remembered."""
    return [
        db.execute("SELECT data, link FROM visit WHERE who = ? AND scope = ?", (key.who, key.scope)).fetchone()
        for key in visit.keys
    ]


def _one_link(db: Connection, links: Sequence[int]) -> tuple[int, set[int]]:
    """Bring together what belongs together from now on: whoever is found by one of their ids is found by all.

    Returns the link of what is new, and those links that are no more.
    """
    if not links:
        return secrets.randbits(63), set()
    first, merged = links[0], set()
    size = _size(db, first)
    for other in links[1:]:
        if size + (more := _size(db, other)) <= MOST_LINKED:
            db.execute("UPDATE visit SET link = ? WHERE link = ?", (first, other))
            db.execute("UPDATE OR REPLACE visit_person SET link = ? WHERE link = ?", (first, other))
            size += more
            merged.add(other)
    return (first if size < MOST_LINKED else secrets.randbits(63)), merged


def _size(db: Connection, link: int) -> int:
    """How many rows have a link, as far as it matters."""
    row = db.execute(
        "SELECT count(*) FROM (SELECT 1 FROM visit WHERE link = ? LIMIT ?)", (link, MOST_LINKED)
    ).fetchone()
    return int(row[0])


def _spread(db: Connection, visit: Visit, link: int) -> None:
    rows = db.execute("SELECT who, scope, data FROM visit WHERE link = ?", (link,)).fetchall()
    for who, scope, data in rows:
        if (left := visit.spread(data)) is not data:
            db.execute("UPDATE visit SET data = ? WHERE who = ? AND scope = ?", (left, who, scope))


def _belongs_to(db: Connection, visit: Visit, link: int) -> None:
    """Whose the rows are, by every pseudonym: a visit is found by fewer ids than a person."""
    expires_at = visit.person_expires_at
    fresh = expires_at - visit.retention_s / FRESH
    for who in visit.people:
        db.execute(
            "INSERT INTO visit_person (who, link, expires_at) VALUES (?, ?, ?) ON CONFLICT (who, link) DO UPDATE SET "
            "expires_at = excluded.expires_at WHERE expires_at < ?",
            (who, link, expires_at, fresh),
        )


def rows_about(db: Connection, whos: Collection[int]) -> list[tuple[int, bytes]]:
    """(pseudonym, content) of what is remembered of somebody with these pseudonyms, under whatever id."""
    found: list[tuple[int, bytes]] = []
    for link in _links(db, whos):
        found += [(row[0], row[1]) for row in db.execute("SELECT who, data FROM visit WHERE link = ?", (link,))]
        found += [(row[0], b"") for row in db.execute("SELECT who FROM visit_person WHERE link = ?", (link,))]
    return found


def forget_person(db: Connection, whos: Collection[int]) -> None:
    """Forget the visits of somebody with these pseudonyms, with all ids that they were found by."""
    for link in _links(db, whos):
        db.execute("DELETE FROM visit WHERE link = ?", (link,))
        db.execute("DELETE FROM visit_person WHERE link = ?", (link,))


def forget_all(db: Connection) -> None:
    """Forget every visit."""
    db.execute("DELETE FROM visit")
    db.execute("DELETE FROM visit_person")


def expired(db: Connection, now: float) -> bool:
    """Whether something is past its time."""
    return any(
        db.execute(f"SELECT 1 FROM {table} WHERE expires_at <= ? LIMIT 1", (now,)).fetchone() is not None
        for table in ("visit", "visit_person")
    )


def forget_expired(db: Connection, now: float) -> int:
    """Delete what is past its time, up to `STEP` rows of each table. Returns how many it was."""
    done = db.execute(
        "DELETE FROM visit WHERE (who, scope) IN "
        "(SELECT who, scope FROM visit WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (now, STEP),
    ).rowcount
    done += db.execute(
        "DELETE FROM visit_person WHERE (who, link) IN "
        "(SELECT who, link FROM visit_person WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
        (now, STEP),
    ).rowcount
    return int(done)


def _links(db: Connection, whos: Collection[int]) -> Sequence[int]:
    found = {
        row[0]
        for who in whos
        for table in ("visit", "visit_person")
        for row in db.execute(f"SELECT link FROM {table} WHERE who = ?", (who,))
    }
    return sorted(found)
