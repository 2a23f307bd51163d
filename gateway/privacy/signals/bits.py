"""Texts of six bits a character, as the IAB's strings are made of, read bit by bit."""

from __future__ import annotations

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BINARY = str.maketrans({character: f"{value:06b}" for value, character in enumerate(_ALPHABET)})
_KNOWN = frozenset(_ALPHABET)


class Unreadable(ValueError):
    """A consent string that cannot be read, or contradicts itself. Its words name no part of the string."""


class Bits:
    """The bits of a base64url text without padding. Each read begins where the last one ended."""

    def __init__(self, text: str) -> None:
        """Raises `Unreadable` for an empty text and for characters that are not of the alphabet."""
        if not text or not _KNOWN.issuperset(text):
            raise Unreadable("not base64url" if text else "empty")
        self._bits = text.translate(_BINARY)
        self._at = 0

    def take(self, count: int) -> str:
        """So many bits as zeros and ones. Raises `Unreadable` when there are not so many left."""
        end = self._at + count
        if end > len(self._bits):
            raise Unreadable("it ends too soon")
        taken, self._at = self._bits[self._at : end], end
        return taken

    def number(self, bits: int) -> int:
        """An unsigned number, its highest bit first."""
        return int(self.take(bits), 2)

    def flag(self) -> bool:
        """One bit."""
        return self.take(1) == "1"

    def numbers(self, count: int, bits: int) -> tuple[int, ...]:
        """So many numbers of the same width."""
        return tuple(self.number(bits) for _ in range(count))

    def fibonacci(self) -> int:
        """A Fibonacci-coded number from 1 on, which ends at the first two ones in a row."""
        value, low, high, last = 0, 1, 2, False
        while not ((bit := self.flag()) and last):
            value += low if bit else 0
            low, high, last = high, low + high, bit
        return value
