"""The dedup keys within the window, in memory: 14 bytes each, and no object.

A key is a hash already: its low bits choose a bucket, in which it is looked for byte by byte. Taking one in costs half
a microsecond and a look-up one; with an in-memory table of SQLite it was five times and three times that.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from gateway.outbox.packing import unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

#: At a million keys some sixty in each, among which a search costs about as much as a step of Python.
BUCKETS = 16_384

#: A key, and the number of its event in the log: 48 bits, in two parts.
_ENTRY, _KEY, _SEQ = struct.Struct("<qIH"), struct.Struct("<q"), struct.Struct("<IH")
_LOW = 2**32 - 1


class Keys:
    """Which event took a key last."""

    def __init__(self) -> None:
        self._buckets = [bytearray() for _ in range(BUCKETS)]

    def __len__(self) -> int:
        return sum(map(len, self._buckets)) // _ENTRY.size

    def add(self, first: int, packed: bytes) -> None:
        """Take in keys, packed as `intake` has them, of events that are numbered from `first` on."""
        buckets, entry = self._buckets, _ENTRY.pack
        for seq, key in enumerate(unpack("q", packed), first):
            buckets[key % BUCKETS] += entry(key, seq & _LOW, seq >> 32)

    def get(self, key: int, since: int) -> int | None:
        """The number of the last event with this key, if it is `since` or a later one."""
        bucket, wanted = self._buckets[key % BUCKETS], _KEY.pack(key)
        at = bucket.rfind(wanted)
        while at > 0 and at % _ENTRY.size:  # the bytes of two entries together may look like a key
            at = bucket.rfind(wanted, 0, at + _KEY.size - 1)
        if at < 0 or (seq := _seq_at(bucket, at)) < since:
            return None
        return seq

    def drop(self, part: int, parts: int, before: int) -> None:
        """Forget the keys of events with a number below `before`, in part `part` of `parts` of all buckets."""
        for at in range(part, BUCKETS, parts):
            bucket = self._buckets[at]
            kept = b"".join(_entries(bucket, before))
            if len(kept) < len(bucket):
                self._buckets[at] = bytearray(kept)


def _seq_at(bucket: bytearray, at: int) -> int:
    low, high = _SEQ.unpack_from(bucket, at + _KEY.size)
    return int(low | high << 32)


def _entries(bucket: bytearray, since: int) -> Iterator[bytes]:
    return (
        bytes(bucket[at : at + _ENTRY.size])
        for at in range(0, len(bucket), _ENTRY.size)
        if _seq_at(bucket, at) >= since
    )
