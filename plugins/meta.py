"""Meta Conversions API. Verified against v25.0, 2026-11.

Docs: https://developers.facebook.com/docs/marketing-api/conversions-api, of which `…/` below is short.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from gateway.plugin import (
    Batch,
    Bearer,
    Destination,
    Event,
    Field,
    Limits,
    Proof,
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

WORD = {"type": "string", "minLength": 1}
SECRET = {**WORD, "writeOnly": True}
# fmt: off
CONFIG = {
    "type": "object",
    "required": ["pixel_id", "access_token"],
    "properties": {
        "pixel_id": {"type": ["string", "integer"], "pattern": "^[A-Za-z0-9_-]+$", "minimum": 1,
            "description": "Dataset id (once called pixel id), the digits in Events Manager."},
        "access_token": {**SECRET,
            "description": "System user token, or the token from Events Manager, dataset, Settings."},
        "api_version": {**WORD, "pattern": "^v[0-9]+\\.[0-9]+$", "default": "v25.0",
            "description": "Graph API version. Meta retires one after 8 to 12 months and warns in a header before."},
        "test_event_code": {**WORD,
            "description": "Code from Events Manager, Test Events, for test events. Meta counts them as real all the "
            "same: set it only for a dataset that is kept for tests."},
        "app_secret": {**SECRET,
            "description": "Secret of the Meta app, for `appsecret_proof`. Needed only if the app enforces it."},
        "app_names": {"type": "string", "enum": ["mobile", "standard"], "default": "mobile",
            "description": "App events under the names of Meta's mobile SDKs (`fb_mobile_purchase`, `_valueToSum`) or "
            "under those of web events (`Purchase`, `value`). Meta shows both; where an SDK sends the same events "
            "its names are needed, or they count twice."},
        "crm_name": {**WORD, "default": "CRM",
            "description": "Name of the CRM, for lead stages without `custom_data.lead_event_source`."},
    },
}
# fmt: on

# https://developers.facebook.com/docs/meta-pixel/reference: any name that is not here is a custom event. Refund is not
# here because Meta has neither refunds nor retractions; under a name of its own (`events` in gateway.toml) it can go.
STANDARD = (
    *("PageView", "ViewContent", "Search", "AddToCart", "AddToWishlist", "InitiateCheckout", "AddPaymentInfo", "Lead"),
    *("Purchase", "CompleteRegistration", "Subscribe", "StartTrial", "Contact", "Schedule", "SubmitApplication"),
    *("Donate", "FindLocation", "CustomizeProduct"),
)
CRM_STAGES = ("QualifiedLead", "ConvertedLead", "DisqualifiedLead")
OFF_BY_DEFAULT = ("RemoveFromCart", "ViewCart", "AddShippingInfo", "Login", "Share", "Download", "AdClick", "AdView")
APP_ONLY = {"AppInstall": "MOBILE_APP_INSTALL", "AppOpen": "fb_mobile_activate_app"}
NAMES = {name: name for name in (*STANDARD, "ViewCategory", "WatchVideo", *CRM_STAGES, *OFF_BY_DEFAULT)} | APP_ONLY

# https://developers.facebook.com/docs/app-events/reference. That CompleteRegistration is taken so over this API is not
# confirmed. …/app-events shows Purchase, MobileAppInstall, currency and value instead: `app_names = "standard"`.
# fmt: off
MOBILE_NAMES = {
    "ViewContent": "fb_mobile_content_view", "Search": "fb_mobile_search", "AddToCart": "fb_mobile_add_to_cart",
    "AddToWishlist": "fb_mobile_add_to_wishlist", "InitiateCheckout": "fb_mobile_initiated_checkout",
    "AddPaymentInfo": "fb_mobile_add_payment_info", "Purchase": "fb_mobile_purchase",
    "CompleteRegistration": "fb_mobile_complete_registration",
}
MOBILE_CUSTOM_DATA = {
    "value": "_valueToSum", "currency": "fb_currency", "contents": "fb_content", "content_ids": "fb_content_id",
    "content_type": "fb_content_type", "num_items": "fb_num_items", "search_string": "fb_search_string",
    "order_id": "fb_order_id", "sign_up_method": "fb_registration_method",
}
# fmt: on
STANDARD_APP_NAMES = {APP_ONLY["AppInstall"]: "MobileAppInstall"}

# …/business-messaging. Other names fail on WhatsApp (100/2804066); Messenger and Instagram are held to the same list.
MESSAGING_NAMES = {"Lead": "LeadSubmitted"} | {
    name: name for name in ("LeadSubmitted", "Purchase", "AddToCart", "InitiateCheckout", "ViewContent")
}

# https://developers.facebook.com/docs/marketing-apis/data-processing-options: the states of Limited Data Use, 1000 for
# CA to 1013 for RI; 0 lets Meta find the state by the IP address. Elsewhere the flag has no effect.
LDU_CODES = ("CA", "CO", "CT", "FL", "OR", "TX", "MT", "DE", "NE", "NH", "NJ", "MN", "MD", "RI")
LDU_STATES = {"US": 0} | {f"US-{state}": code for code, state in enumerate(LDU_CODES, 1000)}

# …/parameters/customer-information-parameters: an event with no other identifiers than one of these sets is refused.
TOO_WEAK = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
WEAK = frozenset[str]().union(*TOO_WEAK)
# Match key → Meta's key in user_data, and the rule of its digests.
MATCH_KEYS = {
    "email": ("em", "email_plain"),
    "phone": ("ph", "phone_digits"),
    "first_name": ("fn", "name_spaced"),
    "last_name": ("ln", "name_spaced"),
    "gender": ("ge", "gender_fm"),
    "date_of_birth": ("db", "date_yyyymmdd"),
    "city": ("ct", "city_letters"),
    "state": ("st", "state_code"),
    "zip": ("zp", "zip_us5"),
    "country": ("country", "country_lower"),
    "external_id": ("external_id", "id_trimmed"),  # the pixel must send the same bytes
}


def digits(rule: str) -> Callable[[Any], int | None]:
    """An id that Meta takes as a JSON number."""
    of_form = convert.matching(rule)
    return lambda value: int(found) if (found := of_form(value)) else None


def content_type(event: Event) -> Any:
    """`content_type`, which Meta wants beside product ids."""
    custom = event.custom_data
    return custom.get("content_type") or ("product" if custom.get("content_ids") or custom.get("contents") else None)


def opt_out(event: Event) -> bool | None:
    """True for measurement without personalisation: attribution only, no use for ad delivery.

    Only seen where an operator has taken `ad_personalization` out of the purposes that Meta requires.
    """
    return True if event.consent.ad_personalization == "denied" and not event.limited else None


def advertiser_tracking(event: Event) -> int:
    """The system's permission to track, as told, else by ATT's status; on iOS it takes a yes, elsewhere nobody asks."""
    told, status = event.app.get("advertiser_tracking_enabled"), str(event.app.get("att_status") or "").lower()
    if event.limited or told in (False, 0) or status in ("denied", "restricted"):
        return 0
    unasked = status in ("", "not_applicable") and convert.mobile_system(event) != "ios"
    return int(told in (True, 1) or status == "authorized" or unasked)


def application_tracking(event: Event) -> int:
    """The choice in the app's own settings: an event that is here was not opted out of."""
    return int(bool(event.app.get("application_tracking_enabled", True)) and not event.limited)


def same(group: str, keys: str, as_: Callable[[Any], Any] = convert.text) -> tuple[Field, ...]:
    """What Meta calls as we do."""
    return tuple(Field(f"{group}.{key}", f"{group}.{key}", as_=as_) for key in keys.split())


def conversation(required: str, optional: str = "") -> tuple[Field, ...]:
    """Rows for the ids of a messaging channel: no URL, IP address, user agent, fbc or fbp beside them."""
    ids = {**dict.fromkeys(required.split(), True), **dict.fromkeys(optional.split(), False)}
    rows = (Field(f"user_data.{key}", f"messaging.{key}", must, as_=convert.text) for key, must in ids.items())
    return (*COMMON, Field("messaging_channel", "messaging.channel", required=True), *rows)


URL = convert.matching(r"https?://\S+")
HANDOVER = convert.one_of("in_store", "curbside", "home_delivery")
SEGMENT = convert.matching(
    "(new|existing)_customer_to_(business|business_line|product_area|medium)|customer_in_loyalty_program"
)

CONTENT = (
    Field("id", "id", required=True, as_=convert.text),
    Field("quantity", "quantity", as_=convert.whole),
    Field("item_price", "item_price", as_=convert.number),
    *(Field(key, key, as_=convert.text) for key in ("title", "description", "brand", "category")),
    Field("delivery_category", "delivery_category", as_=HANDOVER),
)
COMMON = (
    # …/parameters/server-event
    Field("event_time", "event_time", required=True, as_=int),
    Field("event_id", "event_id", required=True),  # with event_name the dedup key, for 48 h
    Field("opt_out", opt_out),
    Field("customer_segmentation", "custom_data.customer_segmentation", as_=SEGMENT),  # or inside custom_data: unclear
    Field("original_event_data.event_name", "original_event.event_name", as_=lambda name: NAMES.get(name, name)),
    Field("original_event_data.event_time", "original_event.event_time", as_=convert.seconds),
    Field("original_event_data.order_id", "original_event.order_id", as_=convert.text),
    Field("original_event_data.event_id", "original_event.event_id", as_=convert.text),
    # …/parameters/customer-information-parameters
    *(Field(f"user_data.{name}", f"digests.{key}", many=True) for key, (name, _) in MATCH_KEYS.items()),
    *same("user_data", "subscription_id partner_id"),
    Field("user_data.fb_login_id", "user_data.fb_login_id", as_=digits(r"\d{1,19}")),
    Field("user_data.lead_id", "user_data.meta_lead_id", as_=digits(r"\d{15,16}")),  # a wrong one sinks the request
    # …/parameters/custom-data
    *same("custom_data", "currency"),
    *same("custom_data", "value net_revenue predicted_ltv", convert.number),
    *same("custom_data", "order_id"),
    Field("custom_data.content_type", content_type, as_=convert.text),
    Field("custom_data.content_ids", "custom_data.content_ids", many=True, as_=convert.text),
    Field("custom_data.contents", "custom_data.contents", each=CONTENT),
    *same("custom_data", "num_items", convert.whole),
    *same("custom_data", "delivery_category", HANDOVER),
)
BROWSER = (
    Field("referrer_url", "referrer_url", as_=URL),
    Field("user_data.client_ip_address", "user_data.client_ip_address"),
    Field("user_data.client_user_agent", "user_data.client_user_agent"),  # asked for on websites, not insisted on
    Field("user_data.fbc", "user_data.fbc"),  # …/parameters/fbp-and-fbc: case-sensitive, forwarded as they are
    Field("user_data.fbp", "user_data.fbp"),
)
ELSEWHERE = (*COMMON, *BROWSER, Field("event_source_url", "event_source_url", as_=URL))
#: Rows for each action source or, in business messaging, each channel; ELSEWHERE for all others.
FLOWS = {
    "website": (*COMMON, *BROWSER, Field("event_source_url", "event_source_url", required=True, as_=URL)),
    "app": (  # …/parameters/app-data
        *ELSEWHERE,
        Field("user_data.madid", "user_data.madid", as_=convert.madid),
        Field("user_data.anon_id", "app.install_id", as_=convert.text),
        Field("app_data.advertiser_tracking_enabled", advertiser_tracking),
        Field("app_data.application_tracking_enabled", application_tracking),
        Field("app_data.extinfo", convert.extinfo, many=True),
        Field("app_data.vendor_id", "user_data.idfv"),
        Field("app_data.campaign_ids", "app.campaign_ids", as_=convert.text),
        Field("app_data.install_referrer", "app.install_referrer"),
        Field("app_data.installer_package", "app.installer_package"),
        Field("app_data.url_schemes", "app.url_schemes", many=True),
    ),
    "whatsapp": conversation("ctwa_clid", "whatsapp_business_account_id"),  # …/business-messaging
    "messenger": conversation("page_id page_scoped_user_id"),
    "instagram": conversation("ig_account_id ig_sid"),
}
# Any scalar of custom_data is a custom parameter at Meta, but for those of the table, those that say nothing there and
# those about a person: Meta may block a dataset for them. The door has taken these out already; this is the last line.
NOT_CUSTOM = {row.to.removeprefix("custom_data.") for row in COMMON if row.to.startswith("custom_data.")} | {
    *("merchant_id", "merchant_feed_label", "merchant_feed_language", "conversion_count", "shop_id", "refund_id"),
    *("remaining_value", "description", "customer_segmentation"),
}
# fmt: off
#: Words that make a key one of a person, wherever they stand in it: `customer_email`, `billingAddress`.
PERSONAL_WORDS = frozenset((
    *("email", "emails", "mail", "phone", "phones", "telephone", "tel", "msisdn", "fax", "address", "dob", "birth"),
    *("birthday", "birthdate", "firstname", "lastname", "fullname", "username", "nickname", "surname", "ssn"),
))
#: The same for a whole key, and after a word for a person: `name`, `customer_name`, but not `plan_name`.
PERSONAL_KEYS = frozenset((
    *("name", "names", "contact", "contacts", "person", "persons", "mobile", "cell", "zip", "zipcode", "postcode"),
    *("postalcode", "em", "ph", "fn", "ln", "db", "ge"),
))
PERSONS = frozenset((
    *("first", "last", "full", "middle", "given", "family", "user", "customer", "client", "contact", "person", "buyer"),
    *("guest", "member", "patient", "billing", "shipping", "your", "my"),
))
# fmt: on
KEY_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
#: A phone number with its plus or with separators, or nothing but the ten digits of North America; a date is none.
PHONE = re.compile(
    r"\+[ (]{0,2}[1-9](?:[ ().\-/]{0,3}\d){6,14}(?!\d)"
    r"|^1?[2-9]\d\d[2-9]\d{6}$|(?<![\w.-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}(?![\w-])"
    r"|(?<![\w.-])(?!\d\d[ /-]\d\d[ /-](?:19|20)\d\d)\(?0\d{1,4}\)?[ /-]\d[\d -]{4,10}\d(?![\w-])"
)
ID_WORDS = frozenset({"id", "ids", "sku", "gtin", "isbn", "ref", "number", "code", "coupon"})


def personal(key: str, value: str | float) -> bool:
    """Whether a custom parameter is about a person: by its key, or by a phone number under a key that is no id's."""
    words = [word.lower() for word in KEY_WORD.findall(key)]
    if "".join(words) in PERSONAL_KEYS or not PERSONAL_WORDS.isdisjoint(words):
        return True
    if len(words) > 1 and words[-1] in PERSONAL_KEYS and words[-2] in PERSONS:
        return True
    return isinstance(value, str) and ID_WORDS.isdisjoint(words[-1:]) and PHONE.search(value) is not None


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one entry of `data`; Skip for what would make Meta refuse the whole request."""
    stage = is_stage(event)
    source = "system_generated" if stage else event.action_source
    name = name_of(event, source, config)
    if isinstance(name, Skip):
        return name
    table = FLOWS.get(event.messaging["channel"] if source == "business_messaging" else source, ELSEWHERE)
    item: dict[str, Any] | Skip = apply(table, event, event_name=name, action_source=source)
    if isinstance(item, Skip):
        return item
    custom = item.get("custom_data", {})
    for key, value in event.custom_data.items():
        scalar = isinstance(value, (str, int, float)) and value != ""
        if scalar and key not in NOT_CUSTOM and not personal(key, value):
            custom[key] = value
    if name in ("Purchase", MOBILE_NAMES["Purchase"]) and (lack := unpaid(event, custom)):
        return lack
    if stage:
        custom |= {"event_source": "crm", "lead_event_source": custom.get("lead_event_source") or config["crm_name"]}
    if source == "app" and config["app_names"] == "mobile":
        custom = {MOBILE_CUSTOM_DATA.get(key, key): value for key, value in custom.items()}
    if custom:
        item["custom_data"] = custom
    identity = item.get("user_data", {}).keys()
    if identity <= WEAK and any(identity <= weak for weak in TOO_WEAK):
        return Skip("no_identity", "user_data", "Meta refuses an event with so little to match on")
    return limit(item, event.region) if event.limited else item


def is_stage(event: Event) -> bool:
    """Lead stages come from the CRM, whatever the sender said: …/conversion-leads-integration/payload-specification."""
    if event.event_name in CRM_STAGES:
        return True
    says_crm = "meta_lead_id" in event.user_data or "lead_event_source" in event.custom_data
    return event.action_source == "system_generated" and says_crm


def name_of(event: Event, source: str, config: Mapping[str, Any]) -> str | Skip:
    """Meta's name in the words of the flow; Skip where Meta has no such event."""
    name = event.platform_name
    if event.event_name == "Refund" and name in ("Refund", *STANDARD):
        return Skip("unsupported", "event_name", "Meta has no refunds; map it to a custom name to build audiences")
    if source == "app":
        names = STANDARD_APP_NAMES if config["app_names"] == "standard" else MOBILE_NAMES
        return nameless_system(event) or names.get(name, name)
    if name in APP_ONLY.values():
        return Skip("unsupported", "action_source", "only an app event")
    if source != "business_messaging":
        return name
    if event.limited:
        return Skip("unsupported", "messaging", "what identifies a conversation may not go in limited mode")
    if event.messaging.get("channel") not in ("whatsapp", "messenger", "instagram"):
        return Skip("missing_field", "messaging.channel", "whatsapp, messenger or instagram")
    return MESSAGING_NAMES.get(name) or Skip("unsupported", "event_name", "Meta takes few names from conversations")


def nameless_system(event: Event) -> Skip | None:
    """What extinfo cannot do without."""
    if convert.mobile_system(event) is None:
        return Skip("invalid_field" if event.app.get("os") else "missing_field", "app.os", "Meta knows iOS and Android")
    return None if event.app.get("os_version") else Skip("missing_field", "app.os_version", "required in extinfo")


def unpaid(event: Event, custom: Mapping[str, Any]) -> Skip | None:
    """What a purchase lacks: without it 100/2804009."""
    for key in ("value", "currency"):
        if key not in custom:
            return Skip("invalid_field" if key in event.custom_data else "missing_field", f"custom_data.{key}")
    return None


def limit(item: dict[str, Any], region: str | None) -> dict[str, Any] | Skip:
    """Limited Data Use, where it has any effect."""
    state = LDU_STATES.get(region or "")
    if state is None:
        return Skip("unsupported", "consent.region", "Limited Data Use has no code for this region")
    if state == 0 and "client_ip_address" not in item["user_data"]:
        return Skip("missing_field", "user_data.client_ip_address", "Meta finds the state by it")
    flags = {"data_processing_options_country": 1, "data_processing_options_state": state}
    return {**item, "data_processing_options": ["LDU"], **flags}


def build_request(batch: Batch, config: Mapping[str, Any]) -> Request:
    """`{"data": […]}`, for a test batch with the code that shows the whole request under Test Events."""
    envelope: dict[str, Any] = {"data": list(batch)}
    if batch.test and config.get("test_event_code"):
        envelope["test_event_code"] = config["test_event_code"]
    url = f"https://graph.facebook.com/{config['api_version']}/{config['pixel_id']}/events"
    return Request("POST", url, json=envelope)


# https://developers.facebook.com/docs/marketing-api/error-reference and …/troubleshooting. Subcodes only tell the
# kind (190: 460 password changed, 463 expired, 467 invalid; 4, 17, 613: which limit), but for the ones below.
INTERNAL = verdicts.retry(tries=5)
CODES: dict[int, Verdict] = {
    **dict.fromkeys((1, 5000), INTERNAL),
    2: verdicts.retry(),
    # The app lacks a capability or a permission; login, appsecret_proof, token; no such path (api_version, pixel_id).
    **dict.fromkeys((3, 10, *range(200, 300), 102, 104, 190, 2500), verdicts.pause()),
    368: verdicts.pause(after_s=4 * 3600),  # blocked for a while for a breach of policy
    4: verdicts.retry(after_s=300),  # app rate limit; then those of user, page, application, account
    **dict.fromkeys((17, 32, 341, 613, 80000, 80003, 80004, 80014), verdicts.retry(after_s=60)),
    # A bad event, or one with too many parameters. Meta does not say which: all of the request is refused.
    **dict.fromkeys((100, 105), verdicts.reject()),
}
SUBCODES = {(100, 33): verdicts.pause()}  # no such dataset, or the token cannot see it


def classify(response: Response, n: int) -> Verdict:
    """The verdict for all `n` events: Meta takes or refuses a request as a whole."""
    error = response.find("error")
    if not isinstance(error, Mapping):
        return _taken(response, n) if 200 <= response.status < 300 else _paced(_not_meta(response, n), response)
    code, subcode = _code(error.get("code")), _code(error.get("error_subcode"))
    words = _words(error)
    verdict = SUBCODES.get((code or 0, subcode or 0)) or CODES.get(code or 0)
    if error.get("is_transient") is True:
        verdict = verdicts.retry(after_s=verdict.after_s if verdict and verdict.kind == "retry" else None)
    elif code is not None and code < 0:
        verdict = INTERNAL
    elif verdict is None or (verdict.kind == "reject" and (response.status == 429 or response.status >= 500)):
        verdict = INTERNAL if 200 <= response.status < 300 else verdicts.by_status(response, n)
    named = f"{code}/{subcode}" if subcode else str(code) if code is not None else verdict.code
    if verdict.kind == "reject":
        return verdicts.refused(named, words, n, _blamed(error))
    return _paced(replace(verdict, code=named, message=words), response)


def _blamed(error: Mapping[str, Any]) -> str:
    """The field of `error_data.blame_field_specs`, a list of paths, without the position of the event."""
    data = error.get("error_data")
    specs = data.get("blame_field_specs") if isinstance(data, Mapping) else None
    first = specs[0] if isinstance(specs, list) and specs and isinstance(specs[0], list) else []
    return ".".join(step for step in map(str, first) if not step.isdigit())


def _paced(verdict: Verdict, response: Response) -> Verdict:
    """HTTP 429 waits, whatever the code beside it."""
    if response.status == 429 and verdict.kind == "retry" and verdict.after_s is None:
        return replace(verdict, after_s=60)
    return verdict


def _taken(response: Response, n: int) -> Verdict:
    count, messages = response.find("events_received"), response.find("messages")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        return verdicts.retry("unread_answer", "no events_received under HTTP 2xx", tries=5)
    warning = response.headers.get("x-ad-api-version-warning")
    partly = f"events_received {count} of {n}" if count != n else ""
    said = (warning, f"fbtrace_id {response.find('fbtrace_id')}", partly, f"messages {messages}" if messages else "")
    code = "api_version_warning" if warning else "events_received" if partly else ""
    return verdicts.delivered(code, verdicts.shorten("; ".join(filter(None, said))))


def _not_meta(response: Response, n: int) -> Verdict:
    """HTML and the like comes from what stands in front of Meta and says nothing about the events."""
    verdict = verdicts.by_status(response, n)
    if verdict.kind in ("reject", "split") and response.status != 413:
        return verdicts.retry(verdict.code, verdict.message, tries=5)
    return verdict


def _code(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,9}", value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _words(error: Mapping[str, Any]) -> str:
    """Meta's words (in any language: for people only), the field it blames, and its trace id for support."""
    blamed = error.get("error_data")
    if isinstance(blamed, Mapping):
        blamed = blamed.get("blame_field_specs")
    for_people = (error.get("error_user_title"), error.get("error_user_msg"))
    said = (*for_people, error.get("message"), blamed, error.get("fbtrace_id"))
    return verdicts.shorten("; ".join(str(part) for part in said if part))


def serial_key(event: Event, config: Mapping[str, Any]) -> str | None:
    """The stages of a lead arrive in their order."""
    lead = event.user_data.get("meta_lead_id")
    return f"lead:{lead}" if lead and is_stage(event) else None


# …/using-the-api: one event past this age, and Meta refuses the whole request. An hour is for the way.
MAX_AGE_S = 7 * 86400 - 3600
MAX_AGE_STORE_S = 62 * 86400 - 3600


def age_limit(event: Event, config: Mapping[str, Any]) -> float:
    """Seconds after which Meta no longer takes this event: …/offline-events for store events."""
    return MAX_AGE_STORE_S if event.action_source == "physical_store" and not is_stage(event) else MAX_AGE_S


def group_key(event: Event, config: Mapping[str, Any]) -> tuple[float, bool]:
    """What may be 62 days old apart from the rest, or one would sink the others. Tests carry a code."""
    return age_limit(event, config), event.test


def accepts_test(config: Mapping[str, Any]) -> bool:
    """Meta counts test events, so only to a dataset that the operator named for tests by giving its code."""
    return bool(config.get("test_event_code"))


def probe(config: Mapping[str, Any], now: int) -> Request | None:
    """A test event, where there is a code. Without one nothing harmless shows that the token works.

    Any event would count as real, and the tokens of Events Manager may post events but not read the dataset.
    """
    if not accepts_test(config):
        return None
    someone = sha256(b"gateway probe").hexdigest()
    event = {"event_name": "GatewayProbe", "event_time": now, "event_id": f"gateway-probe-{now}"}
    event |= {"action_source": "other", "user_data": {"external_id": [someone]}}
    return build_request(Batch.of([event], test=True), config)


META = Destination(
    name="meta",
    api_version="v25.0",
    docs="https://developers.facebook.com/docs/marketing-api/conversions-api",
    config_schema=CONFIG,
    names=NAMES,
    custom_names=True,
    off_by_default=frozenset(OFF_BY_DEFAULT),
    limited=frozenset(LDU_STATES),
    limited_needs_ip=True,
    digests={key: rule for key, (_, rule) in MATCH_KEYS.items()},
    auth=(Bearer("access_token"), Proof("appsecret_proof", key="app_secret", message="access_token")),
    # Meta publishes no limit of bytes: this lets a request really hold 1,000 events with full carts.
    limits=Limits(batch=1000, bytes=8_000_000, max_age_s=MAX_AGE_S),
    # Beyond 48 h Meta no longer knows an event again: an answer that was never seen is not asked for after 47.
    retry=Retry(first_s=5, factor=2, max_s=3600, give_up_s=MAX_AGE_S, unseen_s=47 * 3600),
    map_event=map_event,
    build_request=build_request,
    classify=classify,
    group_key=group_key,
    serial_key=serial_key,
    age_limit=age_limit,
    accepts_test=accepts_test,
    probe=probe,
)


@hookimpl
def register_destinations() -> list[Destination]:
    """This file's destination."""
    return [META]
