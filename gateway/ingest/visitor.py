"""The second stage: the id of a browser's visitor, from the gateway's cookie. Only where ids may be kept at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.privacy.visits import refuses

if TYPE_CHECKING:
    from gateway.ingest.draft import Draft, Setup


def recognise(draft: Draft, setup: Setup) -> None:
    """Fill in `anonymous_id`, under the same consent as click ids."""
    hints, raw = draft.hints, draft.raw
    if hints is None or hints.visitor is None:
        return
    if not setup.gate.consent_of(raw.get("consent"), hints, draft.source, draft.received_at).click_ids:
        return
    user_data = raw.get("user_data", {})
    if not user_data.get("anonymous_id"):
        draft.raw = {**raw, "user_data": {**user_data, "anonymous_id": hints.visitor}}


def may_keep(draft: Draft) -> bool | None:
    """Whether the gate lets ids stay on the visitor's device; `None` where nobody has said anything."""
    if draft.seen.click_ids:
        return True
    return False if refuses(draft.seen.stored) else None
