"""`POST /v1/collect`, and what a browser's request says of its visitor."""

import json
from ipaddress import ip_network

import pytest

from gateway.web.browser import cookies, cors_headers, may_use
from gateway.web.client import client_address

SHOP, PUBLIC_KEY = "https://shop.example", "public-key-of-the-shop"
EVENT = {"event_name": "Lead", "event_id": "l-1", "consent": {"ad_storage": "granted", "ad_user_data": "granted"}}


def clear_parts(outbox):
    with outbox.reading() as db:
        return [json.loads(row[0]) for row in db.execute("SELECT data FROM clear ORDER BY seq")]


@pytest.fixture
def browser(client):
    del client.headers["Authorization"]
    client.headers.update({"Origin": SHOP, "User-Agent": "Mozilla/5.0 (made up)"})
    return client


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "headers", "body"),
    [
        ("", {"X-Write-Key": PUBLIC_KEY}, EVENT),
        ("", {"Authorization": f"Bearer {PUBLIC_KEY}"}, EVENT),
        (f"?key={PUBLIC_KEY}", {}, EVENT),
        ("", {}, {"key": PUBLIC_KEY, "events": [EVENT]}),
        ("", {}, {"key": PUBLIC_KEY, **EVENT}),
    ],
)
async def test_the_public_key_comes_in_header_query_or_body(browser, stored, query, headers, body):
    answer = await browser.post("/v1/collect" + query, json=body, headers=headers)
    assert answer.status_code == 202
    assert answer.json()["results"][0]["destinations"] == {"acme": "queued"}
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert [one[0] for one in stored()] == ["l-1"]


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["text/plain;charset=UTF-8", "text/plain", ""])
async def test_a_beacon_is_plain_text(browser, kind):
    body = json.dumps({"key": PUBLIC_KEY, "events": [EVENT]})
    answer = await browser.post("/v1/collect", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 202


@pytest.mark.anyio
async def test_the_request_says_who_the_visitor_is(browser, stored, outbox):
    cookie = "_ga=GA1.1.111.222; _fbp=fb.1.1795000000000.1234567890"
    await browser.post(f"/v1/collect?key={PUBLIC_KEY}", json=EVENT, headers={"Cookie": cookie})
    [(_, payload)] = stored()
    assert json.loads(payload)["user_data"]["fbp"] == "fb.1.1795000000000.1234567890"
    [clear] = clear_parts(outbox)
    assert clear["client_ip_address"] == "203.0.113.7"
    assert clear["client_user_agent"] == "Mozilla/5.0 (made up)"


@pytest.mark.anyio
async def test_the_server_door_takes_nothing_from_the_connection(client, stored, outbox):
    headers = {"Cookie": "_fbp=fb.1.1795000000000.1234567890", "X-Forwarded-For": "198.51.100.9", "Sec-GPC": "1"}
    assert (await client.post("/v1/events", json=EVENT, headers=headers)).status_code == 202
    [(_, payload)] = stored()
    assert "fbp" not in json.loads(payload)["user_data"]
    assert "gpc" not in json.loads(payload)["consent"]
    assert clear_parts(outbox) == []


@pytest.mark.anyio
async def test_global_privacy_control_is_an_opt_out(browser):
    event = {"event_name": "Lead", "event_id": "l-2"}  # a US visitor: allowed unless they opt out
    answer = await browser.post(f"/v1/collect?key={PUBLIC_KEY}", json=event)
    assert answer.json()["results"][0]["destinations"] == {"acme": "queued"}
    event["event_id"] = "l-3"
    answer = await browser.post(f"/v1/collect?key={PUBLIC_KEY}", json=event, headers={"Sec-GPC": "1"})
    assert answer.json()["results"][0]["destinations"] == {"acme": "skipped:consent"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "origin", "status", "code"),
    [
        ("", SHOP, 401, "missing_key"),
        ("?key=nobody-has-this", SHOP, 401, "unknown_key"),
        ("?key=write-key-of-the-shop", SHOP, 403, "wrong_kind_of_key"),
        (f"?key={PUBLIC_KEY}", "https://evil.example", 403, "origin_not_allowed"),
        (f"?key={PUBLIC_KEY}", "null", 403, "origin_not_allowed"),
        (f"?key={PUBLIC_KEY}", "", 403, "origin_not_allowed"),
        (f"?key={PUBLIC_KEY}", "https://shop.example.evil.example", 403, "origin_not_allowed"),
    ],
)
async def test_key_and_origin_must_both_be_right(browser, stored, query, origin, status, code):
    answer = await browser.post("/v1/collect" + query, json=EVENT, headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert stored() == []


@pytest.mark.anyio
async def test_a_page_may_read_why_it_was_refused(browser):
    answer = await browser.post(f"/v1/collect?key={PUBLIC_KEY}", json={"event_name": ""})
    assert answer.status_code == 422
    assert answer.headers["access-control-allow-origin"] == SHOP
    answer = await browser.post("/v1/collect?key=nobody-has-this", json=EVENT)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == SHOP


@pytest.mark.anyio
async def test_a_large_body_is_refused_at_the_browser_door(browser, service):
    big = b'{"event_name": "' + b"a" * 300_000
    answer = await browser.post("/v1/collect", content=big, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 413


@pytest.mark.anyio
@pytest.mark.parametrize("body", [{"key": PUBLIC_KEY, "events": []}, {"key": PUBLIC_KEY, "events": [EVENT] * 51}])
async def test_a_list_beside_the_key_has_the_usual_bounds(browser, body):
    answer = await browser.post("/v1/collect", json=body)
    assert answer.json()["code"] == ("too_many_events" if body["events"] else "no_events")


@pytest.mark.anyio
async def test_the_preflight_names_what_a_page_may_send(browser):
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type, x-write-key"}
    answer = await browser.options("/v1/collect", headers=asks)
    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "content-type" in answer.headers["access-control-allow-headers"]
    assert "x-write-key" in answer.headers["access-control-allow-headers"]
    assert answer.headers["vary"] == "Origin"


def test_cookies_are_asked_for_only_where_the_origin_is_named():
    assert (b"access-control-allow-credentials", b"true") in cors_headers(SHOP, [SHOP])
    anybody = cors_headers("https://else.example", [SHOP, "*"])
    assert (b"access-control-allow-origin", b"https://else.example") in anybody
    assert b"access-control-allow-credentials" not in dict(anybody)
    assert cors_headers("https://else.example", [SHOP]) == [(b"vary", b"Origin")]


def test_any_origin_is_also_none():
    assert may_use("", ["*"])
    assert not may_use("", [SHOP])
    assert not may_use(SHOP, [])


def test_cookies_are_read_as_browsers_write_them():
    found = cookies(['a=1; b=x=y; a=2; broken; c="q"', "d=4"])
    assert found == {"a": "1", "b": "x=y", "c": "q", "d": "4"}


PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:ffff::/48"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # not a proxy of ours: it may write what it likes
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["192.0.2.66, 198.51.100.1, 10.9.9.9"], "198.51.100.1"),  # the leftmost is the client's claim
        ("10.0.0.1", ["192.0.2.66", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::5]:443"], "2001:db8::5"),
        ("10.0.0.1", ["2001:db8::5"], "2001:db8::5"),
        ("::ffff:10.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], None),
        (None, ["198.51.100.1"], None),
    ],
)
def test_the_address_is_the_last_that_no_trusted_proxy_has(peer, forwarded, expected):
    assert client_address(peer, forwarded, PROXIES) == expected
