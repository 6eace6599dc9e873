"""Ingest on memory banks: whatever the shards lose or a twin does, the counts are the oracle's."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from native import encode, fleet
from oracle import Windows, count
from spans import T0_NS
from tocsin.bus.memory import MemoryBus
from tocsin.clock import ManualClock
from tocsin.config import Config
from tocsin.metrics import REWINDS, SPANS_AGGREGATED, Metrics
from tocsin.run.dead_letters import RejectedTooMany
from tocsin.run.ingest import Ingest
from tocsin.run.topics import ensure
from tocsin.store.memory import MemoryStore, _Shard

SHARDS, PARTITIONS = 3, 2
T0_MS = T0_NS // 1_000_000


@dataclass
class Bench:
    """A bus, a store, a clock, and as many ingest workers as a test starts."""

    settings: dict[str, Any] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=lambda: ManualClock(T0_MS + 600_000))
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: Metrics = field(default_factory=Metrics)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bus, self.store = MemoryBus(self.clock), MemoryStore(shards=SHARDS)

    def config(self, group: str = "g") -> Config:
        base: dict[str, Any] = {
            "shards": SHARDS,
            "topics": {"spans_partitions": PARTITIONS},
            "kafka": {"group_prefix": group},
            "ingest": {"flush_interval_s": 0.01, "max_records": 100},
        }
        return Config(**base | self.settings)

    def start(self, group: str = "g") -> asyncio.Task[None]:
        ingest = Ingest(self.config(group), self.bus, self.store, self.clock, self.metrics)
        self.tasks.append(asyncio.create_task(ingest.run(self.stop)))
        return self.tasks[-1]

    async def publish(self, rows: list[dict]) -> None:
        producer = self.bus.producer()
        for row in rows:
            key = row["trace_id"].encode()
            await producer.send(self.config().topics.spans, value=encode(row), key=key)

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not met():
                for task in self.tasks:
                    if task.done() and not self.stop.is_set():
                        task.result()
                await asyncio.sleep(0.005)

    async def settle(self, spans: int) -> None:
        """Until the books hold so many spans and every shard stands at the end of the log."""
        topic = self.config().topics.spans
        ends = [p.end for p in self.bus.topic(topic).partitions]

        def done() -> bool:
            shards = self.store._shards
            there = all(
                p in s.positions and s.positions[p].next == end
                for s in shards
                for p, end in enumerate(ends)
            )
            return there and sum(self.books().values()) >= spans

        await self.until(done)

    def books(self) -> Counter[str]:
        books: Counter[str] = Counter()
        for shard in self.store._shards:
            for (_, outcome), spans in shard.account.items():
                books[outcome] += spans
        return books

    def windows(self) -> Windows:
        total: Windows = {}
        for shard in self.store._shards:
            for window, table in shard.windows.items():
                for series, counts in table.items():
                    total.setdefault((window, series), Counter()).update(counts)
        return total

    async def end(self) -> None:
        self.stop.set()
        await asyncio.gather(*self.tasks)


def play(act: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        bench = Bench(settings)
        await ensure(bench.config(), bench.bus.admin())
        try:
            await act(bench)
        finally:
            await bench.end()

    asyncio.run(run())


ROWS = list(fleet(3, T0_NS, 300, 4))
HALF = len(ROWS) // 2


async def published(bench: Bench, rows: list[dict]) -> None:
    before = sum(bench.books().values())
    await bench.publish(rows)
    await bench.settle(before + len(rows))


def test_what_is_published_is_counted() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS)
        assert bench.windows() == count(ROWS)
        assert bench.books() == Counter(aggregated=len(ROWS))

    play(act)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_a_shard_that_lost_everything_is_rebuilt_from_the_log(shard: int) -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:HALF])
        bench.store._shards[shard] = _Shard()
        await bench.publish(ROWS[HALF:])
        await bench.settle(len(ROWS))
        assert bench.windows() == count(ROWS)
        assert bench.books() == Counter(aggregated=len(ROWS))
        assert bench.metrics.read(REWINDS, cause="missing") > 0

    play(act)


def test_a_shard_restored_from_an_older_copy_catches_up() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:HALF])
        old = copy.deepcopy(bench.store._shards[1])
        await published(bench, ROWS[HALF:-50])
        bench.store._shards[1] = old
        await bench.publish(ROWS[-50:])
        await bench.settle(len(ROWS))
        assert bench.windows() == count(ROWS)
        assert bench.metrics.read(REWINDS, cause="behind") > 0

    play(act)


def test_a_flushed_store_is_rebuilt_whole() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:HALF])
        bench.store._shards[:] = [_Shard() for _ in range(SHARDS)]
        await bench.publish(ROWS[HALF:])
        await bench.settle(len(ROWS))
        assert bench.windows() == count(ROWS)

    play(act)


def test_a_twin_that_reads_everything_too_adds_nothing() -> None:
    async def act(bench: Bench) -> None:
        for group in ("one", "two", "three"):
            bench.start(group)
        await published(bench, ROWS)
        assert bench.windows() == count(ROWS)
        assert bench.books() == Counter(aggregated=len(ROWS))

    play(act)


def test_members_that_come_and_go_lose_nothing() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        for start in range(0, len(ROWS), 200):
            await bench.publish(ROWS[start : start + 200])
            bench.start()
            await asyncio.sleep(0.02)
        await bench.settle(len(ROWS))
        assert bench.windows() == count(ROWS)

    play(act)


def test_an_idle_partition_that_is_caught_up_follows_the_clock() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:10])
        bench.clock.advance(3_600_000)

        def advanced() -> bool:
            marks = [p.watermark_ms for s in bench.store._shards for p in s.positions.values()]
            return all(m == bench.clock.ms - 30_000 for m in marks)

        await bench.until(advanced)
        assert bench.metrics.read(SPANS_AGGREGATED) == 10

    play(act)


def test_mostly_unreadable_input_stops_ingest_instead_of_draining_the_topic() -> None:
    async def act(bench: Bench) -> None:
        task = bench.start()
        producer, topics = bench.bus.producer(), bench.config().topics
        for _ in range(300):
            await producer.send(topics.spans, value=b"{")
        with pytest.raises(RejectedTooMany, match="bad_json"):
            await asyncio.wait_for(asyncio.shield(task), 10)
        assert len(bench.bus.records(topics.dlq)) < 300
        bench.tasks.clear()

    play(act, ingest={"flush_interval_s": 0.01, "max_records": 50, "min_rejected_records": 100})


def test_a_log_that_was_started_anew_is_read_from_its_beginning() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:HALF])
        await bench.end()
        bench.bus, bench.stop, bench.tasks = MemoryBus(bench.clock), asyncio.Event(), []
        await ensure(bench.config(), bench.bus.admin())
        bench.start()
        await bench.publish(ROWS[HALF : HALF + 100])
        await bench.settle(HALF + 100)
        assert bench.books() == Counter(aggregated=HALF + 100)

    play(act)
