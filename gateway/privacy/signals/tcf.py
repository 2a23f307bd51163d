"""The IAB's Transparency and Consent string, versions 2.0 to 2.3.

Source: InteractiveAdvertisingBureau/GDPR-Transparency-and-Consent-Framework, "Consent string and vendor list formats
v2".
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.privacy.signals.bits import Bits, Unreadable

#: Deciseconds a second.
_DECI = 10
#: Bits: purposes, special features, ids of vendors, entries of a list.
_PURPOSES, _FEATURES, _VENDOR, _COUNT = 24, 12, 16, 12
#: Ranges in one list, which would be a field of bits if it needed more; restrictions: one for each purpose and kind.
_RANGES, _RESTRICTIONS = 1_000, 24 * 3
#: Segments behind the core, by their type.
_DISCLOSED, _ALLOWED, _PUBLISHER = 1, 2, 3
#: Kinds of publisher restrictions; 3 is not defined.
FORBIDDEN, NEEDS_CONSENT, NEEDS_INTEREST = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of the Global Vendor List, or of purposes: a field of bits, from 1 on, or ranges."""

    field: str = ""
    #: First and last of each, ascending or not; they may overlap.
    ranges: tuple[tuple[int, int], ...] = ()

    def __contains__(self, number: int) -> bool:
        if 1 <= number <= len(self.field):
            return self.field[number - 1] == "1"
        return any(first <= number <= last for first, last in self.ranges)


@dataclass(frozen=True, slots=True)
class Restriction:
    """What the publisher forbids some vendors for a purpose, or on which legal basis alone it lets them."""

    purpose: int
    #: `FORBIDDEN`, `NEEDS_CONSENT` or `NEEDS_INTEREST`.
    kind: int
    vendors: Numbers


@dataclass(frozen=True, slots=True)
class TcString:
    """What a TC string says."""

    #: Unix seconds, a whole day by the present rules.
    created_at: float
    updated_at: float
    #: The consent management platform that made it.
    cmp_id: int
    vendor_list: int
    policy: int
    #: Of this site alone; the other kind is no longer valid.
    service_specific: bool
    #: Purposes that the visitor consents to, and that vendors may claim a legitimate interest for.
    purposes: Numbers
    interests: Numbers
    #: Purpose 1 was not asked for, by the law of the publisher's country.
    purpose_one_not_asked: bool
    #: Two letters.
    publisher_country: str
    vendors: Numbers
    vendor_interests: Numbers
    restrictions: tuple[Restriction, ...] = ()
    #: Numbers that were named to the visitor; `None` when the string does not tell.
    disclosed: Numbers | None = None


def read_tcf(text: str) -> TcString:
    """Read a TC string of version 2. Raises `Unreadable`.

    Whether what it says is valid (its age, its policy, what must be disclosed) is the gate's to ask.
    """
    core, *others = text.split(".")
    disclosed = None
    seen = set()
    for segment in others:
        bits = Bits(segment)
        kind = bits.number(3)
        if kind not in (_DISCLOSED, _ALLOWED, _PUBLISHER) or kind in seen:
            raise Unreadable("a segment of an unknown type, or two of one")
        seen.add(kind)
        if kind == _DISCLOSED:
            disclosed = _vendors(bits)
    return _core(Bits(core), disclosed)


def cmp_of(text: str | None) -> int | None:
    """The id of the platform that made a TC string, also of one that cannot be used; `None` when it cannot be told."""
    try:
        bits = Bits((text or "").partition(".")[0])
        if bits.number(6) != 2:
            return None
        bits.number(36 + 36)
        return bits.number(12)
    except Unreadable:
        return None


def _core(bits: Bits, disclosed: Numbers | None) -> TcString:
    if bits.number(6) != 2:
        raise Unreadable("not version 2")
    created, updated = bits.number(36), bits.number(36)
    cmp_id = bits.number(12)
    bits.number(12 + 6 + 12)  # the platform's version, its screen, its language
    vendor_list, policy = bits.number(12), bits.number(6)
    service_specific = bits.flag()
    bits.number(1 + _FEATURES)  # whether its texts are not the standard ones; special features
    purposes, interests = Numbers(bits.take(_PURPOSES)), Numbers(bits.take(_PURPOSES))
    purpose_one_not_asked = bits.flag()
    country = "".join(chr(ord("A") + letter) for letter in bits.numbers(2, 6))
    vendors, vendor_interests = _vendors(bits), _vendors(bits)
    restrictions = tuple(
        Restriction(bits.number(6), _kind(bits), _ranges(bits)) for _ in range(_few(bits.number(_COUNT), _RESTRICTIONS))
    )
    return TcString(
        created_at=created / _DECI,
        updated_at=updated / _DECI,
        cmp_id=cmp_id,
        vendor_list=vendor_list,
        policy=policy,
        service_specific=service_specific,
        purposes=purposes,
        interests=interests,
        purpose_one_not_asked=purpose_one_not_asked,
        publisher_country=country,
        vendors=vendors,
        vendor_interests=vendor_interests,
        restrictions=restrictions,
        disclosed=disclosed,
    )


def _vendors(bits: Bits) -> Numbers:
    highest = bits.number(_VENDOR)
    return _ranges(bits) if bits.flag() else Numbers(bits.take(highest))


def _ranges(bits: Bits) -> Numbers:
    found = []
    for _ in range(_few(bits.number(_COUNT), _RANGES)):
        is_range = bits.flag()
        first = bits.number(_VENDOR)
        last = bits.number(_VENDOR) if is_range else first
        if not 1 <= first <= last:
            raise Unreadable("a range that ends before it begins")
        found.append((first, last))
    return Numbers(ranges=tuple(found))


def _few(count: int, most: int) -> int:
    if count > most:
        raise Unreadable("more ranges or restrictions than there can be")
    return count


def _kind(bits: Bits) -> int:
    kind = bits.number(2)
    if kind not in (FORBIDDEN, NEEDS_CONSENT, NEEDS_INTEREST):
        raise Unreadable("a restriction of an unknown kind")
    return kind
