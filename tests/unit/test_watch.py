"""Watch on memory banks: it keeps its shards through whatever the store forgets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from memory_world import ROWS, SHARDS, Bench, published
from native import encode, fleet
from spans import T0_NS
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.detect.load_rules import load_rules
from tocsin.metrics import HEARTBEAT, PIPELINE_STALLED
from tocsin.run.replay import replay
from tocsin.run.topics import ensure
from tocsin.run.watch import Watch
from tocsin.store.memory import _Shard

ALL = frozenset(range(SHARDS))


def loop_rows(trace: str, count: int) -> list[dict]:
    rows = [row for row in fleet(9, T0_NS + 120_000_000_000, 60, 8) if row["kind"] == "tool"]
    same = {"trace_id": trace, "tool": "search", "args_hash": "a" * 16, "result_hash": "b" * 16}
    healthy = {"service": "svc1", "agent": "a", "error": False, "error_class": None}
    return [row | same | healthy for row in rows[:count]]


def play(act: Callable[[Bench, Watch], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench({"watch": {"tick_s": 0.05}})
        await ensure(bench.config(), bench.bus.admin())
        watch = Watch(
            bench.config(), bench.bus, bench.store, bench.clock, bench.metrics, load_rules()
        )
        bench.tasks.append(asyncio.create_task(watch.run(bench.stop)))
        bench.start()
        try:
            await watch.assigned(ALL)
            await act(bench, watch)
        finally:
            await bench.end()

    asyncio.run(run())


def events(bench: Bench) -> list[AlertEvent]:
    records = bench.bus.records(bench.config().topics.alerts)
    return [AlertEvent.decode(record.value or b"") for record in records]


async def told(bench: Bench, reason: str) -> AlertEvent:
    await bench.until(lambda: any(e.reason == reason for e in events(bench)))
    return next(e for e in events(bench) if e.reason == reason)


def beats(bench: Bench, stage: str) -> bool:
    """Whether a stage has seen the clock as it stands."""
    return bench.metrics.read(HEARTBEAT, stage=stage) * 1_000 >= bench.clock.now_ms()


def test_a_loop_is_told_while_its_window_is_open() -> None:
    async def act(bench: Bench, _: Watch) -> None:
        await published(bench, ROWS[:80] + loop_rows("loop", 3))
        assert (await told(bench, "opened")).rule == "runaway_loop"

    play(act)


def test_what_is_told_live_is_what_a_replay_tells_byte_for_byte() -> None:
    rows = ROWS[:80] + loop_rows("loop", 3)

    async def act(bench: Bench, _: Watch) -> None:
        await published(bench, rows)
        live = await told(bench, "opened")
        again = replay(map(encode, rows), bench.config(), load_rules())
        first = await anext(again)
        assert first.encode() == live.encode()

    play(act)


def test_a_flushed_store_is_claimed_again_and_the_alert_is_told_under_the_same_id() -> None:
    async def act(bench: Bench, watch: Watch) -> None:
        await published(bench, ROWS[:80] + loop_rows("loop", 3))
        first = await told(bench, "opened")
        bench.store._shards[:] = [_Shard() for _ in range(SHARDS)]
        await bench.until(lambda: all(shard.epoch for shard in bench.store._shards))
        await bench.until(lambda: watch._owned.keys() == ALL)
        await bench.publish(loop_rows("loop", 3)[:1])  # anything that makes ingest rebuild
        await bench.until(lambda: len(events(bench)) > 1)
        again = events(bench)[1]
        assert (again.id, again.encode()) == (first.id, first.encode())

    play(act)


def test_an_owner_that_was_fenced_by_a_zombie_takes_its_shards_back() -> None:
    async def act(bench: Bench, watch: Watch) -> None:
        await bench.until(lambda: watch._owned.keys() == ALL)
        for shard in ALL:
            await bench.store.claim(shard)  # a claim that was sent long ago and lands now
        watch.notice(*ALL)
        await published(bench, loop_rows("loop", 3))
        assert (await told(bench, "opened")).rule == "runaway_loop"

    play(act)


def test_revoked_shards_are_let_go_and_do_not_count_as_stalled() -> None:
    async def act(bench: Bench, watch: Watch) -> None:
        await published(bench, ROWS[:80])
        await bench.until(lambda: watch._owned.keys() == ALL)
        await watch.revoked(ALL)
        await bench.until(lambda: bench.metrics.read(PIPELINE_STALLED) == 0)
        assert not watch._owned

    play(act)


@pytest.mark.slow
def test_a_pipeline_that_falls_behind_says_so_once_and_says_when_it_is_over() -> None:
    """A partition without an owner holds the watermark back: no flatline, but one alert of us."""

    async def act(bench: Bench, watch: Watch) -> None:
        del watch
        await published(bench, ROWS[:80])
        consumer = bench.tasks[-1]
        consumer.cancel()  # the only ingest worker is gone
        await asyncio.gather(consumer, return_exceptions=True)
        bench.tasks.remove(consumer)
        later = 0
        for _ in range(60):  # half an hour; it rings within minutes, and then not again
            bench.clock.set(bench.clock.now_ms() + 30_000)
            await bench.until(lambda: beats(bench, "watch"))
            later += bool(events(bench))
            if later == 10:
                break
        opened = await told(bench, "opened")
        assert (opened.rule, opened.severity) == ("pipeline_stalled", "critical")
        bench.start("again")
        await bench.until(lambda: beats(bench, "ingest"))
        bench.clock.set(bench.clock.now_ms() + 30_000)  # now it is idle, and caught up
        over = await told(bench, "cleared")
        assert over.alert_id == opened.alert_id
        assert [e.rule for e in events(bench)] == ["pipeline_stalled", "pipeline_stalled"]

    play(act)
