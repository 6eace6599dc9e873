"""Where to read on after an assignment, by the position that each shard has stored."""

import asyncio

from tocsin import metrics as m
from tocsin.bus.base import Consumer
from tocsin.clock import Clock
from tocsin.config import Config
from tocsin.run.batch import PartitionProgress
from tocsin.store.base import Store
from tocsin.types import Position


class Resume:
    """Finds, for partitions just assigned or sought back, the progress to go on from."""

    def __init__(
        self, config: Config, consumer: Consumer, store: Store, clock: Clock, metrics: m.Metrics
    ) -> None:
        self._config, self._consumer, self._store = config, consumer, store
        self._clock, self._metrics = clock, metrics

    async def __call__(
        self, partitions: frozenset[int], *, anew: bool = False
    ) -> dict[int, PartitionProgress]:
        """The progress of each partition: at the least offset that any shard expects.

        Shards that have more ignore what they see again. A shard that has nothing starts
        `rebuild_horizon_s` back; so do all of them if the log was made `anew`.
        """
        # In this order, so that a log which grows meanwhile never ends before what was read.
        positions = await self._store.positions(partitions)
        begins = await self._consumer.begin_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        progress = {}
        for partition in sorted(partitions):
            held = {
                shard: positions[shard, partition]
                for shard in range(self._config.shards)
                if (shard, partition) in positions
            }
            held |= await self._begin(
                partition, held, begins[partition], ends[partition], anew=anew
            )
            progress[partition] = self._progress_from(partition, held)
        return progress

    async def _begin(
        self, partition: int, held: dict[int, Position], begin: int, end: int, *, anew: bool
    ) -> dict[int, Position]:
        """Give a first position to the shards that have none, or one the log no longer has."""
        lost = {s for s, p in held.items() if anew or p.next < begin}
        beyond = {s for s, p in held.items() if p.next > end}
        # A topic that was deleted and created again has no committed offset of the group. That
        # is noticed only while it is shorter than the old one: aiokafka cannot tell two topics
        # of one name apart. The embedded broker may give an end too low by up to a batch, so a
        # log with a committed offset is not taken for a new one.
        if beyond and await self._consumer.committed(partition) is None:
            lost |= beyond
        missing = set(range(self._config.shards)) - held.keys()
        if not lost | missing:
            return {}
        if lost:
            self._metrics.add(m.GAPS, topic=self._config.topics.spans)
        horizon_ms = self._clock.now_ms() - self._config.rebuild_horizon_s * 1_000
        offset = await self._consumer.offset_for_time(partition, horizon_ms)
        start = min(max(begin, end if offset is None else offset), end)
        position = Position(start, None, None, horizon_ms)
        await asyncio.gather(
            *(
                self._store.initialise(shard, {partition: position}, force=shard in lost)
                for shard in lost | missing
            )
        )
        return dict.fromkeys(lost | missing, position)

    def _progress_from(self, partition: int, held: dict[int, Position]) -> PartitionProgress:
        least = min(held.values(), key=lambda position: position.next)
        # The same offset may have been reached with an older watermark on another shard.
        marks = [
            p.watermark_ms
            for p in held.values()
            if p.next == least.next and p.watermark_ms is not None
        ]
        home = held[partition % self._config.shards]
        return PartitionProgress(
            position=least.next,
            high_ms=least.high_ms,
            watermark_ms=max(marks, default=None),
            dead_letter_from=home.next,
            merged=least.next,
            moved_at_ms=self._clock.now_ms(),
        )
