"""One tick of one shard: snapshot, findings, events, annotate, save, publish.

Nothing is published that was not saved first, in the same step as the state it came from.
So whatever instant a worker dies at, an event id never carries two contents.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tocsin import metrics as m
from tocsin.bus.base import Producer
from tocsin.flow.alerts.annotate import ChangeTable, annotate
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.shard import Evaluated, ShardEvaluator
from tocsin.flow.windows.watermark import closed_windows, low_watermark
from tocsin.store.base import Store
from tocsin.types import RUN_HEADER, STEP, Saved, Snapshot

#: Counters live this share of their time to live before a window counts as gone.
_SAFE = 0.9
#: How far apart the lag is compared with what it was.
_LAG_EVERY_MS = 60_000


class Fenced(Exception):  # noqa: N818 - a condition, not a fault: another worker took over
    """Another worker owns the shard now."""


@dataclass(slots=True)
class ShardOwner:
    """A shard that this worker owns, once claimed: its evaluator, and what it has evaluated."""

    shard: int
    evaluator: ShardEvaluator
    store: Store
    producer: Producer
    topic: str  # of the alerts
    window_s: int
    retention_s: int  # how long the store keeps a window's counters
    metrics: m.Metrics
    #: Recent changes. Events are annotated before they are saved: a repeat has the same content.
    changes: ChangeTable = field(default_factory=ChangeTable)
    stalled_after_ms: int = 300_000
    epoch: int = 0  # of our claim
    seen: int = 0
    closed: int = 0  # windows closed so far, by this owner
    labels: dict[str, str] = field(default_factory=dict)
    #: Event time up to which the whole topic was complete at the last tick, ms.
    low_ms: int | None = None
    _lag_was: tuple[int, int] | None = None  # (clock, lag), a minute ago or less, ms
    _shrinks: bool = True

    async def claim(self) -> None:
        """Take the shard over: fence the former owner, restore, publish what it left behind."""
        self.epoch = await self.store.claim(self.shard)
        self.evaluator.restore(await self.store.load(self.shard))
        await self._publish(await self.store.outbox(self.shard))

    async def tick(self, now_ms: int | None = None) -> tuple[AlertEvent, ...]:
        """Evaluate whatever can be closed or has moved since the last tick. Raises Fenced.

        Args:
            now_ms: the clock, if our own lag is to be judged too (by shard 0).
        """
        snapshot = await self.store.snapshot(self.shard, self.seen)
        if snapshot.epoch != self.epoch:
            raise Fenced
        starts = self._closable(snapshot)
        lag = self._evaluate_lag(now_ms)
        if not starts and snapshot.seq == self.seen and not lag.events:
            return ()
        labels = await self._read_labels(snapshot)
        frames = await self.store.windows(self.shard, starts, self.window_s) if starts else []
        catches_up = bool(starts) and self._closes(starts[-1] + self.window_s)
        # Findings move the alerts within: window by window, each judged before it is learned.
        moved = self.evaluator.evaluate(
            snapshot, frames, labels, self.changes, catches_up=catches_up
        )
        result = Evaluated.total([lag, moved])
        events = annotate(result.events, self.changes)
        outbox = tuple(event.encode() for event in events)
        seen = self.seen if catches_up else snapshot.seq
        saved = Saved(starts[-1] if starts else None, seen, result.blobs, outbox)
        if not await self.store.save(self.shard, self.epoch, saved):
            self.metrics.add(m.FENCED_WRITES, stage="watch")
            raise Fenced
        self.seen = seen
        self.closed += len(starts)
        await self._publish(outbox)
        return tuple(events)

    def _evaluate_lag(self, now_ms: int | None) -> Evaluated:
        """Judge our own lag. While it shrinks we catch up, and no alert opens."""
        if now_ms is None or self.shard or self.low_ms is None:
            return Evaluated()
        behind_ms = now_ms - self.low_ms
        if self._lag_was is None or now_ms - self._lag_was[0] >= _LAG_EVERY_MS:
            self._shrinks = self._lag_was is None or behind_ms < self._lag_was[1]
            self._lag_was = now_ms, behind_ms
        if behind_ms > self.stalled_after_ms and self._shrinks:
            return Evaluated()
        return self.evaluator.evaluate_lag(self.low_ms, now_ms, self.stalled_after_ms)

    def _closable(self, snapshot: Snapshot) -> list[int]:
        self.low_ms = low_watermark(snapshot.positions, snapshot.partitions)
        if self.low_ms is None:
            return []
        return closed_windows(
            self.low_ms,
            evaluated=snapshot.evaluated,
            held=snapshot.windows,
            complete_from_ms=max(p.complete_from_ms for p in snapshot.positions.values()),
            window_s=self.window_s,
            oldest_s=self.low_ms // 1_000 - int(self.retention_s * _SAFE),
        )

    def _closes(self, start: int) -> bool:
        """Whether the topic is complete up to the end of the window that starts there."""
        return self.low_ms is not None and (start + self.window_s) * 1_000 <= self.low_ms

    async def _read_labels(self, snapshot: Snapshot) -> dict[str, str]:
        """The label table, kept; read again only when a run names a label not seen before."""
        rings = b"".join(run.state[RUN_HEADER.itemsize :] for run in snapshot.runs)
        named = np.unique(np.frombuffer(rings, STEP)["label"]).tolist()
        if not {f"{label:016x}" for label in named} <= self.labels.keys():
            self.labels = await self.store.labels(self.shard)
        return self.labels

    async def _publish(self, outbox: Sequence[bytes]) -> None:
        """Publish saved events in order, then forget them."""
        if not outbox:
            return
        acks = []
        for data in outbox:
            event = AlertEvent.decode(data)
            key, headers = event.fingerprint.encode(), event.headers()
            acks.append(await self.producer.send(self.topic, key=key, value=data, headers=headers))
            self.metrics.add(m.ALERTS, rule=event.rule, severity=event.severity, state=event.status)
        await asyncio.gather(*acks)
        if not await self.store.trim(self.shard, self.epoch, len(outbox)):
            raise Fenced
