"""A lane: everything one destination instance owes, on its own clock, connections, limits and breaker.

    claim (log, due) → group → batch → send → judge → record

The lane is the only one that touches its deliveries (one dispatcher at a time holds the lease), so that claims live in
memory. What a crash forgets of them is read again from the log: only what had been recorded is never sent again.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.abc
import anyio.lowlevel

from gateway.delivery import judge
from gateway.delivery.access import Access, Pause
from gateway.delivery.batching import Batches
from gateway.delivery.claims import Claim, Claimer
from gateway.delivery.ends import Ended, Ends
from gateway.delivery.followup import FollowUps
from gateway.delivery.hand import Hand
from gateway.delivery.ratelimit import RateLimit
from gateway.delivery.reading import Reader
from gateway.delivery.retry import UNSEEN_WORDS
from gateway.delivery.sender import RETRY_AFTER_MAX_S
from gateway.delivery.serials import Serials
from gateway.delivery.status import LaneStatus, broken
from gateway.log import get_logger
from gateway.model.delivery import Attempt, Kind, State, Verdict
from gateway.model.errors import OutboxError, OutboxFailed
from gateway.outbox import Outbox, lanes
from gateway.outbox.lanes import Change, Due, LaneRow, Stored, Tried
from gateway.outbox.people import affected_since

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from gateway.config import Instance
    from gateway.delivery.clock import Clock
    from gateway.delivery.courtesy import Courtesy
    from gateway.delivery.sender import Answered, Sender
    from gateway.ingest.gate import Gate
    from gateway.outbox.engine import Connection
    from gateway.outbox.ranges import Ranges

#: Claims mapped before others have their turn.
SLICE = 25
#: How often another process's new events are looked for, in seconds.
POLL_S = 0.25
#: Deliveries held back in hand for an earlier one of their serial key, at most.
HELD = 5_000
#: Changes without a request that gather before they are recorded.
GATHERED = 2_000
#: A refund of a purchase that nobody knows, while something waits that nobody has read, looks again after so many
#: seconds.
UNREAD_S = 5.0
#: How long a recording that failed is waited for, in seconds.
RECORD_AGAIN_S = 1.0

T = TypeVar("T")

log = get_logger("delivery")


class Lane:
    """Delivers one instance's events until it is stopped."""

    def __init__(
        self,
        instance: Instance,
        gate: Gate,
        outbox: Outbox,
        sender: Sender,
        *,
        clock: Clock,
        rng: random.Random,
        courtesy: Courtesy,
        observe: Callable[[Attempt], None],
        ended: Callable[[Ended], None],
    ) -> None:
        self.instance = instance
        self._outbox, self._sender, self._clock, self._rng, self._observe = outbox, sender, clock, rng, observe
        #: Who is told of what ended.
        self.ends = Ends(instance.name, ended)
        self._courtesy = courtesy
        self._claimer = Claimer(instance, gate)
        self._batches = Batches(instance.batch_size, instance.linger_s)
        self._serials = Serials()
        self._access = Access(rng)
        self._rate = RateLimit(instance.rate, clock.now(), instance.burst)
        self._reader = Reader(instance, outbox, clock)
        #: Settled without a request: to be recorded with the next attempt, or when the lane rests.
        self._changes: list[Change] = []
        self._id = 0
        self._cursor = 0
        self._in_flight = 0
        self._wake = anyio.Event()
        self._stop = anyio.Event()

    # What others ask.

    def status(self) -> LaneStatus:
        """How it is."""
        name, pause, breaker = self.instance.name, self._access.pause, self._access.breaker
        if pause is not None:
            return LaneStatus(name, "paused", pause.since, pause.code, pause.message, self._in_flight)
        if breaker.open_since is not None:
            return broken(name, breaker.open_since, breaker.code, self._in_flight)
        return LaneStatus(name, "running", in_flight=self._in_flight)

    def nudge(self) -> None:
        """There may be something new."""
        self._wake.set()

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is in flight has been recorded."""
        self._stop.set()
        self._wake.set()

    # The loop.

    async def run(self) -> None:
        """Deliver until stopped. Raises `OutboxFailed` when the disk does."""
        await self._open()
        async with anyio.create_task_group() as tasks:
            if self.instance.follow_up is not None:
                tasks.start_soon(FollowUps(self, self._outbox, self._sender, self._clock).run)
            while not self.stopping:
                pause = self._access.wait_s(self._clock.now())
                if pause > 0 or self._in_flight >= self._slots:
                    await self._rest(pause or None)
                elif batch := await self._next_batch():
                    self._in_flight += 1
                    tasks.start_soon(self._deliver, batch)
            self._let_go(self._batches.drain())
        await self._flush()
        await self._write_rate()
        await self._sender.close()

    @property
    def id(self) -> int:
        """`lane.id`"""
        return self._id

    @property
    def _hand(self) -> Hand:
        return self._reader.hand

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def held_s(self) -> float:
        """Seconds for which the platform still wants no request at all, questions included."""
        return max(0.0, self._access.held_until - self._clock.now())

    def frozen_s(self) -> float:
        """Seconds of pauses so far: time that retry clocks do not count."""
        return self._access.frozen(self._clock.now())

    async def throttle(self) -> None:
        """Wait for the turn that the platform's limit of requests gives, or until told to stop."""
        if (wait := self._rate.take(self._clock.now())) > 0:
            await self._clock.wait(self._stop, wait)

    async def _open(self) -> None:
        def work(db: Connection) -> tuple[LaneRow, Ranges, list[tuple[int, int]]]:
            row = lanes.open_lane(db, self.instance.name, lanes.end_of_log(db))
            return row, lanes.settled_after(db, row.id, row.cursor), lanes.waiting_serials(db, row.id)

        row, settled, waiting = await self._outbox.write(work)
        self._id, self._cursor = row.id, row.cursor
        self._reader.open(row.id, Hand(row.cursor, settled))
        self._serials.parked(waiting)
        self._access.frozen_s = row.frozen_s
        if row.held_until is not None:  # no longer than it can have asked for, should the clock have been set back
            now = self._clock.now()
            self._access.hold(now, min(row.held_until - now, RETRY_AFTER_MAX_S))
        if row.paused_at is not None:  # whatever was wrong may have been mended: one probe at once
            self._access.pause = Pause(row.paused_at, row.pause_code, row.pause_message, self._clock.now())
        if row.rate_full_at is not None:
            self._rate.resume(row.rate_full_at, self._clock.now())
        await self._write_rate(self.instance.max_concurrency)
        if row.broken_at is not None:
            self._access.breaker.reopen(row.broken_at, row.broken_code, self._clock.now())

    @property
    def _batch_limit(self) -> int:
        return 1 if self._access.probing else min(self.instance.batch_size, self._sender.fits)

    @property
    def _slots(self) -> int:
        return 1 if self._access.probing else self.instance.max_concurrency

    async def _rest(self, timeout_s: float | None) -> None:
        await self._clock.wait(self._wake, timeout_s)
        self._wake = anyio.Event() if self._wake.is_set() and not self.stopping else self._wake

    # Claim and batch.

    async def _next_batch(self) -> list[Claim]:
        """The next batch to send, or nothing: after a rest, or when a request under way has met trouble."""
        count, started = 0, time.perf_counter()
        while not self.stopping:
            now = self._clock.now()
            if self._access.wait_s(now) > 0:
                return []
            if (batch := self._batches.ready(now, self._batch_limit)) is not None:
                return batch
            if (one := self._reader.pop(now)) is None:
                if len(self._serials) >= HELD or not await self._reader.read(now):
                    break
                started = time.perf_counter()
                continue
            self._claim(one, now)
            count += 1
            if count % SLICE == 0:
                await self._courtesy.after(started)
                started = time.perf_counter()
            if len(self._changes) >= GATHERED:
                await self._flush()
        if not len(self._batches):
            await self._flush()
        await self._rest(await self._idle_for())
        return []

    def _claim(self, one: Stored | Due, now: float) -> None:
        due, stored = (one, one.event) if isinstance(one, Due) else (None, one)
        made = self._claimer.claim(stored, self._reader.decisions[stored.decision], now, due)
        if made is None:
            self._hand.settle([stored.seq])
        elif isinstance(made, Change):
            self._changes.append(made)
        else:
            self._line_up(made, now)

    def _line_up(self, claim: Claim, now: float) -> None:
        """Into a batch, or behind the earlier delivery of its serial key, which may be anywhere in a backlog."""
        if claim.serial is not None and not claim.due and self._hand.is_ahead(claim.seq):
            self._hand.leave(claim.seq)
            return
        where = self._serials.admit(claim)
        if where == "go":
            self._batches.add(claim, now)
        elif where == "park":
            self._changes.append(_parked(claim, now))

    async def _idle_for(self) -> float:
        """Seconds until something is due that nobody will announce."""
        now = self._clock.now()
        if (ready_at := self._batches.ready_at) is not None:
            return max(0.0, min(ready_at - now, POLL_S))
        lane = self._id
        due = await self._outbox.read(lambda db: lanes.next_due(db, lane)) if not len(self._hand) else None
        return max(0.0, min(POLL_S, due - now)) if due is not None else POLL_S

    # Send, judge, record.

    async def _deliver(self, batch: list[Claim]) -> None:
        """Send a batch, and its parts if it must be split, until each claim is settled, waits or is given back."""
        work: deque[list[Claim]] = deque([batch])
        try:
            while work:
                await self.throttle()
                claims = [] if self._must_wait() else await self._sendable(work.popleft())
                if self._must_wait():
                    # meanwhile the platform asked to be left alone, or to be asked with one at a time
                    self._let_go([*claims, *(claim for part in work for claim in part)])
                    return
                if not claims:
                    continue
                answered = await self._sender.send(claims)
                now = self._clock.now()
                outcome = judge.judge(answered, claims, self.instance, self._access.frozen(now), now, self._rng)
                await self._take(answered, claims, outcome)
                work.extendleft(reversed(outcome.again))
                if outcome.pause is not None:
                    self._let_go([claim for part in work for claim in part])
                    return
        finally:
            self._in_flight -= 1
            self._wake.set()

    def _must_wait(self) -> bool:
        return self.stopping or self._access.wait_s(self._clock.now()) > 0

    async def _sendable(self, claims: list[Claim]) -> list[Claim]:
        """Without those that grew too old meanwhile, and those whose order or lead stands otherwise by now."""
        unseen_s = self.instance.retry.unseen_s
        platform_s = math.inf if unseen_s is None else unseen_s
        while True:  # again after each recording: it may take its time
            now = self._clock.now()
            changes = {one.seq: change for one in claims if (change := _too_late(one, platform_s, now)) is not None}
            bound = [
                one
                for one in claims
                if one.serial is not None and (one.follower is not None or one.due) and one.seq not in changes
            ]
            if bound:
                await self._flush()  # what waits before them has its row
                changes |= await self._outplayed(bound)
            if not changes:
                return self._unchanged(claims)
            await self._record(None, [], list(changes.values()))
            waits = {seq for seq, change in changes.items() if change.state is State.WAITING}
            self._finish([claim for claim in claims if claim.seq in changes], waits)
            claims = [claim for claim in claims if claim.seq not in changes]

    def _unchanged(self, claims: list[Claim]) -> list[Claim]:
        """Without those whose people took consent back or were erased since they were claimed, by any process. They are
        given back, to be claimed anew. From here on the others count as under way.
        """
        people = self._outbox.people
        with self._outbox.reading() as db:  # in place: what is heard now holds for this very request
            change = people.hear(db)
            if not (since := [claim.heard for claim in claims if claim.heard < change]):
                return claims
            doubted = affected_since(db, min(since), [claim.seq for claim in claims])
        for claim in claims:
            claim.heard = change
        self._let_go([claim for claim in claims if claim.seq in doubted])
        return [claim for claim in claims if claim.seq not in doubted]

    async def _outplayed(self, claims: list[Claim]) -> dict[int, Change]:
        """Claims whose turn it is not, for how their order or lead stands by now; followers are mapped here."""
        lane, now = self._id, self._clock.now()
        # asked behind what is being written: an earlier delivery's row may be on its way there
        all_series = await self._write(
            lambda db: [lanes.series(db, lane, claim.serial or 0, claim.seq) for claim in claims]
        )
        found: dict[int, Change] = {}
        for claim, series in zip(claims, all_series, strict=True):
            change = None
            if series.last_seq is not None and series.last_seq > claim.seq:
                words = "the platform has a newer event of the same order or lead"
                change = _ended(claim, State.SKIPPED, "superseded", words)
            elif series.waiting:
                change = _parked(claim, now)
            elif claim.follower is not None and series.unread:
                change = replace(_parked(claim, now), next_at=now + UNREAD_S)
            elif claim.follower is not None and series.first_at is None:
                words = "it changes an earlier event that this platform never took"
                change = _ended(claim, State.SKIPPED, "original_not_delivered", words)
            elif series.first_at is not None:
                change = self._claimer.follow(claim, series.first_at)
            if change is not None:
                found[claim.seq] = change
        return found

    async def _take(self, answered: Answered, claims: list[Claim], outcome: judge.Outcome) -> None:
        """Write down what came of a request, and let the lane learn from it."""
        now = self._clock.now()
        follow_up = self.instance.follow_up
        tried = judge.tried(answered, claims, outcome, now + follow_up.first_s if follow_up is not None else None)
        rows_done = [claim.seq for claim in claims if claim.due and claim.seq in outcome.taken]
        if outcome.hold_s:  # before it is written down, which may take its time
            self._access.hold(now, outcome.hold_s)
        await self._record(tried, rows_done, outcome.changes, held=bool(outcome.hold_s))
        open_ = {claim.seq for part in outcome.again for claim in part} | {claim.seq for claim in outcome.back}
        waits = {change.seq for change in outcome.changes if change.state is State.WAITING}
        self._finish([claim for claim in claims if claim.seq not in open_], waits)
        if outcome.back:
            self._let_go(outcome.back)
        if answered.tried:
            await self._learn(answered, outcome, now)
        if tried is not None:
            done = (tried.started_at, tried.duration_s, len(tried.seqs), tried.status)
            self._observe(Attempt(self.instance.name, *done, tried.verdict, tried.code, tried.message))

    async def _learn(self, answered: Answered, outcome: judge.Outcome, now: float) -> None:
        access, name = self._access, self.instance.name
        if outcome.pause is not None:
            await self.pause(outcome.pause.code, outcome.pause.message, outcome.pause.after_s)
            return
        if outcome.trouble:
            was_open = access.breaker.is_open
            access.breaker.failed(now, outcome.code)
            if access.breaker.is_open and not was_open:
                log.warning("breaker_opened", instance=name, code=outcome.code, status=answered.status)
                await self._write_broken()
            return
        if access.breaker.is_open:
            access.breaker.succeeded()
            await self._write_broken()
            log.info("breaker_closed", instance=name)
        access.breaker.succeeded()
        if access.pause is not None:
            access.resume(now)
            await self._write_pause()
            log.info("lane_resumed", instance=name)

    async def pause(self, code: str, message: str, after_s: float | None = None) -> None:
        """Stop for want of access, until a probe shows that it is mended."""
        verdict = Verdict(Kind.PAUSE, code, message, after_s)
        if self._access.stop(verdict, self._clock.now()):
            log.error("lane_paused", instance=self.instance.name, code=code, message=message)
        await self._write_pause()
        self._let_go(self._batches.drain())

    async def _write_pause(self) -> None:
        pause, lane, frozen_s = self._access.pause, self._id, self._access.frozen_s
        since, code, message = (pause.since, pause.code, pause.message) if pause is not None else (None, "", "")
        await self._write(lambda db: lanes.set_pause(db, lane, since, code, message, frozen_s))

    async def _write_rate(self, more: int = 0) -> None:
        lane, full_at = self._id, self._rate.full_at(more)
        if full_at is not None:
            await self._write(lambda db: lanes.set_rate(db, lane, full_at))

    async def _write_broken(self) -> None:
        lane, since, code = self._id, self._access.breaker.open_since, self._access.breaker.code
        await self._write(lambda db: lanes.set_broken(db, lane, since, code))

    def _finish(self, claims: Sequence[Claim], waits: set[int]) -> None:
        """Claims that are on disk as settled or waiting: let go of them, and call who stood behind them."""
        self._hand.settle(claim.seq for claim in claims)
        now = self._clock.now()
        for claim in claims:
            following, behind = self._serials.finish(claim, waits=claim.seq in waits)
            for one in following:
                self._batches.add(one, now)
            self._hand.let_go([one.seq for one in behind if one.due])
            self._changes.extend(_parked(one, now) for one in behind if not one.due)

    def _let_go(self, claims: Sequence[Claim]) -> None:
        """Unclaim: they are read again, from the log or from their rows; so is what was read behind them."""
        given = list(claims)
        for claim in claims:
            given += self._serials.let_go(claim)
        self._hand.let_go([*(claim.seq for claim in given), *self._reader.unclaim()])

    async def _record(
        self, tried: Tried | None, rows_done: list[int], changes: Sequence[Change], *, held: bool = False
    ) -> None:
        """Write down an attempt and changes, those that gathered included, and how far everything is settled.

        `held`: and until when the platform asked to be left alone.
        """
        gathered, self._changes = self._changes, []
        everything = [*gathered, *changes]
        lane, cursor, now = self._id, self._hand.cursor, self._clock.now()
        until, full_at = self._access.held_until if held else None, None
        if tried is not None:  # should the process die, what is under way by then counts as used
            full_at = self._rate.full_at(self.instance.max_concurrency)

        def work(db: Connection) -> None:
            lanes.record(
                db,
                lane,
                cursor=cursor,
                tried=tried,
                settled=rows_done,
                changes=everything,
                now=now,
                held_until=until,
                rate_full_at=full_at,
            )

        await self._write(work)
        self._cursor = max(self._cursor, cursor)
        self._hand.settle(change.seq for change in gathered)
        self.ends.recorded(tried, everything)

    async def _flush(self) -> None:
        """Record what has gathered without an attempt, and how far the log has been read."""
        if self._changes or self._hand.cursor > self._cursor:
            await self._record(None, [], [])
        if self._hand.cursor > self._cursor:
            await self._record(None, [], [])

    async def _write(self, work: Callable[[Connection], T]) -> T:
        """Write, and wait for better times when the disk is full: what a platform answered must not be lost."""
        while True:
            try:
                return await self._outbox.write(work)
            except OutboxFailed:
                raise
            except OutboxError as error:
                log.error("recording_failed", instance=self.instance.name, message=str(error))
                await self._clock.wait(anyio.Event(), RECORD_AGAIN_S)


def _parked(claim: Claim, now: float) -> Change:
    words = "behind an earlier delivery of the same order or lead"
    past = (claim.tries, claim.first_at, claim.frozen_s, now, claim.unseen, claim.serial)
    return Change(claim.seq, State.WAITING, *past, code="serial", message=words)


def _too_late(claim: Claim, unseen_s: float, now: float) -> Change | None:
    """What ends a claim whose time ran out while it waited."""
    if claim.expires_at < now:
        return _ended(claim, State.EXPIRED, "too_old", "older than the platform takes")
    until = min(claim.unseen_until, math.inf if claim.first_at is None else claim.first_at + unseen_s)
    if claim.unseen and now > until:
        return _ended(claim, State.DEAD, "unseen_window", UNSEEN_WORDS)
    return None


def _ended(claim: Claim, state: State, code: str, message: str) -> Change:
    return Change(claim.seq, state, claim.tries, claim.first_at, code=code, message=message)
