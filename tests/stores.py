"""What the contract tests of the store share: a bank of either kind, and short deltas."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import TypedDict

import numpy as np

from tocsin.clock import ManualClock
from tocsin.store.base import Store
from tocsin.store.memory import MemoryStore
from tocsin.store.redis import RedisStore
from tocsin.types import (
    STEP,
    Fence,
    Position,
    RunDelta,
    ShardFlush,
    WindowDelta,
    WindowFrame,
    join_series,
)

#: Starts a redis-server of the test's own, with options, and gives its port.
Launch = Callable[..., int]

SHARDS = 4
LIVE = join_series("live", "prod", "checkout")  # in a monotone view
CLOSED = join_series("closed", "prod", "checkout")  # in none
START = Position(0, None, None, 0)


class Options(TypedDict):
    """What both constructors take."""

    shards: int
    monotone: frozenset[str]
    window_ttl_s: float
    run_ttl_s: float


@dataclass
class Bank:
    """One of the two stores, opened as often as a test likes, all on the same state."""

    url: str | None
    prefix: str
    cluster: bool = False
    clock: ManualClock = field(default_factory=lambda: ManualClock(1_700_000_000_000))
    _opened: list[Store] = field(default_factory=list)

    def open(self, *, window_ttl_s: float = 60, run_ttl_s: float = 60) -> Store:
        """Open another client. In memory there is one: the options are those of the first."""
        if self.url is None and self._opened:
            return self._opened[0]
        options = Options(
            shards=SHARDS,
            monotone=frozenset({"live"}),
            window_ttl_s=window_ttl_s,
            run_ttl_s=run_ttl_s,
        )
        store: Store = (
            MemoryStore(clock=self.clock, **options)
            if self.url is None
            else RedisStore(self.url, self.prefix, cluster=self.cluster, **options)
        )
        self._opened.append(store)
        return store

    async def elapse(self, seconds: float) -> None:
        if self.url is None:
            self.clock.advance(round(seconds * 1_000))
        else:
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        for store in self._opened:
            await store.close()


Law = Callable[[Bank], Coroutine[None, None, None]]


def law(test: Law) -> Law:
    """Close what the test opened, in the loop it was opened in."""

    async def run(bank: Bank) -> None:
        try:
            await test(bank)
        finally:
            await bank.close()

    return run


def flush(
    first: int,
    last: int,
    *windows: WindowDelta,
    shard: int = 0,
    partition: int = 0,
    high: int | None = None,
    mark: int | None = None,
    runs: Iterable[RunDelta] = (),
    labels: Iterable[tuple[str, str]] = (),
) -> ShardFlush:
    fence = Fence(partition, first, last, high, mark)
    return ShardFlush(shard, (fence,), 2, windows, tuple(runs), tuple(labels))


def count(window: int = 60, series: str = LIVE, **counts: int) -> WindowDelta:
    flat = [part for pair in (counts or {"n": 1}).items() for part in pair]
    return WindowDelta(window, series, tuple(flat))


def run_delta(trace: str, *ends: int, first: int = 5, tokens: int = 10) -> RunDelta:
    steps = np.zeros(len(ends), STEP)
    steps["end_ms"] = ends
    return RunDelta(trace, len(ends), tokens, 7, first, steps.tobytes())


def table(frame: WindowFrame) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {name: {} for name in frame.series}
    for owner, index, value in zip(frame.owner, frame.field, frame.value, strict=True):
        out[frame.series[owner]][frame.fields[index]] = int(value)
    return out


async def counters(store: Store, window: int = 60, shard: int = 0) -> dict[str, dict[str, int]]:
    (frame,) = await store.windows(shard, [window], 60)
    return table(frame)


async def opened(bank: Bank, *, window_ttl_s: float = 60, run_ttl_s: float = 60) -> Store:
    """Open a store whose shards expect offset 0 of partitions 0 and 1."""
    store = bank.open(window_ttl_s=window_ttl_s, run_ttl_s=run_ttl_s)
    for shard in range(SHARDS):
        await store.initialise(shard, {0: START, 1: START})
    return store
