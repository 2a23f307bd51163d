"""What a site's script writes beside an order so that the shop hands it on: cart attributes, order meta, metadata.

A small set of names, told in docs/doors/. Each may begin with an underscore, which keeps it from the customer's eyes in
some shops. Everything is text, which a visitor could have changed: it says no more than their own browser could.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import msgspec

from gateway.ingest.formats.webhook import LONGEST_ID, text, user_data
from gateway.model.event import CLICK_IDS
from gateway.privacy.clickids import PARAMETERS, click_ids_from_url, ids_from_cookies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Attribute → key of `user_data`, beside the names of click ids and cookies.
PEOPLE = {"anonymous_id": "anonymous_id", "visitor_id": "anonymous_id", "external_id": "external_id"}
#: Attribute → key of `context`.
CONTEXT = {"cart_token": "cart_token", "session_id": "session_id"}
#: Attributes that hold the id that the page's own Purchase had.
EVENT_ID = ("event_id", "purchase_event_id")

#: Keys of `consent`. An attribute is one of these, with or without `consent_` before it; or `consent`, with JSON.
FLAGS = ("ad_storage", "ad_user_data", "ad_personalization", "analytics_storage")
STRINGS = ("tcf", "additional_consent", "gpp", "gpp_sid", "region")
#: Those of them that count as a denial if they cannot be read; the others say nothing then.
UNREADABLE = ("tcf", "additional_consent", "gpp")
PREFIX = "consent_"
#: What says yes. All else that stands for a flag is no, so that no denial is missed.
YES = frozenset(("granted", "true", "yes", "1", "allow", "allowed", "accepted"))
NO = frozenset(("false", "no", "0", "", "none"))
LONGEST_STRING = 8192
_KEYS = frozenset((*FLAGS, *STRINGS, "gpc"))


class Attributes(NamedTuple):
    """What was read, each as part of an event."""

    user_data: dict[str, Any]
    context: dict[str, str]
    consent: dict[str, Any]
    event_id: str | None


def read(pairs: Iterable[tuple[Any, Any]]) -> Attributes:
    """Read attributes, by name and value; of one name the last counts, but for a denial, which always does."""
    given = [(name, value) for key, value in pairs if (name := text(key, 128))]
    named = {name: value for name, value in given if isinstance(value, str | int)}
    plain = {name.removeprefix("_"): value for name, value in named.items()}
    people = _click_ids(named, plain)
    people |= {PEOPLE[name]: value for name, value in plain.items() if name in PEOPLE}
    context = {CONTEXT[name]: found for name, value in plain.items() if name in CONTEXT and (found := text(value, 512))}
    event_id = next((found for name in EVENT_ID if (found := text(plain.get(name), LONGEST_ID))), None)
    return Attributes(user_data(people), context, _consent(given), event_id)


def _click_ids(named: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any]:
    """By the names of cookies, of URL parameters, and of the keys themselves, which count most."""
    texts = {name: value for name, value in named.items() if isinstance(value, str)}
    found: dict[str, Any] = dict(ids_from_cookies(texts))
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in plain.items() if name in PARAMETERS)
    found |= click_ids_from_url(f"?{query}")
    return found | {name: value for name, value in plain.items() if name in CLICK_IDS and name not in PARAMETERS}


def _consent(given: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What is said of consent. What stands where an answer should, and is none, is a denial."""
    said: list[tuple[str, Any]] = []
    for name, value in given:
        plain = name.lower().removeprefix("_")
        if plain == "consent":
            said += _whole(value)
        elif plain != "region":  # an everyday word
            said.append((plain.removeprefix(PREFIX), value))
    found: dict[str, Any] = {}
    for name, value in said:
        if name in FLAGS:
            word = "granted" if _word(value) in YES else "denied"
            found[name] = word if found.get(name) != "denied" else "denied"
        elif name == "gpc":
            found[name] = found.get(name, False) or _word(value) not in NO
        elif name in UNREADABLE and not isinstance(value, str | None):
            found[name] = "unreadable"
        elif name in STRINGS and isinstance(value, str) and value.strip() and found.get(name) != "unreadable":
            found[name] = value.strip()
    return _readable(found)


def _word(value: Any) -> str:
    return str(value).strip().lower()


def _whole(value: Any) -> list[tuple[str, Any]]:
    """The answers that one attribute holds: an object, or JSON of one."""
    if value is None or value == "" or _word(value) in YES:  # to what, nobody knows
        return []
    found = value
    if isinstance(value, str):
        try:
            found = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
            found = None
    if isinstance(found, dict):
        said = [(str(name).lower(), one) for name, one in found.items()]
        if not said or any(name in _KEYS for name, _ in said):
            return said
    return [(name, "denied") for name in FLAGS]


def _readable(found: dict[str, Any]) -> dict[str, Any]:
    """Strings that an event could not hold become such as count as a denial; a region that is none says nothing."""
    for name in UNREADABLE:
        if len(found.get(name, "")) > LONGEST_STRING:
            found[name] = "unreadable"
    if "region" in found and not is_region(found["region"]):
        del found["region"]
    if "gpp_sid" in found and not all(one.strip().isdecimal() and len(one) < 5 for one in found["gpp_sid"].split(",")):
        del found["gpp_sid"]  # all sections count then
    return found


def is_region(value: str) -> bool:
    """Whether it is written as ISO 3166-1 or 3166-2 codes are."""
    country, dash, rest = value.partition("-")
    short = len(country) == 2 and country.isascii() and country.isalpha()
    return short and (not dash or (0 < len(rest) <= 3 and rest.isascii() and rest.isalnum()))
