"""The ASGI application: the hot path by hand, all else by Starlette's router, and one place for what goes wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Router

from gateway.ingest.problem import RequestRefused
from gateway.log import get_logger
from gateway.web.admission import loop_time
from gateway.web.body import ARRIVED, Disconnected, Receive
from gateway.web.browser import collect
from gateway.web.events import post_events
from gateway.web.measurement_protocol import collect_hits, post_measurements, validate_measurements
from gateway.web.people import delete_users, post_consent
from gateway.web.problem import ANSWER_HEADERS, ENVELOPE, NOT_FOUND, Send, headers_of, refusal, report, send_refusal
from gateway.web.routes import ROUTES
from gateway.web.segment import PATHS as SEGMENT
from gateway.web.segment import post_calls
from gateway.web.telling import path_of, request_id

if TYPE_CHECKING:
    from starlette.types import Scope

    from gateway.web.service import Service

Handler: TypeAlias = Callable[["Service", "Scope", Receive, Send], Awaitable[None]]

#: Paths that go past the router, with the methods that they take.
DIRECT: Mapping[str, tuple[Handler, tuple[str, ...]]] = {
    "/v1/events": (post_events, ("POST",)),
    "/v1/collect": (collect, ("OPTIONS", "POST")),
    "/v1/consent": (post_consent, ("OPTIONS", "POST")),
    "/v1/users": (delete_users, ("DELETE",)),
    "/mp/collect": (post_measurements, ("POST",)),
    "/debug/mp/collect": (validate_measurements, ("POST",)),
    "/g/collect": (collect_hits, ("GET", "OPTIONS", "POST")),
    **dict.fromkeys(SEGMENT, (post_calls, ("OPTIONS", "POST"))),
}


log = get_logger("web")

#: On every answer: what a sender wrote into it is never to be taken for a page.
NOSNIFF = (b"x-content-type-options", b"nosniff")


class App:
    """The gateway's HTTP side, as ASGI has it."""

    def __init__(self, service: Service, routes: Sequence[BaseRoute] = ROUTES) -> None:
        self.service = service
        self._router = Router(routes, redirect_slashes=False, default=_not_found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Whatever happens, the sender gets an answer that tells nothing of the inside."""
        if scope["type"] != "http":
            await _not_http(scope, receive, send)
            return
        begun = Begun(send, request_id(scope))
        try:
            await self._handle(scope, receive, begun)
        except Disconnected:
            return
        except Exception as error:  # around one request: see the house's rule on `except Exception`
            if begun.answer:
                raise
            await self._refuse(scope, error, begun)
        if (arrived := scope.get(ARRIVED)) is not None:
            self.service.budget.admission.answered(loop_time() - arrived)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = DIRECT.get(scope["path"])
        if direct is None:
            scope["app"] = self  # makes the router raise what it finds wrong, rather than answer in plain text
            scope.setdefault("state", {})["service"] = self.service
            await self._router(scope, receive, send)
            return
        handle, methods = direct
        if scope["method"] not in methods:
            raise HTTPException(405, headers={"Allow": ", ".join(methods)})
        await handle(self.service, scope, receive, send)

    async def _refuse(self, scope: Scope, error: Exception, send: Send) -> None:
        refused = refusal(error)
        more: dict[str, Any] = {}
        if refused.status == 500:
            more["request_id"] = request_id(scope)
            report(error, request_id(scope), scope["method"], path_of(scope))
        else:
            self._tell(refused, scope)
        self.service.metrics.request_refused(refused.code)
        headers = [*scope.get(ANSWER_HEADERS, ()), *headers_of(error)]
        await send_refusal(send, refused, more, headers, scope.get(ENVELOPE))

    def _tell(self, refused: RequestRefused, scope: Scope) -> None:
        if count := self.service.seldom.count("request_refused", refused.code):
            log.warning(
                "request_refused",
                code=refused.code,
                count=count,
                status=refused.status,
                method=scope["method"],
                path=path_of(scope),
                request_id=request_id(scope),
            )


class Begun:
    """`send`, which remembers whether an answer has begun: after that no other can be given."""

    __slots__ = ("_request_id", "_send", "answer")

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.answer = False

    async def __call__(self, message: Any) -> None:
        if not self.answer:
            self.answer = True
            message["headers"] = [
                *message.get("headers", ()),
                NOSNIFF,
                (b"x-request-id", self._request_id.encode()),
            ]
        await self._send(message)


async def _not_found(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RequestRefused(404, *NOT_FOUND)


async def _not_http(scope: Scope, receive: Receive, send: Send) -> None:
    """Lifespan needs nothing from us; there are no web sockets."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
