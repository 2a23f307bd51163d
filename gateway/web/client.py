"""Which address a browser's request came from. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config import Network


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str | None:
    """The visitor's IP address; `None` when it cannot be known.

    `peer`: the other end of the connection. `forwarded_for`: the values of all `X-Forwarded-For` headers, in order.
    Each proxy appends the address that it saw, so that only what trusted proxies wrote is believed: from the right, the
    first address that is not a trusted proxy's. What stands left of it anybody may have written.
    """
    here = parse(peer or "")
    if here is None or not _is_trusted(here, trusted):
        return None if here is None else str(here)
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    for hop in reversed(hops):
        found = parse(hop)
        if found is None:
            return None
        here = found
        if not _is_trusted(here, trusted):
            break
    return str(here)


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: bare, `203.0.113.7:4711`, `[2001:db8::1]:443`, IPv4 inside IPv6."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)
