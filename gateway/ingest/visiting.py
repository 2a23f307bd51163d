"""What of an event is remembered for later ones of the same visitor: only what consent left of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.ingest.join import SIGNALS, gives_consent
from gateway.privacy.consent import PURPOSES
from gateway.privacy.visits import FIELDS, Told, Visit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ingest.draft import Draft, Setup
    from gateway.privacy.visits import Memory


def visit_of(draft: Draft, user_data: Mapping[str, Any], setup: Setup) -> Visit | None:
    """What the event adds to what is remembered of its visitor; `None` for nothing. `user_data`: as it is to be stored.

    What joined the event is told again under its other ids, with the time and the source that it came from.
    """
    if not draft.visit_keys:
        return None
    remembers = draft.source.name in setup.remembering  # a no is heard through whatever source
    said = draft.seen.stored
    anonymous = draft.routing is None or draft.routing.anonymous
    told = {} if not remembers or anonymous or draft.denial is not None else told_by(draft, user_data, setup.withheld)
    said_no = refuses(said)
    if not told and not said_no:
        return None
    return Visit(
        keys=draft.visit_keys,
        told=told,
        received_at=draft.received_at,
        retention_s=setup.visit_retention_s,
        order_retention_s=setup.order_retention_s,
        forget_clicks=said_no and not draft.seen.click_ids,
        forget_everything=said_no and anonymous,
        keyring=setup.gate.keyring,
    )


def refuses(said: Mapping[str, Any]) -> bool:
    """Whether the visitor was asked and has said what they do not want, or may have in a string."""
    return any(said.get(name) == "denied" for name in PURPOSES) or any(
        said.get(name) for name in SIGNALS if name not in PURPOSES
    )


def told_by(draft: Draft, user_data: Mapping[str, Any], withheld: frozenset[str]) -> Memory:
    """What an event tells of its visitor's browser, without what no destination is sent."""
    at, source, seen = draft.event_time, draft.source.name, draft.seen
    found: dict[str, Any] = {f"user_data.{key}": user_data[key] for key in FIELDS if key in user_data}
    if not found and not gives_consent(seen.stored):
        return {}
    if draft.action_source == "website" and draft.event_source_url is not None:
        found["event_source_url"] = draft.event_source_url
    if said := {**seen.stored, **({"region": seen.region} if seen.region else {})}:
        found["consent"] = said
    memory = {}
    for path, value in found.items():
        if path in withheld or path.partition(".")[0] in withheld:
            continue
        joined = draft.joined.get(path)
        memory[path] = Told(value, at, source) if joined is None else Told(value, joined.at, joined.source)
    return memory
