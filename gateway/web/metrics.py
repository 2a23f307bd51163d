"""What the gateway counts, in Prometheus' words. Each has a line in docs/metrics.md."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily

import gateway
from gateway.model.errors import OutboxError
from gateway.outbox import standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from prometheus_client.metrics_core import Metric

    from gateway.delivery.ends import Ended
    from gateway.delivery.status import LaneStatus
    from gateway.model.delivery import Attempt
    from gateway.outbox import Outbox

#: What may become of a posted event.
RESULTS = ("accepted", "duplicates", "rejected")
#: What a lane may be doing.
LANE_STATES = ("running", "paused", "broken", "off")
#: Upper edges in seconds.
REQUEST_EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
ATTEMPT_EDGES = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: The largest number of codes told apart, of faults and warnings together and of each destination's ends: codes come
#: from a list, or from a platform's, but nothing should hang on that.
MAX_CODES = 200


class SourceCounters:
    """One source's counters at one door, looked up once."""

    __slots__ = ("_results", "_seconds")

    def __init__(self, results: Mapping[str, Counter], seconds: Histogram) -> None:
        self._results = tuple(results.items())
        self._seconds = seconds

    def answered(self, answer: Mapping[str, Any], seconds: float) -> None:
        """Count a body's events, and how long it took from its last byte to the answer."""
        for result, counter in self._results:
            if answer[result]:
                counter.inc(answer[result])
        self._seconds.observe(seconds)


class Metrics:
    """All of a process's counters, in a registry of their own."""

    def __init__(self, worker: int | None = None) -> None:
        """`worker`: this process's number, where several answer at one address: it is a label of everything then."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which only OpenMetrics readers use
        self.registry = CollectorRegistry()
        # the process's memory, processor time and open files
        ProcessCollector(registry=self.registry)
        self._events = self._counter(
            "gateway_events", "Events posted, by what became of them.", ("source", "door", "result")
        )
        self._faults = self._counter("gateway_faults", "Faults of refused requests and events.", ("about", "code"))
        self._warnings = self._counter("gateway_warnings", "Warnings given for accepted events.", ("code",))
        self._seconds = self._histogram(
            "gateway_request_seconds",
            "From a body's last byte to the answer, commit included.",
            ("door",),
            REQUEST_EDGES,
        )
        self._attempts = self._counter(
            "gateway_attempts", "HTTP tries, by the verdict on the request.", ("instance", "verdict")
        )
        self._deliveries = self._counter(
            "gateway_deliveries_tried", "Deliveries in those tries.", ("instance", "verdict")
        )
        self._attempt_seconds = self._histogram(
            "gateway_attempt_seconds", "From the first byte out to the last byte in.", ("instance",), ATTEMPT_EDGES
        )
        self._ended = self._counter(
            "gateway_deliveries_ended", "Deliveries that came to their end.", ("instance", "state", "code")
        )
        self._webhooks = self._counter(
            "gateway_webhooks_unused", "Signed webhooks of which no event was made, by why.", ("source", "code")
        )
        #: This process's number among several, else `None`.
        self.worker = worker
        self._bound: dict[tuple[str, str], SourceCounters] = {}
        self._codes: dict[str, set[str]] = {}

    def watch(
        self, outbox: Outbox, lanes: Callable[[], Sequence[LaneStatus]], instances: Callable[[], Iterable[str]]
    ) -> None:
        """Have the gauges read from these at each scrape. `instances`: the destinations that are switched on."""
        self.registry.register(_State(outbox, lanes, instances))

    def of(self, source: str, door: str) -> SourceCounters:
        """A source's counters at a door."""
        bound = self._bound.get((source, door))
        if bound is None:
            results = {result: self._events.labels(source, door, result) for result in RESULTS}
            bound = self._bound[source, door] = SourceCounters(results, self._seconds.labels(door))
        return bound

    def request_refused(self, code: str) -> None:
        """Count a request that was refused as a whole."""
        self._faults.labels("request", self._known(code)).inc()

    def told(self, results: Iterable[Mapping[str, Any]]) -> None:
        """Count the faults and warnings that a body's results tell of."""
        for result in results:
            for fault in result.get("errors", ()):
                self._faults.labels("event", self._known(fault["code"])).inc()
            for warning in result.get("warnings", ()):
                self._warnings.labels(self._known(warning["code"])).inc()

    def webhook_unused(self, source: str, code: str) -> None:
        """Count a webhook of which no event was made."""
        self._webhooks.labels(source, code).inc()

    def attempted(self, attempt: Attempt) -> None:
        """Count one HTTP try."""
        self._attempts.labels(attempt.instance, attempt.verdict).inc()
        self._deliveries.labels(attempt.instance, attempt.verdict).inc(attempt.size)
        self._attempt_seconds.labels(attempt.instance).observe(attempt.duration_s)

    def ended(self, ended: Ended) -> None:
        """Count deliveries that came to their end."""
        code = self._known(ended.code, ended.instance)
        self._ended.labels(ended.instance, str(ended.state), code).inc(ended.count)

    def text(self) -> bytes:
        """Everything, in Prometheus' text format. It reads from the outbox: not for the event loop."""
        shown = self.registry if self.worker is None else _Labelled(self.registry, str(self.worker))
        return generate_latest(shown)

    def _known(self, code: str, of: str = "") -> str:
        """The code, or `other` when too many are told apart already; `of` a destination, else of the doors."""
        codes = self._codes.setdefault(of, set())
        if code not in codes:
            if len(codes) >= MAX_CODES:
                return "other"
            codes.add(code)
        return code

    def _counter(self, name: str, about: str, labels: Sequence[str]) -> Counter:
        return Counter(name, about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, labels: Sequence[str], edges: Sequence[float]) -> Histogram:
        return Histogram(name, about, labels, buckets=edges, registry=self.registry)


class _Labelled:
    """A registry with one more label on all that it holds."""

    def __init__(self, registry: CollectorRegistry, worker: str) -> None:
        self._registry = registry
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        """Everything, labelled."""
        for metric in self._registry.collect():
            metric.samples = [one._replace(labels={**one.labels, "worker": self._worker}) for one in metric.samples]
            yield metric


class _State:
    """Gauges that are read when somebody asks."""

    def __init__(
        self, outbox: Outbox, lanes: Callable[[], Sequence[LaneStatus]], instances: Callable[[], Iterable[str]]
    ) -> None:
        self._outbox = outbox
        self._lanes = lanes
        self._instances = instances

    def describe(self) -> Iterable[Metric]:
        """Names for the registry, without asking anybody yet."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The gauges as they stand."""
        build = GaugeMetricFamily("gateway_build_info", "Always 1; the version is a label.", labels=["version"])
        build.add_metric([gateway.__version__], 1)
        waiting = GaugeMetricFamily("gateway_outbox_waiting_bytes", "Bytes of events that wait to be written.")
        waiting.add_metric([], self._outbox.waiting_bytes)
        failed = GaugeMetricFamily("gateway_outbox_failed", "1 when the disk has failed and the process is ending.")
        failed.add_metric([], int(self._outbox.failure is not None))
        full = GaugeMetricFamily("gateway_outbox_full", "1 while the disk has no space left and events are refused.")
        full.add_metric([], int(self._outbox.full))
        free = GaugeMetricFamily("gateway_outbox_free_bytes", "Space left on the outbox's disk.")
        free.add_metric([], shutil.disk_usage(self._outbox.path.parent).free)
        state = GaugeMetricFamily("gateway_lane_state", "1 for the state a lane is in.", labels=["instance", "state"])
        flying = GaugeMetricFamily("gateway_lane_in_flight", "Requests now open.", labels=["instance"])
        for lane in self._lanes():
            for name in LANE_STATES:
                state.add_metric([lane.instance, name], int(lane.state == name))
            flying.add_metric([lane.instance], lane.in_flight)
        behind = GaugeMetricFamily("gateway_lane_behind", "Events to come to, and those waiting.", labels=["instance"])
        age = GaugeMetricFamily("gateway_lane_oldest_seconds", "Age of the oldest of those.", labels=["instance"])
        counts, since = self._undelivered()
        for name, count in counts.items():
            behind.add_metric([name], count)
            age.add_metric([name], max(0.0, time.time() - since[name]) if name in since else 0.0)
        return [build, waiting, failed, full, free, state, flying, behind, age]

    def _undelivered(self) -> tuple[Mapping[str, int], Mapping[str, float]]:
        try:
            with self._outbox.reading() as db:
                return standing.behind(db, self._instances()), standing.oldest(db, self._instances())
        except OutboxError:  # the other gauges tell of a disk that fails: they must still be answered
            return {}, {}
