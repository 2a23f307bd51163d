"""The canonical event as a value: what a door produces, the outbox keeps and a plugin maps.

The single definition of names and types is `schemas/event.v1.schema.json`; these classes only give that shape to code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

#: The canonical names. Any other name is a custom event.
STANDARD_NAMES = frozenset(
    "PageView ViewContent ViewCategory Search AddToCart RemoveFromCart ViewCart AddToWishlist InitiateCheckout "
    "AddPaymentInfo AddShippingInfo Purchase Refund Lead QualifiedLead ConvertedLead DisqualifiedLead "
    "CompleteRegistration Login Contact CustomizeProduct Donate FindLocation Schedule StartTrial SubmitApplication "
    "Subscribe Share Download WatchVideo AppInstall AppOpen AdClick AdView".split()
)

#: Keys of `user_data` that are hashed at the door and never kept as they came.
MATCH_KEYS = (
    "email",
    "phone",
    "external_id",
    "first_name",
    "last_name",
    "gender",
    "date_of_birth",
    "street",
    "city",
    "state",
    "zip",
    "country",
)

#: Keys of `user_data` that identify a click or a browser on some platform. They need `ad_storage`.
CLICK_IDS = (
    "fbp",
    "fbc",
    "fbclid",
    "ttp",
    "ttclid",
    "gclid",
    "gbraid",
    "wbraid",
    "dclid",
    "gad_source",
    "gad_campaignid",
    "impression_id",
    "match_id",
    "ga_client_id",
    "ga_session_id",
    "ga_app_instance_id",
    "epik",
    "pin_unauth",
    "sc_click_id",
    "sc_cookie1",
    "rdt_cid",
    "rdt_uuid",
    "li_fat_id",
    "msclkid",
    "uetvid",
    "twclid",
)


@dataclass(frozen=True, slots=True)
class Consent:
    """What the visitor allowed, as the site reported it. `None` means that the signal was not given."""

    #: `granted` or `denied`: ad cookies and click ids may be read and sent.
    ad_storage: str | None = None
    #: `granted` or `denied`: user data may go to an ad platform.
    ad_user_data: str | None = None
    #: `granted` or `denied`: remarketing and personalised ads.
    ad_personalization: str | None = None
    #: `granted` or `denied`: analytics cookies.
    analytics_storage: str | None = None
    #: IAB TCF string.
    tcf: str | None = None
    #: Google Additional Consent string.
    additional_consent: str | None = None
    #: IAB GPP string.
    gpp: str | None = None
    #: GPP sections that apply.
    gpp_sid: tuple[int, ...] | None = None
    #: Global Privacy Control; `True` is an opt-out.
    gpc: bool | None = None
    #: ISO 3166-1 or 3166-2 in upper case: `DE`, `US-CA`.
    region: str | None = None


@dataclass(frozen=True, slots=True)
class Joined:
    """Where a field comes from that the sender did not give: a visit of the same person, or the event's other copy."""

    #: What the visit was found by: `order_id`, `cart_token`, `anonymous_id`, `external_id`, `email`, or `order`, the
    #: order's own consent; `copy` of what the event's other copy told.
    by: str
    #: When it was told, Unix seconds.
    at: float
    #: The source through which it did.
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One canonical event, past the door: normalised, scrubbed and hashed.

    The outbox keeps it with `digests` and `clear` by *rule*; a plugin sees a view of it, in which both are by *match
    key* and which holds only what its destination may have (see `gateway.privacy.minimize`). All mappings are
    read-only by agreement.
    """

    event_name: str
    event_id: str
    #: When it happened: Unix seconds, UTC; a float only if the sender gave a fraction.
    event_time: float
    action_source: str = "website"
    event_source_url: str | None = None
    referrer_url: str | None = None
    #: Identifiers that are not match keys: click ids, IP address, user agent, platform ids. Schema: `user_data`.
    user_data: Mapping[str, Any] = field(default_factory=dict)
    #: Commerce part. Money is a number, `currency` upper case, ids are strings.
    custom_data: Mapping[str, Any] = field(default_factory=dict)
    #: SHA-256 hex digests, lower case. Stored by rule (`email_plain`); in a plugin's view by match key (`email`).
    digests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: Normalised city, state, zip, country for platforms that want them unhashed. Keyed as `digests`.
    clear: Mapping[str, str] = field(default_factory=dict)
    consent: Consent = Consent()
    app: Mapping[str, Any] = field(default_factory=dict)
    messaging: Mapping[str, Any] = field(default_factory=dict)
    original_event: Mapping[str, Any] = field(default_factory=dict)
    #: The event's own routing: destination → whether it may have it, `*` for all that are not named.
    destinations: Mapping[str, bool] = field(default_factory=dict)
    #: Dotted path → where it comes from, of what joined it from a visit. No plugin sees it.
    joined: Mapping[str, Joined] = field(default_factory=dict)
    #: To be sent in the platform's test mode only.
    test: bool = False
    #: When the gateway took it: Unix seconds, UTC.
    received_at: float = 0.0
    #: In a plugin's view: the destination's own name for this event (its `names`, or `events` in gateway.toml).
    platform_name: str = ""
    #: In a plugin's view: the visitor opted out and the platform's limited mode is to be used.
    limited: bool = False
    #: In a plugin's view: the region that the consent decision used (`US-CA`), `None` when unknown.
    region: str | None = None

    def routed_to(self, instance: str) -> bool:
        """Whether the event's own routing leaves this destination in."""
        return self.destinations.get(instance, self.destinations.get("*", True))
