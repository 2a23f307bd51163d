"""Snapchat Conversions API. Verified against v3, 2026-11.

Docs: https://developers.snap.com/api/marketing-api/Conversions-API/Parameters
Types come from the OpenAPI file of Snap's own SDK (github.com/Snapchat/business-sdk-v3-java, 2025-05) where the
documentation is silent. The API resembles Meta's and differs in the details.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
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
NAMES = {
    "PageView": "PAGE_VIEW",
    "ViewContent": "VIEW_CONTENT",
    "ViewCategory": "LIST_VIEW",
    "Search": "SEARCH",
    "AddToCart": "ADD_CART",
    "AddToWishlist": "ADD_TO_WISHLIST",
    "InitiateCheckout": "START_CHECKOUT",
    "AddPaymentInfo": "ADD_BILLING",
    "Purchase": "PURCHASE",
    "Lead": "SIGN_UP",
    "CompleteRegistration": "SIGN_UP",
    "Login": "LOGIN",
    "Subscribe": "SUBSCRIBE",
    "StartTrial": "START_TRIAL",
    "Share": "SHARE",
    "Schedule": "RESERVE",
    "AdClick": "AD_CLICK",
    "AdView": "AD_VIEW",
    "AppInstall": "APP_INSTALL",
    "AppOpen": "APP_OPEN",
    # Custom names that Snap knows.
    "TutorialComplete": "COMPLETE_TUTORIAL",
    "LevelComplete": "LEVEL_COMPLETE",
    "Achievement": "ACHIEVEMENT_UNLOCKED",
    "SpendCredits": "SPENT_CREDITS",
}
# All that `events` in gateway.toml may map to.
EVENTS = frozenset(NAMES.values()) | {"SAVE", "INVITE", "RATE"} | {f"CUSTOM_EVENT_{number}" for number in range(1, 6)}

# The three native values. Everything that is neither site nor app is offline; Snap lists phone, chat and e-mail there.
ACTION_SOURCES = {"website": "WEB", "app": "MOBILE_APP"}
PLATFORMS = {"ios": "i2", "ipados": "i2", "android": "a2"}
NO_MADID = "00000000-0000-0000-0000-000000000000"

DIGESTS = {
    "email": "email_plain",
    "phone": "phone_digits",
    "first_name": "name_spaced",
    "last_name": "name_spaced",
    "gender": "gender_fm",
    "date_of_birth": "date_yyyymmdd",
    "city": "city_compact",
    "state": "state_code",
    "zip": "zip_us5",
    "country": "country_lower",
    "external_id": "id_trimmed",
}


def _text(value: Any) -> str | None:
    """A string, or a number as one; nothing else."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return str(value)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise TypeError
    try:
        number = Decimal(str(value).strip())
    except ArithmeticError:
        raise ValueError from None
    if not number.is_finite() or abs(number.adjusted()) > 20:
        raise ValueError
    return number


def _number(value: Any) -> int | float:
    number = _decimal(value)
    return int(number) if number == number.to_integral_value() else float(number)


def _integer(value: Any) -> int:
    number = _number(value)
    if isinstance(number, float):
        raise ValueError
    return number


def _number_text(value: Any) -> str:
    """Snap's OpenAPI has quantity and price of an item as strings."""
    number = _decimal(value)
    return format(number.to_integral_value() if number == number.to_integral_value() else number, "f")


def _joined(value: Any) -> str | None:
    """One value or a list as one comma-joined string, the OpenAPI type of what connectors send as lists."""
    values = value if isinstance(value, list | tuple) else (value,)
    texts = [str(one) for one in values if isinstance(one, str | int | float) and not isinstance(one, bool)]
    return ",".join(text for text in texts if text) or None


def _madid(value: Any) -> str | None:
    text = str(value).strip().lower()
    return None if text == NO_MADID else text or None


def _content_ids(event: Event) -> Any:
    """`content_ids`, or the ids of `contents`."""
    contents = event.custom_data.get("contents")
    entries = contents if isinstance(contents, list | tuple) else ()
    return event.custom_data.get("content_ids") or [entry.get("id") for entry in entries if isinstance(entry, Mapping)]


CONTENT = (
    Field("id", "id", required=True, as_=_text),
    Field("quantity", "quantity", as_=_number_text),
    Field("item_price", "item_price", as_=_number_text),
    Field("delivery_category", "delivery_category", as_=_text),
    Field("brand", "brand", as_=_text),
)
FIELDS = (
    Field("event_time", "event_time", required=True, as_=int),  # seconds
    Field("event_id", "event_id", required=True),  # the dedup key, `client_dedup_id` of the pixel; 48 h
    Field("event_source_url", "event_source_url"),  # keeps ScCid: Snap reads the click id out of it
    Field("user_data.em", "digests.email", many=True),
    Field("user_data.ph", "digests.phone", many=True),
    Field("user_data.fn", "digests.first_name", many=True),
    Field("user_data.ln", "digests.last_name", many=True),
    Field("user_data.ge", "digests.gender", many=True),
    Field("user_data.ct", "digests.city", many=True),
    Field("user_data.st", "digests.state", many=True),
    Field("user_data.zp", "digests.zip", many=True),
    Field("user_data.country", "digests.country", many=True),
    # The SDK has one string, connectors a list: a list with one entry reads as both.
    Field("user_data.external_id", lambda event: event.digests.get("external_id", ())[:1], many=True),
    Field("user_data.client_ip_address", "user_data.client_ip_address", as_=_text),
    Field("user_data.client_user_agent", "user_data.client_user_agent", as_=_text),
    Field("user_data.sc_click_id", "user_data.sc_click_id", as_=_text),
    Field("user_data.sc_cookie1", "user_data.sc_cookie1", as_=_text),
    Field("user_data.madid", "user_data.madid", as_=_madid),  # not hashed in v3
    Field("user_data.idfv", "user_data.idfv", as_=_text),
    Field("user_data.lead_id", "user_data.snap_lead_id", as_=_text),
    Field("user_data.subscription_id", "user_data.subscription_id", as_=_text),
    Field("user_data.partner_id", "user_data.partner_id", as_=_text),
    Field("user_data.anon_id", "user_data.anonymous_id", many=True, as_=_text),
    Field("custom_data.currency", "custom_data.currency", as_=lambda code: str(code).upper()),
    Field("custom_data.value", "custom_data.value", as_=_number),
    Field("custom_data.order_id", "custom_data.order_id", as_=_text),  # second dedup key of purchases, 30 days
    Field("custom_data.content_ids", _content_ids, many=True, as_=_text),
    Field("custom_data.contents", "custom_data.contents", each=CONTENT),
    Field("custom_data.content_name", "custom_data.content_name", as_=_text),
    Field("custom_data.content_type", "custom_data.content_type", as_=_text),
    Field("custom_data.content_category", lambda event: _joined(event.custom_data.get("content_category"))),
    Field("custom_data.brands", lambda event: _joined(event.custom_data.get("content_brand"))),
    Field("custom_data.num_items", "custom_data.num_items", as_=_integer),
    Field("custom_data.search_string", "custom_data.search_string", as_=_text),
    Field("custom_data.sign_up_method", "custom_data.sign_up_method", as_=_text),
    Field("custom_data.status", "custom_data.status", as_=_text),
    Field("custom_data.delivery_category", "custom_data.delivery_category", as_=_text),
    Field("custom_data.predicted_ltv", "custom_data.predicted_ltv", as_=_number),
    Field("custom_data.event_tag", "custom_data.event_tag", as_=_text),
)
BIRTH = (Field("user_data.db", "digests.date_of_birth"),)
TRAVEL_KEYS = {
    "num_adults num_children num_infants": (_integer, False),
    "preferred_star_ratings preferred_neighborhoods suggested_destinations suggested_hotels": (_text, True),
    "destination_ids": (_text, True),
    "checkin_date travel_start travel_end origin_airport destination_airport hotel_score": (_text, False),
    "departing_departure_date departing_arrival_date returning_departure_date returning_arrival_date": (_text, False),
    "city region country neighborhood postal_code": (_text, False),
}
TRAVEL = tuple(
    Field(f"custom_data.{key}", f"custom_data.{key}", as_=as_, many=many)
    for keys, (as_, many) in TRAVEL_KEYS.items()
    for key in keys.split()
)
APP_ID = Field("app_data.app_id", lambda event: event.app.get("id") or event.app.get("package_name"), as_=_text)
INSTALL = (
    Field("app_data.campaign_ids", lambda event: _joined(event.app.get("campaign_ids"))),
    Field("app_data.install_referrer", "app.install_referrer", as_=_text),
    Field("app_data.installer_package", "app.installer_package", as_=_text),
    Field("app_data.url_schemes", "app.url_schemes", many=True, as_=_text),
)
# Sixteen strings in this order, `""` for what is not known; the first is the platform. Limited mode hides the device,
# and INSTALL, where click ids can be.
EXTINFO = ("package_name", "version", "build", "os_version")
EXTINFO_DEVICE = (
    "device_model",
    "locale",
    "timezone_abbreviation",
    "carrier",
    "screen_width",
    "screen_height",
    "screen_density",
    "cpu_cores",
    "storage_gb",
    "free_storage_gb",
    "timezone",
)


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one Snap event; `Skip` when a field or an identity that Snap requires is missing."""
    name = event.platform_name.upper()
    if name not in EVENTS:
        return Skip("unsupported", "event_name", "Snapchat has no such event; map it in `events` to CUSTOM_EVENT_1 … 5")
    source = ACTION_SOURCES.get(event.action_source, "OFFLINE")
    extra = (*(BIRTH if config["date_of_birth"] else ()), *(TRAVEL if config["travel"] else ()))
    item: dict[str, Any] | Skip = apply((*FIELDS, *extra), event, event_name=name, action_source=source)
    if isinstance(item, Skip):
        return item
    _add_custom_fields(item, event, config)
    if event.limited:
        item["data_processing_options"] = ["LMU"]
    if source == "MOBILE_APP" and (skip := _add_app(item, event, config)):
        return skip
    return _missing(item) or item


def _add_custom_fields(item: dict[str, Any], event: Event, config: Mapping[str, Any]) -> None:
    found = {key: _joined(event.custom_data.get(key)) for key in config["custom_fields"]}
    if any(found.values()):
        kept = {key: value for key, value in found.items() if value}
        item.setdefault("custom_data", {})["custom_fields"] = kept


def _add_app(item: dict[str, Any], event: Event, config: Mapping[str, Any]) -> Skip | None:
    """`app_data`, and the limited flag where the user does not allow tracking (ATT)."""
    if not config.get("snap_app_id"):
        return Skip("unsupported", "action_source", "app events need `snap_app_id` in the configuration")
    platform = PLATFORMS.get(str(event.app.get("os")).lower())
    if platform is None:
        return Skip("missing_field", "app.os", "an app event needs `ios` or `android`")
    found = apply((APP_ID,) if event.limited else (APP_ID, *INSTALL), event)
    app_data: Any = {} if isinstance(found, Skip) else found.get("app_data", {})
    if "app_id" not in app_data:
        return Skip("missing_field", "app.id", "the store's number (iOS) or the package (Android)")
    device = [""] * len(EXTINFO_DEVICE) if event.limited else [_known(event, key) for key in EXTINFO_DEVICE]
    app_data["extinfo"] = [platform, *(_known(event, key) for key in EXTINFO), *device]
    app_data["advertiser_tracking_enabled"] = tracking = _tracking(event, platform)
    if not tracking:
        item["data_processing_options"] = ["LMU"]
    item["app_data"] = app_data
    return None


def _tracking(event: Event, platform: str) -> int:
    """Whether tracking is allowed: as told, else by ATT's status; never claimed for iOS, where it takes a yes."""
    told = event.app.get("advertiser_tracking_enabled")
    status = str(event.app.get("att_status", "")).lower()
    if event.limited or told in (False, 0) or status in ("denied", "restricted"):
        return 0
    return int(told in (True, 1) or status == "authorized" or platform == "a2")


def _known(event: Event, key: str) -> str:
    return _joined(event.app.get(key)) or ""


def _missing(item: dict[str, Any]) -> Skip | None:
    """What Snap requires of this item and it does not have.

    https://developers.snap.com/api/marketing-api/Conversions-API/Parameters
    """
    user_data, custom_data = item.get("user_data", {}), item.get("custom_data", {})
    if item["action_source"] == "WEB" and "event_source_url" not in item:
        return Skip("missing_field", "event_source_url")
    for key in ("value", "currency") if item["event_name"] == "PURCHASE" else ():
        if key not in custom_data:
            return Skip("missing_field", f"custom_data.{key}")
    by_browser = user_data.keys() >= {"client_ip_address", "client_user_agent"}
    if not (by_browser or user_data.keys() & {"em", "ph", "madid"}):
        return Skip("no_identity", "user_data", "Snap needs email, phone, madid, or IP address and user agent together")
    return None


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
    return verdicts.by_status(response, n)


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
    codes, words = _joined(errors.get("codes")), _joined(errors.get("error_msgs"))
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
    digests=DIGESTS,
    auth=Query("access_token", "access_token"),
    # 2000 events a request are said to be taken, 500 halve faster. 1000 requests a second is Snap's advice for the
    # long-lived token; an OAuth token has 10. 7 days: the parameter page (the introduction says 37).
    limits=Limits(batch=500, rate=1000, max_age_s=7 * 86400),
    # No Retry-After and no rate headers. After 48 h a repeat counts again.
    retry=Retry(first_s=1, factor=2, max_s=600, unseen_s=47 * 3600),
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
