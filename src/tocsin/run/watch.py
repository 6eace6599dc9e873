"""watch: windows in Redis to alerts on the topic. Faust says which shards are ours.

A flush notice or the clock makes a shard due; every due shard gets one tick (`tick.py`).
A notice carries no data, so a lost or a repeated one is harmless.
"""

import asyncio
import time

from tocsin import log
from tocsin import metrics as m
from tocsin.bus.base import Bus, Producer, started
from tocsin.clock import Clock
from tocsin.config import Config
from tocsin.flow.alerts.annotate import ChangeTable
from tocsin.flow.detect.detector import Rule
from tocsin.run.change_feed import ChangeFeed
from tocsin.run.from_config import evaluator_of
from tocsin.run.tick import Fenced, ShardOwner
from tocsin.store.base import Store

#: Ticks of one shard come no closer than this: notices from many workers are folded.
_MIN_TICK_S = 0.1


class Watch:
    """One watch worker: owns some shards, and ticks them."""

    def __init__(
        self,
        config: Config,
        bus: Bus,
        store: Store,
        clock: Clock,
        metrics: m.Metrics,
        rules: tuple[Rule, ...],
        changes: ChangeFeed | None = None,
    ) -> None:
        self._config, self._store, self._clock, self._metrics = config, store, clock, metrics
        self._rules, self._changes = rules, changes
        self._producer: Producer = bus.producer()
        self._assigned: frozenset[int] = frozenset()  # what the group says is ours
        self._owned: dict[int, ShardOwner] = {}  # what we have claimed
        self._due: set[int] = set()
        self._wake = asyncio.Event()
        self._log = log.get_logger("watch")

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until `stop` is set. `assigned`, `revoked` and `notice` feed it meanwhile."""
        async with started(self._producer):
            if self._changes is not None:
                await self._changes.ready.wait()
            ticked = time.monotonic()
            while not stop.is_set():
                await self._wait(ticked)
                if time.monotonic() - ticked >= self._config.watch.tick_s:
                    self._due.update(self._assigned)
                    ticked = time.monotonic()
                due, self._due = self._due, set()
                await asyncio.gather(*(self._tick(shard) for shard in sorted(due)))
                self._report()

    async def assigned(self, shards: frozenset[int]) -> None:
        """These shards are ours now. The loop claims them: a failure must surface there."""
        self._assigned = shards
        self.notice(*shards)

    async def revoked(self, shards: frozenset[int]) -> None:
        """Drop these shards; all state is in the store, and a tick under way is fenced."""
        self._assigned -= shards
        for shard in shards:
            self._owned.pop(shard, None)

    def notice(self, *shards: int) -> None:
        """These shards have changed: tick them."""
        self._due.update(shards)
        self._wake.set()

    async def _wait(self, ticked: float) -> None:
        """Until a notice comes, or the next tick is due."""
        left = max(0.0, ticked + self._config.watch.tick_s - time.monotonic())
        try:
            async with asyncio.timeout(left):
                await self._wake.wait()
            await asyncio.sleep(min(_MIN_TICK_S, left))
        except TimeoutError:
            pass
        self._wake.clear()

    async def _tick(self, shard: int) -> None:
        started = time.perf_counter()
        try:
            owner = self._owned.get(shard) or await self._claim(shard)
            events = await owner.tick(self._clock.now_ms()) if owner else ()
        except Fenced:
            # Someone else has claimed it, or the store has lost our claim. As long as the
            # group says that it is ours, we claim it again: a flushed Redis heals like this.
            self._log.warning("fenced", shard=shard)
            self._owned.pop(shard, None)
            return
        self._metrics.observe(m.TICK_SECONDS, time.perf_counter() - started)
        for event in events:
            delay_s = max(0.0, (self._clock.now_ms() - event.at) / 1_000)
            self._metrics.observe(m.EVENT_TO_ALERT, delay_s)

    async def _claim(self, shard: int) -> ShardOwner | None:
        """Take a shard over from whoever had it, unless it was revoked meanwhile."""
        if shard not in self._assigned:
            return None
        config = self._config
        owner = ShardOwner(
            shard, evaluator_of(config, self._rules), self._store, self._producer,
            topic=config.topics.alerts, window_s=config.window_s,
            retention_s=config.redis.window_ttl_s, metrics=self._metrics,
            changes=ChangeTable() if self._changes is None else self._changes.table,
            stalled_after_ms=int(config.watch.stalled_after_s * 1_000),
        )  # fmt: skip
        await owner.claim()
        if shard not in self._assigned:
            return None
        self._owned[shard] = owner
        self._log.info("owns", shard=shard, epoch=owner.epoch)
        return owner

    def _report(self) -> None:
        now_ms = self._clock.now_ms()
        self._metrics.set(m.HEARTBEAT, now_ms / 1_000, stage="watch")
        lows = [o.low_ms for o in self._owned.values() if o.low_ms is not None]
        late = bool(lows) and now_ms - min(lows) > self._config.watch.stalled_after_s * 1_000
        orphaned = bool(self._assigned - self._owned.keys())
        self._metrics.set(m.PIPELINE_STALLED, float(late or orphaned))
