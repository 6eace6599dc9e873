"""One suite for both banks of the bus: what memory promises, Kafka does."""

from __future__ import annotations

import asyncio
import functools
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

import pytest

from memory_bus import MemoryBus
from tocsin.bus.base import Bus, Consumer, OnRebalance, TopicMissing, TopicSpec, nothing
from tocsin.bus.kafka import KafkaBus
from tocsin.settings import KafkaConfig
from tocsin.types import Record

_PATIENCE_S = 30.0


def law(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own, for a bounded time."""

    @functools.wraps(test)
    def run(*args: object, **kwargs: object) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(2 * _PATIENCE_S):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


@pytest.fixture(params=["memory", "kafka"])
def bus(request: pytest.FixtureRequest) -> Bus:
    if request.param == "memory":
        return MemoryBus()
    bootstrap = str(request.getfixturevalue("kafka"))
    return KafkaBus(KafkaConfig(bootstrap=bootstrap, session_timeout_s=10))


@pytest.fixture
def tansu(request: pytest.FixtureRequest, bus: Bus) -> bool:
    """Whether the bus is the embedded broker, which departs from Kafka in two points below."""
    return isinstance(bus, KafkaBus) and not request.getfixturevalue("kafka").real


@pytest.fixture
def exact(bus: Bus, request: pytest.FixtureRequest) -> bool:
    """Whether the bank keeps the finer points; the embedded broker, not Kafka itself, does not."""
    return isinstance(bus, MemoryBus) or bool(request.getfixturevalue("kafka").real)


async def topic(bus: Bus, partitions: int = 1, **config: str) -> str:
    name = f"contract.{secrets.token_hex(6)}"
    settings = {key.replace("_", "."): value for key, value in config.items()}
    admin = bus.admin()
    try:
        assert await admin.create([TopicSpec(name, partitions, 1, settings)]) == [name]
    finally:
        await admin.close()
    return name


async def write(bus: Bus, name: str, records: Iterable[tuple[int, bytes]]) -> None:
    """Send (partition, value) in order."""
    producer = bus.producer()
    await producer.start()
    try:
        acks = [await producer.send(name, value=v, partition=p) for p, v in records]
        await asyncio.gather(*acks)
    finally:
        await producer.stop()


@asynccontextmanager
async def reading(
    bus: Bus,
    name: str,
    group: str | None = None,
    on_revoked: OnRebalance = nothing,
    on_assigned: OnRebalance = nothing,
) -> AsyncIterator[Consumer]:
    consumer = bus.consumer(name, group, on_revoked=on_revoked, on_assigned=on_assigned)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def read(consumer: Consumer, count: int) -> list[Record]:
    """Poll until `count` records came, or time is up."""
    got: list[Record] = []
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while len(got) < count and asyncio.get_running_loop().time() < deadline:
        for records in (await consumer.poll(1_000, 100)).values():
            got.extend(records)
    return got


async def until(done: Callable[[], bool], *consumers: Consumer) -> None:
    """Keep polling, as a member of a group must, until `done`."""
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while not done():
        assert asyncio.get_running_loop().time() < deadline, "the group did not settle"
        await asyncio.gather(*(consumer.poll(100, 50) for consumer in consumers))


@law
async def test_a_partition_keeps_the_order_of_its_records(bus: Bus) -> None:
    name = await topic(bus, 3)
    await write(bus, name, [(n % 3, str(n).encode()) for n in range(300)])
    async with reading(bus, name) as consumer:
        got = await read(consumer, 300)
    for partition in range(3):
        mine = [r for r in got if r.partition == partition]
        assert [r.offset for r in mine] == list(range(100))
        assert [int(r.value or b"") for r in mine] == list(range(partition, 300, 3))


@law
async def test_keys_headers_nulls_and_timestamps_come_back_as_they_went(bus: Bus) -> None:
    name = await topic(bus)
    producer = bus.producer()
    await producer.start()
    headers = [("ce_id", b"1"), ("twice", b"a"), ("twice", b"\x00\xff"), ("empty", b"")]
    await (await producer.send(name, key=b"k", value=None, headers=headers, timestamp_ms=1_234))
    await (await producer.send(name, value=b"", timestamp_ms=5_678))
    await producer.stop()
    async with reading(bus, name) as consumer:
        tombstone, empty = await read(consumer, 2)
    assert (tombstone.key, tombstone.value, tombstone.timestamp) == (b"k", None, 1_234)
    assert [tuple(header) for header in tombstone.headers] == headers
    assert (empty.key, empty.value, empty.timestamp) == (None, b"", 5_678)
    assert (tombstone.topic, tombstone.timestamp_type) == (name, 0)


@law
async def test_a_big_record_goes_through_whole(bus: Bus) -> None:
    name = await topic(bus)
    value = secrets.token_bytes(1_000_000)
    await write(bus, name, [(0, value), (0, b"after")])
    async with reading(bus, name) as consumer:
        assert [r.value for r in await read(consumer, 2)] == [value, b"after"]


@law
async def test_the_same_key_goes_to_the_same_partition_in_both_banks(bus: Bus) -> None:
    name = await topic(bus, 7)
    keys = [f"trace-{n}".encode() for n in range(8)]
    producer = bus.producer()
    await producer.start()
    acks = [await (await producer.send(name, key=key, value=b"")) for key in keys]
    await producer.stop()
    # murmur2 as every Kafka client has it: a producer in another language agrees with us.
    assert [ack.partition for ack in acks] == [1, 1, 0, 3, 0, 0, 1, 3]


@law
async def test_an_ack_tells_where_the_record_is(bus: Bus) -> None:
    name = await topic(bus, 2)
    producer = bus.producer()
    await producer.start()
    acks = [await (await producer.send(name, value=b"x", partition=1)) for _ in range(3)]
    await producer.stop()
    assert [(ack.partition, ack.offset) for ack in acks] == [(1, 0), (1, 1), (1, 2)]


@law
async def test_poll_keeps_to_its_limit_and_loses_nothing(bus: Bus) -> None:
    name = await topic(bus, 2)
    await write(bus, name, [(n % 2, str(n).encode()) for n in range(100)])
    got: list[bytes | None] = []
    async with reading(bus, name) as consumer:
        while len(got) < 100:
            polled = await consumer.poll(7, 1_000)
            assert sum(map(len, polled.values())) <= 7
            assert all(polled.values()), "an empty sequence says nothing"
            got += [r.value for records in polled.values() for r in records]
    assert sorted(int(v or b"") for v in got) == list(range(100))


@law
async def test_poll_waits_for_data_and_returns_empty_when_none_comes(bus: Bus) -> None:
    name = await topic(bus)
    async with reading(bus, name) as consumer:
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await consumer.poll(10, 200) == {}
        assert 0.15 <= loop.time() - started < 5
        waiting = asyncio.create_task(consumer.poll(10, int(_PATIENCE_S * 1_000)))
        await write(bus, name, [(0, b"news")])
        assert [r.value for r in (await waiting)[0]] == [b"news"]


@law
async def test_seek_reads_again_from_there_and_skips_ahead(bus: Bus) -> None:
    name = await topic(bus)
    await write(bus, name, [(0, str(n).encode()) for n in range(10)])
    async with reading(bus, name) as consumer:
        assert len(await read(consumer, 10)) == 10
        consumer.seek(0, 4)
        assert [r.offset for r in await read(consumer, 6)] == [4, 5, 6, 7, 8, 9]
        consumer.seek(0, 9)
        assert [r.offset for r in await read(consumer, 1)] == [9]
        with pytest.raises(ValueError, match="partition 1"):
            consumer.seek(1, 0)


@law
async def test_a_position_beyond_the_log_continues_at_its_beginning(bus: Bus, exact: bool) -> None:
    name = await topic(bus)
    await write(bus, name, [(0, str(n).encode()) for n in range(5)])
    async with reading(bus, name) as consumer:
        await read(consumer, 5)
        consumer.seek(0, 1_000)
        if exact:
            assert [r.offset for r in await read(consumer, 5)] == [0, 1, 2, 3, 4]
        else:  # it is silent; ingest compares its position with the end of the log
            assert await consumer.poll(10, 500) == {}


@law
async def test_offsets_tell_where_the_log_begins_and_ends(bus: Bus, exact: bool) -> None:
    name = await topic(bus, 3)
    await write(bus, name, [(0, b"a"), (0, b"b"), (2, b"c")])
    async with reading(bus, name, "g-" + name) as consumer:
        assert await consumer.partitions() == 3
        assert await consumer.begin_offsets(range(3)) == {0: 0, 1: 0, 2: 0}
        ends = await consumer.end_offsets(range(3))
        if exact:
            assert ends == {0: 2, 1: 0, 2: 1}
        else:  # too low by up to a batch
            assert all(ends[p] <= true for p, true in {0: 2, 1: 0, 2: 1}.items())
        await read(consumer, 3)
        assert await consumer.end_offsets(range(3)) == {0: 2, 1: 0, 2: 1}, "once it was fetched"
        assert await consumer.end_offsets([]) == {}
        assert await consumer.begin_offsets([]) == {}


@law
async def test_looking_up_a_time_never_skips_a_younger_record(bus: Bus, exact: bool) -> None:
    name = await topic(bus)
    producer = bus.producer()
    await producer.start()
    for at in (1_000, 2_000, 3_000):
        await (await producer.send(name, value=b"", timestamp_ms=at))
    await producer.stop()
    async with reading(bus, name) as consumer:
        found = [await consumer.offset_for_time(0, ms) for ms in (0, 1_500, 2_000, 3_000, 3_001)]
    # The embedded broker keeps no time index: the beginning is always safe.
    assert found == ([0, 1, 1, 2, None] if exact else [0, 0, 0, 0, 0])


@law
async def test_a_group_resumes_where_it_committed(bus: Bus) -> None:
    name = await topic(bus)
    await write(bus, name, [(0, str(n).encode()) for n in range(10)])
    async with reading(bus, name, "g-" + name) as consumer:
        await read(consumer, 10)
        assert await consumer.committed(0) is None
        assert await consumer.commit({0: 6})
        assert await consumer.commit({})
        assert await consumer.committed(0) == 6
    async with reading(bus, name, "g-" + name) as consumer:
        assert [r.offset for r in await read(consumer, 4)] == [6, 7, 8, 9]
        assert not await consumer.commit({5: 1}), "a partition that is not held"
    async with reading(bus, name, "other-" + name) as consumer:
        assert len(await read(consumer, 10)) == 10


@law
async def test_without_a_group_everything_is_read_and_nothing_committed(bus: Bus) -> None:
    name = await topic(bus, 2)
    await write(bus, name, [(0, b"a"), (1, b"b")])
    given: list[frozenset[int]] = []

    async def on_assigned(partitions: frozenset[int]) -> None:
        given.append(partitions)

    async with reading(bus, name, on_assigned=on_assigned) as consumer:
        assert given == [frozenset({0, 1})] == [consumer.assignment()]
        assert len(await read(consumer, 2)) == 2
        assert not await consumer.commit({0: 1})
        assert await consumer.committed(0) is None


@law
async def test_a_rebalance_gives_every_partition_to_exactly_one_member(bus: Bus) -> None:
    name, partitions = await topic(bus, 5), frozenset(range(5))
    held: dict[str, set[int]] = {"one": set(), "two": set()}
    overlaps: list[str] = []

    def callbacks(me: str) -> dict[str, OnRebalance]:
        async def on_assigned(given: frozenset[int]) -> None:
            counts = Counter(p for parts in held.values() for p in parts)
            counts.update(given)
            overlaps.extend(f"{me} got {p}" for p, owners in counts.items() if owners > 1)
            held[me] |= given

        async def on_revoked(taken: frozenset[int]) -> None:
            assert taken <= held[me], "only what was given is taken"
            held[me] -= taken

        return {"on_assigned": on_assigned, "on_revoked": on_revoked}

    async with reading(bus, name, "g-" + name, **callbacks("one")) as one:
        await until(lambda: held["one"] == partitions, one)
        joining = asyncio.create_task(_started(bus, name, callbacks("two")))
        await until(joining.done, one)
        two = await joining
        await until(lambda: bool(held["one"] and held["two"]), one, two)
        await until(lambda: held["one"] | held["two"] == partitions, one, two)
        assert one.assignment() == frozenset(held["one"])
        assert two.assignment() == frozenset(held["two"])
        await two.stop()
        assert held["two"] == set()
        await until(lambda: held["one"] == partitions, one)
        assert await one.commit({0: 0})
    assert held["one"] == set()
    assert overlaps == []


async def _started(bus: Bus, name: str, callbacks: dict[str, OnRebalance]) -> Consumer:
    consumer = bus.consumer(name, "g-" + name, **callbacks)
    await consumer.start()
    return consumer


@law
async def test_nothing_is_read_before_the_assignment_callback_has_sought(bus: Bus) -> None:
    name = await topic(bus)
    await write(bus, name, [(0, str(n).encode()) for n in range(10)])
    cell: list[Consumer] = []

    async def on_assigned(partitions: frozenset[int]) -> None:
        await asyncio.sleep(0.3)  # looking up where the state stands takes a while
        for partition in partitions:
            cell[0].seek(partition, 7)

    consumer = bus.consumer(name, "g-" + name, on_assigned=on_assigned)
    cell.append(consumer)
    await consumer.start()
    got = await read(consumer, 3)
    await consumer.stop()
    assert [r.offset for r in got] == [7, 8, 9]


@law
async def test_a_callback_that_fails_fails_the_next_poll(bus: Bus) -> None:
    name = await topic(bus)
    await write(bus, name, [(0, b"x")])

    async def on_assigned(_: frozenset[int]) -> None:
        raise LookupError("no state")

    async with reading(bus, name, "g-" + name, on_assigned=on_assigned) as consumer:
        with pytest.raises(LookupError, match="no state"):
            await read(consumer, 1)


@law
async def test_a_topic_that_is_missing_is_said_so_and_not_created(bus: Bus) -> None:
    name = f"contract.missing.{secrets.token_hex(4)}"
    with pytest.raises(TopicMissing, match="tocsin topics"):
        await bus.consumer(name, "g-" + name).start()
    admin = bus.admin()
    assert await admin.describe([name]) == {name: None}
    await admin.close()


@law
async def test_creating_topics_again_changes_nothing(bus: Bus) -> None:
    name = await topic(bus, 3)
    admin = bus.admin()
    assert await admin.create([TopicSpec(name, 9)]) == []
    assert await admin.describe([name]) == {name: 3}
    await admin.close()


@law
async def test_stopping_twice_is_harmless(bus: Bus) -> None:
    name = await topic(bus)
    consumer, producer = bus.consumer(name, "g-" + name), bus.producer()
    await consumer.start()
    await producer.start()
    for _ in range(2):
        await consumer.stop()
        await producer.stop()
