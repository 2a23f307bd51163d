"""Converters for field tables: the value of one canonical field → what a platform wants.

Each raises `ValueError` or `TypeError`, or returns `None`, for a value that cannot be had: the field is then left out.
`custom_data` is open, so that any JSON value may arrive at them. Last come sources: functions of the whole event.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.model.event import Event

_DECIMAL = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
#: IPv4 addresses of the public internet, as far as their first numbers tell; the rest is looked at closely.
_PLAINLY_PUBLIC = re.compile(
    r"(?!0|10\.|127\.|100\.|169\.254\.|172\.|192\.|198\.|2[2-5]\d\.)(?:\d{1,3}\.){3}\d{1,3}", re.ASCII
)
#: Kept for documentation by RFC 5737 and RFC 3849.
_DOCUMENTED = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")


def text(value: Any) -> str:
    """An id or a word as text; of a whole number its digits."""
    if isinstance(value, str):
        return value
    return str(number(value))


def number(value: Any) -> int | float:
    """An amount, also from a decimal string; an integer where it is one."""
    kind = type(value)
    if kind is str and _DECIMAL.fullmatch(value):
        return number(float(value))
    if kind is float:
        if value - value != 0.0:  # infinity, NaN
            raise ValueError
        return int(value) if value.is_integer() else float(value)
    if kind is int:
        return int(value)
    raise TypeError


def whole(value: Any) -> int:
    """A count; raises `ValueError` for a fraction."""
    found = number(value)
    if isinstance(found, float):
        raise ValueError
    return found


def decimal_text(value: Any) -> str:
    """An amount as decimal text, never in scientific notation: `59.98`. A decimal string keeps its places: `12.50`."""
    if isinstance(value, str):
        number(value)
        return format(Decimal(value), "f")
    found = str(number(value))
    return format(Decimal(found), "f") if "e" in found else found


def flag(value: Any) -> bool:
    """A truth value, also as 0 or 1."""
    if value in (0, 1):
        return bool(value)
    raise ValueError


def zero_or_one(value: Any) -> int:
    """A truth value as 0 or 1."""
    return int(flag(value))


def moment(value: Any) -> float:
    """Unix seconds with their fraction, from a number or from RFC 3339 with an offset."""
    if not isinstance(value, str):
        return number(value)
    at = datetime.fromisoformat(value.upper())
    if at.tzinfo is None:
        raise ValueError
    return at.timestamp()


def seconds(value: Any) -> int:
    """Whole Unix seconds, from a number or from RFC 3339 with an offset."""
    return int(moment(value))


def matching(rule: str) -> Callable[[Any], str | None]:
    """A text of this form (the whole of it); anything else is left out."""
    form = re.compile(rule, re.ASCII)
    return lambda value: found if form.fullmatch(found := text(value)) else None


def one_of(*allowed: str) -> Callable[[Any], str | None]:
    """One of these words; anything else is left out."""
    words = frozenset(allowed)
    return lambda value: value if isinstance(value, str) and value in words else None


def joined(value: Any) -> str | None:
    """One text of several, with commas between: `shoes,boots`. What is no id or word is left out; it never raises."""
    if isinstance(value, str):
        return value or None
    found = []
    for one in value if isinstance(value, list | tuple) else (value,):
        with suppress(TypeError, ValueError):
            found.append(text(one))
    return ",".join(filter(None, found)) or None


def language(value: Any) -> str | None:
    """The two-letter language of a BCP 47 tag: `en` of `en-US`."""
    found = re.match(r"[A-Za-z]{2}(?![A-Za-z])", value) if isinstance(value, str) else None
    return found[0].lower() if found else None


def madid(value: Any) -> str | None:
    """An advertising id in lower case; one of zeros says that the person switched it off, and is left out."""
    found = text(value).strip().lower()
    return found if found.strip("0-") else None


def public_address(value: Any) -> str | None:
    """An IP address of the public internet, as it is written most briefly, IPv4 out of its IPv6 form.

    A private or loopback one says nothing of a visitor and is left out. Addresses kept for documentation are let
    through, so that examples work.
    """
    if not isinstance(value, str) or _PLAINLY_PUBLIC.fullmatch(value):
        return value if isinstance(value, str) else None
    ip = ip_address(value)
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip) if (ip.is_global and not ip.is_multicast) or str(ip).startswith(_DOCUMENTED) else None


# Sources: what more than one field says.

SYSTEMS = {"ios": "ios", "ipados": "ios", "android": "android"}
#: The second to the last of the sixteen strings that describe a device:
#: https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/app-data
EXTINFO = (
    *("package_name", "version", "build", "os_version", "device_model", "locale", "timezone_abbreviation", "carrier"),
    *("screen_width", "screen_height", "screen_density", "cpu_cores", "storage_gb", "free_storage_gb", "timezone"),
)


def mobile_system(event: Event) -> str | None:
    """`ios` or `android`, by `app.os`; `None` for any other system, or none."""
    named = event.app.get("os")
    return SYSTEMS.get(named.lower()) if isinstance(named, str) else None


def extinfo(event: Event) -> tuple[str, ...] | None:
    """The device in sixteen strings, as Meta and Snapchat want it, `""` for what is not known. Its row has `many`."""
    system, app = mobile_system(event), event.app
    if system is None:
        return None
    known = {**app, "locale": str(app.get("locale") or "").replace("-", "_")}
    if system == "android":
        known.setdefault("package_name", app.get("id"))
    return ("i2" if system == "ios" else "a2", *(joined(known.get(key)) or "" for key in EXTINFO))


def content_ids(event: Event) -> Any:
    """`content_ids`, or the ids of `contents`: catalogues are matched on them."""
    given, contents = event.custom_data.get("content_ids"), event.custom_data.get("contents")
    if given or not isinstance(contents, list | tuple):
        return given
    return [entry.get("id") for entry in contents if isinstance(entry, dict)]
