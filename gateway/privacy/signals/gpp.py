"""The IAB's Global Privacy Platform string: its header, the sections of the United States, and a TC string inside.

Source: InteractiveAdvertisingBureau/Global-Privacy-Platform, "Consent String Specification" and "Section Information";
the order of the fields as in the reference encoder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.privacy.signals.bits import Bits, Unreadable
from gateway.privacy.signals.tcf import TcString, read_tcf

#: Sections that are read, by number.
TCF_EU, USP = 2, 6
#: What a field of two bits says of a sale, of sharing, of targeted advertising: opted out. 3 says nothing.
_OPTED_OUT, _UNDEFINED = 1, 3
#: What it says of a child's data: no consent.
_NO_CONSENT = 1
_USP = re.compile(r"1[YN-][YN-][YN-]")
#: Numbers of sections that a header may name, and the highest of them: no more are defined by far.
_SECTIONS, _HIGHEST = 50, 1_000


@dataclass(frozen=True, slots=True)
class _Layout:
    """A section's core, behind its version: how many fields of two bits of each kind, in their order."""

    version: int
    notices: int
    opt_outs: int
    sensitive: int
    children: int
    rest: int
    #: Whether a subsection tells of Global Privacy Control.
    gpc: bool = True
    #: How many fields of two bits a subsection about sensitive data, which may be there, has behind its first bit.
    sensitive_apart: int | None = None


def _state(sensitive: int, children: int, rest: int = 4, *, gpc: bool = True) -> tuple[_Layout, ...]:
    return (_Layout(version=1, notices=3, opt_outs=2, sensitive=sensitive, children=children, rest=rest, gpc=gpc),)


def _state_of_late() -> tuple[_Layout, ...]:
    layout = _Layout(version=1, notices=5, opt_outs=2, sensitive=0, children=1, rest=1, gpc=False, sensitive_apart=8)
    return (layout,)


#: Section → the versions of it that are read.
LAYOUTS: Mapping[int, tuple[_Layout, ...]] = {
    7: (
        _Layout(version=2, notices=6, opt_outs=3, sensitive=16, children=3, rest=4),
        _Layout(version=1, notices=6, opt_outs=3, sensitive=12, children=2, rest=4),
    ),
    8: (_Layout(version=1, notices=3, opt_outs=2, sensitive=9, children=2, rest=4),),
    9: _state(8, 1, 3, gpc=False),
    10: _state(7, 1, 3),
    11: (_Layout(version=1, notices=4, opt_outs=2, sensitive=8, children=1, rest=3, gpc=False),),
    12: _state(8, 3, 3),
    13: _state(8, 3, gpc=False),
    14: _state(8, 3),
    15: _state(11, 3),
    16: _state(8, 1),
    17: _state(9, 5),
    18: (_Layout(version=1, notices=4, opt_outs=2, sensitive=8, children=1, rest=3),),
    19: _state(8, 1),
    20: _state(8, 3),
    21: _state(10, 5),
    22: _state(8, 1),
    23: _state(8, 1),
    # the two fields before the notices are about the publisher's contract
    24: (_Layout(version=1, notices=5, opt_outs=2, sensitive=0, children=0, rest=1),),
    25: _state_of_late(),
    26: _state_of_late(),
    27: _state_of_late(),
}


@dataclass(frozen=True, slots=True)
class UsSection:
    """What a section for the United States says."""

    #: Of a sale, of sharing or of targeted advertising, or by Global Privacy Control.
    opted_out: bool
    #: The visitor is known to be a child, and nobody consented.
    child: bool


@dataclass(frozen=True, slots=True)
class Gpp:
    """What a GPP string says, by section."""

    us: Mapping[int, UsSection]
    tcf: TcString | None
    #: Sections that this version does not read: what they say may be a denial.
    unknown: frozenset[int]


def read_gpp(text: str, *, needs_gpc: bool = True) -> Gpp:
    """Read a GPP string of version 1. Raises `Unreadable`, also for a section that it should be able to read.

    `needs_gpc`: a section that can tell of Global Privacy Control must: without that part, it may have been cut off.
    """
    header, *bodies = text.split("~")
    numbers = _header(Bits(header))
    if len(numbers) != len(bodies):
        raise Unreadable("its header names other sections than there are")
    us: dict[int, UsSection] = {}
    tcf, unknown = None, []
    for number, body in zip(numbers, bodies, strict=True):
        if number == TCF_EU:
            tcf = read_tcf(body)
        elif number == USP:
            us[number] = _usp(body)
        elif number in LAYOUTS:
            us[number] = _us(body, LAYOUTS[number], needs_gpc=needs_gpc)
        else:
            unknown.append(number)
    return Gpp(us, tcf, frozenset(unknown))


def _header(bits: Bits) -> list[int]:
    if (bits.number(6), bits.number(6)) != (3, 1):
        raise Unreadable("not version 1 of GPP")
    found: list[int] = []
    last = 0
    for _ in range(bits.number(12)):
        is_group = bits.flag()
        first = last + bits.fibonacci()
        last = first + bits.fibonacci() if is_group else first
        if last > _HIGHEST or len(found) + last - first >= _SECTIONS:
            raise Unreadable("sections that nobody has defined")
        found.extend(range(first, last + 1))
    return found


def _usp(text: str) -> UsSection:
    if _USP.fullmatch(text) is None:
        raise Unreadable("not a US Privacy string of version 1")
    return UsSection(opted_out=text[2] == "Y", child=False)


def _us(text: str, layouts: tuple[_Layout, ...], *, needs_gpc: bool) -> UsSection:
    core, *others = text.split(".")
    bits = Bits(core)
    version = bits.number(6)
    layout = next((one for one in layouts if one.version == version), None)
    if layout is None:
        raise Unreadable("a section of an unknown version")
    bits.numbers(layout.notices, 2)
    opt_outs = bits.numbers(layout.opt_outs, 2)
    bits.numbers(layout.sensitive, 2)
    children = bits.numbers(layout.children, 2)
    bits.numbers(layout.rest, 2)
    if _UNDEFINED in opt_outs:
        raise Unreadable("an opt-out that is neither given nor not")
    return UsSection(_gpc(others, layout, needs_gpc=needs_gpc) or _OPTED_OUT in opt_outs, _NO_CONSENT in children)


def _gpc(segments: list[str], layout: _Layout, *, needs_gpc: bool) -> bool:
    if layout.sensitive_apart is not None and len(segments) == 1:
        bits = Bits(segments[0])
        bits.flag()
        bits.numbers(layout.sensitive_apart, 2)
        return False
    if not segments and not (layout.gpc and needs_gpc):
        return False
    if len(segments) != layout.gpc:
        raise Unreadable("not the subsections that it should have")
    bits = Bits(segments[0])
    if bits.number(2) != 1:
        raise Unreadable("a subsection of an unknown type")
    return bits.flag()
