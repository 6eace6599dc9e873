"""On a real broker and Redis: of what spans hold, nothing is written but names and numbers."""

from __future__ import annotations

import time
import urllib.request

import redis

from privacy import ALL, everything, found_in, refused
from tocsin.bus.kafka import KafkaBus
from tocsin.embedded import free_port
from tocsin.run.dlq.records import parse_dlq_record
from tocsin.types import Reason, Record
from world import World

#: Every so many of the unit sweep's messages. No divisor of what repeats there.
EVERY = 3


def redis_bytes(world: World) -> bytes:
    """Every key of this pipeline and all it holds, as it is sent, not as Redis packs it."""
    held = []
    with redis.Redis.from_url(world.redis_url) as client:
        for key in client.scan_iter(f"{world.name}*", count=1_000):
            kind = client.type(key)
            read = {
                b"string": client.get, b"hash": client.hgetall, b"set": client.smembers,
                b"zset": lambda k: client.zrange(k, 0, -1),
                b"list": lambda k: client.lrange(k, 0, -1),
            }[kind]  # fmt: skip
            value = read(key)
            parts = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            held += [key, *([parts] if isinstance(parts, bytes) else parts)]
    return b"\n".join(held)


def record_bytes(record: Record) -> bytes:
    headers = b"\n".join(name.encode() + b"\n" + (value or b"") for name, value in record.headers)
    return b"\n".join((record.key or b"", record.value or b"", headers))


async def test_no_content_reaches_redis_or_any_topic_or_log(world: World) -> None:
    world.settings = {
        "TOCSIN_LIMITS__MAX_SPANS": "100",
        "TOCSIN_LIMITS__MAX_RECORD_BYTES": "300000",
        "TOCSIN_INGEST__MAX_REJECTED_SHARE": "1",
        "TOCSIN_LOG__LEVEL": "debug",
    }
    config, markers = world.config(), list(ALL.values())
    now_ns = time.time_ns()
    values = list(everything(now_ns))[::EVERY]
    for some in refused(markers[0], now_ns).values():  # whichever the step has passed over
        values += some
    producer = KafkaBus(config.kafka).producer()
    await producer.start()
    for i, value in enumerate(values):
        marker = markers[i % len(markers)].encode()
        headers = [("traceparent", marker), (marker.decode(), marker)]
        await producer.send(config.topics.spans, value=value, key=marker, headers=headers)
    await producer.flush()
    await producer.stop()
    port = free_port()
    world.start("up", "--metrics-port", str(port))

    async def counted() -> bool:
        return (await world.account()).total() >= len(values)

    async def alerts() -> list[Record]:
        return await world.read(config.topics.alerts)

    await world.until(counted, 60, "all on the books")
    await world.until(alerts, 60, "an alert, which repeats names")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        metrics = answer.read()
    world.stop()
    await world.check_conservation()
    dlq_records = await world.read(config.topics.dlq)
    found = [parse_dlq_record(dlq_record) for dlq_record in dlq_records]
    assert all(dlq_record is not None and dlq_record.redacted for dlq_record in found)
    assert {dlq_record.reason for dlq_record in found if dlq_record} == set(Reason)
    written = [*dlq_records, *await alerts(), *await world.read(config.topics.flushes)]
    logs = b"".join(path.read_bytes() for path in world.folder.glob("*.log"))
    state = redis_bytes(world)
    for where, data in (
        ("redis", state), ("topics", b"\n".join(map(record_bytes, written))), ("logs", logs),
        ("metrics", metrics),
    ):  # fmt: skip
        assert len(data) > 500, where
        assert found_in(data, markers) == set(), where
    assert b"_redacted" in state
