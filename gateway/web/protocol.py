"""Uvicorn's HTTP protocol with a deadline on headers, which it does not have: a slow sender holds no connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.web.body import ARRIVED

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport


class DeadlineProtocol(HttpToolsProtocol):
    """Closes a connection that brings no complete headers in time.

    A request that arrives in one piece costs no timer: one is set only when a connection is left waiting for headers.
    The time begins with the connection, or with the first byte after the last answer, and no further byte extends it.
    Between requests uvicorn's own keep-alive time holds; the body's deadline is `gateway.web.body`'s.
    """

    #: Seconds.
    headers_s = 15.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers_deadline: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn declares it
        """Begin to wait."""
        super().connection_made(transport)
        self._headers_deadline = self.loop.call_later(self.headers_s, self._too_slow)

    def data_received(self, data: bytes) -> None:
        """Wait on if no request is under way after these bytes."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            return
        if self._headers_deadline is None and not self.transport.is_closing():
            self._headers_deadline = self.loop.call_later(self.headers_s, self._too_slow)

    def on_headers_complete(self) -> None:
        """Stop waiting."""
        if self._headers_deadline is not None:
            self._headers_deadline.cancel()
            self._headers_deadline = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Mark a request whose body came along with its headers: its handler runs only after this."""
        self.scope[ARRIVED] = True  # type: ignore[literal-required]  # ASGI lets servers add keys
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        if self._headers_deadline is not None:
            self._headers_deadline.cancel()
            self._headers_deadline = None
        super().connection_lost(exc)

    def _too_slow(self) -> None:
        self._headers_deadline = None
        if not self.transport.is_closing():
            self.transport.close()


def with_deadline(seconds: float) -> type[DeadlineProtocol]:
    """The protocol with another deadline than the usual."""
    return type("DeadlineProtocol", (DeadlineProtocol,), {"headers_s": seconds})
