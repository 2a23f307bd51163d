"""What a destination declares: a frozen value with three pure functions in it."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from gateway.model.delivery import Item, Skip, Verdict
from gateway.model.event import Event
from gateway.plugin.auth import Auth

#: Version of what `gateway.plugin` promises. What changes in it is deprecated for two minor releases first.
INTERFACE_VERSION = 1

#: An instance's configuration as its functions see it: without the keys that the schema marks `writeOnly`.
Config: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, without credentials: the core adds those as `Destination.auth` says."""

    method: str
    url: str
    #: Encoded as JSON by the core.
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Query parameters.
    params: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Response:
    """One HTTP answer. Redirects are not followed, bodies are cut at 1 MiB."""

    status: int
    #: Names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def json(self) -> Any:
        """The body decoded, `None` if it is not JSON."""
        try:
            return json_.loads(self.body)
        except (ValueError, RecursionError):
            return None

    def find(self, path: str) -> Any:
        """The value at a dotted path of the JSON body (`error.code`, `events.0.status`), `None` if there is none."""
        value = self.json
        for step in path.split("."):
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
                value = value[int(step)]
            else:
                return None
        return value


class Batch(tuple[Item, ...]):
    """Mapped events for one request, in order, with what they have in common."""

    #: What `Destination.group_key` gave for all of them.
    group: Any = None
    #: All of them are test events (then none is real), or none is.
    test: bool = False

    @classmethod
    def of(cls, items: Sequence[Item], *, group: Any = None, test: bool = False) -> Batch:
        batch = cls(items)
        batch.group = group
        batch.test = test
        return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a platform takes. Each can be lowered in gateway.toml."""

    #: Events in one request.
    batch: int = 1
    #: Bytes in one request body.
    bytes: int = 1_000_000
    #: Requests a second; `None` for no limit.
    rate: float | None = None
    #: Requests that may go at once after a quiet time; `None` for one second's worth.
    burst: int | None = None
    #: Requests at the same time.
    concurrency: int = 4
    #: How long an event may wait for company, in seconds.
    linger_s: float = 0.1
    #: The age in seconds after which the platform no longer takes an event; `None` for no limit.
    max_age_s: float | None = None
    #: One deadline for an attempt, in seconds.
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The retry clock: full jitter over `first_s * factor ** tries`, capped at `max_s`."""

    first_s: float = 5.0
    factor: float = 2.0
    max_s: float = 3600.0
    #: No more tries this long after the first one.
    give_up_s: float = 3 * 86400.0
    #: After an attempt whose answer was never seen, no more tries this long after the first one: the platform's
    #: dedup window, beyond which a repeat would count twice. `None` when the platform has none.
    unseen_s: float | None = None
    #: Tries for an answer that the plugin does not know.
    unknown_tries: int = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """How the outcome of a `received` request is asked for later."""

    #: First question this long after the request, then times `factor`, at most `max_s` apart, until `give_up_s`.
    first_s: float
    factor: float
    max_s: float
    give_up_s: float
    #: `(request_id, config)` → the question.
    build_request: Callable[[str, Config], Request]
    #: The answer → `received` (ask again), `delivered`, `retry` (send the events again), `reject` or `pause`.
    classify: Callable[[Response], Verdict]


@dataclass(frozen=True, kw_only=True)
class Destination:
    """A platform as the gateway knows it. All functions are pure: no network, disk, clock or random."""

    #: Lower case, letters, digits and `_`: what `plugin = "…"` in gateway.toml names.
    name: str
    #: The platform's API version that this was verified against.
    api_version: str
    #: The platform's documentation.
    docs: str
    #: JSON Schema (an object) of the plugin's own keys; secrets are marked `writeOnly`. The core adds its own keys.
    config_schema: Mapping[str, Any]
    #: Canonical name → the platform's name, or a function of the configuration that gives such a mapping.
    names: Mapping[str, str] | Callable[[Config], Mapping[str, str]]
    #: An event name outside `names` is sent under its own name.
    custom_names: bool = False
    #: Canonical names of `names` that are not taken unless `events` in gateway.toml asks for them.
    off_by_default: frozenset[str] = frozenset()
    #: Consent purposes that must not be missing: of `ad_storage`, `ad_user_data`, `ad_personalization`,
    #: `analytics_storage`.
    purposes: frozenset[str] | set[str] = frozenset({"ad_storage", "ad_user_data", "ad_personalization"})
    #: Regions in which the platform has a limited mode for visitors who opted out: `{"US"}` for all states, or
    #: `{"US-CA", …}`, where `"US"` then stands for a visitor whose state is unknown.
    limited: frozenset[str] = frozenset()
    #: Limited mode finds the state by the IP address when the region is a whole country, so that it is kept then.
    limited_needs_ip: bool = False
    #: Match key (or another key of `user_data`) → the rule of `gateway.privacy.normalize` its digest is made by.
    digests: Mapping[str, str] = field(default_factory=dict)
    #: Match key → the rule by which it is normalised for sending in the clear (city, state, zip, country only).
    clear: Mapping[str, str] = field(default_factory=dict)
    auth: Auth | tuple[Auth, ...] = ()
    limits: Limits = Limits()
    retry: Retry = Retry()
    #: One event and the configuration → one item in the platform's words, or why it cannot be sent.
    map_event: Callable[[Event, Config], Item | Skip]
    #: Items of one group and the configuration → one request. `batch.group` and `batch.test` say what they share.
    build_request: Callable[[Batch, Config], Request]
    #: The answer and the number of items → one verdict for all, or a list with one for each.
    classify: Callable[[Response, int], Verdict | Sequence[Verdict]]
    #: Events with different keys never share a request.
    group_key: Callable[[Event, Config], Hashable] | None = None
    #: Events with the same key go one after another, never two in one request; `None` for no such bond.
    serial_key: Callable[[Event, Config], str | None] | None = None
    #: This event only changes an earlier one of its serial key: skipped unless that one was delivered.
    follows: Callable[[Event, Config], bool] | None = None
    #: Age limit in seconds of this event, where it is not `limits.max_age_s` for all.
    age_limit: Callable[[Event, Config], float | None] | None = None
    #: Whether a test event can be sent without counting as real (or to a place that the operator named for tests).
    accepts_test: Callable[[Config], bool] | None = None
    #: How long after its receipt this event may be sent again when an answer was never seen, in seconds: beside
    #: `retry.unseen_s`; 0 for never, `None` for no limit of its own.
    unseen_limit: Callable[[Event, Config], float | None] | None = None
    follow_up: FollowUp | None = None
    #: A harmless request that shows whether the credentials work, judged by `classify`; `None` when this configuration
    #: allows none. Unix seconds are given for platforms that want a fresh event.
    probe: Callable[[Config, int], Request | None] | None = None
    interface: int = INTERFACE_VERSION

    def names_for(self, config: Config) -> Mapping[str, str]:
        """Canonical name → the platform's, under this configuration."""
        return self.names(config) if callable(self.names) else self.names

    @property
    def auths(self) -> tuple[Auth, ...]:
        """`auth` as a tuple."""
        return self.auth if isinstance(self.auth, tuple) else (self.auth,)
