"""The one place that speaks HTTP to the outside: one deadline an attempt, no redirects, answers cut.

Where a connection may go is decided here, after the look-up and before anything is opened: to public addresses over
TLS; to others only with `allow_private`; over plain http only to others, as a token must not cross the internet in it.
"""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

from gateway import __version__
from gateway.config.addresses import is_public
from gateway.model.errors import TransportError
from gateway.plugin.destination import Response

#: Bytes of an answer that are read; the rest is not looked at.
ANSWER_BYTES = 1024 * 1024
#: Seconds for which a looked-up address is used.
DNS_TTL_S = 60.0

#: The part of an attempt's time that a connection may take. Less than all of it: a handshake that the deadline of the
#: whole cuts off is left open by httpcore until it is collected; one that runs into this time is closed.
CONNECT_SHARE = 0.9

USER_AGENT = f"conversions-gateway/{__version__}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything in it, credentials included. Never logged, and prints without what may be secret."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


class _Progress:
    """How far a request has come: what ends while it still connects cannot have arrived."""

    def __init__(self) -> None:
        self.sent = False

    async def trace(self, event: str, info: object) -> None:
        """Told by httpcore: https://www.encode.io/httpcore/extensions/#trace"""
        if event == "connection.connect_tcp.started":
            self.sent = False
        elif event.endswith("send_request_headers.started"):
            self.sent = True


class Transport:
    """One destination's connections."""

    def __init__(
        self,
        *,
        allow_private: bool,
        timeout_s: float,
        connections: int,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport`: what stands in for the network in tests."""
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._connections = connections
        self._network = transport
        self._addresses: dict[str, tuple[float, deque[str]]] = {}
        self._clients: dict[str, httpx.AsyncClient] = {}

    def _client(self, host: str) -> httpx.AsyncClient:
        """The connections to one host. Several share none: a connection's certificate was checked for one name."""
        known = self._clients.get(host)
        if known is None:
            limits = httpx.Limits(max_connections=self._connections, max_keepalive_connections=self._connections)
            known = self._clients[host] = httpx.AsyncClient(
                transport=self._network,
                follow_redirects=False,
                trust_env=False,
                timeout=httpx.Timeout(None, connect=CONNECT_SHARE * self._timeout_s),
                limits=limits,
                headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
            )
        return known

    async def send(self, prepared: Prepared) -> Response:
        """Send and read the answer. Raises `TransportError` when none came."""
        try:
            return await self._attempt(prepared)
        except TransportError as error:
            if error.reason == "connect":
                self._try_next_address(prepared.url)
            raise

    async def _attempt(self, prepared: Prepared) -> Response:
        progress = _Progress()
        try:
            with anyio.fail_after(self._timeout_s):
                return await self._send(prepared, progress)
        except (TimeoutError, httpx.ConnectTimeout):
            if not progress.sent:
                words = f"no connection within our timeout of {self._timeout_s:g} s"
                raise TransportError("connect", words, sent=False) from None
            words = f"no answer within our timeout of {self._timeout_s:g} s"
            raise TransportError("timeout", words, sent=True) from None
        except httpx.ConnectError as error:
            tls = isinstance(error.__cause__, ssl.SSLError) or "SSL" in str(error) or "certificate" in str(error)
            raise TransportError("tls" if tls else "connect", _words(error), sent=False) from None
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise TransportError("invalid_url", _words(error), sent=False) from None
        except httpx.HTTPError as error:
            raise TransportError("protocol", f"the connection broke ({type(error).__name__})", sent=True) from None

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    async def _send(self, prepared: Prepared, progress: _Progress) -> Response:
        url = httpx.URL(prepared.url)
        if url.scheme not in ("http", "https") or not url.host:
            raise TransportError("invalid_url", "a request needs a URL with https:// and a host", sent=False)
        headers, extensions = dict(prepared.headers), dict[str, Any](trace=progress.trace)
        client = self._client(url.host)
        if self._network is None and not (self._allow_private and url.scheme == "https"):
            address = await self._permitted_address(url)
            headers.setdefault("Host", url.netloc.decode())
            extensions["sni_hostname"] = url.host
            url = url.copy_with(host=address)
        request = client.build_request(
            prepared.method, url, headers=headers, content=prepared.body, extensions=extensions
        )
        progress.sent = True
        answer = await client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) >= ANSWER_BYTES:
                    del body[ANSWER_BYTES:]
                    break
        finally:
            await answer.aclose()
        return Response(
            answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, bytes(body)
        )

    async def _permitted_address(self, url: httpx.URL) -> str:
        """An address that `url` may be sent to. The connection goes to it: nothing is looked up twice.

        Raises `TransportError` when any of the host's addresses is not permitted.
        """
        now = anyio.current_time()
        known = self._addresses.get(url.host)
        if known is None or known[0] <= now:
            known = (now + DNS_TTL_S, await self._look_up(url))
        for address in known[1]:
            self._check(url, address)
        self._addresses[url.host] = known
        return known[1][0]

    async def _look_up(self, url: httpx.URL) -> deque[str]:
        port = url.port or (443 if url.scheme == "https" else 80)
        flags = 0 if self._allow_private else socket.AI_ADDRCONFIG  # which knows nothing of loopback
        try:
            found = await anyio.getaddrinfo(url.host, port, type=socket.SOCK_STREAM, flags=flags)
        except (OSError, UnicodeError):
            raise TransportError("connect", f"{url.host}: no such host", sent=False) from None
        return deque(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _check(self, url: httpx.URL, address: str) -> None:
        if not is_public(address):
            if not self._allow_private:
                words = f"{url.host} is not on the public internet; allow_private = true permits that"
                raise TransportError("address_refused", words, sent=False)
        elif url.scheme != "https":
            words = f"{url.host} is on the public internet: credentials go there over https only"
            raise TransportError("plain_http_refused", words, sent=False)

    def _try_next_address(self, url: str) -> None:
        """No connection came about: the next attempt goes to another of the host's addresses, if it has several."""
        known = self._addresses.get(httpx.URL(url).host)
        if known is not None:
            known[1].rotate(-1)


def _words(error: Exception) -> str:
    """What went wrong, without the URL: a token may be in it."""
    return f"{type(error).__name__}: {error}".split(" for url")[0][:200]
