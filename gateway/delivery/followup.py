"""Asking a platform later what became of the requests that it only acknowledged."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import anyio

from gateway.delivery.judge import dead
from gateway.delivery.sender import Answered, Sender
from gateway.log import get_logger
from gateway.model.delivery import Kind, State, Verdict
from gateway.model.errors import OutboxError, OutboxFailed
from gateway.outbox import Outbox, lanes
from gateway.outbox.lanes import Change, Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.delivery.clock import Clock
    from gateway.delivery.lane import Lane
    from gateway.outbox.engine import Connection

#: Questions in a row before looking again what is due.
AT_ONCE = 20
#: How often to look, in seconds.
LOOK_S = 1.0
#: When the question itself got no answer, it is asked again after this many seconds.
AGAIN_S = 60.0

log = get_logger("delivery")


class FollowUps:
    """One lane's open questions."""

    def __init__(self, lane: Lane, outbox: Outbox, sender: Sender, clock: Clock) -> None:
        if lane.instance.follow_up is None:
            raise ValueError("the destination has no follow-up")
        self._lane, self._outbox, self._sender, self._clock = lane, outbox, sender, clock
        self._plan = lane.instance.follow_up

    async def run(self) -> None:
        """Ask until the lane stops."""
        lane = self._lane
        while not lane.stopping:
            due = await self._outbox.read(
                partial(lanes.due_receipts, lane=lane.id, now=self._clock.now(), limit=AT_ONCE)
            )
            if lane.held_s() > 0 or not due or not await self._ask_all(due):
                await self._clock.wait(anyio.Event(), LOOK_S)

    async def _ask_all(self, receipts: Sequence[Receipt]) -> bool:
        """Ask for each; `False` when what came of it could not be written down, so that it is asked again."""
        try:
            for receipt in receipts:
                await self._lane.throttle()
                if self._lane.stopping or self._lane.held_s() > 0:
                    break
                await self._ask(receipt)
        except OutboxFailed:
            raise
        except OutboxError as error:
            log.error("recording_failed", instance=self._lane.instance.name, message=str(error))
            return False
        return True

    async def _ask(self, receipt: Receipt) -> None:
        verdict = await self._verdict(receipt)
        now = self._clock.now()
        if verdict is None or verdict.kind is Kind.RECEIVED:
            await self._later(receipt, now, answered=verdict is not None)
        else:
            await self._close(receipt, verdict, now)

    async def _verdict(self, receipt: Receipt) -> Verdict | None:
        """The platform's report; `None` when the question got no answer."""
        instance = self._lane.instance
        try:
            answer = await self._sender.ask(self._plan.build_request(receipt.request_id, instance.config))
            return None if isinstance(answer, Answered) else self._plan.classify(answer)
        except Exception as error:  # a plugin's mistake: the question stays open until its time is up
            log.error("follow_up_failed", instance=instance.name, error=type(error).__name__)
            return None

    async def _later(self, receipt: Receipt, now: float, *, answered: bool) -> None:
        plan = self._plan
        if now - receipt.sent_at > plan.give_up_s:
            words = f"no report within {plan.give_up_s / 3600:.3g} h"
            await self._close(
                receipt, Verdict(Kind.RECEIVED, "outcome_unknown", words, request_id=receipt.request_id), now
            )
            return
        wait = min(plan.max_s, plan.first_s * plan.factor ** min(receipt.asked + 1, 64)) if answered else AGAIN_S
        await self._outbox.write(lambda db: lanes.postpone_receipt(db, receipt, now + wait))

    async def _close(self, receipt: Receipt, verdict: Verdict, now: float) -> None:
        lane = self._lane

        def work(db: Connection) -> tuple[int, list[Change]]:
            seqs = lanes.reported_on(db, lane.id, receipt.attempt)
            changes = self._changes(db, seqs, verdict, now)
            lanes.close_receipt(
                db,
                lane.id,
                receipt,
                verdict=str(verdict.kind),
                code=verdict.code,
                message=verdict.message,
                changes=changes,
                now=now,
            )
            return len(seqs), changes

        count, changes = await self._outbox.write(work)
        lane.ends.reported(verdict, count, changes)
        good = verdict.kind in (Kind.DELIVERED, Kind.RECEIVED)
        (log.info if good else log.warning)(
            "outcome_reported", instance=lane.instance.name, verdict=str(verdict.kind), code=verdict.code, count=count
        )
        if verdict.kind is Kind.PAUSE:
            await lane.pause(verdict.code, verdict.message, verdict.after_s)
        lane.nudge()

    def _changes(self, db: Connection, seqs: Sequence[int], verdict: Verdict, now: float) -> list[Change]:
        """What the report means for deliveries of the request: the platform's word that it failed for now counts once
        for each, a second time ends it.
        """
        if verdict.kind in (Kind.DELIVERED, Kind.RECEIVED):
            return []
        frozen_s, code, message = self._lane.frozen_s(), verdict.code, verdict.message
        again = set(seqs) if verdict.kind is Kind.PAUSE else set()  # they go once the operator has mended it
        at = now
        if verdict.kind is Kind.RETRY:
            again, at = set(seqs) - lanes.resent(db, self._lane.id, seqs), now + (verdict.after_s or 0.0)
        return [
            Change(seq, State.WAITING, 1, now, frozen_s, next_at=at, code=code, message=message)
            if seq in again
            else dead(seq, 1, now, code, message)
            for seq in seqs
        ]
