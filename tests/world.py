"""A real pipeline for one test: its own topics and keys, its stages as processes to be killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from conservation import check_books
from native import encode
from oracle import Windows
from tocsin.bus.kafka import KafkaBus
from tocsin.config import Config
from tocsin.store.redis import RedisStore
from tocsin.types import Record


@dataclass
class World:
    """Where the stages of one test meet."""

    bootstrap: str
    redis_url: str
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default_factory=lambda: f"t{uuid4().hex[:8]}")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    #: What the books said when the spans topic was last deleted: its records are gone.
    booked_before: Counter[tuple[int, str]] = field(default_factory=Counter)
    ingested: bool = False  # whether a stage that writes books was ever started

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "TOCSIN_KAFKA__BOOTSTRAP": self.bootstrap,
            "TOCSIN_KAFKA__GROUP_PREFIX": self.name,
            "TOCSIN_KAFKA__SESSION_TIMEOUT_S": "6",
            "TOCSIN_REDIS__URL": self.redis_url,
            "TOCSIN_REDIS__PREFIX": self.name,
            "TOCSIN_TOPICS__PREFIX": self.name,
            "TOCSIN_TOPICS__SPANS_PARTITIONS": "6",
            "TOCSIN_SHARDS": "4",
            "TOCSIN_INGEST__FLUSH_INTERVAL_S": "0.2",
            **self.settings,
        }

    def config(self) -> Config:
        """The configuration that the processes get."""
        names = {key: value for key, value in self.env().items() if key.startswith("TOCSIN_")}
        tree: dict[str, Any] = {}
        for key, value in names.items():
            if key.startswith(("TOCSIN_TEST_", "TOCSIN_REQUIRE_")):
                continue
            *sections, last = key.removeprefix("TOCSIN_").lower().split("__")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
            node[last] = value
        return Config(**tree)

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "tocsin", *args],
            env=self.env(), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """A stage as a process of its own; what it says is in the test's folder."""
        number = len(self.processes)
        self.ingested |= args[0] in {"ingest", "up"}
        with (self.folder / f"{number}-{args[0]}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "tocsin", *args],
                env=self.env(), stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def stop(self) -> None:
        """End every process that still runs: first asked, then made."""
        running = [p for p in self.processes if p.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def check_alive(self) -> None:
        """Fail with what a process said if it ended by itself."""
        for number, process in enumerate(self.processes):
            if process.poll() not in (None, 0, -signal.SIGKILL, -signal.SIGTERM):
                said = next(self.folder.glob(f"{number}-*.log")).read_text()[-3000:]
                raise AssertionError(f"a process ended with {process.returncode}:\n{said}")

    async def until(self, met: Callable[[], Any], seconds: float, what: str) -> Any:
        """Wait for an async condition to give something truthy."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check_alive()
            if got := await met():
                return got
            await asyncio.sleep(0.1)
        logs = "\n".join(
            f"--- {p.name}\n{p.read_text()[-1500:]}" for p in sorted(self.folder.glob("*.log"))
        )
        raise AssertionError(f"not within {seconds} s: {what}\n{logs}")

    def store(self) -> RedisStore:
        return RedisStore(self.redis_url, prefix=self.name, shards=self.config().shards)

    async def publish(
        self, rows: Iterable[Mapping[str, Any]], per_second: float | None = None
    ) -> None:
        """Send spans as producers would: keyed by trace, one a message."""
        producer = KafkaBus(self.config().kafka).producer()
        await producer.start()
        try:
            started, topic = time.monotonic(), self.config().topics.spans
            for sent, row in enumerate(rows):
                await producer.send(topic, value=encode(row), key=row["trace_id"].encode())
                if per_second and sent % 100 == 99:
                    ahead = sent / per_second - (time.monotonic() - started)
                    await asyncio.sleep(max(0.0, ahead))
            await producer.flush()
        finally:
            await producer.stop()

    async def read(self, topic: str) -> list[Record]:
        """Everything on a topic now, partition by partition."""
        consumer = KafkaBus(self.config().kafka).consumer(topic, None)
        await consumer.start()
        try:
            ends = await consumer.end_offsets(consumer.assignment())
            begins = await consumer.begin_offsets(consumer.assignment())
            left = sum(ends.values()) - sum(begins.values())
            records: list[Record] = []
            deadline = time.monotonic() + 20
            while len(records) < left and time.monotonic() < deadline:
                for polled in (await consumer.poll(50_000, 500)).values():
                    records += polled
            return records
        finally:
            await consumer.stop()

    async def windows(self, starts: Iterable[int]) -> Windows:
        """All counters the shards hold for these windows."""
        store, wanted = self.store(), sorted(set(starts))
        total: Windows = {}
        for shard in range(self.config().shards):
            for frame in await store.windows(shard, wanted, 60):
                for owner, code, value in zip(
                    frame.owner.tolist(), frame.field.tolist(), frame.value.tolist(), strict=True
                ):
                    key = (frame.start, frame.series[owner])
                    total.setdefault(key, Counter())[frame.fields[code]] += value
        await store.close()
        return total

    async def account(self) -> Counter[str]:
        """The books of all partitions: outcome -> spans."""
        books: Counter[str] = Counter()
        for (_, outcome), spans in (await self.books()).items():
            books[outcome] += spans
        return books

    async def books(self) -> Counter[tuple[int, str]]:
        """(partition, outcome) -> spans."""
        store = self.store()
        books: Counter[tuple[int, str]] = Counter()
        for shard in range(self.config().shards):
            books.update(await store.account(shard))
        await store.close()
        return books

    async def check_conservation(self) -> None:
        """Assert the law of conservation, at whatever instant the stages have ended."""
        config, store = self.config(), self.store()
        partitions = range(config.topics.spans_partitions)
        positions = await store.positions(partitions)
        await store.close()
        keeps = {p: positions.get((p % config.shards, p)) for p in partitions}
        nexts = {p: at.next for p, at in keeps.items() if at is not None}
        books = await self.books()
        books.subtract(self.booked_before)
        spans, dead = await self.read(config.topics.spans), await self.read(config.topics.dlq)
        check_books(config, spans, dead, books, nexts)

    async def forget_spans(self) -> None:
        """Before the spans topic is deleted: check the law, and hold only what comes to it."""
        await self.check_conservation()
        self.booked_before = await self.books()
