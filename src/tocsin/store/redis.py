"""The store in Redis (6.2 or newer, Valkey, Redis Cluster), by the Lua files beside this one.

One EVALSHA is one atomic step on one shard; all shards of a call travel in one round trip.
Keys are `<prefix>:{NN}:...`, NN the shard: the hash tag keeps a shard within one slot.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from redis import exceptions as errors
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tocsin.store.base import (
    DIRTY_LIMIT,
    LABEL_LIMIT,
    RUN_MIN_STEPS,
    RUN_TTL_S,
    SNAPSHOT_FIELDS,
    SNAPSHOT_LIMIT,
    WINDOW_TTL_S,
    check_fenced,
)
from tocsin.store.encoding import (
    pack_flush,
    read_positions,
    unpack_frame,
    unpack_merge,
    unpack_snapshot,
)
from tocsin.store.redis_errors import explain
from tocsin.types import (
    RING,
    RUN_VERSION,
    STEP,
    MergeReply,
    Position,
    Saved,
    ShardFlush,
    Snapshot,
    WindowFrame,
)

_SOURCES = {path.stem: path.read_bytes() for path in Path(__file__).parent.glob("*.lua")}
# SHA-1 is how Redis names a script; nothing is secured by it.
_SHA = {name: hashlib.sha1(text).hexdigest() for name, text in _SOURCES.items()}  # noqa: S324
#: Windows of one round trip: a frame is a tenth of the answer it is made of, so a watcher that
#: has hours to catch up holds few answers at a time.
_WINDOWS_AT_ONCE = 8


class RedisStore:
    """`Store` on a Redis server or cluster.

    Args:
        url: redis://, rediss:// (TLS) or unix://, with credentials and database if any.
        prefix: first part of every key.
        shards: how many shards `positions` asks.
        monotone: views whose series `snapshot` reports while their window is open.
        cluster: the url names a node of a Redis Cluster.
        window_ttl_s, run_ttl_s: wall-clock life of a window's counters and of an idle run.
        timeout_s: of one round trip. A call is never repeated on its own, because `save` and
            `trim` are not idempotent; the caller reads the shard again and decides.
    """

    def __init__(
        self,
        url: str,
        prefix: str = "tocsin",
        *,
        shards: int = 16,
        monotone: frozenset[str] = frozenset(),
        cluster: bool = False,
        window_ttl_s: float = WINDOW_TTL_S,
        run_ttl_s: float = RUN_TTL_S,
        timeout_s: float = 30.0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        options: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),
            "socket_timeout": timeout_s,
            "socket_connect_timeout": connect_timeout_s,
        }
        self._client: Any = (RedisCluster if cluster else Redis).from_url(url, **options)
        parts = urlsplit(url)
        self._where = parts.path if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
        self._prefix, self._shards, self._monotone = prefix, shards, monotone
        self._limits = (
            max(1, round(window_ttl_s * 1_000)),
            max(1, round(run_ttl_s * 1_000)),
            STEP.itemsize,
            RING,
            RUN_VERSION,
            RUN_MIN_STEPS,
            DIRTY_LIMIT,
            LABEL_LIMIT,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _base(self, shard: int) -> str:
        return f"{self._prefix}:{{{shard:02d}}}:"

    async def positions(self, partitions: Iterable[int]) -> dict[tuple[int, int], Position]:
        wanted = frozenset(partitions)
        shards = range(self._shards)
        metas = await self._pipe([("HGETALL", self._base(shard) + "meta") for shard in shards])
        return {
            (shard, partition): position
            for shard, meta in zip(shards, metas, strict=True)
            for partition, position in read_positions(_texts(meta)).items()
            if partition in wanted
        }

    async def initialise(
        self, shard: int, positions: Mapping[int, Position], *, force: bool = False
    ) -> None:
        args: list[int | str] = [int(force)]
        for partition, at in positions.items():
            high = "" if at.high_ms is None else at.high_ms
            mark = "" if at.watermark_ms is None else at.watermark_ms
            args += (partition, at.next, high, mark, at.complete_from_ms)
        await self._run("initialise", shard, *args)

    async def merge(self, flushes: Sequence[ShardFlush]) -> list[MergeReply]:
        check_fenced(flushes)
        calls = [
            (flush.shard, pack_flush(flush, self._monotone, self._limits)) for flush in flushes
        ]
        answers = await self._run_all("merge", calls)
        return [unpack_merge(*pair) for pair in zip(flushes, answers, strict=True)]

    async def claim(self, shard: int) -> int:
        return int(await self._run("claim", shard))

    async def snapshot(self, shard: int, seen: int) -> Snapshot:
        return unpack_snapshot(
            shard, await self._run("snapshot", shard, seen, SNAPSHOT_LIMIT, *SNAPSHOT_FIELDS)
        )

    async def windows(self, shard: int, starts: Sequence[int], seconds: int) -> list[WindowFrame]:
        frames = []
        for at in range(0, len(starts), _WINDOWS_AT_ONCE):
            some = starts[at : at + _WINDOWS_AT_ONCE]
            answers = await self._run_all("windows", [(shard, (start,)) for start in some])
            frames += [unpack_frame(s, seconds, a) for s, a in zip(some, answers, strict=True)]
        return frames

    async def account(self, shard: int) -> dict[tuple[int, str], int]:
        counts = _texts(await self._command("HGETALL", self._base(shard) + "account"))
        parts = ((name.partition(":"), n) for name, n in counts.items())
        return {(int(partition), outcome): int(n) for (partition, _, outcome), n in parts}

    async def labels(self, shard: int) -> dict[str, str]:
        return _texts(await self._command("HGETALL", self._base(shard) + "labels"))

    async def load(self, shard: int) -> dict[str, bytes]:
        blobs = await self._command("HGETALL", self._base(shard) + "blobs")
        return {name.decode(): blob for name, blob in blobs.items()}

    async def save(self, shard: int, epoch: int, saved: Saved) -> bool:
        pairs = [(k, v) for k, v in saved.blobs.items() if v is not None]
        gone = [k for k, v in saved.blobs.items() if v is None]
        evaluated = "" if saved.evaluated is None else saved.evaluated
        flat = [part for pair in pairs for part in pair]
        head = (epoch, evaluated, saved.seen, len(pairs), len(gone))
        return bool(await self._run("save", shard, *head, *flat, *gone, *saved.outbox))

    async def outbox(self, shard: int) -> list[bytes]:
        return list(await self._command("LRANGE", self._base(shard) + "out", 0, -1))

    async def trim(self, shard: int, epoch: int, count: int) -> bool:
        return bool(await self._run("trim", shard, epoch, count))

    async def ping(self) -> None:
        await self._command("PING")

    async def describe(self) -> str:
        """Name the server; says so if it is set to evict, which would undercount silently."""
        with self._explained():
            info = await self._client.info("everything", **self._on_any_node())
        kind = "Valkey" if info.get("server_name") == "valkey" else "Redis"
        version = info.get("valkey_version") or info["redis_version"]
        policy = info.get("maxmemory_policy", "noeviction")
        evicts = info.get("maxmemory") and policy != "noeviction"
        warning = f", evicting ({policy}): set maxmemory-policy noeviction" if evicts else ""
        return f"{kind} {version} at {self._where}{warning}"

    async def close(self) -> None:
        await self._client.aclose()

    # ---- one round trip --------------------------------------------------------------

    def _on_any_node(self) -> dict[str, Any]:
        if isinstance(self._client, RedisCluster):
            return {"target_nodes": RedisCluster.RANDOM}
        return {}

    async def _command(self, *command: str | int) -> Any:
        with self._explained():
            return await self._client.execute_command(*command)

    async def _run(self, script: str, shard: int, *args: str | int | bytes) -> Any:
        return (await self._run_all(script, [(shard, args)]))[0]

    async def _run_all(
        self, script: str, calls: Sequence[tuple[int, Sequence[str | int | bytes]]]
    ) -> list[Any]:
        """Run a script for each (shard, arguments), in order, in one round trip."""
        commands = [("EVALSHA", _SHA[script], 1, self._base(s), *args) for s, args in calls]
        answers = await self._pipe(commands, strict=False)
        # A server that restarted, failed over or ran SCRIPT FLUSH has no scripts loaded.
        # It ran nothing of these calls, so they may be sent again.
        forgotten = [i for i, a in enumerate(answers) if isinstance(a, errors.NoScriptError)]
        if forgotten:
            with self._explained():
                await self._client.script_load(_SOURCES[script])
            again = await self._pipe([commands[i] for i in forgotten], strict=False)
            for i, answer in zip(forgotten, again, strict=True):
                answers[i] = answer
        self._raise_first(answers)
        return answers

    async def _pipe(
        self, commands: Sequence[tuple[str | int | bytes, ...]], *, strict: bool = True
    ) -> list[Any]:
        """Send commands in one round trip, each atomic by itself."""
        if not commands:
            return []
        with self._explained():
            pipe = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            answers: list[Any] = await pipe.execute(raise_on_error=False)
        if strict:
            self._raise_first(answers)
        return answers

    def _raise_first(self, answers: Sequence[Any]) -> None:
        with self._explained():
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what an operator can mend into one sentence; the rest stays as it is."""
        try:
            yield
        except (errors.RedisError, OSError) as error:
            raised = explain(error, self._where)
            if raised is error:
                raise
            raise raised from error


def _texts(mapping: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in mapping.items()}
