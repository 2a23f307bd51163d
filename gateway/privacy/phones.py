"""Telephone numbers as people write them, as E.164."""

from __future__ import annotations

import re
import unicodedata

import phonenumbers
from phonenumbers import NumberParseException, ValidationResult

#: E.164 allows 15 digits; fewer than 7 cannot hold a country code and a subscriber.
DIGITS = range(7, 16)

#: E.164 that needs no look at the numbering plans (which costs 13–24 µs): all digits, the right length for the North
#: American plan, and no zero straight after the country code, where it could be a national trunk prefix.
_PLAIN = re.compile(
    r"\+(?:1[2-9]\d{9}"
    r"|(?!(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|7|8[1246]|9[0-58]|\d{3})0)[2-9]\d{6,14})",
    re.ASCII,
)
#: Separators that carry no meaning: `(0)20`, `555.0100`, `030/1234`.
_SEPARATORS = frozenset("()./")


def e164(value: str, country: str | None) -> str | None:
    """The number as `+` and digits, `None` if it cannot be known.

    `country`: ISO alpha-2 in upper case, for numbers without their country's code. Nothing is ever guessed: a
    national number without a country is `None`, and so is one with letters or an extension.
    """
    if _PLAIN.fullmatch(value):
        return value
    digits = _dialled(value)
    if digits is None:
        return None
    if digits.startswith("+"):
        return _international(digits)
    if country is not None:
        number = _national(digits, country)
        if number is not None:
            return number
    return _international("+" + digits.lstrip("0")) if digits.startswith("00") else None


def needs_country(value: str) -> bool:
    """Whether this is a number that only lacks a country."""
    digits = _dialled(value)
    return digits is not None and 4 <= len(digits) < DIGITS.stop and not digits.startswith(("+", "00"))


def _dialled(value: str) -> str | None:
    """Digits, with a `+` in front if there was one; `None` if anything else is in it."""
    if len(value) > 64:
        return None
    out: list[str] = []
    for character in value:
        if character.isdecimal():
            out.append(str(unicodedata.decimal(character)))
        elif character in "+＋":
            if out:
                return None
            out.append("+")
        elif not (character in _SEPARATORS or character.isspace() or unicodedata.category(character) in ("Pd", "Cf")):
            return None
    return "".join(out) or None


def _international(digits: str) -> str | None:
    if _PLAIN.fullmatch(digits):
        return digits
    number = _parse(digits, None)
    return _format(number) if number is not None and _possible(number) else None


def _national(digits: str, country: str) -> str | None:
    """A number as dialled in `country`, or with the country's own code but without the `+`."""
    code = str(phonenumbers.country_code_for_region(country))
    trunk = phonenumbers.ndd_prefix_for_region(country, True)
    if trunk and digits.startswith(code) and not digits.startswith(trunk):
        # `4917…` in Germany: people leave the plus out far more often than the trunk zero.
        number = _parse("+" + digits, None)
        if number is not None and phonenumbers.is_valid_number(number):
            return _format(number)
    number = _parse(digits, country)
    if number is None or not _possible(number):
        return None
    return _format(number)


def _parse(digits: str, country: str | None) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(digits, country)
    except NumberParseException:
        return None


def _possible(number: phonenumbers.PhoneNumber) -> bool:
    # By length, not by assigned ranges: those are newer than any list of them. Local-only numbers are not possible.
    return bool(phonenumbers.is_possible_number_with_reason(number) == ValidationResult.IS_POSSIBLE)


def _format(number: phonenumbers.PhoneNumber) -> str | None:
    text: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return text if len(text) - 1 in DIGITS else None
