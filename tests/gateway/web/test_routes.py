"""The other routes: health, counters, the description of the API, and what is not there."""

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from openapi_spec_validator import validate as validate_openapi

from gateway.delivery.ends import Ended
from gateway.delivery.status import LaneStatus
from gateway.model.delivery import Attempt, State
from gateway.model.errors import OutboxFailed
from gateway.outbox import lanes, standing
from gateway.outbox.lanes import Change, open_lanes, record
from gateway.web.app import DIRECT
from gateway.web.metrics import Metrics
from gateway.web.openapi import document
from gateway.web.routes import ROUTES

ROOT = Path(__file__).parents[3]
EVENT = {"event_name": "Lead", "event_id": "l-1"}


@dataclass
class FakeDispatcher:
    lanes: list
    has_lease: bool = True

    def status(self):
        return self.lanes


@pytest.mark.anyio
async def test_it_is_alive_and_ready(client):
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "stopped_destinations": []})


@pytest.mark.anyio
async def test_a_paused_destination_is_named_and_changes_nothing(client, service):
    service.dispatcher = FakeDispatcher(
        [LaneStatus("acme", "paused", 1_795_000_000.0, "190", "token expired"), LaneStatus("other", "running")]
    )
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["stopped_destinations"] == [
        {
            "instance": "acme",
            "state": "paused",
            "since": 1_795_000_000.0,
            "code": "190",
            "message": "token expired",
        }
    ]


@pytest.mark.anyio
async def test_a_pause_is_known_to_a_process_that_does_not_dispatch(client, outbox):
    await outbox.write(
        lambda db: db.execute("UPDATE lane SET paused_at = 5.0, pause_code = '190' WHERE instance = 'acme'") and None
    )
    [stopped] = (await client.get("/readyz")).json()["stopped_destinations"]
    assert (stopped["instance"], stopped["state"], stopped["code"]) == ("acme", "paused", "190")


@pytest.mark.anyio
async def test_so_is_a_platform_that_does_not_answer(client, outbox):
    await outbox.write(lambda db: lanes.set_broken(db, 1, 5.0, "http_503"))
    [stopped] = (await client.get("/readyz")).json()["stopped_destinations"]
    assert (stopped["instance"], stopped["state"], stopped["code"]) == ("acme", "broken", "breaker_open")
    assert stopped["message"].endswith("(http_503)")
    await outbox.write(lambda db: lanes.set_broken(db, 1, None, ""))
    assert (await client.get("/readyz")).json()["stopped_destinations"] == []


@pytest.mark.anyio
async def test_it_is_not_ready_while_draining(client, service):
    service.draining = True
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.post("/v1/events", json=EVENT)).status_code == 202, "what still comes is still taken"


@pytest.mark.anyio
async def test_it_is_not_ready_when_the_disk_has_failed(client, outbox, monkeypatch):
    monkeypatch.setattr(type(outbox), "failure", OutboxFailed("gone"))
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_failed")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.anyio
async def test_what_is_not_there_is_a_problem(client):
    for path in ("/", "/v1/event", "/v1/events/", "/v1/merge", "/healthz/"):
        answer = await client.post(path, json=EVENT)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        assert answer.headers["content-type"] == "application/problem+json"
    answer = await client.post("/metrics")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.anyio
async def test_the_counters_count(client, service):
    service.dispatcher = FakeDispatcher([LaneStatus("acme", "paused", in_flight=3)])
    service.metrics.attempted(Attempt("acme", 0.0, 0.2, 40, 200, "delivered", "", ""))
    service.metrics.ended(Ended("acme", State.DEAD, "100/2804003", 3))
    service.metrics.ended(Ended("acme", State.DELIVERED, "", 37))
    await client.post("/v1/events", json=[EVENT, EVENT, {"event_name": ""}])
    await client.post("/v1/events", content=b"{", headers={"Content-Type": "application/json"})
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert lines['gateway_events_total{door="events",result="accepted",source="web"}'] == "1.0"
    assert lines['gateway_events_total{door="events",result="duplicates",source="web"}'] == "1.0"
    assert lines['gateway_events_total{door="events",result="rejected",source="web"}'] == "1.0"
    assert lines['gateway_faults_total{about="request",code="malformed_json"}'] == "1.0"
    assert lines['gateway_request_seconds_count{door="events"}'] == "1.0"
    assert lines['gateway_attempts_total{instance="acme",verdict="delivered"}'] == "1.0"
    assert lines['gateway_deliveries_tried_total{instance="acme",verdict="delivered"}'] == "40.0"
    assert lines['gateway_deliveries_ended_total{code="100/2804003",instance="acme",state="dead"}'] == "3.0"
    assert lines['gateway_deliveries_ended_total{code="",instance="acme",state="delivered"}'] == "37.0"
    assert lines['gateway_lane_state{instance="acme",state="paused"}'] == "1.0"
    assert lines['gateway_lane_state{instance="acme",state="running"}'] == "0.0"
    assert lines['gateway_lane_in_flight{instance="acme"}'] == "3.0"
    assert float(lines["gateway_outbox_waiting_bytes"]) == 0.0
    assert not [line for line in lines if "_created" in line]


def behind(text):
    return dict(re.findall(r'^gateway_lane_behind\{instance="(\w+)"\} (\S+)$', text, re.MULTILINE))


@pytest.mark.anyio
async def test_how_far_a_destination_is_behind_is_told_whoever_dispatches(client, service, outbox):
    await outbox.write(lambda db: open_lanes(db, ["off"]))
    assert behind((await client.get("/metrics")).text) == {"acme": "0.0"}, "one that is switched off is not told of"
    await client.post("/v1/events", json=[{**EVENT, "event_id": f"l-{number}"} for number in range(4)])
    assert behind((await client.get("/metrics")).text) == {"acme": "4.0"}

    def work(db):  # the lane has come to three of them; one of these and the one ahead of it wait
        lane = standing.lane_rows(db)["acme"].id
        changes = [Change(seq, State.WAITING, 1, next_at=0.0) for seq in (2, 4)] + [Change(3, State.DEAD, 1)]
        record(db, lane, cursor=3, tried=None, settled=(), changes=changes, now=0.0)

    await outbox.write(work)
    text = (await client.get("/metrics")).text
    assert behind(text) == {"acme": "2.0"}
    age = re.search(r'^gateway_lane_oldest_seconds\{instance="acme"\} (\S+)$', text, re.MULTILINE)
    assert 0.0 < float(age[1]) < 60.0
    assert float(re.search(r"^gateway_outbox_free_bytes (\S+)$", text, re.MULTILINE)[1]) > 0
    assert "\ngateway_outbox_full 0.0\n" in text


@pytest.mark.anyio
async def test_a_disk_that_fails_still_leaves_the_other_gauges(client, outbox, monkeypatch):
    @contextlib.contextmanager
    def reading():
        raise OutboxFailed("gone")
        yield

    monkeypatch.setattr(outbox, "reading", reading)
    monkeypatch.setattr(type(outbox), "failure", OutboxFailed("gone"))
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert "gateway_outbox_failed 1.0" in answer.text
    assert behind(answer.text) == {}


def test_every_metric_has_its_line_in_the_docs(service):
    documented = set(re.findall(r"^\| `(gateway_\w+)`", (ROOT / "docs/metrics.md").read_text("utf-8"), re.MULTILINE))
    service.dispatcher = FakeDispatcher([])
    built = {
        metric.name + ("_total" if metric.type == "counter" else "")
        for metric in service.metrics.registry.collect()
        if metric.name.startswith("gateway_")
    }
    assert documented == built


def test_several_workers_are_told_apart():
    metrics = Metrics(worker=1)
    metrics.request_refused("missing_key")
    assert b'gateway_faults_total{about="request",code="missing_key",worker="1"} 1.0' in metrics.text()


def test_codes_without_bound_do_not_make_series_without_bound():
    metrics = Metrics()
    for number in range(1_000):
        metrics.request_refused(f"code_{number}")
        metrics.ended(Ended("acme", State.DEAD, f"{number}", 1))
    metrics.ended(Ended("other", State.DEAD, "100/1", 1))
    text = metrics.text()
    assert text.count(b"gateway_faults_total{") <= 201
    assert text.count(b'gateway_deliveries_ended_total{code="') <= 202
    assert b'gateway_deliveries_ended_total{code="other",instance="acme",state="dead"} 800.0' in text
    assert b'{code="100/1",instance="other",state="dead"} 1.0' in text, "another destination keeps its codes"


@pytest.mark.anyio
async def test_the_description_is_valid_and_tells_of_every_route(client):
    found = (await client.get("/openapi.json")).json()
    validate_openapi(found)
    assert found["openapi"].startswith("3.1")
    built = {path: {method.lower() for method in methods} for path, (_, methods) in DIRECT.items()}
    built |= {
        route.path.replace(":path}", "}"): {method.lower() for method in route.methods} - {"head"} for route in ROUTES
    }
    assert {path: set(operations) for path, operations in found["paths"].items()} == built


def test_the_descriptions_event_is_the_schemas():
    schemas = document()["components"]["schemas"]
    assert {"event_name", "user_data", "consent"} <= set(schemas["Event"]["properties"])
    references = re.findall(r"'\$ref': '([^']+)'", str(schemas))
    assert references
    assert all(one.removeprefix("#/components/schemas/") in schemas for one in references)


def test_the_docs_tell_of_every_route():
    text = (ROOT / "docs/api.md").read_text("utf-8")
    for path, operations in document()["paths"].items():
        for method in operations:
            assert f"`{method.upper()} {path}`" in text, (method, path)


def test_the_docs_tell_of_every_code_of_a_problem():
    sources = [*(ROOT / "gateway/web").glob("*.py"), ROOT / "gateway/ingest/decode.py"]
    raised = {
        code
        for path in sources
        for code in re.findall(r"(?:Refused|Later)\(\s*\d{3},\s*\"(\w+)\"", path.read_text("utf-8"))
    } | {"not_found", "method_not_allowed"}
    text = (ROOT / "docs/codes.md").read_text("utf-8")
    assert len(raised) > 15
    assert {code for code in raised if f"| `{code}` |" not in text} == set()
