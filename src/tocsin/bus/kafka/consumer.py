"""Reading a topic."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import aiokafka
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from tocsin.bus.base import OnRebalance, require_topic
from tocsin.bus.kafka import headers
from tocsin.bus.kafka.admin import KafkaAdmin
from tocsin.bus.kafka.connect import client_settings, within
from tocsin.bus.rebalance import Rebalances
from tocsin.settings import KafkaConfig
from tocsin.types import Record

#: What one fetch may bring of a partition. aiokafka's 1 MiB gives batches of 3,000 spans.
_PARTITION_BYTES = 8 << 20
_FETCH_BYTES = 64 << 20
#: An idle fetch holds the connection so long, and a partition that was just drained waits
#: behind it: with 100 ms batches stay large and the wait short.
_FETCH_WAIT_MS = 100
_HEARTBEAT_MS = 3_000
_COMMIT_S = 5.0
#: How much later than aiokafka's own timeout a poll is cut short (it waits out rebalances).
_SLACK_S = 0.05
_GROUP_MOVED_ON = (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

headers.install()  # before any consumer is made: a header that is not UTF-8 would stop it for good


class _Listener(aiokafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Passes a rebalance on. Runs inside aiokafka's coordinator task; holds no lock."""

    def __init__(self, consumer: KafkaConsumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self._consumer.revoked(frozenset(tp.partition for tp in revoked))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        await self._consumer.assigned(frozenset(tp.partition for tp in assigned))


class KafkaConsumer:
    """See `bus.base.Consumer`."""

    def __init__(
        self,
        config: KafkaConfig,
        topic: str,
        group: str | None,
        on_revoked: OnRebalance,
        on_assigned: OnRebalance,
    ) -> None:
        self._config, self._topic, self._group = config, topic, group
        self._rebalances = Rebalances(on_revoked, on_assigned)
        self._polling: asyncio.Timeout | None = None
        self._client: AIOKafkaConsumer | None = None
        self._assigned: frozenset[int] = frozenset()

    async def start(self) -> None:
        # Never asks for the topic by name, see KafkaAdmin.
        partitions = await require_topic(KafkaAdmin(self._config), self._topic)
        session_ms = int(self._config.session_timeout_s * 1_000)
        self._client = AIOKafkaConsumer(
            **client_settings(self._config),
            group_id=self._group,
            group_instance_id=self._config.instance_id if self._group else None,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=_PARTITION_BYTES,
            fetch_max_bytes=_FETCH_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(_HEARTBEAT_MS, session_ms // 3),
        )
        if self._group is None:
            self._client.assign([self._tp(p) for p in range(partitions)])
        else:
            self._client.subscribe([self._topic], listener=_Listener(self))
        try:
            # A member that was killed holds up the join until its session is over.
            patience = self._config.connect_timeout_s + 2 * self._config.session_timeout_s
            doing = f"admit us to the group {self._group}"
            await within(self._config, self._client.start, doing, patience)
        except BaseException:
            await self.stop()
            raise
        if self._group is None:
            await self.assigned(frozenset(range(partitions)))

    async def stop(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await self.revoked(self._assigned)
            await client.stop()

    async def poll(self, max_records: int, timeout_ms: int) -> Mapping[int, Sequence[Record]]:
        client, rebalances = self._running(), self._rebalances
        rebalances.check()
        seconds = timeout_ms / 1_000
        try:
            async with asyncio.timeout(seconds + _SLACK_S) as self._polling:
                while not rebalances.ready:
                    # aiokafka raises that it has left the group for good only from this call.
                    client._coordinator.check_errors()  # noqa: SLF001
                    rebalances.changed.clear()
                    await rebalances.changed.wait()
                    rebalances.check()
                polled = await client.getmany(
                    *(self._tp(p) for p in rebalances.ready),
                    timeout_ms=timeout_ms,
                    max_records=max_records,
                )
        except TimeoutError:
            return {}
        finally:
            self._polling = None
        return {tp.partition: records for tp, records in polled.items() if records}

    def assignment(self) -> frozenset[int]:
        return self._assigned

    def seek(self, partition: int, offset: int) -> None:
        if partition not in self._assigned:
            raise ValueError(f"partition {partition} of {self._topic} is not held")
        self._running().seek(self._tp(partition), offset)

    async def position(self, partition: int) -> int:
        # Asked only while it is held and was sought, so the client knows without the broker.
        offset: int = await self._running().position(self._tp(partition))
        return offset

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        if self._group is None:
            return False
        if not offsets:
            return True
        try:
            # aiokafka would try for ever while the broker is away. A lost commit is harmless:
            # stages resume from the store's offsets, or deliver again.
            async with asyncio.timeout(_COMMIT_S):
                await self._running().commit({self._tp(p): next_ for p, next_ in offsets.items()})
        except (TimeoutError, *_GROUP_MOVED_ON):
            return False
        return True

    async def committed(self, partition: int) -> int | None:
        if self._group is None:
            return None
        offset: int | None = await self._running().committed(self._tp(partition))
        return offset

    async def partitions(self) -> int:
        return len(self._running().partitions_for_topic(self._topic) or ())

    async def begin_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        asked = [self._tp(p) for p in partitions]
        offsets = await self._running().beginning_offsets(asked) if asked else {}
        return {tp.partition: offset for tp, offset in offsets.items()}

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        asked = [self._tp(p) for p in partitions]
        client = self._running()
        offsets = await client.end_offsets(asked) if asked else {}
        held = client.assignment()
        # The embedded broker counts the last batch as one record here, but every fetch gives
        # the true end. Both only grow, so the greater of the two is right.
        seen = {tp: client.last_stable_offset(tp) or 0 for tp in offsets if tp in held}
        return {tp.partition: max(offset, seen.get(tp, 0)) for tp, offset in offsets.items()}

    async def offset_for_time(self, partition: int, ms: int) -> int | None:
        tp = self._tp(partition)
        found = (await self._running().offsets_for_times({tp: ms}))[tp]
        if found is None:
            return None
        if found.timestamp < 0:
            # The embedded broker keeps no time index and answers (0, -1). Reading from the
            # beginning is slower, and right: what is too old is refused by its event time.
            return (await self.begin_offsets([partition]))[partition]
        offset: int = found.offset
        return offset

    async def revoked(self, partitions: frozenset[int]) -> None:
        """Take partitions away. Called by the group."""
        if self._polling is not None and not self._polling.expired():
            # A poll under way waits for the partitions it asked for. It must not come back
            # with records of the next assignment before on_assigned has sought its offsets.
            self._polling.reschedule(asyncio.get_running_loop().time())
        self._assigned -= partitions
        await self._rebalances.revoked(partitions)

    async def assigned(self, partitions: frozenset[int]) -> None:
        """Give partitions. Called by the group."""
        self._assigned |= partitions
        await self._rebalances.assigned(partitions)

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    def _running(self) -> AIOKafkaConsumer:
        if self._client is None:
            raise RuntimeError(f"the consumer of {self._topic} is not started")
        return self._client
