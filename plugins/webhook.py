"""A signed webhook: every event as JSON to an address of your own. Version 1 of the body, 2026-11.

    POST <url>
    X-Gateway-Signature: t=1795000000,v1=<hex HMAC-SHA256(secret, "<t>.<body>")>

    {"version": 1, "events": [{"event_name": "Purchase", "event_id": "order_1", "event_time": 1795000000, …}]}

An event may come again, always with the same `event_name` and `event_id`: the receiver keeps one. Answer 2xx once the
events are safe. The signature's scheme is that of Stripe's webhooks: https://docs.stripe.com/webhooks#verify-manually
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gateway.plugin import (
    Batch,
    Destination,
    Event,
    Field,
    Limits,
    Request,
    Response,
    Retry,
    Signature,
    Skip,
    Verdict,
    apply,
    hookimpl,
    verdicts,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Goes up when a field changes its meaning or goes away; new fields leave it alone.
VERSION = 1


def consent(event: Event) -> dict[str, Any]:
    """The signals that the site reported; those that were not given are left out."""
    return {key: value for key, value in asdict(event.consent).items() if value is not None}


# fmt: off
FIELDS = (
    Field("event_name", "platform_name", required=True),  # the canonical name, unless `events` gives another
    Field("event_id", "event_id", required=True),
    Field("event_time", "event_time", required=True),     # Unix seconds
    Field("action_source", "action_source"),
    Field("region", "region"),                            # what the consent decision went by
    # From here on only if `include` names them.
    Field("event_source_url", "event_source_url"),
    Field("referrer_url", "referrer_url"),
    Field("digests", "digests"),                          # match key → list of SHA-256, hex
    Field("user_data", "user_data"),                      # click ids, IP address, platform ids: in the clear
    Field("custom_data", "custom_data"),
    Field("consent", consent),
    Field("app", "app"),
    Field("messaging", "messaging"),
    Field("original_event", "original_event"),
)
# fmt: on
ALWAYS = ("event_name", "event_id", "event_time", "action_source", "region")
PARTS = tuple(field.to for field in FIELDS if field.to not in ALWAYS)

CONFIG = {
    "type": "object",
    "required": ["url", "secret"],
    "properties": {
        "url": {
            "type": "string",
            "format": "uri",
            "pattern": "^https?://",
            "description": "Where events are posted to. Plain http and private networks need `allow_private`.",
        },
        "secret": {
            "type": "string",
            "minLength": 16,
            "writeOnly": True,
            "description": "Signs each request, so that the receiver knows who sent it. At least 16 characters.",
        },
        "include": {
            "type": "array",
            "items": {"enum": list(PARTS)},
            "uniqueItems": True,
            "default": [part for part in PARTS if part != "user_data"],
            "description": "Parts of an event to send beside name, id, time, source and region. "
            "`user_data` holds click ids, IP address and user agent in the clear.",
        },
    },
}

# Under 4xx an event is at fault, except for these: nobody listens here, or not any more.
STATUSES = {405: verdicts.pause, 410: verdicts.pause}


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one entry of `events`."""
    item = apply(FIELDS, event)
    if isinstance(item, Skip):
        return item
    wanted = (*ALWAYS, *config["include"])
    return {key: value for key, value in item.items() if key in wanted}


def build_request(batch: Batch, config: Mapping[str, Any]) -> Request:
    """One envelope. `"test": true` in it: none of its events is real."""
    return envelope(list(batch), config, test=batch.test)


def envelope(events: list[Any], config: Mapping[str, Any], *, test: bool) -> Request:
    """The request with `events` in it."""
    flag = {"test": True} if test else {}
    return Request("POST", config["url"], json={"version": VERSION, **flag, "events": events})


def classify(response: Response, n: int) -> Verdict:
    """The status alone: what a receiver writes is kept as its words."""
    if maker := STATUSES.get(response.status):
        return maker(f"http_{response.status}", "the address takes no events")
    return verdicts.by_status(response, n)


def probe(config: Mapping[str, Any], now: int) -> Request:
    """A request without events: a receiver that finds the signature good answers 2xx."""
    return envelope([], config, test=True)


WEBHOOK = Destination(
    name="webhook",
    api_version="1",
    docs="https://docs.stripe.com/webhooks#verify-manually",
    config_schema=CONFIG,
    names={},
    custom_names=True,  # every event, under its own name
    purposes={"ad_user_data"},
    # The commonest form of each: one that several ad platforms take.
    digests={
        "email": "email_plain",
        "phone": "phone_e164",
        "external_id": "id_trimmed",
        "first_name": "name_spaced",
        "last_name": "name_spaced",
        "gender": "gender_fm",
        "date_of_birth": "date_yyyymmdd",
        "street": "street_plain",
        "city": "city_compact",
        "state": "state_code",
        "zip": "zip_us5",
        "country": "country_lower",
    },
    auth=Signature("X-Gateway-Signature", "secret"),
    limits=Limits(batch=100, bytes=1_000_000, linger_s=1),
    retry=Retry(first_s=5, factor=3, max_s=3600, give_up_s=3 * 86400),
    accepts_test=lambda config: True,
    map_event=map_event,
    build_request=build_request,
    classify=classify,
    probe=probe,
)


@hookimpl
def register_destinations() -> list[Destination]:
    """The one destination of this file."""
    return [WEBHOOK]
