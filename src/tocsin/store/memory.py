"""The store in memory: the same contract as Redis, for tests, replay and simulation.

It has one owner and ends with its process. Nothing here awaits, so every method is
atomic. Time to live runs on the clock it is given; a clock that stands still keeps everything.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nsmallest
from itertools import takewhile
from struct import Struct
from typing import Any, TypeVar

import numpy as np

from tocsin.clock import Clock, ManualClock
from tocsin.store.base import (
    COUNTER_MAX,
    DIRTY_LIMIT,
    LABEL_LIMIT,
    RUN_MIN_STEPS,
    RUN_TTL_S,
    SNAPSHOT_FIELDS,
    SNAPSHOT_LIMIT,
    WINDOW_TTL_S,
    check_fenced,
)
from tocsin.store.encoding import frame_of
from tocsin.types import (
    RING,
    RUN_HEADER,
    RUN_VERSION,
    SEP,
    STEP,
    ChangedRun,
    ChangedSeries,
    Fence,
    MergeReply,
    Position,
    RunDelta,
    Saved,
    ShardFlush,
    Snapshot,
    WindowDelta,
    WindowFrame,
)

_Key = TypeVar("_Key")
_HEADER = Struct("<5d")  # RUN_HEADER


@dataclass(slots=True)
class _Shard:
    """What Redis keeps under one hash tag; the names are those of the Lua files."""

    epoch: int = 0
    evaluated: int | None = None
    seq: int = 0
    partitions: int = 0
    positions: dict[int, Position] = field(default_factory=dict)
    windows: dict[int, dict[str, dict[str, int]]] = field(default_factory=dict)
    runs: dict[str, bytes] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    account: dict[tuple[int, str], int] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    out: list[bytes] = field(default_factory=list)
    #: w<window>SEP<series> or r<trace> -> seq of its last merge, in that order.
    dirty: dict[str, int] = field(default_factory=dict)
    #: (window, series) and trace -> when it dies, ms; both in the order they will.
    series_dies: dict[tuple[int, str], float] = field(default_factory=dict)
    run_dies: dict[str, float] = field(default_factory=dict)

    def expire(self, now_ms: int) -> None:
        """Forget what has outlived its time."""
        for window, series in _dead(self.series_dies, now_ms):
            del self.windows[window][series]
            if not self.windows[window]:
                del self.windows[window]
        for trace in _dead(self.run_dies, now_ms):
            del self.runs[trace]

    def advance(self, fence: Fence) -> None:
        """Move a partition to the end of a flush; its times never go back."""
        at = self.positions[fence.partition]
        self.positions[fence.partition] = replace(
            at,
            next=fence.next,
            high_ms=_latest(at.high_ms, fence.high_ms),
            watermark_ms=_latest(at.watermark_ms, fence.watermark_ms),
        )

    def add(self, delta: WindowDelta, dies_ms: float) -> None:
        """Add to a series in a window, which dies by its first sight."""
        table = self.windows.setdefault(delta.window, {})
        counts = table.get(delta.series)
        if counts is None:
            counts = table[delta.series] = {}
            self.series_dies[delta.window, delta.series] = dies_ms
        values: Iterator[Any] = iter(delta.counts)
        held = counts.get
        for name, by in zip(values, values, strict=True):
            counts[name] = total = held(name, 0) + by
            if total > COUNTER_MAX:  # quicker than min(): this line is the whole cost of a merge
                counts[name] = COUNTER_MAX

    def extend(self, delta: RunDelta, dies_ms: float) -> int:
        """Add to a run, which dies by its last sight; return how many steps it holds."""
        state = merge_run(self.runs.get(delta.trace_id), delta)
        self.runs[delta.trace_id] = state
        self.run_dies.pop(delta.trace_id, None)
        self.run_dies[delta.trace_id] = dies_ms
        return (len(state) - RUN_HEADER.itemsize) // STEP.itemsize

    def touch(self, member: str) -> None:
        """Note for `snapshot` that this merge moved a series or a run."""
        self.dirty.pop(member, None)
        self.dirty[member] = self.seq

    def shed(self) -> None:
        """Forget the oldest changes beyond the limit; of one merge the first by name."""
        excess = len(self.dirty) - DIRTY_LIMIT
        if excess > 0:
            for member in nsmallest(excess, self.dirty, key=lambda m: (self.dirty[m], m)):
                del self.dirty[member]

    def changed(self, member: str) -> ChangedSeries | None:
        """What `snapshot` reports of a touched series: nothing once it is evaluated or expired."""
        window, _, series = member[1:].partition(SEP)
        if self.evaluated is not None and int(window) <= self.evaluated:
            return None
        held = self.windows.get(int(window), {}).get(series, {})
        counts = {name: held[name] for name in SNAPSHOT_FIELDS if name in held}
        return ChangedSeries(int(window), series, counts) if counts else None


def merge_run(state: bytes | None, delta: RunDelta) -> bytes:
    """Add a delta to a run's string: totals, then the last RING steps. The law of merge.lua."""
    spans, tokens, cost, first_ms = delta.spans, delta.tokens, delta.cost_nano, delta.first_ms
    steps = delta.steps
    if state is not None:
        version, *old = _HEADER.unpack_from(state)
        if version == RUN_VERSION:
            spans, tokens, cost = spans + old[0], tokens + old[1], cost + old[2]
            first_ms = min(first_ms, old[3])
            steps = state[_HEADER.size :] + steps
    header = _HEADER.pack(RUN_VERSION, spans, tokens, cost, first_ms)
    return header + steps[-RING * STEP.itemsize :]


class MemoryStore:
    """`Store` in this process. See `RedisStore` for the arguments they share."""

    def __init__(
        self,
        *,
        shards: int = 16,
        monotone: frozenset[str] = frozenset(),
        window_ttl_s: float = WINDOW_TTL_S,
        run_ttl_s: float = RUN_TTL_S,
        clock: Clock | None = None,
    ) -> None:
        self._shards = [_Shard() for _ in range(shards)]
        self._monotone = monotone
        self._window_ttl_ms, self._run_ttl_ms = window_ttl_s * 1_000, run_ttl_s * 1_000
        self._clock = clock or ManualClock()

    def _at(self, shard: int) -> _Shard:
        held = self._shards[shard]
        held.expire(self._clock.now_ms())
        return held

    async def positions(self, partitions: Iterable[int]) -> dict[tuple[int, int], Position]:
        wanted = frozenset(partitions)
        return {
            (shard, partition): at
            for shard, held in enumerate(self._shards)
            for partition, at in held.positions.items()
            if partition in wanted
        }

    async def initialise(
        self, shard: int, positions: Mapping[int, Position], *, force: bool = False
    ) -> None:
        if force:  # a topic made anew may have fewer; the next merge says
            self._shards[shard].partitions = 0
        held = self._shards[shard].positions
        held.update({p: at for p, at in positions.items() if force or p not in held})

    async def merge(self, flushes: Sequence[ShardFlush]) -> list[MergeReply]:
        check_fenced(flushes)
        return [self._merge(self._at(flush.shard), flush) for flush in flushes]

    def _merge(self, held: _Shard, flush: ShardFlush) -> MergeReply:
        expected = {
            f.partition: held.positions[f.partition].next if f.partition in held.positions else None
            for f in flush.fences
        }
        if any(expected[f.partition] != f.first for f in flush.fences):
            return MergeReply(flush.shard, False, expected)
        now_ms = self._clock.now_ms()
        held.seq += 1
        held.partitions = max(held.partitions, flush.partitions)
        for fence in flush.fences:
            held.advance(fence)
        for partition, outcome, spans in flush.account:
            account = held.account
            account[partition, outcome] = account.get((partition, outcome), 0) + spans
        for delta in flush.windows:
            if not delta.counts:
                continue
            held.add(delta, now_ms + self._window_ttl_ms)
            if delta.series.partition(SEP)[0] in self._monotone:
                held.touch(f"w{delta.window}{SEP}{delta.series}")
        for run in flush.runs:
            if held.extend(run, now_ms + self._run_ttl_ms) >= RUN_MIN_STEPS:
                held.touch(f"r{run.trace_id}")
        held.shed()
        if len(held.labels) < LABEL_LIMIT:
            held.labels.update(flush.labels)
        return MergeReply(flush.shard, True, {f.partition: f.next for f in flush.fences})

    async def claim(self, shard: int) -> int:
        held = self._shards[shard]
        held.epoch = max(held.epoch + 1, self._clock.now_ms())
        return held.epoch

    async def snapshot(self, shard: int, seen: int) -> Snapshot:
        held = self._at(shard)
        moved = sorted((seq, member) for member, seq in held.dirty.items() if seq > seen)
        covered = held.seq
        if len(moved) > SNAPSHOT_LIMIT:  # whole merges only, and at least one
            covered = max(moved[0][0], moved[SNAPSHOT_LIMIT][0] - 1)
            moved = [(seq, member) for seq, member in moved if seq <= covered]
        changed = [held.changed(member) for _, member in moved if member[0] == "w"]
        traces = [member[1:] for _, member in moved if member[0] == "r"]
        open_windows = [w for w in held.windows if held.evaluated is None or w > held.evaluated]
        return Snapshot(
            shard=shard,
            epoch=held.epoch,
            evaluated=held.evaluated,
            seq=covered,
            partitions=held.partitions,
            positions=dict(held.positions),
            windows=tuple(sorted(open_windows)),
            changed=tuple(series for series in changed if series),
            runs=tuple(ChangedRun(t, held.runs[t]) for t in traces if t in held.runs),
        )

    async def windows(self, shard: int, starts: Sequence[int], seconds: int) -> list[WindowFrame]:
        held = self._at(shard)
        return [_frame(start, seconds, held.windows.get(start, {})) for start in starts]

    async def account(self, shard: int) -> dict[tuple[int, str], int]:
        return dict(self._at(shard).account)

    async def labels(self, shard: int) -> dict[str, str]:
        return dict(self._shards[shard].labels)

    async def load(self, shard: int) -> dict[str, bytes]:
        return dict(self._shards[shard].blobs)

    async def save(self, shard: int, epoch: int, saved: Saved) -> bool:
        held = self._shards[shard]
        if epoch != held.epoch:
            return False
        held.evaluated = _latest(held.evaluated, saved.evaluated)
        for name, blob in saved.blobs.items():
            if blob is None:
                held.blobs.pop(name, None)
            else:
                held.blobs[name] = blob
        held.out += saved.outbox
        for member in [m for m, seq in held.dirty.items() if seq <= saved.seen]:
            del held.dirty[member]
        return True

    async def outbox(self, shard: int) -> list[bytes]:
        return list(self._shards[shard].out)

    async def trim(self, shard: int, epoch: int, count: int) -> bool:
        held = self._shards[shard]
        if epoch != held.epoch:
            return False
        del held.out[:count]
        return True

    async def ping(self) -> None:
        """Memory always answers."""

    async def describe(self) -> str:
        return "memory of this process"

    async def close(self) -> None:
        """Nothing to release."""


def _latest(old: int | None, new: int | None) -> int | None:
    return max((at for at in (old, new) if at is not None), default=None)


def _dead(dies: dict[_Key, float], now_ms: int) -> list[_Key]:
    """Take out of `dies`, which is in the order of dying, those whose time has come."""
    dead = list(takewhile(lambda key: dies[key] <= now_ms, dies))
    for key in dead:
        del dies[key]
    return dead


def _frame(start: int, seconds: int, table: Mapping[str, Mapping[str, int]]) -> WindowFrame:
    series = sorted(table)
    names = sorted(set().union(*table.values()))
    index = {name: i for i, name in enumerate(names)}
    rows = [table[name] for name in series]
    field = np.array([index[name] for counts in rows for name in counts], dtype=np.uint16)
    value = np.array([by for counts in rows for by in counts.values()], dtype=np.int64)
    return frame_of(start, seconds, series, list(map(len, rows)), names, field, value)
