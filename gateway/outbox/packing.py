"""Sequence numbers and keys as compact bytes, and how they are looked for. Little endian throughout."""

from __future__ import annotations

import hashlib
import sys
import zlib
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def pack(code: str, numbers: Iterable[int]) -> bytes:
    """Numbers as bytes: `I` for 4 bytes unsigned, `q` for 8 bytes signed."""
    packed = array(code, numbers)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(code: str, data: bytes) -> array[int]:
    """The inverse of `pack`."""
    numbers = array(code)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def pack_seqs(seqs: Sequence[int]) -> bytes | None:
    """Ascending sequence numbers as offsets from the first; `None` when they have no gap."""
    first, last = seqs[0], seqs[-1]
    if last - first + 1 == len(seqs):
        return None
    return pack("I", (seq - first for seq in seqs))


def unpack_seqs(first: int, count: int, data: bytes | None) -> Sequence[int]:
    """The inverse of `pack_seqs`."""
    if data is None:
        return range(first, first + count)
    return [first + offset for offset in unpack("I", data)]


def positions(data: bytes, number: int, code: str) -> Iterator[int]:
    """Where a number stands in packed numbers."""
    needle = pack(code, (number,))
    width = len(needle)
    at = data.find(needle)
    while at >= 0:
        if at % width == 0:
            yield at // width
        at = data.find(needle, at + 1)


def id_sum(event_id: str) -> int:
    """A short sum of an event id, for finding it; what is found is compared in full."""
    return zlib.crc32(event_id.encode())


def key_hash(*parts: str) -> int:
    """A 64-bit hash of a key, as SQLite's signed integer."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
