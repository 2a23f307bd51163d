"""What the ledger says of an event's consent: each signal that was given. Of a string only what was heard in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.privacy.consent import PURPOSES, STRINGS
from gateway.privacy.signals.heard import hear
from gateway.privacy.signals.tcf import cmp_of

if TYPE_CHECKING:
    from gateway.model.event import Consent

_encode = msgspec.json.Encoder(order="deterministic").encode


def signals(consent: Consent, region: str | None, at: float, *, needs_gpc: bool = True) -> str:
    """As JSON, for an event that came in at `at` (Unix seconds). What was not given is not there."""
    said: dict[str, Any] = {name: value for name in PURPOSES if (value := getattr(consent, name)) is not None}
    if consent.gpc is not None:
        said["gpc"] = consent.gpc
    if region is not None:
        said["region"] = region
    if given := [name for name in STRINGS if getattr(consent, name) is not None]:
        said["strings"] = {"given": given, **_heard(consent, at, needs_gpc)}
    return _encode(said).decode()


def withdrawn(said: str) -> str:
    """The same of a person who has taken consent back outside of events."""
    return _encode({**msgspec.json.decode(said), "withdrawn": True}).decode()


def _heard(consent: Consent, at: float, needs_gpc: bool) -> dict[str, Any]:
    heard = hear(consent, at, needs_gpc=needs_gpc)
    found: dict[str, Any] = {"unread": heard.unread} if heard.unread else {}
    if heard.denied:
        found["denied"] = sorted(heard.denied)
    if heard.opted_out:
        found["opted_out"] = True
    if heard.child:
        found["child"] = True
    made_by = heard.tcf[0].cmp_id if heard.tcf else cmp_of(consent.tcf)
    if made_by is not None:
        found["cmp"] = made_by
    return found
