"""Snapchat Conversions API. Verified against v3, 2026-11.

Docs: https://developers.snap.com/api/marketing-api/Conversions-API/Parameters
Types come from the OpenAPI file of Snap's own SDK (github.com/Snapchat/business-sdk-v3-java, 2025-05) where the
documentation is silent. The API resembles Meta's and differs in the details.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from gateway.plugin import (
    Batch,
    Destination,
    Event,
    Field,
    Limits,
    Query,
    Request,
    Response,
    Retry,
    Skip,
    Verdict,
    apply,
    convert,
    hookimpl,
    verdicts,
)

CONFIG = {
    "type": "object",
    "required": ["pixel_id", "access_token"],
    "properties": {
        "pixel_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{1,64}$",
            "description": "The Snap Pixel's id: takes web and offline events.",
        },
        "access_token": {
            "type": "string",
            "minLength": 1,
            "writeOnly": True,
            "description": "Conversions API token of the organisation that owns the pixel (from Business details).",
        },
        "snap_app_id": {
            "type": "string",
            "pattern": "^[A-Za-z0-9._-]{1,64}$",
            "description": "The Snap App ID: takes app events, which are skipped without it.",
        },
        "date_of_birth": {
            "type": "boolean",
            "default": False,
            "description": "Send the hashed date of birth as `db`: documented by partners, unknown to Snap's SDK.",
        },
        "travel": {
            "type": "boolean",
            "default": False,
            "description": "Send the travel keys of custom_data (`destination_airport`, `checkin_date`, `city` …). "
            "They are about the trip: turn it on only if no site puts the customer's own address there.",
        },
        "custom_fields": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "Further keys of custom_data to send, as text, under Snap's `custom_fields`.",
        },
    },
}

# Lead has no name of its own; SIGN_UP is what Snap's own server tag sends for it. RESERVE for Schedule is our choice.
# fmt: off
NAMES = {
    "PageView": "PAGE_VIEW", "ViewContent": "VIEW_CONTENT", "ViewCategory": "LIST_VIEW", "Search": "SEARCH",
    "AddToCart": "ADD_CART", "AddToWishlist": "ADD_TO_WISHLIST", "InitiateCheckout": "START_CHECKOUT",
    "AddPaymentInfo": "ADD_BILLING", "Purchase": "PURCHASE", "Lead": "SIGN_UP", "CompleteRegistration": "SIGN_UP",
    "Login": "LOGIN", "Subscribe": "SUBSCRIBE", "StartTrial": "START_TRIAL", "Share": "SHARE", "Schedule": "RESERVE",
    "AdClick": "AD_CLICK", "AdView": "AD_VIEW", "AppInstall": "APP_INSTALL", "AppOpen": "APP_OPEN",
    # Custom names that Snap knows.
    "TutorialComplete": "COMPLETE_TUTORIAL", "LevelComplete": "LEVEL_COMPLETE", "Achievement": "ACHIEVEMENT_UNLOCKED",
    "SpendCredits": "SPENT_CREDITS",
}
# fmt: on
# All that `events` in gateway.toml may map to.
EVENTS = frozenset(NAMES.values()) | {"SAVE", "INVITE", "RATE"} | {f"CUSTOM_EVENT_{number}" for number in range(1, 6)}
# The three native values. Everything that is neither site nor app is offline; Snap lists phone, chat and e-mail there.
ACTION_SOURCES = {"website": "WEB", "app": "MOBILE_APP"}

# Match key → Snap's key in user_data, and the rule of its digests.
MATCH_KEYS = {
    "email": ("em", "email_plain"),
    "phone": ("ph", "phone_digits"),
    "first_name": ("fn", "name_spaced"),
    "last_name": ("ln", "name_spaced"),
    "gender": ("ge", "gender_fm"),
    "city": ("ct", "city_compact"),
    "state": ("st", "state_code"),
    "zip": ("zp", "zip_us5"),
    "country": ("country", "country_lower"),
}
MORE_DIGESTS = {"external_id": "id_trimmed", "date_of_birth": "date_yyyymmdd"}


def one_external_id(event: Event) -> tuple[str, ...] | None:
    """The SDK has one string, connectors a list: a list with one entry reads as both."""
    found = event.digests.get("external_id")
    return found[:1] if found else None


def joined(key: str) -> Callable[[Event], str | None]:
    """One text of several: the OpenAPI type of what connectors send as lists."""
    return lambda event: convert.joined(found) if (found := event.custom_data.get(key)) else None


def same(group: str, keys: str, as_: Callable[[Any], Any] = convert.text, many: bool = False) -> tuple[Field, ...]:
    """What Snap calls as we do."""
    return tuple(Field(f"{group}.{key}", f"{group}.{key}", as_=as_, many=many) for key in keys.split())


def tracking(event: Event) -> int:
    """Whether tracking is allowed: as told, else by ATT's status; never claimed for iOS, where it takes a yes."""
    told, status = event.app.get("advertiser_tracking_enabled"), str(event.app.get("att_status")).lower()
    if event.limited or told in (False, 0) or status in ("denied", "restricted"):
        return 0
    return int(told in (True, 1) or status == "authorized" or convert.mobile_system(event) == "android")


URL = convert.matching(r"(?i:https?)://\S+")

CONTENT = (
    Field("id", "id", required=True, as_=convert.text),
    # Snap's OpenAPI has quantity and price of an item as strings.
    Field("quantity", "quantity", as_=convert.decimal_text),
    Field("item_price", "item_price", as_=convert.decimal_text),
    Field("delivery_category", "delivery_category", as_=convert.text),
    Field("brand", "brand", as_=convert.text),
)
FIELDS = (
    Field("event_time", "event_time", required=True, as_=int),  # seconds
    Field("event_id", "event_id", required=True),  # the dedup key, `client_dedup_id` of the pixel; 48 h
    Field("event_source_url", "event_source_url", as_=URL),  # keeps ScCid: Snap reads the click id out of it
    *(Field(f"user_data.{name}", f"digests.{key}", many=True) for key, (name, _) in MATCH_KEYS.items()),
    Field("user_data.external_id", one_external_id, many=True),
    Field("user_data.client_ip_address", "user_data.client_ip_address"),
    Field("user_data.client_user_agent", "user_data.client_user_agent"),
    Field("user_data.sc_click_id", "user_data.sc_click_id"),
    Field("user_data.sc_cookie1", "user_data.sc_cookie1"),
    Field("user_data.madid", "user_data.madid", as_=convert.madid),  # not hashed in v3
    Field("user_data.idfv", "user_data.idfv"),
    Field("user_data.lead_id", "user_data.snap_lead_id", as_=convert.text),
    Field("user_data.anon_id", "user_data.anonymous_id", many=True, as_=convert.text),
    *same("user_data", "subscription_id partner_id"),
    Field("custom_data.currency", "custom_data.currency", as_=str.upper),
    Field("custom_data.value", "custom_data.value", as_=convert.number),
    Field("custom_data.predicted_ltv", "custom_data.predicted_ltv", as_=convert.number),
    Field("custom_data.num_items", "custom_data.num_items", as_=convert.whole),
    Field("custom_data.order_id", "custom_data.order_id", as_=convert.text),  # second dedup key of purchases, 30 days
    Field("custom_data.content_ids", convert.content_ids, many=True, as_=convert.text),
    Field("custom_data.contents", "custom_data.contents", each=CONTENT),
    Field("custom_data.content_category", joined("content_category")),
    Field("custom_data.brands", joined("content_brand")),
    *same("custom_data", "content_name content_type search_string sign_up_method status delivery_category event_tag"),
)
APP = (
    Field("app_data.app_id", lambda event: event.app.get("id") or event.app.get("package_name"), as_=convert.text),
    Field("app_data.campaign_ids", lambda event: convert.joined(event.app.get("campaign_ids"))),
    Field("app_data.install_referrer", "app.install_referrer"),
    Field("app_data.installer_package", "app.installer_package"),
    Field("app_data.url_schemes", "app.url_schemes", many=True),
    Field("app_data.extinfo", convert.extinfo, many=True),
    Field("app_data.advertiser_tracking_enabled", tracking),
)
BIRTH = (Field("user_data.db", "digests.date_of_birth"),)
TRAVEL = (
    *same("custom_data", "num_adults num_children num_infants", convert.whole),
    *same("custom_data", "preferred_star_ratings preferred_neighborhoods suggested_destinations", many=True),
    *same("custom_data", "suggested_hotels destination_ids", many=True),
    *same("custom_data", "checkin_date travel_start travel_end origin_airport destination_airport hotel_score"),
    *same("custom_data", "departing_departure_date departing_arrival_date"),
    *same("custom_data", "returning_departure_date returning_arrival_date"),
    *same("custom_data", "city region country neighborhood postal_code"),
)
# Each combination once: (app event, date_of_birth, travel) → rows.
TABLES = {
    chosen: tuple(
        row for rows, on in zip((FIELDS, APP, BIRTH, TRAVEL), (True, *chosen), strict=True) if on for row in rows
    )
    for chosen in product((False, True), repeat=3)
}


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one Snap event; `Skip` when a field or an identity that Snap requires is missing."""
    name, source = event.platform_name.upper(), ACTION_SOURCES.get(event.action_source, "OFFLINE")
    if name not in EVENTS:
        return Skip("unsupported", "event_name", "Snapchat has no such event; map it in `events` to CUSTOM_EVENT_1 … 5")
    if event.event_name == "Refund" and name == "PURCHASE":
        return Skip("unsupported", "event_name", "Snapchat takes no refunds; it would count as a purchase")
    is_app = source == "MOBILE_APP"
    if is_app and not config.get("snap_app_id"):
        return Skip("unsupported", "action_source", "app events need `snap_app_id` in the configuration")
    if is_app and convert.mobile_system(event) is None:
        return Skip("missing_field", "app.os", "an app event needs `ios` or `android`")
    table = TABLES[is_app, config["date_of_birth"], config["travel"]]
    item: dict[str, Any] | Skip = apply(table, event, event_name=name, action_source=source)
    if isinstance(item, Skip):
        return item
    if config["custom_fields"] and (fields := custom_fields(event, config["custom_fields"])):
        item.setdefault("custom_data", {})["custom_fields"] = fields
    if event.limited or (is_app and not item["app_data"]["advertiser_tracking_enabled"]):
        item["data_processing_options"] = ["LMU"]
    return missing(item, event) or item


def custom_fields(event: Event, keys: Sequence[str]) -> dict[str, str]:
    """The site's own keys that the operator named, as text."""
    found = {key: convert.joined(event.custom_data.get(key)) for key in keys}
    return {key: value for key, value in found.items() if value}


def missing(item: Mapping[str, Any], event: Event) -> Skip | None:
    """What Snap requires of this item and it does not have.

    https://developers.snap.com/api/marketing-api/Conversions-API/Parameters
    """
    user_data, custom_data = item.get("user_data", {}), item.get("custom_data", {})
    is_app = item["action_source"] == "MOBILE_APP"
    if is_app and "app_id" not in item["app_data"]:
        return Skip("missing_field", "app.id", "the store's number (iOS) or the package (Android)")
    if item["action_source"] == "WEB" and "event_source_url" not in item:
        return Skip("invalid_field" if event.event_source_url else "missing_field", "event_source_url")
    for key in ("value", "currency") if item["event_name"] == "PURCHASE" else ():
        if key not in custom_data:
            return Skip("missing_field", f"custom_data.{key}")
    by_browser = "client_ip_address" in user_data and "client_user_agent" in user_data
    if by_browser or "em" in user_data or "ph" in user_data or (is_app and "madid" in user_data):
        return None
    return Skip(
        "no_identity", "user_data", "Snap needs email, phone, madid (apps), or IP address and user agent together"
    )


def group_key(event: Event, config: Mapping[str, Any]) -> str:
    """The configuration key of the asset that takes the event: app events and others cannot share a request."""
    return "snap_app_id" if event.action_source == "app" else "pixel_id"


def build_request(batch: Batch, config: Mapping[str, Any]) -> Request:
    """Test events go to `/validate`: same body, nothing is counted."""
    url = f"https://tr.snapchat.com/v3/{config[batch.group]}/events"
    return Request("POST", f"{url}/validate" if batch.test else url, json={"data": list(batch)})


def classify(response: Response, n: int) -> Verdict | Sequence[Verdict]:
    """The body's `status` decides: `INVALID` comes with HTTP 200 too.

    Whether Snap keeps the valid events of an invalid request is not documented: none is taken for kept, the batch is
    halved and `event_id` deduplicates. Only `/validate` is believed event by event.
    """
    status = response.find("status")
    if 200 <= response.status < 300 and (each := _validated(response, n)):
        return each
    if 200 <= response.status < 300 and status == "VALID":
        return verdicts.delivered()
    if response.status == 400 or (200 <= response.status < 300 and status == "INVALID"):
        return verdicts.refused(*_fault(response.json, f"http_{response.status}"), n)
    if 200 <= response.status < 300:
        return verdicts.retry("unreadable_answer", verdicts.shorten(response.find("reason")), tries=2)
    verdict = verdicts.by_status(response, n)
    return replace(verdict, after_s=1) if response.status == 429 else verdict


def _validated(response: Response, n: int) -> list[Verdict] | None:
    """`/validate`: one verdict for each event; its log counts events from 1."""
    logs = response.find("event_logs")
    if response.find("test_event") is not True or not isinstance(logs, list):
        return None
    by_number = {log.get("event"): log for log in logs if isinstance(log, Mapping) and type(log.get("event")) is int}
    if set(by_number) != set(range(1, n + 1)):
        return None
    return [
        verdicts.delivered() if log.get("status") == "VALID" else verdicts.reject(*_fault(log, "INVALID"))
        for _, log in sorted(by_number.items())
    ]


def _fault(said: Any, otherwise: str) -> tuple[str, str]:
    """Code and words of a refusal. Snap publishes no list of codes."""
    body = said if isinstance(said, Mapping) else {}
    errors = body.get("errors")
    errors = errors if isinstance(errors, Mapping) else {}
    codes, words = convert.joined(errors.get("codes")), convert.joined(errors.get("error_msgs"))
    return (codes or otherwise)[:100], verdicts.shorten(words or body.get("reason"))


def probe(config: Mapping[str, Any], now: int) -> Request:
    """A synthetic page view, to `/validate`."""
    visitor = {"client_ip_address": "203.0.113.1", "client_user_agent": "conversions-gateway probe"}
    event = {"event_name": "PAGE_VIEW", "action_source": "WEB", "event_time": now, "event_id": f"probe-{now}"}
    item = {**event, "event_source_url": "https://example.com/", "user_data": visitor}
    return build_request(Batch.of([item], group="pixel_id", test=True), config)


SNAPCHAT = Destination(
    name="snapchat",
    api_version="v3",
    docs="https://developers.snap.com/api/marketing-api/Conversions-API/Parameters",
    config_schema=CONFIG,
    names=NAMES,
    limited=frozenset({"US"}),
    digests={key: rule for key, (_, rule) in MATCH_KEYS.items()} | MORE_DIGESTS,
    auth=Query("access_token", "access_token"),
    # 2000 events a request are said to be taken, 500 halve faster. 1000 requests a second is Snap's advice for the
    # long-lived token; an OAuth token has 10. 7 days: the parameter page (the introduction says 37).
    limits=Limits(batch=500, rate=1000, max_age_s=7 * 86400),
    # No Retry-After and no rate headers. After 48 h a repeat counts again.
    retry=Retry(first_s=1, factor=2, max_s=600, give_up_s=47 * 3600, unseen_s=47 * 3600),
    map_event=map_event,
    build_request=build_request,
    classify=classify,
    group_key=group_key,
    accepts_test=lambda config: True,
    probe=probe,
)


@hookimpl
def register_destinations() -> list[Destination]:
    """The one destination of this file."""
    return [SNAPCHAT]
