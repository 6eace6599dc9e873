"""Changes on memory banks: an alert names the deploy before it, after a restart too."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from memory_broker import MemoryBroker
from memory_world import ROWS, Bench, published
from native import encode
from spans import T0_NS
from tocsin import metrics as m
from tocsin.errors import UserError
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.decode.changes import ChangeV1
from tocsin.flow.detect.load_rules import load_rules
from tocsin.run.change_feed import KEPT_MS, ChangeFeed, changes_since, publish_change
from tocsin.run.replay.engine import Replay, chunks
from tocsin.run.topics import ensure
from tocsin.run.watch import Watch
from tocsin.store.memory import _Shard
from tocsin.types import Reason
from tocsin_client import Publisher
from unit.test_watch import ALL, events, told
from unit.test_watch import loop_rows as overlapping_rows

LOOP_MS = T0_NS // 1_000_000 + 120_000


async def send(bench: Bench, *values: Any, reported_ms: int | None = None) -> None:
    """As if they had been told before the loop that the tests raise."""
    topic, producer, now = bench.config().topics.changes, bench.bus.producer(), bench.clock.now_ms()
    bench.clock.set(LOOP_MS - 30_000 if reported_ms is None else reported_ms)
    for value in values:
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        await producer.send(topic, value=raw)
    bench.clock.set(now)


def loop_rows(trace: str, count: int) -> list[dict[str, Any]]:
    """One call after the other."""
    rows = overlapping_rows(trace, count)
    return [row | {"start_ns": row["end_ns"] - 1_000_000} for row in rows]


def deploy(version: str, before_s: int, **more: str) -> dict[str, Any]:
    at = (LOOP_MS - before_s * 1_000) * 1_000_000
    told = {"kind": "deploy", "env": "prod", "service": "svc1", "version": version, "at": at}
    return told | more


def play(act: Callable[[Bench, Watch, ChangeFeed], Awaitable[None]], *first: Any) -> None:
    async def run() -> None:
        bench = Bench({"watch": {"tick_s": 0.05}})
        await ensure(bench.config(), bench.bus.admin())
        await send(bench, *first)
        feed, watch = worker(bench)
        bench.start()
        try:
            await watch.assigned(ALL)
            await act(bench, watch, feed)
        finally:
            await bench.end()

    asyncio.run(run())


def worker(bench: Bench) -> tuple[ChangeFeed, Watch]:
    config = bench.config()
    feed = ChangeFeed(config, bench.bus, bench.clock, bench.metrics)
    rules = load_rules()
    watch = Watch(config, bench.bus, bench.store, bench.clock, bench.metrics, rules, feed)
    bench.tasks += [asyncio.create_task(part.run(bench.stop)) for part in (feed, watch)]
    return feed, watch


def versions(event: AlertEvent) -> list[str]:
    return [change.version for change in event.changes]


def test_an_alert_names_what_was_on_the_topic_before_the_worker_and_what_came_since() -> None:
    async def act(bench: Bench, watch: Watch, feed: ChangeFeed) -> None:
        await bench.until(lambda: len(feed.table) == 3)
        await send(bench, deploy("1.3", 60))
        await bench.until(lambda: len(feed.table) == 4)
        await published(bench, ROWS[:80] + loop_rows("loop", 5))
        assert versions(await told(bench, "opened")) == ["1.3", "1.2"]

    ancient = deploy("0.9", 3_600)
    play(act, deploy("1.2", 600), deploy("9.9", 60, service="crm"), ancient)


def test_a_rebuilt_worker_tells_the_same_alerts_with_the_same_changes() -> None:
    async def act(bench: Bench, watch: Watch, feed: ChangeFeed) -> None:
        await published(bench, ROWS[:80] + loop_rows("loop", 5))
        await told(bench, "escalated")
        before = [(event.id, event.encode()) for event in events(bench)]
        assert [versions(event) for event in events(bench)] == [["1.2"], ["1.2"]]
        await watch.revoked(ALL)
        bench.store._shards[:] = [_Shard() for _ in bench.store._shards]
        _, second = worker(bench)
        await second.assigned(ALL)
        await bench.until(lambda: second._owned.keys() == ALL)
        await bench.publish(loop_rows("loop", 5)[:1])  # anything that makes ingest rebuild
        await bench.until(lambda: len(events(bench)) >= 2 * len(before))
        again = [(event.id, event.encode()) for event in events(bench)]
        assert again == before + before

    play(act, deploy("1.2", 600))


def test_a_replay_of_the_topics_tells_what_was_told_live() -> None:
    async def act(bench: Bench, watch: Watch, feed: ChangeFeed) -> None:
        rows = ROWS[:80] + loop_rows("loop", 5)
        await published(bench, rows)
        live = await told(bench, "opened")
        await send(bench, deploy("1.3", 300), reported_ms=live.at)  # too late for that event
        await bench.until(lambda: len(feed.table) == 2)
        table = await changes_since(bench.bus, bench.config(), LOOP_MS)
        assert len(table) == 2
        again = await Replay.open(bench.config(), [load_rules()], changes=table)
        chunk = next(chunks(map(encode, rows)))
        _, first = await anext(again.feed({0: chunk}))
        assert versions(first) == ["1.2"]
        assert first.encode() == live.encode()

    play(act, deploy("1.2", 600))


def test_no_shard_is_ticked_before_the_changes_are_read() -> None:
    async def act(bench: Bench, watch: Watch, feed: ChangeFeed) -> None:
        await bench.until(feed.ready.is_set)
        assert len(feed.table) == 1_200

    many = [deploy(str(i), 600, service=f"s{i}") for i in range(1_200)]
    play(act, *many)


def test_what_cannot_be_read_is_put_away_once_however_many_workers_read_it() -> None:
    async def act(bench: Bench, watch: Watch, feed: ChangeFeed) -> None:
        other, _ = worker(bench)
        build = {"context": {"type": "dev.cdevents.build.finished.0.1.0"}, "subject": {"id": "b"}}
        await send(bench, b"{", [deploy("1", 60), {"kind": "x"}], build)
        topics = bench.config().topics
        await bench.until(lambda: len(bench.bus.records(topics.dlq)) == 2)
        await bench.until(lambda: len(other.table) == len(feed.table) == 1)
        await asyncio.sleep(0.05)
        dlq_records = [dict(record.headers) for record in bench.bus.records(topics.dlq)]
        assert [dlq_record["dlq.reason"].decode() for dlq_record in dlq_records] == [
            Reason.BAD_JSON, Reason.BAD_VALUE,
        ]  # fmt: skip
        assert {dlq_record["dlq.original.topic"].decode() for dlq_record in dlq_records} == {
            topics.changes
        }
        assert dlq_records[1]["dlq.items"] == b"1"
        read = {o: bench.metrics.read(m.CHANGES, outcome=o) for o in ("read", "ignored", "refused")}
        assert read == {"read": 2, "ignored": 2, "refused": 4}  # two workers, one registry

    play(act)


def test_changes_older_than_a_day_are_forgotten() -> None:
    async def act(bench: Bench, watch: Watch, feed: ChangeFeed) -> None:
        await bench.until(lambda: len(feed.table) == 1)
        bench.clock.advance(KEPT_MS)
        await send(bench, deploy("2", 0, service="new"))
        await bench.until(lambda: len(feed.table) == 0)

    play(act, deploy("1", 60))


async def test_the_client_tells_of_a_change_as_the_command_line_does() -> None:
    bench = Bench()
    await ensure(bench.config(), bench.bus.admin())
    config, now = bench.config(), T0_NS
    async with Publisher(
        service="shop", env="prod", broker=MemoryBroker(bench.bus), now_ns=lambda: now
    ) as publisher:
        publisher.change("deploy", version="1.4.2")
        publisher.change("flag", name="planner", variant="on", service="*")
        publisher.change("coffee")
        async with publisher.run(agent="a"):
            pass
    assert (publisher.counts.published, publisher.counts.invalid) == (3, 1)
    change = ChangeV1(kind="deploy", env="prod", service="shop", version="1.4.2", at=now)
    topic, partition, offset = await publish_change(bench.bus, config, change)
    assert (topic, partition, offset) == (config.topics.changes, 0, 2)
    first, flag, last = (json.loads(r.value or b"") for r in bench.bus.records(topic))
    assert first == last | {"source": "tocsin_client"}
    assert (flag["service"], flag["variant"], flag["env"]) == ("*", "on", "prod")


async def test_a_missing_topic_is_said_with_its_remedy() -> None:
    bench = Bench()
    change = ChangeV1(kind="deploy", service="shop")
    with pytest.raises(UserError, match="tocsin topics"):
        await publish_change(bench.bus, bench.config(), change)
