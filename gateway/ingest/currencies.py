"""Currency codes."""

from __future__ import annotations

from functools import cache


@cache
def _codes() -> frozenset[str]:
    # CLDR's list by way of babel: today's ISO 4217 codes and those of the past.
    from babel.numbers import list_currencies

    return frozenset(list_currencies())


def is_currency(code: str) -> bool:
    """Whether `code` (upper case) is an ISO 4217 code."""
    return code in _codes()
