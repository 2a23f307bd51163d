"""What the consent strings of an event say: against it for all, and for or against a vendor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.privacy.signals.additional import AdditionalConsent, read_additional
from gateway.privacy.signals.bits import Unreadable
from gateway.privacy.signals.gpp import TCF_EU, Gpp, read_gpp
from gateway.privacy.signals.tcf import NEEDS_CONSENT, TcString, read_tcf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.model.event import Consent

DAY = 86_400.0
#: A TC string is to be renewed after 13 months.
MAX_AGE_S = 396 * DAY
#: How far a clock may be ahead, time zones included.
AHEAD_S = 2 * DAY
#: Policy of version 2.2, without which a string is invalid since 30 September 2023.
MIN_POLICY = 4
#: From 1 March 2026 on a string has to name the vendors that the visitor was told of.
DISCLOSED_SINCE = 1_772_323_200.0
#: What the denial of a purpose denies of the flags, by Google's mapping:
#: https://developers.google.com/tag-platform/security/guides/implement-TCF-strings
FLAGS_OF = {
    1: frozenset({"ad_storage", "ad_user_data"}),
    3: frozenset({"ad_personalization"}),
    4: frozenset({"ad_personalization"}),
    7: frozenset({"ad_user_data"}),
}
#: What a vendor that the visitor does not allow is denied.
ALL_FLAGS = frozenset[str]().union(*FLAGS_OF.values())


@dataclass(frozen=True, slots=True)
class Heard:
    """What stands in an event's consent strings: denials for everybody, and the strings that speak of vendors."""

    #: Which string cannot be used and why, for people; empty when all can.
    unread: str = ""
    #: Flags of Consent Mode that a TC string denies.
    denied: frozenset[str] = frozenset()
    #: A section for the United States is an opt-out.
    opted_out: bool = False
    #: The visitor is known to be a child, and nobody consented.
    child: bool = False
    #: Valid ones, from `tcf` and `gpp`.
    tcf: tuple[TcString, ...] = ()
    additional: AdditionalConsent | None = None
    #: A section for the United States was heard: it says of opt-outs whether there is one.
    opt_outs: bool = False


@dataclass(frozen=True, slots=True)
class Vendor:
    """Who a destination is in consent strings. Numbers come from the configuration: the lists change."""

    #: In the Global Vendor List.
    tcf: int | None = None
    #: In Google's list of ad technology providers, for who is not in the other.
    atp: int | None = None
    #: Without either, a TC string's purposes alone count as consent.
    purposes_only: bool = False


#: A destination that no string names.
NOBODY = Vendor()


@dataclass(frozen=True, slots=True)
class Flags:
    """Flags of Consent Mode that strings grant and deny."""

    granted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()


NO_FLAGS = Flags()
NOTHING = Heard()


def hear(consent: Consent, at: float, *, needs_gpc: bool = True) -> Heard:
    """What the strings say of an event that came in at `at` (Unix seconds). Strings of a day are read once.

    `needs_gpc`: as `read_gpp` has it.
    """
    strings = (consent.tcf, consent.additional_consent, consent.gpp)
    if strings == (None, None, None):
        return NOTHING
    return _hear(*strings, consent.gpp_sid or (), int(at // DAY), needs_gpc)


def forget() -> None:
    """Read every string anew from now on."""
    _hear.cache_clear()


def say_of(heard: Heard, vendor: Vendor) -> Flags:
    """What the strings say of one vendor.

    Nothing is granted by a string that would look the same if what speaks against it had been cut off: a TC string
    without its disclosed vendors, version 1 of Additional Consent.
    """
    said = [_say_of(found, heard.additional, vendor) for found in heard.tcf]
    if not said:
        return NO_FLAGS
    denied = frozenset[str]().union(*(one.denied for one in said))
    return Flags(frozenset.intersection(*(one.granted for one in said)) - denied, denied)


def _say_of(found: TcString, additional: AdditionalConsent | None, vendor: Vendor) -> Flags:
    forbidden: set[int] = set()
    grants = vendor.purposes_only
    if vendor.tcf is not None:
        if vendor.tcf not in found.vendors or (found.disclosed is not None and vendor.tcf not in found.disclosed):
            return Flags(denied=ALL_FLAGS)
        grants = found.disclosed is not None
        forbidden = {
            one.purpose for one in found.restrictions if one.kind != NEEDS_CONSENT and vendor.tcf in one.vendors
        }
    elif vendor.atp is not None and additional is not None:
        if vendor.atp not in additional.consented:
            return Flags(denied=ALL_FLAGS)
        grants = additional.version > 1
    denied = _flags(purpose for purpose in FLAGS_OF if purpose in forbidden)
    if not grants:
        return Flags(denied=denied)
    return Flags(ALL_FLAGS - denied - _flags(purpose for purpose in FLAGS_OF if purpose not in found.purposes), denied)


@lru_cache(maxsize=1_024)
def _hear(
    tcf: str | None, additional: str | None, gpp: str | None, sections: tuple[int, ...], day: int, needs_gpc: bool
) -> Heard:
    heard = NOTHING
    readers: tuple[tuple[str, str | None, Callable[[str], Heard]], ...] = (
        ("tcf", tcf, lambda text: _of_tcf(read_tcf(text), day)),
        ("additional_consent", additional, lambda text: Heard(additional=read_additional(text))),
        ("gpp", gpp, lambda text: _of_gpp(read_gpp(text, needs_gpc=needs_gpc), sections, day)),
    )
    for name, text, read in readers:
        if text is None:
            continue
        try:
            one = read(text)
        except Unreadable as error:
            return Heard(unread=f"`{name}` cannot be used: {error}")
        heard = Heard(
            "",
            heard.denied | one.denied,
            heard.opted_out or one.opted_out,
            heard.child or one.child,
            (*heard.tcf, *one.tcf),
            heard.additional or one.additional,
            heard.opt_outs or one.opt_outs,
        )
    if heard.additional is not None and not heard.tcf:
        return Heard(unread="`additional_consent` cannot be used: it counts only beside a TC string")
    return heard


def _of_tcf(found: TcString, day: int) -> Heard:
    now = (day + 1) * DAY
    if not found.created_at <= found.updated_at <= now + AHEAD_S:
        raise Unreadable("it is from the future, or changed before it was made")
    if found.updated_at < now - DAY - MAX_AGE_S:
        raise Unreadable("it is older than 13 months")
    if found.policy < MIN_POLICY:
        raise Unreadable("its policy is older than version 2.2")
    if not found.service_specific:
        raise Unreadable("it is of a group of sites, which is no longer valid")
    if found.created_at >= DISCLOSED_SINCE and found.disclosed is None:
        raise Unreadable("it names no disclosed vendors")
    return Heard(denied=_flags(purpose for purpose in FLAGS_OF if purpose not in found.purposes), tcf=(found,))


def _flags(purposes: Iterable[int]) -> frozenset[str]:
    return frozenset().union(*(FLAGS_OF[purpose] for purpose in purposes))


def _of_gpp(found: Gpp, sections: tuple[int, ...], day: int) -> Heard:
    """Of the sections that apply; of all when nobody says which do, so that no denial is missed."""
    apply = {section for section in sections if section > 0}
    there = found.us.keys() | found.unknown | ({TCF_EU} if found.tcf is not None else set())
    if not apply <= there:
        raise Unreadable("`gpp_sid` names a section that is not in it")
    apply = apply or set(there)
    if apply & found.unknown:
        raise Unreadable("a section that this version does not read")
    heard = _of_tcf(found.tcf, day) if found.tcf is not None and TCF_EU in apply else NOTHING
    us = [section for number, section in found.us.items() if number in apply]
    return Heard(
        denied=heard.denied,
        opted_out=any(one.opted_out for one in us),
        child=any(one.child for one in us),
        tcf=heard.tcf,
        opt_outs=bool(us),
    )
