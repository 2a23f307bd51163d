"""The mock of TikTok takes the worked request of the documentation and refuses each planted fault."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from gateway.demo.mock import MockReply, MockRequest
from gateway.demo.platforms.tiktok import MOCK

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/open_api/v1.3/event/track/"
NOW = 1_795_000_060
HEADERS = {"access-token": MOCK.config["access_token"], "content-type": "application/json"}

#: As in TikTok's documentation, with the mock's pixel; without the test code.
WORKED: dict[str, Any] = {
    "event_source": "web",
    "event_source_id": MOCK.config["pixel_code"],
    "data": [
        {
            "event": "Purchase",
            "event_time": 1795000000,
            "event_id": "order-10042-purchase",
            "user": {
                "email": ["86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"],
                "phone": ["cb6880e416769253645cb9c6b8989154bf66a56a77fc14c81fb1019663cbb928"],
                "external_id": ["7cae910e8bdec6280d376692ee0f182e52c571ae31bd43dae5e06baf31ca036d"],
                "first_name": "81f8f6dde88365f3928796ec7aa53f72820b06db8664f5fe76a7eb13e24546a2",
                "last_name": "799ef92a11af918e3fb741df42934f3b568ed2d93ac1df74f1b8d41a27932a6f",
                "city": "sanfrancisco",
                "state": "ca",
                "zip_code": "e73ac16e69f060ee98b0fda5f66f48c4648ee26950e9bab3a097389853fd859e",
                "country": "us",
                "ttclid": "E.C.P.CiEXAMPLE",
                "ttp": "2F7h37YkS1j57AYSKTI7IHhJPYH",
                "ip": "203.0.113.10",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
                "locale": "en-US",
            },
            "page": {
                "url": "https://shop.example/thank-you?order=10042",
                "referrer": "https://shop.example/checkout",
            },
            "properties": {
                "value": 59.98,
                "currency": "USD",
                "content_type": "product",
                "order_id": "10042",
                "num_items": 2,
                "contents": [
                    {
                        "content_id": "SKU-1",
                        "content_name": "Blue shirt",
                        "content_category": "Apparel",
                        "brand": "Acme",
                        "price": 29.99,
                        "quantity": 2,
                    }
                ],
            },
            "limited_data_use": False,
        }
    ],
}
APP = {
    "event": "GenerateLead",
    "event_time": 1795000000,
    "event_id": "a-1",
    "user": {"idfa": "6cd6140c54b2741b81b0099b232a3ddaeed82df456f43563574877baec22b632", "att_status": "AUTHORIZED"},
    "app": {"app_id": "1234567890", "app_version": "4.2.0"},
    "ad": {"callback": "E.C.P.CbEXAMPLE", "attributed": True},
    "limited_data_use": False,
}
OFFLINE = {
    "event": "Purchase",
    "event_time": 1795000000,
    "event_id": "o-1",
    "properties": {"value": 5, "currency": "EUR"},
}
CRM = {
    "event": "QualifiedLead",
    "event_time": 1795000000,
    "event_id": "l-1",
    "lead": {"lead_id": "7300000000000000001"},
}
OTHERS = {"app": ("app_id", APP), "offline": ("offline_event_set_id", OFFLINE), "crm": ("crm_event_set_id", CRM)}


def ask(envelope: object, *, method: str = "POST", path: str = PATH, headers: dict[str, str] = HEADERS) -> MockReply:
    return MOCK.answer(MockRequest(method, path, {}, headers, json.dumps(envelope).encode()), NOW)


def envelope_of(source: str) -> dict[str, Any]:
    key, item = OTHERS[source]
    return {"event_source": source, "event_source_id": MOCK.config[key], "data": [copy.deepcopy(item)]}


def test_the_worked_request_is_taken() -> None:
    reply = ask(WORKED)
    assert reply.status == 200
    assert (reply.json["code"], reply.json["message"], reply.json["data"]) == (0, "OK", {})
    assert reply.json["request_id"].startswith("20261118")
    assert reply.accepted == tuple(WORKED["data"])
    assert reply.tested == ()


def test_with_a_test_code_nothing_counts() -> None:
    reply = ask(WORKED | {"test_event_code": "TEST12345"})
    assert reply.json["code"] == 0
    assert reply.accepted == ()
    assert reply.tested == tuple(WORKED["data"])


@pytest.mark.parametrize("source", OTHERS)
def test_each_event_source_is_taken(source: str) -> None:
    assert ask(envelope_of(source)).json["code"] == 0


def test_one_bad_event_sinks_its_neighbours() -> None:
    bad = copy.deepcopy(WORKED["data"][0]) | {"event_id": 10042}
    reply = ask(WORKED | {"data": [WORKED["data"][0], bad]})
    assert reply.json["code"] == 40002
    assert reply.json["message"] == "Batch.1.event_id: Not a valid string."
    assert reply.accepted == reply.tested == ()


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set the value at a dotted path; with `...` take it away."""
    *parents, last = path.split(".")

    def change(target: Any) -> None:
        for step in parents:
            target = target[int(step)] if step.isdigit() else target.setdefault(step, {})
        if value is ...:
            del target[last]
        else:
            target[last] = value

    return change


EMAIL = "86e0b9e56c17cc4d12387e1949b85053fbe73bc3ce5a1188713a9d300cc6133d"
FAULTS: dict[str, tuple[str, Any, int]] = {
    "raw e-mail": ("user.email", ["jane.doe@example.com"], 40002),
    "raw phone": ("user.phone", "+12025550123", 40002),
    "digest in upper case": ("user.email", EMAIL.upper(), 40002),
    "short digest": ("user.external_id", [EMAIL[:40]], 40002),
    "empty list": ("user.email", [], 40002),
    "empty string": ("user.ttclid", "", 40002),
    "same digest twice": ("user.email", [EMAIL, EMAIL], 40002),
    "list of names": ("user.first_name", [EMAIL], 40002),
    "city hashed": ("user.city", EMAIL, 40002),
    "country in upper case": ("user.country", "US", 40002),
    "no address": ("user.ip", "localhost", 40002),
    "key of the old API": ("user.phone_number", EMAIL, 40002),
    "app id on the web": ("user.idfa", EMAIL, 40002),
    "time as text": ("event_time", "1795000000", 40002),
    "time in milliseconds": ("event_time", 1795000000000, 40002),
    "fraction of a second": ("event_time", 1795000000.5, 40002),
    "no event id": ("event_id", ..., 40002),
    "no name": ("event", ..., 40002),
    "name with a space": ("event", "Order Completed", 40002),
    "no page": ("page", ..., 40002),
    "old key": ("timestamp", "2026-11-18T09:45:00Z", 40002),
    "lead on the web": ("lead", {"lead_id": "1"}, 40002),
    "limited_data_use as a number": ("limited_data_use", 1, 40002),
    "no limited_data_use": ("limited_data_use", ..., 40002),
    "value as text": ("properties.value", "59.98", 40002),
    "currency in lower case": ("properties.currency", "usd", 40002),
    "order id as a number": ("properties.order_id", 10042, 40002),
    "price as text": ("properties.contents.0.price", "29.99", 40000),
    "content id as a number": ("properties.contents.0.content_id", 1, 40002),
    "contents and content_ids": ("properties.content_ids", ["SKU-1"], 40002),
    "unknown content type": ("properties.content_type", "sku", 40002),
    "unknown property": ("properties.net_revenue", 3, 40002),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_refused(fault: str) -> None:
    path, value, code = FAULTS[fault]
    envelope = copy.deepcopy(WORKED)
    put(path, value)(envelope["data"][0])
    reply = ask(envelope)
    assert reply.status == 200
    assert reply.json["code"] == code
    assert reply.accepted == ()
    assert "jane.doe" not in reply.json["message"]


ENVELOPE_FAULTS = {
    "no source": ("event_source", ...),
    "unknown source": ("event_source", "email"),
    "no source id": ("event_source_id", ...),
    "pixel_code instead": ("pixel_code", "C4"),
    "no events": ("data", []),
    "empty test code": ("test_event_code", ""),
    "too many": ("data", WORKED["data"] * 1001),
}


@pytest.mark.parametrize("fault", ENVELOPE_FAULTS)
def test_a_wrong_envelope_is_refused(fault: str) -> None:
    envelope = dict(WORKED)
    put(*ENVELOPE_FAULTS[fault])(envelope)
    assert ask(envelope).json["code"] == 40002


@pytest.mark.parametrize(
    ("source", "path", "value"),
    [
        ("app", "user.idfa", "EA7583CD-A667-48BC-B806-42ECB2B48606"),
        ("app", "user.att_status", "authorized"),
        ("app", "page", {"url": "https://shop.example/"}),
        ("app", "ad.attributed", "true"),
        ("app", "limited_data_use", ...),
        ("offline", "limited_data_use", False),
        ("offline", "app", {"app_id": "1"}),
        ("offline", "event_time", NOW - 28 * 86400 - 1),
        ("crm", "lead", ...),
        ("crm", "lead.lead_id", 7300000000000000001),
        ("crm", "limited_data_use", False),
    ],
)
def test_a_fault_of_one_source_is_refused(source: str, path: str, value: Any) -> None:
    envelope = envelope_of(source)
    put(path, value)(envelope["data"][0])
    assert ask(envelope).json["code"] == 40002


def test_a_token_is_wanted_bare() -> None:
    def code(token: str) -> int:
        return int(ask(WORKED, headers=HEADERS | {"access-token": token}).json["code"])

    assert code("") == 40104
    assert code("wrong") == 40105
    assert code(f"Bearer {MOCK.config['access_token']}") == 40105
    bearer = {"authorization": f"Bearer {MOCK.config['access_token']}", "content-type": "application/json"}
    assert ask(WORKED, headers=bearer).json["code"] == 40104


def test_a_foreign_pixel_is_refused() -> None:
    reply = ask(WORKED | {"event_source_id": "C9SOMEBODYELSE"})
    assert reply.json["code"] == 40001
    assert "C9SOMEBODYELSE" in reply.json["message"]


def test_the_path_ends_with_a_slash() -> None:
    assert ask(WORKED, path=PATH.rstrip("/")).status == 404
    assert ask(WORKED, method="GET").status == 405


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"1"])
def test_a_body_that_is_no_envelope_is_refused(body: bytes) -> None:
    reply = MOCK.answer(MockRequest("POST", PATH, {}, HEADERS, body), NOW)
    assert reply.json["code"] in (40000, 40002)


def test_the_type_of_the_body_must_be_said() -> None:
    assert ask(WORKED, headers={"access-token": MOCK.config["access_token"]}).json["code"] == 40000
