"""The sixth stage: from here on, personal data in the clear no longer exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.ingest.join import digests_by_plan
from gateway.ingest.misplaced import REMOVED, holds_email
from gateway.privacy.hashing import CLEAR_KEYS, hash_user_data
from gateway.privacy.identity import pseudonyms

if TYPE_CHECKING:
    from gateway.ingest.draft import Draft, Setup

#: Kept as they are for platforms that want them so.
PLACES = tuple(sorted(CLEAR_KEYS))


def digest(draft: Draft, setup: Setup) -> None:
    """Hash the match keys and drop them. Nothing of who it was is kept when nobody may have the event."""
    if draft.routing is not None and draft.routing.anonymous:
        draft.user_data = {}
        return
    for key in PLACES:
        if key in draft.user_data and holds_email(draft.user_data[key]):
            draft.warn(f"/user_data/{key}", *REMOVED)
            del draft.user_data[key]
    hashed = hash_user_data(draft.user_data, setup.plan, draft.source.default_country)
    if draft.joined_digests:
        hashed.digests.update(digests_by_plan(draft, setup.plan.digests))
    if setup.recall is not None:
        draft.people = _people(draft, setup, setup.recall.key, {**draft.joined_digests, **hashed.digests})
    draft.user_data, draft.digests, draft.clear = hashed.rest, hashed.digests, hashed.clear
    draft.warnings.extend(hashed.warnings)


def _people(draft: Draft, setup: Setup, key: bytes, digests: dict[str, tuple[str, ...]]) -> tuple[int, ...]:
    """Whom the event is about, by every rule: what no destination asks for names a person all the same."""
    if setup.unasked.digests.keys().isdisjoint(draft.user_data):
        return pseudonyms(key, digests)
    named = {name: value for name, value in draft.user_data.items() if name in setup.unasked.digests}
    more = hash_user_data(named, setup.unasked, draft.source.default_country).digests
    return tuple(dict.fromkeys((*pseudonyms(key, digests), *pseudonyms(key, more))))
