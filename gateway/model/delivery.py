"""What happens to an event on its way to one destination, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Action(StrEnum):
    """What the consent gate says."""

    SEND = "send"
    SEND_LIMITED = "send_limited"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer of the consent gate, for one event and one destination instance."""

    action: Action
    #: Stable code: `consent_granted`, `consent_denied`, … see docs/codes.md.
    reason: str
    #: The rule that gave it, for people: `DE: opt-in; ad_user_data not given`.
    rule: str


class State(StrEnum):
    """Where a delivery is. Each delivery is in exactly one of these."""

    #: Accepted, its turn has not come.
    QUEUED = "queued"
    #: Tried, to be tried again at a set time.
    WAITING = "waiting"
    #: Taken by a platform that reports the outcome later.
    RECEIVED = "received"
    DELIVERED = "delivered"
    #: Given up, with a reason; can be retried by hand.
    DEAD = "dead"
    #: Never to be sent, decided at the door or by the mapping.
    SKIPPED = "skipped"
    #: Older than the platform takes before it could be sent.
    EXPIRED = "expired"
    #: Stopped after acceptance: consent withdrawn, policy tightened.
    CANCELLED = "cancelled"
    #: A test event that the platform would have counted as real.
    DRY_RUN = "dry_run"


#: States that nothing but a person changes.
FINAL_STATES = frozenset(
    {State.DELIVERED, State.DEAD, State.SKIPPED, State.EXPIRED, State.CANCELLED, State.DRY_RUN},
)


#: States of what is still to be sent.
OPEN_STATES = frozenset({State.QUEUED, State.WAITING})


class Kind(StrEnum):
    """The verdicts: what a platform's answer means for the delivery."""

    DELIVERED = "delivered"
    RECEIVED = "received"
    RETRY = "retry"
    SPLIT = "split"
    REJECT = "reject"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one answer. Made by the functions of `gateway.plugin.verdicts`."""

    kind: Kind
    #: The platform's or the transport's code: `100/2804003`, `http_503`, `timeout`.
    code: str = ""
    #: The platform's words, shortened.
    message: str = ""
    #: For `retry` and `pause`: not before this many seconds from now.
    after_s: float | None = None
    #: For `retry`: give up after this many tries with this code; `None` for no such limit.
    tries: int | None = None
    #: For `received`: what the platform calls the request.
    request_id: str = ""
    #: For `retry` with `tries`: after them the lane pauses for an operator, instead of giving the events up.
    then_pause: bool = False
    #: For `retry`: a new token may help (the core renews it once, then pauses).
    renew_token: bool = False
    #: The field that the platform blames, in its own spelling and without positions, if it names one: `user_data.em`.
    field: str = ""


@dataclass(frozen=True, slots=True)
class Skip:
    """A mapping's answer for an event that its platform cannot take."""

    #: Stable code: `missing_field`, `no_identity`, `unsupported` …
    reason: str
    #: The canonical field, as a dotted path, if one is to blame.
    field: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One HTTP try of one batch, as observers of `delivery_attempted` and `explain` see it."""

    #: The destination instance: the name in `[destinations.NAME]`.
    instance: str
    #: Unix seconds, UTC.
    started_at: float
    #: Seconds from the first byte out to the last byte in.
    duration_s: float
    #: Deliveries in the request.
    size: int
    #: HTTP status; 0 when no answer came.
    status: int
    #: The verdict for the request; `mixed` when it was judged one by one.
    verdict: str
    code: str
    message: str


#: A mapped event: JSON-ready, in the platform's words.
Item: TypeAlias = dict[str, object]
