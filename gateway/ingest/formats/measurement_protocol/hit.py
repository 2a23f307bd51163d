"""A request of GA4's tag (`/g/collect`) as a body of the Measurement Protocol.

Google does not document the format. What stands here is told by public sources alone: the parameters by
https://www.thyngster.com/ga4-measurement-protocol-cheatsheet, products and `em` by open source code of Google's. It was
not tried against the tag itself.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from binascii import Error
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from gateway.ingest.formats.measurement_protocol.signals import consent
from gateway.ingest.problem import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Parameters of one request or line, characters of it, and products of one event.
MOST_PARAMETERS, LONGEST, MOST_ITEMS = 500, 100_000, 200

#: Parameter of the request → key of the body.
SHARED = {"cid": "client_id", "uid": "user_id"}
#: Parameter → parameter of the event.
EVENT = {
    "dl": "page_location",
    "dr": "page_referrer",
    "dt": "page_title",
    "ul": "language",
    "sid": "session_id",
    "cu": "currency",
}
#: What begins the name of a parameter of the event (text, number), and of a property of the user.
EVENT_TEXT, EVENT_NUMBER, USER_TEXT, USER_NUMBER = "ep.", "epn.", "up.", "upn."
#: The letters that begin each part of a product.
ITEM = {
    "id": "item_id",
    "nm": "item_name",
    "br": "item_brand",
    "ca": "item_category",
    "c2": "item_category2",
    "c3": "item_category3",
    "c4": "item_category4",
    "c5": "item_category5",
    "va": "item_variant",
    "pr": "price",
    "qt": "quantity",
}
#: `em`, what the page told of its visitor: parts after its version, each with the number of an address behind its name.
USER_DATA = {"em": "sha256_email_address", "pn": "sha256_phone_number"}
ADDRESS = {
    "fn": "sha256_first_name",
    "ln": "sha256_last_name",
    "sa": "sha256_street",
    "ct": "city",
    "rg": "region",
    "pc": "postal_code",
    "co": "country",
}

_PRODUCT = re.compile(r"pr([1-9][0-9]{0,2})")
_PART = re.compile(r"([a-z]{2})([0-9]{0,2})\.(.{1,600})", re.DOTALL)
_HEX = re.compile(r"[0-9a-fA-F]{64}")
_BASE64 = re.compile(r"[A-Za-z0-9_-]{43}=?")


def parameters(query: str) -> dict[str, str]:
    """The parameters of a query or of a line; the first of a name stands. Raises `RequestRefused`: 413."""
    if len(query) > LONGEST or query.count("&") >= MOST_PARAMETERS:
        raise RequestRefused(413, "too_many_values", f"at most {MOST_PARAMETERS} parameters in one event")
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, equals, value = pair.partition("=")
        if equals:
            found.setdefault(unquote_plus(name), unquote_plus(value))
    return found


def read(shared: Mapping[str, str], lines: Sequence[str]) -> list[dict[str, Any]]:
    """The events of a request, each as a body of its own: what stands beside them may differ, consent above all.

    `shared`: the address's parameters. Each line has those of one event, which count before the shared ones.
    """
    return [_body({**shared, **parameters(line)}) for line in lines] or [_body(shared)]


def _body(given: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {to: given[key] for key, to in SHARED.items() if given.get(key)}
    body["events"] = [{"name": given.get("en"), "params": _params(given)}]
    body["user_properties"] = {**_prefixed(given, USER_TEXT), **_prefixed(given, USER_NUMBER)}
    if told := given.get("em"):
        body["user_data"] = user_data(told)
    if said := consent(given):
        body["consent"] = said
    return body


def _params(given: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {to: given[key] for key, to in EVENT.items() if given.get(key)}
    found |= {**_prefixed(given, EVENT_TEXT), **_prefixed(given, EVENT_NUMBER)}
    numbers = sorted(int(match[1]) for key in given if (match := _PRODUCT.fullmatch(key)))
    products = [product(given[f"pr{number}"]) for number in numbers[:MOST_ITEMS]]
    if products:
        found["items"] = products
    return found


def _prefixed(given: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix) and value}


def product(text: str) -> dict[str, str]:
    """`idSKU-1~nmBlue shirt~pr29.99~qt2`; a tilde in a value is written twice."""
    found: dict[str, str] = {}
    for part in text.replace("~~", "\0").split("~"):
        if (key := ITEM.get(part[:2])) is not None:
            found.setdefault(key, part[2:].replace("\0", "~"))
    return found


def user_data(text: str) -> dict[str, Any]:
    """`tv.1~em.<digest>~pn.<digest>~fn0.<digest>~…`, a digest as Base64 or as hexadecimal digits."""
    version, *parts = text.split("~")
    found: dict[str, Any] = {}
    addresses: dict[str, dict[str, str]] = {}
    for part in parts[:MOST_PARAMETERS] if version == "tv.1" else ():
        match = _PART.fullmatch(part)
        if match is None:
            continue
        key, place, value = match.groups()
        if key in USER_DATA and (digest := _digest(value)):
            found.setdefault(USER_DATA[key], []).append(digest)
        elif key in ADDRESS and (kept := _digest(value) if ADDRESS[key].startswith("sha256_") else value):
            addresses.setdefault(place, {})[ADDRESS[key]] = kept
    return {**found, "address": list(addresses.values())} if addresses else found


def _digest(value: str) -> str | None:
    if _HEX.fullmatch(value):
        return value.lower()
    if _BASE64.fullmatch(value) is None:
        return None
    try:
        return urlsafe_b64decode(value.rstrip("=") + "=").hex()
    except (Error, ValueError):
        return None
