"""A header whose name is not UTF-8, which Kafka takes and aiokafka does not, stops nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy
from aiokafka.structs import ConsumerRecord, TopicPartition

from contract.test_bus import law, read, reading, topic
from native import encode, fleet
from oracle import count
from servers import Kafka, Redis
from tocsin.bus.base import Compression
from tocsin.bus.kafka import KafkaBus
from tocsin.settings import KafkaConfig
from world import World

#: In the order of their numbers in a batch's attributes.
CODECS: tuple[Compression, ...] = ("none", "gzip", "snappy", "lz4", "zstd")
NAME, READ = b"caf\xe9 \xff", "caf\ufffd \ufffd"

Message = tuple[bytes, str]  # the value, and the name of a header


class Poison(str):
    """A header name that goes out as other bytes than its own."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return NAME


POISON = Poison("poison")


def batch(
    messages: Sequence[Message], codec: Compression, producer: int | None = None
) -> BatchBuilder:
    """One batch as a producer in another language would write it; with an id, in a transaction."""
    number, size = CODECS.index(codec), 1 << 20
    built = BatchBuilder(size, number)
    # The builder in C encodes names by itself.
    built._builder = _DefaultRecordBatchBuilderPy(
        2, number, producer is not None, -1 if producer is None else producer, 0, 0, size
    )
    now = int(time.time() * 1_000)
    for i, (value, name) in enumerate(messages):
        kept = [("traceparent", b"00"), (name, b"\xff"), ("null", None)]
        assert built.append(timestamp=now + i, key=b"k%d" % i, value=value, headers=kept)
    return built


async def write(
    bootstrap: str,
    name: str,
    batches: Sequence[Sequence[Message]],
    codec: Compression,
    partition: int = 0,
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for messages in batches:
            await (await producer.send_batch(batch(messages, codec), name, partition=partition))
    finally:
        await producer.stop()


def numbered(*names: str) -> list[Message]:
    """Values that compress, so that the batch is indeed kept compressed."""
    return [(b"%d " % i + b"v" * 200, name) for i, name in enumerate(names)]


def test_the_codecs_are_those_that_kafka_has() -> None:
    assert sorted(CODECS) == sorted(get_args(Compression))
    for number, codec in enumerate(CODECS):
        built = batch(numbered("good", POISON), codec)._build()
        assert DefaultRecordBatch(bytes(built)).compression_type == number


@pytest.mark.parametrize("codec", CODECS)
@law
async def test_the_record_and_its_neighbours_are_read_at_their_offsets(
    kafka: Kafka, codec: Compression
) -> None:
    bus = KafkaBus(KafkaConfig(bootstrap=kafka.bootstrap, session_timeout_s=10))
    name = await topic(bus, 2)
    batches = [
        numbered("a", "b"),
        numbered("c", POISON, "d"),
        numbered("e"),
        numbered(POISON, POISON),
        numbered("f", "g"),
    ]
    await write(kafka.bootstrap, name, batches, codec)
    sent = [message for messages in batches for message in messages]
    async with reading(bus, name) as consumer:
        got = await read(consumer, len(sent))
        assert await consumer.position(0) == len(sent)
        assert (await consumer.end_offsets([0]))[0] == len(sent)
        # From any offset on, also behind a bad record in its batch, and one record a poll.
        for offset in range(len(sent)):
            consumer.seek(0, offset)
            assert [r.offset for r in await read(consumer, len(sent) - offset)] == [
                *range(offset, len(sent))
            ]
        consumer.seek(0, 0)
        single = list[int]()
        while len(single) < len(sent):
            polled = [r.offset for r in (await consumer.poll(1, 500)).get(0, ())]
            assert await consumer.position(0) == len(single) + len(polled)
            single += polled
    assert single == [record.offset for record in got] == [*range(len(sent))]
    assert [record.value for record in got] == [value for value, _ in sent]
    for record, (_, wanted) in zip(got, sent, strict=True):
        names = [header for header, _ in record.headers]
        assert names == ["traceparent", READ if wanted is POISON else wanted, "null"]
        assert [value for _, value in record.headers] == [b"00", b"\xff", None]


@law
async def test_what_a_poll_drained_of_another_partition_before_is_not_lost(kafka: Kafka) -> None:
    bus = KafkaBus(KafkaConfig(bootstrap=kafka.bootstrap, session_timeout_s=10))
    name = await topic(bus, 4)
    for partition in range(4):
        sent = [numbered("a", *[POISON] * (partition % 2), "b")]
        await write(kafka.bootstrap, name, sent, "none", partition)
    async with reading(bus, name) as consumer:
        got = Counter(record.partition for record in await read(consumer, 10))
    assert got == {0: 2, 1: 3, 2: 2, 3: 3}


@law
async def test_a_group_goes_on_from_the_record_itself_when_it_was_not_committed(
    kafka: Kafka,
) -> None:
    bus = KafkaBus(KafkaConfig(bootstrap=kafka.bootstrap, session_timeout_s=10))
    name = await topic(bus)
    await write(kafka.bootstrap, name, [numbered("a", POISON, "b")], "gzip")
    for committed, left in ((1, [0, 1, 2]), (2, [1, 2]), (3, [2])):
        async with reading(bus, name, name) as consumer:
            assert [record.offset for record in await read(consumer, len(left))] == left
            assert await consumer.commit({0: committed})


def fetched(
    *batches: BatchBuilder, aborted: Sequence[tuple[int, int]] = (), spoil: bool = False
) -> Iterator[ConsumerRecord]:
    """What a fetcher makes of an answer that holds these batches."""
    log, offset = bytearray(), 0
    for built in batches:
        start = len(log)
        log += built._build()
        log[start : start + 8] = offset.to_bytes(8, "big")  # as a broker does on arrival
        offset += built.record_count()
    if spoil:
        log[-1] ^= 1
    records: Iterator[ConsumerRecord] = fetcher.PartitionRecords(
        TopicPartition("t", 0), fetcher.MemoryRecords(bytes(log)), list(aborted), 0, None, None,
        True, fetcher.READ_COMMITTED,
    )  # fmt: skip
    return records


def test_what_was_aborted_stays_out_and_what_follows_it_comes() -> None:
    batches = [
        batch(numbered("a", POISON), "none", producer=7),
        batch(numbered(POISON, "b"), "lz4", producer=8),
        batch(numbered("c", POISON), "none", producer=7),
        batch(numbered("d"), "none"),
    ]
    got = fetched(*batches, aborted=[(7, 0)])
    assert [record.offset for record in got] == [2, 3, 6]


def test_a_spoiled_batch_is_still_an_error() -> None:
    got = fetched(batch(numbered(POISON), "none"), batch(numbered(POISON), "none"), spoil=True)
    assert next(got).offset == 0
    with pytest.raises(CorruptRecordException, match="Invalid CRC"):
        next(got)


@pytest.mark.parametrize(("codec", "parser"), [("none", "c"), ("gzip", "c"), ("none", "python")])
async def test_ingest_counts_the_neighbours_and_judges_the_record_by_its_value(
    kafka: Kafka,
    redis_server: Redis,
    tmp_path: Path,
    prefix: str,
    codec: Compression,
    parser: str,
) -> None:
    settings = {"TOCSIN_DLQ__KEEP_ORIGINAL": "true"}
    if parser == "python":
        settings["AIOKAFKA_NO_EXTENSIONS"] = "1"  # what a platform without a wheel has
    world = World(kafka.bootstrap, redis_server.url, tmp_path, settings, name=prefix)
    assert world.run("topics").returncode == 0
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000
    rows = list(fleet(5, now - 120_000_000_000, 60, 1))
    names = ["good" if i % 3 else POISON for i in range(len(rows))]
    spans = list(zip(map(encode, rows), names, strict=True))
    batches = [[*spans[:30], (b"hello", POISON), *spans[30:40]], spans[40:]]
    try:
        await write(kafka.bootstrap, world.config().topics.spans, batches, codec)
        world.start("ingest")

        async def counted() -> bool:
            return (await world.account()).total() > len(rows)

        await world.until(counted, 60, "all on the books")
        assert await world.account() == Counter(aggregated=len(rows), dead_lettered=1)
        starts = {row["end_ns"] // 60_000_000_000 * 60 for row in rows}
        assert await world.windows(starts) == count(rows)
        [dlq_record] = await world.read(world.config().topics.dlq)
        kept = dict(dlq_record.headers)
        assert (dlq_record.value, kept["dlq.original.offset"]) == (b"hello", b"30")
        assert kept[f"dlq.header.{READ}"] == b"\xff"
    finally:
        world.stop()
    await world.check_conservation()
