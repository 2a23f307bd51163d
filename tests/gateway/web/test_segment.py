"""The Segment tracking API over HTTP: whose call it is, what is answered, what is stored."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from gateway.ingest.formats.segment import PATHS
from gateway.model.errors import OutboxBusy, OutboxError
from gateway.web.service import Effective, Service

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx


SHOP, WRITE_KEY, PUBLIC_KEY = "https://shop.example", "write-key-of-the-shop", "public-key-of-the-shop"
LEAD = {"type": "track", "event": "Lead", "messageId": "m-1", "userId": "u-1"}
EMAIL = sha256(b"jane.doe@example.com").hexdigest()

pytestmark = pytest.mark.anyio


@pytest.fixture
def browser(client: httpx.AsyncClient) -> httpx.AsyncClient:
    del client.headers["Authorization"]
    client.headers.update({"Origin": SHOP, "User-Agent": "Mozilla/5.0 (made up)"})
    return client


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def clear_parts(service: Service) -> list[dict[str, Any]]:
    with service.outbox.reading() as db:
        return [json.loads(row[0]) for row in db.execute("SELECT data FROM clear ORDER BY seq")]


@pytest.mark.parametrize("path", sorted(PATHS))
async def test_every_path_answers_exactly_200(client: httpx.AsyncClient, path: str) -> None:
    body = {"batch": [LEAD]} if PATHS[path] == "batch" else {**LEAD, "traits": {"email": "jane.doe@example.com"}}
    answer = await client.post(path, json={**body, "previousId": "a-1"})
    assert answer.status_code == 200
    told = answer.json()
    assert told["success"] is True
    assert told["results"][0]["status"] == ("ignored" if PATHS[path] == "group" else "accepted")


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        ("/v1/t", basic(WRITE_KEY), LEAD),
        ("/v1/t", {"Authorization": f"Bearer {WRITE_KEY}"}, LEAD),
        ("/v1/t", {"X-Write-Key": WRITE_KEY}, LEAD),
        ("/v1/t", {}, {**LEAD, "writeKey": WRITE_KEY}),
        ("/v1/b", {}, {"batch": [LEAD], "writeKey": WRITE_KEY}),
        (f"/beacon/v1/batch?writeKey={WRITE_KEY}", {}, {"batch": [LEAD]}),
    ],
)
async def test_a_key_comes_as_sdks_bring_it(
    client: httpx.AsyncClient, stored: Callable[[], Any], path: str, headers: dict[str, str], body: dict[str, Any]
) -> None:
    del client.headers["Authorization"]
    answer = await client.post(path, json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [one[0] for one in stored()] == ["m-1"]


@pytest.mark.parametrize(
    ("path", "headers", "body", "status", "code"),
    [
        ("/v1/t", {}, LEAD, 401, "missing_key"),
        (f"/v1/t?writeKey={WRITE_KEY}", {}, LEAD, 401, "missing_key"),  # only a beacon brings it there
        ("/v1/t", basic("nobody-has-this"), {**LEAD, "writeKey": WRITE_KEY}, 401, "unknown_key"),
        ("/v1/t", basic(PUBLIC_KEY), LEAD, 403, "origin_not_allowed"),
        ("/v1/t", {**basic(PUBLIC_KEY), "Origin": "https://evil.example"}, LEAD, 403, "origin_not_allowed"),
        ("/v1/t", {}, {**LEAD, "writeKey": PUBLIC_KEY}, 403, "origin_not_allowed"),
        ("/v1/t", basic("key-of-a-webhook"), LEAD, 403, "wrong_kind_of_source"),
        ("/v1/batch", basic(WRITE_KEY), {"batch": []}, 400, "no_events"),
        ("/v1/batch", basic(WRITE_KEY), {"batch": [LEAD] * 51}, 413, "too_many_events"),
    ],
)
async def test_what_is_refused_leaves_nothing_and_says_why_in_the_words_of_sdks(
    client: httpx.AsyncClient,
    stored: Callable[[], Any],
    path: str,
    headers: dict[str, str],
    body: dict[str, Any],
    status: int,
    code: str,
) -> None:
    del client.headers["Authorization"]
    answer = await client.post(path, json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["message"]
    assert answer.json()["success"] is False
    assert stored() == []


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [("text/plain", ""), ("application/x-www-form-urlencoded", "gzip"), ("", ""), ("application/json", "gzip")],
)
async def test_a_body_is_json_whatever_its_label(client: httpx.AsyncClient, kind: str, encoding: str) -> None:
    data = json.dumps({"batch": [LEAD]}).encode()
    headers = {"Content-Type": kind, **({"Content-Encoding": encoding} if encoding else {})}
    answer = await client.post("/v1/batch", content=gzip.compress(data) if encoding else data, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 1


async def test_one_bad_call_never_fails_its_batch(client: httpx.AsyncClient, stored: Callable[[], Any]) -> None:
    bad = [{"type": "track"}, 7, {"type": "merge"}, {**LEAD, "timestamp": "yesterday"}, {**LEAD, "event": "x" * 51}]
    answer = await client.post("/v1/batch", json={"batch": [*bad, LEAD]})
    told = answer.json()
    assert answer.status_code == 200
    assert told["success"] is False
    assert [one["index"] for one in told["results"]] == list(range(6))
    assert [one["status"] for one in told["results"]] == ["rejected"] * 5 + ["accepted"]
    assert [one["errors"][0]["path"] for one in told["results"][:4]] == ["/event", "", "/type", "/timestamp"]
    assert [one[0] for one in stored()] == ["m-1"]


async def test_even_a_batch_of_bad_calls_is_answered_200(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/batch", json={"batch": [{"type": "track"}]})
    assert answer.status_code == 200
    assert answer.json() | {"results": []} == {
        "success": False,
        "accepted": 0,
        "duplicates": 0,
        "rejected": 1,
        "results": [],
    }


async def test_a_call_that_is_sent_again_is_a_duplicate(client: httpx.AsyncClient, stored: Callable[[], Any]) -> None:
    order = {"event": "Order Completed", "messageId": "m-2", "properties": {"order_id": "o-1", "revenue": 1}}
    for path, body in (
        ("/v1/t", order),
        ("/v1/track", {**order, "messageId": "m-3"}),
        ("/v1/b", {"batch": [LEAD, LEAD]}),
    ):
        assert (await client.post(path, json=body)).status_code == 200
    assert [one[0] for one in stored()] == ["o-1", "m-1"]


async def test_a_page_and_the_sdk_tell_of_one_order(client: httpx.AsyncClient, stored: Callable[[], Any]) -> None:
    purchase = {"event_name": "Purchase", "event_id": "o-1", "custom_data": {"value": 1, "currency": "EUR"}}
    assert (await client.post("/v1/events", json=purchase)).status_code == 202
    order = {"event": "Order Completed", "messageId": "m-2", "properties": {"order_id": "o-1", "revenue": 1}}
    assert (await client.post("/v1/t", json=order)).json()["duplicates"] == 1
    assert len(stored()) == 1


async def test_identify_goes_before_the_events_of_its_batch(
    client: httpx.AsyncClient, stored: Callable[[], Any]
) -> None:
    said = {"type": "identify", "userId": "u-1", "traits": {"email": "Jane.Doe@example.com"}}
    told = (await client.post("/v1/batch", json={"batch": [LEAD, said]})).json()
    assert [one["status"] for one in told["results"]] == ["accepted", "accepted"]
    assert "event_id" not in told["results"][1]
    [(_, payload)] = stored()
    assert EMAIL in payload.decode()
    await client.post("/v1/t", json={**LEAD, "messageId": "m-2"})
    assert EMAIL in stored()[1][1].decode()
    await client.post("/v1/t", json={**LEAD, "messageId": "m-3", "userId": "u-2"})
    assert EMAIL not in stored()[2][1].decode()


async def test_personal_data_does_not_get_into_custom_data(
    client: httpx.AsyncClient, stored: Callable[[], Any]
) -> None:
    properties = {
        "email": "jane.doe@example.com",
        "contact_email": "jane.doe@example.com",
        "note": "from jane.doe@example.com",
    }
    context = {
        "traits": {"email": "jane.doe@example.com", "secret": "jane.doe@example.com"},
        "library": {"name": "jane.doe@example.com"},
    }
    told = (await client.post("/v1/t", json={**LEAD, "properties": properties, "context": context})).json()
    [(_, payload)] = stored()
    assert "jane.doe@" not in payload.decode()
    assert EMAIL in payload.decode()
    assert {one["code"] for one in told["results"][0]["warnings"]} == {"personal_data_removed"}


async def test_what_was_left_out_is_a_warning(client: httpx.AsyncClient) -> None:
    told = (await client.post("/v1/t", json={**LEAD, "properties": {"tax": "much"}})).json()
    [warning] = told["results"][0]["warnings"]
    assert warning["code"] == "left_out"
    assert "properties.tax" in warning["message"]


async def test_a_page_says_who_its_visitor_is(
    browser: httpx.AsyncClient, service: Service, stored: Callable[[], Any]
) -> None:
    headers = {**basic(PUBLIC_KEY), "Cookie": "_fbp=fb.1.1795000000000.1234567890", "Content-Type": "text/plain"}
    answer = await browser.post("/v1/t", content=json.dumps({**LEAD, "writeKey": PUBLIC_KEY}), headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert json.loads(stored()[0][1])["user_data"]["fbp"] == "fb.1.1795000000000.1234567890"
    assert clear_parts(service) == [{"client_ip_address": "203.0.113.7", "client_user_agent": "Mozilla/5.0 (made up)"}]


async def test_a_server_does_not(client: httpx.AsyncClient, service: Service, stored: Callable[[], Any]) -> None:
    headers = {"Cookie": "_fbp=fb.1.1795000000000.1234567890", "Sec-GPC": "1", "User-Agent": "analytics-node"}
    await client.post("/v1/t", json=LEAD, headers=headers)
    payload = json.loads(stored()[0][1])
    assert "fbp" not in payload["user_data"]
    assert "gpc" not in payload["consent"]
    assert clear_parts(service) == []


async def test_a_page_can_ask_that_no_address_be_kept(browser: httpx.AsyncClient, service: Service) -> None:
    body = {**LEAD, "writeKey": PUBLIC_KEY, "context": {"ip": "0.0.0.0"}}
    await browser.post("/v1/t", json=body)
    assert clear_parts(service) == [{"client_user_agent": "Mozilla/5.0 (made up)"}]


async def test_the_user_agent_of_an_app_is_not_its_http_librarys(browser: httpx.AsyncClient, service: Service) -> None:
    body = {**LEAD, "writeKey": PUBLIC_KEY, "context": {"device": {"type": "android"}}}
    await browser.post("/v1/t", json=body, headers={"User-Agent": "okhttp/4.9"})
    assert clear_parts(service) == [{"client_ip_address": "203.0.113.7"}]


async def test_global_privacy_control_of_a_page_counts(browser: httpx.AsyncClient) -> None:
    body = {**LEAD, "writeKey": PUBLIC_KEY}
    answer = await browser.post("/v1/t", json=body, headers={"Sec-GPC": "1"})
    assert answer.json()["results"][0]["destinations"] == {"acme": "skipped:consent"}


async def test_routing_by_integrations(client: httpx.AsyncClient) -> None:
    for integrations, status in (({"All": False}, "skipped:not_routed"), ({"All": False, "Acme": True}, "queued")):
        body = {**LEAD, "messageId": status, "integrations": integrations}
        assert (await client.post("/v1/t", json=body)).json()["results"][0]["destinations"] == {"acme": status}


@pytest.mark.parametrize("path", ["/v1/t", "/v1/batch", "/v1/projects/x/settings", "/sourceConfig/"])
async def test_the_preflight_allows_what_sdks_send(browser: httpx.AsyncClient, service: Service, path: str) -> None:
    asked = "anonymousid,authorization,content-type,sentat,x-retry-count"
    headers = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": asked}
    answer = await browser.options(path, headers=headers)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-headers"] == asked
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    settings = service.effective.settings
    service.effective = Effective.of(replace(settings, sources={"web": settings.sources["web"]}), service.outbox)
    foreign = await browser.options(path, headers={**headers, "Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert "access-control-allow-origin" not in foreign.headers


async def test_settings_for_the_sdk_of_a_page(browser: httpx.AsyncClient) -> None:
    answer = await browser.get(f"/v1/projects/{PUBLIC_KEY}/settings")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert list(answer.json()["integrations"]) == ["Segment.io"]
    for asked in (
        browser.get(f"/sourceConfig/?p=npm&writeKey={PUBLIC_KEY}"),
        browser.get("/sourceConfig", headers=basic(PUBLIC_KEY)),
    ):
        source = (await asked).json()["source"]
        assert (source["id"], source["enabled"], source["destinations"]) == ("web", True, [])


@pytest.mark.parametrize(("key", "status"), [("nobody", 401), (WRITE_KEY, 403)])
async def test_settings_are_for_public_keys(browser: httpx.AsyncClient, key: str, status: int) -> None:
    assert (await browser.get(f"/v1/projects/{key}/settings")).status_code == status
    assert (await browser.get(f"/sourceConfig/?writeKey={key}")).status_code == status


@pytest.mark.parametrize(("error", "status"), [(OutboxBusy("busy"), 429), (OutboxError("no"), 503)])
async def test_back_pressure_says_when_to_come_again(
    browser: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    async def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(service.outbox), "append", refuse)
    answer = await browser.post("/v1/t", json={**LEAD, "writeKey": PUBLIC_KEY})
    assert answer.status_code == status
    assert int(answer.headers["retry-after"]) > 0
    assert "retry-after" in answer.headers["access-control-expose-headers"]


async def test_a_page_may_not_send_as_much_as_a_server(browser: httpx.AsyncClient, client: httpx.AsyncClient) -> None:
    big = {**LEAD, "writeKey": PUBLIC_KEY, "properties": {"x": "y" * 100_001}}  # more than the server's limit here
    assert (await browser.post("/v1/t", json=big)).status_code == 413


ANY = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from("batch type event properties context traits page consent".split()), inner, max_size=4
        ),
    ),
    max_leaves=12,
)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from(sorted(PATHS)),
    body=st.one_of(ANY.map(lambda one: json.dumps(one).encode()), st.binary(max_size=40)),
)
async def test_no_body_is_an_error_of_ours(client: httpx.AsyncClient, path: str, body: bytes) -> None:
    answer = await client.post(path, content=body)
    assert answer.status_code in (200, 400, 413)
    assert isinstance(answer.json()["success"], bool)
