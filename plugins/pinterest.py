"""Pinterest Conversions API. Verified against v5 (OpenAPI 5.23.0), 2025-12.

Docs: https://developers.pinterest.com/docs/track-conversions/track-conversions-in-the-api/
Types and limits: Pinterest's OpenAPI description, github.com/pinterest/api-description, operation `events/create`. Its
schemas are closed: one unknown key costs the whole request, so only what stands in the tables below is sent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.plugin import (
    Batch,
    Bearer,
    Destination,
    Event,
    Field,
    Limits,
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
    "required": ["ad_account_id", "access_token"],
    "properties": {
        "ad_account_id": {
            "type": "string",
            "pattern": "^[0-9]{1,18}$",
            "description": "The ad account's number, digits only.",
        },
        "access_token": {
            "type": "string",
            "minLength": 1,
            "writeOnly": True,
            "description": "Conversion access token from Ads Manager, or an OAuth token with the scope `ads:write`.",
        },
        "ldp_case": {
            "enum": ["lower", "upper"],
            "default": "lower",
            "description": "How state and country of an opted-out visitor are written before hashing: `lower` as in "
            "Pinterest's API reference, `upper` as in the example of its Limited Data Processing guide.",
        },
        "offline_batches": {
            "type": "boolean",
            "default": False,
            "description": "Send offline events together. Pinterest does not deduplicate them: when one is refused "
            "and the rest has to be sent again, that rest may count twice. Off: one event a request.",
        },
        "pin_unauth": {
            "type": "boolean",
            "default": True,
            "description": "Send the hashed `_pin_unauth` cookie as an external id, as Pinterest's shop plugins do.",
        },
    },
}

# Names after AppInstall are not in the OpenAPI list, which is no enum; the developer site or the browser tag has them.
NAMES = {
    "PageView": "page_visit",
    "ViewContent": "view_content",
    "ViewCategory": "view_category",
    "Search": "search",
    "AddToCart": "add_to_cart",
    "AddToWishlist": "add_to_wishlist",
    "InitiateCheckout": "initiate_checkout",
    "AddPaymentInfo": "add_payment_info",
    "Purchase": "checkout",  # the finished order; the start of one is initiate_checkout
    "Lead": "lead",
    "CompleteRegistration": "signup",
    "Subscribe": "subscribe",
    "WatchVideo": "watch_video",
    "AppInstall": "app_install",
    "AppOpen": "app_open",
    "Contact": "contact",
    "CustomizeProduct": "customize_product",
    "FindLocation": "find_location",
    "Schedule": "schedule",
    "StartTrial": "start_trial",
    "SubmitApplication": "submit_application",
    # No name of their own at Pinterest: what the visitor did goes as `custom` …
    "RemoveFromCart": "custom",
    "ViewCart": "custom",
    "AddShippingInfo": "custom",
    "Login": "custom",
    "Donate": "custom",
    "Share": "custom",
    "Download": "custom",
    # … and what would only blur the reports waits until it is asked for (OFF_BY_DEFAULT).
    "Refund": "custom",
    "QualifiedLead": "custom",
    "ConvertedLead": "custom",
    "DisqualifiedLead": "custom",
    "AdClick": "custom",
    "AdView": "custom",
}
OFF_BY_DEFAULT = frozenset({"Refund", "QualifiedLead", "ConvertedLead", "DisqualifiedLead", "AdClick", "AdView"})

# `app` becomes app_ios or app_android; all that is not the site or an app happened away from the browser tag.
ACTION_SOURCES = {"website": "web"}
APPS = {"ios": "app_ios", "ipados": "app_ios", "android": "app_android"}
OS_FAMILIES = {"ipados": "ios", **{name: name for name in ("ios", "android", "macos", "windows", "linux", "bsd")}}

DIGESTS = {
    "email": "email_plain",
    "phone": "phone_digits",
    "gender": "gender_fmn",
    "date_of_birth": "date_yyyymmdd",
    "first_name": "name_verbatim",
    "last_name": "name_verbatim",
    "city": "city_compact",
    "state": "state_code",
    "zip": "zip_us5",
    "country": "country_lower",
    "external_id": "id_lowercase",  # as the browser tag sends it; `digests` in gateway.toml has another rule
    "madid": "madid_lowercase",
    "pin_unauth": "id_lowercase",
}


def _text(value: Any) -> str | None:
    """A string, or a number as one; nothing else."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return str(value)


def _decimal(value: Any) -> str:
    """Money as Pinterest wants it: decimal text, never with an exponent."""
    if isinstance(value, bool):
        raise TypeError
    try:
        number = Decimal(str(value).strip())
    except ArithmeticError:
        raise ValueError from None
    if not number.is_finite() or abs(number.adjusted()) > 20:
        raise ValueError
    return format(number, "f")


def _integer(value: Any) -> int:
    number = Decimal(_decimal(value))
    if number != number.to_integral_value():
        raise ValueError
    return int(number)


def _seconds(value: Any) -> int:
    """Unix seconds from a number, or from an RFC 3339 time with an offset."""
    if isinstance(value, str) and not value.strip().isdigit():
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError
        return int(moment.timestamp())
    return int(Decimal(_decimal(value)))


def _language(value: Any) -> str | None:
    """`en-US` → `en`."""
    found = re.match(r"([A-Za-z]{2})(?:[-_,;]|$)", str(value).strip())
    return found[1].lower() if found else None


def _external_ids(event: Event) -> tuple[str, ...]:
    return event.digests.get("external_id", ()) + event.digests.get("pin_unauth", ())


def _content_ids(event: Event) -> Any:
    """`content_ids`, or the ids of `contents`: Pinterest matches its catalogue on them."""
    contents = event.custom_data.get("contents")
    entries = contents if isinstance(contents, list | tuple) else ()
    return event.custom_data.get("content_ids") or [entry.get("id") for entry in entries if isinstance(entry, Mapping)]


CONTENT = (
    Field("id", "id", as_=_text),
    Field("item_name", "title", as_=_text),
    Field("item_category", "category", as_=_text),
    Field("item_brand", "brand", as_=_text),
    Field("item_price", "item_price", as_=_decimal),
    Field("quantity", "quantity", as_=_integer),
)
FIELDS = (
    Field("event_time", "event_time", required=True, as_=int),
    Field("event_id", "event_id", required=True),  # with event_name: the dedup key shared with the browser tag
    Field("event_source_url", "event_source_url"),
    Field("language", lambda event: event.user_data.get("language") or event.app.get("locale"), as_=_language),
    Field("user_data.em", "digests.email", many=True),
    Field("user_data.ph", "digests.phone", many=True),
    Field("user_data.ge", "digests.gender", many=True),
    Field("user_data.db", "digests.date_of_birth", many=True),
    Field("user_data.fn", "digests.first_name", many=True),
    Field("user_data.ln", "digests.last_name", many=True),
    Field("user_data.ct", "digests.city", many=True),
    Field("user_data.st", "digests.state", many=True),
    Field("user_data.zp", "digests.zip", many=True),
    Field("user_data.country", "digests.country", many=True),
    Field("user_data.external_id", "digests.external_id", many=True),
    Field("user_data.hashed_maids", "digests.madid", many=True),
    Field("user_data.click_id", "user_data.epik", as_=_text),
    Field("user_data.client_ip_address", "user_data.client_ip_address", as_=_text),
    Field("user_data.client_user_agent", "user_data.client_user_agent", as_=_text),
    Field("user_data.partner_id", "user_data.partner_id", as_=_text),
    Field("custom_data.currency", "custom_data.currency", as_=_text),
    Field("custom_data.value", "custom_data.value", as_=_decimal),
    Field("custom_data.content_ids", _content_ids, many=True, as_=_text),
    Field("custom_data.contents", "custom_data.contents", each=CONTENT),
    Field("custom_data.content_name", "custom_data.content_name", as_=_text),
    Field("custom_data.content_category", "custom_data.content_category", as_=_text),
    Field("custom_data.content_brand", "custom_data.content_brand", as_=_text),
    Field("custom_data.num_items", "custom_data.num_items", as_=_integer),
    Field("custom_data.order_id", "custom_data.order_id", as_=_text),
    Field("custom_data.search_string", "custom_data.search_string", as_=_text),
    Field("custom_data.predicted_ltv", "custom_data.predicted_ltv", as_=_decimal),
)
COOKIE = Field("user_data.external_id", _external_ids, many=True)
APP = (
    Field("app_info.app_id", "app.id", as_=_text),
    Field("app_info.app_name", "app.name", as_=_text),
    Field("app_info.app_package_name", "app.package_name", as_=_text),
    Field("app_info.app_store", "app.store", as_=_text),
    Field("app_info.app_version", "app.version", as_=_text),
    Field("app_info.install_time", "app.install_time", as_=_seconds),
)
DEVICE = (
    Field("device_info.brand", "app.device_brand", as_=_text),
    Field("device_info.model", "app.device_model", as_=_text),
    Field("device_info.type", "app.device_type", as_=_text),
    Field("device_info.carrier", "app.carrier", as_=_text),
    Field("device_info.os_family", "app.os", as_=lambda name: OS_FAMILIES.get(str(name).lower(), "other")),
    Field("device_info.os_version", "app.os_version", as_=_text),
    Field("device_info.locale", "app.locale", as_=_text),
    Field("device_info.network_type", "app.network_type", as_=_text),
    Field("device_info.timezone", "app.timezone", as_=lambda name: str(name) if len(str(name)) <= 40 else None),
)


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one Pinterest event; `Skip` without an identity Pinterest takes, or without an app's system."""
    source = _action_source(event)
    if source is None:
        return Skip("missing_field", "app.os", "an app event needs `ios` or `android`")
    # A name that nobody mapped is the site's own. It goes as `custom`, even where Pinterest has that very name: a
    # site's `checkout` may be the start of one. Pinterest has no field for it, so it stands in content_name.
    name = "custom" if event.platform_name == event.event_name else event.platform_name
    opt_out = _tracking_denied(event, source)
    fields = _fields(event, config, source)
    item: dict[str, Any] | Skip = apply(fields, event, event_name=name, action_source=source, opt_out=opt_out)
    if isinstance(item, Skip):
        return item
    user_data, custom_data = item.setdefault("user_data", {}), item.setdefault("custom_data", {})
    if name == "custom":
        custom_data.setdefault("content_name", event.event_name)
    if "currency" not in custom_data:
        custom_data.pop("value", None)  # Pinterest would take it for the account's currency
    if event.limited and (skip := _limit(event, config, user_data, custom_data)):
        return skip
    if not custom_data:
        del item["custom_data"]
    return _unidentified(user_data) or item


def _fields(event: Event, config: Mapping[str, Any], source: str) -> tuple[Field, ...]:
    cookie = (COOKIE,) if config["pin_unauth"] else ()
    app = APP if source in APPS.values() else ()
    device = DEVICE if app and not event.limited else ()
    return (*FIELDS, *cookie, *app, *device)


def _unidentified(user_data: Mapping[str, Any]) -> Skip | None:
    """One event without the least identity would cost its neighbours the request."""
    by_browser = user_data.keys() >= {"client_ip_address", "client_user_agent"}
    if by_browser or "em" in user_data or "hashed_maids" in user_data:
        return None
    return Skip("no_identity", "user_data", "Pinterest needs email, madid, or IP address and user agent together")


def _action_source(event: Event) -> str | None:
    if event.action_source == "app":
        return APPS.get(str(event.app.get("os")).lower())
    return ACTION_SOURCES.get(event.action_source, "offline")


def _tracking_denied(event: Event, source: str) -> bool:
    """`opt_out` of an app event: tracking is switched off. For the rest the consent gate has said yes."""
    if source not in APPS.values():
        return False
    status = str(event.app.get("att_status")).lower()
    return event.app.get("advertiser_tracking_enabled") in (False, 0) or status in ("denied", "restricted")


def _limit(
    event: Event, config: Mapping[str, Any], user_data: dict[str, Any], custom_data: dict[str, Any]
) -> Skip | None:
    """Limited Data Processing; naming the state is the advertiser's part, without it the flag protects nobody.

    The state of the consent decision goes first, then the visitor's own. Reference and guide disagree about the case:
    https://developers.pinterest.com/docs/track-conversions/use-limited-data-processing-flag/
    """
    custom_data["opt_out_type"] = "LDP"
    user_data["country"] = [_residence("us", config)]
    if event.region is not None and event.region.startswith("US-"):
        user_data["st"] = [_residence(event.region[3:], config)]
    if "st" not in user_data:
        return Skip("missing_field", "consent.region", "Pinterest's limited mode needs the visitor's state: `US-CA`")
    return None


def _residence(code: str, config: Mapping[str, Any]) -> str:
    text = code.upper() if config["ldp_case"] == "upper" else code.lower()
    return hashlib.sha256(text.encode()).hexdigest()


def group_key(event: Event, config: Mapping[str, Any]) -> Hashable:
    """Offline events go one by one: what is sent again after a partial refusal would count twice."""
    if _action_source(event) == "offline" and not config["offline_batches"]:
        return ("offline", event.event_name, event.event_id)
    return None


def build_request(batch: Batch, config: Mapping[str, Any]) -> Request:
    """`test=true`: checked and answered as usual, not recorded."""
    url = f"https://api.pinterest.com/v5/ad_accounts/{config['ad_account_id']}/events"
    return Request("POST", url, json={"data": list(batch)}, params={"test": "true"} if batch.test else {})


# HTTP status → `code` of the body; what is not here is judged by its status.
CODES: dict[int, dict[int, verdicts.Maker | Verdict]] = {
    400: {4196: verdicts.reject},  # the schema refused something: nothing of the request is stored
    401: {2: verdicts.pause, 3: verdicts.pause},  # authentication failed; scope missing
    403: {29: verdicts.pause},  # not permitted for this ad account
    429: {8: verdicts.retry},
    503: {4197: verdicts.retry(after_s=60)},  # the endpoint is ramped down
}


def classify(response: Response, n: int) -> Verdict | Sequence[Verdict]:
    """200 and 422 carry a status for each event, in the order of the request; the rest is judged as a whole."""
    if 200 <= response.status < 300 or response.status == 422:
        return _each(response, n)
    codes = CODES.get(response.status, {})
    return verdicts.by_code(codes, response, "code", n) or verdicts.by_status(response, n)


def _each(response: Response, n: int) -> Verdict | Sequence[Verdict]:
    # The OpenAPI description calls `details` of a 422 just an object; older versions put the list at the top.
    for path in ("details.events", "events"):
        rows = response.find(path)
        if isinstance(rows, list) and len(rows) == n:
            return [_one(row) for row in rows]
    words = verdicts.shorten(response.find("message"))
    if response.status == 422:
        return verdicts.refused("http_422", words, n)
    processed = response.find("num_events_processed")
    if not isinstance(processed, int):
        return verdicts.retry("unreadable_answer", words, tries=2)
    return verdicts.delivered() if processed >= n else verdicts.refused("not_processed", words, n)


def _one(row: Any) -> Verdict:
    said = row if isinstance(row, Mapping) else {}
    if said.get("status") == "processed":
        return verdicts.delivered("", verdicts.shorten(said.get("warning_message")))
    if said.get("status") == "failed":
        return verdicts.reject("failed", verdicts.shorten(said.get("error_message")))
    return verdicts.retry("unknown_status", verdicts.shorten(said.get("error_message")), tries=2)


def probe(config: Mapping[str, Any], now: int) -> Request:
    """A synthetic page visit in test mode. The conversion token opens no other endpoint to ask."""
    visitor = {"client_ip_address": "203.0.113.1", "client_user_agent": "conversions-gateway probe"}
    event = {"event_name": "page_visit", "action_source": "web", "event_time": now, "event_id": f"probe-{now}"}
    return build_request(Batch.of([{**event, "user_data": visitor}], test=True), config)


PINTEREST = Destination(
    name="pinterest",
    api_version="v5",
    docs="https://developers.pinterest.com/docs/track-conversions/track-conversions-in-the-api/",
    config_schema=CONFIG,
    names=NAMES,
    custom_names=True,
    off_by_default=OFF_BY_DEFAULT,
    limited=frozenset({"US"}),
    digests=DIGESTS,
    auth=Bearer("access_token"),
    # 1000 events: OpenAPI. Body: not published, one partner caps at 2 MB. Rate: 5,000 calls a minute and ad account,
    # the lowest of the published ones (test requests: 10 a second). Age: not published, 7 days is our cut-off.
    limits=Limits(batch=1000, bytes=2_000_000, rate=80, linger_s=0.1, max_age_s=7 * 86400),
    # What arrives over an hour after it happened counts as offline, and offline events are not deduplicated: so several
    # quick tries in the first hour, and no blind repeat after it.
    retry=Retry(first_s=5, factor=5, max_s=1800, unseen_s=3600),
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
    return [PINTEREST]
