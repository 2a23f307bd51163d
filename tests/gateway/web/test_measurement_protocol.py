"""`/mp/collect`, `/debug/mp/collect` and `/g/collect`: whose request it is, who may, and what is answered."""

import json
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.web.app import App
from gateway.web.service import Effective

KEY, SHOP, STREAM = "write-key-of-the-shop", "https://shop.example", "G-ABC123"
MP = {"measurement_id": STREAM, "api_secret": KEY}
LEAD = {"client_id": "1.2", "events": [{"name": "generate_lead", "params": {"event_id": "l-1"}}]}
HIT = {"v": "2", "tid": STREAM, "cid": "1.2", "en": "generate_lead", "ep.event_id": "h-1", "gcs": "G111"}


@pytest.fixture
def door(settings, service, outbox, client):
    del client.headers["Authorization"]
    changed = {
        "web": replace(settings.sources["web"], measurement_ids=(STREAM, "1:2:android:3")),
        "open": replace(settings.sources["open"], measurement_ids=("G-OPEN",), ga_events={"scroll": "Lead"}),
        "tag": replace(
            settings.sources["open"], name="tag", public_keys=(), measurement_ids=("G-TAG",), origins=(SHOP,)
        ),
    }
    service.effective = Effective.of(replace(settings, sources={**settings.sources, **changed}), outbox)
    return client


def ids(stored):
    return [one[0] for one in stored()]


def clear_parts(outbox):
    with outbox.reading() as db:
        return [json.loads(row[0]) for row in db.execute("SELECT data FROM clear ORDER BY seq")]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["application/json", "text/plain;charset=UTF-8", ""])
async def test_a_server_is_answered_as_by_google(door, stored, kind):
    answer = await door.post("/mp/collect", params=MP, content=json.dumps(LEAD), headers={"Content-Type": kind})
    assert (answer.status_code, answer.content) == (204, b"")
    assert ids(stored) == ["l-1"]


@pytest.mark.anyio
async def test_the_key_may_come_in_a_header_and_the_same_again_is_stored_once(door, stored):
    for _ in range(2):
        query = {"measurement_id": STREAM}
        answer = await door.post("/mp/collect", params=query, json=LEAD, headers={"X-Write-Key": KEY})
        assert answer.status_code == 204
    assert ids(stored) == ["l-1"]


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["", "/debug"])
async def test_what_the_page_has_people_post_is_taken_as_it_stands(door, stored, path):
    page = (Path(__file__).parents[3] / "docs/doors/measurement-protocol.md").read_text("utf-8")
    [(url, body)] = re.findall(r"curl \"http://127.0.0.1:8080(/[^\"]+)\".*?-d '(\{.*?\})'", page, re.DOTALL)
    answer = await door.post(path + url.replace("example-write-key-0000", KEY), content=body)
    assert (answer.status_code, answer.content) == ((200, b'{"validationMessages":[]}') if path else (204, b""))
    assert ids(stored) == ([] if path else ["10042"])


@pytest.mark.anyio
async def test_an_app_names_its_stream_otherwise(door, stored):
    query = {"firebase_app_id": "1:2:android:3", "api_secret": KEY}
    body = {"app_instance_id": "0a1b", "events": LEAD["events"]}
    assert (await door.post("/mp/collect", params=query, json=body)).status_code == 204
    assert json.loads(stored()[0][1])["action_source"] == "app"


@pytest.mark.anyio
async def test_events_that_mean_nothing_here_are_left_out(door, stored):
    body = {"client_id": "1.2", "events": [{"name": "user_engagement"}, {"name": "scroll"}]}
    assert (await door.post("/mp/collect", params=MP, json=body)).status_code == 204
    assert stored() == []


REFUSED = [
    ({"measurement_id": STREAM}, LEAD, 401, "missing_key"),
    ({**MP, "api_secret": "nobody-has-this"}, LEAD, 401, "unknown_key"),
    ({**MP, "api_secret": "public-key-of-the-shop"}, LEAD, 403, "wrong_kind_of_key"),
    ({**MP, "measurement_id": "G-OTHER"}, LEAD, 403, "unknown_measurement_id"),
    ({"api_secret": KEY}, LEAD, 403, "unknown_measurement_id"),
    (MP, [], 400, "no_events"),
    (MP, {"client_id": "1.2"}, 400, "no_events"),
    (MP, {"events": []}, 400, "no_events"),
    (MP, {"events": [{"name": "login"}] * 51}, 413, "too_many_events"),
    (MP, {"events": [{"params": {}}]}, 422, "all_rejected"),
    (MP, {"consent": "GRANTED", "events": [{"name": "login"}]}, 422, "all_rejected"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("query", "body", "status", "code"), REFUSED)
@pytest.mark.parametrize("path", ["/mp/collect", "/debug/mp/collect"])
async def test_what_is_refused_is_told_and_not_stored(door, stored, path, query, body, status, code):
    answer = await door.post(path, params=query, json=body)
    if path.startswith("/debug") and status == 422:
        assert answer.json()["validationMessages"]
    else:
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stored() == []


@pytest.mark.anyio
async def test_validation_says_what_is_wrong_and_stores_nothing(door, stored):
    params = {"value": "dear", "currency": "EUR", "shipping": "express"}
    body = {"client_id": "1.2", "events": [{"name": "scroll"}, {"name": "purchase", "params": params}, {}]}
    answer = await door.post("/debug/mp/collect", params=MP, json=body)
    assert answer.status_code == 200
    told = [(one["fieldPath"], one["validationCode"], one["code"]) for one in answer.json()["validationMessages"]]
    assert told == [
        ("events[1].custom_data.value", "VALUE_INVALID", "bad_format"),
        ("events[1].params.shipping", "VALUE_INVALID", "left_out"),
        ("events[2].event_name", "VALUE_REQUIRED", "required"),
    ]
    fine = await door.post("/debug/mp/collect", params=MP, json=LEAD)
    assert fine.json() == {"validationMessages": []}
    held = await door.post("/debug/mp/collect", params=MP, json={**LEAD, "consent": {"ad_user_data": "DENIED"}})
    [told] = held.json()["validationMessages"]
    assert (told["fieldPath"], told["code"]) == ("events[0]", "consent")
    assert stored() == []


@pytest.mark.anyio
async def test_a_tag_in_a_page(door, stored, outbox):
    headers = {"Origin": SHOP, "User-Agent": "Mozilla/5.0 (made up)", "Cookie": "_fbp=fb.1.1795000000000.1234567890"}
    answer = await door.post("/g/collect", params=HIT, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SHOP
    [(event_id, payload)] = stored()
    found = json.loads(payload)
    assert event_id == "h-1"
    assert found["user_data"]["fbp"] == "fb.1.1795000000000.1234567890"
    assert found["consent"]["ad_storage"] == "granted"
    [clear] = clear_parts(outbox)
    assert (clear["client_ip_address"], clear["client_user_agent"]) == ("203.0.113.7", "Mozilla/5.0 (made up)")


@pytest.mark.anyio
async def test_a_tag_sends_several_events_as_lines_and_may_get(door, stored):
    shared = {key: value for key, value in HIT.items() if not key.startswith("e")}
    lines = "\r\n".join(urlencode({"en": "login", "ep.event_id": f"h-{n}"}) for n in range(3)) + "\r\n"
    assert (await door.post("/g/collect", params=shared, content=lines, headers={"Origin": SHOP})).status_code == 204
    assert (await door.get("/g/collect", params=HIT, headers={"Origin": SHOP})).status_code == 204
    assert ids(stored) == ["h-0", "h-1", "h-2", "h-1"]  # the last is of another name


@pytest.mark.anyio
async def test_an_operator_names_the_events_of_a_stream(door, stored):
    await door.post("/g/collect", params={**HIT, "tid": "G-OPEN", "en": "scroll"})
    [(_, payload)] = stored()
    assert json.loads(payload)["event_name"] == "Lead"


@pytest.mark.anyio
async def test_global_privacy_control_of_the_browser_counts(door, stored):
    await door.post("/g/collect", params=HIT, headers={"Origin": SHOP, "Sec-GPC": "1"})
    assert json.loads(stored()[0][1])["consent"]["gpc"] is True


@pytest.mark.anyio
async def test_a_visit_joins_the_order_that_the_server_reports_under_the_same_client_id(door, service, outbox, stored):
    was = service.effective.settings
    web = replace(was.sources["web"], remember_visits=True)
    service.effective = Effective.of(replace(was, sources={**was.sources, "web": web}), outbox)
    headers = {"Origin": SHOP, "Cookie": "_fbp=fb.1.1795000000000.1234567890"}
    await door.post("/g/collect", params={**HIT, "gcd": "13r3r3r3r5"}, headers=headers)
    order = {"name": "purchase", "params": {"transaction_id": "o-1", "value": 5, "currency": "EUR"}}
    await door.post("/mp/collect", params=MP, json={"client_id": "1.2", "events": [order]})
    (event_id, payload) = stored()[-1]
    found = json.loads(payload)
    assert event_id == "o-1"
    assert found["user_data"]["fbp"] == "fb.1.1795000000000.1234567890"
    assert found["consent"]["ad_user_data"] == "granted"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("change", "origin", "status", "code"),
    [
        ({"tid": "G-OTHER"}, SHOP, 403, "unknown_measurement_id"),
        ({"tid": ""}, SHOP, 403, "unknown_measurement_id"),
        ({}, "https://evil.example", 403, "origin_not_allowed"),
        ({}, "null", 403, "origin_not_allowed"),
        ({}, "", 403, "origin_not_allowed"),
        ({"en": ""}, SHOP, 422, "all_rejected"),
        ({"epn.value": "dear"}, SHOP, 422, "all_rejected"),
    ],
)
async def test_a_tag_that_may_not_is_refused_and_nothing_stored(door, stored, change, origin, status, code):
    answer = await door.post("/g/collect", params={**HIT, **change}, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stored() == []


@pytest.mark.anyio
async def test_the_bounds_of_a_browsers_body(door, stored):
    lines = "\n".join(["en=login"] * 60)
    answer = await door.post("/g/collect", params=HIT, content=lines, headers={"Origin": SHOP})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_many_events")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert stored() == []


@pytest.mark.anyio
async def test_the_preflight_knows_a_source_without_a_public_key(door):
    answer = await door.options("/g/collect", headers={"Origin": SHOP})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, SHOP)


QUERIES = st.dictionaries(st.sampled_from([*HIT, "pr1", "em", "gcd"]), st.text(max_size=12), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    path=st.sampled_from(["/mp/collect", "/debug/mp/collect", "/g/collect"]), query=QUERIES, body=st.binary(max_size=60)
)
def test_no_request_breaks_the_doors(door, service, path, query, body):
    async def post():
        transport = httpx.ASGITransport(App(service))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway.example") as client:
            given_query = {**query, "tid": STREAM, **MP}
            return await client.post(path, params=given_query, content=body, headers={"Origin": SHOP})

    assert anyio.run(post).status_code in (200, 204, 400, 413, 422)
