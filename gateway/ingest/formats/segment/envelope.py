"""A request of the API as the calls in it: by its path, and for a batch by what each says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.ingest.decode import counted
from gateway.ingest.formats.denials import both
from gateway.ingest.formats.segment.consents import CONSENT
from gateway.ingest.problem import RequestRefused
from gateway.model.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Calls that the API has. …/
TYPES = ("track", "page", "screen", "identify", "group", "alias")
BATCH = "batch"
#: RudderStack's: its key stands in the query, since a beacon has no headers.
BEACON = "/beacon/v1/batch"
#: Path → type of the calls in it. `import` is the batch of old events; the short forms are what pages use.
# https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/
PATHS: Mapping[str, str] = {
    **{f"/v1/{name}": name for name in TYPES},
    **{f"/v1/{name[0]}": name for name in TYPES},
    **dict.fromkeys(("/v1/batch", "/v1/b", "/v1/import", BEACON), BATCH),
}
#: What a batch says for all of its calls; a call's own goes before it.
SHARED = ("context", "integrations")


class Call(NamedTuple):
    """One call, not yet read."""

    #: One of `TYPES`; else why it is none.
    type: str | Fault
    message: Mapping[str, Any]
    #: When the request was sent, by the sender's clock.
    sent_at: Any


class Opened(NamedTuple):
    """What a request holds."""

    calls: list[Call]
    #: The key in it.
    key: bytes | None


def opened(kind: str, body: Any, max_events: int) -> Opened:
    """The calls of a body. `kind`: what its path is for. Raises `RequestRefused` (400, 413)."""
    if kind == BATCH and isinstance(body, list):
        return Opened([_call(one, {}) for one in counted(body, max_events)], None)
    if not isinstance(body, dict):
        raise RequestRefused(400, "no_events", "the body must be an object")
    key = body.get("writeKey")
    found = key.encode("utf-8", "replace") if isinstance(key, str) and key else None
    if kind != BATCH:
        return Opened([Call(kind, body, body.get("sentAt"))], found)
    batch = body.get("batch")
    if batch is None and "type" in body:
        return Opened([_call(body, {})], found)
    if not isinstance(batch, list):
        raise RequestRefused(400, "no_events", "`batch` must be a list of calls")
    return Opened([_call(one, body) for one in counted(batch, max_events)], found)


def _call(message: Any, batch: Mapping[str, Any]) -> Call:
    if not isinstance(message, dict):
        return Call(Fault("", "wrong_type", "expected an object"), {}, None)
    given = message.get("type")
    kind = given.lower() if isinstance(given, str) else None
    if kind not in TYPES:
        return Call(Fault("/type", "not_allowed", f"expected one of {', '.join(TYPES)}"), {}, None)
    for part in SHARED:
        if isinstance(shared := batch.get(part), dict):
            own = message.get(part)
            own = own if isinstance(own, dict) else {}
            said = {key: both(shared[key], own.get(key)) for key in CONSENT if key in shared}
            message = {**message, part: {**shared, **own, **said}}
    return Call(kind, message, message.get("sentAt") or batch.get("sentAt"))
