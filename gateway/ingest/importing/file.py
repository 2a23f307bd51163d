"""A file as a stream of text, whatever it is packed in, and what it is known by."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import hashlib
import io
import os
import sys
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import zstandard

from gateway.model.errors import GatewayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: What a file begins with → what it is, and what to do about it.
NO_TEXT = {
    b"PK\x03\x04": "a spreadsheet or a zip archive: save it as CSV, or unpack it",
    b"\xd0\xcf\x11\xe0": "a spreadsheet: save it as CSV",
    b"%PDF": "a PDF, not CSV or NDJSON",
    b"SQLite f": "a database, not CSV or NDJSON",
}
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
#: Marks of encodings at the beginning of a text.
MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
#: The name of standard input.
STDIN = "-"
#: Bytes that are read at a time; of zstd, which may hold thirty thousand times as much.
PIECE, ZSTD_PIECE = 1 << 18, 1024


class FileUnusable(GatewayError):
    """The file is no text, is damaged, or cannot be read."""


class Fingerprint(NamedTuple):
    """What a file is known by, whatever its name and packing."""

    #: SHA-256 of its content.
    digest: bytes
    #: Bytes of that.
    size: int
    #: SHA-256 of what it may have been before it grew, the longest first. Each ends with a line.
    beginnings: tuple[bytes, ...] = ()


class Opened:
    """A file that is being read."""

    def __init__(self, name: str, raw: BinaryIO, size: int | None) -> None:
        """`size`: of the file on disk, in bytes; `None` for standard input."""
        self.name = name
        self.size = size
        self._raw = raw
        self._first = b""
        self._plain = self._unpacked()

    @property
    def again(self) -> bool:
        """It can be read more than once."""
        return self.size is not None

    @property
    def position(self) -> int:
        """Bytes on disk that are read."""
        return self._raw.tell() if self.again else 0

    def fingerprint(self, sizes: Iterable[int] = ()) -> Fingerprint:
        """What it is known by. `sizes`: bytes at which it may have ended before it grew.

        Raises `FileUnusable` for a damaged one. Reading begins anew after it.
        """
        found, size, beginnings = hashlib.sha256(), 0, []
        ends = sorted({one for one in sizes if one > 0}, reverse=True)
        with self._readable():
            while piece := self._plain.read(min(PIECE, ends[-1] - size) if ends else PIECE):
                found.update(piece)
                size += len(piece)
                if ends and size == ends[-1]:
                    ends.pop()
                    follows = self._plain.peek(1)[:1]
                    if follows and (piece.endswith((b"\n", b"\n\0")) or follows in b"\r\n"):
                        beginnings.append(found.digest())
        self._raw.seek(0)
        self._plain = self._unpacked()
        return Fingerprint(found.digest(), size, tuple(reversed(beginnings)))

    def format(self) -> str:
        """`ndjson` or `csv`, by how it begins. Raises `FileUnusable` for a list of JSON."""
        with self._readable():
            self._first = self._first or self._plain.peek(PIECE)
        begins = self._first.removeprefix(codecs.BOM_UTF8).lstrip()
        if begins.startswith(b"["):
            raise FileUnusable(f"{self.name}: a list of JSON; write one event a line: jq -c '.[]' FILE")
        return "ndjson" if begins.startswith(b"{") else "csv"

    def text(self, encoding: str | None, newline: str) -> io.TextIOWrapper:
        """The text from here on; what cannot be decoded is marked, not raised."""
        with self._readable():
            begins = self._plain.peek(4)
        said = next((name for mark, name in MARKS if begins.startswith(mark)), None)
        encoding = said or (encoding if encoding not in (None, "utf-8") else "utf-8-sig")
        wide = encoding.startswith(("utf-16", "utf-32"))
        errors = "replace" if wide else "surrogateescape"
        return io.TextIOWrapper(self._plain, encoding=encoding, errors=errors, newline=newline)

    def _unpacked(self) -> io.BufferedReader[Any]:
        outer: io.BufferedReader[Any] = io.BufferedReader(_Kept(self._raw), PIECE)
        with self._readable():
            begins = outer.peek(8)
        for mark, words in NO_TEXT.items():
            if begins.startswith(mark):
                raise FileUnusable(f"{self.name}: {words}")
        if begins.startswith(GZIP):
            return io.BufferedReader(gzip.GzipFile(fileobj=outer), PIECE)
        if begins.startswith(ZSTD):
            return io.BufferedReader(_Unzstd(outer), PIECE)
        return outer

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        with readable(self.name):
            yield


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """What goes wrong while a file is read, in words."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError):
        raise FileUnusable(f"{name}: the compressed file is damaged, or cut off") from None
    except UnicodeError:
        raise FileUnusable(f"{name}: it cannot be read as text in its encoding") from None
    except OSError as error:
        raise FileUnusable(f"{name}: cannot be read: {error.strerror or error}") from None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open a file; `-` is standard input. Raises `FileUnusable`."""
    if str(path) == STDIN:
        yield Opened("standard input", sys.stdin.buffer, None)
        return
    with contextlib.ExitStack() as stack:
        with readable(str(path)):
            raw = stack.enter_context(path.open("rb", buffering=0))
            found = os.fstat(raw.fileno())
        yield Opened(str(path), raw, found.st_size if raw.seekable() else None)


class _Kept(io.RawIOBase):
    """A raw stream that stays open when whoever reads it through a buffer is gone."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._inner.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class _Unzstd(io.RawIOBase):
    """What is in a zstd file of one frame or more. One that is cut off is an error, not an end."""

    def __init__(self, inner: io.BufferedReader[Any]) -> None:
        self._inner = inner
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=2**27)
        self._frame = self._decompressor.decompressobj(write_size=65536)
        self._fed = False
        self._left = memoryview(b"")
        self._unused = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = self._unused or self._inner.read(ZSTD_PIECE)
            self._unused = b""
            if not piece:
                if self._fed and not self._frame.eof:
                    raise EOFError
                return 0
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj(write_size=65536)
            self._fed = True
            self._left = memoryview(self._frame.decompress(piece))
            self._unused = self._frame.unused_data if self._frame.eof else b""
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
