"""Forgetting in time: the background task that holds the outbox to the retention that the configuration promises."""

from __future__ import annotations

import time
from functools import partial
from textwrap import wrap
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from gateway.log import get_logger
from gateway.model.errors import OutboxError
from gateway.outbox import anchor, ledger, retention, visits
from gateway.outbox.lanes import lane_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gateway.config import Settings
    from gateway.outbox import Outbox

#: Seconds between two rounds, and between two steps of one.
ROUND_S, STEP_S = 60.0, 0.05

log = get_logger("upkeep")


async def upkeep(
    outbox: Outbox,
    settings: Callable[[], Settings],
    stop: anyio.Event,
    *,
    has_lease: Callable[[], bool],
    round_s: float = ROUND_S,
    clock: Callable[[], float] = time.time,
) -> None:
    """Work in rounds until `stop`.

    Each process sweeps its own dedup index; what is on disk is the dispatching process's to delete.
    """
    anchored = b""
    while True:
        with anyio.move_on_after(round_s):
            await stop.wait()
            return
        try:
            await outbox.sweep_dedup()
            if has_lease():
                await forget(outbox, settings(), stop, clock())
                anchored = await anchor_head(outbox, settings().privacy.ledger_anchor, anchored, clock())
        except OutboxError as error:  # a full disk heals; a failed one ends the process elsewhere
            log.error("upkeep_failed", error=type(error).__name__, message=str(error))


async def forget(outbox: Outbox, settings: Settings, stop: anyio.Event, now: float) -> None:
    """One round: addresses, then payloads, then what is left, each in steps until nothing is due."""
    lanes = await outbox.read(lambda db: lane_ids(db, settings.enabled))
    if lanes is None:  # the dispatcher has just begun
        return
    for what, (older_than, step) in _steps(settings, lanes, now).items():
        rows, start = 0, 0
        while not stop.is_set():
            look = partial(retention.first_free, lanes=lanes, what=what, older_than=older_than, start=start)
            found = await outbox.read(look)
            if found is None:
                break
            start = found
            done = await outbox.write(partial(step, start=start))
            if not done:
                break
            rows += done
            await anyio.sleep(STEP_S)
        if rows:
            log.info("forgotten", key=what, rows=rows)
    await forget_decisions(outbox, now - settings.privacy.ledger_retention_s, stop)
    await forget_visits(outbox, now, stop)


async def forget_visits(outbox: Outbox, now: float, stop: anyio.Event) -> None:
    """What is remembered of visits, once its time is over, in steps."""
    rows = 0
    while not stop.is_set() and await outbox.read(lambda db: visits.expired(db, now)):
        rows += await outbox.write(lambda db: visits.forget_expired(db, now))
        await anyio.sleep(STEP_S)
    if rows:
        log.info("forgotten", key="visits", rows=rows)


async def forget_decisions(outbox: Outbox, older_than: float, stop: anyio.Event) -> None:
    """The oldest rows of the consent ledger, in steps."""
    rows = 0
    while not stop.is_set() and await outbox.read(lambda db: ledger.is_due(db, older_than)):
        rows += await outbox.write(lambda db: ledger.prune(db, older_than))
        await anyio.sleep(STEP_S)
    if rows:
        log.info("forgotten", key="decisions", rows=rows)


async def anchor_head(outbox: Outbox, path: Path | None, anchored: bytes, now: float) -> bytes:
    """Write down where the ledger ends, unless that is `anchored`; in the log too. Returns its hash."""
    head = await outbox.read(ledger.head)
    if head.hash == anchored or not head.id:
        return anchored
    # in parts: the log hides what looks like somebody's digest
    log.info("ledger_head", number=head.id, hash="-".join(wrap(head.hash.hex(), 16)))
    if path is not None:
        await anyio.to_thread.run_sync(anchor.append, path, head, now)
    return head.hash


def _steps(settings: Settings, lanes: Sequence[int], now: float) -> dict[str, tuple[float | None, Callable[..., int]]]:
    """Kind of data → the age that it may go at, and what deletes it."""
    privacy, kept = settings.privacy, settings.outbox
    address_limit = None if privacy.ip_retention_s is None else now - privacy.ip_retention_s
    payload_limit, event_limit = now - privacy.payload_retention_s, now - kept.retention_s
    dedup_since = now - kept.dedup_window_s
    return {
        "addresses": (address_limit, partial(retention.shred_clear, lanes=lanes, older_than=address_limit)),
        "payloads": (payload_limit, partial(retention.drop_payloads, lanes=lanes, older_than=payload_limit)),
        "events": (
            event_limit,
            partial(retention.drop_events, lanes=lanes, older_than=event_limit, dedup_since=dedup_since, now=now),
        ),
    }
