"""The receipt of an erasure: what went, and which platforms had received the person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.config import Settings
    from gateway.outbox.erasure import Erased


def receipt(erased: Erased, settings: Settings) -> dict[str, Any]:
    """The receipt as JSON-ready values; its shape is in docs/cli.md. It names nobody."""
    known = settings.destinations
    return {
        "erased_at": erased.erased_at,
        "events": erased.events,
        "linked_events": erased.linked_events,
        "pseudonyms": erased.pseudonyms,
        "overwritten": erased.overwritten,
        "destinations": [
            {
                "destination": name,
                "plugin": known[name].destination.name if name in known else "",
                "delivered": held.delivered,
                "unsure": held.unsure,
                "stopped": held.stopped,
                "first_at": held.first_at,
                "last_at": held.last_at,
            }
            for name, held in sorted(erased.destinations.items())
        ],
    }
