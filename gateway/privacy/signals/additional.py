"""Google's Additional Consent: which ad technology providers, beyond the IAB's vendors, the visitor allows.

Source: support.google.com/admanager/answer/9681920.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.privacy.signals.bits import Unreadable

_IDS = r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})*)?"
_V1 = re.compile(rf"1~({_IDS})")
_V2 = re.compile(rf"2~({_IDS})~dv\.({_IDS})")


@dataclass(frozen=True, slots=True)
class AdditionalConsent:
    """Numbers of Google's list of ad technology providers."""

    version: int
    consented: frozenset[int]
    #: Named to the visitor, who did not consent; empty in version 1, which does not tell.
    disclosed: frozenset[int] = frozenset()


def read_additional(text: str) -> AdditionalConsent:
    """Read version 1 or 2. Raises `Unreadable`, also when a provider is both consented to and not."""
    if found := _V1.fullmatch(text):
        return AdditionalConsent(1, _numbers(found[1]))
    if (found := _V2.fullmatch(text)) is None:
        raise Unreadable("neither version 1 nor version 2")
    consented, disclosed = _numbers(found[1]), _numbers(found[2])
    if consented & disclosed:
        raise Unreadable("a provider is consented to and is not")
    return AdditionalConsent(2, consented, disclosed)


def _numbers(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split("."))) if text else frozenset()
