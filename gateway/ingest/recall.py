"""The last stage before storing: what a person has taken back of their consent holds against what the event says."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.privacy.consent import may_use_click_ids
from gateway.privacy.minimize import address_without_click_ids, without_browser_ids

if TYPE_CHECKING:
    from gateway.ingest.draft import Draft, Setup


def recall(draft: Draft, setup: Setup) -> None:
    """Ask the gate again for somebody who is remembered; what nobody may have or use any more is not stored."""
    if setup.recall is None or not draft.people:
        return
    draft.denial = setup.recall.denial(draft.people)
    if draft.denial is None:
        return
    draft.by_itself, draft.routing = draft.routing, setup.gate.route(draft)
    if draft.routing.anonymous:  # without its person nobody can look the denial up: it stays as the event's own
        draft.user_data, draft.digests, draft.clear, draft.people = {}, {}, {}, ()
        draft.seen = replace(draft.seen, stored=draft.denial.on(draft.seen.stored))
    consent = draft.denial.over(draft.seen.consent, "")
    if not may_use_click_ids(consent, draft.seen.region, setup.gate.policy, draft.received_at):
        draft.seen = replace(draft.seen, click_ids=False)
        draft.user_data = without_browser_ids(draft.user_data)
        draft.event_source_url = address_without_click_ids(draft.event_source_url)
        draft.referrer_url = address_without_click_ids(draft.referrer_url)
