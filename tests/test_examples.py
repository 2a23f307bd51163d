"""The example events and the golden cases are valid, listed and made up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.reference import PAGE, examples, page
from gateway.schema import faults, load_schema

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "schemas" / "examples").glob("*.json"))
GOLDEN = sorted((ROOT / "tests" / "plugins" / "golden").glob("*/*.json"))


def _read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_example_is_a_valid_event(path: Path) -> None:
    assert faults(_read(path)) == ()


def test_every_example_is_listed_with_a_sentence() -> None:
    assert sorted(examples()) == [path.name for path in FILES]
    assert all(about.endswith(".") for about in examples().values())


def test_examples_never_grow_old() -> None:
    assert [path.name for path in FILES if "event_time" in _read(path)] == []


def test_examples_do_not_share_an_event_id() -> None:
    ids = [event["event_id"] for event in map(_read, FILES) if "event_id" in event]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_people_in_examples_are_made_up(path: Path) -> None:
    text = path.read_text("utf-8")
    assert all(re.search(r"(^|\.)example\.com$", host) for host in re.findall(r"@([\w.-]+)", text))
    phones = _read(path).get("user_data", {}).get("phone", [])
    for phone in [phones] if isinstance(phones, str) else phones:
        assert re.search(r"555.01\d\d$|^\+49 30 23125 0|^\+33 1 99 00", phone), "not a number reserved for fiction"


@pytest.mark.parametrize("name", ["purchase_full_cart", "purchase_minimal", "offline_store_purchase", "prehashed"])
def test_purchases_carry_what_platforms_need(name: str) -> None:
    event = _read(ROOT / "schemas" / "examples" / f"{name}.json")
    assert event["user_data"]["email"]
    assert {"value", "currency", "order_id"} <= set(event["custom_data"])


def test_the_event_reference_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == page(), "run `python -m gateway.reference`"


def test_the_golden_case_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(load_schema("golden-case.schema.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=_name)
def test_golden_case_is_valid(path: Path) -> None:
    case = _read(path)
    errors = jsonschema.Draft202012Validator(load_schema("golden-case.schema.json")).iter_errors(case)
    assert [f"{error.json_path}: {error.message[:200]}" for error in errors] == []
    assert [fault for event in case["events"] for fault in faults(event)] == []
