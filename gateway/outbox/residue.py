"""What SQLite leaves behind of rows that are gone.

`secure_delete` overwrites a row where it lies. But when SQLite spreads the rows of a full page over others, it copies
them, and the old place becomes free space of the page as it was; no later deletion overwrites that. It is rare that
anything of a given row is left there, so it is looked for, and the file is written anew only if something is found.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.outbox import queries
from gateway.outbox.engine import connect, sqlite3, translated
from gateway.privacy.sealing import MARK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from gateway.outbox.engine import Connection

#: Bytes of a value by which it is looked for; what is shorter may stand there by chance.
SHORTEST, LONGEST = 12, 64
#: Keys whose values are one person's, however short.
NAMING = frozenset({"anonymous_id", "client_ip_address"})
#: Numbers below are written in fewer than eight bytes.
SHORT = 2**47
#: Pages read at a time.
PAGES = 1_024
#: First byte of a b-tree's page → length of its header (https://www.sqlite.org/fileformat2.html#b_tree_pages).
_HEADERS = {2: 12, 5: 12, 10: 8, 13: 8}


def traces(db: Connection, seqs: Sequence[int]) -> set[bytes]:
    """Parts of these events that stand in nothing else: digests, what is kept of the person, ids, salts."""
    found: set[bytes] = set()
    for seq in seqs:
        row = db.execute("SELECT event_id, salt FROM event WHERE seq = ?", (seq,)).fetchone()
        if row is not None:
            found |= _long_enough(row) | traces_of(queries.payload(db, seq))
    return found


def traces_of(contents: Iterable[bytes | str | None]) -> set[bytes]:
    """The same of what is kept of a person: payloads, visits."""
    return _long_enough(part for stored in contents for part in _parts(stored))


def traces_of_visits(rows: Iterable[tuple[int, bytes]]) -> set[bytes]:
    """The same of visits, by pseudonym: what they say, and of older copies of their rows the pseudonym itself.

    As SQLite writes it (https://www.sqlite.org/fileformat2.html#record_format); a number that it writes shorter, as one
    of 65,000 is, is not among them.
    """
    known = list(rows)
    numbers = {who.to_bytes(8, "big", signed=True) for who, _ in known if abs(who) >= SHORT}
    return numbers | traces_of(content for _, content in known)


def _long_enough(parts: Iterable[Any]) -> set[bytes]:
    texts = (part.encode() if isinstance(part, str) else bytes(part or b"") for part in parts)
    return {text[:LONGEST] for text in texts if len(text) >= SHORTEST}


def _parts(stored: bytes | str | None) -> Iterator[Any]:
    if not stored:
        return
    text = stored.encode() if isinstance(stored, str) else stored
    if text.startswith(MARK):
        yield text  # sealed: its key's name, its nonce and the beginning
        return
    with contextlib.suppress(msgspec.DecodeError):
        said = msgspec.json.decode(text)
        yield from _texts({name: said.get(name) for name in ("digests", "user_data")} if "user_data" in said else said)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key.removeprefix("user_data.") in NAMING:  # it may be short: with its key it stands nowhere by chance
                begins, first = ("[", one[0]) if isinstance(one, list) and one else ("", one)
                yield f'"{key}":{begins}{msgspec.json.encode(first).decode()}'
            yield from _texts(one)


def is_left(path: Path, wanted: Collection[bytes]) -> bool:
    """Whether one of these stands in free space of the database's pages. The write-ahead log must have been emptied."""
    return bool(wanted) and any(one in space for space in _free_space(path) for one in wanted)


def _free_space(path: Path) -> Iterator[bytes]:
    """What stands between the cell pointers and the cells of each page, where that is not empty."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(100)[16:18], "big")
        size = 65_536 if size == 1 else size
        if not size:
            return
        file.seek(0)
        number = 0
        while chunk := file.read(PAGES * size):
            for at in range(0, len(chunk), size):
                start = at + (100 if number == 0 else 0)
                number += 1
                header = _HEADERS.get(chunk[start])
                if header is None:  # not a b-tree's: it has no free space that was ever a row's
                    continue
                first = start + header + 2 * int.from_bytes(chunk[start + 3 : start + 5], "big")
                last = at + (int.from_bytes(chunk[start + 5 : start + 7], "big") or 65_536)
                if chunk.count(0, first, last) < last - first:
                    yield chunk[first:last]


def write_anew(path: Path) -> None:
    """Write the database anew, beside whoever uses it: others wait meanwhile. Raises `OutboxError`."""
    try:
        with contextlib.closing(connect(path)) as db:
            db.execute("PRAGMA temp_store = FILE")
            db.execute("VACUUM")
    except sqlite3.Error as error:
        raise translated(error, path) from error
