"""The fleet in a process of its own, as real producers are: publishes up to a time it is sent.

Speaks JSON lines: `{"to_ms": ...}` on stdin, and when all spans that end before it are
acknowledged, `{"to_ms": ..., "spans": ...}` on stdout. Ends when stdin does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib

import click
import msgspec

from tocsin import log
from tocsin.bus.base import Producer, started
from tocsin.bus.kafka import KafkaBus
from tocsin.demo.fleet import Fleet
from tocsin.demo.incidents import Incident
from tocsin.settings import KafkaConfig

#: Event time published at once, ms; bounds what waits in the producer's buffer.
_SLICE_MS = 60_000


class Task(msgspec.Struct, frozen=True):
    """What to publish, where to: the publisher's one argument, as JSON."""

    bootstrap: str
    topic: str
    partitions: int
    seed: int
    from_ms: int
    incidents: tuple[Incident, ...]


class PublisherProcess:
    """The other end of the process: start it, tell it how far to publish, end it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, task: Task) -> PublisherProcess:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tocsin.demo.publisher", msgspec.json.encode(task).decode(),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        return cls(process)

    async def publish(self, to_ms: int) -> int:
        """Publish all spans that end before `to_ms` and were not yet; returns how many.

        Raises RuntimeError when the process has died (what it said is on stderr).
        """
        self._stdin.write(json.dumps({"to_ms": to_ms}).encode() + b"\n")
        await self._stdin.drain()
        line = await self._stdout.readline()
        if not line:
            raise RuntimeError(f"the publisher ended with code {await self._process.wait()}")
        return int(json.loads(line)["spans"])

    async def stop(self) -> None:
        """Let it finish what it is doing, and end."""
        self._stdin.close()
        await self._process.wait()


async def _publish(producer: Producer, fleet: Fleet, task: Task, from_ms: int, to_ms: int) -> int:
    spans = 0
    for start in range(from_ms, to_ms, _SLICE_MS):
        batch = fleet.spans(start, min(start + _SLICE_MS, to_ms))
        for key, value in zip(batch.keys, batch.values, strict=True):
            # Any fixed function of the trace id will do, and Kafka's own is slow in Python.
            partition = zlib.crc32(key) % task.partitions
            await producer.send(task.topic, key=key, value=value, partition=partition)
        spans += len(batch.keys)
    await producer.flush()
    return spans


async def _serve(task: Task) -> None:
    bus = KafkaBus(KafkaConfig(bootstrap=task.bootstrap))
    fleet = Fleet(task.seed, task.incidents, origin_ms=task.from_ms)
    reached = task.from_ms
    async with started(bus.producer()) as producer:
        while line := await asyncio.to_thread(sys.stdin.readline):
            to_ms = int(json.loads(line)["to_ms"])
            spans = await _publish(producer, fleet, task, reached, to_ms)
            reached = to_ms
            sys.stdout.write(json.dumps({"to_ms": to_ms, "spans": spans}) + "\n")
            sys.stdout.flush()


@click.command(hidden=True)
@click.argument("task")
def main(task: str) -> None:
    """Publish the fleet of TASK."""
    log.configure("error")  # the embedded broker's lack of producer ids is no news here
    asyncio.run(_serve(msgspec.json.decode(task, type=Task)))


if __name__ == "__main__":
    main()
