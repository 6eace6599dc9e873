"""What a store must do: `memory.py` and `redis.py` are held to it by one contract suite.

A store holds, for every shard, the counters of its windows, the state of its runs, and what
watch remembers (baselines, alert states, outbox). Two writers share a shard and never lock:
ingest is fenced by source offsets (`merge`), watch by an epoch (`save`, `trim`).

Every method either takes effect whole or not at all, per shard.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from tocsin.errors import UserError
from tocsin.types import MergeReply, Position, Saved, ShardFlush, Snapshot, WindowFrame

#: Counters `snapshot` returns for an open window: all that monotone rules read, no sketch.
SNAPSHOT_FIELDS = ("n", "err", "to", "in", "out", "cr", "cw", "rs", "cost", "un")
#: A run with fewer steps in its ring cannot hold a loop, so `snapshot` does not report it.
RUN_MIN_STEPS = 3
#: Changes kept per shard while no watcher reads them; the oldest are forgotten first.
DIRTY_LIMIT = 200_000
#: Changes one `snapshot` returns, up to whole merges: a watcher that was away comes back to many
#: runs of some KiB each, and Redis is blocked while it collects them (0.2 s for these).
SNAPSHOT_LIMIT = 20_000
#: Labels kept per shard. They are names of low cardinality; this bounds a producer's mistake.
LABEL_LIMIT = 100_000
#: Counters saturate here: the largest integer of a Redis hash field.
COUNTER_MAX = 2**63 - 1
WINDOW_TTL_S = 3 * 3600
RUN_TTL_S = 3600


class StoreUnavailable(UserError):  # noqa: N818 - a condition to wait out, not a fault
    """The store cannot be used now. Whether the call took effect is unknown.

    The message is one sentence with what to do. Ingest may repeat its merge: the fence
    refuses it if the first attempt was applied.
    """


class StoreFull(StoreUnavailable):
    """The store has no memory left; the refused shards took nothing."""


class Store(Protocol):
    """The state of all shards. `shard` is 0..shards-1; unknown shards are simply empty."""

    async def positions(self, partitions: Iterable[int]) -> dict[tuple[int, int], Position]:
        """Return where each (shard, partition) stands; a missing pair has no position."""

    async def initialise(
        self, shard: int, positions: Mapping[int, Position], *, force: bool = False
    ) -> None:
        """Set the positions that are missing; with `force`, all that are given."""

    async def merge(self, flushes: Sequence[ShardFlush]) -> list[MergeReply]:
        """Add each flush to its shard if every fence starts where the shard stands.

        Replies come in the order of `flushes`. Atomic per shard, not across shards.

        Raises:
            StoreFull: some shard had no memory. Others may have applied their flush, so
                repeat all: a flush that was applied is then refused by its fence.
            ValueError: a flush without a fence, which nothing would protect from a replay.
        """

    async def claim(self, shard: int) -> int:
        """Own the shard: return a new epoch, larger than any before; older owners are fenced."""

    async def snapshot(self, shard: int, seen: int) -> Snapshot:
        """Read marks and positions, and what moved in merges after `seen`.

        `windows` and `changed` cover windows later than the evaluated mark; `changed` of
        series in monotone views only; `runs` of runs with RUN_MIN_STEPS or more. Beyond
        SNAPSHOT_LIMIT changes it stops after a merge: `seq` is the last merge it covers, and the
        rest comes with the next snapshot.
        """

    async def windows(self, shard: int, starts: Sequence[int], seconds: int) -> list[WindowFrame]:
        """Return one frame a start, in order, empty where nothing is held any more.

        Rows are sorted by (owner, field), series and fields by name: equal counters give
        equal frames, whatever the order of merges.
        """

    async def account(self, shard: int) -> dict[tuple[int, str], int]:
        """Return the account of this shard: (partition, outcome) -> spans."""

    async def labels(self, shard: int) -> dict[str, str]:
        """Return the readable names of STEP.label, by 16 hex digits."""

    async def load(self, shard: int) -> dict[str, bytes]:
        """Return all blobs that were saved."""

    async def save(self, shard: int, epoch: int, saved: Saved) -> bool:
        """Write one tick of watch; False (and nothing written) if the epoch has moved on."""

    async def outbox(self, shard: int) -> list[bytes]:
        """Return the saved events that were not trimmed yet, oldest first."""

    async def trim(self, shard: int, epoch: int, count: int) -> bool:
        """Drop the first `count` of the outbox; False (and nothing dropped) if fenced.

        After StoreUnavailable, read the outbox again before trimming again.
        """

    async def ping(self) -> None:
        """Return if the store answers, else raise StoreUnavailable."""

    async def describe(self) -> str:
        """Name the server for people: `Redis 7.0.15 at localhost:6379`. No credentials."""

    async def close(self) -> None:
        """Release connections; the store may not be used afterwards."""


def check_fenced(flushes: Sequence[ShardFlush]) -> None:
    """Raise ValueError for a flush that no fence protects from being counted twice."""
    for flush in flushes:
        if not flush.fences:
            raise ValueError(f"flush of shard {flush.shard} has no fence")
