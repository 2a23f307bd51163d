"""A body of the Measurement Protocol as canonical events.

Docs: https://developers.google.com/analytics/devguides/collection/protocol/ga4/reference, of which `…/` below is short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway import schema
from gateway.ingest.formats.measurement_protocol.names import NAMES, Names
from gateway.ingest.formats.rows import Making, Row, amount, items, listed, named, number, switch, text, texts
from gateway.model.errors import Fault
from gateway.model.event import CLICK_IDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def language(value: Any) -> Any:
    """A language tag; tags of browsers come in lower case."""
    return value if isinstance(value, str) else None


#: Times that can be reckoned with; the schema refuses others.
_LAST_MICROS = 10**18
# …/reference#payload
PERSON = (
    Row("client_id", "user_data.ga_client_id", text),
    Row("client_id", "user_data.anonymous_id", text),
    Row("app_instance_id", "user_data.ga_app_instance_id", text),
    Row("app_instance_id", "user_data.anonymous_id", text),
    Row("user_id", "user_data.external_id", texts),
    Row("ip_override", "user_data.client_ip_address"),
    Row("user_agent", "user_data.client_user_agent"),
)
# …/user-provided-data; `gtag` takes the same in the clear: https://support.google.com/google-ads/answer/13258081
USER_DATA = (
    Row("sha256_email_address", "user_data.email", texts),
    Row("email_address", "user_data.email", texts),
    Row("email", "user_data.email", texts),
    Row("sha256_phone_number", "user_data.phone", texts),
    Row("phone_number", "user_data.phone", texts),
)
ADDRESS = (
    Row("sha256_first_name", "user_data.first_name", texts),
    Row("first_name", "user_data.first_name", texts),
    Row("sha256_last_name", "user_data.last_name", texts),
    Row("last_name", "user_data.last_name", texts),
    Row("sha256_street", "user_data.street", texts),
    Row("street", "user_data.street", texts),
    Row("city", "user_data.city", texts),
    Row("region", "user_data.state", texts),
    Row("postal_code", "user_data.zip", texts),
    Row("country", "user_data.country", texts),
)
# …/reference#device
DEVICE = (Row("language", "user_data.language", language),)
DEVICE_OF_APP = (
    Row("operating_system", "app.os", text),
    Row("operating_system_version", "app.os_version", text),
    Row("model", "app.device_model", text),
    Row("brand", "app.device_brand", text),
    Row("category", "app.device_type", text),
    Row("language", "app.locale", language),
)
# …/reference/events and …/sending-events: what a parameter of an event means.
PARAMS = (
    Row("page_location", "event_source_url"),
    Row("page_referrer", "referrer_url"),
    Row("page_title", "context.page_title"),
    Row("event_id", "event_id"),
    Row("x-fb-event-id", "event_id"),
    Row("action_source", "action_source"),
    Row("session_id", "user_data.ga_session_id"),
    Row("language", "user_data.language", language),
    Row("user_agent", "user_data.client_user_agent"),
    Row("ip_override", "user_data.client_ip_address"),
    Row("value", "custom_data.value", amount),
    Row("currency", "custom_data.currency", amount),
    Row("transaction_id", "custom_data.order_id"),
    Row("tax", "custom_data.tax", amount),
    Row("shipping", "custom_data.shipping", amount),
    Row("discount", "custom_data.discount", amount),
    Row("coupon", "custom_data.coupon"),
    Row("search_term", "custom_data.search_string", text),
    Row("method", "custom_data.sign_up_method", text),
    Row("content_type", "custom_data.content_category", text),
    Row("item_id", "custom_data.content_ids", listed),
    Row("item_list_name", "custom_data.content_category", text),
    Row("screen_name", "custom_data.content_name", text),
    Row("firebase_screen", "custom_data.content_name", text),
    Row("lead_status", "custom_data.lead_stage", text),
    Row("new_customer", "custom_data.new_customer", switch),
    Row("aw_merchant_id", "custom_data.merchant_id"),
    Row("aw_feed_country", "custom_data.merchant_feed_label", text),
    Row("aw_feed_language", "custom_data.merchant_feed_language", text),
    # Browser ids that sites hand over beside GA4's own, under the names of `user_data` or of Meta's tag template for
    # server-side tag managers: https://github.com/facebookincubator/ConversionsAPI-Tag-for-GoogleTagManager
    *(Row(key, f"user_data.{key}") for key in CLICK_IDS if key not in ("ga_client_id", "ga_session_id")),
    Row("x-fb-ck-fbp", "user_data.fbp"),
    Row("x-fb-ck-fbc", "user_data.fbc"),
    Row("x-fb-ud-em", "user_data.email", texts),
    Row("x-fb-ud-ph", "user_data.phone", texts),
    Row("x-fb-ud-fn", "user_data.first_name", texts),
    Row("x-fb-ud-ln", "user_data.last_name", texts),
    Row("x-fb-ud-ge", "user_data.gender", text),
    Row("x-fb-ud-db", "user_data.date_of_birth", text),
    Row("x-fb-ud-ct", "user_data.city", texts),
    Row("x-fb-ud-st", "user_data.state", texts),
    Row("x-fb-ud-zp", "user_data.zip", texts),
    Row("x-fb-ud-country", "user_data.country", texts),
    Row("x-fb-ud-external_id", "user_data.external_id", texts),
    Row("x-fb-ud-subscription_id", "user_data.subscription_id"),
    Row("x-fb-cd-content_ids", "custom_data.content_ids", listed),
    Row("x-fb-cd-content_name", "custom_data.content_name", text),
    Row("x-fb-cd-content_type", "custom_data.content_type", text),
    Row("x-fb-cd-content_category", "custom_data.content_category", text),
    Row("x-fb-cd-num_items", "custom_data.num_items", number),
    Row("x-fb-cd-predicted_ltv", "custom_data.predicted_ltv", amount),
    Row("x-fb-cd-status", "custom_data.status", text),
)
# …/reference/events#purchase_item. `price` is what the customer pays for one.
ITEM = (
    Row("item_id", "id"),
    Row("item_name", "title", text),
    Row("item_brand", "brand", text),
    Row("item_category", "category", text),
    Row("item_variant", "variant", text),
    Row("price", "item_price", amount),
    Row("quantity", "quantity", number),
)
CATEGORIES = ("item_category", "item_category2", "item_category3", "item_category4", "item_category5")

#: Parameters that are about GA4 alone.
INTERNAL = frozenset(
    "engagement_time_msec session_number ga_session_id ga_session_number ignore_referrer debug_mode send_to "
    "event_callback event_timeout non_interaction engaged_session_event batch_page_id batch_ordering_id "
    "synthetic_bundle firebase_event_origin firebase_screen_class firebase_screen_id firebase_previous_screen "
    "firebase_previous_class firebase_previous_id firebase_conversion ga_event_origin traffic_type groups "
    "first_party_collection server_container_url transport_url user_properties user_data items consent "
    "timestamp_micros "
    "page_path page_hostname screen_resolution client_id user_id allow_google_signals "
    "allow_ad_personalization_signals".split()
)
PARAM_KEYS = frozenset(row.key for row in PARAMS) | INTERNAL
BODY_KEYS = frozenset(row.key for row in PERSON) | frozenset(
    "events consent user_data user_properties user_location device timestamp_micros non_personalized_ads "
    "validation_behavior".split()
)
FLAGS = frozenset({"ad_storage", "ad_user_data", "ad_personalization", "analytics_storage"})


class Translated(NamedTuple):
    """What became of one entry of `events`."""

    #: Its place in `events`.
    place: int
    #: As `POST /v1/events` takes it, or why there is none.
    event: dict[str, Any] | Fault
    #: What was left out of it, for people.
    notes: tuple[str, ...] = ()


def translate(body: Mapping[str, Any], *, app: bool = False, names: Names = NAMES) -> Iterator[Translated]:
    """The events of a body. Those whose name the table leaves out are not among them. `app`: of an app's stream."""
    events = body.get("events")
    if not isinstance(events, list):
        yield Translated(0, Fault("/events", "wrong_type", "expected a list"))
        return
    for index, entry in enumerate(events):
        if not isinstance(entry, dict):
            yield Translated(index, Fault("", "wrong_type", "expected an object"))
            continue
        given = entry.get("name")
        name = names.get(given, given) if isinstance(given, str) else given
        if name is not None or given is None:
            yield _event(index, name, entry, body, app=app)


def _event(index: int, name: Any, entry: Mapping[str, Any], body: Mapping[str, Any], *, app: bool) -> Translated:
    making = Making()
    if name is not None:
        making.event["event_name"] = name
    params = entry.get("params")
    if params is not None and not isinstance(params, dict):
        making.note("params", "not an object")
    params = params if isinstance(params, dict) else {}
    _time(making, entry, body)
    making.take(PARAMS, params, "params.")
    making.take(PERSON, body)
    _person(making, body, app=app)
    if params.get("items") not in (None, []):
        items(ITEM, list(map(_item, listed(params["items"]) or ())), making, "params.items")
    making.free(params, PARAM_KEYS, "params.")
    _properties(making, body.get("user_properties"))
    if (said := _consent(body)) is not None:
        making.event["consent"] = said
    if app:
        making.event.setdefault("action_source", "app")
    _kind(making, params)
    if index == 0:
        making.unknown(body, BODY_KEYS)
    return Translated(index, {key: value for key, value in making.event.items() if value != {}}, tuple(making.notes))


def _time(making: Making, entry: Mapping[str, Any], body: Mapping[str, Any]) -> None:
    micros = entry.get("timestamp_micros", body.get("timestamp_micros"))
    if micros is None:
        return
    seconds = number(micros)
    making.event["event_time"] = micros if seconds is None or abs(seconds) > _LAST_MICROS else seconds / 1e6


def _kind(making: Making, params: Mapping[str, Any]) -> None:
    """What the name of an event says of it."""
    event = making.event
    if event.get("event_name") == "Refund" and (order := event.get("custom_data", {}).get("order_id")):
        event["original_event"] = {"event_name": "Purchase", "order_id": order}


def _item(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    levels = [one for key in CATEGORIES if (one := text(given.get(key)))]
    return {**given, "item_category": " > ".join(levels), "quantity": given.get("quantity", 1)}


def _person(making: Making, body: Mapping[str, Any], *, app: bool) -> None:
    device = body.get("device")
    if isinstance(device, dict):
        making.take(DEVICE, device, "device.")
        if app:
            making.take(DEVICE_OF_APP, device, "device.")
    given = body.get("user_data")
    if given is None:
        return
    if not isinstance(given, dict):
        making.note("user_data", "not an object")
        return
    making.take(USER_DATA, given, "user_data.")
    making.unknown(given, {"address", *(row.key for row in USER_DATA)}, "user_data.")
    for address in listed(given.get("address")) or ():
        if isinstance(address, dict):
            making.take(ADDRESS, address, "user_data.address.")
            making.unknown(address, {row.key for row in ADDRESS}, "user_data.address.")
        else:
            making.note("user_data.address", "not an object")


def _properties(making: Making, given: Any) -> None:
    if not isinstance(given, dict):
        return
    found = {}
    for key, value in given.items():
        plain = value.get("value") if isinstance(value, dict) else value
        if isinstance(plain, str | int | float) and len(key) <= 128:
            found[key] = plain
        elif plain is not None:
            making.note(named("user_properties.", key), "not a text or a number")
    if found:
        making.put("custom_data.user_properties", found, "user_properties")


def _consent(body: Mapping[str, Any]) -> Any:
    """What a body says of consent; `None` if it says nothing: `…/reference#consent`, and the other keys of an event's.

    Flags that the format does not know are taken in its spelling too. The region is where `user_location` says that the
    visitor is, unless the consent names one.
    """
    given = body.get("consent")
    if given is not None and not isinstance(given, dict):
        return given  # the schema refuses it: what was meant may have been a denial
    said: dict[str, Any] = {}
    for key, value in (given or {}).items():
        if value in (None, "", "CONSENT_STATUS_UNSPECIFIED"):
            continue
        said[key] = value.lower() if key in FLAGS and isinstance(value, str) else value
    if body.get("non_personalized_ads") not in (None, False, 0, "", "0", "false"):
        said["ad_personalization"] = "denied"
    place = body.get("user_location")
    if "region" not in said and isinstance(place, dict) and (region := _region(place)):
        said["region"] = region
    return said or None


def _region(place: Mapping[str, Any]) -> str | None:
    for key in ("region_id", "country_id"):
        value = place.get(key)
        if isinstance(value, str) and schema.fits("consent", "region", value):
            return value
    return None
