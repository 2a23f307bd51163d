"""All lanes of one outbox, run by the one process that holds the lease."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from gateway.delivery.clock import Clock, SystemClock
from gateway.delivery.courtesy import Courtesy
from gateway.delivery.lane import Lane
from gateway.delivery.sender import Sender
from gateway.delivery.status import LaneStatus
from gateway.delivery.transport import Transport
from gateway.ingest.gate import Gate
from gateway.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx
    import pluggy

    from gateway.config import Instance, Settings
    from gateway.delivery.ends import Ended
    from gateway.model.delivery import Attempt
    from gateway.outbox import Outbox

#: How often a process without the lease asks for it, in seconds.
LEASE_S = 0.5

log = get_logger("delivery")


@dataclass(slots=True)
class _Running:
    lane: Lane
    ended: anyio.Event


class Dispatcher:
    """Runs a lane for each destination that is switched on."""

    def __init__(
        self,
        settings: Settings,
        outbox: Outbox,
        *,
        plugins: pluggy.PluginManager | None = None,
        observe: Callable[[Attempt], None] | None = None,
        ended: Callable[[Ended], None] | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        network: Mapping[str, httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        """`observe` hears of each HTTP try, `ended` of deliveries that came to their end.

        `network`: what stands in for the network in tests, by instance.
        """
        self._settings, self._outbox, self._plugins = settings, outbox, plugins
        self._watch, self._ended = observe, ended or _nobody
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311  # for the jitter of retries
        self._network = network or {}
        self._lanes: dict[str, _Running] = {}
        self._reloading: Settings | None = None
        self._changed = anyio.Event()
        self._stopping = False
        self.has_lease = False
        outbox.on_append(self.nudge)

    async def run(self) -> None:
        """Wait for the lease, then deliver until stopped; gives the lease back. Raises `OutboxFailed`."""
        while not self._stopping and not self._outbox.take_lease():
            await self._clock.wait(self._changed, LEASE_S)
            self._changed = anyio.Event() if not self._stopping else self._changed
        if self._stopping:
            return
        self.has_lease = True
        log.info("dispatching", instances=sorted(self._settings.enabled))
        try:
            async with anyio.create_task_group() as tasks:
                self._start(tasks, self._settings)
                while not self._stopping:
                    await self._changed.wait()
                    self._changed = anyio.Event() if not self._stopping else self._changed
                    if self._reloading is not None:
                        await self._restart(tasks)
                for running in self._lanes.values():
                    running.lane.stop()
        finally:
            self.has_lease = False
            self._outbox.release_lease()

    def stop(self) -> None:
        """Begin to stop: `run` returns when what is in flight has been recorded."""
        self._stopping = True
        self._changed.set()

    def reload(self, settings: Settings) -> None:
        """Have the lanes take a new configuration."""
        if self.has_lease:
            self._reloading = settings
        else:
            self._settings = settings
        self._changed.set()

    def nudge(self) -> None:
        """There are new events."""
        for running in self._lanes.values():
            running.lane.nudge()

    def status(self) -> list[LaneStatus]:
        """How the lanes are, in the order of the configuration."""
        found = []
        for name in self._settings.enabled:
            running = self._lanes.get(name)
            found.append(running.lane.status() if running is not None else LaneStatus(name, "off"))
        return found

    def _start(self, tasks: anyio.abc.TaskGroup, settings: Settings) -> None:
        gate = Gate(settings)
        courtesy = Courtesy(lambda: self._outbox.appending > 0, len(settings.enabled), self._clock)
        for name, instance in settings.enabled.items():
            running = _Running(self._lane(instance, gate, courtesy), anyio.Event())
            self._lanes[name] = running
            tasks.start_soon(self._run_lane, running, name=f"lane {name}")

    async def _run_lane(self, running: _Running) -> None:
        try:
            await running.lane.run()
        finally:
            running.ended.set()

    async def _restart(self, tasks: anyio.abc.TaskGroup) -> None:
        settings, self._reloading = self._reloading, None
        if settings is None:
            return
        for running in self._lanes.values():
            running.lane.stop()
        for running in self._lanes.values():
            await running.ended.wait()
        self._lanes.clear()
        self._settings = settings
        self._start(tasks, settings)
        log.info("lanes_reloaded", instances=sorted(settings.enabled))

    def _lane(self, instance: Instance, gate: Gate, courtesy: Courtesy) -> Lane:
        sender = Sender(instance, self._clock, transport_for(instance, self._network.get(instance.name)))
        return Lane(
            instance,
            gate,
            self._outbox,
            sender,
            clock=self._clock,
            rng=self._rng,
            courtesy=courtesy,
            observe=self._observe,
            ended=self._ended,
        )

    def _observe(self, attempt: Attempt) -> None:
        if self._watch is not None:
            self._watch(attempt)
        if self._plugins is not None:
            try:
                self._plugins.hook.delivery_attempted(attempt=attempt)
            except Exception as error:  # an observer's mistake costs nothing else
                log.error("observer_failed", error=type(error).__name__)


def _nobody(_ended: Ended) -> None:
    """Nobody counts."""


def transport_for(instance: Instance, network: httpx.AsyncBaseTransport | None = None) -> Transport:
    """One instance's connections."""
    return Transport(
        allow_private=instance.allow_private,
        timeout_s=instance.timeout_s,
        connections=instance.max_concurrency + 1,
        transport=network,
    )
