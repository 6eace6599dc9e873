"""What a merge costs: increments/s and runs/s into Redis, and Python's part of it.

    python tests/bench/bench_store.py [redis-url]

Without a URL it starts redis-server on loopback. It writes under a prefix of its own and
removes it. The shape is that of a fold: 16 shards, 500 series a flush, 20 counters each.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from redis.asyncio import Redis

from tocsin.embedded import LOOPBACK, free_port, redis_binary, start_redis
from tocsin.store.encoding import pack_flush
from tocsin.store.redis import RedisStore
from tocsin.types import (
    STEP,
    Fence,
    Position,
    RunDelta,
    Saved,
    ShardFlush,
    WindowDelta,
    join_series,
)

PREFIX, SHARDS, PARTITIONS = "tocsin-bench", 16, 4
MONOTONE = frozenset({"calls_by_model"})
#: What one flush brings to one shard.
Content = tuple[tuple[WindowDelta, ...], tuple[RunDelta, ...]]
START_S = 1_700_000_000 // 60 * 60


def series(rng: random.Random, total: int) -> list[str]:
    views = ("runs_by_agent", "calls_by_model", "tools_by_tool", "steps_by_stage", "calls_by_route")
    return [
        join_series(views[i % len(views)], "prod", f"service-{i % 20}", f"name-{i:05d}")
        for i in rng.sample(range(total), total)
    ]


def counters(rng: random.Random, names: Sequence[str], fields: int) -> Content:
    deltas = []
    for name in names:
        counts: list[str | int] = ["n", 5, "in", 4_711, "out", 815, "cost", rng.randrange(10**10)]
        for _ in range(fields - 4):
            counts += (f"d:{rng.randrange(600, 700)}", rng.randrange(1, 4))
        deltas.append(WindowDelta(START_S + 60 * rng.randrange(3), name, tuple(counts)))
    return tuple(deltas), ()


def runs(count: int, steps: int) -> Content:
    packed = np.zeros(steps, STEP).tobytes()
    return (), tuple(RunDelta(f"{i:032x}", steps, 900, 10**6, 10**12, packed) for i in range(count))


def rounds(number: int, content: Callable[[], Content]) -> list[list[ShardFlush]]:
    """`number` merges of every shard, each continuing where the last ended."""
    return [
        [
            ShardFlush(
                shard,
                tuple(Fence(p, at, at + 1, 10**12, 10**12) for p in range(PARTITIONS)),
                PARTITIONS,
                *content(),
                (),
            )
            for shard in range(SHARDS)
        ]
        for at in range(number)
    ]


async def merge(store: RedisStore, label: str, merges: list[list[ShardFlush]], items: int) -> None:
    """Merge all and print items/s, and the share of the time Python spends encoding."""
    start = {p: Position(0, None, None, 0) for p in range(PARTITIONS)}
    for shard in range(SHARDS):
        await store.initialise(shard, start, force=True)
    packing = time.perf_counter()
    for flushes in merges:
        for flush in flushes:
            pack_flush(flush, MONOTONE, (1,) * 8)
    packed = time.perf_counter() - packing
    began = time.perf_counter()
    for flushes in merges:
        assert all(reply.applied for reply in await store.merge(flushes))
    took = time.perf_counter() - began
    print(f"{label:48} {items / took:>12,.0f} /s   encode {packed / took:.1%} of it")


async def read(store: RedisStore) -> None:
    """Print what watch pays for a tick of every shard."""
    began = time.perf_counter()
    snapshots = [await store.snapshot(shard, 0) for shard in range(SHARDS)]
    took = time.perf_counter() - began
    changed = sum(len(snapshot.changed) + len(snapshot.runs) for snapshot in snapshots)
    print(f"{'snapshot: changed series and runs':48} {changed / took:>12,.0f} /s")
    began, values = time.perf_counter(), 0
    for snapshot in snapshots:
        frames = await store.windows(snapshot.shard, snapshot.windows, 60)
        values += sum(len(frame.value) for frame in frames)
    took = time.perf_counter() - began
    print(f"{'windows: counters':48} {values / took:>12,.0f} /s")
    began = time.perf_counter()
    blobs: dict[str, bytes | None] = {f"b{i}": bytes(8_192) for i in range(100)}
    for snapshot in snapshots:
        epoch = await store.claim(snapshot.shard)
        await store.save(snapshot.shard, epoch, Saved(None, snapshot.seq, blobs))
    took = time.perf_counter() - began
    print(f"{'save: blobs of 8 KiB':48} {SHARDS * len(blobs) / took:>12,.0f} /s")


async def clear(url: str) -> None:
    async with Redis.from_url(url) as client:
        keys = [key async for key in client.scan_iter(match=f"{PREFIX}:*", count=5_000)]
        for i in range(0, len(keys), 5_000):
            await client.unlink(*keys[i : i + 5_000])


async def bench(url: str) -> None:
    rng = random.Random(1)
    store = RedisStore(url, PREFIX, shards=SHARDS, monotone=MONOTONE, timeout_s=300)
    print(await store.describe())
    await clear(url)
    try:
        for active, fields, number in ((100, 20, 10), (500, 20, 10), (10_000, 20, 3), (500, 5, 20)):
            names = series(rng, active)
            chosen = names[: max(500, active // 16)]
            merges = rounds(number, partial(counters, rng, chosen, fields))
            items = number * SHARDS * len(chosen) * fields
            label = f"increments: {active:,} series, {fields} counters a series-window"
            await merge(store, label, merges, items)
        await read(store)
        await clear(url)
        for steps in (1, 8):
            merges = rounds(5, partial(runs, 2_000, steps))
            await merge(store, f"runs: {steps} new steps each", merges, 5 * SHARDS * 2_000)
    finally:
        await clear(url)
        await store.close()


def main() -> None:
    if len(sys.argv) > 1:
        asyncio.run(bench(sys.argv[1]))
        return
    port = free_port()
    child = start_redis(redis_binary(), port)
    try:
        asyncio.run(bench(f"redis://{LOOPBACK}:{port}"))
    finally:
        child.stop()


if __name__ == "__main__":
    main()
