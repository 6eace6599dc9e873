"""A pipeline on memory banks for one test: bus, store, clock, and workers as tasks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conservation import check_books
from memory_bus import MemoryBus
from native import encode, fleet
from oracle import Windows
from spans import T0_NS
from tocsin.clock import ManualClock
from tocsin.config import Config
from tocsin.metrics import Metrics
from tocsin.run.ingest import Ingest
from tocsin.store.memory import MemoryStore

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

    async def publish(self, rows: list[dict[str, Any]]) -> None:
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

    def check_conservation(self) -> None:
        """Assert the law of conservation, to the span (`conservation.py`)."""
        topics = self.config().topics
        books: Counter[tuple[int, str]] = Counter()
        for shard in self.store._shards:
            books.update(shard.account)
        keeps = [self.store._shards[p % SHARDS].positions.get(p) for p in range(PARTITIONS)]
        nexts = {p: at.next for p, at in enumerate(keeps) if at is not None}
        spans, dead = self.bus.records(topics.spans), self.bus.records(topics.dlq)
        check_books(self.config(), spans, dead, books, nexts)

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


ROWS = list(fleet(3, T0_NS, 300, 2))
HALF = len(ROWS) // 2


async def published(bench: Bench, rows: list[dict[str, Any]]) -> None:
    before = sum(bench.books().values())
    await bench.publish(rows)
    await bench.settle(before + len(rows))
