"""Converters for field tables: the value of one canonical field → what a platform wants.

Each raises `ValueError` or `TypeError`, or returns `None`, for a value that cannot be had: the field is then left out.
`custom_data` is open, so that any JSON value may arrive at them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address
from typing import Any

_DECIMAL = re.compile(r"[+-]?\d{1,30}(?:\.\d{1,30})?", re.ASCII)
#: IPv4 addresses of the public internet, as far as their first numbers tell; the rest is looked at closely.
_PLAINLY_PUBLIC = re.compile(
    r"(?!0|10\.|127\.|100\.|169\.254\.|172\.|192\.|198\.|203\.0\.113\.|2[2-5]\d\.)(?:\d{1,3}\.){3}\d{1,3}", re.ASCII
)


def text(value: Any) -> str:
    """An id or a word as text; of a whole number its digits."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return str(whole(value)) if isinstance(value, float) and value.is_integer() else str(value)


def number(value: Any) -> int | float:
    """An amount, also from a decimal string; an integer where it is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise ValueError
        value = float(value)
    if isinstance(value, int):
        return value
    if value - value != 0.0:  # infinity, NaN
        raise ValueError
    return int(value) if value.is_integer() else value


def whole(value: Any) -> int:
    """A count; raises `ValueError` for a fraction."""
    found = number(value)
    if isinstance(found, float):
        raise ValueError
    return found


def decimal_text(value: Any) -> str:
    """An amount as decimal text, never in scientific notation: `59.98`."""
    try:
        return format(Decimal(str(number(value))), "f")
    except InvalidOperation as error:
        raise ValueError from error


def flag(value: Any) -> bool:
    """A truth value, also as 0 or 1."""
    if value in (0, 1):
        return bool(value)
    raise ValueError


def zero_or_one(value: Any) -> int:
    """A truth value as 0 or 1."""
    return int(flag(value))


def seconds(value: Any) -> int:
    """Whole Unix seconds, from a number or from RFC 3339 with an offset."""
    if not isinstance(value, str):
        return int(number(value))
    at = datetime.fromisoformat(value.upper())
    if at.tzinfo is None:
        raise ValueError
    return int(at.timestamp())


def matching(rule: str) -> Callable[[Any], str | None]:
    """A text of this form (the whole of it); anything else is left out."""
    form = re.compile(rule, re.ASCII)
    return lambda value: found if form.fullmatch(found := text(value)) else None


def one_of(*allowed: str) -> Callable[[Any], str | None]:
    """One of these words; anything else is left out."""
    words = frozenset(allowed)
    return lambda value: value if isinstance(value, str) and value in words else None


def language(value: Any) -> str | None:
    """The two-letter language of a BCP 47 tag: `en` of `en-US`."""
    found = re.match(r"[A-Za-z]{2}(?![A-Za-z])", value) if isinstance(value, str) else None
    return found[0].lower() if found else None


def public_address(value: Any) -> str | None:
    """An IP address of the public internet; a private or loopback one says nothing of a visitor and is left out.

    Addresses kept for documentation (RFC 5737, RFC 3849) are let through, so that examples work.
    """
    if not isinstance(value, str) or _PLAINLY_PUBLIC.fullmatch(value):
        return value if isinstance(value, str) else None
    ip = ip_address(value)
    documented = value.startswith(("192.0.2.", "198.51.100.", "203.0.113.")) or value.lower().startswith("2001:db8:")
    return value if ip.is_global or documented else None
