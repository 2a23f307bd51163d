"""The ends of one lane's deliveries, told once they are on disk: all are counted, and what was lost is logged."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.log import get_logger
from gateway.model.delivery import FINAL_STATES, Kind, State
from gateway.outbox.lanes import SETTLING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gateway.model.delivery import Verdict
    from gateway.outbox.lanes import Change, Tried

#: Characters of a code that are told: some platforms' codes are made of several.
MAX_CODE = 60
#: Ends that an operator has to hear of: the event was owed, and its platform will not have it.
LOST = frozenset({State.DEAD, State.EXPIRED})

log = get_logger("delivery")


@dataclass(frozen=True, slots=True)
class Ended:
    """Deliveries of one instance that came to the same end."""

    instance: str
    #: A final state; `received` when the platform will never tell more.
    state: State
    #: Why, as a stable code or the platform's own; empty where the state says it all.
    code: str
    count: int


class Ends:
    """Tells the ends of one instance's deliveries to whoever counts them."""

    def __init__(self, instance: str, tell: Callable[[Ended], None]) -> None:
        self._instance, self._tell = instance, tell

    def recorded(self, tried: Tried | None, changes: Sequence[Change]) -> None:
        """Tell what a recorded attempt and its changes ended.

        What the platform reports on later has not ended yet: `reported` tells of it.
        """
        found = Counter((one.state, one.code) for one in changes if one.state in FINAL_STATES)
        if tried is not None and tried.verdict in SETTLING and tried.follow_up_at is None:
            state = State.RECEIVED if tried.verdict == "received" else State.DELIVERED
            found[state, ""] += len(set(tried.seqs).difference(one.seq for one in changes))
        self._tell_all(found.items())

    def reported(self, verdict: Verdict, count: int, changes: Sequence[Change]) -> None:
        """Tell what a platform's late report on so many deliveries ended. `received`: it never came."""
        found = Counter((one.state, one.code) for one in changes if one.state in FINAL_STATES)
        if verdict.kind in (Kind.DELIVERED, Kind.RECEIVED):
            found[State(str(verdict.kind)), verdict.code] += count
        self._tell_all(found.items())

    def _tell_all(self, found: Iterable[tuple[tuple[State, str], int]]) -> None:
        for (state, full), count in found:
            if not count:
                continue
            code = full[:MAX_CODE]
            self._tell(Ended(self._instance, state, code, count))
            if state in LOST:
                log.warning("deliveries_ended", instance=self._instance, state=str(state), code=code, count=count)
