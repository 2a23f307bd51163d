"""What each destination would be sent, without sending anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gateway.delivery.auth import Signer, encode
from gateway.delivery.claims import Claimer, plugin_bug, read_decision
from gateway.delivery.clock import SystemClock
from gateway.delivery.dispatcher import transport_for
from gateway.ingest.record import read
from gateway.model.delivery import Skip
from gateway.plugin.destination import Batch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.config import Instance, Settings
    from gateway.ingest.pipeline import Door, Taken
    from gateway.model.event import Event


def preview(door: Door, taken: Taken, settings: Settings) -> dict[str, dict[str, Any]]:
    """Instance → `{"request": {method, url, headers, json}}`, secrets redacted, or `{"skipped": {reason, detail}}`."""
    if taken.record is None:
        return {}
    event = read(taken.record.payload, taken.record.clear, door.gate.keyring)
    decided = read_decision(taken.record.decision)
    found = {}
    for name, instance in settings.enabled.items():
        outcome, reason, detail, rule = decided.to[name]
        if outcome not in ("send", "send_limited"):
            found[name] = {"skipped": {"reason": reason, "detail": detail, "rule": rule}}
            continue
        view = Claimer(instance, door.gate).view(event, limited=outcome == "send_limited")
        found[name] = request_for(instance, view) if view is not None else {"skipped": {"reason": "event_not_mapped"}}
    return found


def request_for(instance: Instance, event: Event) -> dict[str, Any]:
    """The request for one event alone, as `preview` shows it. A plugin's mistake is shown as `error`."""
    destination, config = instance.destination, instance.config
    try:
        item = destination.map_event(event, config)
        if isinstance(item, Skip):
            return {"skipped": {"reason": item.reason, "field": item.field, "detail": item.message}}
        group = destination.group_key(event, config) if destination.group_key else None
        request = destination.build_request(Batch.of([item], group=group, test=event.test), config)
        encoded = encode(request)
    except Exception as error:  # shown, not raised: that is what a preview is for
        return {"error": plugin_bug(destination.name, "mapping", error)}
    clock = SystemClock()
    shown = Signer(instance, clock, transport_for(instance)).shown(encoded)
    body: Mapping[str, Any] | None = json.loads(shown.body) if shown.body is not None else None
    return {"request": {"method": shown.method, "url": shown.url, "headers": dict(shown.headers), "json": body}}
