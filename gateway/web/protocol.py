"""Uvicorn's HTTP protocol with the limits that it does not have, so that no client holds more than its share.

Headers and answers have a deadline, heads and pipelines a size, the process a number of connections; and when more
comes than can be answered soon, requests are refused here: before a task, a scope or an event is made of them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.ingest.problem import RequestRefused
from gateway.web.admission import Admission
from gateway.web.body import ARRIVED
from gateway.web.problem import PROBLEM, document

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

MALFORMED = RequestRefused(400, "malformed_request", "this is not HTTP as it should be")
HEAD_TOO_LARGE = RequestRefused(431, "headers_too_large", "too many headers, or too long ones")
OVERLOADED = RequestRefused(429, "overloaded", "too many requests at the same time")
CROWDED = RequestRefused(429, "too_many_connections", "too many connections at the same time")

#: Bytes of a request's first line and headers, and of what a chunked body has beside its bytes; number of headers.
MAX_HEAD, MAX_HEADERS = 65_536, 128
#: Requests that may wait behind one on the same connection.
MAX_PIPELINE = 16
#: Seconds for which a connection is not read after a refusal. It was asked to wait for longer; one that does not must
#: not cost more than it is worth.
HOLD_S = 0.5
#: What an operator's probes ask: answered whatever the load, so that nobody restarts a busy process.
PROBES = frozenset((b"/healthz", b"/readyz", b"/metrics"))


def written(refused: RequestRefused, *more: bytes) -> bytes:
    """A whole answer, ready to be sent."""
    body = msgspec.json.encode(document(refused))
    head = (
        b"HTTP/1.1 %d %s" % (refused.status, document(refused)["title"].encode()),
        b"content-type: " + PROBLEM,
        b"content-length: %d" % len(body),
        b"x-content-type-options: nosniff",
        *more,
    )
    return b"\r\n".join((*head, b"", body))


CLOSE = b"connection: close"
#: Asked to come back after 1, 2 or 3 seconds in turn, so that not all come back at once.
_SECONDS = itertools.cycle((1, 2, 3))
_LATER = itertools.cycle([written(OVERLOADED, b"retry-after: %d" % seconds) for seconds in (1, 2, 3)])
_LATER_CLOSED = written(OVERLOADED, b"retry-after: 1", CLOSE)


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What all connections of a process share: how much of it each may have."""

    admission: Admission = field(default_factory=Admission)
    #: Called for each request that is refused here, with the code.
    refused: Callable[[str], None] = lambda _code: None
    #: Headers of a refusal beside those that each has, by the request's URL and headers.
    early_headers: Callable[[bytes, Iterable[tuple[bytes, bytes]]], Sequence[tuple[bytes, bytes]]] = lambda *_: ()
    #: Called for each connection: to look for more.
    accept_more: Callable[[], None] = lambda: None
    #: Connections at the same time; past it a request is answered 429, far past it a connection is closed at once.
    connections: int = 4096
    #: Seconds for complete headers, and for a client to read its answer.
    headers_s: float = 15.0
    read_s: float = 15.0


class _Done:
    """Stands in for a request that was answered here; uvicorn drops the rest of its body."""

    response_complete = True
    disconnected = False

    def __init__(self) -> None:
        self.message_event = asyncio.Event()


_DONE: Any = _Done()


class Refused(Exception):
    """Stops the parser: the rest of this connection's bytes is not looked at."""

    def __init__(self, refused: RequestRefused, *more: bytes) -> None:
        super().__init__()
        self.code = refused.code
        self.answer = written(refused, CLOSE, *more)


class DeadlineProtocol(HttpToolsProtocol):
    """One connection.

    A request that arrives in one piece costs no timer: one is set only when a connection is left waiting for headers.
    The time begins with the connection, or with the first byte after the last answer, and no further byte extends it.
    Between requests uvicorn's own keep-alive time holds; the body's deadline is `gateway.web.body`'s.
    """

    limits = ClientLimits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers_deadline: TimerHandle | None = None
        self._read_deadline: TimerHandle | None = None
        self._crowded = False
        #: Bytes that came since the last request was complete and are no body.
        self._overhead = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Begin to wait, if there is room."""
        super().connection_made(transport)
        self.limits.accept_more()
        excess = len(self.connections) - self.limits.connections
        self._crowded = excess > 0
        if excess > self.limits.connections // 8:
            transport.abort()
            return
        self._headers_deadline = self.loop.call_later(self.limits.headers_s, self._too_slow)

    def data_received(self, data: bytes) -> None:
        """Parse these bytes; wait on if no request is under way after them."""
        self._unset_keepalive_if_required()
        self._overhead += len(data)
        try:
            self.parser.feed_data(data)
            if self._overhead > MAX_HEAD:
                self._end(Refused(HEAD_TOO_LARGE))
        except httptools.HttpParserUpgrade:  # it is not given: the answer is an ordinary one, and the last
            if self.cycle is not None:
                self.cycle.keep_alive = False
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._end(cause if isinstance(cause, Refused) else Refused(MALFORMED))
        if self.cycle is not None and not self.cycle.response_complete:
            return
        if self._headers_deadline is None and not self.transport.is_closing():
            self._headers_deadline = self.loop.call_later(self.limits.headers_s, self._too_slow)

    def on_headers_complete(self) -> None:
        """Stop waiting, and let the request in or refuse it."""
        if self._headers_deadline is not None:
            self._headers_deadline.cancel()
            self._headers_deadline = None
        if len(self.headers) > MAX_HEADERS or (self._overhead > MAX_HEAD and self._head_bytes() > MAX_HEAD):
            raise Refused(HEAD_TOO_LARGE)
        if self.cycle is not None and not self.cycle.response_complete:
            if len(self.pipeline) >= MAX_PIPELINE:
                raise Refused(OVERLOADED)
        elif self._crowded:
            raise Refused(CROWDED, b"retry-after: 5", *self._for_pages())
        elif self.limits.admission.full and self.url not in PROBES:
            self._refuse()
            return
        # a list of its own: what comes behind a chunked body is no header, and nobody's word for anything
        self.scope["headers"] = tuple(self.headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Each byte of a body may cost another of framing."""
        self._overhead = max(self._overhead - 2 * len(body), 0)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stamp a request with the time at which its last byte was there.

        Where the body came along with the headers, this is before its handler runs.
        """
        self._overhead = 0
        self.scope[ARRIVED] = self.loop.time()  # type: ignore[literal-required]  # ASGI lets servers add keys
        super().on_message_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """The client reads."""
        super().resume_writing()
        if self._read_deadline is not None and not self.transport.is_closing():
            self._read_deadline.cancel()
            self._read_deadline = None

    def on_response_complete(self) -> None:
        """See to it that the end of a connection does not wait for a client that does not read."""
        super().on_response_complete()
        if self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._watch_reader()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for too long."""
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        for timer in (self._headers_deadline, self._read_deadline):
            if timer is not None:
                timer.cancel()
        self._headers_deadline = self._read_deadline = None
        super().connection_lost(exc)

    def _refuse(self) -> None:
        """429, by the shortest way. The body is read past, unless its sender waits for us to ask for it."""
        self.limits.admission.refused()
        self.limits.refused(OVERLOADED.code)
        self.cycle = _DONE
        self._unset_keepalive_if_required()
        more = self._for_pages()
        if self.expect_100_continue or not self.parser.should_keep_alive():
            self.transport.write(written(OVERLOADED, b"retry-after: 1", CLOSE, *more) if more else _LATER_CLOSED)
            self._close()
        else:
            later = written(OVERLOADED, b"retry-after: %d" % next(_SECONDS), *more) if more else next(_LATER)
            self.transport.write(later)
            if not self.flow.read_paused:
                self.flow.pause_reading()
                self.loop.call_later(HOLD_S, self.flow.resume_reading)

    def _for_pages(self) -> list[bytes]:
        """Header lines without which a page may not read what it was refused."""
        return [b"%b: %b" % header for header in self.limits.early_headers(self.url, self.headers)]

    def _end(self, refused: Refused) -> None:
        """Answer what cannot be answered otherwise, and close. Between the answers to earlier requests none is written:
        it would be taken for theirs.
        """
        self.limits.refused(refused.code)
        cycle = self.cycle
        ours = cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started)
        if ours and not self.pipeline and not self.transport.is_closing():
            self.transport.write(refused.answer)
        self._close()

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _too_slow(self) -> None:
        self._headers_deadline = None
        self._close()

    def _close(self) -> None:
        """Close once what was written is read, which must not take for ever."""
        if not self.transport.is_closing():
            self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_reader()

    def _watch_reader(self) -> None:
        if self._read_deadline is None:
            self._read_deadline = self.loop.call_later(self.limits.read_s, self.transport.abort)


def protocol_within(limits: ClientLimits) -> type[DeadlineProtocol]:
    """The protocol under these limits."""
    return type("DeadlineProtocol", (DeadlineProtocol,), {"limits": limits})
