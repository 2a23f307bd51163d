"""The fourth stage: from here on, personal data in the clear no longer exists."""

from __future__ import annotations

from gateway.ingest.draft import Draft, Setup
from gateway.privacy.hashing import hash_user_data


def digest(draft: Draft, setup: Setup) -> None:
    """Hash the match keys and drop them. Nothing of who it was is kept when nobody may have the event."""
    if draft.routing is not None and draft.routing.anonymous:
        draft.user_data = {}
        return
    hashed = hash_user_data(draft.user_data, setup.plan, draft.source.default_country)
    draft.user_data, draft.digests, draft.clear = hashed.rest, hashed.digests, hashed.clear
    draft.warnings.extend(hashed.warnings)
