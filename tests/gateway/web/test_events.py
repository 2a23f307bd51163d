"""`POST /v1/events` and `POST /v1/validate`."""

import gzip
import io
import json

import pytest
import structlog
import zstandard

from gateway import log
from gateway.model.errors import OutboxBusy, OutboxFailed, OutboxFull
from gateway.web.body import Budget

pytestmark = pytest.mark.anyio

PURCHASE = {
    "event_name": "Purchase",
    "event_id": "order-1",
    "custom_data": {"value": 12.5, "currency": "EUR"},
    "user_data": {"email": "jane.doe@example.com"},
}


def purchases(*ids):
    return [{**PURCHASE, "event_id": one} for one in ids]


def is_problem(answer, status, code):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["code"]) == (status, code)
    assert document["type"].endswith(code)
    assert document["title"]
    assert document["detail"]
    return document


async def test_an_accepted_event_is_on_disk_before_the_answer(client, stored):
    answer = await client.post("/v1/events", json=PURCHASE)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": 0,
        "results": [{"index": 0, "event_id": "order-1", "status": "accepted", "destinations": {"acme": "queued"}}],
    }
    [(event_id, payload)] = stored()
    assert event_id == "order-1"
    assert b"jane" not in payload


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps(purchases("a", "b")), "application/json"),
        (json.dumps({"events": purchases("a", "b")}), "application/json; charset=utf-8"),
        ("\n".join(map(json.dumps, purchases("a", "b"))), "application/x-ndjson"),
    ],
)
async def test_a_list_comes_in_three_forms(client, stored, body, kind):
    answer = await client.post("/v1/events", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 202
    assert [one[0] for one in stored()] == ["a", "b"]


@pytest.mark.parametrize(("name", "squeeze"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
async def test_bodies_may_be_compressed(client, stored, name, squeeze):
    headers = {"Content-Type": "application/json", "Content-Encoding": name}
    body = squeeze(json.dumps(PURCHASE).encode())
    assert (await client.post("/v1/events", content=body, headers=headers)).status_code == 202
    assert len(stored()) == 1


@pytest.mark.parametrize(("name", "squeeze"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
async def test_a_bomb_is_refused(client, stored, name, squeeze):
    headers = {"Content-Type": "application/json", "Content-Encoding": name}
    bomb = squeeze(b'{"event_name": "' + b"a" * 20_000_000 + b'"}')
    assert len(bomb) < 100_000
    is_problem(await client.post("/v1/events", content=bomb, headers=headers), 413, "body_too_large")
    assert stored() == []


async def test_one_bad_event_costs_its_neighbours_nothing(client, stored):
    bad = {**PURCHASE, "event_time": 1_795_000_000_000}
    answer = await client.post("/v1/events", json=[*purchases("a"), bad, *purchases("b")])
    assert answer.status_code == 202
    found = answer.json()
    assert (found["accepted"], found["rejected"]) == (2, 1)
    assert found["results"][1]["status"] == "rejected"
    assert found["results"][1]["errors"][0]["path"] == "/event_time"
    assert found["results"][1]["errors"][0]["code"] == "in_milliseconds"
    assert [one[0] for one in stored()] == ["a", "b"]


async def test_one_bad_line_costs_its_neighbours_nothing(client, stored):
    good = [json.dumps(one) for one in purchases("a", "b")]
    body = f'{good[0]}\n{{"event_name": \n{good[1]}\n'
    answer = await client.post("/v1/events", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert [one["status"] for one in answer.json()["results"]] == ["accepted", "rejected", "accepted"]
    assert [one[0] for one in stored()] == ["a", "b"]


async def test_a_copy_is_a_duplicate_within_a_body_and_after_it(client, stored):
    answer = await client.post("/v1/events", json=purchases("a", "a"))
    assert [one["status"] for one in answer.json()["results"]] == ["accepted", "duplicate"]
    answer = await client.post("/v1/events", json=purchases("a"))
    assert answer.status_code == 202
    assert answer.json()["duplicates"] == 1
    assert answer.json()["results"] == [{"index": 0, "event_id": "a", "status": "duplicate"}]
    assert len(stored()) == 1


async def test_when_every_event_is_refused_the_answer_is_a_problem_with_the_results(client, stored):
    document = is_problem(await client.post("/v1/events", json=[{"event_name": ""}, 5]), 422, "all_rejected")
    assert (document["accepted"], document["duplicates"], document["rejected"]) == (0, 0, 2)
    assert [one["index"] for one in document["results"]] == [0, 1]
    assert stored() == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b"{", "malformed_json"),
        (b"[]", "no_events"),
        (b'{"events": []}', "no_events"),
        (b"3", "no_events"),
        (b'{"event_name": "\xff\xfe"}', "invalid_utf8"),
        (b'{"event_name": NaN}', "malformed_json"),
        (b"[" * 50_000, "too_deep"),
    ],
)
async def test_what_is_malformed_is_refused_as_a_whole(client, body, code):
    answer = await client.post("/v1/events", content=body, headers={"Content-Type": "application/json"})
    document = is_problem(answer, 400, answer.json()["code"])
    # where the parser sees it first is its own affair
    assert document["code"] in {code, "malformed_json"}


async def test_a_deep_event_is_refused_and_stored_nowhere(client, stored):
    deep = b'{"event_name": "Lead", "custom_data": {"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}"
    answer = await client.post("/v1/events", content=deep, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    assert stored() == []


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "application/xml"}, "unsupported_media_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "unsupported_media_type"),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, "unsupported_encoding"),
    ],
)
async def test_unknown_types_and_encodings_are_refused(client, headers, code):
    is_problem(await client.post("/v1/events", content=b"{}", headers=headers), 415, code)


async def test_too_many_events_are_refused(client):
    is_problem(await client.post("/v1/events", json=purchases(*map(str, range(51)))), 413, "too_many_events")


async def test_a_large_body_is_refused_before_it_is_read(client, service):
    async def never():
        raise AssertionError("the body was read")
        yield b""

    headers = {"Content-Type": "application/json", "Content-Length": "100001"}
    is_problem(await client.post("/v1/events", content=never(), headers=headers), 413, "body_too_large")
    assert service.budget.taken == 0


async def test_a_large_body_of_unknown_length_is_refused(client, service):
    async def much():
        for _ in range(20):
            yield b" " * 10_000

    headers = {"Content-Type": "application/json"}
    is_problem(await client.post("/v1/events", content=much(), headers=headers), 413, "body_too_large")
    assert service.budget.taken == 0


@pytest.mark.parametrize(
    ("failure", "status", "code", "after"),
    [
        (OutboxBusy("busy"), 429, "overloaded", "1"),
        (OutboxFull("full"), 503, "disk_full", "30"),
        (OutboxFailed("failed"), 503, "storage_failed", "5"),
    ],
)
async def test_what_the_outbox_cannot_take_may_be_sent_again(client, outbox, monkeypatch, failure, status, code, after):
    async def refuse(records):
        raise failure

    monkeypatch.setattr(outbox, "append", refuse)
    answer = await client.post("/v1/events", json=PURCHASE)
    is_problem(answer, status, code)
    assert answer.headers["retry-after"] == after


async def test_bodies_beyond_the_memory_for_them_are_turned_away(client, service):
    service.budget = Budget(limit=1_000)
    service.budget.take(950)
    answer = await client.post("/v1/events", json=PURCHASE)
    is_problem(answer, 429, "overloaded")
    assert answer.headers["retry-after"] == "1"
    service.budget.give_back(950)
    assert (await client.post("/v1/events", json=PURCHASE)).status_code == 202
    assert service.budget.taken == 0


async def test_an_unexpected_error_tells_nothing_but_a_request_id(client, outbox, monkeypatch, capsys):
    async def break_(records):
        raise ValueError("secret-thing jane.doe@example.com")

    monkeypatch.setattr(outbox, "append", break_)
    answer = await client.post("/v1/events", json=PURCHASE)
    document = is_problem(answer, 500, "internal_error")
    assert document["request_id"] == answer.headers["x-request-id"]
    assert json.loads(capsys.readouterr().out)["request_id"] == document["request_id"]
    assert "secret-thing" not in answer.text
    assert "ValueError" not in answer.text


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_other_methods_are_told_which_one_there_is(client, method):
    answer = await client.request(method, "/v1/events")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


async def test_validate_stores_nothing_and_shows_the_requests(client, stored):
    event = {**PURCHASE, "consent": {"ad_user_data": "granted"}}
    view = {**PURCHASE, "event_name": "PageView", "event_id": "b"}
    answer = await client.post("/v1/validate", json=[event, event, view, {"event_name": 1}])
    assert answer.status_code == 200
    found = answer.json()
    assert (found["accepted"], found["duplicates"], found["rejected"]) == (2, 1, 1)
    assert [one["status"] for one in found["results"]] == ["accepted", "duplicate", "accepted", "rejected"]
    first, _, third, _ = found["results"]
    assert first["destinations"] == {"acme": "queued"}
    assert first["duplicate"] == "unknown"
    assert first["preview"]["acme"]["request"]["url"] == "https://acme.example/v1/events"
    assert first["preview"]["acme"]["request"]["json"] == [{"name": "Buy", "id": "order-1"}]
    assert third["preview"]["acme"]["skipped"]["reason"] == "event_not_mapped"
    assert stored() == []


async def test_validate_answers_200_even_if_all_are_refused(client):
    answer = await client.post("/v1/validate", json={"event_name": ""})
    assert answer.status_code == 200
    assert answer.json()["rejected"] == 1


async def test_the_operator_hears_who_sends_personal_data_where(client, caplog):
    lines = io.StringIO()
    log.configure(stream=lines, console=False)
    try:
        contents = [{"id": "1"}, {"id": "2", "title": "for jane.doe@example.com"}]
        for number in range(3):
            await client.post(
                "/v1/events", json={**PURCHASE, "event_id": str(number), "custom_data": {"contents": contents}}
            )
    finally:
        structlog.reset_defaults()
    told = [json.loads(line) for line in lines.getvalue().splitlines() if "personal_data_found" in line]
    assert [(one["source"], one["path"]) for one in told] == [("web", "/custom_data/contents/title")]
    assert "jane" not in lines.getvalue()
