"""The answers that the guide for site owners promises are the gateway's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

GUIDE = (Path(__file__).parents[2] / "docs/consent-guide.md").read_text("utf-8")


def told() -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    """Country, consent, and what is answered for each destination."""
    found = []
    for heading, text in re.findall(r"^### (.+?)$(.*?)(?=^##)", GUIDE, re.MULTILINE | re.DOTALL):
        blocks = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
        found += [(heading, consent, answers) for consent, answers in zip(blocks[::2], blocks[1::2], strict=True)]
    return found


def test_all_five_are_there() -> None:
    assert {heading for heading, _, _ in told()} == {"Germany", "United Kingdom", "California", "Brazil", "Unknown"}
    assert len(told()) >= 8


@pytest.mark.parametrize(("country", "consent", "answers"), told(), ids=lambda one: str(one)[:40])
def test_is_answered_so(
    world: Callable[..., Any], country: str, consent: dict[str, Any], answers: dict[str, str]
) -> None:
    event = {"event_name": "Lead", "event_id": "1", "user_data": {"email": "jane@example.com"}}
    [result] = world(source="").post({**event, **({"consent": consent} if consent else {})})
    assert {name: result["destinations"][name] for name in answers} == answers


def test_what_it_has_the_configuration_say_lets_brazil_go(world: Callable[..., Any]) -> None:
    [toml] = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    made = world(source="", more=toml)
    event = {"event_name": "Lead", "user_data": {"email": "jane@example.com"}}
    [silent] = made.post({**event, "event_id": "1", "consent": {"region": "BR"}})
    [objects] = made.post({**event, "event_id": "2", "consent": {"region": "BR", "gpc": True}})
    assert (silent["destinations"]["meta"], objects["destinations"]["meta"]) == ("queued", "skipped:consent")
