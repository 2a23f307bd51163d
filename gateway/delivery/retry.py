"""The retry clock: a verdict and a delivery's past in, a decision out. Nobody sleeps here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.model.delivery import Verdict
    from gateway.plugin.destination import Retry

UNSEEN_WORDS = "an earlier try may have arrived; a repeat so late would count twice"


@dataclass(frozen=True, slots=True)
class Past:
    """What has happened to a delivery so far, this try included."""

    #: Tries, at least 1.
    tries: int
    #: First try, Unix seconds.
    first_at: float
    #: Seconds since then during which the lane was paused: they do not count towards giving up.
    frozen_s: float
    #: The platform may have taken it without our seeing the answer.
    unseen: bool
    #: Unix seconds until when it may be repeated all the same, by the event's own rule.
    unseen_until: float = math.inf


@dataclass(frozen=True, slots=True)
class Again:
    """Try again, not before this time (Unix seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No more tries."""

    #: `gave_up`, `tries_exhausted` or `unseen_window`.
    code: str
    message: str


def after(verdict: Verdict, past: Past, policy: Retry, now: float, jitter: float) -> Again | GiveUp:
    """When a `retry` verdict is tried again, or why not.

    Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/): evenly between nothing and
    `first_s * factor ** (tries - 1)`, which is capped at `max_s`. What the platform asks for (`after_s`) is the least.
    `jitter`: the random part, from 0 to 1; the same for all of one request, so that they stay together.
    """
    if verdict.tries is not None and past.tries >= verdict.tries:
        return GiveUp("tries_exhausted", f"still the same answer after {past.tries} tries")
    ceiling = min(policy.max_s, policy.first_s * policy.factor ** min(past.tries - 1, 64))
    at = now + max(verdict.after_s or 0.0, jitter * ceiling)
    if at - past.first_at - past.frozen_s > policy.give_up_s:
        limit = policy.give_up_s
        told = f"{limit:.4g} s" if limit < 3600 else f"{limit / 3600:.4g} h"
        return GiveUp("gave_up", f"no success within {told} of the first try")
    unseen_s = math.inf if policy.unseen_s is None else policy.unseen_s
    if past.unseen and (at - past.first_at > unseen_s or at > past.unseen_until):
        return GiveUp("unseen_window", UNSEEN_WORDS)
    return Again(at)
