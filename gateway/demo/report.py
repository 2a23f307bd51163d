"""What the demo found out, as JSON-ready values: `gateway demo --json` prints it, `show.py` draws it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.demo.story import SHOWN
from gateway.model.delivery import Kind, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from gateway.config import Settings
    from gateway.demo.server import MockServer
    from gateway.demo.states import Standing, Standings
    from gateway.demo.story import Sent, Story
    from gateway.model.delivery import Attempt

Report = dict[str, Any]

#: Platform → the key of an item that says which event it is, and the one with the platform's name for it (if any).
ITEM_KEYS: Mapping[str, tuple[str, str]] = {
    "meta": ("event_id", "event_name"),
    "tiktok": ("event_id", "event"),
    "google": ("transactionId", ""),
    "pinterest": ("event_id", "event_name"),
    "snapchat": ("event_id", "event_name"),
}

#: States in which a delivery may be when the demo went well.
GOOD = frozenset({State.DELIVERED, State.SKIPPED, State.DRY_RUN})
#: Verdicts of attempts that went well.
TAKEN = frozenset({Kind.DELIVERED, Kind.RECEIVED})


def report(
    settings: Settings,
    mocks: MockServer,
    story: Story,
    standings: Standings,
    attempts: Sequence[Attempt],
    outage: str,
    seconds: float,
) -> Report:
    """Everything in one value. `outage`: the platform that was made to answer 503 once; `seconds`: the demo's time."""
    events = [_event(settings, mocks, sent, standings) for sent in story.events]
    found: Report = {
        "ok": True,
        "seconds": round(seconds, 1),
        "problems": [],
        "platforms": {name: _platform(mocks, name, attempts) for name in mocks.platforms},
        "events": events,
        "duplicate": _answer(story.duplicate),
        "refused": _answer(story.refused),
        "outage": outage,
    }
    found["problems"] = [*_problems(found)]
    found["ok"] = not found["problems"]
    return found


def shown(found: Report) -> dict[str, Mapping[str, Any]]:
    """Platform → the one purchase that is shown, as the platform received it."""
    event = next(one for one in found["events"] if one["example"] == SHOWN)
    items = {name: _item(name, platform["received"], event["ids"]) for name, platform in found["platforms"].items()}
    return {name: item for name, item in items.items() if item is not None}


def _event(settings: Settings, mocks: MockServer, sent: Sent, standings: Standings) -> Report:
    result = sent.result
    name, event_id = sent.event["event_name"], result.get("event_id", "")
    custom = sent.event.get("custom_data", {})
    ids = [str(one) for one in (event_id, custom.get("order_id")) if one is not None]
    return {
        "example": sent.example,
        "event_name": name,
        "event_id": event_id,
        "ids": ids,
        "status": result["status"],
        "warnings": list(result.get("warnings", ())),
        "errors": list(result.get("errors", ())),
        "destinations": {
            instance: _delivery(settings, mocks, instance, name, ids, standing)
            for instance, standing in sorted(
                standings.get((name, event_id), {}).items(), key=lambda pair: [*mocks.platforms].index(pair[0])
            )
        },
    }


def _delivery(
    settings: Settings, mocks: MockServer, instance: str, event_name: str, ids: Sequence[str], standing: Standing
) -> Report:
    told: Report = {"state": str(standing.state)}
    if standing.state == State.DELIVERED:
        item = _item(instance, [*mocks.received[instance], *mocks.tested[instance]], ids)
        platform_name = settings.destinations[instance].platform_name(event_name)
        told["as"] = (item or {}).get(ITEM_KEYS[instance][1]) or platform_name
        told["arrived"] = item is not None
        told["test"] = item is not None and item in mocks.tested[instance]
        return told
    return {**told, "code": standing.code, "detail": standing.detail, "reason": standing.reason}


def _item(platform: str, items: Iterable[Mapping[str, Any]], ids: Sequence[str]) -> Mapping[str, Any] | None:
    """The first item that is of an event with one of these ids."""
    key = ITEM_KEYS[platform][0]
    return next((item for item in items if item.get(key) in ids), None)


def _platform(mocks: MockServer, name: str, attempts: Sequence[Attempt]) -> Report:
    return {
        "received": list(mocks.received[name]),
        "tested": list(mocks.tested[name]),
        "attempts": [
            {"status": one.status, "verdict": one.verdict, "events": one.size, "code": one.code, "message": one.message}
            for one in attempts
            if one.instance == name
        ],
    }


def _answer(sent: Sent | None) -> Report:
    return {} if sent is None else {"example": sent.example, "http_status": sent.status, **sent.result}


def _problems(found: Report) -> Iterator[str]:
    """What is not as it should be, a sentence each."""
    for event in found["events"]:
        if event["status"] != "accepted":
            faults = "; ".join(f"{one['path']}: {one['message']}" for one in event["errors"])
            yield f"{event['example']} was not accepted: {event['status']} {faults}".rstrip()
        elif event["destinations"].keys() != found["platforms"].keys():
            yield f"{event['example']} was not decided for every platform"
        yield from _undelivered(event)
    for name, platform in found["platforms"].items():
        yield from _miscounted(found, name, platform)
        yield from _refusals(found, name, platform)
    if found["duplicate"].get("status") != "duplicate":
        yield "the second copy was not recognised as a duplicate"
    if found["refused"].get("http_status") != 422:
        yield "the event with mistakes was not refused"


def _undelivered(event: Report) -> Iterator[str]:
    for name, one in event["destinations"].items():
        if one["state"] not in GOOD:
            yield f"{event['example']} is {one['state']} for {name}: {one['code']} {one['reason']}".rstrip(": ")
        elif one["state"] == State.DELIVERED and not one["arrived"]:
            yield f"{event['example']} counts as delivered to {name}, which does not have it"


def _miscounted(found: Report, name: str, platform: Report) -> Iterator[str]:
    states = [event["destinations"].get(name, {}).get("state") for event in found["events"]]
    got, delivered = len(platform["received"]) + len(platform["tested"]), states.count(State.DELIVERED)
    if got != delivered:
        yield f"{name} received {got} events, {delivered} count as delivered"


def _refusals(found: Report, name: str, platform: Report) -> Iterator[str]:
    failed = [one for one in platform["attempts"] if one["verdict"] not in TAKEN]
    if name == found["outage"]:
        if not any(one["status"] == 503 for one in failed):
            yield f"{name} did not fail as it was meant to"
        failed = [one for one in failed if one["status"] != 503]
    for one in failed:
        yield f"{name} answered {one['status']} ({one['verdict']}): {one['code']} {one['message']}"
