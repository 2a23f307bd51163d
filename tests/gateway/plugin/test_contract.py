"""The contract suite finds each fault that a plugin can have, and says nothing of a good one."""

from __future__ import annotations

import datetime
import inspect
import itertools
import json
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.plugin import (
    Batch,
    Bearer,
    Destination,
    Event,
    FollowUp,
    Request,
    Response,
    Skip,
    Verdict,
    verdicts,
)
from gateway.plugin.testing import as_expected, destination_contract, load, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CONFIG: dict[str, Any] = {
    "type": "object",
    "required": ["account", "token"],
    "properties": {
        "account": {"type": "string", "description": "Account number."},
        "token": {"type": "string", "writeOnly": True, "description": "Access token."},
    },
}
CASE: dict[str, Any] = {
    "about": "A purchase.",
    "source": "made up",
    "config": {"account": "7", "token": "made-up-token"},
    "events": [
        {
            "event_name": "Purchase",
            "event_id": "order-1",
            "user_data": {"email": "jane@example.com", "gclid": "g-1"},
            "custom_data": {"value": 5, "note": "for jane@example.com"},
        }
    ],
    "replies": [{"n": 1, "status": 200, "body": "", "verdicts": "delivered"}],
}


def map_event(event: Event, config: Mapping[str, Any]) -> dict[str, object] | Skip:
    return {"id": event.event_id, "em": list(event.digests.get("email", ()))}


def build_request(batch: Batch, config: Mapping[str, Any]) -> Request:
    return Request("POST", f"https://api.acme.example/{config['account']}", json={"data": list(batch)})


def classify(response: Response, n: int) -> Verdict | list[Verdict]:
    return verdicts.by_status(response, n)


GOOD = Destination(
    name="acme",
    api_version="v1",
    docs="https://developers.acme.example/",
    config_schema=CONFIG,
    names={"Purchase": "Checkout"},
    digests={"email": "email_plain"},
    auth=Bearer("token"),
    map_event=map_event,
    build_request=build_request,
    classify=classify,
)


def failures(destination: Destination, folder: Path, *cases: Mapping[str, Any]) -> set[str]:
    """Names of the tests of the suite that fail, over golden cases in a folder."""
    for index, content in enumerate(cases):
        (folder / f"case_{index}.json").write_text(json.dumps(content), "utf-8")
    suite = destination_contract(destination, golden=folder)()
    names = [f"case_{index}" for index in range(len(cases))]
    failed = set()
    for name, test in inspect.getmembers(suite, inspect.ismethod):
        wanted = inspect.signature(test).parameters
        for case in names if "name" in wanted else [""]:
            given: dict[str, Any] = {"name": case, "pytestconfig": NoOptions()}
            try:
                test(**{key: value for key, value in given.items() if key in wanted})
            except Exception:
                failed.add(name)
    return failed


class NoOptions:
    """Stands for pytest's configuration."""

    def getoption(self, name: str, default: Any = None) -> Any:
        return default


def golden(destination: Destination, case: Mapping[str, Any] = CASE) -> dict[str, Any]:
    """The case with what the destination makes of it as its expectation."""
    return {**case, "expect": as_expected(run(destination, case))}


def test_a_good_plugin_passes(tmp_path: Path) -> None:
    assert failures(GOOD, tmp_path, golden(GOOD)) == set()


PURE = {"test_same_in_same_out_and_input_unchanged"}
COUNTER = itertools.count()


def looks_at_the_clock(event: Event, config: Mapping[str, Any]) -> Any:
    time.time()
    return map_event(event, config)


def stamps_the_time(event: Event, config: Mapping[str, Any]) -> Any:
    return {"id": event.event_id, "at": datetime.datetime.now(datetime.UTC).isoformat()}


def opens_a_file(event: Event, config: Mapping[str, Any]) -> Any:
    Path(__file__).read_text("utf-8")
    return map_event(event, config)


def opens_a_connection(event: Event, config: Mapping[str, Any]) -> Any:
    socket.socket().close()
    return map_event(event, config)


def changes_its_event(event: Event, config: Mapping[str, Any]) -> Any:
    event.user_data.pop("gclid", None)  # type: ignore[attr-defined]
    return map_event(event, config)


def changes_its_config(event: Event, config: Mapping[str, Any]) -> Any:
    config["seen"] = True  # type: ignore[index]
    return map_event(event, config)


@pytest.mark.parametrize(
    "mapping",
    [looks_at_the_clock, opens_a_file, opens_a_connection, changes_its_event, changes_its_config],
)
def test_a_mapping_that_is_not_pure_is_found(mapping: Callable[..., Any], tmp_path: Path) -> None:
    assert failures(replace(GOOD, map_event=mapping), tmp_path, golden(GOOD)) == PURE


def test_a_mapping_whose_result_changes_is_found(tmp_path: Path) -> None:
    bad = replace(GOOD, map_event=stamps_the_time)
    assert failures(bad, tmp_path, golden(bad)) == PURE | {"test_golden"}


def numbers_its_requests(batch: Batch, config: Mapping[str, Any]) -> Request:
    return replace(build_request(batch, config), headers={"X-Number": str(next(COUNTER))})


def changes_its_items(batch: Batch, config: Mapping[str, Any]) -> Request:
    request = build_request(batch, config)
    batch[0]["id"] = f"{batch[0]['id']}".removesuffix("!") + "!"
    return request


def test_a_request_that_is_not_made_of_its_items_alone_is_found(tmp_path: Path) -> None:
    bad = replace(GOOD, build_request=numbers_its_requests)
    assert failures(bad, tmp_path, golden(bad)) == PURE | {"test_golden"}


def test_building_a_request_must_not_change_the_items(tmp_path: Path) -> None:
    bad = replace(GOOD, build_request=changes_its_items)
    assert failures(bad, tmp_path, golden(bad)) >= PURE


def judges_by_the_clock(response: Response, n: int) -> Verdict | list[Verdict]:
    time.monotonic()
    return classify(response, n)


def test_a_judgement_by_anything_but_the_answer_is_found(tmp_path: Path) -> None:
    bad = replace(GOOD, classify=judges_by_the_clock)
    assert failures(bad, tmp_path, golden(bad)) == {"test_answers_are_judged_by_what_they_say"}


def sends_free_text(event: Event, config: Mapping[str, Any]) -> Any:
    return {"id": event.event_id, "note": event.custom_data.get("note")}


def test_a_raw_email_address_is_found_even_inside_other_text(tmp_path: Path) -> None:
    bad = replace(GOOD, map_event=sends_free_text)
    assert failures(bad, tmp_path, golden(bad)) == {"test_no_raw_identity_and_no_secret_leaves"}


def test_a_secret_that_the_plugin_puts_in_itself_is_found(tmp_path: Path) -> None:
    def build(batch: Batch, config: Mapping[str, Any]) -> Request:
        return Request("POST", "https://api.acme.example/?token=made-up-token", json=list(batch))

    bad = replace(GOOD, build_request=build)
    assert failures(bad, tmp_path, golden(bad)) == {"test_no_raw_identity_and_no_secret_leaves"}


def test_an_item_without_the_id_that_makes_a_repeat_harmless_is_found(tmp_path: Path) -> None:
    bad = replace(GOOD, map_event=lambda event, config: {"em": list(event.digests["email"])})
    assert failures(bad, tmp_path, golden(bad)) == {"test_event_id_or_order_travels"}


@pytest.mark.parametrize(
    "verdict",
    [
        pytest.param(lambda response, n: verdicts.reject("no"), id="rejects a whole batch"),
        pytest.param(lambda response, n: verdicts.split("no") if n == 1 else verdicts.retry(), id="splits one event"),
        pytest.param(lambda response, n: verdicts.delivered(), id="calls an error delivered"),
        pytest.param(lambda response, n: verdicts.received("r-1"), id="promises an outcome that it never asks for"),
        pytest.param(lambda response, n: response.json["error"], id="trips over an odd body"),
        pytest.param(lambda response, n: None, id="has no answer"),
        pytest.param(lambda response, n: [verdicts.retry()], id="judges one event of many"),
    ],
)
def test_a_judgement_that_breaks_the_rules_is_found(verdict: Any, tmp_path: Path) -> None:
    case = {key: value for key, value in CASE.items() if key != "replies"}
    bad = replace(GOOD, classify=verdict)
    assert failures(bad, tmp_path, golden(bad, case)) == {"test_classify_is_total"}


def test_a_judgement_that_the_golden_case_contradicts_is_found(tmp_path: Path) -> None:
    case = {**CASE, "replies": [{"n": 2, "status": 200, "body": "", "verdicts": "retry"}]}
    assert failures(GOOD, tmp_path, golden(GOOD, case)) == {"test_replies"}


def test_an_outcome_that_cannot_be_read_is_found(tmp_path: Path) -> None:
    follow_up = FollowUp(
        first_s=1,
        factor=2,
        max_s=9,
        give_up_s=99,
        build_request=lambda request_id, config: Request("GET", f"https://api.acme.example/{request_id}"),
        classify=lambda response: response.json["state"],
    )
    bad = replace(GOOD, follow_up=follow_up)
    assert failures(bad, tmp_path, golden(bad)) == {"test_follow_up_is_total"}


def schema(**properties: Any) -> dict[str, Any]:
    return {**CONFIG, "properties": {**CONFIG["properties"], **properties}}


@pytest.mark.parametrize(
    "config_schema",
    [
        pytest.param(schema(region={"type": "string"}), id="a key without a description"),
        pytest.param(schema(region={"type": "text", "description": "Region."}), id="not a JSON Schema"),
        pytest.param(schema(token={"type": "string", "description": "Token."}), id="a secret that is not writeOnly"),
        pytest.param({**CONFIG, "type": "array"}, id="not an object"),
    ],
)
def test_a_configuration_that_is_not_described_is_found(config_schema: Any, tmp_path: Path) -> None:
    case = golden(GOOD)
    found = failures(replace(GOOD, config_schema=config_schema), tmp_path, case)
    assert "test_config_is_described" in found
    assert found <= {"test_config_is_described", "test_config_of_case_is_valid"}


@pytest.mark.parametrize(
    "config", [{"account": "7"}, {"account": 7, "token": "made-up"}, {**CASE["config"], "acount": "7"}]
)
def test_a_case_with_a_configuration_that_cannot_be_is_found(config: dict[str, Any], tmp_path: Path) -> None:
    case = golden(GOOD, {**CASE, "config": config})
    assert failures(GOOD, tmp_path, case) == {"test_config_of_case_is_valid"}


@pytest.mark.parametrize(
    "changes",
    [{"name": "Acme"}, {"name": "ac-me"}, {"api_version": ""}, {"docs": "see the wiki"}],
)
def test_an_incomplete_declaration_is_found(changes: dict[str, Any], tmp_path: Path) -> None:
    assert failures(replace(GOOD, **changes), tmp_path, golden(GOOD)) == {"test_declaration_is_complete"}


def test_a_rule_that_does_not_exist_is_found(tmp_path: Path) -> None:
    bad = replace(GOOD, digests={"email": "email_plane"})
    assert "test_declaration_is_complete" in failures(bad, tmp_path, golden(GOOD))


def test_a_mapping_that_changed_since_the_case_was_read_is_found(tmp_path: Path) -> None:
    bad = replace(GOOD, map_event=lambda event, config: {"id": event.event_id, "email": "gone"})
    assert failures(bad, tmp_path, golden(GOOD)) == {"test_golden"}


def test_a_case_that_says_nothing_about_itself_is_found(tmp_path: Path) -> None:
    assert failures(GOOD, tmp_path, golden(GOOD) | {"about": ""}) == {"test_golden"}


def test_a_plugin_without_golden_cases_is_found(tmp_path: Path) -> None:
    assert failures(GOOD, tmp_path) == {"test_has_golden_cases"}


PLUGIN = """
from gateway.plugin import Destination, Request, hookimpl, verdicts

def map_event(event, config):
    return {"id": event.event_id}

ACME = Destination(name="acme", api_version="v1", docs="https://developers.acme.example/", names={"Purchase": "Buy"},
    config_schema={"type": "object", "properties": {}}, map_event=map_event,
    build_request=lambda batch, config: Request("POST", "https://api.acme.example/", json=list(batch)),
    classify=verdicts.by_status)
"""
HOOK = "def register_destinations():\n    return [ACME]\n"


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (f"@hookimpl\n{HOOK}", set()),
        (HOOK, {"test_is_registered_by_its_module"}),
        ("@hookimpl\ndef register_destinations():\n    return []\n", {"test_is_registered_by_its_module"}),
    ],
    ids=["registered", "not marked", "not returned"],
)
def test_a_file_that_does_not_register_its_destination_is_found(
    ending: str, expected: set[str], tmp_path: Path
) -> None:
    file = tmp_path / "acme.py"
    file.write_text(PLUGIN + ending, "utf-8")
    acme = load(file).ACME
    assert failures(acme, tmp_path, golden(acme, {**CASE, "config": {}})) == expected
