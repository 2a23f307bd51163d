"""When a call was made, by a clock that may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gateway.ingest.validate import MILLISECONDS_FROM
from gateway.model.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A difference of clocks below this is the way of the request, in seconds: the time stays as it was said.
WAY_S = 5.0
#: Times that can be reckoned with: up to the year 3000.
_LAST_S = 32_503_680_000.0


def event_time(message: Mapping[str, Any], sent_at: Any, received_at: float) -> float | Fault | None:
    """Unix seconds; `None` if the call does not say.

    The sender's clock is put right by `sentAt`, which is now by that clock. RudderStack's SDKs write what their clock
    says as `originalTimestamp`; a `timestamp` beside it is the site's own and stands.
    …/common/#timestamps, https://www.rudderstack.com/docs/event-spec/standard-events/common-fields/
    """
    given, original = message.get("timestamp"), message.get("originalTimestamp")
    name = "timestamp" if given is not None else "originalTimestamp"
    value = given if given is not None else original
    if value is None:
        return None
    said = seconds(value)
    if said is None:
        return Fault(f"/{name}", "bad_format", "expected a time such as 2026-11-20T14:03:09.000Z")
    if given is not None and original is not None:
        return said
    sent = seconds(sent_at)
    if sent is None or abs(received_at - sent) < WAY_S:
        return said
    return round(said + received_at - sent, 3)


def seconds(value: Any) -> float | None:
    """A time in Unix seconds; `None` if it is none. A text without an offset is UTC; a large number milliseconds."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        found = value / 1000 if MILLISECONDS_FROM <= abs(value) < _LAST_S * 1000 else min(value, _LAST_S)
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip().upper())
            found = (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            return None
    else:
        return None
    return float(found) if abs(found) < _LAST_S else None
