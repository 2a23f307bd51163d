"""The fourth stage: ids, click ids, money in one form, personal data out of URLs and free fields."""

from __future__ import annotations

import re
import uuid
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from gateway.ingest.misplaced import REMOVED, without_encoded
from gateway.model.event import STANDARD_NAMES
from gateway.privacy.clickids import PARAMETERS, click_ids, valid_fbc, valid_fbp
from gateway.privacy.minimize import without_browser_ids
from gateway.privacy.scrub import scrub_url, scrub_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.ingest.draft import Draft, Setup

#: `custom_data` that may come as a decimal string and is kept as a number.
MONEY = ("value", "predicted_ltv", "net_revenue", "tax", "shipping", "discount", "remaining_value", "conversion_count")
#: `custom_data` that may come as a number and is kept as text.
IDS = ("order_id", "refund_id", "merchant_id", "store_id", "shop_id")
#: Events that have an id of their own in `custom_data`: it stands in for a missing `event_id`.
ID_FROM = {"Purchase": "order_id", "Refund": "refund_id"}
#: Characters that an event id may have: a longer order id cannot stand in for one.
LONGEST_ID = 128
#: Events that mean nothing to most platforms without money.
WITH_MONEY = frozenset({"Purchase", "Refund"})

#: Taken out of URLs for want of `ad_storage`, which is no news to the sender.
_CLICK_IDS = frozenset({*PARAMETERS, "sccid", "_gl", "gclsrc"})
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IPV4 = re.compile(rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}", re.ASCII)
_BY_LOWER = {name.lower(): name for name in STANDARD_NAMES}


def enrich(draft: Draft, setup: Setup) -> None:
    """Fill in what the event does not say and bring what it says into one form."""
    raw = draft.raw
    draft.action_source = raw.get("action_source", "website")
    draft.user_data = dict(raw.get("user_data", ()))
    draft.custom_data = _custom_data(draft)
    draft.event_id = _event_id(draft)
    _name(draft)
    if draft.hints is not None:
        _from_browser(draft)
    address = draft.user_data.get("client_ip_address")
    if address is not None and not is_address(address):
        draft.warn("/user_data/client_ip_address", "not_normalisable", "expected an IPv4 or IPv6 address: left out")
        del draft.user_data["client_ip_address"]
    draft.seen = setup.gate.consent_of(raw.get("consent"), draft.hints, draft.source, draft.received_at)
    allowed = draft.seen.click_ids
    _click_ids(draft, allowed)
    if "event_source_url" in raw:
        draft.event_source_url = _url(draft, setup, "event_source_url", allowed)
    if "referrer_url" in raw:
        draft.referrer_url = _url(draft, setup, "referrer_url", allowed)


def _event_id(draft: Draft) -> str:
    given = draft.raw.get("event_id")
    if given is not None:
        return given if isinstance(given, str) else text_id(given)
    stands_in = draft.custom_data.get(ID_FROM.get(draft.raw["event_name"], ""))
    if stands_in and len(str(stands_in)) <= LONGEST_ID:
        return str(stands_in)
    draft.warn("/event_id", "event_id_generated", "no event_id: a copy of this event will count as another one")
    return uuid.uuid4().hex


def _name(draft: Draft) -> None:
    name = draft.raw["event_name"]
    if name not in STANDARD_NAMES and (near := _near_miss(name)):
        draft.warn("/event_name", "near_standard_name", f"taken as a custom event; the standard name is {near}")


@lru_cache(maxsize=4096)
def _near_miss(name: str) -> str | None:
    return _BY_LOWER.get(name.lower().replace("_", "").replace(" ", "").replace("-", ""))


def _custom_data(draft: Draft) -> dict[str, Any]:
    given = draft.raw.get("custom_data")
    if not given:
        data: dict[str, Any] = {}
    else:
        data, removed = scrub_value(given)
        for tail in removed:
            draft.warn(f"/custom_data{tail}", *REMOVED)
        data = {key: ONE_FORM[key](value) if key in ONE_FORM else value for key, value in data.items()}
    if draft.raw["event_name"] in WITH_MONEY:
        for key in ("value", "currency"):
            if key not in data:
                draft.warn(f"/custom_data/{key}", f"missing_{key}", "send it: destinations that need it skip the event")
    return data


def _content(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: OF_CONTENT[key](value) if key in OF_CONTENT else value for key, value in entry.items()}


def _contents(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [_content(entry) for entry in entries]


def _content_ids(ids: Any) -> list[str]:
    return [text_id(one) for one in (ids if isinstance(ids, list) else [ids])]


def _amount(value: str | float) -> float:
    return number(value) if isinstance(value, str) else value


def _id(value: Any) -> Any:
    return text_id(value) if isinstance(value, int | float) else value


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    if _IPV4.fullmatch(text):
        return True
    try:
        return ip_address(text).version == 6 and "%" not in text
    except ValueError:
        return False


def text_id(value: str | float) -> str:
    """An id as text. JSON Schema counts 1.0 as an integer: it is the same id as 1."""
    return str(int(value)) if isinstance(value, float) else str(value)


def number(text: str) -> float:
    """A decimal string as the number it is: an integer where it is one."""
    value = Decimal(text)
    return int(value) if value == value.to_integral_value() else float(value)


#: Keys of `custom_data`, and of an entry of its `contents`, that are brought into one form → how.
ONE_FORM: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(MONEY, _amount),
    **dict.fromkeys(IDS, _id),
    "currency": str.upper,
    "contents": _contents,
    "content_ids": _content_ids,
}
OF_CONTENT: dict[str, Callable[[Any], Any]] = {"id": _id, "item_price": _amount, "quantity": _amount}


def _from_browser(draft: Draft) -> None:
    hints = draft.hints
    if hints is None:
        return
    if hints.ip:
        draft.user_data.setdefault("client_ip_address", hints.ip)
    if hints.user_agent:
        draft.user_data.setdefault("client_user_agent", hints.user_agent)


def _click_ids(draft: Draft, allowed: bool) -> None:
    """Click ids from the page's address and cookies, and `fbc` from `fbclid`; none of them without `ad_storage`."""
    user_data, url = draft.user_data, draft.raw.get("event_source_url")
    if not allowed:
        draft.user_data = without_browser_ids(user_data)
        return
    if "fbc" in user_data and not valid_fbc(user_data["fbc"]):
        draft.warn("/user_data/fbc", "not_normalisable", "expected fb.<index>.<milliseconds>.<fbclid>: left out")
        del user_data["fbc"]
    if "fbp" in user_data and not valid_fbp(user_data["fbp"]):
        draft.warn("/user_data/fbp", "not_normalisable", "expected fb.<index>.<milliseconds>.<number>: left out")
        del user_data["fbp"]
    cookies, landing = (draft.hints.cookies, draft.hints.landing) if draft.hints is not None else ({}, {})
    if cookies or landing or "fbclid" in user_data or (url and "?" in url):
        # the event's own time, so that a repeat of the event says the same
        user_data.update(click_ids(user_data, url, cookies, draft.event_time, landing))
        user_data.pop("fbclid", None)


def _url(draft: Draft, setup: Setup, key: str, click_ids_allowed: bool) -> str:
    url = draft.raw[key]
    scrubbed, removed = scrub_url(url, keep_click_ids=click_ids_allowed, parameters=setup.url_parameters)
    plain = without_encoded(scrubbed)
    if plain is not scrubbed or (removed and any(name not in _CLICK_IDS for name in removed)):
        draft.warn(f"/{key}", "personal_data_removed", "personal data in the address was removed")
    return plain
