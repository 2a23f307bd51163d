"""A request's body, read: never more than is allowed, never for longer than is allowed, and paid for in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.ingest.decode import decompress, too_large
from gateway.ingest.problem import RequestRefused
from gateway.web.admission import Admission
from gateway.web.problem import BUSY_S, Later

Receive: TypeAlias = Callable[[], Awaitable[Any]]

#: Bytes of bodies in the clear that may be in memory at the same time, in each process.
BUDGET_BYTES = 32 * 1024 * 1024


#: Key of the scope: when the request's last byte was there (the event loop's time). It is set before the handler runs
#: where the body came along with the headers, so that nobody has to wait for it.
ARRIVED = "gateway.arrived"


class Disconnected(Exception):  # nobody is left to answer
    """The sender went away before its body was complete."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a sender may be."""

    #: Seconds for the body to begin with.
    first_s: float = 15.0
    #: Each of this many bytes that arrive earns a second more.
    bytes_per_s: float = 16_384.0


class Budget:
    """Memory for bodies: what is taken is given back when the request is answered."""

    __slots__ = ("admission", "limit", "taken")

    def __init__(self, limit: int = BUDGET_BYTES, admission: Admission | None = None) -> None:
        self.limit = limit
        self.taken = 0
        #: How many requests are worked on: those whose body is still to come are not among them.
        self.admission = admission or Admission()

    def take(self, size: int, *, held: int = 0) -> None:
        """Take for a body that holds `held` already. Raises `Later` (429) when there is no room.

        One body alone always has room.
        """
        if self.taken > held and self.taken + size > self.limit:
            raise Later(429, "overloaded", "too many requests at the same time", BUSY_S)
        self.taken += size

    def give_back(self, size: int) -> None:
        """The body is gone."""
        self.taken -= size


class Reading:
    """One request's body and its share of the budget. A context manager: the share ends with it."""

    __slots__ = ("_arrived", "_budget", "_max_bytes", "_pace", "_receive", "_size")

    def __init__(self, scope: Mapping[str, Any], receive: Receive, budget: Budget, max_bytes: int, pace: Pace) -> None:
        self._arrived = ARRIVED in scope
        self._receive = receive
        self._budget = budget
        self._max_bytes = max_bytes
        self._pace = pace
        self._size = 0

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._budget.give_back(self._size)

    async def plain(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The body, decompressed.

        Raises `RequestRefused`: 408 too slow, 413 too large, 415 unknown encoding, 429 no memory for it;
        `Disconnected`.
        """
        self._take(announced(headers, self._max_bytes))
        data = await self._at_once() if self._arrived else await self._in_time()
        if len(data) > self._max_bytes:
            raise too_large(self._max_bytes)
        encoding = headers.get(b"content-encoding")
        if encoding is not None:
            data = decompress(data, encoding.decode("latin-1"), self._max_bytes)
        self._take(len(data))
        return data

    def _take(self, size: int) -> None:
        """Let the share grow to `size`."""
        if size > self._size:
            self._budget.take(size - self._size, held=self._size)
            self._size = size

    async def _at_once(self) -> bytes:
        """The body without a clock, which would be a noticeable part of what a small request costs."""
        message = await self._next()
        data: bytes = message.get("body", b"")
        return data if not message.get("more_body", False) else data + await self._in_time()

    async def _in_time(self) -> bytes:
        """The body as it comes. Raises `Later` (429) if there is no time for it now that it is here."""
        admission = self._budget.admission
        admission.waiting += 1
        try:
            data = await self._gathered()
        finally:
            admission.waiting -= 1
        if admission.full and not self._arrived:
            admission.refused()
            raise Later(429, "overloaded", "too many requests at the same time", BUSY_S)
        return data

    async def _gathered(self) -> bytes:
        pace, gathered, more = self._pace, bytearray(), True
        start = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(pace.first_s) as deadline:
                while more and len(gathered) <= self._max_bytes:
                    message = await self._next()
                    gathered += message.get("body", b"")
                    more = message.get("more_body", False)
                    self._take(len(gathered))
                    deadline.reschedule(start + pace.first_s + len(gathered) / pace.bytes_per_s)
        except TimeoutError:
            raise RequestRefused(408, "too_slow", "the body did not arrive in time") from None
        return bytes(gathered)

    async def _next(self) -> Mapping[str, Any]:
        message: Mapping[str, Any] = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message


def announced(headers: Mapping[bytes, bytes], max_bytes: int) -> int:
    """The body's size as `Content-Length` says it, 0 without one. Raises `RequestRefused` (413) before any is read."""
    length = headers.get(b"content-length", b"0")
    if not length.isdigit():
        raise RequestRefused(400, "malformed_header", "Content-Length is not a number")
    # more digits than any size has, or one past the limit
    if len(length) > 15 or int(length) > max_bytes:
        raise too_large(max_bytes)
    return int(length)
