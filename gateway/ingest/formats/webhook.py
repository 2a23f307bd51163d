"""What the shops' webhooks have in common: what one comes to, its signature, values as an event takes them.

Pure. A value that an event could not hold (too long, of a wrong kind) is left out, so that it does not cost the order.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit

from gateway.ingest.formats.rows import decimal
from gateway.schema import EVENT_SCHEMA, load_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Event: TypeAlias = dict[str, Any]


class Orders(NamedTuple):
    """A webhook that tells of something that counts."""

    #: As `POST /v1/events` takes them.
    events: list[Event]


class Unused(NamedTuple):
    """A webhook of which no event is made; that is no fault of the shop's."""

    code: str
    message: str


class Erase(NamedTuple):
    """A customer is to be erased."""

    #: Who, by the keys of an event's `user_data`.
    user_data: dict[str, Any]


class Asked(NamedTuple):
    """Something that the operator has to do."""

    #: `customer_data` or `shop_redact`.
    what: str
    #: Ids of the orders that it is about.
    event_ids: list[str]
    message: str


Outcome: TypeAlias = Orders | Unused | Erase | Asked

#: What an outcome is when the body is not what its topic says. The topic is in a header, which nobody has signed.
MISMATCH = Unused("topic_mismatch", "the body is not of the kind that the topic names")

#: Entries that an event takes at most.
MOST_CONTENTS, MOST_VALUES = 500, 20
LONGEST_ID = 128

_MONEY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
#: Segments of an address behind which stands what opens somebody's order.
_BEFORE_SECRETS = ("orders", "checkouts")

_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)


def signed_base64(secret: str, data: bytes, given: bytes) -> bool:
    """Whether this is HMAC-SHA-256 of the data, in Base64. Its time says nothing of how near a wrong one came."""
    made = b64encode(hmac.digest(secret.encode(), data, "sha256"))
    return hmac.compare_digest(made, given)


def signed_hex(secret: str, data: bytes, given: Iterable[bytes]) -> bool:
    """Whether one of these is the same in hexadecimal digits."""
    made = hmac.digest(secret.encode(), data, "sha256").hex().encode()
    found = [hmac.compare_digest(made, one) for one in given]
    return any(found)


def fits(body: Mapping[str, Any], needs: Iterable[str], never: Iterable[str]) -> bool:
    """Whether a body has the keys that its kind has, and none that only another kind has."""
    return all(body.get(key) is not None for key in needs) and not any(key in body for key in never)


@cache
def longest(part: str, key: str) -> int:
    """How many characters a key of an event's part may have, by the schema."""
    schema = load_schema(EVENT_SCHEMA)["$defs"]
    node = schema[part]["properties"][key]
    if "$ref" in node:
        node = schema[node["$ref"].rpartition("/")[2]]
    return int(node["maxLength"])


def text(value: Any, most: int = 512) -> str | None:
    """A text, or a number as its digits; `None` if it is empty, too long or something else."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    found = value.replace("\0", "").strip()
    return found if 0 < len(found) <= most else None


def currency_of(value: Any) -> str | None:
    """A currency's code; `None` if it has not the form of one."""
    found = text(value, 3)
    return found if found is not None and _CURRENCY.fullmatch(found) else None


def number_of(value: Any) -> Decimal | None:
    """A number, or a text that is one; `None` if it is none or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < 10**15 else None


def amount(value: Any) -> str | None:
    """Money as an event takes it; `None` if it is none or negative."""
    found = number_of(value)
    if found is None:
        return None
    written = decimal(found + 0)  # a negative zero is none
    return written if _MONEY.fullmatch(written) else None


def moment(value: Any) -> str | None:
    """A time with its offset, as it came."""
    return value if isinstance(value, str) and len(value) <= 64 and _TIME.fullmatch(value) else None


def part(value: Any) -> Mapping[str, Any]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def parts(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def one_or_more(values: Iterable[str | None]) -> str | list[str] | None:
    """The different values: one on its own, several as a list."""
    found = list(dict.fromkeys(value for value in values if value))[:MOST_VALUES]
    return found if len(found) > 1 else found[0] if found else None


def user_data(found: Mapping[str, Any]) -> dict[str, Any]:
    """What an event can hold of these values, each one or a list of several, spelt as they came."""
    made = {}
    for key, value in found.items():
        several = value if isinstance(value, list | tuple) else (value,)
        kept = one_or_more(text(one, longest("user_data", key)) for one in several)
        if kept is not None:
            made[key] = kept
    return made


def people(*found: Mapping[str, Any]) -> dict[str, Any]:
    """Several parts of `user_data` as one: the last counts, but each id of the customer's."""
    made = {key: value for one in found for key, value in one.items()}
    ids = [one.get("external_id") for one in found]
    external = one_or_more(
        str(one) for several in ids for one in (several if isinstance(several, list) else [several or ""])
    )
    return {**made, "external_id": external} if external else made


def said(found: Mapping[str, Any]) -> dict[str, Any]:
    """A part of an event without what is not there."""
    return {key: value for key, value in found.items() if value not in (None, "", [], {})}


def page_of(url: Any) -> str | None:
    """The site that an address is of, and its path as far as it opens nobody's order.

    What follows (`/orders/TOKEN?key=…`) shows the order to whoever has the address.
    """
    try:
        found = urlsplit(url) if isinstance(url, str) and len(url) <= 4096 else None
        host = found.hostname if found is not None else None
    except ValueError:
        return None
    if found is None or not host or found.scheme not in ("http", "https") or not host.isprintable() or " " in host:
        return None
    segments = found.path.split("/")
    cut = next((at + 1 for at, segment in enumerate(segments) if segment in _BEFORE_SECRETS), 0)
    made = f"{found.scheme}://{host}{'/'.join(segments[:cut]) or '/'}"
    return made if text(made, 4096) == made else None


def web_address(url: Any) -> str | None:
    """An address of the web."""
    found = text(url, 4096)
    return found if found and found.lower().startswith(("http://", "https://")) else None


def quantity(value: Any) -> int | float | None:
    """How many, as an event takes it."""
    found = number_of(value)
    if found is None or not 0 <= found <= 10**9:
        return None
    return int(found) if found == found.to_integral_value() else float(found)


def count_of(contents: Iterable[Mapping[str, Any]]) -> int | None:
    """How many items there are of all products."""
    total = sum(one.get("quantity", 0) for one in contents)
    return int(total) if 0 < total <= 10**9 and total == int(total) else None
