"""What the demo sends: every example, one of them twice, and one that must be refused."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.reference import examples
from gateway.schema import schemas_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

Event = dict[str, Any]

#: The example that is sent twice, and shown as each platform received it.
SHOWN = "purchase_full_cart"

#: What no schema would forgive: a misspelled key could hold raw personal data, an amount cannot be negative.
REFUSED: Mapping[str, Any] = {
    "event_name": "Purchase",
    "event_id": "order-10070",
    "user_data": {"e_mail": "not.told@example.com"},
    "custom_data": {"value": -5, "currency": "USD"},
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One event and the gateway's answer."""

    #: Name of the example, without `.json`.
    example: str
    event: Mapping[str, Any]
    #: HTTP status of the answer.
    status: int
    #: The event's entry in `results`.
    result: Mapping[str, Any]


@dataclass(slots=True)
class Story:
    """All that was sent."""

    events: list[Sent] = field(default_factory=list)
    duplicate: Sent | None = None
    refused: Sent | None = None


async def tell(client: httpx.AsyncClient) -> Story:
    """Send everything, one event after the other."""
    story = Story()
    for name, event in read_examples(int(time.time())):
        story.events.append(await _send(client, name, event))
    again = next(one for one in story.events if one.example == SHOWN)
    story.duplicate = await _send(client, SHOWN, again.event)
    story.refused = await _send(client, "a mistake", REFUSED)
    return story


async def _send(client: httpx.AsyncClient, name: str, event: Mapping[str, Any]) -> Sent:
    answer = await client.post("/v1/events", json=event)
    found = answer.json()
    if "results" in found:
        return Sent(name, event, answer.status_code, found["results"][0])
    fault = {"path": "", "code": found["code"], "message": found["detail"]}  # the whole request was refused
    return Sent(name, event, answer.status_code, {"status": "rejected", "errors": [fault]})


def read_examples(now: int) -> Iterator[tuple[str, Event]]:
    """The examples by name, in the order in which `schemas/README.md` tells them: refunds come after their purchase.

    A file cannot know when its order was placed; a shop does, and some platforms need it for a refund. So the order and
    its refunds are given the same time, `now` in Unix seconds; the other examples stay as they are.
    """
    for file in examples():
        event: Event = json.loads((schemas_folder() / "examples" / file).read_text(encoding="utf-8"))
        name = file.removesuffix(".json")
        if name == SHOWN:
            event["event_time"] = now
        elif event["event_name"] == "Refund":
            event["original_event"] = {**event["original_event"], "event_time": now}
        yield name, event
