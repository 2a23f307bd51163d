"""`POST /{version}/{pixel_id}/events`: whose request it is, what is read, and answers that its clients understand."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model.errors import OutboxBusy
from gateway.web.app import App
from gateway.web.conversions_api import messages
from gateway.web.service import Effective

KEY, SECOND = "write-key-of-the-shop", "its-second-key"
URL = "/v25.0/1234567890/events"
EVENT = {"event_name": "Lead", "event_time": 1_795_000_000, "event_id": "l-1", "action_source": "website"}


@pytest.fixture
def door(client):
    del client.headers["Authorization"]
    return client


def ids(stored):
    return [one[0] for one in stored()]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "request_",
    [
        {"params": {"access_token": KEY}, "json": {"data": [EVENT]}},
        {"json": {"data": [EVENT], "access_token": SECOND}},
        {"json": {"data": json.dumps([EVENT]), "access_token": KEY}},
        {"json": {"data": [json.dumps(EVENT)], "access_token": KEY}},
        {"headers": {"Authorization": f"Bearer {KEY}"}, "json": {"data": [EVENT]}},
        {"params": {"access_token": KEY}, "data": {"data": json.dumps([EVENT])}},
        {"data": {"data": json.dumps([json.dumps(EVENT)]), "access_token": KEY, "appsecret_proof": "00"}},
        {"files": {"data": (None, json.dumps([EVENT])), "access_token": (None, KEY)}},
        {"params": {"access_token": KEY, "data": json.dumps([EVENT])}, "data": {"partner_agent": "x"}},
        {"content": json.dumps({"data": [EVENT], "access_token": KEY})},
    ],
)
async def test_the_ways_in_which_clients_post(door, stored, request_):
    answer = await door.post(URL, **request_)
    assert answer.status_code == 200
    assert answer.json() == {"events_received": 1, "messages": [], "fbtrace_id": answer.headers["x-request-id"]}
    assert ids(stored) == ["l-1"]


@pytest.mark.anyio
async def test_the_same_again_is_received_and_stored_once(door, stored):
    for _ in range(2):
        answer = await door.post(URL, json={"data": [EVENT], "access_token": KEY})
        assert answer.json()["events_received"] == 1
    assert ids(stored) == ["l-1"]


@pytest.mark.anyio
async def test_one_bad_event_costs_no_other_and_is_told(door, stored):
    data = [EVENT, {**EVENT, "event_name": "Purchase", "custom_data": {"currency": "XXQ"}}, 3, {**EVENT, "foo": 1}]
    answer = await door.post(URL, json={"data": data, "access_token": KEY})
    assert answer.status_code == 200
    assert answer.json()["events_received"] == 2
    assert answer.json()["messages"] == [
        "data[1]: refused: /custom_data/currency expected an ISO 4217 code such as EUR (unknown_currency)",
        "data[2]: refused: expected an object (wrong_type)",
        "data[3]: foo: left out, not known here",
    ]
    assert ids(stored) == ["l-1"]


def test_what_is_said_of_many_is_said_once():
    fault = {"path": "/user_data/phone/0", "message": "already hashed", "code": "prehashed_phone"}
    results = [{"warnings": [fault]}, {}, {"warnings": [fault]}]
    assert messages(results, [(), (), ()]) == [
        "data[0] and 1 more: /user_data/phone/0 already hashed (prehashed_phone)"
    ]
    many = [{"warnings": [{**fault, "path": f"/{n}"}]} for n in range(500)]
    assert len(messages(many, [()] * 500)) == 100


REFUSED = [
    (URL, {"json": {"data": [EVENT]}}, 401, 190, None, "OAuthException"),
    (URL, {"json": {"data": [EVENT], "access_token": "nobody-has-this"}}, 401, 190, None, "OAuthException"),
    (URL, {"json": {"data": [EVENT], "access_token": 5}}, 401, 190, None, "OAuthException"),
    (URL, {"params": {"access_token": "nobody-has-this"}, "json": {"data": []}}, 401, 190, None, "OAuthException"),
    (URL, {"params": {"access_token": "public-key-of-the-shop"}}, 403, 200, None, "OAuthException"),
    (URL, {"params": {"access_token": "key-of-a-webhook"}}, 403, 200, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "json": {"data": []}}, 400, 100, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "json": {}}, 400, 100, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "json": []}, 400, 100, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "json": {"data": "[{"}}, 400, 100, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "content": b"{"}, 400, 100, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "json": {"data": [{}]}}, 400, 100, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "json": {"data": [EVENT] * 51}}, 413, 100, None, "OAuthException"),
    (URL, {"params": {"access_token": KEY}, "content": b" " * 200_000}, 413, 100, None, "OAuthException"),
    (
        URL,
        {"params": {"access_token": KEY}, "content": b"x", "headers": {"Content-Type": "image/png"}},
        415,
        100,
        None,
        "OAuthException",
    ),
    ("/v25.0/666/events", {"json": {"data": [EVENT], "access_token": SECOND}}, 400, 100, 33, "GraphMethodException"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("url", "request_", "status", "code", "subcode", "kind"), REFUSED)
async def test_a_refusal_has_the_envelope_of_the_graph_api(
    settings, service, outbox, stored, door, url, request_, status, code, subcode, kind
):
    web = replace(settings.sources["web"], pixel_ids=("1234567890", "42"))
    service.effective = Effective.of(replace(settings, sources={**settings.sources, "web": web}), outbox)
    answer = await door.post(url, **request_)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("error_subcode"), error["type"]) == (
        status,
        code,
        subcode,
        kind,
    )
    assert {"message", "error_user_title", "error_user_msg", "is_transient"} <= error.keys()
    assert error["fbtrace_id"] == answer.headers["x-request-id"]
    assert stored() == []


@pytest.mark.anyio
async def test_what_the_page_has_people_post_is_taken_as_it_stands(door, stored):
    page = (Path(__file__).parents[3] / "docs/doors/conversions-api.md").read_text("utf-8")
    page = page.replace("'$(date +%s)'", str(int(time.time())))
    [(url, body)] = re.findall(r"curl \"http://127.0.0.1:8080(/[^\"]+)\".*?-d '(\{.*?\})'", page, re.DOTALL)
    answer = await door.post(url, json=json.loads(body) | {"access_token": KEY})
    assert answer.json() | {"fbtrace_id": ""} == {"events_received": 1, "messages": [], "fbtrace_id": ""}
    assert json.loads(stored()[0][1])["consent"]["region"] == "DE"


@pytest.mark.anyio
async def test_what_no_destination_gets_is_told(door, stored):
    held = {**EVENT, "event_id": "l-2", "consent": {"ad_user_data": "denied"}}
    answer = await door.post(URL, json={"data": [EVENT, held], "access_token": KEY})
    assert answer.json()["messages"] == ["data[1]: no destination gets it: consent"]


@pytest.mark.anyio
async def test_any_pixel_will_do_where_none_is_named(door, stored):
    answer = await door.post("/v1.0/any/events", json={"data": [EVENT], "access_token": KEY})
    assert answer.status_code == 200
    assert ids(stored) == ["l-1"]


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/25.0/1/events", "/latest/1/events", "/v25.0/events", "/v25.0/1/events/x"])
async def test_other_addresses_are_not_this_door(door, path):
    answer = await door.post(path, json={"data": [EVENT], "access_token": KEY})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert (await door.get(URL)).status_code == 405


@pytest.mark.anyio
async def test_overload_is_transient(door, outbox, monkeypatch):
    async def busy(_records):
        raise OutboxBusy("full")

    monkeypatch.setattr(outbox, "append", busy)
    answer = await door.post(URL, json={"data": [EVENT], "access_token": KEY})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["is_transient"] is True


@pytest.mark.anyio
async def test_a_bug_tells_nothing_of_the_inside(door, outbox, monkeypatch):
    async def broken(_records):
        raise RuntimeError("inside")

    monkeypatch.setattr(outbox, "append", broken)
    answer = await door.post(URL, json={"data": [EVENT], "access_token": KEY})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, 1)
    assert "inside" not in answer.text


@pytest.mark.anyio
async def test_a_test_code_makes_test_events_and_the_connection_is_not_looked_at(door, stored):
    body = {"data": [EVENT], "access_token": KEY, "test_event_code": "TEST1", "partner_agent": "shop 1"}
    await door.post(URL, json=body, headers={"Sec-GPC": "1", "Cookie": "_fbp=fb.1.1795000000000.1234567890"})
    [(_, payload)] = stored()
    found = json.loads(payload)
    assert found["test"] is True
    assert "gpc" not in found["consent"]
    assert "fbp" not in found.get("user_data", {})


@pytest.mark.anyio
async def test_limited_data_use_is_an_objection(door, service):
    entry = {**EVENT, "data_processing_options": ["LDU"], "data_processing_options_country": 0}
    await door.post(URL, json={"data": [entry], "access_token": KEY})
    routed = service.outbox.read
    rows = await routed(lambda db: db.execute("SELECT data FROM decision").fetchall())
    assert '"skipped","consent","gpc"' in rows[0][0]


BODIES = st.binary(max_size=80) | st.builds(
    lambda data: json.dumps({"data": data}).encode(),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*EVENT, "user_data"]), inner),
        max_leaves=8,
    ),
)
KINDS = st.sampled_from(
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(body=BODIES, kind=KINDS)
def test_no_body_breaks_the_door(service, body, kind):
    import anyio

    async def post():
        transport = httpx.ASGITransport(App(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.example") as client:
            return await client.post(URL, params={"access_token": KEY}, content=body, headers={"Content-Type": kind})

    answer = anyio.run(post)
    assert answer.status_code in (200, 400, 413, 415)
    assert ("events_received" in answer.json()) == (answer.status_code == 200)
