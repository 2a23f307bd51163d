"""`POST /v1/consent` and `DELETE /v1/users`: what people say of their consent outside of events, and their erasure."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.delivery.ends import Ended
from gateway.delivery.stopping import stop_all
from gateway.ingest.about import About, read_about, read_object
from gateway.ingest.draft import BrowserHints
from gateway.ingest.gate import parse_consent
from gateway.ingest.pipeline import faults
from gateway.ingest.problem import RequestRefused
from gateway.insight.receipt import receipt
from gateway.log import get_logger
from gateway.model.delivery import State
from gateway.model.errors import Fault
from gateway.outbox import people, standing
from gateway.outbox.erasure import Erased, erase
from gateway.privacy.withdrawal import Denial, Said, said
from gateway.web.body import Reading, Receive
from gateway.web.browser import MAX_BYTES, body_type, browser_hints, cors_of, may_use, preflight, query_key
from gateway.web.cookies import ended, visitor_of
from gateway.web.doors import content_type
from gateway.web.keys import Kind, key_in
from gateway.web.problem import ANSWER_HEADERS, JSON, Headers, Send, send_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from gateway.config import Source
    from gateway.web.service import Effective, Service

#: Why a grant from a browser does nothing: who knows somebody's address could take their denial back.
GRANT_IGNORED = Fault("/consent", "grant_ignored", "with a public key only denials count; grant from your server")

log = get_logger("people")
_encode = msgspec.json.Encoder().encode


async def post_consent(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Remember what a person says of their consent, and stop what still waits and may not go any more."""
    effective = service.effective
    pairs: Headers = list(scope["headers"])
    headers = dict(pairs)
    cors = cors_of(service, headers)
    if scope["method"] == "OPTIONS":
        await preflight(send, cors)
        return
    scope[ANSWER_HEADERS] = cors
    limit = min(effective.settings.server.max_body_bytes, MAX_BYTES)
    with Reading(scope, receive, service.budget, limit, service.pace) as reading:
        body = read_object(await reading.plain(headers), body_type(headers), limit)
        own = body.pop("key", None)
        key = key_in(headers) or query_key(scope) or (own.encode("utf-8", "replace") if isinstance(own, str) else None)
        source, kind = effective.keys.any_source(key)
        origin = headers.get(b"origin", b"").decode("latin-1").lower()
        if kind is Kind.PUBLIC and not may_use(origin, source.origins):
            raise RequestRefused(403, "origin_not_allowed", "this origin is not among the source's origins")
        hints = browser_hints(pairs, None, ()) if kind is Kind.PUBLIC else BrowserHints()
        body = _with_visitor(body, visitor_of(source.browser, hints.cookies))
        about = read_about(body, service.outbox.key, source.default_country, consent=True)
        answer = await _remember(service, effective, about, source, public=kind is Kind.PUBLIC, gpc=hints.gpc)
    # the id ends with the consent: what comes after a new one is not held by what was denied before it
    seen = effective.door.gate.consent_of(about.consent, hints, source, time.time())
    over = ended(source.browser, hints.cookies, ids=not seen.click_ids)
    await send_json(send, 200, JSON, _encode(answer), [*cors, *over])


def _with_visitor(body: dict[str, Any], visitor: str | None) -> dict[str, Any]:
    """The body with the visitor whom the request's cookie names, unless it names one itself."""
    who = body.get("user_data", {})
    if visitor is None or not isinstance(who, dict) or "anonymous_id" in who:
        return body
    return {**body, "user_data": {**who, "anonymous_id": visitor}}


async def _remember(
    service: Service, effective: Effective, about: About, source: Source, *, public: bool, gpc: bool
) -> dict[str, Any]:
    now, gate = time.time(), effective.door.gate
    vendors = {name: one.vendor for name, one in gate.requirements.items()}
    heard = said(parse_consent(about.consent, gpc=gpc), vendors, now, needs_gpc=gate.policy.needs_gpc)
    warnings = [*about.warnings]
    if not (heard.denies or heard.grants):
        raise RequestRefused(422, "no_signal", "/consent: neither grants nor denies anything")
    if public:
        if heard.grants:
            warnings.append(GRANT_IGNORED)
        if not heard.denies:
            raise RequestRefused(422, "denials_only", "with a public key only denials count")
        heard = Said(heard.denied, opted_out=heard.opted_out or None, to=heard.to)
    left, stopped = await carry_out(service, effective, about.pseudonyms, heard, now)
    log.info("consent_said", source=source.name, count=stopped)
    told_warnings = faults(warnings)
    if public:  # what was known of the person before, and what waits, is nothing for a browser
        return {"remembered": told(Denial().after(heard)), "warnings": told_warnings}
    return {"remembered": told(left), "stopped": stopped, "warnings": told_warnings}


async def carry_out(
    service: Service, effective: Effective, whos: Sequence[int], heard: Said, now: float
) -> tuple[Denial | None, int]:
    """Remember what a person says of their consent, and stop what waits and may no longer go.

    Returns what is denied from now on, and how many deliveries were stopped.
    """
    outbox, gate, stopped = service.outbox, effective.door.gate, Counter[tuple[str, str]]()
    async with service.one_person:
        left = await outbox.write(lambda db: people.remember(db, whos, heard, now))
        if heard.denies:
            seqs = await outbox.read(lambda db: people.events_about(db, whos, after=standing.first_open(db)))
            stopped = await stop_all(outbox, gate, seqs, now)
    for (instance, reason), count in stopped.items():
        service.metrics.ended(Ended(instance, State.CANCELLED, reason, count))
    return left, stopped.total()


def told(denial: Denial | None) -> dict[str, Any]:
    """A denial as the answer says it."""
    denial = denial or Denial()
    to = {name: sorted(flags) for name, flags in sorted(denial.to.items())}
    return {"denied": sorted(denial.denied), "opted_out": denial.opted_out, "destinations": to}


async def delete_users(service: Service, scope: Scope, receive: Receive, send: Send) -> None:
    """Erase a person; answered with the receipt once everything is gone."""
    effective = service.effective
    headers = dict(scope["headers"])
    source = effective.keys.may_erase(key_in(headers))
    limit = min(effective.settings.server.max_body_bytes, MAX_BYTES)
    with Reading(scope, receive, service.budget, limit, service.pace) as reading:
        body = read_object(await reading.plain(headers), content_type(headers), limit)
        country = source.default_country if source is not None else None
        about = read_about(body, service.outbox.key, country, consent=False, also=("linked",))
        linked = about.rest.get("linked", False)
        if not isinstance(linked, bool):
            raise RequestRefused(422, "wrong_type", "/linked: expected a boolean")
        erased = await erase_person(service, about.pseudonyms, source.name if source is not None else "", linked=linked)
    answer = {**receipt(erased, effective.settings), "warnings": faults(about.warnings)}
    await send_json(send, 200, JSON, _encode(answer), [(b"cache-control", b"no-store")])


async def erase_person(service: Service, whos: Sequence[int], source: str, *, linked: bool = False) -> Erased:
    """Erase the person with these pseudonyms, one person at a time. `source`: who asks; empty: the operator."""
    async with service.one_person:
        erased = await erase(service.outbox, whos, time.time(), linked=linked)
    sent = sorted(name for name, held in erased.destinations.items() if held.delivered or held.unsure)
    log.info("person_erased", count=erased.events, source=source, instances=sent)
    return erased
