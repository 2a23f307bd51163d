"""gateway.toml as frozen values. Durations are seconds, sizes bytes; every default is already filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, TypeAlias

from gateway.config.cookies import BrowserCookies
from gateway.config.segment import Segment
from gateway.plugin.destination import Destination, FollowUp, Retry
from gateway.privacy.consent import SHIPPED_REGIONS, Policy, RegionRule, Requirement
from gateway.privacy.sealing import NO_KEYS, Keyring
from gateway.privacy.signals.heard import NOBODY, Vendor

Network: TypeAlias = IPv4Network | IPv6Network

#: What stands for a secret wherever settings are printed.
REDACTED = "***"


class Secrets(Mapping[str, Any]):
    """An instance's secret keys. Reads like a mapping, prints without its values."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`[server]`: where it listens and how much it takes."""

    host: str = "127.0.0.1"
    port: int = 8080
    #: Processes that take events.
    workers: int = 1
    #: Proxies whose `X-Forwarded-For` is believed.
    trusted_proxies: tuple[Network, ...] = ()
    #: Bytes of one request body, before and after decompression.
    max_body_bytes: int = 5_000_000
    #: Events in one request.
    max_events: int = 1000
    #: What opens `/admin/api/`; several while one is replaced by the next; empty: it is not there.
    admin_tokens: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """`[outbox]`: where events are kept and how long."""

    #: As in the file.
    url: str
    #: The SQLite file, absolute.
    path: Path
    #: How long ids, names, times and states are kept.
    retention_s: float = 30 * 86400.0
    #: How long after an event a copy of it is a duplicate.
    dedup_window_s: float = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """`[privacy]`: what is kept of people, and how long."""

    #: How long after its acceptance the payload of an event is kept, and longer while a delivery of it waits.
    payload_retention_s: float = 7 * 86400.0
    #: How long after receipt IP address, user agent and places in the clear are kept; `None`: until the last
    #: delivery is final.
    ip_retention_s: float | None = None
    #: The only query parameters that stay in URLs; `None`: all but those that hold personal data.
    url_parameters: tuple[str, ...] | None = None
    #: `remove` or `refuse`: what becomes of personal data where it does not belong.
    misplaced: str = "remove"
    #: What stored payloads are encrypted with.
    keyring: Keyring = NO_KEYS
    #: Digests are made by every known rule, not only by those that a configured destination needs.
    all_digest_rules: bool = False
    #: How long what a visit told is remembered, to join later events of the same person.
    visit_retention_s: float = 7 * 86400.0
    #: How long decisions are kept in the consent ledger.
    ledger_retention_s: float = 730 * 86400.0
    #: Where the ledger's head is written down; `None`: nowhere.
    ledger_anchor: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """`[sources.NAME]`: who may post events, and what is assumed about them."""

    name: str
    #: Secret keys, for the server doors.
    write_keys: tuple[str, ...] = field(default=(), repr=False)
    #: Keys that stand in web pages, for the browser doors.
    public_keys: tuple[str, ...] = field(default=(), repr=False)
    #: Web origins that may use a public key (`https://shop.example`), `*` for any; empty: none.
    origins: tuple[str, ...] = ()
    #: Region of events whose consent names none: `DE`, `US-CA`.
    region: str | None = None
    #: Country of phone numbers written without one: `DE`.
    default_country: str | None = None
    #: Sources of one group share their duplicates.
    dedup_group: str | None = None
    #: What it sends: `events`, or the webhooks of `shopify`, `woocommerce` or `stripe`.
    kind: str = "events"
    #: What its webhooks may be signed with.
    signing_secrets: tuple[str, ...] = field(default=(), repr=False)
    #: `paid` or `created`: when an order of its webhooks counts as a purchase.
    purchase_when: str = "paid"
    #: Which of an order's numbers is its id: one of `ORDER_IDS` of its kind.
    order_id: str = "id"
    #: `variant`, `product` or `sku`: what a product is known by in the catalogues that platforms have.
    content_id: str = "variant"
    #: What its visitors' browsers tell is remembered for later events.
    remember_visits: bool = False
    #: How long a purchase waits for its other copy from the group, in seconds.
    copy_wait_s: float = 0.0
    #: Pixels that its key may post to in Meta's format; empty: any.
    pixel_ids: tuple[str, ...] = ()
    #: GA4 streams that it is for; a tag's requests find their source by them.
    measurement_ids: tuple[str, ...] = ()
    #: GA4's event names → canonical or custom ones: changes to the shipped table. `False`: left out, `True`: custom.
    ga_events: Mapping[str, str | bool] = field(default_factory=dict)
    #: How it reads calls of the Segment tracking API.
    segment: Segment = field(default_factory=Segment)
    #: The cookies of its pages.
    browser: BrowserCookies = field(default_factory=BrowserCookies)

    @property
    def dedup_scope(self) -> str:
        """Within what event ids are one event: the group if there is one, else the source."""
        return f"source:{self.name}" if self.dedup_group is None else f"group:{self.dedup_group}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSettings:
    """`[consent]`: the regional rules, shipped ones merged with the operator's."""

    #: `deny` or `allow`: for events whose region nobody knows.
    unknown_region: str = "deny"
    #: `deny` or `read`: a section of `gpp` that lacks the part about Global Privacy Control, and may have it cut off.
    gpp_without_gpc: str = "deny"
    #: ISO 3166-1 or 3166-2 code in upper case → rule.
    regions: Mapping[str, RegionRule] = field(default_factory=lambda: dict(SHIPPED_REGIONS))

    @property
    def policy(self) -> Policy:
        """The same as the consent gate takes it. Make it once: its fingerprint is kept in it."""
        return Policy(self.regions, self.unknown_region, self.gpp_without_gpc == "deny")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """`[destinations.NAME]`: one configured use of a destination."""

    name: str
    destination: Destination
    #: A disabled one has no secrets and takes no event.
    enabled: bool = True
    #: The plugin's own keys without the secret ones, its defaults filled in: what its functions get.
    config: Mapping[str, Any] = field(default_factory=dict)
    #: The plugin's keys that its schema marks `writeOnly`, as far as they are set.
    secrets: Secrets = field(default_factory=Secrets)
    #: Replaces scheme and host of all calls, its path is a prefix; without a slash at the end.
    base_url: str | None = None
    #: The calls may go to this machine or a private network, and there over plain http.
    allow_private: bool = False
    #: Canonical or custom name → the platform's, for all events that it takes by name.
    names: Mapping[str, str] = field(default_factory=dict)
    #: Other names are sent as they are (save `left_out`).
    custom_names: bool = False
    #: Names that are not to be sent, not even as custom ones.
    left_out: frozenset[str] = frozenset()
    #: One deadline for an attempt.
    timeout_s: float = 10.0
    #: Events in one request.
    batch_size: int = 1
    #: How long an event may wait for company.
    linger_s: float = 0.1
    #: Requests at the same time.
    max_concurrency: int = 4
    #: Requests a second; `None` for no limit.
    rate: float | None = None
    #: Requests at once after a quiet time; `None`: one second's worth.
    burst: int | None = None
    retry: Retry = field(default_factory=Retry)
    #: Lower than the platform's age limit; `None`: only the platform's holds.
    max_age_s: float | None = None
    #: Dotted canonical paths that are never sent.
    deny_fields: frozenset[str] = frozenset()
    #: Everything goes in the platform's test mode.
    test_mode: bool = False
    #: The plugin's, with the operator's times.
    follow_up: FollowUp | None = None
    #: Match key → rule: the plugin's, with the operator's changes.
    digests: Mapping[str, str] = field(default_factory=dict)
    #: Consent purposes that must not be missing.
    requires: frozenset[str] = frozenset()
    #: `skip` or `limited`, whatever the region says; `None`: as the region says.
    on_opt_out: str | None = None
    #: Who it is in consent strings.
    vendor: Vendor = NOBODY

    @property
    def requirement(self) -> Requirement:
        """What the consent gate asks for this instance. Make it once: its fingerprint is kept in it."""
        return Requirement(self.requires, self.on_opt_out, self.destination.limited, self.vendor)

    def platform_name(self, event_name: str) -> str | None:
        """What the platform calls this event; `None` when the instance does not take it."""
        name = self.names.get(event_name)
        if name is None and self.custom_names and event_name not in self.left_out:
            return event_name
        return name


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The whole configuration."""

    #: The file, absolute. What is relative in it is relative to its folder.
    path: Path
    plugins_dir: Path | None = None
    server: Server = Server()
    outbox: OutboxSettings
    privacy: Privacy = Privacy()
    sources: Mapping[str, Source] = field(default_factory=dict)
    consent: ConsentSettings = field(default_factory=ConsentSettings)
    #: All of them, disabled ones too.
    destinations: Mapping[str, Instance] = field(default_factory=dict)

    @property
    def remembering(self) -> frozenset[str]:
        """Names of the sources whose visits are remembered."""
        return frozenset(name for name, one in self.sources.items() if one.remember_visits)

    @property
    def enabled(self) -> Mapping[str, Instance]:
        """The destinations that take events."""
        return {name: instance for name, instance in self.destinations.items() if instance.enabled}

    def redacted(self) -> dict[str, Any]:
        """The settings in effect as JSON-ready values, for printing. Secrets and keys are `***`."""
        printed: dict[str, Any] = _printed(self)
        return printed


#: Fields that are secret as a whole; `Secrets` is one of its own.
_SECRET_FIELDS = ("write_keys", "signing_secrets", "public_keys", "admin_tokens")


def _printed(value: Any) -> Any:
    if isinstance(value, Secrets):
        return dict.fromkeys(sorted(value), REDACTED)
    if isinstance(value, Destination):
        return value.name
    if isinstance(value, Keyring):
        return [REDACTED] * len(value.keys)
    if is_dataclass(value):
        return {
            one.name: _hidden(getattr(value, one.name)) if one.name in _SECRET_FIELDS else _printed(found)
            for one in fields(value)
            if not callable(found := getattr(value, one.name))
        }
    if isinstance(value, Mapping):
        return {str(key): _printed(entry) for key, entry in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_printed(entry) for entry in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _hidden(value: Any) -> Any:
    return [REDACTED] * len(value) if isinstance(value, tuple) else value and REDACTED


#: Settings that a running process cannot take up: key → where it is.
_AT_START: Mapping[str, Callable[[Settings], object]] = {
    "plugins_dir": lambda settings: settings.plugins_dir,
    "server.host": lambda settings: settings.server.host,
    "server.port": lambda settings: settings.server.port,
    "server.workers": lambda settings: settings.server.workers,
    "outbox.url": lambda settings: settings.outbox.path,
    "outbox.dedup_window": lambda settings: settings.outbox.dedup_window_s,
}


def changes_needing_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """The keys that differ and take effect only at the next start."""
    return tuple(key for key, value in _AT_START.items() if value(old) != value(new))
