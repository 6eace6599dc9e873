"""The interface of a bus; `tests/contract/test_bus.py` runs against every implementation.

A consumer reads ONE topic. It belongs to a group, which shares the topic's partitions among
its members, or to none (`group=None`), and then it reads them all and cannot commit.
"""

from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from tocsin.errors import UserError
from tocsin.types import Record

Headers = Sequence[tuple[str, bytes]]
#: Called with the partitions that are taken away or given. Awaited inside the rebalance: the
#: group waits for it, so do at most one batch of work, and never wait for the loop that polls.
OnRebalance = Callable[[frozenset[int]], Awaitable[None]]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]


class BrokerUnavailable(UserError):  # noqa: N818 - a condition to wait out, not a fault
    """The broker could not be reached in time. The message is one sentence with a remedy."""


class TopicMissing(UserError):  # noqa: N818
    """A topic does not exist. Only `tocsin topics` (and --embedded) creates topics."""


class Ack(Protocol):
    """Where the broker put a record."""

    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be. `config` holds Kafka's own topic settings."""

    name: str
    partitions: int
    replication: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


class Consumer(Protocol):
    """Reads one topic, in order within a partition."""

    async def start(self) -> None:
        """Connect and join. Raises BrokerUnavailable, TopicMissing."""

    async def stop(self) -> None:
        """Leave the group (on_revoked runs) and disconnect. Harmless when repeated."""

    async def poll(self, max_records: int, timeout_ms: int) -> Mapping[int, Sequence[Record]]:
        """Return what is there, at most `max_records` in all, waiting up to `timeout_ms`.

        Only assigned partitions, only non-empty sequences, offsets ascending (not always
        consecutive: transactions and compaction leave holes). A position that the log no
        longer holds continues at the beginning of the log: compare the first offset with the
        one you expected.
        """

    def assignment(self) -> frozenset[int]:
        """Return the partitions held now."""

    def seek(self, partition: int, offset: int) -> None:
        """Read `partition` from `offset` next. Raises ValueError when it is not held."""

    async def position(self, partition: int) -> int:
        """Return the next offset of `poll`; it passes transaction markers, which are no records.

        Only of a partition that is held: a rebalance may take it at any await.
        """

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit the NEXT offset to read of each partition. False when the group has rebalanced."""

    async def committed(self, partition: int) -> int | None:
        """Return the group's next offset of a partition; None when it never committed."""

    async def partitions(self) -> int:
        """Return how many partitions the topic has."""

    async def begin_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the first offset each partition still holds."""

    async def end_offsets(self, partitions: Iterable[int]) -> dict[int, int]:
        """Return the offset the next record of each partition will get."""

    async def offset_for_time(self, partition: int, ms: int) -> int | None:
        """Return the first offset with timestamp >= `ms`; None when every record is older."""


class Producer(Protocol):
    """Writes records; acknowledged by all in-sync replicas."""

    async def start(self) -> None:
        """Connect. Raises BrokerUnavailable."""

    async def stop(self) -> None:
        """Flush and disconnect. Harmless when repeated."""

    async def send(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Future[Ack]:
        """Hand over a record, waiting while the buffer is full; the future is its ack.

        The partition is the given one, else murmur2(key), else any. Records to one partition
        keep their order.
        """

    async def flush(self) -> None:
        """Wait until everything handed over was acknowledged or has failed."""


class Admin(Protocol):
    """Creates and describes topics."""

    async def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        """Create those that are missing; return their names. Existing ones are left alone."""

    async def describe(self, names: Sequence[str]) -> dict[str, int | None]:
        """Return the number of partitions of each topic; None when it does not exist."""

    async def close(self) -> None:
        """Disconnect."""


async def nothing(_partitions: frozenset[int]) -> None:
    """Ignore a rebalance."""


_Client = TypeVar("_Client", Consumer, Producer)


@asynccontextmanager
async def started(client: _Client) -> AsyncIterator[_Client]:
    """Start a consumer or a producer, and stop it at the end."""
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def require_topic(admin: Admin, name: str) -> int:
    """Return how many partitions a topic has, and close `admin`. Raises TopicMissing."""
    try:
        partitions = (await admin.describe([name]))[name]
    finally:
        await admin.close()
    if not partitions:
        raise TopicMissing(f"The topic {name} does not exist; create it with `tocsin topics`.")
    return partitions


class Bus(Protocol):
    """Makes consumers, producers and an admin for one cluster."""

    def consumer(
        self,
        topic: str,
        group: str | None,
        *,
        on_revoked: OnRebalance = nothing,
        on_assigned: OnRebalance = nothing,
    ) -> Consumer:
        """Make a consumer; without a committed offset it begins with the first record."""

    def producer(self) -> Producer:
        """Make a producer."""

    def admin(self) -> Admin:
        """Make an admin."""

    def explain(self, error: BaseException) -> BaseException:
        """Return BrokerUnavailable if `error` says that the cluster went away, else `error`."""
