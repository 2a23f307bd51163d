"""What a call says of consent.

Categories are the words of the site's banner; the operator says which flags one stands for. Until then a category
grants nothing, but one that by its name is for advertising denies what it denies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.config import plain
from gateway.model.event import Consent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gateway.config import Segment

#: Keys of a call's `context` that say something of consent.
CONSENT = ("consent", "consentManagement")
_ADS = ("ad_storage", "ad_user_data", "ad_personalization")
#: Categories of common banners that are for advertising: what a denial of them denies.
_FOR_ADS = """
Advertising, Advertisement, Ads, Marketing, Targeting, Targeted Advertising, Behavioral Advertising, Sale of Data, C0004
"""
DENIES: Mapping[str, tuple[str, ...]] = {plain(name): _ADS for name in _FOR_ADS.split(",")}


def consent_of(context: Mapping[str, Any], segment: Segment) -> Any:
    """The event's `consent`; `None` if nothing is said. What cannot be read is given as it is, to be refused.

    https://segment.com/docs/privacy/consent-management/consent-in-segment-connect/,
    https://www.rudderstack.com/docs/data-governance/consent-management/
    """
    given, managed = context.get("consent"), context.get("consentManagement")
    for one in (given, managed, *_answers(given, managed)):
        if one is not None and not isinstance(one, dict):
            return one
    found = {key: given[key] for key in Consent.__slots__ if given.get(key) is not None} if given else {}
    said = {**_preferences((given or {}).get("categoryPreferences")), **_managed(managed or {})}
    flags: dict[str, bool] = {}
    for category, yes in said.items():
        known = segment.consent_categories.get(category)
        for flag in known if known is not None else () if yes else DENIES.get(category, ()):
            flags[flag] = flags.get(flag, True) and yes
    for flag, yes in flags.items():
        if not yes or flag not in found:
            found[flag] = "granted" if yes else "denied"
    return found or None


def _answers(given: Any, managed: Any) -> Iterator[Any]:
    """What ought to be objects or lists of texts: those that are neither, and so would hide a denial."""
    yield (given or {}).get("categoryPreferences") if isinstance(given, dict) else None
    for key in ("allowedConsentIds", "deniedConsentIds"):
        said = managed.get(key) if isinstance(managed, dict) else None
        for one in said.values() if isinstance(said, dict) else (said,):
            if one is not None and not (isinstance(one, list) and all(isinstance(name, str) for name in one)):
                yield repr(type(one))


def _preferences(given: Any) -> dict[str, bool]:
    """Segment's: category → whether it is allowed. What is not `true` is a denial."""
    found: dict[str, bool] = {}
    for name, value in given.items() if isinstance(given, dict) else ():
        found[plain(name)] = found.get(plain(name), True) and value is True
    return found


def _managed(given: Mapping[str, Any]) -> dict[str, bool]:
    """RudderStack's: ids of categories that are allowed, and of those that are denied."""
    allowed = dict.fromkeys(_ids(given.get("allowedConsentIds")), True)
    return allowed | dict.fromkeys(_ids(given.get("deniedConsentIds")), False)


def _ids(given: Any) -> Iterator[str]:
    """A list of ids, or several under the words of the banner's maker."""
    for one in given.values() if isinstance(given, dict) else (given,):
        for name in one if isinstance(one, list) else ():
            if isinstance(name, str):
                yield plain(name)
