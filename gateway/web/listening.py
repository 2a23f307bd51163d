"""The HTTP server of a process: uvicorn's, with limits on what clients may take of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import uvicorn

from gateway.log import get_logger
from gateway.web.browser import early_headers
from gateway.web.protocol import ClientLimits, protocol_within

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Sequence

    from gateway.web.app import App

#: Connections that a process takes at the same time, and that it accepts at once.
MAX_CONNECTIONS, ACCEPT_AT_ONCE = 4096, 256

log = get_logger("web")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a client may take, in seconds. The defaults are for production; tests are in a hurry."""

    #: For complete headers, from the connection or the last answer on.
    headers_s: float = 15.0
    #: For a body to begin with; see `Pace`.
    body_s: float = 15.0
    #: How long a connection may lie idle between two requests.
    idle_s: int = 15
    #: For a client to read its answer.
    read_s: float = 15.0
    #: For requests under way when the process is to end.
    drain_s: int = 20


class HttpServer(uvicorn.Server):
    """Uvicorn's server, which leaves the signals to us and accepts all who stand at the door."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._listening: Sequence[socket.socket] = ()
        self._coming: set[asyncio.Task[object]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self._listening = sockets or ()
        await super().startup(sockets)

    def accept_more(self) -> None:
        """Accept whoever else waits: uvloop takes one connection each time round, so that under load clients would wait
        for seconds to be refused.
        """
        for listener in self._listening if not self.should_exit else ():
            for _ in range(ACCEPT_AT_ONCE):
                try:
                    connection, _ = listener.accept()
                except OSError:  # nobody waits any longer, or there is no file descriptor for them
                    break
                connection.setblocking(False)
                task = asyncio.ensure_future(self._take(connection))
                self._coming.add(task)
                task.add_done_callback(self._coming.discard)

    async def _take(self, connection: socket.socket) -> None:
        protocol: Callable[..., asyncio.BaseProtocol] = self.config.http_protocol_class
        made = functools.partial(
            protocol,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        with contextlib.suppress(OSError):  # gone already
            await asyncio.get_running_loop().connect_accepted_socket(made, connection)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def http_server(app: App, times: Deadlines) -> HttpServer:
    """The server for an app, with nothing in its log or headers that we did not put there."""
    service = app.service

    def refused(code: str) -> None:
        service.metrics.request_refused(code)
        if count := service.seldom.count("request_refused", code):
            log.warning("request_refused", code=code, count=count)

    limits = ClientLimits(
        admission=service.budget.admission,
        refused=refused,
        early_headers=partial(early_headers, service),
        connections=most_connections(),
        headers_s=times.headers_s,
        read_s=times.read_s,
        accept_more=lambda: server.accept_more(),
    )
    server = HttpServer(
        uvicorn.Config(
            app,
            http=protocol_within(limits),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,  # we look at X-Forwarded-For ourselves, where it counts
            server_header=False,
            timeout_keep_alive=times.idle_s,
            timeout_graceful_shutdown=times.drain_s,
        )
    )
    limits.admission.tasks = server.server_state.tasks
    return server


def most_connections() -> int:
    """How many connections this process takes; as many file descriptors as may be had are asked for first.

    Some are kept for the database and for connections to platforms.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(2 * MAX_CONNECTIONS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, max(soft // 2, 16))
