"""One batch of records on its way to the shards: decoded, placed in time, cut by fences.

A `Batch` says what each shard is to merge; `read_batch` makes one of what was polled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from tocsin.flow.decode import Limits, decode
from tocsin.flow.windows.event_time import TimeRules, place, watermark
from tocsin.flow.windows.fold import ShardDelta, fold
from tocsin.flow.windows.pricing import Prices, fill_costs
from tocsin.types import Fence, Kind, Reason, Record, Reject, ShardFlush

#: What becomes of a span: each is counted under exactly one of these, by the log alone.
#: aggregated: folded into windows and its run. late: its window had closed before it came;
#: counted, never folded. filtered: of kind `other` (HTTP, databases), which no view asks for.
#: dead_lettered: refused, with a DLQ record; a record that is no message counts as one span.
AGGREGATED, LATE, FILTERED, DEAD_LETTERED = "aggregated", "late", "filtered", "dead_lettered"
#: What a batch adds to most shards.
NOTHING: Final = ShardDelta((), (), ())
_OUTCOME_COLUMNS = ("partition", "offset", "outcome")


@dataclass(slots=True)
class PartitionProgress:
    """How far this worker has come in one partition it owns."""

    position: int  # the next offset to fold
    high_ms: int | None = None
    watermark_ms: int | None = None
    #: The watermark last sent to the shards; one without spans is sent when it has moved.
    sent_watermark_ms: int | None = None
    #: Rejects below this offset were dead-lettered before a crash: not again.
    dead_letter_from: int = 0
    merged: int = 0  # the next offset after what every shard has; what is committed
    moved_at_ms: int = 0  # the clock when it last had records


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """What turns records into deltas."""

    shards: int
    limits: Limits
    fingerprint_key: bytes
    time: TimeRules
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True)
class Batch:
    """A folded batch: everything needed to flush it, in full or from a later offset on."""

    settings: IngestSettings
    partitions: int
    progress: Mapping[int, PartitionProgress]  # the worker's own, as this batch was read
    fences: Mapping[int, Fence]
    spans: pl.DataFrame  # aggregated ones, with window, high, partition, offset
    outcomes: pl.DataFrame  # every span's outcome: partition, offset, outcome
    records: Sequence[Record]
    rejects: tuple[Reject, ...]
    #: What it adds to each shard; None until it is folded.
    deltas: Mapping[int, ShardDelta] | None = field(repr=False)
    #: Folds of parts of this batch, by where the parts begin: shards often want the same.
    _parts: dict[tuple[tuple[int, int], ...], Mapping[int, ShardDelta]] = field(
        default_factory=dict, repr=False
    )

    def flushes(self, held: Iterable[int]) -> list[ShardFlush]:
        """What each shard is to merge, for the partitions still held.

        Raises:
            ValueError: the batch is placed and not folded.
        """
        if self.deltas is None:
            raise ValueError("a batch that is not folded has nothing to merge")
        fences = {p: self.fences[p] for p in held if p in self.fences}
        if len(fences) < len(self.fences):
            shards = range(self.settings.shards)
            return [f for s in shards if (f := self.reflush(s, fences)) is not None]
        return [
            self._flush(shard, fences, self.deltas.get(shard, NOTHING), self.outcomes)
            for shard in range(self.settings.shards)
        ]

    def reflush(self, shard: int, fences: Mapping[int, Fence]) -> ShardFlush | None:
        """What one shard is to merge when it has part of this batch already.

        `fences` may begin later than the batch does, or leave partitions out.
        """
        if not fences:
            return None
        part = tuple(sorted((fence.partition, fence.first) for fence in fences.values()))
        if part not in self._parts:
            self._parts[part] = fold(self._after(self.spans, fences), self.settings.shards)
        delta = self._parts[part].get(shard, NOTHING)
        return self._flush(shard, fences, delta, self._after(self.outcomes, fences))

    def repeated(self, flush: ShardFlush, expected: Mapping[int, int | None]) -> int:
        """How many spans of a refused flush are *duplicates*: read again, and counted before.

        A crash between merge and commit, a rebalance or a zombie makes a worker read offsets
        that the shards have. Their fences refuse them, so they enter no account and no counter
        a second time; that they came is counted by the process that read them (metrics.py),
        once a partition: on the flush of the shard that keeps its account. A span that its
        producer sent twice has two offsets, and is two spans.
        """
        spans = 0
        for fence in flush.fences:
            reached = expected.get(fence.partition)
            if self._keeps(flush.shard, fence.partition) and (reached or 0) > fence.first:
                mine = (pl.col("partition") == fence.partition) & pl.col("offset").is_between(
                    fence.first, min(reached or 0, fence.next), closed="left"
                )
                spans += self.outcomes.filter(mine).height
        return spans

    def _keeps(self, shard: int, partition: int) -> bool:
        """Each partition's account is kept by one shard, so that its spans are counted once."""
        return partition % self.settings.shards == shard

    @staticmethod
    def _after(rows: pl.DataFrame, fences: Mapping[int, Fence]) -> pl.DataFrame:
        keep = pl.lit(value=False)
        for fence in fences.values():
            keep |= (pl.col("partition") == fence.partition) & (pl.col("offset") >= fence.first)
        return rows.filter(keep)

    def _flush(
        self, shard: int, fences: Mapping[int, Fence], delta: ShardDelta, outcomes: pl.DataFrame
    ) -> ShardFlush:
        mine = [p for p in fences if self._keeps(shard, p)]
        account: tuple[tuple[int, str, int], ...] = ()
        if mine and not outcomes.is_empty():
            rows = outcomes.filter(pl.col("partition").is_in(mine)).group_by("partition", "outcome")
            account = tuple(rows.len().iter_rows())
        held = tuple(fences.values())
        return ShardFlush(
            shard, held, self.partitions, delta.windows, delta.runs, delta.labels, account
        )


def read_batch(
    polled: Mapping[int, Sequence[Record]],
    progress: Mapping[int, PartitionProgress],
    partitions: int,
    settings: IngestSettings,
    now_ms: int,
) -> Batch:
    """Decode, place and fold what was polled; moves `progress` on.

    It moves before the merge, so that the next batch can be read while this one is merged.
    If a shard refuses, the partition is resumed from the store with a new PartitionProgress.
    """
    batch = place_batch(polled, progress, partitions, settings, now_ms)
    return replace(batch, deltas=fold(batch.spans, settings.shards))


def place_batch(
    polled: Mapping[int, Sequence[Record]],
    progress: Mapping[int, PartitionProgress],
    partitions: int,
    settings: IngestSettings,
    now_ms: int,
) -> Batch:
    """`read_batch` without the fold: `deltas` is None."""
    records = [record for p in polled if p in progress for record in polled[p]]
    decoded = decode(records, settings.limits, settings.fingerprint_key)
    rows = pl.DataFrame(
        {
            "partition": np.array([r.partition for r in records], np.int32),
            "offset": np.array([r.offset for r in records], np.int64),
            # The broker's clock if it stamps records; a producer's clock proves nothing.
            "ref_ms": np.array(
                [r.timestamp if r.timestamp_type == 1 else now_ms for r in records], np.int64
            ),
        }
    )
    priced = fill_costs(decoded.spans, settings.prices)
    spans = pl.concat([priced, rows[priced["row"]]], how="horizontal")
    timed = place(spans, {p: state.high_ms for p, state in progress.items()}, settings.time)
    outside = tuple(
        Reject(row, Reason(reason), "end_time")
        for row, reason in timed.outside.select("row", "reason").iter_rows()
    )
    rejects = decoded.rejects + outside
    outcome = (
        pl.when(pl.col("late"))
        .then(pl.lit(LATE))
        .when(pl.col("kind") == Kind.OTHER.value)
        .then(pl.lit(FILTERED))
        .otherwise(pl.lit(AGGREGATED))
    )
    placed = timed.spans.with_columns(outcome.alias("outcome"))
    dead = rows[[reject.row for reject in rejects]].select(
        "partition", "offset", outcome=pl.lit(DEAD_LETTERED)
    )
    outcomes = pl.concat([placed.select(_OUTCOME_COLUMNS), dead.select(_OUTCOME_COLUMNS)])
    aggregated = placed.filter(pl.col("outcome") == AGGREGATED)
    return Batch(
        settings=settings,
        partitions=partitions,
        progress=dict(progress),
        fences=_advance(progress, polled, timed.highs, settings.time, now_ms),
        spans=aggregated,
        outcomes=outcomes,
        records=records,
        rejects=rejects,
        deltas=None,
    )


def _advance(
    progress: Mapping[int, PartitionProgress],
    polled: Mapping[int, Sequence[Record]],
    highs: Mapping[int, int],
    rules: TimeRules,
    now_ms: int,
) -> dict[int, Fence]:
    """Move `progress` over what was polled; a fence for each partition that has news."""
    fences = {}
    for partition, state in progress.items():
        first = state.position
        if records := polled.get(partition):
            state.position = records[-1].offset + 1
            state.high_ms = highs.get(partition, state.high_ms)
            state.watermark_ms = watermark(state.high_ms, state.watermark_ms, rules)
            state.moved_at_ms = now_ms
        if records or state.watermark_ms != state.sent_watermark_ms:
            state.sent_watermark_ms = state.watermark_ms
            fences[partition] = Fence(
                partition, first, state.position, state.high_ms, state.watermark_ms
            )
    return fences
