"""What a site says of a person outside of events (`identify`): remembered as digests, under consent, for a time.

It joins later events of the same person as a visit does: see `gateway.ingest.join`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.ingest.draft import Draft
from gateway.ingest.enrich import enrich
from gateway.ingest.join import gives_consent
from gateway.ingest.validate import validate
from gateway.ingest.visiting import told_by, visit
from gateway.model.errors import EventInvalid, Fault
from gateway.privacy.hashing import DigestPlan, hash_user_data
from gateway.privacy.identity import pseudonyms
from gateway.privacy.visits import DIGESTS, Memory, Told, Visit, keys_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Source
    from gateway.ingest.draft import BrowserHints, Setup
    from gateway.privacy.hashing import Hashed
    from gateway.privacy.visits import Key

#: Stands for the event's name in the schema; no destination gets it.
NAME = "Identify"
#: What is to be said of whom.
NOBODY = Fault("/user_data", "no_identifier", "names nobody: give one of anonymous_id, external_id or email")


class Identified(NamedTuple):
    """What a site said of a person, ready to be remembered; or why it is not."""

    draft: Draft
    #: `None` where consent does not allow it.
    visit: Visit | None
    #: Whether it says anything of consent.
    consents: bool = False
    errors: tuple[Fault, ...] = ()


def identify(
    raw: Any, source: Source, setup: Setup, now: float, *, hints: BrowserHints | None = None, odd: bool = False
) -> Identified:
    """Read one: canonical `user_data`, `consent`, `context`, `event_time`, and no name."""
    if isinstance(raw, Fault):
        return Identified(Draft({}, source, now), None, errors=(raw,))
    draft = Draft(
        {**raw, "event_name": NAME, "event_id": NAME} if isinstance(raw, dict) else raw, source, now, hints, odd
    )
    try:
        validate(draft, setup)
        enrich(draft, setup)
    except EventInvalid as error:
        return Identified(draft, None, errors=error.faults)
    if setup.visits is None:
        raise RuntimeError("nothing is remembered without an outbox")
    key = setup.visits.key
    draft.visit_keys = keys_of(draft.raw, key, source.dedup_group or "", source.dedup_scope, source.default_country)
    if not draft.visit_keys:
        return Identified(draft, None, errors=(NOBODY,))
    hashed = hash_user_data(draft.user_data, _every_rule(), source.default_country)
    draft.warnings = [*draft.warnings, *(one for one in hashed.warnings if one.code != "prehashed_phone")]
    draft.people = pseudonyms(key, hashed.digests)
    if setup.recall is not None:
        draft.denial = setup.recall.denial(draft.people)
    return Identified(draft, _visit(draft, hashed, setup), gives_consent(draft.seen.stored))


def _visit(draft: Draft, hashed: Hashed, setup: Setup) -> Visit | None:
    forbidden = setup.gate.forbids_all(draft)
    if forbidden or draft.denial is not None:
        return visit(draft, setup, {}, nobody=forbidden)
    told = {**told_by(draft, hashed.rest, setup.withheld), **_digests(draft, hashed, setup)}
    return visit(draft, setup, told, nobody=False)


def _digests(draft: Draft, hashed: Hashed, setup: Setup) -> Memory:
    by_key: dict[str, dict[str, list[str]]] = {}
    for label, made in hashed.digests.items():
        by_key.setdefault(label.partition(":")[0], {})[label] = list(made)
    return {
        f"{DIGESTS}{key}": Told(_said(key, made, draft.visit_keys), draft.event_time, draft.source.name)
        for key, made in by_key.items()
        if not setup.withheld & {"user_data", f"user_data.{key}"}
    }


def _said(key: str, made: Mapping[str, list[str]], keys: Sequence[Key]) -> dict[str, Any]:
    """Digests, and whose they are: a browser may be somebody else's later."""
    whose = [one.who for one in keys if one.kind == key]
    return {"made": made, "who": whose} if whose else {"made": made}


@cache
def _every_rule() -> DigestPlan:
    """A destination that comes later finds what it needs."""
    return DigestPlan.all()
