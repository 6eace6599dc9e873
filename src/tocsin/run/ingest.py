"""ingest: spans from Kafka to counters in Redis, exactly once in effect.

poll -> decode, place, fold (a thread) -> DLQ records -> one merge a shard -> notices -> commit.
While a batch is merged the next one is polled and folded.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import msgspec

from tocsin import log
from tocsin import metrics as m
from tocsin.bus.base import Bus, Producer, started
from tocsin.clock import Clock
from tocsin.config import Config
from tocsin.flow.windows.event_time import watermark
from tocsin.run.batch import Batch, PartitionProgress, read_batch
from tocsin.run.dlq.write import RejectedTooMany, publish_rejects
from tocsin.run.from_config import ingest_settings
from tocsin.run.resume import Resume
from tocsin.store.base import Store
from tocsin.types import MergeReply, Reason, Record, ShardFlush

_HOUSEKEEP_S = 1.0
#: A refused flush is cut to what the shard expects and sent again; another owner may move
#: the shard on meanwhile, so it can take more than once. More often than this is a bug.
_MERGE_ATTEMPTS = 10


class Ingest:
    """One ingest worker: a member of the group that shares the spans topic."""

    def __init__(
        self, config: Config, bus: Bus, store: Store, clock: Clock, metrics: m.Metrics
    ) -> None:
        self._config, self._store, self._clock, self._metrics = config, store, clock, metrics
        self._topics = config.topics
        self._settings = ingest_settings(config)
        self._consumer = bus.consumer(
            config.topics.spans,
            config.group("ingest"),
            on_assigned=self._assigned,
            on_revoked=self._revoked,
        )
        self._producer: Producer = bus.producer()
        self._resume = Resume(config, self._consumer, store, clock, metrics)
        self._progress: dict[int, PartitionProgress] = {}
        self._polled: dict[int, list[Record]] = {}
        self._partitions = 0
        self._housekept = 0.0
        self._rejected = self._read = 0
        self._last_reason = Reason.EMPTY
        self._log = log.get_logger("ingest")

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what was polled by then is merged first."""
        async with started(self._producer), started(self._consumer):
            await self._loop(stop)

    async def _loop(self, stop: asyncio.Event) -> None:
        merging: asyncio.Task[None] | None = None
        try:
            while not stop.is_set():
                polled = await self._collect()
                batch = await self._read_batch(polled)
                if merging is not None:
                    await merging
                merging = asyncio.create_task(self._flush(batch), name="ingest-flush")
                await self._housekeep()
            if merging is not None:
                await merging
        finally:
            if merging is not None and not merging.done():
                merging.cancel()
                with suppress(asyncio.CancelledError):
                    await merging

    async def _collect(self) -> dict[int, list[Record]]:
        """Poll until the flush interval is over or the batch is full."""
        settings = self._config.ingest
        deadline = time.monotonic() + settings.flush_interval_s
        count = 0
        while count < settings.max_records:
            left_ms = int((deadline - time.monotonic()) * 1_000)
            if left_ms <= 0:
                break
            polled = await self._consumer.poll(settings.max_records - count, left_ms)
            for partition, records in polled.items():
                state = self._progress.get(partition)
                if state is None:
                    continue
                held = self._polled.get(partition)
                if records[0].offset < (held[-1].offset + 1 if held else state.position):
                    # Only a log that was made anew, or cut at its end, goes backwards.
                    await self._assigned(frozenset({partition}), anew=True)
                    continue
                self._polled.setdefault(partition, []).extend(records)
                count += len(records)
        taken, self._polled = self._polled, {}
        return {partition: records for partition, records in taken.items() if records}

    async def _read_batch(self, polled: Mapping[int, Sequence[Record]]) -> Batch:
        if not self._partitions:
            self._partitions = await self._consumer.partitions()
        return await asyncio.to_thread(
            read_batch,
            polled,
            dict(self._progress),
            self._partitions,
            self._settings,
            self._clock.now_ms(),
        )

    async def _flush(self, batch: Batch) -> None:
        if not batch.fences:
            return
        started = time.perf_counter()
        self._guard_rejects(batch)
        await publish_rejects(batch, self._producer, self._config, self._metrics)
        applied = await self._merge(batch)
        for partition in self._held(batch) & batch.fences.keys():
            batch.progress[partition].merged = batch.fences[partition].next
        for shard in applied:
            notice = msgspec.json.encode({"shard": shard, "at_ms": self._clock.now_ms()})
            await self._producer.send(self._topics.flushes, value=notice, partition=shard)
        self._metrics.observe(m.FLUSH_SECONDS, time.perf_counter() - started)
        self._metrics.observe(m.FLUSH_SPANS, batch.spans.height)
        self._metrics.add(m.RECORDS_CONSUMED, len(batch.records), topic=self._topics.spans)

    async def _merge(self, batch: Batch) -> list[int]:
        """Merge a batch into every shard; returns the shards that applied it."""
        flushes = batch.flushes(self._held(batch))
        applied: list[int] = []
        rewinds: dict[int, str] = {}
        for _ in range(_MERGE_ATTEMPTS):
            if not flushes:
                break
            replies = await self._store.merge(flushes)
            sent = {flush.shard: flush for flush in flushes}
            flushes = []
            for reply in replies:
                if reply.applied:
                    applied.append(reply.shard)
                    self._count(sent[reply.shard])
                else:
                    self._metrics.add(m.FENCED_WRITES, stage="ingest")
                    repeated = batch.repeated(sent[reply.shard], reply.expected)
                    self._metrics.add(m.SPANS_CONSUMED, repeated)
                    self._metrics.add(m.SPANS_DUPLICATE, repeated)
                    again = self._cut(batch, sent[reply.shard], reply, rewinds)
                    flushes += [again] if again else []
        else:
            raise RuntimeError(
                f"shards {[f.shard for f in flushes]} refused {_MERGE_ATTEMPTS} times"
            )
        for partition, cause in rewinds.items():
            if partition in self._held(batch):
                self._metrics.add(m.REWINDS, cause=cause)
                await self._assigned(frozenset({partition}))
        return applied

    def _cut(
        self, batch: Batch, flush: ShardFlush, reply: MergeReply, rewinds: dict[int, str]
    ) -> ShardFlush | None:
        """What is left for a shard that refused: only what it does not have yet.

        A partition of which the shard has less than we hold is left out and sought back.
        """
        fences = {}
        for fence in flush.fences:
            expected = reply.expected.get(fence.partition)
            if expected is None or expected < fence.first:
                rewinds[fence.partition] = "missing" if expected is None else "behind"
            elif expected == fence.first or expected < fence.next:
                fences[fence.partition] = replace(fence, first=expected)
        return batch.reflush(flush.shard, fences)

    def _held(self, batch: Batch) -> frozenset[int]:
        """The batch's partitions that are still ours: neither revoked nor resumed since."""
        return frozenset(p for p, t in batch.progress.items() if self._progress.get(p) is t)

    def _count(self, flush: ShardFlush) -> None:
        for _, outcome, spans in flush.account:
            self._metrics.add(m.SPANS_CONSUMED, spans)
            if metric := _OUTCOMES.get(outcome):
                self._metrics.add(metric, spans)

    def _guard_rejects(self, batch: Batch) -> None:
        """Raise RejectedTooMany when most of what is read is refused, as after a bad deploy."""
        self._read += len(batch.records)
        self._rejected += len({reject.row for reject in batch.rejects})
        if batch.rejects:
            self._last_reason = batch.rejects[-1].reason
        settings = self._config.ingest
        if self._read >= settings.min_rejected_records:
            share = self._rejected / self._read
            self._metrics.set(m.REJECTED_SHARE, share)
            if share >= settings.max_rejected_share:
                raise RejectedTooMany(share, self._read, self._last_reason)
            self._read = self._rejected = 0

    async def _housekeep(self) -> None:
        """Once a second: lag, idle partitions, and the offsets, for others to see."""
        if time.monotonic() - self._housekept < _HOUSEKEEP_S:
            return
        self._housekept = time.monotonic()
        progress = dict(self._progress)
        now_ms = self._clock.now_ms()
        self._metrics.set(m.HEARTBEAT, now_ms / 1_000, stage="ingest")
        if not progress:
            return  # a standby
        ends = await self._consumer.end_offsets(progress)
        self._partitions = await self._consumer.partitions()
        for partition, state in progress.items():
            if self._progress.get(partition) is not state:
                continue  # revoked while the ends were asked for: it has no position here
            # The client's own position has passed what is no record: markers of transactions.
            at = max(state.position, await self._consumer.position(partition))
            lag = max(0, ends.get(partition, at) - at)
            self._metrics.set(m.LAG, lag, topic=self._topics.spans, partition=str(partition))
            idle_ms = now_ms - state.moved_at_ms
            if lag == 0 and idle_ms >= self._config.idle_timeout_s * 1_000:
                state.watermark_ms = watermark(
                    state.high_ms, state.watermark_ms, self._settings.time, now_ms
                )
            if state.watermark_ms is not None:
                behind = (now_ms - state.watermark_ms) / 1_000
                self._metrics.set(m.WATERMARK_DELAY, behind, partition=str(partition))
        held = {p: state for p, state in progress.items() if self._progress.get(p) is state}
        await self._consumer.commit({p: state.merged for p, state in held.items()})

    async def _assigned(self, partitions: frozenset[int], *, anew: bool = False) -> None:
        progress = await self._resume(partitions, anew=anew)
        held = self._consumer.assignment()
        for partition, state in progress.items():
            # From here on without a pause: what was polled before is void.
            self._polled.pop(partition, None)
            if partition in held:  # it may have been revoked meanwhile
                self._progress[partition] = state
                self._consumer.seek(partition, state.position)
        self._log.info("resumed", anew=anew, offsets={p: t.position for p, t in progress.items()})

    async def _revoked(self, partitions: frozenset[int]) -> None:
        # Nothing to flush or hand over: a merge under way is fenced by its offsets.
        for partition in partitions:
            self._progress.pop(partition, None)
            self._polled.pop(partition, None)
            self._metrics.drop(m.LAG, topic=self._topics.spans, partition=str(partition))
            self._metrics.drop(m.WATERMARK_DELAY, partition=str(partition))


_OUTCOMES = {"aggregated": m.SPANS_AGGREGATED, "late": m.SPANS_LATE, "filtered": m.SPANS_FILTERED}
