"""Which addresses lie on the public internet. Pure; said once, for the configuration and for each connection."""

from __future__ import annotations

import socket
import unicodedata
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

#: What is not public of IPv4: https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast. The table is
#: ours, as the standard library's changes with Python's patch versions.
_NOT_PUBLIC_4 = tuple(
    ip_network(one)
    for one in (
        "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 "
        "192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4"
    ).split()
)
#: The global unicast addresses of IPv6, and what is not public of them: special purposes with Teredo and ORCHID,
#: documentation twice, 6to4. https://www.iana.org/assignments/iana-ipv6-special-registry
_UNICAST_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(IPv6Network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
#: IPv4 behind a translator (RFC 6052), as networks without IPv4 of their own see every host of it.
_TRANSLATED = IPv6Network("64:ff9b::/96")
#: The interface part of an ISATAP address (RFC 5214 § 6.1), before the 32 bits of IPv4; its "u" bit may be set.
_ISATAP = (0x00005EFE, 0x02005EFE)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also inside IPv6's ways of writing IPv4.

    What is not known to be public is not. Raises `ValueError` for what is no address.
    """
    host, _, zone = address.partition("%")
    ip = ip_address(host)
    if zone:  # a zone belongs to addresses of one link
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _NOT_PUBLIC_4)
    inner = _inside(ip)
    if inner is not None and not is_public(str(inner)):
        return False
    if ip.ipv4_mapped is not None or ip in _TRANSLATED:
        return True
    return ip in _UNICAST_6 and not any(ip in network for network in _NOT_PUBLIC_6)


def _inside(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a packet to `ip` would come out at."""
    value = int(ip)
    if ip.ipv4_mapped is not None or ip in _TRANSLATED or value >> 32 & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(value & 0xFFFFFFFF)
    return None


def is_private_host(host: str) -> bool:
    """Whether a URL's host leads to this machine or a private network, as far as its text tells.

    It is read as the most generous resolver would: full-width digits, dots of other scripts, octal, hexadecimal, fewer
    than four parts. A name is not looked up: that happens when a connection is made.
    """
    name = unicodedata.normalize("NFKC", host).replace("。", ".").lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return not is_public(name)
    except ValueError:
        pass
    try:  # the old forms that resolvers still read: 127.1, 0x7f000001, 2130706433
        return not is_public(str(ip_address(socket.inet_aton(name))))
    except (OSError, UnicodeError):
        return ":" in name  # an address of a kind that nobody knows (RFC 3986 § 3.2.2, IPvFuture)
