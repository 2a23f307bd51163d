"""What a request is called, and what the log says of it."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from gateway.web.telling import IDS, TELL_EVERY_S, TOLD_APART, Seldom
from tests.gateway.web.test_events import PURCHASE

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("path", ["/v1/events", "/v1/nothing", "/healthz", "/metrics"])
async def test_every_answer_has_an_id_of_its_own(client, path):
    ids = [(await client.get(path)).headers.get_list("x-request-id") for _ in range(2)]
    assert [len(one) for one in ids] == [1, 1]
    assert ids[0] != ids[1]


@pytest.mark.parametrize(("given", "taken"), [("01JD-proxy/7", True), ("a" * 65, False), ("a b", False), ("é", False)])
async def test_an_id_that_a_proxy_gave_is_kept_if_it_is_one(client, given, taken):
    answer = await client.post("/v1/events", json=PURCHASE, headers={"X-Request-Id": given.encode()})
    assert (answer.headers["x-request-id"] == given) is taken


async def test_refused_events_and_requests_are_told_with_the_id_of_the_answer(client, service):
    service.tells_all = False
    with capture_logs() as lines:
        rejected = await client.post("/v1/events", json=[PURCHASE, {"event_name": 1}])
        refused = await client.post("/v1/events", content=b"{", headers={"Content-Type": "application/json"})
    told = [(line["event"], line["code"], line["request_id"]) for line in lines]
    assert told == [
        ("events_rejected", rejected.json()["results"][1]["errors"][0]["code"], rejected.headers["x-request-id"]),
        ("request_refused", "malformed_json", refused.headers["x-request-id"]),
    ]


async def test_what_is_taken_is_told_event_by_event_at_debug_only(client, service):
    events = [{**PURCHASE, "event_id": f"e{number}"} for number in range(IDS + 5)]
    with capture_logs() as lines:
        service.tells_all = False
        await client.post("/v1/events", json=events)
        service.tells_all = True
        answer = await client.post("/v1/events", json=events)
    [line] = lines
    assert (line["event"], line["log_level"], line["size"]) == ("events_taken", "debug", IDS + 5)
    assert line["event_ids"] == [f"e{number}" for number in range(IDS)]
    assert line["request_id"] == answer.headers["x-request-id"]


def test_what_happens_often_is_told_once_a_minute_with_its_number():
    now = [0.0]
    seldom = Seldom(lambda: now[0])
    counts = []
    for at in (0.0, 1.0, 2.0, TELL_EVERY_S, TELL_EVERY_S + 1):
        now[0] = at
        counts.append((seldom.count("refused", "unknown_key"), seldom.count("refused", "unknown_key", "shop")))
    assert counts == [(1, 1), (0, 0), (0, 0), (3, 3), (0, 0)]


def test_codes_without_end_take_no_memory():
    seldom = Seldom(lambda: 0.0)
    for number in range(2 * TOLD_APART):
        seldom.count("request_refused", f"c{number}")
    assert len(seldom._told) == TOLD_APART
