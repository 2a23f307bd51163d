"""The mock of Google's Data Manager API takes what Google takes and refuses what it refuses."""

from __future__ import annotations

import base64
import copy
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from jsonschema import Draft202012Validator

from gateway.demo.mock import MockReply, MockRequest
from gateway.demo.platforms.google import MOCK
from gateway.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Callable

#: 2026-11-26T00:00:00Z
NOW = 1795651200.0
EMAIL = "07e2f1394b0ea80e2adca010ea8318df697001a005ba7452720edda4b0ce57b3"
PHONE = "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"
ADDRESS = {
    "givenName": "2c9e0a2585dc7406589a3724f0027811506e0f133726303a15d6779d532a2573",
    "familyName": "c512ca0c5c1e71be19f3356821e56732b5fb3ac894b0dbc5846d0b6920106fb3",
    "regionCode": "US",
    "postalCode": "94045",
}
PURCHASE: dict[str, Any] = {
    "transactionId": "shop1-100045",
    "eventTimestamp": "2026-11-20T14:03:09Z",
    "eventSource": "WEB",
    "conversionValue": 129.9,
    "currency": "EUR",
    "adIdentifiers": {"gclid": "CjwKCAjw9anCBhAWEiwAqBJ-cytR_BwE"},
    "userData": {"userIdentifiers": [{"emailAddress": EMAIL}, {"phoneNumber": PHONE}, {"address": ADDRESS}]},
    "consent": {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"},
    "eventDeviceInfo": {"userAgent": "Mozilla/5.0 (X11; Linux x86_64)"},
    "userProperties": {"customerType": "NEW"},
    "cartData": {
        "merchantId": "5550001",
        "merchantFeedLabel": "DE",
        "merchantFeedLanguageCode": "de",
        "transactionDiscount": 10.0,
        "items": [{"merchantProductId": "SKU-1", "quantity": "2", "unitPrice": 69.95}],
    },
}
REFUND = {
    **{key: PURCHASE[key] for key in ("transactionId", "eventTimestamp", "eventSource", "currency", "adIdentifiers")},
    "lastUpdatedTimestamp": "2026-11-25T08:00:00Z",
    "conversionValue": 79.9,
    "userData": {"userIdentifiers": [{"emailAddress": EMAIL}]},
}


def body(*events: dict[str, Any], **changes: Any) -> dict[str, Any]:
    destination = {
        "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": "1234567890"},
        "loginAccount": {"accountType": "GOOGLE_ADS", "accountId": "9876543210"},
        "productDestinationId": "600000001",
    }
    whole = {"destinations": [destination], "encoding": "HEX", "validateOnly": False, "events": list(events)}
    return copy.deepcopy(whole | changes)


def post(content: Any, token: str | None = None) -> MockReply:
    headers = {"content-type": "application/json", "authorization": f"Bearer {token or access_token()}"}
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return MOCK.answer(MockRequest("POST", "/v1/events:ingest", {}, headers, data), NOW)


def ask_token(form: dict[str, str]) -> MockReply:
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return MOCK.answer(MockRequest("POST", "/token", {}, headers, urlencode(form).encode()), NOW)


def refresh_form(**changes: str) -> dict[str, str]:
    keys = ("client_id", "client_secret", "refresh_token")
    return {"grant_type": "refresh_token", **{key: MOCK.config[key] for key in keys}, **changes}


def access_token() -> str:
    return str(ask_token(refresh_form()).json["access_token"])


def ask_status(request_id: str) -> MockReply:
    headers = {"authorization": f"Bearer {access_token()}"}
    return MOCK.answer(MockRequest("GET", "/v1/requestStatus:retrieve", {"requestId": request_id}, headers), NOW)


def violations(reply: MockReply) -> list[tuple[str, str | None]]:
    details = reply.json["error"]["details"]
    return [(one["field"], one.get("reason")) for row in details for one in row.get("fieldViolations", [])]


def test_takes_the_worked_requests() -> None:
    lead = {**PURCHASE, "transactionId": "crm-lead-7781", "conversionValue": 250.0}
    del lead["cartData"], lead["adIdentifiers"]
    for item in (PURCHASE, lead, REFUND):
        reply = post(body(item))
        assert reply.status == 200
        assert set(reply.json) == {"requestId"}
        assert reply.accepted == (item,)
        assert reply.tested == ()


def test_validate_only_is_not_counted_and_has_no_outcome() -> None:
    reply = post(body(PURCHASE, validateOnly=True))
    assert (reply.accepted, reply.tested) == ((), (PURCHASE,))
    refused = ask_status(reply.json["requestId"])
    assert refused.status == 400
    assert violations(refused) == [("request_id", "INVALID_REQUEST_ID")]


def test_an_executed_request_succeeds_with_its_count() -> None:
    reply = ask_status(post(body(PURCHASE, _with(transactionId="shop1-100046"))).json["requestId"])
    (outcome,) = reply.json["requestStatusPerDestination"]
    assert (outcome["requestStatus"], outcome["eventsIngestionStatus"]["recordCount"]) == ("SUCCESS", "2")


def test_the_same_body_has_the_same_request_id() -> None:
    assert post(body(PURCHASE)) == post(body(PURCHASE))
    assert post(body(PURCHASE)).json != post(body(REFUND)).json


def _with(**changes: Any) -> dict[str, Any]:
    return {**PURCHASE, **changes}


def _without(key: str) -> dict[str, Any]:
    return {name: value for name, value in PURCHASE.items() if name != key}


def _identifiers(*identifiers: dict[str, Any]) -> dict[str, Any]:
    return _with(userData={"userIdentifiers": list(identifiers)})


@pytest.mark.parametrize(
    ("item", "field", "reason"),
    [
        (_without("transactionId"), "", "REQUIRED_FIELD_MISSING"),
        (_without("eventTimestamp"), "", "REQUIRED_FIELD_MISSING"),
        (_without("currency"), "", "REQUIRED_FIELD_MISSING"),
        (_with(currency="euro"), ".currency", "INVALID_CURRENCY_CODE"),
        (_with(eventTimestamp=1795183389), ".event_timestamp", None),
        (_with(eventTimestamp="2026-11-20 14:03:09"), ".event_timestamp", "INVALID_FORMAT"),
        (_with(eventTimestamp="2026-13-45T14:03:09Z"), ".event_timestamp", "INVALID_FORMAT"),
        (_with(eventTimestamp="2026-08-01T00:00:00Z"), ".event_timestamp", "EVENT_TIME_INVALID"),
        (_with(eventTimestamp="2026-11-26T01:00:00Z"), ".event_timestamp", "EVENT_TIME_INVALID"),
        (_with(conversionValue="129.90"), ".conversion_value", None),
        (_with(eventSource="WEBSITE"), ".event_source", "INVALID_ENUM_VALUE"),
        (_with(consent={"adUserData": "GRANTED"}), ".consent.ad_user_data", "INVALID_ENUM_VALUE"),
        (_with(gclid="abc"), "", None),
        (_with(testEventCode="TEST1"), "", None),
        (_with(adIdentifiers={"gclid": 5}), ".ad_identifiers.gclid", None),
        (
            _identifiers({"emailAddress": "dana@example.com"}),
            ".user_data.user_identifiers[0].email_address",
            "INVALID_HEX_ENCODING",
        ),
        (
            _identifiers({"emailAddress": EMAIL.upper()}),
            ".user_data.user_identifiers[0].email_address",
            "INVALID_HEX_ENCODING",
        ),
        (
            _identifiers({"phoneNumber": "+18005550100"}),
            ".user_data.user_identifiers[0].phone_number",
            "INVALID_HEX_ENCODING",
        ),
        (_identifiers({"emailAddress": EMAIL, "phoneNumber": PHONE}), ".user_data.user_identifiers[0]", None),
        (_identifiers({"hashedEmail": EMAIL}), ".user_data.user_identifiers[0]", None),
        (
            _identifiers(*[{"emailAddress": EMAIL}] * 11),
            ".user_data.user_identifiers",
            "TOO_MANY_USER_IDENTIFIERS",
        ),
        (
            _identifiers({"address": {**ADDRESS, "regionCode": EMAIL}}),
            ".user_data.user_identifiers[0].address.region_code",
            "INVALID_REGION_CODE",
        ),
        (
            _identifiers({"address": {"givenName": EMAIL, "familyName": EMAIL, "regionCode": "US"}}),
            ".user_data.user_identifiers[0].address",
            "REQUIRED_FIELD_MISSING",
        ),
        (_with(cartData={"merchantId": "shop"}), ".cart_data.merchant_id", "INVALID_MERCHANT_ID"),
        (
            _with(cartData={"items": [{"merchantProductId": "SKU-1", "quantity": 1.5}]}),
            ".cart_data.items[0].quantity",
            "INVALID_NUMBER_FORMAT",
        ),
        ({"transactionId": "x", "eventTimestamp": "2026-11-20T14:03:09Z"}, "", "NO_IDENTIFIERS_PROVIDED"),
        (
            {**_without("userData"), "transactionId": "x", "adIdentifiers": {"sessionAttributes": "eyJ9"}},
            "",
            "NO_IDENTIFIERS_PROVIDED",
        ),
        (REFUND, ".transaction_id", "INVALID_EVENT"),  # two states of one transaction
    ],
)
def test_one_bad_event_refuses_the_whole_request_and_is_named(item: dict[str, Any], field: str, reason: str) -> None:
    reply = post(body(PURCHASE, item))
    assert reply.status == 400
    assert reply.json["error"]["status"] == "INVALID_ARGUMENT"
    assert (f"events.events[1]{field}", reason) in violations(reply)
    assert all("events[0]" not in named for named, _ in violations(reply))
    assert reply.accepted == reply.tested == ()


@pytest.mark.parametrize(
    ("change", "status", "field", "reason"),
    [
        ({"events": []}, 400, "events", "REQUIRED_FIELD_MISSING"),
        ({"events": [PURCHASE] * 2001}, 400, "events", "TOO_MANY_EVENTS"),
        ({"destinations": []}, 400, "destinations", "REQUIRED_FIELD_MISSING"),
        ({"data": []}, 400, "", None),
    ],
)
def test_the_envelope_is_checked(change: dict[str, Any], status: int, field: str, reason: str | None) -> None:
    reply = post(body(PURCHASE) | change)
    assert reply.status == status
    assert violations(reply) == [(field, reason)]


def test_the_encoding_is_needed_with_user_data() -> None:
    whole = body(PURCHASE)
    del whole["encoding"]
    assert violations(post(whole)) == [("encoding", "REQUIRED_FIELD_MISSING")]


def _destination(change: Callable[[dict[str, Any]], None]) -> MockReply:
    whole = body(PURCHASE)
    change(whole["destinations"][0])
    return post(whole)


def test_the_destination_must_be_known() -> None:
    strange = _destination(lambda it: it.update(productDestinationId="699999999"))
    assert violations(strange) == [("destinations[0].product_destination_id", "INVALID_CONVERSION_ACTION_ID")]
    label = _destination(lambda it: it.update(productDestinationId="AW-123/abc"))
    assert violations(label) == [("destinations[0].product_destination_id", "INVALID_CONVERSION_ACTION_ID")]
    hyphens = _destination(lambda it: it["operatingAccount"].update(accountId="123-456-7890"))
    assert violations(hyphens) == [("destinations[0].operating_account.account_id", "INVALID_FORMAT")]
    other = _destination(lambda it: it["operatingAccount"].update(accountId="1111111111"))
    assert (other.status, other.json["error"]["status"]) == (403, "PERMISSION_DENIED")


def test_a_cart_with_a_braid_is_taken_with_a_warning() -> None:
    reply = post(body(_with(adIdentifiers={"gbraid": "0AAAAAo4mICH"})))
    assert reply.status == 200
    assert [warning["field"] for warning in reply.json["fieldWarnings"]] == ["events.events[0].cart_data"]


def test_an_event_with_denied_consent_is_taken_and_not_counted() -> None:
    denied = _with(consent={"adUserData": "CONSENT_DENIED"})
    other = {**REFUND, "transactionId": "shop1-100046"}
    assert post(body(denied, other)).accepted == (other,)


def test_credentials_are_needed() -> None:
    reply = post(body(PURCHASE), token="stolen")
    assert (reply.status, reply.json["error"]["status"]) == (401, "UNAUTHENTICATED")
    bare = MOCK.answer(MockRequest("GET", "/v1/requestStatus:retrieve", {"requestId": "x"}), NOW)
    assert bare.status == 401


def test_what_is_not_there_is_not_found() -> None:
    for method, path in (("GET", "/v1/events:ingest"), ("POST", "/v2/events:ingest"), ("POST", "/")):
        assert MOCK.answer(MockRequest(method, path), NOW).status == 404


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"{", b'"x"', b"\xff"])
def test_odd_bodies_are_refused(content: bytes) -> None:
    assert post(content).status == 400


def test_a_refresh_token_is_exchanged() -> None:
    reply = ask_token(refresh_form())
    assert (reply.status, reply.json["token_type"], reply.json["expires_in"]) == (200, "Bearer", 3599)
    assert "refresh_token" not in reply.json


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        (refresh_form(refresh_token="old"), 400, "invalid_grant"),
        (refresh_form(client_secret="guess"), 401, "invalid_client"),
        (refresh_form(grant_type="password"), 400, "unsupported_grant_type"),
        ({}, 400, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_get_no_token(form: dict[str, str], status: int, error: str) -> None:
    reply = ask_token(form)
    assert (reply.status, reply.json["error"]) == (status, error)


def test_the_token_endpoint_takes_forms_only() -> None:
    request = MockRequest(
        "POST", "/token", {}, {"content-type": "application/json"}, json.dumps(refresh_form()).encode()
    )
    assert MOCK.answer(request, NOW).json["error"] == "invalid_request"


def jwt(header: dict[str, Any], claims: dict[str, Any], signature: str = "c2ln") -> dict[str, str]:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims)]
    grant = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    return {"grant_type": grant, "assertion": ".".join([*parts, signature])}


CLAIMS = {
    "iss": "gateway@shop-project.iam.gserviceaccount.com",
    "scope": "https://www.googleapis.com/auth/datamanager",
    "aud": "https://oauth2.googleapis.com/token",
    "iat": int(NOW),
    "exp": int(NOW) + 3600,
}


def test_a_service_account_is_exchanged() -> None:
    assert ask_token(jwt({"alg": "RS256", "typ": "JWT"}, CLAIMS)).json["token_type"] == "Bearer"


@pytest.mark.parametrize(
    "form",
    [
        jwt({"alg": "none"}, CLAIMS),
        jwt({"alg": "RS256"}, CLAIMS, signature=""),
        jwt({"alg": "RS256"}, CLAIMS | {"exp": int(NOW) + 7200}),
        jwt({"alg": "RS256"}, CLAIMS | {"iat": int(NOW) - 7200, "exp": int(NOW) - 3600}),
        jwt({"alg": "RS256"}, CLAIMS | {"scope": "https://www.googleapis.com/auth/adwords"}),
        jwt({"alg": "RS256"}, {}),
        {**jwt({"alg": "RS256"}, CLAIMS), "assertion": "junk"},
    ],
)
def test_a_wrong_assertion_gets_no_token(form: dict[str, str]) -> None:
    reply = ask_token(form)
    assert (reply.status, reply.json["error"]) == (400, "invalid_grant")


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(load_schema("platforms/google.json"))
