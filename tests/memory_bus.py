"""A broker in memory, for tests: held to the contract of Kafka's by `contract/test_bus.py`.

It keeps what matters to a reader: partitions, offsets, consumer groups with eager rebalances
and their callbacks, timestamps, headers, retention. It never touches the clock by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from aiokafka.partitioner import murmur2

from tocsin.bus.base import Ack, Headers, OnRebalance, TopicMissing, TopicSpec, nothing
from tocsin.bus.rebalance import Rebalances
from tocsin.clock import Clock, SystemClock
from tocsin.types import Record


@dataclass(slots=True)
class MemoryRecord:
    """A record as `tocsin.types.Record` describes it; also its own acknowledgement."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class _Partition:
    begin: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.begin + len(self.records)

    def read(self, offset: int, at_most: int) -> list[Record]:
        at = offset - self.begin
        if not 0 <= at <= len(self.records):
            at = 0  # out of range: on from the beginning, as Kafka does with `earliest`
        return self.records[at : at + at_most]


@dataclass(slots=True)
class _Topic:
    spec: TopicSpec
    partitions: list[_Partition]
    appended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class _Group:
    """One consumer group on one topic. The lock makes rebalances happen one at a time."""

    members: list[MemoryConsumer] = field(default_factory=list)
    committed: dict[int, int] = field(default_factory=dict)
    rebalancing: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryBus:
    """The cluster. Everything made from one MemoryBus shares its topics."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock if clock is not None else SystemClock()
        self._topics: dict[str, _Topic] = {}
        self._groups: dict[tuple[str, str], _Group] = {}

    def consumer(
        self,
        topic: str,
        group: str | None,
        *,
        on_revoked: OnRebalance = nothing,
        on_assigned: OnRebalance = nothing,
    ) -> MemoryConsumer:
        joined = None if group is None else self._groups.setdefault((group, topic), _Group())
        return MemoryConsumer(self, topic, joined, on_revoked, on_assigned)

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self)

    def admin(self) -> MemoryAdmin:
        return MemoryAdmin(self)

    def explain(self, error: BaseException) -> BaseException:
        return error

    def topic(self, name: str) -> _Topic:
        if name not in self._topics:
            raise TopicMissing(f"The topic {name} does not exist; create it with `tocsin topics`.")
        return self._topics[name]

    def create(self, spec: TopicSpec) -> bool:
        """Create a topic; False when it exists."""
        if spec.name in self._topics:
            return False
        self._topics[spec.name] = _Topic(spec, [_Partition() for _ in range(spec.partitions)])
        return True

    def exists(self, name: str) -> bool:
        return name in self._topics

    def truncate(self, topic: str, partition: int, before: int) -> None:
        """Let retention delete the records below offset `before`."""
        log = self.topic(topic).partitions[partition]
        gone = max(0, min(before, log.end) - log.begin)
        del log.records[:gone]
        log.begin += gone

    def records(self, topic: str) -> list[Record]:
        """Return all records a topic holds, partition by partition. For tests."""
        return [record for part in self.topic(topic).partitions for record in part.records]


class MemoryConsumer:
    """See `bus.base.Consumer`."""

    def __init__(
        self,
        bus: MemoryBus,
        topic: str,
        group: _Group | None,
        on_revoked: OnRebalance,
        on_assigned: OnRebalance,
    ) -> None:
        self._bus, self._name, self._group = bus, topic, group
        self._rebalances = Rebalances(on_revoked, on_assigned)
        self._positions: dict[int, int] = {}
        self._next_first = count()

    @property
    def _topic(self) -> _Topic:
        return self._bus.topic(self._name)

    async def start(self) -> None:
        everything = frozenset(range(len(self._topic.partitions)))
        if self._group is None:
            await self._give(everything)
            return
        async with self._group.rebalancing:
            await _rebalance(self._group, [*self._group.members, self], everything)

    async def stop(self) -> None:
        if self._group is None:
            await self._take()
        elif self in self._group.members:
            everything = frozenset(range(len(self._topic.partitions)))
            async with self._group.rebalancing:
                rest = [member for member in self._group.members if member is not self]
                await self._take()
                await _rebalance(self._group, rest, everything)

    async def poll(self, max_records: int, timeout_ms: int) -> Mapping[int, Sequence[Record]]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1_000
        while True:
            await asyncio.sleep(0)  # a broker never answers without giving others a turn
            self._rebalances.check()
            topic = self._topic
            topic.appended.clear()
            if polled := self._read(topic, max_records):
                return polled
            try:
                async with asyncio.timeout_at(deadline):
                    await topic.appended.wait()
            except TimeoutError:
                return {}

    def _read(self, topic: _Topic, max_records: int) -> dict[int, Sequence[Record]]:
        polled: dict[int, Sequence[Record]] = {}
        # Another partition goes first each time, so that a full one cannot starve the rest.
        ready = sorted(self._rebalances.ready)
        first = next(self._next_first) % len(ready) if ready else 0
        for partition in ready[first:] + ready[:first]:
            records = topic.partitions[partition].read(self._positions[partition], max_records)
            if records:
                polled[partition] = records
                self._positions[partition] = records[-1].offset + 1
                max_records -= len(records)
                if max_records <= 0:
                    break
        return polled

    def assignment(self) -> frozenset[int]:
        return frozenset(self._positions)

    def seek(self, partition: int, offset: int) -> None:
        if partition not in self._positions:
            raise ValueError(f"partition {partition} of {self._name} is not held")
        self._positions[partition] = offset
        self._topic.appended.set()

    async def position(self, partition: int) -> int:
        if partition not in self._positions:
            raise ValueError(f"partition {partition} of {self._name} is not held")
        return self._positions[partition]

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        if self._group is None or not offsets.keys() <= self._positions.keys():
            return False
        self._group.committed.update(offsets)
        return True

    async def committed(self, partition: int) -> int | None:
        return None if self._group is None else self._group.committed.get(partition)

    async def partitions(self) -> int:
        return len(self._topic.partitions)

    async def begin_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return {p: self._topic.partitions[p].begin for p in partitions}

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        return {p: self._topic.partitions[p].end for p in partitions}

    async def offset_for_time(self, partition: int, ms: int) -> int | None:
        records = self._topic.partitions[partition].records
        return next((record.offset for record in records if record.timestamp >= ms), None)

    async def _take(self) -> None:
        await self._rebalances.revoked(self.assignment())
        self._positions.clear()

    async def _give(self, partitions: frozenset[int]) -> None:
        committed = self._group.committed if self._group is not None else {}
        for partition in partitions:
            log = self._topic.partitions[partition]
            self._positions[partition] = committed.get(partition, log.begin)
        await self._rebalances.assigned(partitions)
        self._topic.appended.set()


async def _rebalance(
    group: _Group, members: list[MemoryConsumer], partitions: frozenset[int]
) -> None:
    """Take everything from everyone, then deal the partitions out in turn (eager protocol)."""
    for member in group.members:
        await member._take()
    group.members = members
    for index, member in enumerate(members):
        await member._give(frozenset(sorted(partitions)[index :: len(members)]))


class MemoryProducer:
    """See `bus.base.Producer`. A record is stored, and acknowledged, at once."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._keyless = count()

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to flush."""

    async def flush(self) -> None:
        """Nothing is ever in flight."""

    async def send(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[Ack]:
        await asyncio.sleep(0)
        target = self._bus.topic(topic)
        if partition is None:
            spread = next(self._keyless) if key is None else murmur2(key) & 0x7FFFFFFF
            partition = spread % len(target.partitions)
        log = target.partitions[partition]
        stamped = target.spec.config.get("message.timestamp.type") == "LogAppendTime"
        now = self._bus.clock.now_ms()
        record = MemoryRecord(
            topic=topic,
            partition=partition,
            offset=log.end,
            timestamp=now if stamped or timestamp_ms is None else timestamp_ms,
            timestamp_type=int(stamped),
            key=key,
            value=value,
            headers=tuple(headers),
        )
        log.records.append(record)
        target.appended.set()
        ack: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        ack.set_result(record)
        return ack


class MemoryAdmin:
    """See `bus.base.Admin`."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        return [spec.name for spec in specs if self._bus.create(spec)]

    async def describe(self, names: Sequence[str]) -> dict[str, int | None]:
        return {
            name: len(self._bus.topic(name).partitions) if self._bus.exists(name) else None
            for name in names
        }

    async def close(self) -> None:
        """Nothing to disconnect."""
