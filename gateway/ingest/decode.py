"""A request body as a list of raw events. Strict: only plain JSON is taken, and nothing grows past its limit."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any

import msgspec
import zstandard

from gateway.ingest.problem import RequestRefused
from gateway.model.errors import Fault

#: Content types of the event doors.
JSON, NDJSON = "application/json", "application/x-ndjson"

#: How JSON writes a NUL character: storage and platforms cut texts off there.
_NUL = b"\\u0000"

#: Compressed bytes that are worked on at a time. What is left behind the end of a gzip member or zstd frame is copied,
#: and a body may have hundreds of thousands of them; 256 bytes of zstd are at most 8 MB in the clear.
GZIP_PIECE, ZSTD_PIECE = 4096, 256
#: Members of a gzip body and frames of a zstd body: an empty one costs as much as a full one.
MAX_PARTS = 1000
#: JSON values in a body at most, by a count that only overrates: each costs more memory than the bytes that it is
#: written with. And lines beside those that hold an event.
MAX_VALUES, MAX_EMPTY_LINES = 400_000, 10_000
#: Bytes of a body for each of its events past which an event is looked at closely, and values that it may hold then.
CLOSE_BYTES, MAX_EVENT_VALUES = 32_768, 20_000

_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Body:
    """What a body held."""

    #: For each event its JSON value, or the fault that makes the line unreadable.
    events: list[Any]
    #: There may be a NUL character in it, or uncommonly much: each event is looked at closely.
    odd: bool


def read_body(data: bytes, content_type: str, encoding: str, *, max_bytes: int, max_events: int) -> Body:
    """Decompress, parse and unwrap: one event, a list, `{"events": […]}`, or a line each.

    Raises `RequestRefused`: 400 malformed or empty, 413 too large or too many, 415 unknown type or encoding.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in (JSON, NDJSON):
        raise RequestRefused(415, "unsupported_media_type", f"Content-Type must be {JSON} or {NDJSON}")
    data = decompress(data, encoding, max_bytes)
    _few_values(data)
    events = counted(_lines(data, max_events) if kind == NDJSON else _unwrap(_parse(data)), max_events)
    return Body(events, _NUL in data or len(data) > CLOSE_BYTES * len(events))


def read_json(data: bytes) -> Any:
    """The one JSON value that a text in the clear is. Raises `RequestRefused`: 400 malformed, 413 too many values."""
    _few_values(data)
    return _parse(data)


def counted(events: list[Any], max_events: int) -> list[Any]:
    """The events if there are any, and not too many. Raises `RequestRefused`: 400, 413."""
    if not events:
        raise RequestRefused(400, "no_events", "the body holds no event")
    if len(events) > max_events:
        raise RequestRefused(413, "too_many_events", f"at most {max_events} events in one request")
    return events


def _few_values(data: bytes) -> None:
    if len(data) > MAX_VALUES and sum(map(data.count, (b",", b"{", b"["))) > MAX_VALUES:
        raise RequestRefused(413, "too_many_values", f"at most {MAX_VALUES} values in one body")


def decompress(data: bytes, encoding: str, max_bytes: int) -> bytes:
    """The body in the clear, never more than `max_bytes` of it in memory."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        found = data
    elif encoding in ("gzip", "x-gzip"):
        found = _gunzip(data, max_bytes)
    elif encoding == "zstd":
        found = _unzstd(data, max_bytes)
    else:
        raise RequestRefused(415, "unsupported_encoding", "Content-Encoding must be gzip, zstd or identity")
    if len(found) > max_bytes:
        raise too_large(max_bytes)
    return found


def too_large(max_bytes: int) -> RequestRefused:
    """The refusal of a body past the limit."""
    return RequestRefused(413, "body_too_large", f"the body is larger than {max_bytes} bytes after decompression")


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    out = bytearray()
    member, members = zlib.decompressobj(wbits=31), 1
    try:
        for at in range(0, len(data), GZIP_PIECE):
            piece = data[at : at + GZIP_PIECE]
            while piece:
                if member.eof:
                    member, members = zlib.decompressobj(wbits=31), members + 1
                    _few(members)
                out += member.decompress(piece, max_bytes + 1 - len(out))
                if len(out) > max_bytes:
                    raise too_large(max_bytes)
                piece = member.unused_data
    except zlib.error as error:
        raise RequestRefused(400, "malformed_gzip", "the body is not gzip as its Content-Encoding says") from error
    if not member.eof:
        raise RequestRefused(400, "malformed_gzip", "the gzip body is cut off")
    return bytes(out)


def _unzstd(data: bytes, max_bytes: int) -> bytes:
    out = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=2**23)
    frame, frames = decompressor.decompressobj(write_size=65536), 1
    try:
        for at in range(0, len(data), ZSTD_PIECE):  # not by a reader: it would take a frame that is cut off as complete
            piece = data[at : at + ZSTD_PIECE]
            while piece:
                if frame.eof:
                    frame, frames = decompressor.decompressobj(write_size=65536), frames + 1
                    _few(frames)
                out += frame.decompress(piece)
                if len(out) > max_bytes:
                    raise too_large(max_bytes)
                piece = frame.unused_data
    except zstandard.ZstdError as error:
        raise RequestRefused(400, "malformed_zstd", "the body is not zstd as its Content-Encoding says") from error
    if not frame.eof:
        raise RequestRefused(400, "malformed_zstd", "the zstd body is cut off")
    return bytes(out)


def _few(parts: int) -> None:
    if parts > MAX_PARTS:
        raise RequestRefused(413, "too_many_parts", f"at most {MAX_PARTS} gzip members or zstd frames in one body")


def _parse(data: bytes) -> Any:
    try:
        return _decode(data)
    except RecursionError:
        raise RequestRefused(400, "too_deep", "the JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise RequestRefused(400, "invalid_utf8", "the body is not UTF-8") from None
    except msgspec.MsgspecError as error:
        raise RequestRefused(400, "malformed_json", f"the body is not JSON: {_where(error)}") from None


def _unwrap(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        events = value.get("events")
        if isinstance(events, list) and len(value) == 1:
            return events
        return [value]
    raise RequestRefused(400, "no_events", 'the body must be an event, a list of events, or {"events": […]}')


def _lines(data: bytes, max_events: int) -> list[Any]:
    if data.count(b"\n") > max_events + MAX_EMPTY_LINES:
        raise RequestRefused(413, "too_many_events", f"at most {max_events} events in one request")
    lines = [line for line in data.split(b"\n") if line.strip()]
    if len(lines) > max_events:
        raise RequestRefused(413, "too_many_events", f"at most {max_events} events in one request")
    return [line_value(line) for line in lines]


def line_value(line: bytes) -> Any:
    """One line of NDJSON as its JSON value, or the fault that makes it unreadable."""
    try:
        return _parse(line)
    except RequestRefused as refused:
        return Fault("", refused.code, refused.detail.replace("the body", "the line"))


def _where(error: Exception) -> str:
    """The parser's complaint with its position; it never quotes the text beyond one character."""
    return re.sub(r"'.*'", "a character", str(error))


def is_crowded(value: Any) -> bool:
    """Whether an event holds more values than any event needs. It ends as soon as that is known."""
    left, open_ = MAX_EVENT_VALUES, [value]
    while open_:
        one = open_.pop()
        if isinstance(one, dict | list):
            left -= len(one)
            if left < 0:
                return True
            open_ += [
                entry for entry in (one.values() if isinstance(one, dict) else one) if type(entry) in (dict, list)
            ]
    return False


def odd_faults(value: Any, path: str = "") -> list[Fault]:
    """Places of an event that hold a NUL character."""
    if isinstance(value, str):
        return [Fault(path, "nul_character", "the text holds a NUL character")] if "\0" in value else []
    if isinstance(value, dict):
        found = [Fault(path, "nul_character", "a key holds a NUL character") for key in value if "\0" in key]
        return found + [fault for key, entry in value.items() for fault in odd_faults(entry, f"{path}/{_step(key)}")]
    if isinstance(value, list):
        return [fault for index, entry in enumerate(value) for fault in odd_faults(entry, f"{path}/{index}")]
    return []


def _step(key: str) -> str:
    return key.replace("\0", "").replace("~", "~0").replace("/", "~1")[:50]
