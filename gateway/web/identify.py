"""`identify`, for the doors that have it: what is said of a person is remembered, a change of consent carried out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.ingest.identify import identify as read
from gateway.ingest.pipeline import faults
from gateway.outbox import people, visits
from gateway.privacy.withdrawal import Denial, Said, said
from gateway.web.people import carry_out

if TYPE_CHECKING:
    from gateway.config import Source
    from gateway.ingest.decode import Body
    from gateway.ingest.draft import BrowserHints
    from gateway.ingest.identify import Identified
    from gateway.outbox.engine import Connection
    from gateway.web.service import Effective, Service


async def identify(
    service: Service,
    effective: Effective,
    body: Body,
    source: Source,
    hints: BrowserHints | None = None,
) -> dict[str, Any]:
    """Remember what a body says of people; returns, once it is on disk, an answer of the shape of `Service.accept`'s.

    Each of the body's entries is an event without a name: `user_data`, `consent`, `context`, `event_time`. Consent is
    that person's from now on where a server says so; a page's holds for what the page sends.
    """
    now, setup = effective.door.now(), effective.door.setup
    found = [read(raw, source, setup, now, hints=hints, odd=body.odd) for raw in body.events]
    told = [one for one in found if not one.errors]
    if any(one.visit is not None for one in told):
        await service.outbox.write(lambda db: _remember(db, told))
        service.outbox.visits_were_told()
    if hints is None:
        for one in told:
            if one.consents:
                await _change_of_consent(service, effective, one, now)
    return {
        "accepted": len(told),
        "duplicates": 0,
        "rejected": len(found) - len(told),
        "results": [_result(index, one) for index, one in enumerate(found)],
    }


def _remember(db: Connection, told: list[Identified]) -> None:
    for one in told:
        erased = people.erased_at(db, one.draft.people)
        if one.visit is None or (erased is not None and one.draft.event_time <= erased):
            continue
        withdrawn = people.denial_of(db, one.draft.people) is not None  # since it was read
        visits.remember(db, replace(one.visit, told={}) if withdrawn else one.visit)


async def _change_of_consent(service: Service, effective: Effective, one: Identified, now: float) -> None:
    """Only what changes something: most say the same again."""
    gate = effective.door.gate
    vendors = {name: requirement.vendor for name, requirement in gate.requirements.items()}
    heard = said(one.draft.seen.consent, vendors, now, needs_gpc=gate.policy.needs_gpc)
    if await service.outbox.read(lambda db: _is_news(db, one, heard)):
        await carry_out(service, effective, one.draft.people, heard, now)


def _is_news(db: Connection, one: Identified, heard: Said) -> bool:
    """Whether it changes anything under one of the person's ids, and was not said before what is known of them."""
    changed = people.changed_at(db, one.draft.people)
    if changed is not None and one.draft.event_time <= changed:
        return False
    known = (people.denial_of(db, (who,)) or Denial() for who in one.draft.people)
    return any(denial.after(heard) != denial for denial in known)


def _result(index: int, one: Identified) -> dict[str, Any]:
    if one.errors:
        return {"index": index, "status": "rejected", "errors": faults(one.errors)}
    result: dict[str, Any] = {"index": index, "status": "accepted"}
    return {**result, "warnings": faults(one.draft.warnings)} if one.draft.warnings else result
