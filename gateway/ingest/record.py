"""The last stage: the event as bytes for the outbox, and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.ingest.copies import Copy, bound_to, hold_s
from gateway.ingest.misplaced import REMOVED, without_emails
from gateway.ingest.visiting import visit_of
from gateway.model.event import Event
from gateway.outbox import Record
from gateway.outbox.packing import id_sum, key_hash
from gateway.privacy.minimize import LIMITED_APP, without, without_click_ids, without_person
from gateway.privacy.scrub import scrub_url, scrub_value
from gateway.privacy.sealing import PAYLOAD
from gateway.privacy.visits import CART

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ingest.draft import Draft, Setup
    from gateway.privacy.sealing import Keyring

#: Keys of `user_data` that are deleted as soon as the last delivery is final.
SHORT_LIVED = ("client_ip_address", "client_user_agent")

#: Paths of what joined an event that say what its visitor allows.
CONSENT = frozenset({"consent", "consent.region"})
#: What a destination may be called, and `*`; a number of seven digits may be somebody's.
NAMED = re.compile(r"\*|(?![0-9]{7,}$)[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: Keys that stay of an event that nobody may have for want of consent: not those of a person, a device or a visit.
ANONYMOUS: Mapping[str, frozenset[str]] = {"app": LIMITED_APP, "messaging": frozenset({"channel"})}

#: Parts of an event, and addresses: what `fields` of a destination can keep from it without breaking the event.
PARTS = frozenset({"user_data", "custom_data", "app", "messaging", "original_event"})
WITHHOLDABLE = PARTS | {"event_source_url", "referrer_url"}

_encode = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(Event).decode
_decode_clear = msgspec.json.Decoder(dict[str, str]).decode


def record(draft: Draft, setup: Setup) -> Record:
    """What the outbox keeps of an event: all of it, without anything that was hashed."""
    raw, routing = draft.raw, draft.routing
    if routing is None:
        raise RuntimeError("the gate has not been asked")
    user_data = without_emails(draft, "user_data", draft.user_data)
    visit = visit_of(draft, user_data, setup)
    clear = dict(draft.clear)
    for key in SHORT_LIVED:
        if key in user_data:
            clear[key] = user_data.pop(key)
    payload: dict[str, Any] = {
        "event_name": raw["event_name"],
        "event_id": draft.event_id,
        "event_time": draft.event_time,
        "action_source": draft.action_source,
        "user_data": user_data,
        "custom_data": without_person(draft.custom_data) if routing.anonymous else draft.custom_data,
        "digests": draft.digests,
        "consent": draft.seen.stored,
        "received_at": draft.received_at,
        "region": draft.seen.region,
    }
    for key in ("app", "messaging", "original_event"):
        if key in raw:
            payload[key] = _part(draft, key, anonymous=routing.anonymous)
    if "test" in raw:
        payload["test"] = raw["test"]
    if "destinations" in raw:  # for a replay to destinations that came later; a key may be anything, an address too
        payload["destinations"] = {name: on for name, on in raw["destinations"].items() if NAMED.fullmatch(name)}
    if draft.event_source_url:
        payload["event_source_url"] = _address(draft.event_source_url, anonymous=routing.anonymous)
    if draft.referrer_url:
        payload["referrer_url"] = _address(draft.referrer_url, anonymous=routing.anonymous)
    if draft.joined:  # of an event that nobody may have, where its consent is from
        payload["joined"] = {
            path: one
            for path, one in draft.joined.items()
            if _is_left(path, payload, clear) and (path in CONSENT or not routing.anonymous)
        }
    if "context" in raw and not routing.anonymous:
        context = {key: value for key, value in raw["context"].items() if key != CART}
        payload["context"], removed = scrub_value(context)
        for tail in removed:
            draft.warn(f"/context{tail}", *REMOVED)
    for path in setup.withheld:
        _withhold(payload, clear, *path.split("."))
    source, sealed = draft.source, setup.gate.keyring.seal(_encode(payload), PAYLOAD)
    waits_s = hold_s(draft.event_name, source)
    return Record(
        dedup_key=key_hash(source.dedup_scope, raw["event_name"], draft.event_id),
        id_sum=id_sum(draft.event_id),
        received_at=draft.received_at,
        source=source.name,
        event_name=raw["event_name"],
        event_id=draft.event_id,
        event_time=draft.event_time,
        people=draft.people,
        decision=routing.data,
        consented=routing.sends,
        payload=sealed,
        clear=setup.gate.keyring.seal(_encode(clear), bound_to(sealed)) if clear else None,
        ruling=setup.gate.ruling(draft, routing),
        strings=draft.seen.strings,
        visit=visit,
        copy=Copy(payload, clear, source.name, draft.unanswered, setup.gate.keyring) if waits_s else None,
        hold_s=waits_s,
    )


def _is_left(path: str, payload: Mapping[str, Any], clear: Mapping[str, str]) -> bool:
    """Whether what joined is still there, once consent and the rest have had their say."""
    head, _, key = path.partition(".")
    if head == "user_data":
        return key in payload["user_data"] or key in clear
    if head == "digests":
        return any(label.partition(":")[0] == key for label in payload["digests"])
    return head != "event_source_url" or head in payload


def _withhold(payload: dict[str, Any], clear: dict[str, str], head: str, *steps: str) -> None:
    """Take out what no destination is sent. Digests and places were not made in the first place."""
    if head == "user_data":
        for key in steps[:1] or SHORT_LIVED:
            clear.pop(key, None)
    if head in WITHHOLDABLE and head in payload:
        payload[head] = without(payload[head], [*steps]) if steps else {}
        if not steps and head not in PARTS:
            del payload[head]


def _address(url: str, *, anonymous: bool) -> str:
    return scrub_url(url, keep_click_ids=False)[0] if anonymous else url


def _part(draft: Draft, key: str, *, anonymous: bool) -> Mapping[str, Any]:
    part: Mapping[str, Any] = without_emails(draft, key, draft.raw[key])
    if anonymous and key in ANONYMOUS:
        return {name: value for name, value in part.items() if name in ANONYMOUS[key]}
    return part if draft.seen.click_ids else without_click_ids(part)


def read(payload: bytes, clear: bytes | None, keyring: Keyring) -> Event:
    """The stored event as a value, with digests and places by rule. The inverse of `record`.

    Raises `Unopened` for what is sealed and cannot be opened, `msgspec.DecodeError` for what is not as it is written.
    """
    event = _decode_event(keyring.open(payload, PAYLOAD))
    if clear is None:
        return event
    kept = _decode_clear(keyring.open(clear, bound_to(payload)))
    for key in SHORT_LIVED:
        if key in kept:
            event.user_data[key] = kept.pop(key)  # type: ignore[index]  # just decoded: nobody else has it yet
    if kept:
        object.__setattr__(event, "clear", kept)
    return event
