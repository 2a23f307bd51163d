"""What a lane claims next: what is due again, what the log holds, and what is new while there is a backlog.

A lane that is far behind reads the log in two places, so that a fresh event does not wait for a day's backlog:

    settled │ cursor … backlog → scan │ unread … │ head → what is new

Each place has its turn. What the head has settled stands in the hand as ranges, over which the backlog's reading steps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from gateway.delivery.decisions import Decisions
from gateway.delivery.hand import Hand
from gateway.outbox import Outbox, lanes
from gateway.outbox.append import first_since
from gateway.outbox.lanes import Due, Stored
from gateway.outbox.people import denials_of

if TYPE_CHECKING:
    from gateway.config import Instance
    from gateway.delivery.clock import Clock
    from gateway.outbox.engine import Connection

#: Events read from a place of the log at a time, at most.
CHUNK = 500
#: Of a destination with small batches fewer, but so many at least: what is read early may wait long for its turn.
CHUNK_MIN = 50
#: The shortest time between two looks at what is new, in seconds.
LOOK_S = 0.025
#: A lane that reads events which came in longer ago, in seconds, and has more than so many readings of them before it,
#: has a backlog.
BEHIND_S, FAR = 5.0, 2


@dataclass(frozen=True, slots=True)
class _Look:
    """The next events of a place of the log."""

    log: list[Stored]
    #: Numbers among them that have a row of their own.
    rows: set[int]
    #: If these are old and far from the log's end: the number before the first event that is not.
    behind: int | None


class Reader:
    """Reads on for one lane."""

    def __init__(self, instance: Instance, outbox: Outbox, clock: Clock) -> None:
        self._outbox, self._clock = outbox, clock
        #: What shares a serial key keeps its order: a row is not due before the log has been read as far.
        self._ordered = instance.destination.serial_key is not None
        self._chunk = max(CHUNK_MIN, min(CHUNK, 4 * instance.batch_size))
        self._lane = 0
        self.hand = Hand()
        self.decisions = Decisions(outbox)
        #: Read, not yet claimed: of the backlog and of what is due; and of what is new.
        self._buffer: deque[Stored | Due] = deque()
        self._news: deque[Stored] = deque()
        #: Not before these times is there a look, so that a stream of single events is read in bites.
        self._look_at = self._news_at = 0.0
        self._due_first = self._news_first = False

    def open(self, lane: int, hand: Hand) -> None:
        """Read for the lane of this number from now on."""
        self._lane, self.hand = lane, hand

    def __bool__(self) -> bool:
        """Whether anything has been read that is not claimed yet."""
        return bool(self._buffer or self._news)

    def pop(self, now: float) -> Stored | Due | None:
        """The next event to claim; `None` when it is time to read."""
        if not self._news:
            if self.hand.head is not None and now >= self._news_at:
                return None
            return self._buffer.popleft() if self._buffer else None
        self._news_first = not self._news_first
        return self._news.popleft() if self._news_first or not self._buffer else self._buffer.popleft()

    def unclaim(self) -> list[int]:
        """Forget what has been read and not claimed; returns its numbers."""
        unclaimed = [number(one) for one in (*self._buffer, *self._news)]
        self._buffer.clear()
        self._news.clear()
        return unclaimed

    async def read(self, now: float) -> bool:
        """Read on. Returns whether there is anything to claim."""
        if self.hand.head is not None and not self._news and now >= self._news_at:
            await self._read_news(now, self.hand.head)
        return bool(self) or await self._read_on(now)

    async def _read_news(self, now: float, head: int) -> None:
        look = await self._outbox.read(lambda db: self._look(db, head, now))
        await self._learn(look.log, [])
        self._news_at = now + LOOK_S
        if self.hand.head != head:  # claims were given back meanwhile: what was read does not follow on them
            return
        self._news.extend(self.hand.take_news(look.log, look.rows))
        if look.behind is not None:  # too slow for what comes in, or held up for long: what is between is backlog too
            self.hand.head = look.behind

    async def _read_on(self, now: float) -> bool:
        """Read on in the backlog, or, without one, what is new; and what is due, so that neither starves."""
        if (early_s := self._look_at - now) > 0:
            await self._clock.wait(anyio.Event(), early_s)
        while True:
            self.hand.begin_reading()
            scan, limit = self.hand.scan, self._chunk + self.hand.due_count

            def work(db: Connection, scan: int = scan, limit: int = limit) -> tuple[_Look, list[Due]]:
                look = self._look(db, scan, now)
                read_up_to = look.log[-1].seq if look.log else scan
                heard = self._outbox.people.hear(db)
                due = lanes.read_due(db, self._lane, now, limit, read_up_to if self._ordered else None)
                events = self._recalled(db, [one.event for one in due], heard)
                return look, [replace(one, event=event) for one, event in zip(due, events, strict=True)]

            look, due = await self._outbox.read(work)
            await self._learn(look.log, due)
            self._look_at = now + (LOOK_S if len(look.log) < self._chunk and len(due) < self._chunk else 0.0)
            if self.hand.scan != scan:  # as above
                continue
            mine = self.hand.take_due(due, self._chunk)
            fresh = self.hand.take_log(look.log, look.rows)
            if look.behind is not None and self.hand.head is None:
                self.hand.head = look.behind
            self._buffer.extend(self._in_turn(mine, fresh))
            if self._buffer or not look.log:
                return bool(self._buffer)

    def _look(self, db: Connection, after: int, now: float) -> _Look:
        heard, fresh = self._outbox.people.hear(db), now - BEHIND_S
        log = self._recalled(db, lanes.read_log(db, after, self._chunk), heard)
        behind = None
        last = lanes.received_at(db, log[-1].seq) if len(log) == self._chunk else None
        if last is not None and last < fresh:
            before = first_since(db, fresh) - 1
            behind = before if before > after + FAR * self._chunk else None
        return _Look(log, lanes.rows_among(db, self._lane, log), behind)

    def _recalled(self, db: Connection, read: list[Stored], heard: int) -> list[Stored]:
        """Events with what is remembered of their people."""
        if not heard:
            return read
        denials = denials_of(db, [one.seq for one in read], self._outbox.people)
        return [replace(one, denial=denials.get(one.seq), heard=heard) for one in read]

    async def _learn(self, log: list[Stored], due: list[Due]) -> None:
        """Have the decisions at hand of all that is to be claimed."""
        read = (*self._buffer, *self._news, *log, *due)
        await self.decisions.learn((one.event if isinstance(one, Due) else one).decision for one in read)

    def _in_turn(self, due: list[Due], fresh: list[Stored]) -> list[Stored | Due]:
        """Now what is due first, now what is new; but nothing before an earlier event that is new."""
        self._due_first = not self._due_first
        if not fresh:
            return [*due]
        old: list[Stored | Due] = [one for one in due if one.event.seq < fresh[0].seq]
        rest: list[Stored | Due] = [*fresh, *(one for one in due if one.event.seq > fresh[0].seq)]
        rest.sort(key=number)
        return [*old, *rest] if self._due_first else [*rest, *old]


def number(one: Stored | Due) -> int:
    """Which event it is."""
    return one.event.seq if isinstance(one, Due) else one.seq
