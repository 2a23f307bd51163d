"""Pinterest Conversions API. Verified against v5 (OpenAPI 5.23.0), 2025-12.

Docs: https://developers.pinterest.com/docs/track-conversions/track-conversions-in-the-api/
Types and limits: Pinterest's OpenAPI description, github.com/pinterest/api-description, operation `events/create`. Its
schemas are closed: one unknown key costs the whole request, so only what stands in the tables below is sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
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
    convert,
    hookimpl,
    verdicts,
)

CONFIG = {
    "type": "object",
    "required": ["ad_account_id", "access_token"],
    "properties": {
        "ad_account_id": {
            "type": ["string", "integer"],
            "pattern": "^[0-9]{1,18}$",
            "minimum": 1,
            "maximum": 10**18 - 1,
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
        "repeat_unseen": {
            "type": "boolean",
            "default": False,
            "description": "Repeat an event whose answer was never seen even where Pinterest does not deduplicate: an "
            "hour after it happened, and offline events at any time. It may then count twice. Off: it is given up, and "
            "may be missing.",
        },
        "pin_unauth": {
            "type": "boolean",
            "default": True,
            "description": "Send the hashed `_pin_unauth` cookie as an external id, as Pinterest's shop plugins do.",
        },
    },
}

# Names after AppOpen are not in the OpenAPI list, which is no enum; the developer site or the browser tag has them.
# fmt: off
NAMES = {
    "PageView": "page_visit", "ViewContent": "view_content", "ViewCategory": "view_category", "Search": "search",
    "AddToCart": "add_to_cart", "AddToWishlist": "add_to_wishlist", "AddPaymentInfo": "add_payment_info",
    "InitiateCheckout": "initiate_checkout", "Purchase": "checkout",  # the finished order, not the start of one
    "Lead": "lead", "CompleteRegistration": "signup", "Subscribe": "subscribe", "WatchVideo": "watch_video",
    "AppInstall": "app_install", "AppOpen": "app_open",
    "Contact": "contact", "CustomizeProduct": "customize_product", "FindLocation": "find_location",
    "Schedule": "schedule", "StartTrial": "start_trial", "SubmitApplication": "submit_application",
    # No name of their own at Pinterest: what the visitor did goes as `custom` …
    **dict.fromkeys("RemoveFromCart ViewCart AddShippingInfo Login Donate Share Download".split(), "custom"),
    # … and what would only blur the reports waits until it is asked for (OFF_BY_DEFAULT).
    **dict.fromkeys("Refund QualifiedLead ConvertedLead DisqualifiedLead AdClick AdView".split(), "custom"),
}
# fmt: on
OFF_BY_DEFAULT = frozenset({"Refund", "QualifiedLead", "ConvertedLead", "DisqualifiedLead", "AdClick", "AdView"})

# Match key → Pinterest's key in user_data, and the rule of its digests.
MATCH_KEYS = {
    "email": ("em", "email_plain"),
    "phone": ("ph", "phone_digits"),
    "gender": ("ge", "gender_fmn"),
    "date_of_birth": ("db", "date_yyyymmdd"),
    "first_name": ("fn", "name_verbatim"),
    "last_name": ("ln", "name_verbatim"),
    "city": ("ct", "city_compact"),
    "state": ("st", "state_code"),
    "zip": ("zp", "zip_us5"),
    "country": ("country", "country_lower"),
    "external_id": ("external_id", "id_lowercase"),  # as the browser tag sends it; `digests` has another rule
    "madid": ("hashed_maids", "madid_lowercase"),
}


def language(event: Event) -> str | None:
    """The visitor's language, else the app's."""
    return convert.language(event.user_data.get("language") or event.app.get("locale"))


def same(group: str, *keys: str) -> tuple[Field, ...]:
    """Texts that Pinterest calls as we do."""
    return tuple(Field(f"{group}.{key}", f"{group}.{key}", as_=convert.text) for key in keys)


CONTENT = (
    Field("id", "id", as_=convert.text),
    Field("item_name", "title", as_=convert.text),
    Field("item_category", "category", as_=convert.text),
    Field("item_brand", "brand", as_=convert.text),
    Field("item_price", "item_price", as_=convert.decimal_text),
    Field("quantity", "quantity", as_=convert.whole),
)
FIELDS = (
    Field("event_time", "event_time", required=True, as_=int),
    Field("event_id", "event_id", required=True),  # with event_name: the dedup key shared with the browser tag
    Field("event_source_url", "event_source_url"),
    Field("language", language),
    *(Field(f"user_data.{name}", f"digests.{key}", many=True) for key, (name, _) in MATCH_KEYS.items()),
    Field("user_data.click_id", "user_data.epik"),
    Field("user_data.client_ip_address", "user_data.client_ip_address"),
    Field("user_data.client_user_agent", "user_data.client_user_agent"),
    Field("user_data.partner_id", "user_data.partner_id", as_=convert.text),
    Field("custom_data.value", "custom_data.value", as_=convert.decimal_text),
    Field("custom_data.predicted_ltv", "custom_data.predicted_ltv", as_=convert.decimal_text),
    Field("custom_data.num_items", "custom_data.num_items", as_=convert.whole),
    Field("custom_data.content_ids", convert.content_ids, many=True, as_=convert.text),
    Field("custom_data.contents", "custom_data.contents", each=CONTENT),
    *same("custom_data", "currency", "order_id", "search_string"),
    *same("custom_data", "content_name", "content_category", "content_brand"),
)
APP_FIELDS = (
    *FIELDS,
    Field("app_info.app_id", "app.id", as_=convert.text),
    Field("app_info.app_name", "app.name"),
    Field("app_info.app_package_name", "app.package_name"),
    Field("app_info.app_store", "app.store"),
    Field("app_info.app_version", "app.version"),
    Field("app_info.install_time", "app.install_time", as_=convert.seconds),
    Field("device_info.brand", "app.device_brand"),
    Field("device_info.model", "app.device_model"),
    Field("device_info.type", "app.device_type"),
    Field("device_info.carrier", "app.carrier"),
    Field("device_info.os_family", convert.mobile_system),
    Field("device_info.os_version", "app.os_version"),
    Field("device_info.locale", "app.locale"),
    Field("device_info.network_type", "app.network_type"),
    Field("device_info.timezone", "app.timezone", as_=convert.matching(".{1,40}")),
)


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one Pinterest event; `Skip` without an identity Pinterest takes, or without an app's system."""
    if event.event_name == "Refund" and event.platform_name == NAMES["Purchase"]:
        return Skip("unsupported", "event_name", "Pinterest takes no refunds; it would count as a purchase")
    source = action_source(event)
    if source is None:
        return Skip("missing_field", "app.os", "an app event needs `ios` or `android`")
    # A name that nobody mapped is the site's own. It goes as `custom`, even where Pinterest has that very name: a
    # site's `checkout` may be the start of one. Pinterest has no field for it, so it stands in content_name.
    name = "custom" if event.platform_name == event.event_name else event.platform_name
    is_app = event.action_source == "app"
    opt_out = is_app and tracking_denied(event.app)
    fields = APP_FIELDS if is_app else FIELDS
    item: dict[str, Any] | Skip = apply(fields, event, event_name=name, action_source=source, opt_out=opt_out)
    if isinstance(item, Skip):
        return item
    complete(item, event, config)
    return missing(item, event) or item


def complete(item: dict[str, Any], event: Event, config: Mapping[str, Any]) -> None:
    """What needs the configuration or a look at other fields."""
    user_data, custom_data = item.setdefault("user_data", {}), item.setdefault("custom_data", {})
    if config["pin_unauth"] and (cookie := event.digests.get("pin_unauth")):
        user_data["external_id"] = [*user_data.get("external_id", ()), *cookie]
    if item["event_name"] == "custom":
        custom_data.setdefault("content_name", event.event_name)
    if "currency" not in custom_data:
        custom_data.pop("value", None)  # Pinterest would take it for the account's currency
    if event.limited:
        custom_data["opt_out_type"] = "LDP"
        user_data |= residence(event.region, upper=config["ldp_case"] == "upper")
    if not custom_data:
        del item["custom_data"]


def missing(item: Mapping[str, Any], event: Event) -> Skip | None:
    """One event without the least identity would cost its neighbours the request."""
    user_data = item["user_data"]
    if event.limited and "st" not in user_data:
        return Skip("missing_field", "consent.region", "Pinterest's limited mode needs the visitor's state: `US-CA`")
    by_browser = "client_ip_address" in user_data and "client_user_agent" in user_data
    if by_browser or "em" in user_data or "hashed_maids" in user_data:
        return None
    return Skip("no_identity", "user_data", "Pinterest needs email, madid, or IP address and user agent together")


def action_source(event: Event) -> str | None:
    """Where it happened, by app system; all that is not the site or an app happened away from the browser tag."""
    if event.action_source == "app":
        system = convert.mobile_system(event)
        return f"app_{system}" if system else None
    return "web" if event.action_source == "website" else "offline"


def tracking_denied(app: Mapping[str, Any]) -> bool:
    """`opt_out` of an app event: tracking is switched off. For the rest the consent gate has said yes."""
    status = str(app.get("att_status")).lower()
    return app.get("advertiser_tracking_enabled") in (False, 0) or status in ("denied", "restricted")


def residence(region: str | None, *, upper: bool) -> dict[str, list[str]]:
    """Country and, where it is known, state of the consent decision, hashed; they go before what the visitor typed.

    Naming the state is the advertiser's part, without it the flag protects nobody. Reference and guide disagree about
    the case: https://developers.pinterest.com/docs/track-conversions/use-limited-data-processing-flag/
    """
    codes = {"country": "US"} | ({"st": region[3:]} if region and region.startswith("US-") else {})
    written = {key: code.upper() if upper else code.lower() for key, code in codes.items()}
    return {key: [hashlib.sha256(code.encode()).hexdigest()] for key, code in written.items()}


def group_key(event: Event, config: Mapping[str, Any]) -> Hashable:
    """Offline events go one by one: what is sent again after a partial refusal would count twice."""
    if action_source(event) == "offline" and not config["offline_batches"]:
        return ("offline", event.event_name, event.event_id)
    return None


#: What arrives later than this after it happened counts as offline.
LATE_S = 3600.0


def unseen_limit(event: Event, config: Mapping[str, Any]) -> float | None:
    """Seconds in which a repeat of this event meets an earlier arrival of it and is dropped.

    That is until the event is an hour old: later it counts as offline, and offline events are not deduplicated.
    """
    if config["repeat_unseen"]:
        return None
    if action_source(event) == "offline":
        return 0.0
    return max(0.0, event.event_time + LATE_S - event.received_at)


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
    verdict = verdicts.by_code(codes, response, "code", n) or verdicts.by_status(response, n)
    return replace(verdict, after_s=1) if response.status == 429 else verdict


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
    digests={key: rule for key, (_, rule) in MATCH_KEYS.items()} | {"pin_unauth": "id_lowercase"},
    auth=Bearer("access_token"),
    # 1000 events: OpenAPI. Body: not published, one partner caps at 2 MB. Rate: 5,000 calls a minute and ad account,
    # the lowest of the published ones (test requests: 10 a second). Age: not published, 7 days is our cut-off.
    limits=Limits(batch=1000, bytes=2_000_000, rate=80, linger_s=0.1, max_age_s=7 * 86400),
    # Several quick tries in the hour in which Pinterest knows an event again; `unseen_limit` ends the blind ones.
    retry=Retry(first_s=5, factor=5, max_s=1800),
    unseen_limit=unseen_limit,
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
