"""Meta's own format: an entry of `data` as its Conversions API takes it, as a canonical event. Verified against v25.0.

Docs: https://developers.facebook.com/docs/marketing-api/conversions-api/parameters, of which `…/` below is short. What
the platform's Business SDKs hash already comes as digests, which count as such. Its plugin holds the inverse tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.ingest.formats.denials import both
from gateway.ingest.formats.rows import Making, Row, amount, first, items, listed, number, switch, text, texts
from gateway.model.errors import Fault
from gateway.model.event import CLICK_IDS

if TYPE_CHECKING:
    from collections.abc import Mapping

#: https://developers.facebook.com/docs/app-events/reference, …/app-events, …/business-messaging → canonical. The
#: standard names of the web (Purchase, Lead …) are the canonical ones; any other is a custom event here and there.
NAMES = {
    "fb_mobile_content_view": "ViewContent",
    "fb_mobile_search": "Search",
    "fb_mobile_add_to_cart": "AddToCart",
    "fb_mobile_add_to_wishlist": "AddToWishlist",
    "fb_mobile_initiated_checkout": "InitiateCheckout",
    "fb_mobile_add_payment_info": "AddPaymentInfo",
    "fb_mobile_purchase": "Purchase",
    "fb_mobile_complete_registration": "CompleteRegistration",
    "fb_mobile_activate_app": "AppOpen",
    "MOBILE_APP_INSTALL": "AppInstall",
    "MobileAppInstall": "AppInstall",
    "LeadSubmitted": "Lead",
}


def name(value: Any) -> Any:
    """The event's canonical name."""
    return NAMES.get(value, value) if isinstance(value, str) else value


def moment(value: Any) -> Any:
    """Unix seconds, also as their digits."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 else value


# …/server-event
EVENT = (
    Row("event_name", "event_name", name),
    Row("event_time", "event_time", moment),
    Row("event_id", "event_id"),
    Row("action_source", "action_source"),
    Row("event_source_url", "event_source_url"),
    Row("referrer_url", "referrer_url"),
    Row("messaging_channel", "messaging.channel"),
    Row("customer_segmentation", "custom_data.customer_segmentation"),
)
# …/original-event-data
ORIGINAL = (
    Row("event_name", "original_event.event_name", name),
    Row("event_time", "original_event.event_time", moment),
    Row("order_id", "original_event.order_id"),
    Row("event_id", "original_event.event_id"),
)
# …/customer-information-parameters. Those of a conversation stand in an object of their own.
USER_DATA = (
    Row("em", "user_data.email", texts),
    Row("ph", "user_data.phone", texts),
    Row("fn", "user_data.first_name", texts),
    Row("ln", "user_data.last_name", texts),
    Row("ge", "user_data.gender", first),
    Row("db", "user_data.date_of_birth", first),
    Row("ct", "user_data.city", texts),
    Row("st", "user_data.state", texts),
    Row("zp", "user_data.zip", texts),
    Row("country", "user_data.country", texts),
    Row("external_id", "user_data.external_id", texts),
    Row("client_ip_address", "user_data.client_ip_address"),
    Row("client_user_agent", "user_data.client_user_agent"),
    Row("subscription_id", "user_data.subscription_id"),
    Row("fb_login_id", "user_data.fb_login_id"),
    Row("lead_id", "user_data.meta_lead_id"),
    Row("partner_id", "user_data.partner_id"),
    Row("madid", "user_data.madid"),
    Row("anon_id", "app.install_id"),
    Row("anon_id", "user_data.anonymous_id"),
    Row("page_id", "messaging.page_id"),
    Row("page_scoped_user_id", "messaging.page_scoped_user_id"),
    Row("ctwa_clid", "messaging.ctwa_clid"),
    Row("ig_account_id", "messaging.ig_account_id"),
    Row("ig_sid", "messaging.ig_sid"),
    Row("whatsapp_business_account_id", "messaging.whatsapp_business_account_id"),
    # Not of the format: what other platforms match on, for a site that can add it.
    *(Row(key, f"user_data.{key}") for key in CLICK_IDS),
)
# …/custom-data, and the names that mobile SDKs give the same: https://developers.facebook.com/docs/app-events/reference
CUSTOM_DATA = (
    Row("value", "custom_data.value", amount),
    Row("currency", "custom_data.currency", amount),
    Row("order_id", "custom_data.order_id"),
    Row("content_ids", "custom_data.content_ids", listed),
    Row("content_type", "custom_data.content_type"),
    Row("content_name", "custom_data.content_name"),
    Row("content_category", "custom_data.content_category"),
    Row("num_items", "custom_data.num_items", number),
    Row("search_string", "custom_data.search_string", text),
    Row("predicted_ltv", "custom_data.predicted_ltv", amount),
    Row("net_revenue", "custom_data.net_revenue", amount),
    Row("status", "custom_data.status"),
    Row("delivery_category", "custom_data.delivery_category"),
    Row("_valueToSum", "custom_data.value", amount),
    Row("fb_currency", "custom_data.currency", amount),
    Row("fb_order_id", "custom_data.order_id"),
    Row("fb_content_id", "custom_data.content_ids", listed),
    Row("fb_content_type", "custom_data.content_type"),
    Row("fb_num_items", "custom_data.num_items", number),
    Row("fb_search_string", "custom_data.search_string", text),
    Row("fb_registration_method", "custom_data.sign_up_method"),
)
CONTENT = (
    Row("id", "id"),
    Row("quantity", "quantity", number),
    Row("item_price", "item_price", amount),
    Row("title", "title", text),
    Row("description", "description", text),
    Row("brand", "brand", text),
    Row("category", "category", text),
    Row("delivery_category", "delivery_category"),
)
# …/app-data
APP_DATA = (
    Row("advertiser_tracking_enabled", "app.advertiser_tracking_enabled", switch),
    Row("application_tracking_enabled", "app.application_tracking_enabled", switch),
    Row("campaign_ids", "app.campaign_ids"),
    Row("install_referrer", "app.install_referrer"),
    Row("installer_package", "app.installer_package"),
    Row("url_schemes", "app.url_schemes"),
    Row("vendor_id", "user_data.idfv"),
)
#: The second to the last of the sixteen strings of `extinfo`; the first is the version of a system's list.
EXTINFO = (
    Row("1", "app.package_name"),
    Row("2", "app.version", text),
    Row("3", "app.build"),
    Row("4", "app.os_version", text),
    Row("5", "app.device_model"),
    Row("6", "app.locale"),
    Row("7", "app.timezone_abbreviation"),
    Row("8", "app.carrier"),
    Row("9", "app.screen_width", number),
    Row("10", "app.screen_height", number),
    Row("11", "app.screen_density", number),
    Row("12", "app.cpu_cores", number),
    Row("13", "app.storage_gb", number),
    Row("14", "app.free_storage_gb", number),
    Row("15", "app.timezone"),
)
SYSTEMS = {"a2": "android", "i2": "ios"}

# https://developers.facebook.com/docs/marketing-apis/data-processing-options: state → region; 0 lets the platform find
# it by the address, which the gateway does not.
STATES = ("CA", "CO", "CT", "FL", "OR", "TX", "MT", "DE", "NE", "NH", "NJ", "MN", "MD", "RI")
REGIONS: dict[int | float, str] = {state: f"US-{code}" for state, code in enumerate(STATES, 1000)}
UNITED_STATES = 1

#: Keys that are read, by a row or otherwise: any other is left out with a note, but in `custom_data`, which is open.
EVENT_KEYS = frozenset(row.key for row in EVENT) | frozenset(
    "user_data custom_data app_data original_event_data consent opt_out data_processing_options "
    "data_processing_options_country data_processing_options_state".split()
)
USER_KEYS = frozenset(row.key for row in USER_DATA)
CUSTOM_KEYS = frozenset(row.key for row in CUSTOM_DATA) | {"contents", "fb_content", "consent"}
APP_KEYS = frozenset(row.key for row in APP_DATA) | {"extinfo"}


class Translated(NamedTuple):
    """What became of one entry of `data`."""

    #: As `POST /v1/events` takes it, or why there is none.
    event: dict[str, Any] | Fault
    #: What was left out of it, for people.
    notes: tuple[str, ...] = ()


def translate(entry: Any, context: Mapping[str, Any] | None = None, *, test: bool = False) -> Translated:
    """One entry of `data`: an object, or as some SDKs send it the JSON text of one. `context`: who sent it."""
    if isinstance(entry, str):
        entry = _decoded(entry)
    if isinstance(entry, Fault) or not isinstance(entry, dict):
        return Translated(entry if isinstance(entry, Fault) else Fault("", "wrong_type", "expected an object"))
    making = Making()
    making.take(EVENT, entry)
    _person(making, entry.get("user_data"))
    _commerce(making, entry.get("custom_data"))
    _app(making, entry.get("app_data"))
    if (original := _part(making, entry, "original_event_data")) is not None:
        making.take(ORIGINAL, original, "original_event_data.")
    if (said := consent(entry)) is not None:
        making.event["consent"] = said
    making.unknown(entry, EVENT_KEYS)
    if context:
        making.event["context"] = dict(context)
    if test:
        making.event["test"] = True
    return Translated({key: value for key, value in making.event.items() if value != {}}, tuple(making.notes))


def consent(entry: Mapping[str, Any]) -> Any:
    """What an entry says of consent; `None` if it says nothing.

    The format knows an opt-out only: limited data use, and `opt_out`. A site says the rest in a `consent` of the
    canonical form, beside the fields, or in `custom_data` where an SDK has no other place for it; a denial in either
    counts. Limited data use counts as Global Privacy Control, since it answers the same objection, and so does an
    option that is not known.
    """
    custom = entry.get("custom_data")
    given, beside = entry.get("consent"), custom.get("consent") if isinstance(custom, dict) else None
    for one in (given, beside):
        if one is not None and not isinstance(one, dict):
            return one  # the schema refuses it: what was meant may have been a denial
    said = {key: value for key, value in (both(beside, given) or {}).items() if value is not None}
    if entry.get("opt_out") not in (None, False, 0, "", "0", "false"):
        said["ad_personalization"] = "denied"
    if entry.get("data_processing_options") not in (None, [], ""):
        said["gpc"] = True
        if region := _region(entry):
            said.setdefault("region", region)
    return said or None


def _region(entry: Mapping[str, Any]) -> str | None:
    country, state = (number(entry.get(f"data_processing_options_{part}")) for part in ("country", "state"))
    if country != UNITED_STATES:
        return None
    return REGIONS.get(state, "US") if state is not None else "US"


def _person(making: Making, given: Any) -> None:
    if given is None:
        return
    if not isinstance(given, dict):
        making.note("user_data", "not an object")
        return
    making.take(USER_DATA, given, "user_data.")
    making.unknown(given, USER_KEYS, "user_data.")  # it could be personal data in the clear


def _commerce(making: Making, given: Any) -> None:
    if given is None:
        return
    if not isinstance(given, dict):
        making.note("custom_data", "not an object")
        return
    making.take(CUSTOM_DATA, given, "custom_data.")
    for key in ("contents", "fb_content"):
        if (contents := given.get(key)) not in (None, "", []):
            items(CONTENT, _maybe_json(contents), making, f"custom_data.{key}")
    making.free(given, CUSTOM_KEYS, "custom_data.")


def _app(making: Making, given: Any) -> None:
    if given is None:
        return
    if not isinstance(given, dict):
        making.note("app_data", "not an object")
        return
    making.take(APP_DATA, given, "app_data.")
    extinfo = _maybe_json(given.get("extinfo"))
    if isinstance(extinfo, list) and extinfo:
        if isinstance(extinfo[0], str) and extinfo[0] in SYSTEMS:
            making.put("app.os", SYSTEMS[extinfo[0]], "app_data.extinfo[0]")
        making.take(EXTINFO, {str(at): value for at, value in enumerate(extinfo[:16])}, "app_data.extinfo.")
    elif extinfo is not None:
        making.note("app_data.extinfo", "not a list")
    making.unknown(given, APP_KEYS, "app_data.")


def _part(making: Making, entry: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    given = entry.get(key)
    if given is not None and not isinstance(given, dict):
        making.note(key, "not an object")
        return None
    return given


def _maybe_json(value: Any) -> Any:
    """A list, or the JSON text of one."""
    if not isinstance(value, str):
        return value
    found = _decoded(value)
    return value if isinstance(found, Fault) else found


def _decoded(value: str) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return Fault("", "malformed_json", "the entry is not JSON")
