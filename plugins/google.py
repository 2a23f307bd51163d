"""Google Ads conversions through the Data Manager API. Verified against v1 (release 1.8), 2026-11.

Docs: https://developers.google.com/data-manager/api/reference/rest/v1/events/ingest

- One invalid event refuses the whole request, which then was not processed at all.
- A 200 only means that the request was taken; `requestStatus:retrieve` tells the outcome, half an hour to a day later,
  as counts for each reason and never for a single event.
- A repeated `transactionId` updates the conversion. Retries are therefore harmless, and a refund restates the value of
  its purchase (0 when nothing is left; the conversion still counts as one).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, zip_longest
from typing import Any

from gateway.plugin import (
    Batch,
    Destination,
    Event,
    Field,
    FollowUp,
    Limits,
    OAuth,
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

HOST = "https://datamanager.googleapis.com"
DAY_S = 86400.0

ACCOUNT = {"type": ["string", "integer"], "pattern": r"^\d{3}-?\d{3}-?\d{4}$", "minimum": 10**9, "maximum": 10**10 - 1}
NUMBER = {"type": ["string", "integer"], "pattern": r"^\d{1,20}$", "minimum": 1}
TEXT = {"type": "string", "minLength": 1}
SECRET = {"type": "string", "minLength": 1, "writeOnly": True}
# fmt: off
ACTION = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {**NUMBER, "description": "`ctId` in the address of the action's page, not `AW-…/label`."},
        "mode": {"enum": ["offline", "multi_source"],
            "description": "`offline` (default): an import action (`UPLOAD_CLICKS`), to which no tag reports. "
            "`multi_source`: a website action (`WEBPAGE`) whose tag sends the same `transaction_id`."},
        "default_currency": {**TEXT, "pattern": "^[A-Z]{3}$",
            "description": "For a value that comes without currency."},
        "event_source": {"enum": ["WEB", "APP", "IN_STORE", "PHONE", "MESSAGE", "OTHER"],
            "description": "Instead of what `action_source` says, should Google want another for this action."},
    },
}
CONFIG: dict[str, Any] = {
    "type": "object",
    "required": ["customer_id", "conversion_actions"],
    "anyOf": [{"required": ["client_id", "client_secret", "refresh_token"]}, {"required": ["service_account_file"]}],
    "properties": {
        "customer_id": {**ACCOUNT, "description": "Google Ads account that owns the conversion actions, ten digits."},
        "conversion_actions": {
            "type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [NUMBER, ACTION]},
            "description": "Event name → id of its conversion action, or a table: `id`, `mode`, `default_currency`, "
            "`event_source`. Refund uses the action of Purchase and need not be listed."},
        "login_customer_id": {**ACCOUNT, "description": "Manager account that the credentials belong to, if any."},
        "client_id": {**TEXT, "description": "OAuth client, with `client_secret` and `refresh_token`."},
        "client_secret": {**SECRET, "description": "Secret of the OAuth client."},
        "refresh_token": {**SECRET, "description": "Granted for https://www.googleapis.com/auth/datamanager."},
        "service_account_file": {**TEXT, "description": "Key file of a service account, instead of a refresh token."},
        "token_url": {**TEXT, "description": "Replaces Google's token endpoint."},
        "quota_project": {**TEXT, "description": "`x-goog-user-project`; only for user credentials made by gcloud."},
        "send_ip": {"type": "boolean", "default": False,
            "description": "Send the IP address where the visitor's region is known and not in the EEA, the United "
            "Kingdom or Switzerland, where Google does not match by it."},
        "transaction_id_prefix": {"type": "string", "default": "", "maxLength": 64,
            "description": "Goes before each `transactionId`, when several shops share a conversion action. With "
            "`multi_source` the tag must send the same."},
        "merchant_id": {**NUMBER, "description": "Merchant Center id for carts of events that do not say one."},
        "merchant_feed_label": {**TEXT, "description": "As `merchant_id`: the feed label."},
        "merchant_feed_language": {**TEXT, "description": "As `merchant_id`: the feed's language, ISO 639-1."},
    },
}
# fmt: on


def names(config: Mapping[str, Any]) -> dict[str, str]:
    """What has a conversion action. A refund restates a purchase, so it comes along with one."""
    listed = {name: name for name in config.get("conversion_actions") or {}}
    return {**listed, "Refund": "Refund"} if "Purchase" in listed else listed


# …/events/ingest#EventSource; system_generated and other are OTHER
SOURCES = {"website": "WEB", "app": "APP", "physical_store": "IN_STORE", "phone_call": "PHONE"} | dict.fromkeys(
    ("chat", "email", "business_messaging"), "MESSAGE"
)
CONSENT_WORDS = {"granted": "CONSENT_GRANTED", "denied": "CONSENT_DENIED"}
CUSTOMER_TYPES = {"new": "NEW", "returning": "RETURNING", "reengaged": "REENGAGED"}
VALUE_BUCKET = "custom_data.user_properties.customer_value_bucket"
VALUE_BUCKETS = {"low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
MERCHANT = {
    "merchantId": "merchant_id",
    "merchantFeedLabel": "merchant_feed_label",
    "merchantFeedLanguageCode": "merchant_feed_language",
}
MAX_IDENTIFIERS = 10

#: Google matches no IP address from there (adIdentifiers, DeviceInfo). With the parts of EU states that have a code.
NO_IP = frozenset(
    "AT BE BG HR CY CZ DK EE FI FR DE GR HU IE IT LV LT LU MT NL PL PT RO SK SI ES SE IS LI NO GB CH "
    "AX GF GG GI GP IM JE MF MQ RE YT".split()
)

# Google publishes no acceptance window for events:ingest. These are the Google Ads windows: the longest click-through
# window, matching by user data alone, and restatement. `max_age` in gateway.toml can only shorten them.
CLICK_WINDOW_S = 90 * DAY_S
USER_DATA_WINDOW_S = 63 * DAY_S
RESTATEMENT_WINDOW_S = 54 * DAY_S


def rfc3339(value: Any) -> str:
    """The form of a protobuf timestamp in JSON, in UTC, with milliseconds if there are any."""
    moment = datetime.fromtimestamp(convert.moment(value), UTC)
    spec = "milliseconds" if moment.microsecond >= 1000 else "seconds"
    return moment.isoformat(timespec=spec).replace("+00:00", "Z")


def word(value: Any) -> str | None:
    """An id or a word out of any JSON as text, the first of several; `None` when there is none."""
    if isinstance(value, str):
        return value or None
    first = value[0] if isinstance(value, list | tuple) and value else value
    return (str(first) or None) if isinstance(first, str | int) and not isinstance(first, bool) else None


def customer_type(event: Event) -> str | None:
    """Whether the customer is new: as told, else by `new_customer`."""
    told, new = event.custom_data.get("customer_type"), event.custom_data.get("new_customer")
    if isinstance(told, str):
        return CUSTOMER_TYPES.get(told)
    return ("NEW" if new else "RETURNING") if isinstance(new, bool) else None


def user_data(event: Event) -> dict[str, Any] | None:
    """One identifier in each object, at most ten. An address only counts when it is complete, and then keeps its place.

    E-mails and phones take turns, so that no number of the one crowds out the other.
    """
    digests, clear = event.digests, event.clear
    people = zip(digests.get("first_name", ()), digests.get("last_name", ()), strict=False)
    region, postal = clear.get("country"), clear.get("zip")
    addresses = [
        {"address": {"givenName": given, "familyName": family, "regionCode": region, "postalCode": postal}}
        for given, family in list(people)[:2]
        if region and postal
    ]
    emails = ({"emailAddress": digest} for digest in digests.get("email", ()))
    phones = ({"phoneNumber": digest} for digest in digests.get("phone", ()))
    found = [one for one in chain.from_iterable(zip_longest(emails, phones)) if one]
    identifiers = [*found[: MAX_IDENTIFIERS - len(addresses)], *addresses]
    return {"userIdentifiers": identifiers} if identifiers else None


def click_ids(event: Event) -> dict[str, str]:
    """Click ids that may go together: gclid with gbraid, never with wbraid; of the braids alone the one that fits.

    `dclid`, `impression_id` and `match_id` belong to Floodlight accounts and are not sent to Google Ads.
    """
    ids = {key: found for key in ("gclid", "gbraid", "wbraid") if (found := event.user_data.get(key))}
    if "gclid" in ids:
        ids.pop("wbraid", None)
    elif len(ids) == 2:
        del ids["wbraid" if event.action_source == "app" else "gbraid"]
    return ids


def custom_variables(event: Event) -> list[dict[str, str]] | None:
    """By name. Google ignores, with a warning, what the account does not know."""
    given = event.custom_data.get("custom_variables")
    return [
        {"variable": name, "value": str(value).lower() if isinstance(value, bool) else str(value)}
        for name, value in (given.items() if isinstance(given, dict) else ())
        if name and isinstance(value, str | int | float) and value != ""
    ] or None


# …/events/ingest#Event
WHO = (
    Field("userData", user_data),
    Field("adIdentifiers", click_ids),
    Field("adIdentifiers.mobileDeviceId", "user_data.madid", as_=convert.madid),
    Field("adIdentifiers.sessionAttributes", "user_data.session_attributes"),
    # Flags that nobody gave are left out. Limited mode: for measurement, not for personalisation.
    Field("consent.adUserData", "consent.ad_user_data", as_=CONSENT_WORDS.get),
    Field("consent.adPersonalization", "consent.ad_personalization", as_=CONSENT_WORDS.get),
    Field("eventDeviceInfo.userAgent", "user_data.client_user_agent"),
)
ITEM = (
    Field("merchantProductId", "id", as_=convert.text),
    Field(
        "quantity", "quantity", as_=lambda count: str(convert.whole(count))
    ),  # in protobuf's JSON an int64 is a string
    Field("unitPrice", "item_price", as_=convert.number),
)
FIELDS = (
    Field("eventTimestamp", "event_time", required=True, as_=rfc3339),
    Field("conversionValue", "custom_data.value", as_=convert.number),
    Field("currency", "custom_data.currency", as_=convert.text),
    Field("conversionCount", "custom_data.conversion_count", as_=convert.number),
    *WHO,
    Field("userProperties.customerType", customer_type),
    Field("userProperties.customerValueBucket", VALUE_BUCKET, as_=VALUE_BUCKETS.get),
    Field("eventLocation.storeId", "custom_data.store_id", as_=convert.text),
    Field("customVariables", custom_variables, many=True),
    Field("cartData.merchantId", "custom_data.merchant_id", as_=convert.matching("[0-9]+")),  # else it is refused
    Field("cartData.merchantFeedLabel", "custom_data.merchant_feed_label", as_=convert.text),
    Field("cartData.merchantFeedLanguageCode", "custom_data.merchant_feed_language", as_=convert.text),
    Field("cartData.transactionDiscount", "custom_data.discount", as_=convert.number),
    Field("cartData.couponCodes", "custom_data.coupon", many=True, as_=convert.text),
    Field("cartData.items", "custom_data.contents", each=ITEM),
)
# https://developers.google.com/data-manager/api/devguides/events/adjustments: the original's time, the new total (never
# the difference) and the original identifiers again; the rest would be ignored.
REFUND_FIELDS = (
    Field("eventTimestamp", "original_event.event_time", required=True, as_=rfc3339),
    Field("lastUpdatedTimestamp", "event_time", required=True, as_=rfc3339),
    Field("conversionValue", "custom_data.remaining_value", required=True, as_=convert.number),
    Field("currency", "custom_data.currency", as_=convert.text),
    *WHO,
)


def is_refund(event: Event, config: Mapping[str, Any] | None = None) -> bool:
    """Whether the event only restates an earlier conversion."""
    return event.event_name == "Refund"


def action_for(event: Event, config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The conversion action's table: of the event, or of what is refunded (without a word, a purchase)."""
    names: tuple[str, ...] = (event.platform_name, event.event_name)
    if is_refund(event):
        names = ("Refund", word(event.original_event.get("event_name")) or "Purchase", "Purchase")
    actions = config["conversion_actions"]
    found = next((actions[name] for name in names if name in actions), None)
    return {"id": found} if isinstance(found, str | int) else found


def transaction_id(event: Event, config: Mapping[str, Any]) -> str | None:
    """Google's dedup key within a conversion action: the order of a purchase and its refunds, else the event id."""
    custom, original = event.custom_data, event.original_event
    if is_refund(event):
        ids = [original.get("event_id")]
        if original.get("event_name", "Purchase") == "Purchase":
            ids = [original.get("order_id"), custom.get("order_id"), *ids]
    else:
        ids = [custom.get("order_id") if event.event_name == "Purchase" else None, event.event_id]
    found = next((known for known in map(word, ids) if known), None)
    return f"{config.get('transaction_id_prefix') or ''}{found}" if found else None


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    """One event → one `Event` of the API. Skips what has no action, no order to restate, no identifier, no currency."""
    action, transaction = action_for(event, config), transaction_id(event, config)
    if action is None:
        return Skip("unsupported", "event_name", "no conversion action is configured for it")
    if transaction is None:
        return Skip("missing_field", "original_event.order_id", "a refund restates the conversion of its order")
    # Where the order was returned says nothing of where it was placed, and the two must agree.
    happened = "WEB" if is_refund(event) else SOURCES.get(event.action_source, "OTHER")
    source = action.get("event_source") or happened
    if action.get("mode") == "multi_source":
        if source != "WEB" and not is_refund(event):
            return Skip("unsupported", "action_source", "a website conversion action takes website events only")
        source = "WEB"
    fields = REFUND_FIELDS if is_refund(event) else FIELDS
    item: dict[str, Any] | Skip = apply(fields, event, transactionId=transaction, eventSource=source)
    if isinstance(item, Skip):
        return item
    if "userData" not in item and not item.get("adIdentifiers", {}).keys() - {"sessionAttributes"}:  # no identifier
        return Skip("no_identity", "user_data", "Google wants an e-mail, phone, full address, click id or device id")
    if "conversionValue" in item and not item.setdefault("currency", action.get("default_currency")):
        return Skip("missing_field", "custom_data.currency", "send it, or set `default_currency` of the action")
    if config["send_ip"] and may_send_ip(event) and (ip := event.user_data.get("client_ip_address")):
        item.setdefault("eventDeviceInfo", {})["ipAddress"] = ip
    if "cartData" in item:
        complete_cart(item, config)
    return item


def may_send_ip(event: Event) -> bool:
    """Whether it is known that the visitor is somewhere where Google matches by IP address."""
    countries = {(event.region or "")[:2].upper(), event.clear.get("country", "")}
    return event.region is not None and not countries & NO_IP


def complete_cart(item: dict[str, Any], config: Mapping[str, Any]) -> None:
    """The merchant of the configuration; no cart without items or where none may be."""
    cart, ids = item.pop("cartData"), item.get("adIdentifiers", {})
    by_braid = ("gbraid" in ids or "wbraid" in ids) and "gclid" not in ids
    if "items" in cart and not by_braid:  # CART_DATA_NOT_SUPPORTED_WITH_GBRAID_OR_WBRAID
        for key, setting in MERCHANT.items():
            if setting in config:
                cart.setdefault(key, str(config[setting]))
        item["cartData"] = cart


def group_key(event: Event, config: Mapping[str, Any]) -> str:
    """One destination in a request, that is one conversion action: its outcome can then be told apart."""
    action = action_for(event, config)
    return str(action["id"]) if action else ""


def serial_key(event: Event, config: Mapping[str, Any]) -> str | None:
    """A late purchase would overwrite its refund, and one request must not hold two states of a transaction."""
    transaction = transaction_id(event, config)
    return f"{group_key(event, config)}:{transaction}" if transaction else None


def age_limit(event: Event, config: Mapping[str, Any]) -> float | None:
    """Seconds; see the windows above. A restatement's window starts with the original conversion."""
    if is_refund(event):
        try:
            since_original = event.event_time - convert.moment(event.original_event.get("event_time"))
        except (ValueError, TypeError, OverflowError):
            return None  # map_event skips it, with the reason
        return max(0.0, RESTATEMENT_WINDOW_S - since_original)
    clicked = any(event.user_data.get(key) for key in ("gclid", "gbraid", "wbraid"))
    return CLICK_WINDOW_S if clicked else USER_DATA_WINDOW_S


def build_request(batch: Batch, config: Mapping[str, Any]) -> Request:
    """One conversion action's events. Test events are validated by Google and not executed."""
    destination: dict[str, Any] = {"operatingAccount": _account(config["customer_id"])}
    if login := config.get("login_customer_id"):
        destination["loginAccount"] = _account(login)
    destination["productDestinationId"] = str(batch.group)
    body = {"destinations": [destination], "encoding": "HEX", "validateOnly": batch.test, "events": list(batch)}
    return Request("POST", f"{HOST}/v1/events:ingest", json=body, headers=_headers(config))


def _account(number: str | int) -> dict[str, str]:
    return {"accountType": "GOOGLE_ADS", "accountId": str(number).replace("-", "")}


def _headers(config: Mapping[str, Any]) -> dict[str, str]:
    project = config.get("quota_project")
    return {"x-goog-user-project": project} if project else {}


#: Over quota. Google's own client begins with as much.
QUOTA_WAIT_S = 5


def each(verdict: Verdict, reasons: str) -> dict[str, Verdict]:
    """Rows of a table of reasons."""
    return dict.fromkeys(reasons.split(), verdict)


# https://developers.google.com/data-manager/api/reference/rest/v1/ErrorReason. The enumeration is open: what is not
# here gets `UNKNOWN_TRIES` tries.
REASONS = {
    **each(verdicts.retry(), "INTERNAL_ERROR DEADLINE_EXCEEDED"),
    "RESOURCE_EXHAUSTED": verdicts.retry(after_s=QUOTA_WAIT_S),
    "CONVERSION_ACTION_TOO_RECENTLY_CREATED": verdicts.retry(after_s=6 * 3600),
    **each(  # bad data, or our own mistake: no repeat will mend it
        verdicts.reject(),
        "INVALID_ARGUMENT REQUIRED_FIELD_MISSING INVALID_FORMAT INVALID_HEX_ENCODING INVALID_BASE64_ENCODING "
        "INVALID_SHA256_FORMAT INVALID_POSTAL_CODE INVALID_REGION_CODE INVALID_COUNTRY_CODE INVALID_ENUM_VALUE "
        "INVALID_NUMBER_FORMAT INVALID_CURRENCY_CODE INVALID_EVENT EVENT_TIME_INVALID NO_IDENTIFIERS_PROVIDED "
        "TOO_MANY_USER_IDENTIFIERS FIELD_VALUE_TOO_LONG FIELD_VALUE_TOO_SHORT TOO_MANY_ELEMENTS TOO_FEW_ELEMENTS "
        "INVALID_MERCHANT_ID INVALID_MERCHANT_FEED_LANGUAGE_CODE INVALID_COUPON_CODE INVALID_MOBILE_ID_FORMAT "
        "CUSTOM_VARIABLE_VALUE_CONTAINS_PII INVALID_CUSTOM_VARIABLE_VALUE RESERVED_NAME_USED INVALID_EVENT_NAME "
        "INVALID_AD_IDENTIFIER_FOR_ACCOUNT TOO_MANY_EVENTS TOO_MANY_DESTINATIONS DUPLICATE_DESTINATION_REFERENCE "
        "MULTIPLE_DATA_TYPES_NOT_ALLOWED",
    ),
    **each(  # account, permission or conversion action: the operator must act
        verdicts.pause(),
        "PERMISSION_DENIED NOT_FOUND INVALID_DESTINATION INVALID_CONVERSION_ACTION_ID INVALID_CONVERSION_ACTION_TYPE "
        "DESTINATION_ACCOUNT_TYPE_MISMATCH OPERATING_ACCOUNT_LOGIN_ACCOUNT_MISMATCH MISMATCHED_ACCOUNT_TYPE "
        "LINKED_ACCOUNT_ONLY_ALLOWED_WITH_DATA_PARTNER_LOGIN_ACCOUNT ACCOUNT_INELIGIBLE_FOR_STORE_SALES "
        "DESTINATION_ACCOUNT_NOT_ENABLED_ENHANCED_CONVERSIONS_FOR_LEADS "
        "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED "
        "DESTINATION_ACCOUNT_DATA_POLICY_PROHIBITS_ENHANCED_CONVERSIONS TERMS_AND_CONDITIONS_NOT_SIGNED "
        "NOT_ALLOWLISTED EVENT_SOURCE_AND_DESTINATION_MISMATCH CUSTOM_VARIABLE_NOT_FOUND CUSTOM_VARIABLE_NOT_ENABLED "
        "EU_POLITICAL_ADVERTISING_DECLARATION_REQUIRED REQUIRED_PREREQUISITE_LINK_MISSING",
    ),
}
UNKNOWN_TRIES = 3
#: Reasons of encrypted identifiers, which this plugin never sends: keys, workload identity pools, AWS.
ENCRYPTION = re.compile(r"DECRYPTION_ERROR|AWS_AUTH_FAILED|(?:^|_)(?:KEK|WIP)(?:_|$)")


def classify(response: Response, n: int) -> Verdict | Sequence[Verdict]:
    """Taken (asked about later), refused because of named events, or refused as a whole."""
    if 200 <= response.status < 300:
        return _taken(response)
    reason, words = _reason(response), verdicts.shorten(response.find("error.message"))
    if response.status == 400:
        return _refused(response, n)
    if response.status == 401:
        return verdicts.retry(reason or "UNAUTHENTICATED", words, renew_token=True)
    if response.status == 409:  # ALREADY_EXISTS, which events:ingest does not announce
        return verdicts.retry(reason or "http_409", words, tries=UNKNOWN_TRIES)
    if response.status == 429:
        return verdicts.retry(reason or "http_429", words, QUOTA_WAIT_S)
    verdict = verdicts.by_status(response, n)
    return replace(verdict, code=reason or verdict.code, message=words or verdict.message)


def _taken(response: Response) -> Verdict:
    body = response.json
    if not isinstance(body, Mapping) or "error" in body:  # not Google's answer; a repeat updates, so it costs nothing
        return verdicts.retry("unexpected_answer", f"HTTP {response.status} without a request id", tries=UNKNOWN_TRIES)
    warnings = [
        f"{warning.get('reason')} {warning.get('field', '')}".strip() for warning in _objects(body.get("fieldWarnings"))
    ]
    words = verdicts.shorten("; ".join(warnings))
    request_id = word(body.get("requestId"))
    return verdicts.received(request_id, words) if request_id else verdicts.delivered("no_request_id", words)


def _refused(response: Response, n: int) -> Verdict | Sequence[Verdict]:
    """A 400. Nothing of the request was processed, so that what is not to blame goes again at once."""
    found = list(_violations(response)) or [(None, _verdict("", verdicts.shorten(response.find("error.message"))))]
    for _, verdict in found:
        if verdict.kind in ("pause", "retry") and verdict.tries is None:
            return verdict
    named = {position: verdict for position, verdict in found if position is not None and position < n}
    if named:
        again = verdicts.retry("refused_with_others", "another event of the request was refused", after_s=0)
        return [named.get(position, again) for position in range(n)]
    verdict = found[0][1]
    return verdicts.split(verdict.code, verdict.message, verdict.field) if n > 1 else verdict


def _violations(response: Response) -> Iterator[tuple[int | None, Verdict]]:
    """Field violations, with the position of the event that each is about; else what the error says about itself."""
    found = False
    for detail in _objects(response.find("error.details")):
        for violation in _objects(detail.get("fieldViolations")):
            found = True
            field = str(violation.get("field") or "")
            about = re.search(r"events\[(\d{1,6})\]", field)
            words = verdicts.shorten(f"{field}: {violation.get('description') or ''}")
            reason = word(violation.get("reason")) or _reason(response)
            yield int(about[1]) if about else None, _verdict(reason, words, field)
    if not found and (reason := _reason(response)):
        yield None, _verdict(reason, verdicts.shorten(response.find("error.message")))


def _verdict(reason: str, words: str, field: str = "") -> Verdict:
    known = verdicts.pause() if ENCRYPTION.search(reason) else verdicts.retry(tries=UNKNOWN_TRIES)
    known = REASONS.get(reason, known)
    if field.startswith("destination") and known.kind == "reject":
        known = verdicts.pause()  # it is written from the configuration alone: no event is to blame for it
    return replace(known, code=reason or "http_400", message=words, field=re.sub(r"\[\d+\]", "[]", field))


def _reason(response: Response) -> str:
    """`ErrorInfo.reason`, else the canonical status, else nothing."""
    reasons = (word(detail.get("reason")) for detail in _objects(response.find("error.details")))
    return next((reason for reason in reasons if reason), None) or word(response.find("error.status")) or ""


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


# https://developers.google.com/data-manager/api/reference/rest/v1/requestStatus/retrieve, without their prefix
WITHOUT_CONSENT = each(verdicts.reject(), "DENIED_CONSENT NO_CONSENT UNKNOWN_CONSENT")
OUTCOMES = {
    "INTERNAL_ERROR": verdicts.retry(tries=2),
    "TOO_RECENT_CLICK": verdicts.retry(after_s=6 * 3600, tries=2),
    **each(  # not from an ad, or nothing to add: no fault of the event
        verdicts.delivered(),
        "DUPLICATE_GCLID DUPLICATE_TRANSACTION_ID CLICK_NOT_FOUND INVALID_CLICK USER_ID_NOT_FOUND MATCH_ID_NOT_FOUND "
        "ORIGINAL_CONVERSIONS_NOT_FOUND",
    ),
    **each(
        verdicts.reject(),
        "EVENT_TOO_OLD CONVERSION_PRECEDES_CLICK INVALID_GCLID INVALID_GBRAID INVALID_WBRAID INVALID_AD_IDENTIFIERS "
        "INVALID_EVENT INVALID_FORMAT INVALID_MERCHANT_ID INVALID_CUSTOM_VARIABLE",
    ),
    **WITHOUT_CONSENT,
    **each(
        verdicts.pause(),
        "DESTINATION_ACCOUNT_ENHANCED_CONVERSIONS_TERMS_NOT_SIGNED CUSTOM_VARIABLE_NOT_ENABLED "
        "ONE_PER_CLICK_CONVERSION_ACTION_NOT_PERMITTED_WITH_BRAID INVALID_OPERATING_ACCOUNT_FOR_CLICK "
        "EXTERNAL_ATTRIBUTION_DATA_MISSING OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER",
    ),
}
#: "Resend after six hours if the batch is small": events.
SMALL_BATCH = 100


def status_request(request_id: str, config: Mapping[str, Any]) -> Request:
    """Ask what became of a request."""
    url = f"{HOST}/v1/requestStatus:retrieve"
    return Request("GET", url, params={"requestId": request_id}, headers=_headers(config))


def judge_status(response: Response) -> Verdict:
    """One verdict for the whole request: counts are all that Google tells."""
    words = verdicts.shorten(response.find("error.message"))
    entries = _objects(response.find("requestStatusPerDestination"))
    states = {str(entry.get("requestStatus")) for entry in entries}
    if response.status != 200 or not states or not states <= {"SUCCESS", "PARTIAL_SUCCESS", "FAILED", "FAILURE"}:
        return verdicts.received("", words)
    counts = _counts(entries, "errorInfo", "errorCounts")
    notes = [*sorted(states), *(f"{reason} {count}" for reason, count in counts.items())]
    notes += [f"warning {reason} {count}" for reason, count in _counts(entries, "warningInfo", "warningCounts").items()]
    words = verdicts.shorten(", ".join(notes))
    if states == {"SUCCESS"}:
        return verdicts.delivered(message=words)
    if "SUCCESS" in states or "PARTIAL_SUCCESS" in states:
        return _partial(counts, sum(_count(entry.get("eventsIngestionStatus")) for entry in entries), words)
    return _failed(counts, words)


def _partial(counts: Mapping[str, int], total: int, words: str) -> Verdict:
    """Most of it stands. Which events do not is unknown; a resend is harmless, since it updates.

    Its code is the reason that an operator can act on, be it ever so rare, else the most frequent.
    """
    for reason in ("INTERNAL_ERROR", "TOO_RECENT_CLICK") if total <= SMALL_BATCH else ("INTERNAL_ERROR",):
        if reason in counts:
            return _outcome(reason, words)
    weight = {
        reason: (_outcome(reason, "").kind == "pause" or reason in WITHOUT_CONSENT, count)
        for reason, count in counts.items()
    }
    return verdicts.delivered(max(weight, key=lambda reason: weight[reason], default="PARTIAL_SUCCESS"), words)


def _failed(counts: Mapping[str, int], words: str) -> Verdict:
    """None of it stands. Trouble that can be mended goes before what cannot; then the most frequent reason decides."""
    reasons = sorted(counts, key=lambda reason: counts[reason], reverse=True) or ["FAILED"]
    outcomes = [_outcome(reason, words) for reason in reasons]
    return next((one for kind in ("pause", "retry") for one in outcomes if one.kind == kind), outcomes[0])


def _outcome(reason: str, words: str) -> Verdict:
    unmatched = reason.startswith("USER_ID_NOT_FOUND")  # there are several
    otherwise = verdicts.pause() if ENCRYPTION.search(reason) else verdicts.reject()
    known = verdicts.delivered() if unmatched else OUTCOMES.get(reason, otherwise)
    return replace(known, code=reason, message=words)


def _counts(entries: Sequence[Mapping[str, Any]], info: str, key: str) -> dict[str, int]:
    """Reason → records, over all destinations of the request."""
    found: dict[str, int] = {}
    for entry in entries:
        inner = entry.get(info)
        for row in _objects(inner.get(key) if isinstance(inner, Mapping) else None):
            reason = re.sub(r"^PROCESSING_(ERROR|WARNING)_(REASON_)?", "", str(row.get("reason")))
            found[reason] = found.get(reason, 0) + _count(row)
    return found


def _count(row: Any) -> int:
    count = word(row.get("recordCount")) if isinstance(row, Mapping) else None
    return int(count) if count and count.isascii() and count.isdigit() else 0


#: SHA-256 of the address alexz@example.com, which Google's own formatter tests use.
EXAMPLE_EMAIL = "509e933019bb285a134a9334b8bb679dff79d0ce023d529af4bd744d47b4fd8a"


def probe(config: Mapping[str, Any], now: int) -> Request:
    """An invented event with `validateOnly`: proves credentials, account and the first conversion action."""
    first = next(iter(config["conversion_actions"].values()))
    item: dict[str, object] = {
        "transactionId": f"gateway-probe-{now}",
        "eventTimestamp": rfc3339(now),
        "eventSource": "WEB",
        "userData": {"userIdentifiers": [{"emailAddress": EXAMPLE_EMAIL}]},
    }
    action = first["id"] if isinstance(first, Mapping) else first
    return build_request(Batch.of([item], group=str(action), test=True), config)


GOOGLE = Destination(
    name="google",
    api_version="v1",
    docs="https://developers.google.com/data-manager/api",
    config_schema=CONFIG,
    names=names,
    purposes=frozenset({"ad_user_data"}),
    limited=frozenset({"US"}),
    # https://developers.google.com/data-manager/api/devguides/concepts/formatting
    digests={
        "email": "email_gmail",
        "phone": "phone_e164",
        "first_name": "given_name_google",
        "last_name": "family_name_google",
    },
    clear={"country": "country_upper", "zip": "zip_google"},
    auth=OAuth("https://oauth2.googleapis.com/token", "https://www.googleapis.com/auth/datamanager"),
    # …/devguides/limits, for each Cloud project: 100,000 requests a day and 300 a minute, of which status questions
    # take a part. One in two seconds is 43,200 a day, which leaves a question and more for each; ten may go at once.
    # A full batch has about 3 MB; Google names no limit in bytes.
    limits=Limits(batch=2000, bytes=8_000_000, rate=0.5, burst=10, linger_s=2, max_age_s=CLICK_WINDOW_S, timeout_s=120),
    # Google's own client's clock; the windows above end it, not a number of tries.
    retry=Retry(first_s=5, factor=1.3, max_s=60, give_up_s=CLICK_WINDOW_S, unknown_tries=UNKNOWN_TRIES),
    map_event=map_event,
    build_request=build_request,
    classify=classify,
    group_key=group_key,
    serial_key=serial_key,
    follows=is_refund,
    age_limit=age_limit,
    accepts_test=lambda config: True,
    # …/devguides/diagnostics
    follow_up=FollowUp(
        first_s=1800, factor=1.3, max_s=3600, give_up_s=DAY_S, build_request=status_request, classify=judge_status
    ),
    probe=probe,
)


@hookimpl
def register_destinations() -> list[Destination]:
    """This file's destination."""
    return [GOOGLE]
