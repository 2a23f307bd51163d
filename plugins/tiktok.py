"""TikTok Events API 2.0. Verified against v1.3, 2026-11.  Docs: https://business-api.tiktok.com/portal/docs

One endpoint for four event sources: `web` (a pixel), `app`, `offline` and `crm` (event sets). A request is taken or
refused as a whole, and the HTTP status is 200 either way: the `code` in the body is the answer.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gateway.plugin import (
    Batch,
    Destination,
    Event,
    Field,
    Header,
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

URL = "https://business-api.tiktok.com/open_api/v1.3/event/track/"  # the last slash belongs to it
DAY_S = 86400

ID = {"type": "string", "pattern": "^\\S+$"}
# fmt: off
CONFIG = {
    "type": "object",
    "required": ["pixel_code", "access_token"],
    "properties": {
        "pixel_code": {"type": "string", "pattern": "^[A-Za-z0-9]{8,40}$",
            "description": "The pixel: takes events with action_source website."},
        "access_token": {**ID, "writeOnly": True,
            "description": "From Events Manager: pixel, Settings, Generate access token. Without `Bearer`."},
        "test_event_code": {**ID,
            "description": "From Events Manager: Test events. Only test events carry it; "
            "without it they are not sent."},
        "app_id": {**ID, "description": "TikTok app id: takes events with action_source app."},
        "offline_event_set_id": {**ID,
            "description": "Offline event set: takes what happened neither on the website nor in the app."},
        "crm_event_set_id": {**ID,
            "description": "CRM event set: takes the later stages of a TikTok lead, events with tiktok_lead_id."},
        "purchase_event_name": {"enum": ["Purchase", "CompletePayment"], "default": "Purchase",
            "description": "What the pixel calls a Purchase. If the names differ, both may count."},
        "page_view_event_name": {"enum": ["PageView", "Pageview"], "default": "PageView",
            "description": "What the pixel calls a PageView. It is sent only if `events` asks for it."},
        "require_page_url": {"type": "boolean", "default": True,
            "description": "Skip website events without event_source_url. Whether TikTok refuses them is not known."},
        "web_app_max_age_days": {"type": "number", "exclusiveMinimum": 0, "maximum": 28, "default": 7,
            "description": "Website and app events older than this are not sent. TikTok publishes no limit."},
        "partner_name": {"type": "string", "minLength": 1, "description": "Only if TikTok gave you one."},
    },
}
# fmt: on

# Where an event goes follows from its action_source. All others are offline, or crm when they carry a TikTok lead id.
SOURCES = {"website": "web", "app": "app", "physical_store": "offline"}
SOURCE_IDS = {"web": "pixel_code", "app": "app_id", "offline": "offline_event_set_id", "crm": "crm_event_set_id"}

# https://ads.tiktok.com/help/article/supported-standard-events. Any other name is sent as a custom event.
STANDARD = (
    "AddPaymentInfo AddToCart AddToWishlist CompleteRegistration Contact CustomizeProduct Download FindLocation "
    "InitiateCheckout Lead Purchase Schedule Search StartTrial SubmitApplication Subscribe ViewContent"
)
# PageView is not in TikTok's list and must be spelt as the pixel does; Refund TikTok does not have: it is only sent
# under a name that the operator chose, as a custom event.
OFF_BY_DEFAULT = frozenset({"PageView", "Refund"})
NAMES = {name: name for name in (*STANDARD.split(), *OFF_BY_DEFAULT)} | {
    "AppInstall": "InstallApp",
    "AppOpen": "LaunchAPP",
}
APP_NAMES = {
    "Purchase": "Purchase",  # whatever the pixel calls it
    "Lead": "GenerateLead",
    "InitiateCheckout": "Checkout",
    "CompleteRegistration": "Registration",
}
APP_ONLY = frozenset({"AppInstall", "AppOpen"})
#: Without a name among app events, unless the operator gives them one.
NOT_APP = frozenset("Contact Schedule FindLocation CustomizeProduct SubmitApplication Download PageView".split())
#: What a refund may not be called: it would count as a purchase.
NOT_REFUND = frozenset({"Refund", "Purchase", "CompletePayment"})
# Names that TikTok counts as another one, outside apps: https://ads.tiktok.com/help/article/reserved-events
# fmt: off
RESERVED = {
    "AddBilling": "AddPaymentInfo", "Browse": "PageView", "Checkout": "PlaceAnOrder", "ClickForm": "Lead",
    "ClickInDownloadPage": "ClickButton", "ClickToDownload": "Download", "Consult": "Contact",
    "ConsultByPhone": "Contact", "CompletePayment": "Purchase", "Registration": "CompleteRegistration",
    "StartCheckout": "InitiateCheckout", "ViewConsultationPage": "ViewContent", "ViewDownloadPage": "ViewContent",
    "ViewForm": "ViewContent",
}
# fmt: on
NAME = re.compile(r"[A-Za-z0-9_]{1,50}")  # the length is unverified

page_url = convert.matching(r"(?i:https?)://\S+")
LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
ATT_STATUSES = ("AUTHORIZED", "DENIED", "NOT_DETERMINED", "RESTRICTED", "NOT_APPLICABLE")
ATT_BY_LETTERS = {status.replace("_", ""): status for status in ATT_STATUSES}


def locale(value: Any) -> str | None:
    """BCP 47, the first one of an Accept-Language list: `en-US`."""
    first = re.split("[,;]", convert.text(value))[0].strip()
    return first.replace("_", "-") if LOCALE.fullmatch(first) else None


def madid_of(system: str) -> Callable[[Event], Any]:
    """Digests of the advertising id, if the app runs on this system: without `app.os` it is neither's."""
    return lambda event: event.digests.get("madid") if convert.mobile_system(event) == system else None


def att_status(event: Event) -> str | None:
    """App Tracking Transparency, however it is spelt (`notDetermined`); on iOS else a yes or no to tracking."""
    status, allowed = event.app.get("att_status"), event.app.get("advertiser_tracking_enabled")
    if status is None and allowed is not None and convert.mobile_system(event) == "ios":
        status = "AUTHORIZED" if allowed else "DENIED"
    return ATT_BY_LETTERS.get(re.sub("[^A-Z]", "", status.upper())) if isinstance(status, str) else None


def app_locale(event: Event) -> Any:
    """The visitor's language, else that of the app."""
    return event.user_data.get("language") or event.app.get("locale")


def same(group: str, source: str, keys: str) -> tuple[Field, ...]:
    """Texts that TikTok calls as we do. It refuses an id that is a number (40002)."""
    return tuple(Field(f"{group}.{key}", f"{source}.{key}", as_=convert.text) for key in keys.split())


HANDOVER = convert.one_of("in_store", "curbside", "home_delivery")
# https://ads.tiktok.com/help/article/standard-events-parameters
CONTENT = (
    Field("content_id", "id", as_=convert.text),
    Field("content_name", "title", as_=convert.text),
    Field("content_category", "category", as_=convert.text),
    Field("brand", "brand", as_=convert.text),
    Field("price", "item_price", as_=convert.number),  # as text it is refused (40000)
    Field("quantity", "quantity", as_=convert.number),
)
COMMON = (
    Field("event_time", "event_time", as_=int, required=True),
    Field("event_id", "event_id", required=True),  # with the name: TikTok's dedup key, 48 h
    # An event without any identifier is taken, and may still enrich what the pixel sent under the same id.
    Field("user.email", "digests.email", many=True),
    Field("user.phone", "digests.phone", many=True),
    Field("user.external_id", "digests.external_id", many=True),
    Field("user.first_name", "digests.first_name"),
    Field("user.last_name", "digests.last_name"),
    Field("user.zip_code", "digests.zip"),
    Field("user.city", "clear.city"),
    Field("user.state", "clear.state"),
    Field("user.country", "clear.country"),
    Field("user.ip", "user_data.client_ip_address", as_=convert.public_address),
    Field("user.user_agent", "user_data.client_user_agent"),
    Field("properties.value", "custom_data.value", as_=convert.number),
    Field("properties.predicted_ltv", "custom_data.predicted_ltv", as_=convert.number),
    Field("properties.num_items", "custom_data.num_items", as_=convert.whole),
    Field("properties.contents", "custom_data.contents", each=CONTENT),
    Field("properties.content_ids", "custom_data.content_ids", many=True, as_=convert.text),
    Field("properties.content_type", "custom_data.content_type", as_=convert.one_of("product", "product_group")),
    Field("properties.query", "custom_data.search_string", as_=convert.text),  # the old name; the new one is below
    Field("properties.delivery_category", "custom_data.delivery_category", as_=HANDOVER),
    *same("properties", "custom_data", "currency order_id shop_id search_string description"),
)
FIELDS = {
    "web": (
        *COMMON,
        Field("user.ttclid", "user_data.ttclid"),
        Field("user.ttp", "user_data.ttp"),
        Field("user.locale", "user_data.language", as_=locale),
        Field("page.url", "event_source_url", as_=page_url),
        Field("page.referrer", "referrer_url"),
    ),
    "app": (
        *COMMON,
        Field("user.idfa", madid_of("ios")),
        Field("user.gaid", madid_of("android")),
        Field("user.idfv", "user_data.idfv"),
        Field("user.att_status", att_status),
        Field("user.locale", app_locale, as_=locale),
        Field("app.app_id", lambda event: event.app.get("id") or event.app.get("package_name"), as_=convert.text),
        Field("app.app_name", "app.name"),
        Field("app.app_version", "app.version"),
        *same("ad", "app.attribution", "callback campaign_id ad_id creative_id attribution_type attribution_provider"),
        Field("ad.is_retargeting", "app.attribution.is_retargeting", as_=convert.flag),
        Field("ad.attributed", "app.attribution.attributed", as_=convert.flag),
    ),
    "offline": COMMON,
    "crm": (
        *COMMON,
        Field("lead.lead_id", "user_data.tiktok_lead_id", as_=convert.text, required=True),
        Field("lead.lead_event_source", "custom_data.lead_event_source", as_=convert.text),
    ),
}

# 4xxxx that are not here: an event is wrong. 5xxxx: TikTok's own trouble. The meanings of 40016, 40132, 40133, 51021
# and of the codes from 40106 on come from other connectors and are unverified.
THROTTLED_S = 1
CODES: Mapping[int, Verdict] = {
    40001: verdicts.pause(),  # no permission for this pixel, app or event set
    **dict.fromkeys((40016, 40100, 40132, 40133, 51021), verdicts.retry(after_s=THROTTLED_S)),  # too many requests
    **dict.fromkeys((*range(40101, 40111), 40115, 40131), verdicts.pause()),  # token wrong, empty, expired or revoked
}


def names(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Canonical name → what web, offline and crm events are called."""
    purchase, page_view = config.get("purchase_event_name"), config.get("page_view_event_name")
    return NAMES | {"Purchase": purchase or "Purchase", "PageView": page_view or "PageView"}


def source_of(event: Event) -> str:
    """TikTok's event source: web, app, offline or crm."""
    return SOURCES.get(event.action_source) or ("crm" if event.user_data.get("tiktok_lead_id") else "offline")


def group_key(event: Event, config: Mapping[str, Any]) -> tuple[str, str | None]:
    """The envelope names one source, so that a request can carry no other."""
    source = source_of(event)
    return source, config.get(SOURCE_IDS[source])


def name_of(event: Event, source: str, config: Mapping[str, Any]) -> str | Skip:
    """TikTok's name of the event, in the words of its source; a name that an operator chose stays as it is."""
    name = event.platform_name
    if event.event_name == "Refund" and name in NOT_REFUND:
        return Skip("unsupported", "event_name", "TikTok takes no refunds")
    if source == "app":
        if name == names(config).get(event.event_name):  # nobody chose another one
            name = APP_NAMES.get(event.event_name, name)
            if event.event_name in NOT_APP:
                return Skip("unsupported", "action_source", f"TikTok does not know {event.event_name} of apps")
    elif event.event_name in APP_ONLY:
        return Skip("unsupported", "action_source", f"TikTok knows {event.event_name} only of apps")
    elif name in RESERVED and (event.event_name, name) != ("Purchase", "CompletePayment"):
        return Skip("invalid_field", "event_name", f"TikTok counts {name} as {RESERVED[name]}: use another name")
    if not NAME.fullmatch(name):
        message = "TikTok takes letters, digits and underscores, at most 50: give it another name in `events`"
        return Skip("invalid_field", "event_name", message)
    return name


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one entry of `data`; Skip when its source is not configured or TikTok cannot take it."""
    source = source_of(event)
    if not config.get(SOURCE_IDS[source]):
        message = f"{event.action_source} events need {SOURCE_IDS[source]} in the configuration"
        return Skip("source_not_configured", "action_source", message)
    if event.limited and source not in ("web", "app"):
        return Skip("unsupported", "action_source", f"TikTok has no limited data use for {source} events")
    if source == "web" and config.get("require_page_url", True) and not page_url(event.event_source_url or ""):
        return Skip("invalid_field" if event.event_source_url else "missing_field", "event_source_url")
    name = name_of(event, source, config)
    item = name if isinstance(name, Skip) else apply(FIELDS[source], event)
    if isinstance(item, Skip):
        return item
    properties = item.get("properties")
    if isinstance(properties, dict) and "contents" in properties:
        properties.setdefault("content_type", "product")
        properties.pop("content_ids", None)  # TikTok reads them only where there are no contents
    if event.consent.ad_storage == "denied":
        item.pop("ad", None)  # its callback names a click; limited mode denies ad_storage too
    if source in ("web", "app"):
        item["limited_data_use"] = event.limited  # a signal of US state law, said either way
    return {"event": name, **item}


def build_request(batch: Batch, config: Mapping[str, Any]) -> Request:
    """One envelope around the events of one source. The test code makes all of a request tests."""
    source, source_id = batch.group
    return envelope(source, source_id, list(batch), config, test=batch.test)


def envelope(source: str, source_id: str, data: list[Any], config: Mapping[str, Any], *, test: bool) -> Request:
    """The request with `data` in it; a key that is not configured is left out."""
    test_event_code = config.get("test_event_code") if test else None
    optional = {"test_event_code": test_event_code, "partner_name": config.get("partner_name")}
    given = {key: value for key, value in optional.items() if value}
    return Request("POST", URL, json={"event_source": source, "event_source_id": source_id, **given, "data": data})


#: `Invalid value for event_id: …`, `Batch.0.properties.contents.0.content_id: …`
BLAMED = re.compile(r"Invalid value for ([A-Za-z_.]{1,80}):|Batch\.\d+\.([A-Za-z0-9_.]{1,120}):")


def classify(response: Response, n: int) -> Verdict | list[Verdict]:
    """The status where it says more than a body can (a bad token may come as 401 without one), else `code`."""
    code, ok = response.find("code"), 200 <= response.status < 300
    if response.status == 429:
        return replace(verdicts.by_status(response, n), after_s=THROTTLED_S)
    if response.status in (401, 403, 413) or response.status >= 500:
        return verdicts.by_status(response, n)
    if isinstance(code, bool) or not isinstance(code, int) or (code in (0, 20001) and not ok):
        # Under 200 this is some proxy's page, not TikTok's answer.
        return verdicts.retry("unreadable", "not an answer of TikTok") if ok else verdicts.by_status(response, n)
    words = verdicts.shorten(f"{response.find('message') or ''} (request {response.find('request_id') or 'unnamed'})")
    if code == 0:
        return verdicts.delivered(message=words)
    if code == 20001:
        return partial(response, words, n)
    if code in CODES:
        return replace(CODES[code], code=str(code), message=words)
    if 40000 <= code < 50000:
        return verdicts.refused(str(code), words, n, blamed(response) if code == 40002 else "")
    if 50000 <= code < 60000:  # TikTok's own trouble, or a permission in disguise: then an operator must act
        return verdicts.retry(str(code), words, tries=10, then_pause=True)
    return verdicts.retry(str(code), words, tries=5)


def blamed(response: Response) -> str:
    """The field that a 40002 names, without its place in a list; the two forms that were seen of it."""
    found = BLAMED.match(str(response.find("message") or ""))
    return re.sub(r"\.\d+(?=\.|$)", "", found[1] or found[2]) if found else ""


def partial(response: Response, words: str, n: int) -> Verdict | list[Verdict]:
    """20001, partially successful. How TikTok names the failed is unverified: without an index all count as taken."""
    failed = response.find("data.failed_events")
    taken, lost = verdicts.delivered("20001", words), verdicts.reject("20001", words)
    if not isinstance(failed, list) or not failed:
        return taken
    if n == 1:
        return lost
    found = {one["index"]: one for one in failed if isinstance(one, dict) and type(one.get("index")) is int}
    why = {at: verdicts.reject("20001", str(one.get("message") or words)) for at, one in found.items()}
    return [why.get(at, taken) for at in range(n)] if why else taken


def age_limit(event: Event, config: Mapping[str, Any]) -> float:
    """Offline and crm events count for 28 days; for the others TikTok publishes no limit, so that it is a setting."""
    web_app = event.action_source in ("website", "app")
    return float(config.get("web_app_max_age_days", 7) if web_app else 28) * DAY_S


def accepts_test(config: Mapping[str, Any]) -> bool:
    """There is no validate-only mode: without the code a test would count."""
    return bool(config.get("test_event_code"))


def probe(config: Mapping[str, Any], now: int) -> Request:
    """A made-up event in test mode, where code 0 says that the token is good.

    Without a test code, a request without events: it cannot count, and a good token gets 40002 for it, a bad one 40105.
    """
    event = {
        "event": "ViewContent",
        "event_time": now,
        "event_id": f"gateway-probe-{now}",
        "user": {"user_agent": "conversions-gateway probe"},
        "page": {"url": "https://example.com/"},
        "limited_data_use": False,
    }
    data = [event] if accepts_test(config) else []
    return envelope("web", config["pixel_code"], data, config, test=True)


TIKTOK = Destination(
    name="tiktok",
    api_version="v1.3",
    docs="https://business-api.tiktok.com/portal/docs",
    config_schema=CONFIG,
    names=names,
    custom_names=True,
    off_by_default=OFF_BY_DEFAULT,
    limited=frozenset({"US"}),
    digests={
        "email": "email_plain",
        "phone": "phone_e164",  # with the +
        "external_id": "id_trimmed",  # case kept, as TikTok's own tag does: it must be what the pixel hashes
        "first_name": "name_compact",
        "last_name": "name_compact",
        "zip": "zip_compact",
        "madid": "madid_lowercase",
    },
    clear={"city": "city_compact", "state": "state_code", "country": "country_lower"},
    auth=Header("Access-Token", "access_token"),
    # 1,000 requests a second are allowed; the size of a body is not published.
    limits=Limits(batch=1000, bytes=1_000_000, concurrency=10, max_age_s=28 * DAY_S, timeout_s=10),
    # Dedup ends after 48 h: https://ads.tiktok.com/help/article/event-deduplication
    retry=Retry(first_s=1, factor=2, max_s=60, give_up_s=47 * 3600, unseen_s=47 * 3600),
    group_key=group_key,
    age_limit=age_limit,
    accepts_test=accepts_test,
    map_event=map_event,
    build_request=build_request,
    classify=classify,
    probe=probe,
)


@hookimpl
def register_destinations() -> list[Destination]:
    """The one destination of this file."""
    return [TIKTOK]
