"""What cannot be read ends in the dead letters with its reason; its neighbours are unharmed."""

from __future__ import annotations

import time
from collections import Counter

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import MessageSizeTooLargeError

from native import encode, fleet
from oracle import count
from servers import Kafka
from world import World

GOOD = 300


def poison(valid: dict) -> dict[str, bytes | None]:
    """One message of each kind of bad, by the reason it must be refused for."""
    text = msgspec.json.encode(valid)
    return {
        "bad_json": text[: len(text) // 2],
        "wrong_type": msgspec.json.encode(valid | {"input_tokens": "many"}),
        "bad_utf8": text.replace(b"svc", b"\xff\xfe\xfd"),
        "bad_json ": text[:-1] + b', "score": NaN}',
        "too_deep": text[:-1] + b', "tool_arguments": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "empty": None,
        "too_large": text[:-1] + b', "tool_result": "' + b"x" * 10_000_000 + b'"}',
        "missing_field": msgspec.json.encode({k: v for k, v in valid.items() if k != "service"}),
        "bad_value": msgspec.json.encode(valid | {"output_tokens": -1}),
        "future": msgspec.json.encode(valid | {"end_time": time.time_ns() + 86_400 * 10**9}),
        "too_old": msgspec.json.encode(valid | {"end_time": time.time_ns() - 86_400 * 10**9,
                                                "start_time": None}),
        "unknown_format": b"hello",
    }  # fmt: skip


@pytest.mark.parametrize("keep_original", [False, True], ids=["redacted", "originals"])
async def test_every_kind_of_bad_record_is_dead_lettered_and_the_good_ones_are_counted(
    world: World, keep_original: bool
) -> None:
    world.settings = {"TOCSIN_DLQ__KEEP_ORIGINAL": str(keep_original)}
    now = time.time_ns() // 60_000_000_000 * 60_000_000_000
    rows = list(fleet(5, now - 120_000_000_000, 60, GOOD // 60))
    valid = msgspec.json.decode(encode(rows[0]))
    bad = poison(valid)
    topic = world.config().topics.spans
    producer = AIOKafkaProducer(bootstrap_servers=world.bootstrap, max_request_size=16 << 20)
    await producer.start()
    sent: dict[tuple[int, int], tuple[str, bytes | None]] = {}
    for i, row in enumerate(rows):
        if i % 20 == 0 and bad:
            reason, value = bad.popitem()
            ack = await producer.send_and_wait(topic, value=value, key=b"k", partition=0)
            sent[ack.partition, ack.offset] = (reason.strip(), value)
        await producer.send(topic, value=encode(row), partition=0)
    await producer.stop()
    assert not bad
    world.start("ingest")
    expected = len(rows) + len(sent)

    async def counted() -> bool:
        return sum((await world.account()).values()) >= expected

    await world.until(counted, 60, f"{expected} on the books")
    assert await world.account() == Counter(aggregated=len(rows), dead_lettered=len(sent))
    assert await world.windows({r["end_ns"] // 60_000_000_000 * 60 for r in rows}) == count(rows)
    dlq_records = await world.read(world.config().topics.dlq)
    assert len(dlq_records) == len(sent)
    for dlq_record in dlq_records:
        headers = {name: value.decode() for name, value in dlq_record.headers}
        at = int(headers["dlq.original.partition"]), int(headers["dlq.original.offset"])
        reason, value = sent.pop(at)
        assert headers["dlq.reason"] == reason
        assert headers["dlq.original.topic"] == topic
        assert headers["dlq.size"] == str(len(value or b""))
        if not keep_original:
            assert headers["dlq.redacted"] == "true"
            assert (dlq_record.key or b"").startswith(b"hmac:")
            envelope = msgspec.json.decode(dlq_record.value or b"")
            assert (envelope["reason"], envelope["size"]) == (reason, len(value or b""))
            assert len(dlq_record.value or b"") < 4_096
            continue
        assert dlq_record.key == b"k"
        if value is None or len(value) <= 256 << 10:
            assert dlq_record.value == value
        else:
            assert headers["dlq.truncated_from"] == str(len(value))
            assert dlq_record.value == value[: 256 << 10]
    assert not sent


async def test_a_batch_that_unpacks_to_a_thousand_times_its_size_is_one_dead_letter(
    world: World,
) -> None:
    """aiokafka unpacks one batch at a time and knows no limit: the value's cap comes after."""
    rows = list(fleet(5, time.time_ns() - 120_000_000_000, 30, 2))
    topic, size = world.config().topics.spans, 64 << 20
    producer = AIOKafkaProducer(
        bootstrap_servers=world.bootstrap, max_request_size=2 * size, compression_type="gzip"
    )
    await producer.start()
    await producer.send_and_wait(topic, value=b'{"prompt": "' + b"0" * size, partition=0)
    for row in rows:
        await producer.send(topic, value=encode(row), partition=0)
    await producer.stop()
    world.start("ingest")

    async def counted() -> bool:
        return (await world.account()).total() >= len(rows) + 1

    await world.until(counted, 60, "the bomb and its neighbours on the books")
    assert await world.account() == Counter(aggregated=len(rows), dead_lettered=1)
    [dlq_record] = await world.read(world.config().topics.dlq)
    headers = {name: value.decode() for name, value in dlq_record.headers}
    assert (headers["dlq.reason"], int(headers["dlq.size"])) == ("too_large", size + 12)
    assert len(dlq_record.value or b"") < 4_096


async def test_a_topic_that_keeps_batches_unpacked_refuses_bombs_at_the_broker(
    kafka: Kafka, prefix: str
) -> None:
    """What an operator sets where producers are not trusted (`Limits`)."""
    if not kafka.real:
        print(f"NOT RUN: {kafka.name} keeps whatever batch it is given")
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    settings = {"compression.type": "uncompressed", "max.message.bytes": str(1 << 20)}
    await admin.create_topics([NewTopic(f"{prefix}.bombs", 1, 1, topic_configs=settings)])
    await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka.bootstrap, max_request_size=32 << 20, compression_type="gzip"
    )
    await producer.start()
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(f"{prefix}.bombs", value=b"0" * (16 << 20))
    await producer.send_and_wait(f"{prefix}.bombs", value=b"0" * (1 << 19))
    await producer.stop()
