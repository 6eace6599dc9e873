"""Every compression Kafka has is read and written: what producers choose is not ours to say."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from contract.test_bus import law, read, reading, topic
from servers import Kafka
from tocsin.bus.base import Compression
from tocsin.bus.kafka import KafkaBus
from tocsin.flow.decode import decode
from tocsin.settings import KafkaConfig
from unit.decode_samples import KEY, LIMITS, Otlp, encode, native, otlp

CODECS: tuple[Compression, ...] = get_args(Compression)
VALUES = [
    encode(native()),
    otlp("protobuf", *[Otlp({"gen_ai.request.model": f"m{i}"}, name="chat") for i in range(500)]),
    encode([native(span_id=str(i)) for i in range(2_000)]),
]


async def _send(bus: KafkaBus, name: str) -> None:
    producer = bus.producer()
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(name, value=value) for value in VALUES])
    finally:
        await producer.stop()


def _bus(kafka: Kafka, codec: Compression) -> KafkaBus:
    return KafkaBus(KafkaConfig(bootstrap=kafka.bootstrap, compression=codec))


@pytest.mark.parametrize("codec", CODECS)
@law
async def test_what_a_producer_compresses_is_read(kafka: Kafka, codec: Compression) -> None:
    name = await topic(_bus(kafka, "none"))
    await _send(_bus(kafka, codec), name)
    async with reading(_bus(kafka, "none"), name) as consumer:
        records = await read(consumer, len(VALUES))
    assert [record.value for record in records] == VALUES
    decoded = decode(records, LIMITS, KEY)
    assert (decoded.spans.height, decoded.rejects) == (2_501, ())


@pytest.mark.parametrize("codec", [codec for codec in CODECS if codec != "none"])
@law
async def test_what_the_broker_compresses_anew_is_read(kafka: Kafka, codec: Compression) -> None:
    """With its own libraries, Java's, which frame snappy and lz4 in their own ways."""
    bus = _bus(kafka, "none")
    name = await topic(bus, compression_type=codec)
    await _send(bus, name)
    async with reading(bus, name) as consumer:
        assert [record.value for record in await read(consumer, len(VALUES))] == VALUES
