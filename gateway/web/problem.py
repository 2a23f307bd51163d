"""Errors as `application/problem+json` (RFC 9457), and JSON answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.ingest.problem import RequestRefused
from gateway.log import get_logger
from gateway.model.errors import OutboxBusy, OutboxError, OutboxFull
from gateway.web.keys import CHALLENGE

Send: TypeAlias = Callable[[Any], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]

#: A refusal in the words of another API: status and JSON document.
Envelope: TypeAlias = Callable[[RequestRefused], tuple[int, Any]]

JSON = b"application/json"
PROBLEM = b"application/problem+json"

#: What `type` of a problem starts with; the code follows. A name, not an address: docs/codes.md tells the codes.
TYPE = "urn:conversions-gateway:problem:"

#: Key of the scope: headers that every answer to the request has, problems too.
ANSWER_HEADERS = "gateway.answer_headers"

#: Key of the scope: how its door writes a refusal, where its clients expect another form than a problem.
ENVELOPE = "gateway.envelope"

#: Codes of problems that are not a `RequestRefused` of the doors' → what they mean. All are in docs/codes.md.
STATUS_CODES = {404: "not_found", 405: "method_not_allowed"}

#: Code and words of a 404.
NOT_FOUND = ("not_found", "there is nothing at this address: see /openapi.json for what there is")

#: Seconds after which a refused sender may try again, by the outbox's error.
BUSY_S, FULL_S, FAILED_S = 1, 30, 5

_encode = msgspec.json.Encoder().encode


class Later(RequestRefused):
    """Refused for now: answered with `Retry-After`."""

    def __init__(self, status: int, code: str, detail: str, after_s: int) -> None:
        super().__init__(status, code, detail)
        self.after_s = after_s


class Problem(Response):
    """A problem as a response of Starlette's."""

    def __init__(self, refused: RequestRefused, more: Mapping[str, Any] | None = None) -> None:
        super().__init__(_encode(document(refused, more)), refused.status, media_type=PROBLEM.decode())
        for name, value in headers_for(refused):
            self.headers[name.decode()] = value.decode()


class Json(Response):
    """A JSON answer."""

    media_type = JSON.decode()

    def render(self, content: Any) -> bytes:
        """Encode the answer."""
        return _encode(content)


def document(refused: RequestRefused, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The problem document: `type`, `title`, `status`, `detail`, `code`, and what else is to be told."""
    return {
        "type": TYPE + refused.code,
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
        "code": refused.code,
        **(more or {}),
    }


def headers_for(refused: RequestRefused) -> Headers:
    """What a refusal says beside its body."""
    if isinstance(refused, Later):
        return [(b"retry-after", b"%d" % refused.after_s)]
    if refused.status == 401:
        return [(b"www-authenticate", CHALLENGE.encode())]
    if refused.status == 408:
        return [(b"connection", b"close")]
    return []


async def send_json(
    send: Send, status: int, kind: bytes, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with two messages."""
    head = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def send_problem(
    send: Send, refused: RequestRefused, more: Mapping[str, Any] | None = None, headers: Headers | None = None
) -> None:
    """Answer with a problem."""
    body = _encode(document(refused, more))
    await send_json(send, refused.status, PROBLEM, body, [*headers_for(refused), *(headers or ())])


async def send_refusal(
    send: Send, refused: RequestRefused, more: Mapping[str, Any], headers: Headers, envelope: Envelope | None
) -> None:
    """Answer with a problem, or in the form of the door."""
    if envelope is None:
        await send_problem(send, refused, more, headers)
        return
    status, body = envelope(refused)
    await send_json(send, status, JSON, _encode(body), [*headers_for(refused), *headers])


def refusal(error: Exception) -> RequestRefused:
    """Any exception as the refusal that the sender is told. Nothing of what was unexpected gets out."""
    if isinstance(error, RequestRefused):
        return error
    if isinstance(error, OutboxBusy):
        return Later(429, "overloaded", "too many events wait to be written", BUSY_S)
    if isinstance(error, OutboxFull):
        return Later(503, "disk_full", "the disk is full; nothing of this request was stored", FULL_S)
    if isinstance(error, OutboxError):
        return Later(503, "storage_failed", "the event could not be stored; send it again", FAILED_S)
    if isinstance(error, HTTPException):
        return RequestRefused(error.status_code, STATUS_CODES.get(error.status_code, "refused"), error.detail)
    return RequestRefused(500, "internal_error", "an error in the gateway; its log has more under the request id")


def headers_of(error: Exception) -> Headers:
    """The headers that Starlette's exceptions carry: `Allow` for one."""
    given = error.headers if isinstance(error, HTTPException) and error.headers else {}
    return [(name.lower().encode(), value.encode()) for name, value in given.items()]


def report(error: Exception, request_id: str, method: str, path: str) -> None:
    """Write an unexpected exception to the log."""
    get_logger("web").error("request_failed", request_id=request_id, method=method, path=path, exc_info=error)
