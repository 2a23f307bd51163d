"""`POST /webhooks/{source}`: what a shop tells of its orders, signed by it.

The signature is over the body as it came, so that it is checked before anything of it is read. A source that is not
there is answered as one whose signature is wrong, after the same work.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from gateway.ingest.about import read_about
from gateway.ingest.decode import JSON, Body, read_body
from gateway.ingest.formats import shopify, stripe, woocommerce
from gateway.ingest.formats.webhook import Asked, Erase, Orders, Outcome, Unused
from gateway.ingest.problem import RequestRefused
from gateway.log import get_logger
from gateway.web.body import Reading
from gateway.web.people import erase_person
from gateway.web.problem import Json, Later
from gateway.web.telling import IDS, request_id

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

    from gateway.config import Source
    from gateway.web.service import Effective, Service

Headers: TypeAlias = Mapping[bytes, bytes]

#: Name of this door in the log and the metrics.
DOOR = "webhooks"
#: Seconds that a shop waits for an erasure: Shopify gives up after 5, and asks again.
ERASED_WITHIN_S, ASK_AGAIN_S = 4.0, 60
#: What the answer says of a webhook that brought no event.
NOTHING = {"accepted": 0, "duplicates": 0, "rejected": 0, "results": []}

log = get_logger("web")


class Shop(NamedTuple):
    """A kind of shop."""

    #: Headers, body, secret → whether the secret has signed it.
    is_signed: Callable[[Headers, bytes, str], bool]
    topic_of: Callable[[Headers, Mapping[str, Any]], str]
    translate: Callable[[str, Mapping[str, Any], Source], Outcome]
    #: Whether what is signed was signed too long ago; `None`: the shop does not say when.
    is_old: Callable[[Headers, float], bool] | None = None


#: `kind` of a source → who posts to it.
SHOPS = {
    "shopify": Shop(shopify.is_signed, shopify.topic_of, shopify.translate),
    "woocommerce": Shop(woocommerce.is_signed, woocommerce.topic_of, woocommerce.translate),
    "stripe": Shop(stripe.is_signed, stripe.topic_of, stripe.translate, stripe.is_old),
}
#: What the signature of a source that is not there is held against.
NOBODYS = (secrets.token_hex(32),)


async def post_webhook(request: Request) -> Json:
    """Take what a shop tells. Whatever it has signed is answered 200, or it would send it for ever."""
    service: Service = request.state.service
    effective, scope = service.effective, request.scope
    headers = dict(scope["headers"])
    limit = effective.settings.server.max_body_bytes
    with Reading(scope, request.receive, service.budget, limit, service.pace) as reading:
        raw = await reading.plain({name: value for name, value in headers.items() if name != b"content-encoding"})
        if woocommerce.is_ping(raw):  # whatever the source: the answer tells nothing
            return Json(NOTHING)
        source = effective.settings.sources.get(request.path_params["source"])
        shop = SHOPS.get(source.kind) if source is not None else None
        signed = _is_signed(shop, source, headers, raw)
        if source is None or shop is None or not signed:
            raise RequestRefused(
                401, "bad_signature", "no such source, or not signed with its secret: nothing was stored"
            )
        if shop.is_old is not None and shop.is_old(headers, time.time()):
            raise RequestRefused(401, "old_signature", "signed more than 5 minutes ago: a copy, or a clock is wrong")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise RequestRefused(415, "unsupported_encoding", "a webhook is signed as it is: no Content-Encoding")
        body = read_body(raw, JSON, "", max_bytes=limit, max_events=1)
        told = body.events[0]
        if not isinstance(told, dict):
            raise RequestRefused(400, "malformed_json", "the body is to be one JSON object")
        topic = shop.topic_of(headers, told)
        outcome = shop.translate(topic, told, source)
        return Json(await _do(service, effective, source, scope, outcome, odd=body.odd))


def _is_signed(shop: Shop | None, source: Source | None, headers: Headers, raw: bytes) -> bool:
    """By any of its secrets. All are tried, so that the time says nothing of which."""
    is_signed = (shop or SHOPS["shopify"]).is_signed
    trusted = source.signing_secrets if source is not None and shop is not None else NOBODYS
    found = [is_signed(headers, raw, secret) for secret in trusted]
    return any(found)


async def _do(
    service: Service, effective: Effective, source: Source, scope: Scope, outcome: Outcome, *, odd: bool
) -> dict[str, Any]:
    """Do what a webhook comes to. Returns the answer."""
    match outcome:
        case Orders(events):
            return await service.accept(effective, Body(list(events), odd), source, DOOR, scope)
        case Erase(user_data):
            return await _erase(service, source, scope, user_data)
        case Asked(what, event_ids, message):
            log.warning(
                "privacy_requested",
                code=what,
                message=message,
                event_ids=event_ids[:IDS],
                source=source.name,
                request_id=request_id(scope),
            )
            return NOTHING
        case Unused(code, message):
            return _unused(service, source, scope, code, message)


def _unused(service: Service, source: Source, scope: Scope, code: str, message: str) -> dict[str, Any]:
    service.metrics.webhook_unused(source.name, code)
    if count := service.seldom.count("webhook_unused", code, source.name):
        log.info(
            "webhook_unused", code=code, message=message, source=source.name, count=count, request_id=request_id(scope)
        )
    return {**NOTHING, "unused": {"code": code, "message": message}}


async def _erase(service: Service, source: Source, scope: Scope, user_data: Mapping[str, Any]) -> dict[str, Any]:
    """Erase a customer: a 200 says that it is done.

    An erasure that takes longer than the shop waits goes on behind a 503, after which the shop asks again, and finds it
    done; so it is done even if this process ends before.
    """
    try:
        about = read_about({"user_data": user_data}, service.outbox.key, source.default_country, consent=False)
    except RequestRefused as refused:
        return _unused(service, source, scope, refused.code, "the webhook names nobody in a way that can be read")
    work = service.in_background(erase_person(service, about.pseudonyms, source.name))
    done, _ = await asyncio.wait({work}, timeout=ERASED_WITHIN_S)
    if not done:
        raise Later(503, "still_erasing", "the erasure goes on: ask again", ASK_AGAIN_S)
    return {**NOTHING, "erased": {"events": work.result().events}}
