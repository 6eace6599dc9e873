"""Every metric Tocsin exports, in one list that code, docs and dashboard read.

Names follow the Prometheus conventions: base units, `_total` for counters. No label may carry
a value that a producer of spans chooses freely (model, tool, agent): it could make any number
of time series.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import prometheus_client as prom

import tocsin

PREFIX = "tocsin_"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name (without prefix), what it means, what to do about it, and labels."""

    name: str
    meaning: str
    action: str
    labels: tuple[str, ...] = ()


class Counter(Metric):
    """Only grows."""


class Gauge(Metric):
    """Goes up and down."""


@dataclass(frozen=True, slots=True)
class Histogram(Metric):
    """A distribution over fixed buckets (upper bounds, in the unit of the name)."""

    buckets: tuple[float, ...] = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


# ---- ingest: consumed = aggregated + late + duplicate + filtered + dead-lettered, in spans --

RECORDS_CONSUMED = Counter(
    "records_consumed_total", "Kafka records read.", "Flat while lag grows: restart.", ("topic",)
)
SPANS_CONSUMED = Counter(
    "spans_consumed_total",
    "Spans met in those records, readable or not; an unreadable record counts as one.",
    "Left side of the conservation law.",
)
SPANS_AGGREGATED = Counter(
    "spans_aggregated_total", "Spans folded into windows and runs.", "Should track consumed."
)
SPANS_LATE = Counter(
    "spans_late_total",
    "Spans whose window had closed: counted, never folded.",
    "Above 1 %: raise lateness_s, or find the exporter that batches for too long.",
)
SPANS_FILTERED = Counter(
    "spans_filtered_total", "Spans no view asks for.", "Normal for plain HTTP or DB spans."
)
SPANS_DUPLICATE = Counter(
    "spans_duplicate_total",
    "Spans read again that were counted before (a restart, a rebalance): refused by their offsets.",
    "Normal after a crash. Steady: two workers read one partition (clock stop, zombie).",
)
DEAD_LETTERED = Counter(
    "dlq_records_total",
    "Records (or spans of a batch) sent to the dead-letter topic.",
    "Read the topic; `dlq.reason` names the cause. One new reason after a deploy: call its team.",
    ("reason",),
)
FLUSH_SECONDS = Histogram(
    "flush_seconds",
    "One flush: decode, fold, merge in Redis.",
    "Grows with Redis latency: look there first.",
)
FLUSH_SPANS = Histogram(
    "flush_spans",
    "Spans a flush carried.",
    "Always at the ceiling: ingest is saturated, add a worker (up to the partition count).",
    buckets=(1, 10, 100, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000),
)
REWINDS = Counter(
    "rewinds_total",
    "Partitions sought back because a shard had lost state, or was new.",
    "Unexplained: Redis evicts or restarts. It must run with maxmemory-policy noeviction.",
    ("cause",),
)
GAPS = Counter(
    "offset_gaps_total",
    "Times the next record lay beyond the expected offset: retention overtook the consumer.",
    "Windows in the gap are partial. Raise retention, or add workers.",
    ("topic",),
)
LAG = Gauge(
    "consumer_lag_records",
    "Records between the position and the end of the log.",
    "Growing: add workers, or look at flush_seconds.",
    ("topic", "partition"),
)
WATERMARK_DELAY = Gauge(
    "watermark_delay_seconds",
    "How far event time is behind the clock.",
    "One partition far behind the rest holds back every window: find its producer.",
    ("partition",),
)
REJECTED_SHARE = Gauge(
    "rejected_share",
    "Share of recent records that were dead-lettered, 0..1.",
    "At the limit ingest stops rather than drain the topic into the DLQ: fix the producer.",
)

# ---- store -----------------------------------------------------------------------------

FENCED_WRITES = Counter(
    "fenced_writes_total",
    "Writes refused because another owner was ahead.",
    "Normal at a rebalance; steady: two workers hold one shard (clock stop, zombie).",
    ("stage",),
)

# ---- watch -----------------------------------------------------------------------------

ALERTS = Counter(
    "alerts_total", "Alert events written.", "Noisy rule: tune it.", ("rule", "severity", "state")
)
EVENT_TO_ALERT = Histogram(
    "event_to_alert_seconds",
    "From the event that proved an alert to its acknowledged publication.",
    "Compare with watermark_delay_seconds: most of it is lateness you asked for.",
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300),
)
TICK_SECONDS = Histogram(
    "tick_seconds", "One evaluation of one shard.", "p99 near tick_s: add watch workers."
)
CHANGES = Counter(
    "changes_total",
    "Events on the changes topic, by outcome (read, ignored, refused), each worker's own count.",
    "Refused grows: read the DLQ records of that topic; a pipeline publishes its deploys wrongly.",
    ("outcome",),
)
PIPELINE_STALLED = Gauge(
    "pipeline_stalled",
    "1 while our own lag holds windows open, so silence proves nothing.",
    "Look at consumer_lag_records.",
)

# ---- bridge and process -----------------------------------------------------------------

NOTIFICATIONS = Counter(
    "notifications_total",
    "Events handed to a sink, by outcome (delivered, retried, duplicate).",
    "Retried without delivered: the sink is down or its credentials are wrong.",
    ("sink", "outcome"),
)
NOTIFICATION_QUEUE = Gauge(
    "notification_queue_length", "Events waiting for a sink.", "Grows: sink is slow.", ("sink",)
)
HEARTBEAT = Gauge(
    "heartbeat_timestamp_seconds",
    "When the stage's loop last turned, Unix seconds.",
    "Older than a minute: the loop hangs; the orchestrator should restart the process.",
    ("stage",),
)
BUILD_INFO = Gauge("build_info", "Always 1; carries the version.", "None.", ("version",))

#: The list itself, in the order above.
CATALOGUE: tuple[Metric, ...] = tuple(v for v in dict(globals()).values() if isinstance(v, Metric))
_MADE_BY: Mapping[type[Metric], Any] = {
    Counter: prom.Counter, Gauge: prom.Gauge, Histogram: prom.Histogram,
}  # fmt: skip


class Metrics:
    """The catalogue on one registry. Pass it down; there is no global one."""

    def __init__(self, registry: prom.CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else prom.CollectorRegistry()
        self._made: dict[str, Any] = {}
        for metric in CATALOGUE:
            more = {"buckets": metric.buckets} if isinstance(metric, Histogram) else {}
            self._made[metric.name] = _MADE_BY[type(metric)](
                PREFIX + metric.name, metric.meaning, metric.labels, registry=self.registry, **more
            )
        self.set(BUILD_INFO, 1, version=tocsin.__version__)

    def add(self, metric: Counter, amount: float = 1, **labels: str) -> None:
        """Grow a counter by `amount` >= 0."""
        self._at(metric, labels).inc(amount)

    def set(self, metric: Gauge, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._at(metric, labels).set(value)

    def observe(self, metric: Histogram, value: float, **labels: str) -> None:
        """Record one observation of a distribution."""
        self._at(metric, labels).observe(value)

    def drop(self, metric: Gauge, **labels: str) -> None:
        """Remove a gauge's labels: as the lag of a partition that was revoked."""
        if labels.keys() == set(metric.labels):
            self._made[metric.name].remove(*(labels[name] for name in metric.labels))

    def read(self, metric: Counter | Gauge, **labels: str) -> float:
        """Return a counter's or gauge's value; 0 when it was never touched. For tests, health."""
        value = self.registry.get_sample_value(PREFIX + metric.name, labels)
        return 0.0 if value is None else value

    def serve(self, port: int, host: str = "127.0.0.1") -> None:
        """Expose the registry over HTTP on its own thread. Raises OSError if the port is taken."""
        prom.start_http_server(port, addr=host, registry=self.registry)

    def render(self) -> bytes:
        """Return the exposition text, as `/metrics` serves it."""
        return prom.generate_latest(self.registry)

    def _at(self, metric: Metric, labels: Mapping[str, str]) -> Any:
        made = self._made[metric.name]
        return made.labels(**labels) if metric.labels else made
