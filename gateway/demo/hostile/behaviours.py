"""What a platform may do at its worst: each behaviour is a row of `BEHAVIOURS`, with what may be made of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from typing import TypeAlias

from gateway.model.delivery import Kind

#: What a behaviour is given: where the request comes from, where the answer goes to.
Connection: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

#: What the suite waits for beyond that, in seconds, before it takes a request for stuck.
PATIENCE_S = 20.0


_RETRY = frozenset({Kind.RETRY})
#: What a plugin may make of an answer that its platform does not give; never that all of a batch is hopeless.
_ANY = frozenset(Kind) - {Kind.REJECT}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What the server does, and what may be made of it."""

    act: Act
    #: The kinds of verdict that a plugin may give for a request with several events.
    kinds: frozenset[Kind] = _RETRY
    #: The request counts as one that may have arrived without its answer being seen; `None`: its answer was seen.
    unseen: bool | None = None
    #: Our own code where there was no answer to judge.
    code: str = ""
    #: The least and the most that is waited, in seconds, where the platform says so.
    after_s: tuple[float, float] | None = None


async def _request(reader: asyncio.StreamReader, share: float = 1.0) -> None:
    """Read a request, or the first part of its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    await reader.readexactly(int(length * share))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End the connection as a crash does: unread or not, the other side gets a reset."""
    writer.transport.abort()


async def at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    _reset(writer)


async def speaks_first(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ready\r\n")
    await writer.drain()


async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Take the connection and say nothing: under TLS, no handshake."""
    await asyncio.sleep(PATIENCE_S)


#: What does not wait for a request.
UNASKED = (at_once, speaks_first, silent)


async def _after_part(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, share: float) -> None:
    await _request(reader, share)
    _reset(writer)


async def _says(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, what: bytes, then: str = "close"
) -> None:
    """Answer with these bytes; then close in order, `reset`, or keep `silent`."""
    await _request(reader)
    writer.write(what)
    with contextlib.suppress(ConnectionError):
        await writer.drain()
    if then == "reset":
        _reset(writer)
    elif then == "silent":
        await asyncio.sleep(PATIENCE_S)


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, head: bytes, piece: bytes) -> None:
    await _request(reader)
    writer.write(head)
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(piece)
            await writer.drain()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, what: bytes) -> None:
    await _request(reader)
    with contextlib.suppress(ConnectionError):
        for at in range(len(what)):
            writer.write(what[at : at + 1])
            await writer.drain()
            await asyncio.sleep(0.05)


def answer(status: int, body: bytes = b"{}", kind: str = "application/json", **headers: str) -> Act:
    lines = [f"HTTP/1.1 {status} Hostile", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines.append("Connection: close")  # said, as it is done: else the next request may run into the end of this one
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return partial(_says, what="\r\n".join([*lines, "", ""]).encode() + body)


def _limited(retry_after: str) -> Act:
    return answer(429, b'{"error": "too many"}', Retry_After=retry_after)


_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_HTML = b"<html><body><h1>Bad gateway</h1></body></html>"
_BROKEN = Behaviour(partial(_after_part, share=1.0), unseen=True, code="protocol")
_TEN_DAYS, _A_DAY = 10 * 86_400, 86_400.0
_NOT_TAKEN = _ANY - {Kind.DELIVERED}

BEHAVIOURS: Mapping[str, Behaviour] = {
    "reset on accept": Behaviour(at_once, unseen=True, code="protocol"),
    "reset after the headers": Behaviour(partial(_after_part, share=0.0), unseen=True, code="protocol"),
    "reset in the request's body": Behaviour(partial(_after_part, share=0.5), unseen=True, code="protocol"),
    "reset before the answer": _BROKEN,
    "reset in the status line": Behaviour(
        partial(_says, what=b"HTTP/1.1 20", then="reset"), unseen=True, code="protocol"
    ),
    "reset in the headers": Behaviour(partial(_says, what=_OK, then="reset"), unseen=True, code="protocol"),
    "reset in the answer's body": Behaviour(
        partial(_says, what=_OK + b'Content-Length: 900\r\n\r\n{"a', then="reset"), unseen=True, code="protocol"
    ),
    "closed before the body is whole": Behaviour(
        partial(_says, what=_OK + b'Content-Length: 900\r\n\r\n{"a'), unseen=True, code="protocol"
    ),
    "no answer": Behaviour(partial(_says, what=b"", then="silent"), unseen=True, code="timeout"),
    "half an answer, then silence": Behaviour(
        partial(_says, what=_OK + b"Content-Length: 9\r\n\r\n{", then="silent"), unseen=True, code="timeout"
    ),
    "a byte now and then": Behaviour(partial(_drip, what=_OK + b"X-Drip: 1\r\n" * 900), unseen=True, code="timeout"),
    "endless headers": Behaviour(partial(_endless, head=_OK, piece=b"X-More: " + b"x" * 4000 + b"\r\n"), unseen=True),
    "an endless body": Behaviour(
        partial(_endless, head=_OK + b"Transfer-Encoding: chunked\r\n\r\n", piece=b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        kinds=_ANY,
    ),
    "not HTTP": Behaviour(partial(_says, what=b"SSH-2.0-OpenSSH_9.2\r\n"), unseen=True, code="protocol"),
    "429, seconds": Behaviour(_limited("7"), after_s=(7, 7 + 3600)),
    "429, a date": Behaviour(_limited(formatdate(4_102_444_800, usegmt=True)), after_s=(_A_DAY, _A_DAY)),
    "429, a date that is past": Behaviour(_limited(formatdate(0, usegmt=True))),
    "429, garbage": Behaviour(_limited("soon")),
    "429, negative": Behaviour(_limited("-5")),
    "429, ten days": Behaviour(_limited(str(_TEN_DAYS)), after_s=(_A_DAY, _A_DAY)),
    "429, nothing said": Behaviour(answer(429)),
    "500": Behaviour(answer(500)),
    "502 with HTML": Behaviour(answer(502, _HTML, "text/html")),
    "503 for an hour": Behaviour(answer(503, b"", Retry_After="3600"), after_s=(3600, 3600)),
    "504, no body": Behaviour(answer(504, b"")),
    "200 with HTML": Behaviour(answer(200, _HTML, "text/html"), kinds=_ANY),
    "200 with half of JSON": Behaviour(answer(200, b'{"events_received": 3, "mess'), kinds=_ANY),
    "200 with an error inside": Behaviour(answer(200, b'{"error": {"code": 1, "message": "no"}}'), kinds=_ANY),
    "204": Behaviour(partial(_says, what=b"HTTP/1.1 204 No Content\r\n\r\n"), kinds=_ANY),
    **{
        f"{status} to somewhere else": Behaviour(answer(status, b"", Location="/stolen"), kinds=_NOT_TAKEN)
        for status in (301, 302, 303, 307, 308)
    },
    "418": Behaviour(answer(418, b"short and stout", "text/plain"), kinds=_NOT_TAKEN),
}
