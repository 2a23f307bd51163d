"""Requests about a person rather than an event: consent that changed, erasure. Read as strictly as an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import schema
from gateway.ingest.decode import JSON, odd_faults, read_body
from gateway.ingest.problem import RequestRefused
from gateway.model.errors import Fault
from gateway.privacy.identity import IDENTIFIERS, person

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class About:
    """A person, and what the request says of them."""

    pseudonyms: tuple[int, ...]
    #: The consent object as it came; empty for an erasure.
    consent: Mapping[str, Any]
    #: What else stands in the body.
    rest: Mapping[str, Any]
    #: Identifiers that could not be read.
    warnings: tuple[Fault, ...]


def read_object(data: bytes, content_type: str, max_bytes: int) -> dict[str, Any]:
    """The JSON object that a body is. Raises `RequestRefused`."""
    if data.lstrip()[:1] in (b"", b"["):
        raise RequestRefused(400, "malformed_json", "the body is to be one JSON object, with `user_data`")
    found = read_body(data, content_type or JSON, "", max_bytes=max_bytes, max_events=1)
    body = found.events[0]
    if not isinstance(body, dict):
        raise RequestRefused(400, "malformed_json", "the body is to be one JSON object")
    if found.odd and odd_faults(body):
        raise RequestRefused(422, "not_allowed", "a NUL character, or uncommonly much")
    return body


def read_about(
    body: Mapping[str, Any], key: bytes, default_country: str | None, *, consent: bool, also: Collection[str] = ()
) -> About:
    """Who is meant, by at least one identifier, and with `consent` what they say. Raises `RequestRefused` (422)."""
    parts = ("user_data", "consent") if consent else ("user_data",)
    for name in body:
        if name not in (*parts, *also):
            raise RequestRefused(
                422, "unknown_key", f"unknown key {_named(name)}; there are: {', '.join((*parts, *also))}"
            )
    for name in parts:
        if not isinstance(body.get(name), dict) or not body[name]:
            raise RequestRefused(422, "required", f"/{name}: required, an object that says something")
    event = {"event_name": "Consent", **{name: body[name] for name in parts}}
    if faults := schema.faults(event, 1):
        raise RequestRefused(422, faults[0].code, f"{faults[0].path}: {faults[0].message}")
    found = person(key, body["user_data"], default_country)
    if not found.pseudonyms:
        names = ", ".join(IDENTIFIERS)
        why = f" ({found.warnings[0].path}: {found.warnings[0].message})" if found.warnings else ""
        raise RequestRefused(422, "no_identifier", f"/user_data: names nobody: give one of {names}{why}")
    rest = {name: value for name, value in body.items() if name in also}
    return About(found.pseudonyms, body["consent"] if consent else {}, rest, found.warnings)


def _named(name: str) -> str:
    return f"`{name}`" if schema.NAMEABLE.fullmatch(name) else "that may not be named"
