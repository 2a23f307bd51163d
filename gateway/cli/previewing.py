"""How `gateway preview` reads a file and prints requests."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from gateway.cli import show
from gateway.config import Source
from gateway.delivery.preview import preview
from gateway.ingest.decode import JSON, NDJSON, Body, read_body
from gateway.ingest.pipeline import Door, accepted, rejected
from gateway.ingest.problem import RequestRefused
from gateway.model.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from gateway.config import Settings


def previewed(settings: Settings, data: bytes, source: str | None) -> list[dict[str, Any]]:
    """For each event the answer of `POST /v1/validate`, with `preview` in it.

    Raises `RequestRefused` for what is no JSON, `ConfigError` for an unknown source.
    """
    door = Door(settings, None)
    body = _body(data, settings)
    found = []
    for index, raw in enumerate(body.events):
        taken = door.take(raw, _source(settings, source), time.time(), odd=body.odd)
        if taken.record is None:
            found.append(rejected(index, taken))
        else:
            result = {"event_name": taken.draft.event_name, **accepted(index, taken)}
            found.append({**result, "preview": preview(door, taken, settings)})
    return found


def all_well(found: Sequence[Mapping[str, Any]]) -> bool:
    """No event was refused, and no plugin failed."""
    shown = [destination for one in found for destination in one.get("preview", {}).values()]
    return all(one["status"] == "accepted" for one in found) and not any("error" in one for one in shown)


def printed(found: Sequence[Mapping[str, Any]]) -> None:
    """Print it for people."""
    out = show.console()
    for one in found:
        if one["status"] == "rejected":
            show.line(out, f"Event {one['index'] + 1}: refused", "bold red")
            _faults(out, one["errors"])
            continue
        show.line(out, f"Event {one['index'] + 1}: {one['event_name']}, id {one['event_id']}", "bold")
        _faults(out, one.get("warnings", ()))
        for name, shown in one["preview"].items():
            answer(out, name, shown)
        if not one["preview"]:
            show.line(out, "no destination is switched on", indent=2)


def answer(out: Console, name: str, answer: Mapping[str, Any]) -> None:
    """What one destination would be sent, or why nothing."""
    if "request" in answer:
        request = answer["request"]
        show.line(out, f"{name}: {request['method']} {request['url']}", "green", indent=2)
        for header, value in request["headers"].items():
            show.line(out, f"{header}: {value}", indent=4)
        show.block(out, show.details(request["json"]), indent=4)
    elif "skipped" in answer:
        why = answer["skipped"]
        words = [why.get(key) for key in ("field", "detail", "rule") if why.get(key)]
        show.line(out, f"{name}: skipped, {': '.join([why['reason'], *words])}", "yellow", indent=2)
    else:
        show.line(out, f"{name}: {answer['error']}", "bold red", indent=2)


def _faults(out: Console, faults: Sequence[Mapping[str, str]]) -> None:
    for fault in faults:
        show.line(out, f"{fault['path'] or '/'} {fault['code']}: {fault['message']}", "yellow", indent=2)


def _body(data: bytes, settings: Settings) -> Body:
    """JSON, else lines of JSON. A file may be as large as it likes: nobody else waits."""
    limits = {"max_bytes": max(len(data), settings.server.max_body_bytes), "max_events": 10**9}
    try:
        return read_body(data, JSON, "", **limits)
    except RequestRefused as refused:
        if refused.code != "malformed_json" or len(data.strip().splitlines()) < 2 or data.lstrip()[:1] == b"[":
            raise
        body = read_body(data, NDJSON, "", **limits)
        if not any(isinstance(one, dict) for one in body.events):
            raise
        return body


def _source(settings: Settings, name: str | None) -> Source:
    if name is None:
        return next(iter(settings.sources.values()), Source(name="preview"))
    if name not in settings.sources:
        raise ConfigError(f"there is no source {name!r}; configured: {', '.join(settings.sources) or 'none'}")
    return settings.sources[name]
