"""An event on its way through the door, and what its stages need to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from gateway.ingest.gate import Gate, Routing, Seen
from gateway.model.errors import Fault
from gateway.privacy.hashing import DigestPlan
from gateway.privacy.visits import defaults
from gateway.schema import MAX_FAULTS

if TYPE_CHECKING:
    from gateway.config import Source
    from gateway.model.event import Joined
    from gateway.privacy.visits import Key
    from gateway.privacy.withdrawal import Denial


@dataclass(frozen=True, slots=True)
class BrowserHints:
    """What a request that came straight from a visitor's browser says of them."""

    ip: str | None = None
    user_agent: str | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)
    #: The header `Sec-GPC: 1` was there.
    gpc: bool = False
    #: The visitor's id, by the gateway's cookie.
    visitor: str | None = None
    #: Keys of `user_data` → the click ids that the visit came with.
    landing: Mapping[str, str] = field(default_factory=dict)
    #: The visitor has not answered yet: what the page denies is its default.
    pending: bool = False


class Recall(Protocol):
    """What the outbox remembers of people."""

    @property
    def key(self) -> bytes:
        """The key of their pseudonyms."""

    def denial(self, people: Sequence[int]) -> Denial | None:
        """What the person with these pseudonyms has taken back of their consent."""


class Visits(Protocol):
    """What the outbox remembers of visits."""

    @property
    def key(self) -> bytes:
        """The key of pseudonyms."""

    def knows_visits(self) -> bool:
        """Whether anything is remembered at all."""

    def visits(self, keys: Sequence[Key], now: float) -> Sequence[tuple[str, bytes]]:
        """(kind, content) of what is remembered under these keys, in their order."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What the configuration means for the stages. Made once for each configuration."""

    gate: Gate
    plan: DigestPlan
    #: Names of the destinations that are switched on.
    destinations: frozenset[str]
    #: What is to be digested so that each identifier has a pseudonym, beyond `plan`.
    unasked: DigestPlan
    #: Who is remembered; `None` where nothing is stored.
    recall: Recall | None
    #: What joins an event; `None` where nothing is stored.
    visits: Visits | None
    #: Names of the sources whose visits are remembered, and for how long, in seconds.
    remembering: frozenset[str]
    visit_retention_s: float
    #: For how long the consent of an order is, in seconds.
    order_retention_s: float
    #: Dotted canonical paths that no destination is sent: they are not stored either.
    withheld: frozenset[str]
    #: The only query parameters that stay in URLs; `None` for all but personal data.
    url_parameters: frozenset[str] | None


class Draft(msgspec.Struct):
    """One event between two stages. Stages change it in place; it never leaves the door.

    A struct, as is what else is made for each event: it costs a fifth of a dataclass.
    """

    #: The event as posted, valid against the schema after the first stage.
    raw: dict[str, Any]
    source: Source
    #: Unix seconds.
    received_at: float
    #: Set when the event came straight from a browser.
    hints: BrowserHints | None = None
    #: Look for what storage cannot hold.
    odd: bool = False
    #: How many faults are told if it is refused.
    most_faults: int = MAX_FAULTS
    warnings: list[Fault] = []

    event_id: str = ""
    event_time: float = 0.0
    action_source: str = "website"
    event_source_url: str | None = None
    referrer_url: str | None = None
    user_data: dict[str, Any] = {}
    custom_data: dict[str, Any] = {}
    #: The consent object, the region that counts, and whether click ids may be used.
    seen: Seen = None  # type: ignore[assignment]  # set by the second stage
    routing: Routing | None = None
    digests: dict[str, tuple[str, ...]] = {}
    #: Whom it is about, by pseudonym, and what that person has taken back of their consent.
    people: tuple[int, ...] = ()
    denial: Denial | None = None
    #: What the gate said before that was remembered; `None` if nothing is.
    by_itself: Routing | None = None
    clear: dict[str, str] = {}
    #: What a visit of the same person is found by, and what joined the event from it.
    visit_keys: Sequence[Key] = ()
    joined: dict[str, Joined] = {}
    joined_digests: dict[str, tuple[str, ...]] = {}
    #: The consent that joined it is a page's default.
    by_default: bool = False

    @property
    def event_name(self) -> str:
        """The event's name, as posted."""
        name: str = self.raw["event_name"]
        return name

    @property
    def unanswered(self) -> bool:
        """Whether it is denied by a page's default alone, which its visitor has not answered yet."""
        pending = self.by_default or (self.hints is not None and self.hints.pending)
        return pending and defaults(self.seen.stored)

    def warn(self, path: str, code: str, message: str) -> None:
        """Tell the sender about something that did not stop the event."""
        self.warnings.append(Fault(path, code, message))
