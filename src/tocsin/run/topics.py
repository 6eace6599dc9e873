"""The topics Tocsin reads and writes: their settings, creating and checking them."""

from dataclasses import dataclass

from tocsin.bus.base import Admin, TopicMissing, TopicSpec
from tocsin.config import Config
from tocsin.run.backends import open_bus

_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


def specs(config: Config) -> tuple[TopicSpec, ...]:
    """Return every topic as it should be, spans first."""
    names, replication = config.topics, config.kafka.replication
    rebuild_ms = config.rebuild_horizon_s * 1_000

    def topic(name: str, partitions: int, retention_ms: int, **more: str) -> TopicSpec:
        settings = {name.replace("_", "."): value for name, value in more.items()}
        settings["retention.ms"] = str(retention_ms)
        return TopicSpec(name, partitions, replication, settings)

    return (
        # The broker's clock stamps spans, so that a producer's wrong clock is detected. Lost
        # state is rebuilt from this log, so it is kept longer than a rebuild reads back.
        topic(
            names.spans,
            config.topics.spans_partitions,
            max(3 * _DAY_MS, 2 * rebuild_ms),
            message_timestamp_type="LogAppendTime",
        ),
        # A DLQ record is the refused record plus headers: a little above Kafka's 1 MiB.
        topic(
            names.dlq,
            config.topics.spans_partitions,
            14 * _DAY_MS,
            max_message_bytes=str(2 << 20),
        ),
        # Only the newest notices are read (`bus/faust.py`).
        topic(names.flushes, config.shards, _HOUR_MS, segment_ms=str(_HOUR_MS // 6)),
        # Keyed by fingerprint: compaction keeps the last state of every alert, and only after a
        # week, so that a slow reader still sees each change.
        topic(
            names.alerts,
            4,
            30 * _DAY_MS,
            cleanup_policy="compact,delete",
            min_compaction_lag_ms=str(7 * _DAY_MS),
        ),
        # Read back by time, so the broker's clock stamps these too.
        topic(names.changes, 1, 30 * _DAY_MS, message_timestamp_type="LogAppendTime"),
        topic(names.feedback, 1, 7 * _DAY_MS),
    )


@dataclass(frozen=True, slots=True)
class TopicState:
    """What `ensure` found: `wanted` is the number of partitions configured."""

    name: str
    created: bool
    partitions: int
    wanted: int

    @property
    def differs(self) -> bool:
        return self.partitions != self.wanted


async def create_topics(config: Config) -> list[TopicState]:
    """`ensure` on the broker of `config`. Raises BrokerUnavailable."""
    admin = open_bus(config).admin()
    try:
        return await ensure(config, admin)
    finally:
        await admin.close()


async def ensure(config: Config, admin: Admin) -> list[TopicState]:
    """Create what is missing, leave the rest alone, and report. Repeating it changes nothing."""
    wanted = specs(config)
    created = set(await admin.create(wanted))
    there = await admin.describe([spec.name for spec in wanted])
    return [
        TopicState(spec.name, spec.name in created, there[spec.name] or 0, spec.partitions)
        for spec in wanted
    ]


async def require(config: Config, admin: Admin) -> None:
    """Raise TopicMissing, with the remedy, unless every topic is there and usable.

    Called by every stage at its start. The flushes topic must have exactly one partition a
    shard: they are the unit that watch workers own.
    """
    wanted = {spec.name: spec.partitions for spec in specs(config)}
    there = await admin.describe(list(wanted))
    if missing := [name for name, partitions in there.items() if not partitions]:
        raise TopicMissing(
            f"Missing on the broker: {', '.join(missing)}; create them with `tocsin topics`."
        )
    flushes = config.topics.flushes
    if there[flushes] != config.shards:
        raise TopicMissing(
            f"The topic {flushes} has {there[flushes]} partitions but shards is {config.shards}; "
            f"set shards to {there[flushes]}, or delete the topic and run `tocsin topics`."
        )
