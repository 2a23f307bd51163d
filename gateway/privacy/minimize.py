"""What one destination may see of an event. Pure.

The outbox keeps an event once, with the union of what its destinations need. A `Lens` shows one destination its part:
its own digests, without the fields its operator withholds, and in limited mode only what `docs/consent.md` leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gateway.model.event import CLICK_IDS, Consent, Event
from gateway.privacy.consent import effective, may_use_click_ids
from gateway.privacy.hashing import rules_of
from gateway.privacy.scrub import scrub_url
from gateway.privacy.signals.heard import NOBODY, Vendor

if TYPE_CHECKING:
    from gateway.privacy.consent import Policy
    from gateway.privacy.withdrawal import Denial

#: What stays of the identity in limited mode: hashed e-mail and phone, and where the visitor is.
LIMITED_DIGESTS = frozenset({"email", "phone", "state", "country"})
LIMITED_CLEAR = frozenset({"state", "country"})

#: What stays of `app` and `messaging` in limited mode: which app on which system, not which device or campaign.
LIMITED_APP = frozenset(
    "id name version build package_name store os os_version advertiser_tracking_enabled application_tracking_enabled "
    "att_status".split()
)

#: Without `ad_storage` these go: the click and browser ids, and the advertising id of a phone.
_BROWSER_IDS = frozenset({*CLICK_IDS, "madid", "session_attributes"})


@dataclass(frozen=True)
class Lens:
    """One destination instance's view, prepared once."""

    #: Match key → rule.
    digests: Mapping[str, str]
    #: `(match key, key in Event.clear)`: `("city", "city:city_compact")`.
    clear: tuple[tuple[str, str], ...]
    #: Dotted canonical paths that are never sent.
    deny: frozenset[str] = frozenset()
    limited_needs_ip: bool = False
    test_mode: bool = False
    #: Who the destination is in consent strings.
    vendor: Vendor = NOBODY
    #: Keys of `Event.digests` met so far → the match key that they mean here, `None` for none.
    _labels: dict[str, str | None] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        digests: Mapping[str, str],
        clear: Mapping[str, str],
        *,
        deny: frozenset[str] = frozenset(),
        limited_needs_ip: bool = False,
        test_mode: bool = False,
        vendor: Vendor = NOBODY,
    ) -> Lens:
        """From the rules a destination declares: match key → rule."""
        return cls(
            asked_for(digests, deny),
            tuple((key, f"{key}:{rule}") for key, rule in asked_for(clear, deny).items()),
            frozenset(path for path in deny if path.partition(".")[0] in Event.__slots__),
            limited_needs_ip,
            test_mode,
            vendor,
        )

    def view(self, event: Event, platform_name: str, *, limited: bool = False, region: str | None = None) -> Event:
        """The event as this destination may have it."""
        labels = self._labels
        digests = {}
        for label, made in event.digests.items():
            key = labels[label] if label in labels else self._meaning(label)
            if key is not None:
                digests[key] = made
        clear = {key: event.clear[name] for key, name in self.clear if name in event.clear} if event.clear else {}
        user_data, url, referrer = event.user_data, event.event_source_url, event.referrer_url
        consent = effective(event.consent, region, self.vendor, event.received_at)
        app, messaging, custom_data = event.app, event.messaging, event.custom_data
        if limited:
            digests = {key: value for key, value in digests.items() if key in LIMITED_DIGESTS}
            clear = {key: value for key, value in clear.items() if key in LIMITED_CLEAR}
            user_data = self._limited(user_data, region)
            url, referrer = address_without_click_ids(url), address_without_click_ids(referrer)
            app = {key: value for key, value in app.items() if key in LIMITED_APP}
            messaging = {key: value for key, value in messaging.items() if key == "channel"}
            custom_data = without_person(custom_data)
            consent = _limited_consent(consent)
        seen = Event(
            event_name=event.event_name,
            event_id=event.event_id,
            event_time=event.event_time,
            action_source=event.action_source,
            event_source_url=url,
            referrer_url=referrer,
            user_data=user_data,
            custom_data=custom_data,
            digests=digests,
            clear=clear,
            consent=consent,
            app=app,
            messaging=messaging,
            original_event=event.original_event,
            test=event.test or self.test_mode,
            received_at=event.received_at,
            platform_name=platform_name,
            limited=limited,
            region=region,
        )
        return _withhold(seen, self.deny) if self.deny else seen

    def _meaning(self, label: str) -> str | None:
        key, rules = rules_of(label)
        found = self._labels[label] = key if self.digests.get(key) in rules else None
        return found

    def _limited(self, user_data: Mapping[str, Any], region: str | None) -> dict[str, Any]:
        ip = user_data.get("client_ip_address")
        locates = self.limited_needs_ip and region is not None and len(region) == 2
        return {"client_ip_address": ip} if ip and locates else {}


def after_withdrawal(event: Event, denial: Denial, instance: str, policy: Policy) -> Event:
    """A stored event as a destination may have it once its person has taken consent back."""
    consent = denial.over(event.consent, instance)
    if may_use_click_ids(consent, event.region, policy, event.received_at):
        return replace(event, consent=consent)
    return replace(
        event,
        consent=consent,
        user_data=without_browser_ids(event.user_data),
        event_source_url=address_without_click_ids(event.event_source_url),
        referrer_url=address_without_click_ids(event.referrer_url),
        app=without_click_ids(event.app),
        messaging=without_click_ids(event.messaging),
    )


def _limited_consent(consent: Consent) -> Consent:
    return Consent(
        ad_storage="denied",
        ad_user_data="granted",
        ad_personalization="denied",
        analytics_storage=consent.analytics_storage,
        gpc=consent.gpc,
        region=consent.region,
    )


def asked_for(rules: Mapping[str, str], deny: frozenset[str]) -> dict[str, str]:
    """Match key → rule, of those match keys that are not withheld."""
    return {key: rule for key, rule in rules.items() if not deny & {"user_data", f"user_data.{key}"}}


def _withhold(event: Event, deny: frozenset[str]) -> Event:
    """The event without the named fields; only the mappings on the way to one are copied."""
    changed: dict[str, Any] = {}
    for path in deny:
        head, _, rest = path.partition(".")
        value = changed.get(head, getattr(event, head, None))
        if not rest:
            changed[head] = {} if isinstance(value, Mapping) else None
        elif isinstance(value, Mapping):
            changed[head] = without(value, rest.split("."))
    fields = {name: getattr(event, name) for name in Event.__slots__}
    return Event(**(fields | changed))


def without(value: Any, steps: list[str]) -> Any:
    """A value without what lies at the end of these steps, in each entry of a list; what is on the way is copied."""
    if isinstance(value, list | tuple):
        return [without(entry, steps) for entry in value]
    if not isinstance(value, Mapping) or steps[0] not in value:
        return value
    if len(steps) == 1:
        return {key: entry for key, entry in value.items() if key != steps[0]}
    return {**value, steps[0]: without(value[steps[0]], steps[1:])}


def without_browser_ids(user_data: Mapping[str, Any]) -> dict[str, Any]:
    """`user_data` without click, browser and advertising ids, for a visitor whose `ad_storage` does not allow them."""
    return {key: value for key, value in user_data.items() if key not in _BROWSER_IDS}


def without_person(custom_data: Mapping[str, Any]) -> dict[str, Any]:
    """`custom_data` without what it says of the person."""
    return {key: value for key, value in custom_data.items() if key != "user_properties"}


def without_click_ids(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """`app` or `messaging` without what names a click or a campaign."""
    return {key: value for key, value in part.items() if key not in _CLICK_PARTS}


_CLICK_PARTS = frozenset({"ctwa_clid", "install_referrer", "campaign_ids", "attribution"})


def address_without_click_ids(url: str | None) -> str | None:
    """An address without the parameters that name a click."""
    return url if url is None else scrub_url(url, keep_click_ids=False)[0]
