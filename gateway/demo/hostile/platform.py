"""A server that behaves in one way, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING

from gateway.demo.hostile.behaviours import UNASKED, Act, answer

if TYPE_CHECKING:
    import ssl


class HostilePlatform:
    """One server on a free port of this machine that behaves in one way, until the end of the block.

    Requests to an address that ends in `/token` are answered well: what is under fire is what the token is for.
    """

    def __init__(self, act: Act, tls: ssl.SSLContext | None = None) -> None:
        self._act, self._tls = act, tls
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="hostile-platform")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self.port = 0
        #: The first line of each request, `` for one that did not come so far.
        self.requests: list[str] = []

    def __enter__(self) -> HostilePlatform:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}" if self._tls is None else f"https://localhost:{self.port}"

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, limit=1 << 20)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0.01)  # for the sockets to be closed

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._tls is not None:
            try:
                await writer.start_tls(self._tls)
            except (OSError, asyncio.CancelledError):  # the other side does not like the certificate, or it is over
                writer.transport.abort()
                return
        first = await self._first_line(reader)
        self.requests.append(first)
        try:
            if first.partition("?")[0].partition(" HTTP")[0].endswith("/token"):
                token = {"access_token": "made-up-token-of-the-hostile", "expires_in": 3600, "token_type": "Bearer"}
                await answer(200, json.dumps(token).encode())(reader, writer)
            else:
                await self._act(reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError):  # the other side has had enough
            return
        finally:
            writer.close()

    async def _first_line(self, reader: asyncio.StreamReader) -> str:
        """Look at the first line, which stays to be read: for its address, and for who resets before it came."""
        if self._act in UNASKED:
            return ""
        with contextlib.suppress(OSError, EOFError):
            line = await reader.readuntil(b"\r\n")
            reader._buffer[:0] = line  # type: ignore[attr-defined]  # put back: asyncio has no way to look ahead
            return line.decode("latin-1").strip()
        return ""
