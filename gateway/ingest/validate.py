"""The first stage: the schema decides, then the few rules that a schema cannot say."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from gateway import schema
from gateway.ingest.currencies import is_currency
from gateway.ingest.decode import MAX_EVENT_VALUES, is_crowded, odd_faults
from gateway.ingest.misplaced import holds_email
from gateway.model.errors import EventInvalid, Fault

if TYPE_CHECKING:
    from gateway.ingest.draft import Draft, Setup

#: A number from here on can only be milliseconds: as seconds it would be the year 5138.
MILLISECONDS_FROM = 1e11
#: How far ahead a clock may be, in seconds; such an `event_time` is set to now.
SKEW_S = 300.0
#: Times beside `event_time` that the same limits hold for: object, key.
OTHER_TIMES = (("original_event", "event_time"), ("app", "install_time"))

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def validate(draft: Draft, setup: Setup) -> None:
    """Refuse what the schema refuses. Raises `EventInvalid` with a JSON pointer for each fault."""
    if draft.odd and is_crowded(draft.raw):
        raise EventInvalid(Fault("", "too_many", f"expected at most {MAX_EVENT_VALUES} values in one event"))
    if not is_valid(draft.raw):
        raise EventInvalid(*schema.faults(draft.raw, draft.most_faults))
    if draft.odd and (found := _odd(draft.raw)):
        raise EventInvalid(*found[:20])
    for key in ("event_name", "event_id"):
        if holds_email(draft.raw.get(key)):
            words = "holds an e-mail address, which would be stored and sent as it is"
            raise EventInvalid(Fault(f"/{key}", "personal_data", words))
    draft.event_time = _event_time(draft)
    for part, key in OTHER_TIMES:
        if part in draft.raw and key in draft.raw[part]:
            _moment(draft.raw[part][key], f"/{part}/{key}", draft.received_at)
    currency = draft.raw["custom_data"].get("currency") if "custom_data" in draft.raw else None
    if currency is not None and not is_currency(currency.upper()):
        raise EventInvalid(Fault("/custom_data/currency", "unknown_currency", "expected an ISO 4217 code such as EUR"))


def is_valid(raw: object) -> bool:
    """The schema's verdict; what nests deeper than the validator goes is refused as too deep."""
    try:
        return schema.is_valid(raw)
    except (ValueError, RecursionError):
        raise EventInvalid(schema.TOO_DEEP) from None


def _odd(raw: object) -> list[Fault]:
    try:
        return odd_faults(raw)
    except RecursionError:
        raise EventInvalid(schema.TOO_DEEP) from None


def _event_time(draft: Draft) -> float:
    value = draft.raw.get("event_time")
    if value is None:
        return draft.received_at
    seconds = _moment(value, "/event_time", draft.received_at)
    if seconds > draft.received_at:
        draft.warn("/event_time", "event_time_ahead", "the time lies ahead by less than 5 minutes: set to now")
        return draft.received_at
    return seconds


def _moment(value: float | str, path: str, now: float) -> float:
    seconds = _seconds(value, path)
    if seconds < 0:
        raise EventInvalid(Fault(path, "out_of_range", "the time lies before 1970"))
    if seconds - now > SKEW_S:
        raise EventInvalid(Fault(path, "in_future", "the time lies more than 5 minutes ahead"))
    return seconds


def _seconds(value: float | str, path: str) -> float:
    if not isinstance(value, str):
        if value >= MILLISECONDS_FROM:
            words = "expected Unix seconds; a number this large can only be milliseconds"
            raise EventInvalid(Fault(path, "in_milliseconds", words))
        return value
    if not _RFC3339.fullmatch(value):
        words = "expected RFC 3339 with an offset, such as 2026-11-20T14:03:09Z, or Unix seconds"
        raise EventInvalid(Fault(path, "bad_format", words))
    try:
        seconds = datetime.fromisoformat(value.upper()).timestamp()
    except (ValueError, OverflowError):
        raise EventInvalid(Fault(path, "bad_format", "no such date or time")) from None
    return int(seconds) if seconds.is_integer() else seconds
