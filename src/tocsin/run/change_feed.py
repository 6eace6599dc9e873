"""The changes topic beside watch: deploys, flags and settings of the last day.

Every watch worker reads the whole topic, without a group, and keeps the last day in memory:
any shard may need any change. At the start it reads back a day before the first tick, so
that after a restart an alert names the same changes. What cannot be read is dead-lettered
once: for that the workers share a group, and one of them reads on where the last one stopped.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from tocsin import log
from tocsin import metrics as m
from tocsin.bus.base import Bus, Consumer, require_topic, started
from tocsin.clock import Clock
from tocsin.config import Config
from tocsin.flow.alerts.annotate import BEFORE_MS, ChangeTable
from tocsin.flow.decode.changes import Changes, ChangeV1, decode_changes
from tocsin.run.dlq.write import publish_dlq_records
from tocsin.run.from_config import ingest_settings
from tocsin.types import Record

#: How far back a worker reads changes, and how long it keeps them, at least.
KEPT_MS: Final = 24 * 3_600_000
_RECORDS, _POLL_MS = 1_000, 500
_REPLAYED = 100_000  # changes of one service that a replay may need


class ChangeFeed:
    """Keeps `table` filled from the topic while it runs."""

    def __init__(self, config: Config, bus: Bus, clock: Clock, metrics: m.Metrics) -> None:
        self._config, self._bus, self._clock, self._metrics = config, bus, clock, metrics
        self._limits = ingest_settings(config).limits
        # As far back as an alert may be made again.
        self._kept_ms = max(KEPT_MS, config.rebuild_horizon_s * 1_000 + BEFORE_MS)
        self._log = log.get_logger("changes")
        self.table = ChangeTable()
        #: Set once the table holds what was on the topic at the start, or the feed has ended.
        self.ready = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set. Raises BrokerUnavailable, TopicMissing."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._fill(stop))
                group.create_task(self._dead_letter(stop))
        finally:
            self.ready.set()

    async def _fill(self, stop: asyncio.Event) -> None:
        async with started(self._bus.consumer(self._config.topics.changes, None)) as consumer:
            ends = await _rewind(consumer, self._clock.now_ms() - self._kept_ms)
            while not stop.is_set():
                if not self.ready.is_set() and await _reached(consumer, ends):
                    self.ready.set()
                    self._log.info("changes_read", changes=len(self.table))
                self._take(await _poll(consumer))

    def _take(self, records: Sequence[Record]) -> None:
        decoded = self._decode(records)
        self.table.add(decoded.changes)
        self.table.forget(self._clock.now_ms() - self._kept_ms)
        if records:
            self._metrics.add(m.CHANGES, len(decoded.changes), outcome="read")
            self._metrics.add(m.CHANGES, decoded.ignored, outcome="ignored")
            self._metrics.add(m.CHANGES, len(decoded.rejects), outcome="refused")

    def _decode(self, records: Sequence[Record]) -> Changes:
        return decode_changes(records, self._limits, self._config.max_future_s * 1_000)

    async def _dead_letter(self, stop: asyncio.Event) -> None:
        """Publish what cannot be read as DLQ records, then commit: a crash repeats some."""
        group = self._config.group("changes")
        reading = self._bus.consumer(self._config.topics.changes, group)
        async with started(self._bus.producer()) as producer, started(reading) as consumer:
            while not stop.is_set():
                polled = await consumer.poll(_RECORDS, _POLL_MS)
                records = [record for part in polled.values() for record in part]
                rejects = self._decode(records).rejects
                await publish_dlq_records(records, rejects, producer, self._config, group,
                              self._metrics)  # fmt: skip
                await consumer.commit({p: part[-1].offset + 1 for p, part in polled.items()})


async def changes_since(bus: Bus, config: Config, since_ms: int | None) -> ChangeTable:
    """The changes that a replay of the spans from `since_ms` on (None: from the first) needs.

    Raises BrokerUnavailable, TopicMissing.
    """
    table, max_future_ms = ChangeTable(most=_REPLAYED), config.max_future_s * 1_000
    first_ms = 0 if since_ms is None else max(0, since_ms - BEFORE_MS - max_future_ms)
    limits = ingest_settings(config).limits
    async with started(bus.consumer(config.topics.changes, None)) as consumer:
        ends = await _rewind(consumer, first_ms)
        while not await _reached(consumer, ends):
            table.add(decode_changes(await _poll(consumer), limits, max_future_ms).changes)
    return table


async def _poll(consumer: Consumer) -> list[Record]:
    polled = await consumer.poll(_RECORDS, _POLL_MS)
    return [record for partition in sorted(polled) for record in polled[partition]]


async def _rewind(consumer: Consumer, since_ms: int) -> dict[int, int]:
    """Go back to the first records of `since_ms` or later; where the log ends now."""
    ends = await consumer.end_offsets(consumer.assignment())
    for partition, end in ends.items():
        first = await consumer.offset_for_time(partition, since_ms)
        consumer.seek(partition, end if first is None else first)
    return ends


async def _reached(consumer: Consumer, ends: dict[int, int]) -> bool:
    positions = [await consumer.position(p) >= end for p, end in ends.items()]
    return all(positions)


async def publish_change(bus: Bus, config: Config, change: ChangeV1) -> tuple[str, int, int]:
    """Publish a change; returns topic, partition and offset.

    Raises BrokerUnavailable, TopicMissing.
    """
    topic = config.topics.changes
    await require_topic(bus.admin(), topic)
    async with started(bus.producer()) as producer:
        value = change.model_dump_json(exclude_none=True).encode()
        ack = await (await producer.send(topic, key=change.service.encode(), value=value))
    return topic, ack.partition, ack.offset
