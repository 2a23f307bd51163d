"""The third stage: what a visit told joins an event of the same visitor that comes without it.

What joins counts as if the sender had said it: the stages behind this one judge it as they judge all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.model.event import Joined
from gateway.privacy.clickids import click_ids
from gateway.privacy.consent import PURPOSES, STRINGS
from gateway.privacy.hashing import rules_of
from gateway.privacy.visits import DIGESTS, UNANSWERED, Told, joining, keys_of, opened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.ingest.draft import Draft, Setup
    from gateway.privacy.visits import Memory

#: What in a consent object is a signal; the region is none.
SIGNALS = (*PURPOSES, *STRINGS, "gpc")
_CONSENT = ("consent", UNANSWERED)


def join(draft: Draft, setup: Setup) -> None:
    """Fill in what the event does not say and its visitor's visit did, with its consent where it brings none."""
    visits, source = setup.visits, draft.source
    if visits is None or not (setup.remembering or visits.knows_visits()):
        return
    draft.visit_keys = keys_of(
        draft.raw, visits.key, source.dedup_group or "", source.dedup_scope, source.default_country
    )
    found = visits.visits(draft.visit_keys, draft.received_at) if draft.visit_keys else ()
    if not found:
        return
    keyring, is_page = setup.gate.keyring, draft.raw.get("action_source", "website") == "website"
    told = joining(
        ((kind, _fitting(kind, opened(data, keyring), draft)) for kind, data in found),
        event_time=draft.event_time,
        retention_s=setup.visit_retention_s,
        order_retention_s=setup.order_retention_s,
        page=is_page,
    )
    if told:
        _fill(draft, told)


def gives_consent(consent: Mapping[str, Any]) -> bool:
    """Whether a consent object says anything."""
    return any(name in consent for name in SIGNALS)


def _fitting(kind: str, memory: Memory, draft: Draft) -> Memory:
    """Without what was said of a person, where a browser is somebody else's by now."""
    if kind != "anonymous_id" or all(_same(memory, draft, name) for name in ("external_id", "email")):
        return memory
    return {path: one for path, one in memory.items() if not path.startswith(DIGESTS)}


def _same(memory: Memory, draft: Draft, name: str) -> bool:
    mine, whose = {key.who for key in draft.visit_keys if key.kind == name}, memory.get(f"{DIGESTS}{name}")
    return not mine or whose is None or not mine.isdisjoint(whose.value.get("who", ()))


def _fill(draft: Draft, told: Mapping[str, tuple[str, Told]]) -> None:
    raw = dict(draft.raw)
    user_data = dict(raw.get("user_data", ()))
    own = user_data.keys() | _from_browser(draft, user_data)
    joined: dict[str, Joined] = {}
    for path, (kind, one) in told.items():
        head, _, key = path.partition(".")
        if head == "user_data" and key not in own:
            user_data[key] = one.value
        elif head == "event_source_url" and head not in raw:
            raw[head] = one.value
        elif head in _CONSENT and draft.hints is None and not gives_consent(raw.get("consent", {})):
            # a page that says nothing has not asked yet
            raw["consent"] = {**one.value, **raw.get("consent", {})}
            draft.by_default = head == UNANSWERED
            path = "consent"
        elif head == "digests" and key not in user_data:
            draft.joined_digests |= {label: tuple(made) for label, made in one.value["made"].items()}
        else:
            continue
        joined[path] = Joined(by=kind, at=one.at, source=one.source)
    if "region" in told and draft.source.region is None and "region" not in raw.get("consent", {}):
        kind, one = told["region"]
        raw["consent"] = {**raw.get("consent", {}), "region": one.value}
        joined["consent.region"] = Joined(by=kind, at=one.at, source=one.source)
    if user_data:
        raw["user_data"] = user_data
    draft.raw, draft.joined = raw, joined


def _from_browser(draft: Draft, user_data: Mapping[str, Any]) -> set[str]:
    """Keys that the next stage will fill in from the request and the page's address."""
    hints, url = draft.hints, draft.raw.get("event_source_url")
    cookies, landing = (hints.cookies, hints.landing) if hints is not None else ({}, {})
    found = set(click_ids(user_data, url, cookies, draft.event_time, landing))
    if hints is not None:
        found |= {"client_ip_address"} if hints.ip else set()
        found |= {"client_user_agent"} if hints.user_agent else set()
    return found


def digests_by_plan(draft: Draft, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Of the digests that joined, those that some destination asks for."""
    found = {}
    for label, made in draft.joined_digests.items():
        key, rules = rules_of(label)
        if not rules.isdisjoint(wanted.get(key, ())):
            found[label] = made
    return found
