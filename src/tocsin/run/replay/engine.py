"""Recorded spans through decode, fold, merge, tick and judge, on the memory store.

The same log gives the same events as live, byte for byte. Several sets of rules can be asked
at once: spans are decoded and folded once, and each set has a store and detectors of its own.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from itertools import islice
from typing import Self

import polars as pl

from tocsin import metrics as m
from tocsin.bus.null import NullProducer
from tocsin.config import Config
from tocsin.flow.alerts.annotate import ChangeTable
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.baseline.history.run_stats import known_at
from tocsin.flow.detect.detector import Rule
from tocsin.flow.detect.shard_detector import Observer
from tocsin.flow.windows.event_time import watermark
from tocsin.flow.windows.fold import ShardDelta, by_shard, fold_windows
from tocsin.flow.windows.fold_runs import fold_run_parts
from tocsin.flow.windows.views import MONOTONE
from tocsin.run.batch import LATE, NOTHING, Batch, PartitionProgress, place_batch
from tocsin.run.from_config import evaluator_of, ingest_settings
from tocsin.run.replay.cut import cut
from tocsin.run.replay.sources import RecordedMessage
from tocsin.run.tick import ShardOwner
from tocsin.store.memory import MemoryStore
from tocsin.types import Fence, Position, Record, ShardFlush, WindowDelta

#: A recording has no clock beside it, so no event time is ahead of it or too old for it.
_EVER_MS = 2**53
_RECORDS = 20_000


@dataclass(slots=True)
class Tally:
    """Counts of a replay's spans, and the event times it covers."""

    records: int = 0
    spans: int = 0
    late: int = 0
    refused: int = 0
    first_ms: int | None = None  # event time of the earliest and the latest span
    last_ms: int | None = None

    @property
    def days(self) -> float:
        """Days of event time between the first and the last span."""
        if self.first_ms is None or self.last_ms is None:
            return 0.0
        return (self.last_ms - self.first_ms) / 86_400_000


@dataclass(slots=True)
class _RuleSet:
    """One set of rules: its store, and the owner of each shard."""

    store: MemoryStore
    owners: list[ShardOwner]

    @classmethod
    async def open(
        cls,
        config: Config,
        rules: tuple[Rule, ...],
        partitions: int,
        observer: Observer | None,
        changes: ChangeTable,
    ) -> Self:
        store, producer = MemoryStore(monotone=MONOTONE), NullProducer()
        begin = dict.fromkeys(range(partitions), Position(0, None, None, 0))
        owners = []
        for shard in range(config.shards):
            await store.initialise(shard, begin)
            owner = ShardOwner(
                shard, evaluator_of(config, rules, observer), store, producer,
                topic=config.topics.alerts, window_s=config.window_s,
                retention_s=_EVER_MS, metrics=m.Metrics(), changes=changes,
            )  # fmt: skip
            await owner.claim()
            owners.append(owner)
        return cls(store, owners)

    async def tick(self) -> AsyncIterator[AlertEvent]:
        """Tick each shard until it has nothing left to close."""
        for owner in self.owners:
            seen = -1
            while seen != owner.closed:
                seen = owner.closed
                for event in await owner.tick():
                    yield event


class Replay:
    """One replay. Feed it batches of records by partition, then finish it.

    Each step yields (index of the set of rules, event), in the order of publication.
    """

    def __init__(self, config: Config, rule_sets: list[_RuleSet], partitions: int) -> None:
        settings = ingest_settings(config)
        # No record is too old; too far ahead of the broker's clock is what it was when live.
        self._settings = changed(settings, time=changed(settings.time, horizon_ms=2 * _EVER_MS))
        self._rule_sets, self._partitions = rule_sets, partitions
        self._progress = {p: PartitionProgress(position=0) for p in range(partitions)}
        self._known: int | None = None  # run statistics that could be read; see _reads_more
        self.tally = Tally()

    @classmethod
    async def open(
        cls,
        config: Config,
        rule_sets: Sequence[tuple[Rule, ...]],
        *,
        partitions: int = 1,
        observer: Observer | None = None,
        changes: ChangeTable | None = None,
    ) -> Self:
        """Start a replay of `partitions` partitions; `observer` sees the first set's windows.

        Events are annotated with `changes` as they were live.
        """
        table = ChangeTable() if changes is None else changes
        opened = [
            await _RuleSet.open(config, rules, partitions, None if number else observer, table)
            for number, rules in enumerate(rule_sets)
        ]
        return cls(config, opened, partitions)

    async def feed(
        self, polled: Mapping[int, Sequence[Record]]
    ) -> AsyncIterator[tuple[int, AlertEvent]]:
        """Take records, by partition and in order of offset, and judge what they close."""
        for partition, records in polled.items():
            if records and self._progress[partition].position == 0:
                await self._begin(partition, records[0].offset)
        batch = place_batch(polled, self._progress, self._partitions, self._settings, _EVER_MS)
        self._count(batch)
        async for alerted in self._judge(batch):
            yield alerted

    async def finish(self) -> AsyncIterator[tuple[int, AlertEvent]]:
        """Nothing follows: the log is complete, so the last windows close too."""
        highs = [t.high_ms for t in self._progress.values() if t.high_ms is not None]
        if highs:
            for state in self._progress.values():
                state.watermark_ms = max(highs) + self._settings.time.window_s * 1_000
            batch = place_batch({}, self._progress, self._partitions, self._settings, _EVER_MS)
            async for alerted in self._judge(batch):
                yield alerted

    async def _begin(self, partition: int, offset: int) -> None:
        """A recording may start anywhere in a log."""
        self._progress[partition].position = offset
        for rule_set in self._rule_sets:
            for owner in rule_set.owners:
                position = {partition: Position(offset, None, None, 0)}
                await rule_set.store.initialise(owner.shard, position, force=True)

    async def _judge(self, batch: Batch) -> AsyncIterator[tuple[int, AlertEvent]]:
        """Merge a batch, in as many parts as it takes to judge every step of every run."""
        spans, shards = batch.spans, self._settings.shards
        part_of = cut(spans)
        runs = fold_run_parts(spans, pl.lit(pl.Series(part_of)), shards) if len(part_of) else {}
        final, folded = max(runs, default=0), -1
        for number in sorted(runs.keys() - {final}):
            shown = spans.select("partition", "high").filter(pl.Series(part_of <= number))
            reached = dict(shown.group_by("partition").agg(pl.col("high").max()).iter_rows())
            windows: Mapping[int, list[WindowDelta]] = {}
            if closing := self._reads_more(reached.values()):
                part = pl.Series((part_of > folded) & (part_of <= number))
                windows, folded = fold_windows(spans.filter(part), shards), number
            deltas = by_shard(windows, runs[number])
            async for alerted in self._merge(_early(batch, deltas, reached, closing=closing)):
                yield alerted
        rest = spans if folded < 0 else spans.filter(pl.Series(part_of > folded))
        whole = changed(batch, deltas=by_shard(fold_windows(rest, shards), runs.get(final, {})))
        self._reads_more(f.high_ms for f in batch.fences.values() if f.high_ms is not None)
        async for alerted in self._merge(whole.flushes(whole.fences)):
            yield alerted

    def _reads_more(self, highs: Iterable[int]) -> bool:
        """Whether runs up to `highs` (ms) are judged by more statistics than at the last close.

        Run statistics are updated as windows close, and read a cell of hours at a time.
        """
        known, self._known = self._known, known_at(max(highs, default=0))
        return known != self._known

    async def _merge(self, flushes: Sequence[ShardFlush]) -> AsyncIterator[tuple[int, AlertEvent]]:
        for number, rule_set in enumerate(self._rule_sets):
            await rule_set.store.merge(flushes)
            async for event in rule_set.tick():
                yield number, event

    def _count(self, batch: Batch) -> None:
        tally = self.tally
        tally.records += len(batch.records)
        tally.spans += batch.spans.height
        tally.late += int((batch.outcomes["outcome"] == LATE).sum())
        tally.refused += len(batch.rejects)
        if batch.spans.height:
            ends = batch.spans["end_ns"]
            first, last = int(ends.min()) // 1_000_000, int(ends.max()) // 1_000_000  # type: ignore[arg-type]
            tally.first_ms = min(first, tally.first_ms or first)
            tally.last_ms = max(last, tally.last_ms or last)


async def replay(
    values: Iterable[bytes],
    config: Config,
    rules: tuple[Rule, ...],
    tally: Tally | None = None,
) -> AsyncIterator[AlertEvent]:
    """Yield the events that the records (one span message each) would have raised live."""
    run = await Replay.open(config, [rules])
    run.tally = tally if tally is not None else run.tally
    for chunk in chunks(values):
        async for _, event in run.feed({0: chunk}):
            yield event
    async for _, event in run.finish():
        yield event


def chunks(values: Iterable[bytes]) -> Iterator[list[RecordedMessage]]:
    """Values as records of one partition, some thousands at a time."""
    stream, offset = iter(values), 0
    while taken := list(islice(stream, _RECORDS)):
        yield [
            RecordedMessage("replay", 0, offset + i, _EVER_MS, 1, None, value, ())
            for i, value in enumerate(taken)
        ]
        offset += len(taken)


def _early(
    batch: Batch, deltas: Mapping[int, ShardDelta], reached: Mapping[int, int], *, closing: bool
) -> list[ShardFlush]:
    """What moves before the rest of its batch: the shards stay where they are in the log.

    `reached` is the high of each partition by then. If `closing`, all windows up to there are
    among what has moved: those that are complete close, in every shard.
    """
    rules = batch.settings.time
    fences = []
    for partition, fence in batch.fences.items():
        high = reached.get(partition)
        mark = watermark(high, None, rules) if closing else None
        fences.append(Fence(partition, fence.first, fence.first, high, mark))
    moved = dict.fromkeys(range(batch.settings.shards), NOTHING) if closing else {}
    return [
        ShardFlush(shard, tuple(fences), batch.partitions, delta.windows, delta.runs, delta.labels)
        for shard, delta in sorted({**moved, **deltas}.items())
    ]
