"""Consent strings, written bit by bit from the specifications; shares no code with what reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def text(bits: str) -> str:
    """Bits as base64url, filled up to whole bytes and then to whole characters, as the reference encoders do."""
    bits += "0" * (-len(bits) % 24)
    return "".join(ALPHABET[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6))


def number(value: int, bits: int) -> str:
    return f"{value:0{bits}b}"


def field(members: Sequence[int], length: int) -> str:
    return "".join("1" if place in members else "0" for place in range(1, length + 1))


def ranges(pairs: Sequence[tuple[int, int]]) -> str:
    found = number(len(pairs), 12)
    for first, last in pairs:
        found += f"0{number(first, 16)}" if first == last else f"1{number(first, 16)}{number(last, 16)}"
    return found


def vendors(members: Sequence[int], *, as_ranges: bool = False) -> str:
    highest = max(members, default=0)
    head = number(highest, 16)
    return head + (
        "1" + ranges([(one, one) for one in sorted(members)]) if as_ranges else "0" + field(members, highest)
    )


def tc_string(
    purposes: Sequence[int] = range(1, 12),
    *,
    vendor: Sequence[int] = (),
    disclosed: Sequence[int] | None = (),
    at: float = 1_790_000_000.0,
    created: float | None = None,
    policy: int = 4,
    service_specific: bool = True,
    version: int = 2,
    as_ranges: bool = False,
    restrictions: Sequence[tuple[int, int, Sequence[tuple[int, int]]]] = (),
) -> str:
    """`at`: when it was last changed; `restrictions`: purpose, kind, ranges of vendors."""
    core = number(version, 6)
    core += number(round((at if created is None else created) * 10), 36) + number(round(at * 10), 36)
    core += number(300, 12) + number(1, 12) + number(1, 6) + number(4, 6) + number(13, 6)  # EN
    core += number(45, 12) + number(policy, 6) + str(int(service_specific)) + "0"
    core += "0" * 12 + field(purposes, 24) + "0" * 24 + "0" + number(3, 6) + number(4, 6)  # DE
    core += vendors(vendor, as_ranges=as_ranges) + vendors([])
    core += number(len(restrictions), 12)
    for purpose, kind, pairs in restrictions:
        core += number(purpose, 6) + number(kind, 2) + ranges(pairs)
    segments = [text(core)]
    if disclosed is not None:
        segments.append(text("001" + vendors(disclosed, as_ranges=as_ranges)))
    return ".".join(segments)


def fibonacci(value: int) -> str:
    terms = [1, 2]
    while terms[-1] <= value:
        terms.append(terms[-1] + terms[-2])
    bits, begun = "", False
    for term in reversed(terms):
        if term <= value:
            value -= term
            begun = True
            bits = "1" + bits
        elif begun:
            bits = "0" + bits
    return bits + "1"


def header(sections: Sequence[int]) -> str:
    """Each section by itself, none as a part of a group."""
    bits, last = "000011" + "000001" + number(len(sections), 12), 0
    for one in sections:
        bits += "0" + fibonacci(one - last)
        last = one
    return unpadded(bits)


def unpadded(bits: str) -> str:
    """Bits as base64url, filled up to whole characters alone."""
    bits += "0" * (-len(bits) % 6)
    return "".join(ALPHABET[int(bits[at : at + 6], 2)] for at in range(0, len(bits), 6))


#: Section → version, and how many fields of two bits: notices, opt-outs, sensitive data, children, the rest; whether a
#: subsection tells of Global Privacy Control.
US = {
    7: (2, 6, 3, 16, 3, 4, True), 8: (1, 3, 2, 9, 2, 4, True), 9: (1, 3, 2, 8, 1, 3, False),
    10: (1, 3, 2, 7, 1, 3, True), 11: (1, 4, 2, 8, 1, 3, False), 12: (1, 3, 2, 8, 3, 3, True),
    13: (1, 3, 2, 8, 3, 4, False), 14: (1, 3, 2, 8, 3, 4, True), 15: (1, 3, 2, 11, 3, 4, True),
    16: (1, 3, 2, 8, 1, 4, True), 17: (1, 3, 2, 9, 5, 4, True), 18: (1, 4, 2, 8, 1, 3, True),
    19: (1, 3, 2, 8, 1, 4, True), 20: (1, 3, 2, 8, 3, 4, True), 21: (1, 3, 2, 10, 5, 4, True),
    22: (1, 3, 2, 8, 1, 4, True), 23: (1, 3, 2, 8, 1, 4, True), 24: (1, 5, 2, 0, 0, 1, True),
    25: (1, 5, 2, 0, 1, 1, False), 26: (1, 5, 2, 0, 1, 1, False), 27: (1, 5, 2, 0, 1, 1, False),
}  # fmt: skip


def us(section: int, opt_outs: Sequence[int], *, child: int = 0, gpc: bool | None = False) -> str:
    """A section for the United States; `gpc`: `None` leaves its subsection out."""
    version, notices, count, sensitive, children, rest, has_gpc = US[section]
    assert len(opt_outs) == count
    bits = number(version, 6) + "01" * notices + "".join(number(one, 2) for one in opt_outs)
    bits += "00" * sensitive + number(child, 2) * children + "01" * rest
    core = text(bits)
    return core if gpc is None or not has_gpc else f"{core}.{text('01' + str(int(gpc)))[:2]}"


def gpp(sections: dict[int, str]) -> str:
    return "~".join([header(sorted(sections)), *(sections[one] for one in sorted(sections))])
