"""The destination reference says what the plugins declare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway import registry
from gateway.model.event import STANDARD_NAMES
from gateway.plugin import Destination, Limits, Request, Retry, verdicts
from gateway.privacy.normalize import RULES
from gateway.reference import destinations

BUNDLED = registry.load().destinations

ACME = Destination(
    name="acme",
    api_version="v3",
    docs="https://developers.acme.example/capi",
    config_schema={
        "type": "object",
        "required": ["account"],
        "properties": {
            "account": {"type": ["string", "integer"], "description": "Account number."},
            "mode": {"enum": ["a", "b"], "default": "a", "description": "Either a | or b."},
            "token": {"type": "string", "writeOnly": True, "description": "Conversion token."},
            "test_code": {"type": "string", "description": "For test events."},
        },
    },
    names={"Purchase": "Checkout", "PageView": "Visit"},
    off_by_default=frozenset({"PageView"}),
    digests={"email": "email_plain"},
    clear={"city": "city_compact"},
    limits=Limits(batch=1, rate=2500, max_age_s=7 * 86400),
    retry=Retry(first_s=5, factor=4, max_s=90, give_up_s=36 * 3600, unseen_s=1800),
    map_event=lambda event, config: {"id": event.event_id},
    build_request=lambda batch, config: Request("POST", "https://api.acme.example/"),
    classify=verdicts.by_status,
)


def cells(page: str, first: str) -> list[str]:
    """The row of a table that begins with this cell."""
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.replace("\\|", "¦").strip("|").split("|")][1:]


def test_the_page_is_up_to_date() -> None:
    assert destinations.PAGE.read_text("utf-8") == destinations.page(BUNDLED), "run `python -m gateway.reference`"


@pytest.mark.parametrize("name", BUNDLED)
def test_every_key_of_every_destination_is_on_it(name: str) -> None:
    page = destinations.page(BUNDLED)
    section = page.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
    for key, rule in BUNDLED[name].config_schema["properties"].items():
        assert f"| `{key}` |" in section
        assert rule["description"].replace("|", "\\|") in section
    assert BUNDLED[name].docs in section


def test_every_standard_event_and_every_rule_is_on_it() -> None:
    page = destinations.page(BUNDLED)
    for name in (*STANDARD_NAMES, *RULES):
        assert f"| `{name}` |" in page


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("`Purchase`", ["`Checkout`"]),
        ("`PageView`", ["(`Visit`)"]),
        ("`Lead`", ["–"]),
        ("any other", ["–"]),
        ("`email`", ["`email_plain`"]),
        ("`city`", ["clear: `city_compact`"]),
        ("`account`", ["string or integer", "**required**", "Account number."]),
        ("`mode`", ['`"a"` or `"b"`', '`"a"`', "Either a ¦ or b."]),
        ("`token`", ["string", "–", "**Secret.** Conversion token."]),
        ("after an opt-out", ["not sent: there is no limited mode"]),
        ("test events", ["never sent"]),
        ("age of events", ["up to 7 d"]),
        (
            "a request",
            ["up to 1 event and 1 MB, waits 0.1 s for company, 4 at the same time, 2,500 a second, deadline 10 s"],
        ),
        ("retry", ["after up to 5 s, then × 4 up to 90 s, for 36 h; for 30 min if the answer was never seen"]),
    ],
)
def test_a_row(first: str, expected: list[str]) -> None:
    assert cells(destinations.page({"acme": ACME}), first) == expected


@pytest.mark.parametrize(
    ("changes", "first", "expected"),
    [
        ({"custom_names": True}, "`Lead`", "own name"),
        ({"names": lambda config: {}}, "`Lead`", "as configured"),
        ({"limited": frozenset({"US-CA"})}, "after an opt-out", "limited mode for visitors from US-CA"),
        ({"accepts_test": lambda config: True}, "test events", "sent in test mode"),
        ({"accepts_test": lambda config: "test_code" in config}, "test events", "sent only with `test_code`"),
        ({"limits": Limits()}, "age of events", "any"),
        ({"age_limit": lambda event, config: 5.0}, "age of events", "for some events less"),
    ],
)
def test_what_a_declaration_changes(changes: dict[str, Any], first: str, expected: str) -> None:
    assert expected in cells(destinations.page({"acme": replace(ACME, **changes)}), first)[0]
