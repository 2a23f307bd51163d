"""Google Data Manager API: the contract with its golden cases, and what they cannot say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway.demo.platforms.google import MOCK
from gateway.plugin import Batch, Event, Response, Skip
from gateway.plugin.testing import GOLDEN_TIME, destination_contract, load
from gateway.schema import load_schema

HERE = Path(__file__).parent
plugin = load(HERE.parent.parent / "plugins" / "google.py")
TestGoogle = destination_contract(plugin.GOOGLE, golden=HERE / "golden" / "google")

DAY_S = 86400
DIGEST = "07e2f1394b0ea80e2adca010ea8318df697001a005ba7452720edda4b0ce57b3"
ACCOUNT: dict[str, Any] = {"customer_id": "1234567890", "send_ip": False, "transaction_id_prefix": ""}
CONFIG: dict[str, Any] = {**ACCOUNT, "conversion_actions": {"Purchase": "600000001", "Lead": "2"}}


def event(name: str = "Purchase", **fields: Any) -> Event:
    given = {"event_id": "e-1", "event_time": GOLDEN_TIME, "platform_name": name, "digests": {"email": (DIGEST,)}}
    return Event(event_name=name, **(given | fields))


def refund(**fields: Any) -> Event:
    original = {"order_id": "o-1", "event_time": GOLDEN_TIME}
    given = {"event_time": GOLDEN_TIME + 5 * DAY_S, "original_event": original}
    return event("Refund", **(given | {"custom_data": {"remaining_value": 5, "currency": "USD"}} | fields))


def status_of(state: str, *counts: tuple[str, int], total: int = 500) -> Response:
    rows = [{"reason": f"PROCESSING_ERROR_REASON_{reason}", "recordCount": str(count)} for reason, count in counts]
    entry = {
        "requestStatus": state,
        "eventsIngestionStatus": {"recordCount": str(total)},
        "errorInfo": {"errorCounts": rows},
    }
    return answer({"requestStatusPerDestination": [entry]})


def answer(body: object, status: int = 200) -> Response:
    return Response(status, {}, json.dumps(body).encode())


# What is taken


def test_takes_the_configured_events_and_the_refunds_of_purchases() -> None:
    assert plugin.names(CONFIG) == {"Purchase": "Purchase", "Lead": "Lead", "Refund": "Refund"}
    assert plugin.names({"conversion_actions": {"Lead": "2"}}) == {"Lead": "Lead"}


def test_a_name_given_by_events_finds_the_action_of_that_name() -> None:
    subscribed = event("Subscribe", platform_name="Purchase")
    assert plugin.group_key(subscribed, CONFIG) == "600000001"


def test_a_refund_of_something_else_than_a_purchase_goes_to_its_action_and_event() -> None:
    config = {**ACCOUNT, "conversion_actions": {"Purchase": "1", "Subscribe": "7"}}
    given_up = refund(original_event={"event_name": "Subscribe", "event_id": "sub-9", "event_time": GOLDEN_TIME})
    assert plugin.group_key(given_up, config) == "7"
    assert plugin.map_event(given_up, config)["transactionId"] == "sub-9"


def test_an_event_without_an_action_is_skipped_and_not_raised() -> None:
    assert plugin.map_event(event("Contact"), CONFIG).reason == "unsupported"


# Order within a transaction


def test_a_refund_follows_its_purchase_in_the_same_series() -> None:
    bought = event(custom_data={"order_id": "o-1"})
    assert plugin.serial_key(bought, CONFIG) == plugin.serial_key(refund(), CONFIG) == "600000001:o-1"
    assert plugin.GOOGLE.follows(refund(), CONFIG)
    assert not plugin.GOOGLE.follows(bought, CONFIG)


def test_events_of_different_actions_are_not_in_one_series() -> None:
    assert plugin.serial_key(event(event_id="x"), CONFIG) != plugin.serial_key(event("Lead", event_id="x"), CONFIG)


def test_a_refund_of_no_known_order_belongs_to_no_series() -> None:
    assert plugin.serial_key(refund(original_event={}), CONFIG) is None


def test_a_refund_has_the_source_of_its_action_and_not_of_the_place_it_was_returned_to() -> None:
    returned = refund(action_source="physical_store")
    assert plugin.map_event(returned, CONFIG)["eventSource"] == "WEB"
    shop = {**CONFIG, "conversion_actions": {"Purchase": {"id": "1", "event_source": "IN_STORE"}}}
    assert plugin.map_event(returned, shop)["eventSource"] == "IN_STORE"


# Who


def test_the_first_phone_is_kept_whatever_the_number_of_emails() -> None:
    many = event(digests={"email": tuple(f"{number:064x}" for number in range(12)), "phone": (DIGEST,)})
    identifiers = plugin.map_event(many, CONFIG)["userData"]["userIdentifiers"]
    assert len(identifiers) == 10
    assert identifiers[1] == {"phoneNumber": DIGEST}


# Age


@pytest.mark.parametrize(
    ("of", "days"),
    [
        (event(user_data={"gclid": "abc"}), 90),
        (event(), 63),
        (refund(), 49),
        (refund(event_time=GOLDEN_TIME + 60 * DAY_S), 0),
    ],
)
def test_age_limits_are_the_windows_of_google_ads(of: Event, days: int) -> None:
    assert plugin.age_limit(of, CONFIG) == days * DAY_S


def test_a_refund_without_the_original_time_has_no_age_limit_of_its_own() -> None:
    assert plugin.age_limit(refund(original_event={"event_time": "yesterday"}), CONFIG) is None


# Values


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (1795183389, "2026-11-20T14:03:09Z"),
        (1795183389.512, "2026-11-20T14:03:09.512Z"),
        ("2026-11-20T09:03:09-05:00", "2026-11-20T14:03:09Z"),
        ("2026-11-20T14:03:09.512Z", "2026-11-20T14:03:09.512Z"),
    ],
)
def test_times_are_rfc3339_in_utc(given: Any, sent: str) -> None:
    assert plugin.rfc3339(given) == sent


@pytest.mark.parametrize("junk", [{}, [], "x", True, None, [[]], {"a": {"b": 1}}, 1e400, float("nan"), -1, "٣"])
def test_mapping_never_raises_whatever_custom_data_holds(junk: Any) -> None:
    keys = "value currency order_id contents discount coupon merchant_id custom_variables user_properties customer_type"
    keys += " new_customer store_id conversion_count merchant_feed_label remaining_value"
    for key in keys.split():
        for of in (
            event(custom_data={"currency": "USD", key: junk}),
            refund(custom_data={"currency": "USD", key: junk}),
        ):
            mapped = plugin.map_event(of, CONFIG)
            assert isinstance(mapped, Skip) or mapped["transactionId"]


@pytest.mark.parametrize("junk", [{}, [], "x", True, 7, ["a", "b"], [None]])
def test_mapping_never_raises_whatever_the_ids_are(junk: Any) -> None:
    for key in ("gclid", "gbraid", "wbraid", "madid", "session_attributes", "client_user_agent", "client_ip_address"):
        mapped = plugin.map_event(event(user_data={key: junk}, region="US"), {**CONFIG, "send_ip": True})
        assert mapped["userData"]
    for key in ("order_id", "event_id", "event_name", "event_time"):
        original = {"order_id": "o", "event_time": GOLDEN_TIME, key: junk}
        assert plugin.map_event(refund(original_event=original), CONFIG)


def test_purchases_and_events_without_an_order_carry_their_event_id() -> None:
    assert plugin.map_event(event(), CONFIG)["transactionId"] == "e-1"
    assert plugin.map_event(event("Lead", custom_data={"order_id": "o-1"}), CONFIG)["transactionId"] == "e-1"


# Configuration


def test_credentials_are_a_refresh_token_or_a_service_account() -> None:
    valid = Draft202012Validator(plugin.CONFIG).is_valid
    token = {"client_id": "a", "client_secret": "b", "refresh_token": "c"}
    assert valid(CONFIG | token)
    assert valid(CONFIG | {"service_account_file": "key.json"})
    assert valid(CONFIG | token | {"customer_id": 1234567890})
    assert valid(MOCK.config)
    assert not valid(CONFIG)
    assert not valid(CONFIG | {"client_id": "a", "client_secret": "b"})
    for wrong in ("AW-123456789/abcDEF", "", 0, True, {"mode": "offline"}, {"id": "1", "modus": "offline"}):
        assert not valid(CONFIG | token | {"conversion_actions": {"Purchase": wrong}}), wrong
    assert not valid(CONFIG | token | {"customer_id": "AW-1234567890"})


def test_the_probe_is_validated_only_and_names_the_first_action() -> None:
    request = plugin.probe({**CONFIG, "conversion_actions": {"Lead": {"id": 42}}}, GOLDEN_TIME)
    assert request.json["validateOnly"] is True
    assert request.json["destinations"][0]["productDestinationId"] == "42"
    assert request.json["events"][0]["eventTimestamp"] == "2026-11-20T14:03:09Z"


# Verdicts beyond their kind


def test_an_expired_token_is_renewed() -> None:
    assert plugin.classify(Response(401), 3).renew_token


def test_innocent_events_go_again_at_once_and_unknown_reasons_get_three_tries() -> None:
    details = [{"fieldViolations": [{"field": "events[1]", "reason": "A_REASON_OF_NEXT_YEAR", "description": "new"}]}]
    innocent, unknown = plugin.classify(answer({"error": {"details": details}}, 400), 2)
    assert (innocent.after_s, innocent.tries) == (0, None)
    assert (unknown.after_s, unknown.tries) == (None, 3)
    assert unknown.message == "events[1]: new"


@pytest.mark.parametrize("status", [400, 429])
def test_over_quota_waits_as_googles_own_client_does(status: int) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RESOURCE_EXHAUSTED"}]
    verdict = plugin.classify(answer({"error": {"details": details}}, status), 3)
    assert (verdict.kind, verdict.code, verdict.after_s) == ("retry", "RESOURCE_EXHAUSTED", 5)


def test_the_pace_leaves_room_for_the_questions_in_the_daily_quota() -> None:
    limits = plugin.GOOGLE.limits
    assert limits.rate * DAY_S <= 100_000 / 2
    assert limits.rate * 60 + limits.burst <= 300


@pytest.mark.parametrize(
    "reason", ["DEK_DECRYPTION_ERROR", "INVALID_KEK", "KEK_PERMISSION_DENIED", "INVALID_WIP", "AWS_AUTH_FAILED"]
)
def test_reasons_of_encryption_are_the_operators(reason: str) -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    assert plugin.classify(answer({"error": {"details": details}}, 400), 3).kind == "pause"
    assert plugin.GOOGLE.follow_up.classify(status_of("FAILED", (reason, 2))).kind == "pause"


def test_the_request_id_and_the_warnings_are_kept() -> None:
    warning = {"reason": "WARNING_REASON_X", "field": "events.events[3].cart_data", "description": "…"}
    verdict = plugin.classify(answer({"requestId": "r-1", "fieldWarnings": [warning]}), 5)
    assert (verdict.kind, verdict.request_id) == ("received", "r-1")
    assert verdict.message == "WARNING_REASON_X events.events[3].cart_data"


# The outcome, asked for later


def test_the_outcome_is_asked_for_by_request_id() -> None:
    request = plugin.GOOGLE.follow_up.build_request("r-1", {**CONFIG, "quota_project": "shop"})
    assert (request.method, request.url) == ("GET", "https://datamanager.googleapis.com/v1/requestStatus:retrieve")
    assert request.params == {"requestId": "r-1"}
    assert request.headers == {"x-goog-user-project": "shop"}


@pytest.mark.parametrize(
    ("response", "kind", "code"),
    [
        (status_of("PROCESSING"), "received", ""),
        (status_of("REQUEST_STATUS_UNKNOWN"), "received", ""),
        (status_of("A_STATE_OF_NEXT_YEAR"), "received", ""),
        (status_of("SUCCESS"), "delivered", ""),
        (status_of("PARTIAL_SUCCESS", ("EVENT_TOO_OLD", 3), ("CLICK_NOT_FOUND", 12)), "delivered", "CLICK_NOT_FOUND"),
        (status_of("PARTIAL_SUCCESS", ("CLICK_NOT_FOUND", 12), ("INTERNAL_ERROR", 1)), "retry", "INTERNAL_ERROR"),
        (status_of("PARTIAL_SUCCESS", ("TOO_RECENT_CLICK", 1), total=100), "retry", "TOO_RECENT_CLICK"),
        (status_of("PARTIAL_SUCCESS", ("TOO_RECENT_CLICK", 1), total=101), "delivered", "TOO_RECENT_CLICK"),
        (status_of("PARTIAL_SUCCESS", ("CLICK_NOT_FOUND", 12), ("NO_CONSENT", 1)), "delivered", "NO_CONSENT"),
        (
            status_of("PARTIAL_SUCCESS", ("CUSTOM_VARIABLE_NOT_ENABLED", 1), ("CLICK_NOT_FOUND", 12)),
            "delivered",
            "CUSTOM_VARIABLE_NOT_ENABLED",
        ),
        (status_of("FAILED", ("CLICK_NOT_FOUND", 2)), "delivered", "CLICK_NOT_FOUND"),
        (status_of("FAILED", ("USER_ID_NOT_FOUND_IN_NEXT_YEAR", 2)), "delivered", "USER_ID_NOT_FOUND_IN_NEXT_YEAR"),
        (status_of("FAILURE", ("EVENT_TOO_OLD", 2)), "reject", "EVENT_TOO_OLD"),
        (status_of("FAILED", ("A_REASON_OF_NEXT_YEAR", 2)), "reject", "A_REASON_OF_NEXT_YEAR"),
        (status_of("FAILED"), "reject", "FAILED"),
        (status_of("FAILED", ("EVENT_TOO_OLD", 9), ("INTERNAL_ERROR", 1)), "retry", "INTERNAL_ERROR"),
        (status_of("FAILED", ("UNKNOWN_CONSENT", 2)), "reject", "UNKNOWN_CONSENT"),
        (
            status_of("FAILED", ("CLICK_NOT_FOUND", 9), ("INVALID_OPERATING_ACCOUNT_FOR_CLICK", 1)),
            "pause",
            "INVALID_OPERATING_ACCOUNT_FOR_CLICK",
        ),
        (answer({"error": {"status": "UNAVAILABLE"}}, 503), "received", ""),
        (answer({"error": {"status": "UNAUTHENTICATED"}}, 401), "received", ""),
        (Response(200, {}, b"<html>"), "received", ""),
    ],
)
def test_outcomes(response: Response, kind: str, code: str) -> None:
    verdict = plugin.GOOGLE.follow_up.classify(response)
    assert (verdict.kind, verdict.code) == (kind, code)


def test_a_reason_without_the_usual_prefix_is_read_too() -> None:
    rows = [{"reason": "PROCESSING_ERROR_OPERATING_ACCOUNT_MISMATCH_FOR_AD_IDENTIFIER", "recordCount": 4}]
    body = {"requestStatusPerDestination": [{"requestStatus": "FAILED", "errorInfo": {"errorCounts": rows}}]}
    assert plugin.GOOGLE.follow_up.classify(answer(body)).kind == "pause"


def test_a_request_that_google_does_not_know_has_no_outcome_yet() -> None:
    details = [{"fieldViolations": [{"field": "request_id", "reason": "INVALID_REQUEST_ID"}]}]
    assert plugin.GOOGLE.follow_up.classify(answer({"error": {"details": details}}, 400)).kind == "received"


def test_the_counts_are_kept_in_words() -> None:
    verdict = plugin.GOOGLE.follow_up.classify(
        status_of("PARTIAL_SUCCESS", ("EVENT_TOO_OLD", 3), ("CLICK_NOT_FOUND", 12))
    )
    assert verdict.message == "PARTIAL_SUCCESS, EVENT_TOO_OLD 3, CLICK_NOT_FOUND 12"


def test_a_small_batch_of_recent_clicks_is_sent_once_more_after_six_hours() -> None:
    verdict = plugin.GOOGLE.follow_up.classify(status_of("FAILED", ("TOO_RECENT_CLICK", 2)))
    assert (verdict.after_s, verdict.tries) == (6 * 3600, 2)


# The envelope


def test_the_worked_request_of_the_reference_has_the_printed_digests() -> None:
    case = json.loads((HERE / "golden" / "google" / "purchase.json").read_text("utf-8"))
    identifiers = case["expect"]["requests"][0]["json"]["events"][0]["userData"]["userIdentifiers"]
    assert identifiers == [
        {"emailAddress": DIGEST},
        {"phoneNumber": "fb4f73a6ec5fdb7077d564cdd22c3554b43ce49168550c3b12c547b78c517b30"},
        {
            "address": {
                "givenName": "2c9e0a2585dc7406589a3724f0027811506e0f133726303a15d6779d532a2573",
                "familyName": "c512ca0c5c1e71be19f3356821e56732b5fb3ac894b0dbc5846d0b6920106fb3",
                "regionCode": "US",
                "postalCode": "94045",
            }
        },
    ]


@pytest.mark.parametrize("path", sorted((HERE / "golden" / "google").glob("*.json")), ids=lambda path: path.stem)
def test_golden_requests_fit_googles_schema(path: Path) -> None:
    valid = Draft202012Validator(load_schema("platforms/google.json"))
    for request in json.loads(path.read_text("utf-8"))["expect"]["requests"]:
        assert [error.message for error in valid.iter_errors(request["json"])] == []


def test_a_manager_account_is_the_login_and_numbers_lose_their_hyphens() -> None:
    config = {**CONFIG, "customer_id": 1234567890, "login_customer_id": "987-654-3210"}
    destination = plugin.build_request(Batch.of([{}], group="1"), config).json["destinations"][0]
    assert destination["operatingAccount"]["accountId"] == "1234567890"
    assert destination["loginAccount"]["accountId"] == "9876543210"
