"""Ingest on memory banks: whatever the shards lose or a twin does, the counts are the oracle's."""

from __future__ import annotations

import asyncio
import copy
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest

from memory_bus import MemoryBus
from memory_world import HALF, ROWS, SHARDS, Bench, published
from oracle import Windows, count
from tocsin.metrics import (
    REWINDS,
    SPANS_AGGREGATED,
    SPANS_CONSUMED,
    SPANS_DUPLICATE,
    SPANS_FILTERED,
    SPANS_LATE,
)
from tocsin.run.dlq.write import RejectedTooMany
from tocsin.run.ingest import Ingest
from tocsin.run.topics import ensure
from tocsin.store.memory import _Shard


@functools.cache
def whole() -> Windows:
    """What the oracle counts of all rows."""
    return count(ROWS)


def play(act: Callable[[Bench], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        bench = Bench(settings)
        await ensure(bench.config(), bench.bus.admin())
        try:
            await act(bench)
        finally:
            await bench.end()

    asyncio.run(run())


def test_what_is_published_is_counted() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS)
        assert bench.windows() == whole()
        assert bench.books() == Counter(aggregated=len(ROWS))

    play(act)


@pytest.mark.parametrize(
    "shard", [0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, SHARDS))]
)
def test_a_shard_that_lost_everything_is_rebuilt_from_the_log(shard: int) -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:HALF])
        bench.store._shards[shard] = _Shard()
        await bench.publish(ROWS[HALF:])
        await bench.settle(len(ROWS))
        assert bench.windows() == whole()
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
        assert bench.windows() == whole()
        assert bench.metrics.read(REWINDS, cause="behind") > 0

    play(act)


def test_a_flushed_store_is_rebuilt_whole() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:HALF])
        bench.store._shards[:] = [_Shard() for _ in range(SHARDS)]
        await bench.publish(ROWS[HALF:])
        await bench.settle(len(ROWS))
        assert bench.windows() == whole()

    play(act)


@pytest.mark.slow
def test_a_twin_that_reads_everything_too_adds_nothing() -> None:
    async def act(bench: Bench) -> None:
        for group in ("one", "two", "three"):
            bench.start(group)
        await published(bench, ROWS)
        assert bench.windows() == whole()
        assert bench.books() == Counter(aggregated=len(ROWS))

    play(act)


def test_each_delivery_is_counted_once_whether_it_was_new_or_a_repeat() -> None:
    """consumed = aggregated + late + duplicate + filtered + dead-lettered, for the processes."""
    readers = ("one", "two", "three")
    plain = {"kind": "other", "tool": None, "handoff_to": None}
    other = [row | plain | {"span_id": f"o{i}"} for i, row in enumerate(ROWS[-50:])]

    async def act(bench: Bench) -> None:
        for group in readers:
            bench.start(group)
        producer, topic = bench.bus.producer(), bench.config().topics.spans
        await bench.publish(ROWS)
        for _ in range(7):
            await producer.send(topic, value=b"{")
        await bench.publish(other)
        sent = len(ROWS) + 7 + len(other)
        await bench.settle(sent)
        read = bench.metrics.read
        await bench.until(lambda: read(SPANS_CONSUMED) >= sent * len(readers))
        assert read(SPANS_DUPLICATE) == sent * (len(readers) - 1)
        booked = read(SPANS_AGGREGATED) + read(SPANS_LATE) + read(SPANS_FILTERED)
        assert booked == sent - 7
        assert read(SPANS_CONSUMED) == sent * len(readers)
        assert bench.books() == Counter(aggregated=len(ROWS), filtered=len(other), dead_lettered=7)
        bench.check_conservation()

    play(act, ingest={"flush_interval_s": 0.01, "max_records": 50, "max_rejected_share": 1.0})


@pytest.mark.parametrize("outcome", ["aggregated", "late", "dead_lettered"])
def test_the_audit_sees_a_single_span_that_is_missing_or_twice_on_the_books(outcome: str) -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:100])
        bench.check_conservation()
        account = next(s.account for s in bench.store._shards if s.account)
        place = (next(iter(account))[0], outcome)
        for by in (1, -1):
            account[place] = account.get(place, 0) + by
            with pytest.raises(AssertionError, match="partition"):
                bench.check_conservation()
            account[place] -= by
        bench.check_conservation()

    play(act)


@pytest.mark.slow
def test_members_that_come_and_go_lose_nothing() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        for start in range(0, len(ROWS), 200):
            await bench.publish(ROWS[start : start + 200])
            bench.start()
            await asyncio.sleep(0.02)
        await bench.settle(len(ROWS))
        assert bench.windows() == whole()

    play(act)


def test_partitions_revoked_while_their_ends_are_asked_for_have_no_position() -> None:
    """A rebalance in the middle of housekeeping once ended ingest (aiokafka IllegalStateError)."""

    async def act(bench: Bench) -> None:
        ingest = Ingest(bench.config("g"), bench.bus, bench.store, bench.clock, bench.metrics)
        consumer = ingest._consumer
        await consumer.start()
        assert ingest._progress
        ends = consumer.end_offsets

        async def revoked_meanwhile(partitions: Iterable[int]) -> dict[int, int]:
            found = await ends(partitions)
            await consumer.stop()  # whoever leaves has its partitions revoked
            return found

        consumer.end_offsets = revoked_meanwhile  # type: ignore[method-assign]
        await ingest._housekeep()
        assert not ingest._progress

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


def test_a_log_cut_at_its_end_under_a_running_worker_is_read_again_from_there() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        await published(bench, ROWS[:HALF])
        for part in bench.bus.topic(bench.config().topics.spans).partitions:
            part.records.clear()
        await bench.publish(ROWS[HALF : HALF + 100])
        await bench.settle(HALF + 100)
        assert bench.books() == Counter(aggregated=HALF + 100)

    play(act)


def test_a_few_bad_records_among_clean_flushes_are_no_reason_to_stop() -> None:
    async def act(bench: Bench) -> None:
        bench.start()
        producer = bench.bus.producer()
        for _ in range(80):
            await producer.send(bench.config().topics.spans, value=b"{")
        await bench.publish(ROWS[:300])
        await bench.settle(380)
        assert bench.books() == Counter(aggregated=300, dead_lettered=80)

    play(act, ingest={"flush_interval_s": 0.01, "max_records": 50, "min_rejected_records": 200})


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
