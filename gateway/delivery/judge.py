"""What an answer means for each claim, and for the lane. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.delivery.claims import Claim
from gateway.delivery.retry import Again, Past, after
from gateway.model.delivery import Kind, State, Verdict
from gateway.outbox.lanes import Bond, Change, Tried

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from gateway.config import Instance
    from gateway.delivery.sender import Answered


@dataclass(slots=True)
class Outcome:
    """What is to be done."""

    #: New rows of `delivery`.
    changes: list[Change] = field(default_factory=list)
    #: Claims that the platform has.
    taken: set[int] = field(default_factory=set)
    #: To be sent at once: halves.
    again: list[list[Claim]] = field(default_factory=list)
    #: The lane has to stop.
    pause: Verdict | None = None
    #: Claims that go back unsent because of that.
    back: list[Claim] = field(default_factory=list)
    #: The platform does not work just now: counts for the breaker.
    trouble: bool = False
    #: It said how long to leave it alone, in seconds.
    hold_s: float | None = None
    #: For the record: the verdict of the request, `mixed` when claims differ.
    verdict: str = ""
    code: str = ""
    message: str = ""
    request_id: str = ""


def judge(
    answered: Answered, claims: Sequence[Claim], instance: Instance, frozen_s: float, now: float, rng: random.Random
) -> Outcome:
    """Judge one request. `frozen_s`: seconds that the lane has been paused so far, this pause included."""
    verdict = answered.verdict
    if isinstance(verdict, Verdict):
        outcome = Outcome(verdict=str(verdict.kind), code=verdict.code, message=verdict.message)
        outcome.request_id = verdict.request_id
        if verdict.kind is Kind.SPLIT:
            middle = len(claims) // 2
            outcome.again = [list(claims[:middle]), list(claims[middle:])]
            return outcome
        outcome.trouble = verdict.kind is Kind.RETRY
        outcome.hold_s = verdict.after_s if outcome.trouble else None
        each = [verdict] * len(claims)
    else:
        each = list(verdict)
        outcome = _summary(each)
    jitter = rng.random()
    for claim, one in zip(claims, each, strict=True):
        if outcome.verdict == "mixed" and (one.kind is Kind.PAUSE or (one.kind is Kind.RETRY and one.after_s == 0)):
            # a row, and no try counted: in the record, a mixed attempt settles what has no row
            outcome.changes.append(_untried(claim, one, now))
            outcome.pause = one if one.kind is Kind.PAUSE else outcome.pause
        else:
            _judge_one(outcome, claim, one, answered.unseen, instance, frozen_s, now, jitter)
    return outcome


#: Of several verdicts, the one whose words stand for the request: the first kind here that there is.
_TELLING = (Kind.PAUSE, Kind.REJECT, Kind.SPLIT, Kind.RETRY, Kind.RECEIVED, Kind.DELIVERED)


def _summary(each: Sequence[Verdict]) -> Outcome:
    kinds = {one.kind for one in each}
    telling = min(each, key=lambda one: _TELLING.index(one.kind))
    name = str(each[0].kind) if len(kinds) == 1 else "mixed"
    request_id = next((one.request_id for one in each if one.request_id), "")
    return Outcome(verdict=name, code=telling.code, message=telling.message, request_id=request_id)


def _untried(claim: Claim, verdict: Verdict, now: float) -> Change:
    """Through no fault of its own it goes again, as soon as the lane may."""
    past = (claim.tries, claim.first_at, claim.frozen_s, now, claim.unseen, claim.serial)
    return Change(claim.seq, State.WAITING, *past, verdict.code, verdict.message)


def _judge_one(
    outcome: Outcome,
    claim: Claim,
    verdict: Verdict,
    unseen: bool,
    instance: Instance,
    frozen_s: float,
    now: float,
    jitter: float,
) -> None:
    tries = claim.tries + 1
    first_at = now if claim.first_at is None else claim.first_at
    base = frozen_s if claim.first_at is None else claim.frozen_s
    unseen = unseen or claim.unseen
    match verdict.kind:
        case Kind.DELIVERED | Kind.RECEIVED:
            outcome.taken.add(claim.seq)
        case Kind.PAUSE:
            outcome.pause = verdict
            outcome.back.append(claim)
        case Kind.REJECT | Kind.SPLIT:
            outcome.changes.append(dead(claim.seq, tries, first_at, verdict.code, verdict.message, verdict.field))
        case Kind.RETRY:
            past = Past(tries, first_at, frozen_s - base, unseen, claim.unseen_until)
            when = after(verdict, past, instance.retry, now, jitter)
            if isinstance(when, Again):
                outcome.changes.append(
                    Change(
                        claim.seq,
                        State.WAITING,
                        tries,
                        first_at,
                        base,
                        when.at,
                        unseen,
                        claim.serial,
                        verdict.code,
                        verdict.message,
                    )
                )
            elif when.code == "tries_exhausted" and verdict.then_pause and outcome.verdict != "mixed":
                outcome.pause = verdict
                outcome.back.append(claim)
            else:
                words = f"{when.message}; last answer: {verdict.message or verdict.code}"
                outcome.changes.append(dead(claim.seq, tries, first_at, verdict.code or when.code, words))


#: Characters of a field's name that are kept: it is the platform's.
FIELD = 100


def dead(seq: int, tries: int, first_at: float | None, code: str, message: str, field: str = "") -> Change:
    """A dead letter."""
    return Change(seq, State.DEAD, tries, first_at, code=code, message=message[:500], field=field[:FIELD])


def tried(answered: Answered, claims: Sequence[Claim], outcome: Outcome, follow_up_at: float | None) -> Tried | None:
    """The attempt for the record; `None` when no request was tried."""
    if not answered.tried:
        return None
    order = sorted(claims, key=lambda claim: claim.seq)
    bonds = [Bond(one.serial, one.event_time) if one.serial is not None else None for one in order]
    return Tried(
        seqs=[claim.seq for claim in order],
        started_at=answered.started_at,
        duration_s=answered.duration_s,
        status=answered.status,
        verdict=outcome.verdict,
        code=outcome.code,
        message=outcome.message,
        request_id=outcome.request_id,
        serials=bonds if any(bonds) else None,
        follow_up_at=follow_up_at if outcome.request_id else None,
    )
