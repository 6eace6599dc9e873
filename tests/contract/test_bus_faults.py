"""Kafka away, back again, or not Kafka at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from servers import Kafka, Redis
from tocsin.bus.base import BrokerUnavailable, Consumer, TopicSpec
from tocsin.bus.kafka import KafkaBus
from tocsin.embedded import free_port
from tocsin.settings import KafkaConfig


@pytest.fixture
def mute() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


async def told(config: KafkaConfig) -> str:
    """What each end of the bus says of this broker; it must be the same, and in time."""
    bus = KafkaBus(config)
    sentences = set()
    for end in (bus.producer(), bus.consumer("t", "g"), bus.consumer("t", None)):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable) as error:
            await end.start()
        # Finding out why takes a moment more.
        assert time.monotonic() - began < config.connect_timeout_s + 5
        sentences.add(str(error.value))
    (sentence,) = sentences
    assert "\n" not in sentence
    return sentence


async def test_no_broker_is_told_in_time_with_its_address_and_a_remedy(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from tocsin import log

    log.configure("info", "json")
    address = f"127.0.0.1:{free_port()}"
    sentence = await told(KafkaConfig(bootstrap=address, connect_timeout_s=0.5))
    assert address in sentence
    assert "connection refused" in sentence
    assert "TOCSIN_KAFKA__BOOTSTRAP" in sentence
    assert not caplog.records, "the library's own complaints would drown the sentence"


async def test_a_server_that_says_nothing_is_not_waited_for_beyond_the_limit(mute: int) -> None:
    config = KafkaConfig(bootstrap=f"127.0.0.1:{mute}", connect_timeout_s=1)
    assert "not as Kafka over PLAINTEXT" in await told(config)


async def test_the_wrong_server_or_protocol_is_told_apart_from_none(
    kafka: Kafka, redis_server: Redis
) -> None:
    address = redis_server.url.split("://")[1].split("/")[0].rpartition("@")[2]
    assert "not as Kafka" in await told(KafkaConfig(bootstrap=address, connect_timeout_s=1))
    over_tls = KafkaConfig(bootstrap=kafka.bootstrap, connect_timeout_s=1, security_protocol="SSL")
    assert "kafka.security_protocol" in await told(over_tls)


async def test_reading_and_writing_go_on_when_the_broker_is_back(kafka: Kafka, prefix: str) -> None:
    bus = KafkaBus(KafkaConfig(bootstrap=kafka.bootstrap, session_timeout_s=10))
    admin, producer = bus.admin(), bus.producer()
    await admin.create([TopicSpec(prefix, 2)])
    await admin.close()
    await producer.start()
    consumer = bus.consumer(prefix, prefix)
    await consumer.start()
    try:
        await (await producer.send(prefix, value=b"before", partition=0))
        assert await values(consumer, 1) == [b"before"]
        if kafka.real:  # the embedded broker forgets its topics
            assert await consumer.commit({0: 1})
            await asyncio.to_thread(kafka.kill)
            assert await consumer.poll(10, 500) == {}
            await asyncio.to_thread(kafka.start)
            await (await producer.send(prefix, value=b"after", partition=1))
            assert await values(consumer, 1) == [b"after"]
            assert await consumer.commit({1: 1})
    finally:
        await consumer.stop()
        await producer.stop()


async def values(consumer: Consumer, count: int) -> list[bytes | None]:
    got: list[bytes | None] = []
    async with asyncio.timeout(60):
        while len(got) < count:
            for records in (await consumer.poll(10, 200)).values():
                got += [record.value for record in records]
    return got
