"""What the rules of `normalize` are made of: trim, lower, take characters out. Everything comes back in NFC."""

from __future__ import annotations

import string
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MARKS: dict[int, None] = dict.fromkeys(map(ord, string.punctuation))
_COMPACT = _MARKS | dict.fromkeys((*range(33), 127))
_LETTERS = _COMPACT | dict.fromkeys(map(ord, string.digits))


def lowered(text: str) -> str:
    """Lower case in NFC."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())


def trimmed(value: str) -> str:
    """Without blanks at the ends, the invisible ones of copied text (zero-width, direction marks) included; in NFC."""
    text = value.strip()
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    start, end = 0, len(text)
    while start < end and invisible(text[start]):
        start += 1
    while end > start and invisible(text[end - 1]):
        end -= 1
    return text[start:end]


def invisible(character: str) -> bool:
    """Whether it leaves no ink: a blank, a control or a format character."""
    return character.isspace() or unicodedata.category(character)[0] in "CZ"


def words(value: str) -> list[str]:
    """Lower-case words without punctuation and symbols (Unicode categories P and S)."""
    if value.isascii():
        return [value.lower()] if value.isalnum() else value.lower().translate(_MARKS).split()
    return trimmed("".join(c for c in lowered(value) if unicodedata.category(c)[0] not in "PS")).split()


def compact(value: str) -> str:
    """Lower case without punctuation, symbols, blanks and invisible characters."""
    if value.isascii():
        return value.lower() if value.isalnum() else value.lower().translate(_COMPACT)
    return _nfc(c for c in lowered(value) if unicodedata.category(c)[0] not in "PS" and not invisible(c))


def letters(value: str) -> str:
    """As `compact`, and without decimal digits."""
    if value.isascii():
        return value.lower().translate(_LETTERS)
    return _nfc(c for c in compact(value) if unicodedata.category(c) != "Nd")


def _nfc(characters: Iterable[str]) -> str:
    # Again, because taking a mark out can bring a letter and its accent together.
    return unicodedata.normalize("NFC", "".join(characters))
