"""The texts of gateway.toml that stand for something else. Each function raises `ValueError` with what is allowed."""

from __future__ import annotations

import ipaddress
import math
import re
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import SplitResult, urlsplit

from gateway.config.addresses import is_private_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.config.faults import Faults, KeyPath
    from gateway.config.settings import Network

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
#: The largest request body, in bytes. The outbox takes 32 MiB at a time, and stores more than an event's own bytes.
MAX_BODY_BYTES = 32_000_000

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?) ?([A-Za-z]+)", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)/([smh])", re.ASCII)
_REGION = re.compile(r"[A-Z]{2}(-[A-Z0-9]{1,3})?")

#: Codes that look like a country's and are none, and what to write.
_NOT_COUNTRIES = {
    "UK": '"GB"',
    "EU": "the member states one by one",
}


def reading(convert: Callable[[A], B], value: A, faults: Faults, at: KeyPath, otherwise: C) -> B | C:
    """The value converted by one of the functions below; if that cannot be, a fault and a stand-in."""
    try:
        return convert(value)
    except ValueError as error:
        faults.add(at, str(error))
        return otherwise


def duration(value: float | str) -> float:
    """Seconds: a number of them, or `500ms`, `30s`, `5m`, `12h`, `7d`."""
    number, factor = (_quantity(value, _SECONDS, "duration")) if isinstance(value, str) else (value, 1.0)
    if not math.isfinite(number) or number < 0:
        raise ValueError("expected a finite number of seconds, not below 0")
    return float(round(number * factor, 3))


def size(value: int | str) -> int:
    """Bytes: a number of them, or `500kB`, `5MB` (millions), `8MiB` (powers of two)."""
    number, factor = _quantity(value, _BYTES, "size") if isinstance(value, str) else (value, 1)
    return int(number * factor)


def body_size(value: int | str) -> int:
    """A size that a request body may have."""
    found = size(value)
    if found > MAX_BODY_BYTES:
        raise ValueError('expected at most "32MB": the outbox takes no more at a time; send several requests')
    return found


def rate(value: str) -> float:
    """Requests a second: `10/s`, `300/m`, `5000/h`."""
    match = _RATE.fullmatch(value)
    if match is None or float(match[1]) == 0:
        raise ValueError('expected requests per second, minute or hour, like "10/s", "300/m", "5000/h"')
    return float(match[1]) / _SECONDS[match[2]]


def _quantity(text: str, units: dict[str, float] | dict[str, int], what: str) -> tuple[float, float]:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(f"expected a {what}: a number and one of {', '.join(units)}")
    return float(match[1]), units[match[2]]


def region(text: str) -> str:
    """An ISO 3166-1 or 3166-2 code in upper case."""
    code = text.strip().upper()
    if _REGION.fullmatch(code) is None:
        raise ValueError('expected a country or a part of one, like "DE" or "US-CA"')
    if code[:2] in _NOT_COUNTRIES:
        raise ValueError(f"{code[:2]} is not an ISO 3166-1 code; write {_NOT_COUNTRIES[code[:2]]}")
    return code


def network(text: str) -> Network:
    """An IP address or a network in CIDR notation."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError("expected an IP address or a network like 10.0.0.0/8") from None


def origin(text: str) -> str:
    """A web origin as browsers send it (RFC 6454): lower case, no default port, no slash at the end; or `*`."""
    if text == "*":
        return text
    parts = _split(text)
    if parts.scheme not in ("http", "https") or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError('expected a web origin like "https://shop.example"')
    host, port = _host(parts), _port(parts)
    host = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


def base_url(text: str, *, allow_private: bool) -> str:
    """The start of an API's URLs, without a slash at the end; otherwise as `url`."""
    parts = _split(text)
    if parts.query or parts.fragment:
        raise ValueError("expected a URL without ? and #")
    return url(text, allow_private=allow_private).rstrip("/")


def url(text: str, *, allow_private: bool) -> str:
    """A URL that is called as it is.

    Without `allow_private` it must be https and not lead to this machine or a private network, as far as the text
    tells; what a name resolves to is checked when a connection is made.
    """
    parts = _split(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError("expected a URL that begins with https://")
    host = _host(parts)
    _port(parts)
    if parts.fragment:
        raise ValueError("expected a URL without #")
    if not allow_private and parts.scheme == "http":
        raise ValueError("expected https; plain http needs `allow_private = true` beside it")
    if not allow_private and is_private_host(host):
        raise ValueError("leads to this machine or a private network; that needs `allow_private = true` beside it")
    return text


def _split(text: str) -> SplitResult:
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("expected a URL without spaces and control characters")
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError("expected a URL") from None


def _host(parts: SplitResult) -> str:
    if parts.username is not None or parts.password is not None:
        raise ValueError("expected a URL without a user name or password in it")
    if not parts.hostname:
        raise ValueError("expected a URL with a host")
    return parts.hostname


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ValueError("expected a URL with a port from 0 to 65535") from None
