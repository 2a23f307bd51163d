"""Forgetting in time: the background task that holds the outbox to the retention that the configuration promises."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio

from gateway.log import get_logger
from gateway.model.errors import OutboxError
from gateway.outbox import retention
from gateway.outbox.lanes import lane_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.config import Settings
    from gateway.outbox import Outbox
    from gateway.outbox.engine import Connection

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
    while True:
        with anyio.move_on_after(round_s):
            await stop.wait()
            return
        try:
            await outbox.sweep_dedup()
            if has_lease():
                await forget(outbox, settings(), stop, clock())
        except OutboxError as error:  # a full disk heals; a failed one ends the process elsewhere
            log.error("upkeep_failed", error=type(error).__name__, message=str(error))


async def forget(outbox: Outbox, settings: Settings, stop: anyio.Event, now: float) -> None:
    """One round: addresses, then payloads, then what is left, each in steps until nothing is due."""
    lanes = await outbox.read(lambda db: lane_ids(db, settings.enabled))
    if lanes is None:  # the dispatcher has just begun
        return
    for name, step in _steps(settings, lanes, now).items():
        rows = 0
        while not stop.is_set():
            done = await outbox.write(step)
            rows += done
            if done < retention.STEP:
                break
            await anyio.sleep(STEP_S)
        if rows:
            log.info("forgotten", key=name, rows=rows)


def _steps(settings: Settings, lanes: Sequence[int], now: float) -> dict[str, Callable[[Connection], int]]:
    privacy, kept = settings.privacy, settings.outbox
    address_limit = None if privacy.ip_retention_s is None else now - privacy.ip_retention_s

    def clear(db: Any) -> int:
        return retention.shred_clear(db, lanes, older_than=address_limit)

    def payloads(db: Any) -> int:
        return retention.drop_payloads(db, lanes, now - privacy.payload_retention_s)

    def events(db: Any) -> int:
        return retention.drop_events(db, lanes, now - kept.retention_s, now - kept.dedup_window_s)

    return {"addresses": clear, "payloads": payloads, "events": events}
