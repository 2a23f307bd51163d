"""The one place that speaks HTTP to the outside: one deadline an attempt, no redirects, answers cut."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import httpx

from gateway import __version__
from gateway.model.errors import TransportError
from gateway.plugin.destination import Response

#: Bytes of an answer that are read; the rest is not looked at.
ANSWER_BYTES = 1024 * 1024
#: Seconds for which a looked-up address is used.
DNS_TTL_S = 60.0

USER_AGENT = f"conversions-gateway/{__version__}"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request with everything in it, credentials included. Never logged."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


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
        self._allow_private = allow_private or transport is not None
        self._timeout_s = timeout_s
        self._addresses: dict[str, tuple[float, deque[str]]] = {}
        self._client = httpx.AsyncClient(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(None, connect=timeout_s),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"},
        )

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
        await self._client.aclose()

    async def _send(self, prepared: Prepared, progress: _Progress) -> Response:
        url = httpx.URL(prepared.url)
        headers, extensions = dict(prepared.headers), dict[str, Any](trace=progress.trace)
        if not self._allow_private:
            address = await self._public_address(url.host, url.port or (443 if url.scheme == "https" else 80))
            headers.setdefault("Host", url.netloc.decode())
            extensions["sni_hostname"] = url.host
            url = url.copy_with(host=address)
        request = self._client.build_request(
            prepared.method, url, headers=headers, content=prepared.body, extensions=extensions
        )
        progress.sent = True
        answer = await self._client.send(request, stream=True)
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

    async def _public_address(self, host: str, port: int) -> str:
        """An address of `host` on the public internet. The connection goes to it: nothing is looked up twice.

        Raises `TransportError` when any of its addresses is private, link-local or otherwise not public.
        """
        now = anyio.current_time()
        known = self._addresses.get(host)
        if known is not None and known[0] > now:
            return known[1][0]
        try:
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        except (OSError, UnicodeError):
            raise TransportError("connect", f"{host}: no such host", sent=False) from None
        addresses = deque(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not is_public(address):
                words = f"{host} is not on the public internet; allow_private = true permits that"
                raise TransportError("address_refused", words, sent=False)
        self._addresses[host] = (now + DNS_TTL_S, addresses)
        return addresses[0]

    def _try_next_address(self, url: str) -> None:
        """No connection came about: the next attempt goes to another of the host's addresses, if it has several."""
        known = self._addresses.get(httpx.URL(url).host)
        if known is not None:
            known[1].rotate(-1)


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, also inside IPv6's ways of writing IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_site_local:
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not ip.is_unspecified


def _words(error: Exception) -> str:
    """What went wrong, without the URL: a token may be in it."""
    return f"{type(error).__name__}: {error}".split(" for url")[0][:200]
