"""The mock platforms on one loopback port, each under its own prefix: `http://127.0.0.1:PORT/meta` and so on.

`gateway demo` and tests use `MockServer`; `python -m gateway.demo.server` serves the mocks alone: see docs/mocks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.demo.configuration import destinations_toml
from gateway.demo.mock import MockPlatform, MockReply, MockRequest
from gateway.demo.platforms import google, meta, pinterest, snapchat, tiktok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

#: All mocks, in the order in which they are shown.
PLATFORMS: tuple[MockPlatform, ...] = (meta.MOCK, tiktok.MOCK, google.MOCK, pinterest.MOCK, snapchat.MOCK)

#: What a platform answers that is out of order for a moment.
UNAVAILABLE = MockReply(503, {"error": "Service Unavailable"})

#: Where `python -m gateway.demo.server` listens unless told otherwise.
PORT = 8090


@dataclass(frozen=True, slots=True)
class Served:
    """One request to a mock, and its answer."""

    platform: str
    request: MockRequest
    reply: MockReply


class MockServer:
    """Serves the mocks from a thread of its own, for the time of a `with` block.

        with MockServer() as mocks:
            ...  # deliver to mocks.base_url("meta")
            assert mocks.received["meta"][0]["event_name"] == "Purchase"

    It keeps every item that it took, so it is for tests and trials, not for load.
    """

    def __init__(
        self,
        platforms: Iterable[MockPlatform] = PLATFORMS,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unavailable: Mapping[str, int] | None = None,
        observe: Callable[[Served], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`port` 0: any free one. `unavailable`: platform → how many of its first requests are answered with 503.

        `observe` is called, on the server's thread, with each request that reached a platform.
        """
        self.platforms = {one.name: one for one in platforms}
        #: Platform → the items that it counted as real, in its own words.
        self.received: dict[str, list[Mapping[str, Any]]] = {name: [] for name in self.platforms}
        #: Platform → the items that it took in its test mode.
        self.tested: dict[str, list[Mapping[str, Any]]] = {name: [] for name in self.platforms}
        self._address = (host, port)
        self._unavailable = dict(unavailable or {})
        self._observe = observe
        self._clock = clock
        self._running: tuple[uvicorn.Server, threading.Thread, socket.socket] | None = None

    def __enter__(self) -> MockServer:
        """Listen. Raises `OSError` if the port is taken."""
        listener = socket.create_server(self._address)
        self._address = listener.getsockname()[:2]
        server = uvicorn.Server(uvicorn.Config(_app(self.answer), ws="none", lifespan="off", log_config=None))
        thread = threading.Thread(target=server.run, args=([listener],), name="mock platforms", daemon=True)
        self._running = (server, thread, listener)
        thread.start()  # who connects before it runs waits in the listener's queue
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        if self._running is not None:
            server, thread, listener = self._running
            server.should_exit = True
            thread.join()
            listener.close()
            self._running = None

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        return self._address[1]

    def base_url(self, name: str) -> str:
        """What `base_url` is to be for a platform."""
        host, port = self._address
        return f"http://{host}:{port}/{self.platforms[name].name}"

    def config(self, name: str) -> dict[str, Any]:
        """A `[destinations.NAME]` table with which a gateway delivers to this mock."""
        base = self.base_url(name)
        keys = dict(self.platforms[name].config)
        if "token_url" in keys:
            keys["token_url"] = base + keys["token_url"]
        return {"plugin": name, "base_url": base, "allow_private": True, **keys}

    def answer(self, name: str, request: MockRequest) -> MockReply | None:
        """What a platform answers, which is remembered; `None` if there is no such platform."""
        platform = self.platforms.get(name)
        if platform is None:
            return None
        if self._unavailable.get(name, 0) > 0:
            self._unavailable[name] -= 1
            reply = UNAVAILABLE
        else:
            reply = platform.answer(request, self._clock())
        self.received[name] += reply.accepted
        self.tested[name] += reply.tested
        if self._observe is not None:
            self._observe(Served(name, request, reply))
        return reply


def _app(answer: Callable[[str, MockRequest], MockReply | None]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        name, _, path = request.url.path.lstrip("/").partition("/")
        asked = MockRequest(
            request.method, f"/{path}", dict(request.query_params), dict(request.headers), await request.body()
        )
        reply = answer(name, asked)
        if reply is None:
            names = ", ".join(f"/{one.name}" for one in PLATFORMS)
            reply = MockReply(404, {"error": f"no mock here: the first part of the path names one of {names}"})
        headers = dict(reply.headers)
        made = (
            Response(None, reply.status, headers)
            if reply.json is None
            else JSONResponse(reply.json, reply.status, headers)
        )
        await made(scope, receive, send)

    return app


def line(served: Served) -> str:
    """One request for the operator's eyes: what came, and what the platform says of it."""
    reply = served.reply
    taken = [
        f"{len(found)} {word}" for found, word in ((reply.accepted, "received"), (reply.tested, "as a test")) if found
    ]
    words = ", ".join(taken) or _told(reply)
    return f"{served.platform:<10} {served.request.method:<4} {served.request.path}  {reply.status}  {words}"


def _told(reply: MockReply) -> str:
    """A reply without items, in short. A token is not shown: an operator may copy the line."""
    if isinstance(reply.json, dict) and "access_token" in reply.json:
        return "a token"
    return json.dumps(reply.json, ensure_ascii=False)


def main(arguments: list[str] | None = None) -> int:
    """Serve the mocks until interrupted; print how to reach them, then each request's verdict."""
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.server", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="port to listen on (%(default)s)")
    given = parser.parse_args(arguments)
    server = MockServer(host=given.host, port=given.port, observe=lambda one: print(line(one), flush=True))
    try:
        with contextlib.suppress(KeyboardInterrupt), server as mocks:
            print(f"# Mock platforms on port {mocks.port}. For gateway.toml:\n\n{destinations_toml(mocks)}", flush=True)
            threading.Event().wait()
    except OSError as error:
        print(f"cannot listen on {given.host}:{given.port}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
