"""Whether a lane may send: paused for want of access, held because the platform asked for it, or broken off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.delivery.breaker import Breaker

if TYPE_CHECKING:
    import random

    from gateway.model.delivery import Verdict

#: First and longest time between two probes of a paused lane, in seconds.
PROBE_FIRST_S, PROBE_MAX_S = 30.0, 900.0


@dataclass(slots=True)
class Pause:
    """Why a lane is paused."""

    #: Unix seconds.
    since: float
    code: str
    message: str
    #: When one delivery may go to see whether it is mended.
    probe_at: float
    probe_s: float = PROBE_FIRST_S


class Access:
    """A lane's permission to send. Pure but for the jitter."""

    def __init__(self, rng: random.Random) -> None:
        self.breaker = Breaker(rng)
        self.pause: Pause | None = None
        #: Seconds of past pauses: time that retry clocks do not count.
        self.frozen_s = 0.0
        #: The platform asked to be left alone until then, Unix seconds.
        self.held_until = -math.inf

    @property
    def probing(self) -> bool:
        """One delivery at a time, to see whether all is well again."""
        return self.pause is not None or self.breaker.is_open

    def wait_s(self, now: float) -> float:
        """Seconds until the next request may go; 0 when it may now."""
        until = self.held_until
        if self.pause is not None:
            until = max(until, self.pause.probe_at)
        if self.breaker.is_open:
            until = max(until, self.breaker.probe_at)
        return max(0.0, until - now)

    def frozen(self, now: float) -> float:
        """Seconds paused so far, the present pause included."""
        return self.frozen_s + (max(0.0, now - self.pause.since) if self.pause is not None else 0.0)

    def hold(self, now: float, seconds: float) -> None:
        """The platform asked to be left alone."""
        self.held_until = max(self.held_until, now + seconds)

    def stop(self, verdict: Verdict, now: float) -> bool:
        """Pause, or stay paused and probe more seldom. Returns whether it is new.

        Before the next probe is due, it is the answer to a request from before the pause: no news.
        """
        if self.pause is None:
            wait = max(verdict.after_s or 0.0, PROBE_FIRST_S)
            self.pause = Pause(now, verdict.code, verdict.message, now + wait)
            return True
        if now < self.pause.probe_at:
            return False
        self.pause.probe_s = min(PROBE_MAX_S, self.pause.probe_s * 2)
        self.pause.probe_at = now + max(verdict.after_s or 0.0, self.pause.probe_s)
        self.pause.code, self.pause.message = verdict.code, verdict.message
        return False

    def resume(self, now: float) -> None:
        """All is well again: the clocks go on."""
        self.frozen_s = self.frozen(now)
        self.pause = None
