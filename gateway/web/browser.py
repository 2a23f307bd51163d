"""`POST /v1/collect`: canonical events straight from a visitor's browser.

The page's own key is public, so that the page's origin counts as well; who the visitor is comes from the request.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from gateway.ingest.decode import JSON, Body, read_body
from gateway.ingest.draft import BrowserHints
from gateway.ingest.formats.segment import PATHS as SEGMENT
from gateway.ingest.formats.snippet import Envelope, spoken, straight, unwrap
from gateway.ingest.problem import RequestRefused
from gateway.web.body import Reading, Receive
from gateway.web.client import client_address
from gateway.web.cookies import FIRST_PARTY, Jar
from gateway.web.doors import content_type, send_answer
from gateway.web.keys import Kind, key_in
from gateway.web.problem import ANSWER_HEADERS, Headers, Send, send_problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.types import Scope

    from gateway.config import Network, Source
    from gateway.web.service import Service

#: Bytes of one body: what browsers let a page send in the background (64 KiB) and room to spare. Its key may stand
#: inside it, so that it is read before anybody knows whose it is.
MAX_BYTES = 256 * 1024
#: The longest user agent and cookie value looked at.
MAX_VALUE = 1024

PATHS = frozenset((b"/v1/collect", b"/v1/consent", b"/g/collect", *(path.encode() for path in SEGMENT)))
ANY_ORIGIN = "*"
#: What a page may send to this door.
_PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-encoding, content-type, x-write-key"),
    (b"access-control-max-age", b"7200"),
]


#: Beside the body, what a page may read of an answer.
_READABLE = (b"access-control-expose-headers", b"retry-after, x-request-id")


def cors_of(service: Service, headers: Mapping[bytes, bytes]) -> Headers:
    """What an answer of this door says of who may read it."""
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    return cors_headers(origin, _all_origins(service.effective.settings.sources.values()))


def early_headers(service: Service, url: bytes, pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """What the refusal of a request says besides that is not to be read any further: a page must see what it was."""
    return cors_of(service, dict(pairs)) if url.partition(b"?")[0] in PATHS else []


async def collect(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Take a browser's events in, or answer its preflight. A page that may use the door may read every answer."""
    effective = service.effective
    pairs: Headers = list(scope["headers"])
    headers = dict(pairs)
    origin, cors = headers.get(b"origin", b"").decode("latin-1").lower(), cors_of(service, headers)
    if scope["method"] == "OPTIONS":
        await preflight(send, cors)
        return
    scope[ANSWER_HEADERS] = cors
    server = effective.settings.server
    limit = min(server.max_body_bytes, MAX_BYTES)
    with Reading(scope, receive, service.budget, limit, service.pace) as reading:
        data = await reading.plain(headers)
        body = read_body(data, body_type(headers), "", max_bytes=limit, max_events=server.max_events)
        key, body, envelope = take_key(body, server.max_events)
        source = effective.keys.source(key_in(headers) or query_key(scope) or key, Kind.PUBLIC)
        if not may_use(origin, source.origins):
            raise RequestRefused(403, "origin_not_allowed", "this origin is not among the source's origins")
        hints = browser_hints(pairs, peer(scope), server.trusted_proxies)
        if envelope is None:
            answer, more = await service.accept(effective, body, source, "collect", scope, hints), []
        else:
            first_party = headers.get(b"sec-fetch-site", b"") in FIRST_PARTY and origin in source.origins
            jar = Jar(source.browser, envelope, hints.cookies, first_party, time.time())
            language = spoken(headers.get(b"accept-language", b"").decode("latin-1"))
            body = Body(straight(body.events, envelope, jar.now, language), body.odd)
            hints = jar.hints(hints, cookies([envelope.cookies]))
            answer = await service.accept(effective, body, source, "collect", scope, hints, jar.observe)
            more = jar.headers()
            if told := jar.told():
                answer["visitor"] = told
    await send_answer(send, answer, [*cors, *more])


def may_use(origin: str, allowed: Iterable[str]) -> bool:
    """Whether a page of this origin (lower case, as its browser says it; empty: none said) is allowed."""
    return any(one == ANY_ORIGIN or (origin != "" and one == origin) for one in allowed)


def cors_headers(origin: str, allowed: Sequence[str]) -> Headers:
    """What lets the page read the answer (https://fetch.spec.whatwg.org/#http-cors-protocol); none if it may not.

    Beacons come with the site's cookies, which browsers allow only for an origin that is named. Where any page may
    post, cookies are not asked for.
    """
    if not origin or not may_use(origin, allowed):
        return [(b"vary", b"Origin")]
    found = [(b"vary", b"Origin"), (b"access-control-allow-origin", origin.encode("latin-1")), _READABLE]
    return [*found, (b"access-control-allow-credentials", b"true")] if origin in allowed else found


async def preflight(send: Send, cors: Headers) -> None:
    """Answer what a browser asks before it sends a request across origins."""
    if len(cors) == 1:
        refused = RequestRefused(403, "origin_not_allowed", "no source with a public key allows this origin")
        await send_problem(send, refused, headers=cors)
        return
    await send({"type": "http.response.start", "status": 204, "headers": [*cors, *_PREFLIGHT]})
    await send({"type": "http.response.body", "body": b""})


def take_key(body: Body, max_events: int) -> tuple[bytes | None, Body, Envelope | None]:
    """The key in a body, `{"key": …, "events": […]}` or beside an event's own fields, and the body without it.

    The snippet's envelope, if that is what the events came in.

    Raises `RequestRefused` for a list that is empty or too long.
    """
    if len(body.events) != 1 or not isinstance(body.events[0], dict) or "key" not in body.events[0]:
        return None, body, None
    event = dict(body.events[0])
    key = event.pop("key")
    envelope, events = unwrap(event) or (None, [event])
    if not events:
        raise RequestRefused(400, "no_events", "the body holds no event")
    if len(events) > max_events:
        raise RequestRefused(413, "too_many_events", f"at most {max_events} events in one request")
    return (key.encode("utf-8", "replace") if isinstance(key, str) else None), Body(events, body.odd), envelope


def browser_hints(pairs: Headers, peer: str | None, trusted: Sequence[Network]) -> BrowserHints:
    """What the request says of its visitor."""
    headers = dict(pairs)
    forwarded = [value.decode("latin-1") for name, value in pairs if name == b"x-forwarded-for"]
    agent = headers.get(b"user-agent", b"").decode("latin-1")
    return BrowserHints(
        ip=client_address(peer, forwarded, trusted),
        user_agent=agent[:MAX_VALUE] or None,
        cookies=cookies(value.decode("latin-1") for name, value in pairs if name == b"cookie"),
        gpc=headers.get(b"sec-gpc", b"").strip() == b"1",
    )


def cookies(headers: Iterable[str]) -> dict[str, str]:
    """Cookie name → value; the first of a name counts, as the more specific path comes first (RFC 6265 § 5.4)."""
    found: dict[str, str] = {}
    for header in headers:
        for pair in header.split(";"):
            name, equals, value = pair.partition("=")
            if equals and len(value) <= MAX_VALUE:
                found.setdefault(name.strip(), value.strip().strip('"'))
    return found


def _all_origins(sources: Iterable[Source]) -> list[str]:
    return [origin for one in sources if one.public_keys or one.measurement_ids for origin in one.origins]


def body_type(headers: Mapping[bytes, bytes]) -> str:
    """The body's type. A beacon is `text/plain`, or says nothing, and holds JSON all the same."""
    given = content_type(headers)
    return JSON if given.partition(";")[0].strip().lower() in ("", "text/plain") else given


def query_key(scope: Scope) -> bytes | None:
    """The key in a request's address."""
    values = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("key")
    return values[0].encode("utf-8", "replace") if values else None


def peer(scope: Scope) -> str | None:
    """The address that the connection comes from."""
    client = scope.get("client")
    return client[0] if client else None
