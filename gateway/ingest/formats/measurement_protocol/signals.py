"""What a tag's request says of consent: Google's `gcs`, `gcd`, `npa`, `dma_cps`, and the IAB's strings.

Google documents none of these parameters. `gcs` and the letters of `gcd` are told alike by many public sources
(https://www.simoahava.com/analytics/consent-mode-v2-google-tags/); what is known of the rest is unconfirmed. So a grant
is read from what is well known alone, a denial from anything that may be one, and what cannot be read denies all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gateway import schema

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The order of the signals in `gcd`.
SIGNALS = ("ad_storage", "analytics_storage", "ad_user_data", "ad_personalization")
#: The letters of `gcd`: what the page had as default, and what the visitor then said.
LETTERS: Mapping[str, str | None] = {
    "l": None,  # neither
    "p": "denied",  # denied by default
    "q": "denied",  # and then denied
    "m": "denied",  # no default, denied
    "u": "denied",  # granted by default, then denied
    "r": "granted",  # denied by default, then granted
    "t": "granted",  # granted by default
    "n": "granted",  # no default, granted
    "v": "granted",  # granted by default, and then granted
}
#: Each letter is six bits: declared, default, update; in each 1 is unset, 2 denied, 3 granted. That is how the nine
#: letters above are made; of any other letter only a denial is believed.
ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"
DENIED = 2
#: The bit of the letter behind the signals that tells of Global Privacy Control.
GPC_BIT = 8

_GCS = re.compile(r"G1([01-])([01-])")
_GCD = re.compile(r"1(?:[0-9a-zA-Z_-]{2}){4}([0-9a-zA-Z_-])?[0-9a-zA-Z_-]{0,20}")
_US_PRIVACY = re.compile(r"1[YN-]{3}")

#: Parameter → key of `consent`, for consent strings that are handed on as they are.
STRINGS = {"gdpr_consent": "tcf", "addtl_consent": "additional_consent", "gpp": "gpp", "gpp_sid": "gpp_sid"}
#: Section 6 of a GPP string alone: https://github.com/InteractiveAdvertisingBureau/Global-Privacy-Platform
US_PRIVACY = "DBABTA~"


def consent(given: Mapping[str, str]) -> dict[str, Any]:
    """The event's `consent`, from the parameters of a request. A denial always stands."""
    said: dict[str, Any] = {}
    for signal, state in (*_gcs(given.get("gcs", "")), *_gcd(given.get("gcd", ""))):
        if state is not None and said.get(signal) != "denied":
            said[signal] = state
    if given.get("npa", "0") not in ("", "0"):
        said["ad_personalization"] = "denied"
    if given.get("dma_cps") == "-":  # no service of Google's has the consent
        said["ad_user_data"] = "denied"
    if _tells_gpc(given.get("gcd", "")):
        said["gpc"] = True
    said |= {key: given[name] for name, key in STRINGS.items() if given.get(name)}
    if "gpp_sid" in said and not schema.fits("consent", "gpp_sid", said["gpp_sid"]):
        del said["gpp_sid"]  # all sections count then
    if privacy := given.get("us_privacy"):
        readable = _US_PRIVACY.fullmatch(privacy)
        if "gpp" not in said:
            said["gpp"] = US_PRIVACY + privacy if readable else privacy
        elif not readable or privacy[2] == "Y":  # an opt-out that has no place in the other string
            said["gpc"] = True
    return said


def _gcs(text: str) -> list[tuple[str, str | None]]:
    if not text:
        return []
    match = _GCS.fullmatch(text)
    if match is None:
        return [("ad_storage", "denied"), ("analytics_storage", "denied")]
    words = {"1": "granted", "0": "denied", "-": None}
    return [("ad_storage", words[match[1]]), ("analytics_storage", words[match[2]])]


def _gcd(text: str) -> list[tuple[str, str | None]]:
    if not text:
        return []
    if _GCD.fullmatch(text) is None:
        return [(signal, "denied") for signal in SIGNALS]
    return [(signal, _state(text[2 + 2 * at])) for at, signal in enumerate(SIGNALS)]


def _state(letter: str) -> str | None:
    if letter in LETTERS:
        return LETTERS[letter]
    bits = ALPHABET.index(letter)
    fields = (bits >> 4 & 3, bits >> 2 & 3, bits & 3)
    return "denied" if DENIED in fields or 0 in fields else None


def _tells_gpc(text: str) -> bool:
    match = _GCD.fullmatch(text)
    return match is not None and match[1] is not None and bool(ALPHABET.index(match[1]) & GPC_BIT)
