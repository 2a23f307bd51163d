"""What of an event is remembered for later ones of the same visitor: only what consent left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.ingest.join import gives_consent
from gateway.privacy.visits import FIELDS, UNANSWERED, Told, Visit, refuses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ingest.draft import Draft, Setup
    from gateway.privacy.visits import Memory


def visit_of(draft: Draft, user_data: Mapping[str, Any], setup: Setup) -> Visit | None:
    """What the event adds to what is remembered of its visitor; `None` for nothing. `user_data`: as it is to be stored.

    What joined the event is told again under its other ids, with the time and the source that it came from. A no is
    heard through whatever source, and so is whose visit it was.
    """
    if not draft.visit_keys:
        return None
    anonymous = draft.routing is None or draft.routing.anonymous
    remembers = draft.source.name in setup.remembering and not anonymous and draft.denial is None
    told = told_by(draft, user_data, setup.withheld) if remembers else {}
    return visit(draft, setup, told, nobody=anonymous)


def visit(draft: Draft, setup: Setup, told: Memory, *, nobody: bool) -> Visit | None:
    """The visit, with what was said of consent if that was a no; `None` if it adds nothing. `nobody`: may have it."""
    said_no = refuses(draft.seen.stored) and not draft.unanswered
    if draft.unanswered:
        told = {**told, UNANSWERED: Told(dict(draft.seen.stored), draft.event_time, draft.source.name)}
    elif said_no:
        at = draft.joined["consent"].at if "consent" in draft.joined else draft.event_time
        told = {**told, "consent": Told(dict(draft.seen.stored), at, draft.source.name)}
    if not told and not draft.joined:
        return None
    return Visit(
        keys=draft.visit_keys,
        told=told,
        received_at=draft.received_at,
        retention_s=setup.visit_retention_s,
        order_retention_s=setup.order_retention_s,
        people=draft.people,
        forget_clicks=said_no and not draft.seen.click_ids,
        forget_everything=said_no and nobody,
        keyring=setup.gate.keyring,
    )


def told_by(draft: Draft, user_data: Mapping[str, Any], withheld: frozenset[str]) -> Memory:
    """What an event tells of its visitor's browser, without what no destination is sent."""
    at, source, seen = draft.event_time, draft.source.name, draft.seen
    found: dict[str, Any] = {f"user_data.{key}": user_data[key] for key in FIELDS if key in user_data}
    if not found and not gives_consent(seen.stored):
        return {}
    if draft.action_source == "website" and draft.event_source_url is not None:
        found["event_source_url"] = draft.event_source_url
    if seen.stored and not draft.unanswered:
        found["consent"] = dict(seen.stored)
    elif seen.region:
        found["region"] = seen.region  # the source's: no visitor has said it
    memory = {}
    for path, value in found.items():
        if path in withheld or path.partition(".")[0] in withheld:
            continue
        joined = draft.joined.get(path)
        memory[path] = Told(value, at, source) if joined is None else Told(value, joined.at, joined.source)
    return memory
