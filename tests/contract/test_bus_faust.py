"""Faust as we use it, on a live broker: who holds which shard, and that nothing dies unheard."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest
from mode.threads import WorkerThread

from servers import Kafka
from tocsin.bus.base import TopicSpec
from tocsin.bus.faust import FlushNotices, ShardHolder
from tocsin.bus.kafka import KafkaBus
from tocsin.config import Config
from tocsin.settings import KafkaConfig, TopicsConfig

_SHARDS = 4
_ALL = frozenset(range(_SHARDS))
_PATIENCE_S = 60.0


@dataclass
class Holder:
    """Keeps what Faust told it."""

    held: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)

    async def assigned(self, shards: frozenset[int]) -> None:
        self.held |= shards

    async def revoked(self, shards: frozenset[int]) -> None:
        self.held -= shards

    def notice(self, *shards: int) -> None:
        self.seen.update(shards)


@pytest.fixture
def config(kafka: Kafka, prefix: str) -> Config:
    return Config(
        kafka=KafkaConfig(bootstrap=kafka.bootstrap, group_prefix=prefix, session_timeout_s=6),
        topics=TopicsConfig(prefix=prefix),
        shards=_SHARDS,
    )


async def create(config: Config) -> None:
    admin = KafkaBus(config.kafka).admin()
    await admin.create([TopicSpec(config.topics.flushes, _SHARDS)])
    await admin.close()


async def tell(config: Config, *shards: int) -> None:
    """Write a notice for each of these shards."""
    producer = KafkaBus(config.kafka).producer()
    await producer.start()
    for shard in shards:
        await (await producer.send(config.topics.flushes, value=b"{}", partition=shard))
    await producer.stop()


@asynccontextmanager
async def holding(config: Config, holder: ShardHolder) -> AsyncIterator[asyncio.Task[None]]:
    stop = asyncio.Event()
    task = asyncio.create_task(FlushNotices(config, holder).run(stop))
    try:
        yield task
    finally:
        stop.set()
        await task


async def until(done: Callable[[], bool], what: str, *tasks: asyncio.Task[None]) -> None:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while not done():
        assert asyncio.get_running_loop().time() < deadline, what
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.05)


async def test_every_shard_has_exactly_one_holder_as_workers_come_and_go(config: Config) -> None:
    await create(config)
    one, two = Holder(), Holder()
    async with holding(config, one) as first:
        await until(lambda: one.held == _ALL, "one takes all", first)
        async with holding(config, two) as second:
            await until(lambda: bool(two.held), "two gets a part", first, second)
            await until(lambda: one.held | two.held == _ALL, "none is left out", first, second)
            assert not one.held & two.held
        await until(lambda: one.held == _ALL, "one takes over", first)


async def test_a_notice_reaches_whoever_holds_the_shard(config: Config) -> None:
    await create(config)
    holder = Holder()
    async with holding(config, holder) as task:
        await until(lambda: holder.held == _ALL, "held", task)
        await asyncio.sleep(1)  # `latest` is looked up after the assignment
        await tell(config, 1, 3)
        await until(lambda: holder.seen >= {1, 3}, "told", task)
        assert holder.seen <= {1, 3}


async def test_a_worker_outlives_its_broker_s_restart(config: Config, kafka: Kafka) -> None:
    await create(config)
    holder = Holder()
    async with holding(config, holder) as task:
        await until(lambda: holder.held == _ALL, "held", task)
        await asyncio.sleep(1)
        if kafka.real:  # the embedded broker forgets its topics
            await asyncio.to_thread(kafka.kill)
            await asyncio.sleep(1)
            await asyncio.to_thread(kafka.start)
        deadline = asyncio.get_running_loop().time() + _PATIENCE_S
        while 2 not in holder.seen:
            assert asyncio.get_running_loop().time() < deadline, "deaf since the restart"
            await tell(config, 2)
            await asyncio.sleep(0.5)
        assert holder.held == _ALL
        assert not task.done()


async def test_a_holder_that_cannot_take_a_shard_ends_the_worker(config: Config) -> None:
    class Refusing(Holder):
        async def assigned(self, shards: frozenset[int]) -> None:
            raise LookupError(f"no state of {sorted(shards)}")

    await create(config)
    with pytest.raises(LookupError, match="no state"):
        async with asyncio.timeout(_PATIENCE_S), holding(config, Refusing()) as task:
            await asyncio.wait([task])
    assert no_thread_left()


async def test_a_notice_that_cannot_be_handled_ends_the_worker(config: Config) -> None:
    class Failing(Holder):
        def notice(self, *shards: int) -> None:
            raise LookupError(f"shard {shards}")

    async def fail() -> None:
        holder = Failing()
        async with asyncio.timeout(_PATIENCE_S), holding(config, holder) as task:
            await until(lambda: holder.held == _ALL, "held", task)
            await asyncio.sleep(1)
            await tell(config, 0)
            await asyncio.wait([task])

    await create(config)
    with pytest.raises(LookupError, match="shard"):
        await fail()
    assert no_thread_left()


async def test_cancelling_a_worker_leaves_nothing_behind(config: Config) -> None:
    await create(config)
    holder = Holder()
    task = asyncio.create_task(FlushNotices(config, holder).run(asyncio.Event()))
    await until(lambda: holder.held == _ALL, "held", task)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert no_thread_left()
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > 1:  # mode's sleepers wake once a second
            await asyncio.sleep(0.1)


def no_thread_left() -> bool:
    """Faust's consumer lives in a thread, which would keep its shards in the group."""
    return not [t.name for t in threading.enumerate() if isinstance(t, WorkerThread)]
