"""Play a scenario through the real parts: producer, broker, ingest, Redis, watch, alerts topic.

Event time is driven from here: what the publisher has published is `now`, for every stage.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from tocsin import metrics as m
from tocsin.bus.base import Bus, started
from tocsin.clock import Clock, ManualClock
from tocsin.config import Config
from tocsin.demo.incidents import MINUTE_MS
from tocsin.demo.publisher import PublisherProcess, Task
from tocsin.demo.scene import Scene
from tocsin.demo.scoring import KIND_OF_DETECTOR, Alarm
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.flow.rules.spec import RuleSpec

#: Runs all stages until the event is set: `run(config, clock, metrics, stop)`.
Pipeline = Callable[[Config, Clock, m.Metrics, asyncio.Event], Coroutine[Any, Any, None]]

#: Spans that may wait in the topic: enough to keep ingest busy, little enough to stay near.
_AHEAD = 60_000
_BACKFILL_STEP_MS = 5 * MINUTE_MS
_LIVE_STEP_S = 0.1  # wall time between two publications
_SAMPLE_S = 0.05
#: After the last span, how long no further alert must come before the scenario is over.
_QUIET_S = 2.0


@dataclass(slots=True)
class Player:
    """One run of the scenario. `wall_plan_s` is when the live phase should be over."""

    config: Config
    bus: Bus
    pipeline: Pipeline
    rules: dict[str, RuleSpec]
    scene: Scene
    redraw: Callable[[], None]
    started: float  # time.monotonic() at the very beginning
    wall_plan_s: float | None = None
    _sampled: asyncio.Event = field(default_factory=asyncio.Event)

    async def play(self) -> None:
        """Start everything, publish the scenario, wait for the last alerts, stop everything.

        What fails first is raised, and has stopped the rest.
        """
        try:
            await self._play()
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _play(self) -> None:
        scene, stop = self.scene, asyncio.Event()
        clock, metrics, topics = ManualClock(scene.from_ms), m.Metrics(), self.config.topics
        task = Task(
            self.config.kafka.bootstrap, topics.spans, topics.spans_partitions,
            scene.seed, scene.from_ms, scene.incidents,
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pipeline(self.config, clock, metrics, stop))
            reader = group.create_task(self._read_alerts())
            sampler = group.create_task(self._sample(metrics))
            publisher = await PublisherProcess.start(task)
            try:
                await self._publish(publisher, clock)
            finally:
                await publisher.stop()
            await self._settle()
            sampler.cancel()
            reader.cancel()
            stop.set()
        scene.phase = "done"
        scene.wall_s = self._wall_s()
        self.redraw()

    async def _publish(self, publisher: PublisherProcess, clock: ManualClock) -> None:
        """History as fast as the pipeline takes it, then the live phase at its speed."""
        scene = self.scene
        scene.phase = "back-fill"
        for at_ms in range(scene.from_ms, scene.live_ms, _BACKFILL_STEP_MS):
            await self._advance(publisher, clock, min(at_ms + _BACKFILL_STEP_MS, scene.live_ms))
        await self._drained(0)
        scene.phase = "live"
        scene.speed = self._speed()
        last = time.monotonic()
        event_ms = float(scene.live_ms)
        while event_ms < scene.to_ms:
            await asyncio.sleep(max(0.0, last + _LIVE_STEP_S - time.monotonic()))
            # After a stall time goes on from where it stood: it never leaps over what it missed.
            now = time.monotonic()
            event_ms += min(now - last, 2 * _LIVE_STEP_S) * 1_000 * scene.speed
            last = now
            await self._advance(publisher, clock, min(int(event_ms), scene.to_ms))

    async def _advance(self, publisher: PublisherProcess, clock: ManualClock, to_ms: int) -> None:
        """Publish up to an event time, and wait while the pipeline is too far behind."""
        # The clock first: a span must never come from the future.
        clock.set(to_ms)
        self.scene.published += await publisher.publish(to_ms)
        self.scene.reach(to_ms, self._wall_s())
        await self._drained(_AHEAD)

    def _speed(self) -> float:
        """The asked-for speed, or more where the wall cap would be missed otherwise."""
        scene = self.scene
        if self.wall_plan_s is None:
            return scene.speed
        left_s = max(10.0, self.wall_plan_s - self._wall_s())
        return max(scene.speed, (scene.to_ms - scene.live_ms) / 1_000 / left_s)

    async def _drained(self, ahead: int) -> None:
        """Wait until at most `ahead` published spans are not aggregated yet."""
        while self.scene.lag > ahead:
            self._sampled.clear()
            await self._sampled.wait()

    async def _settle(self) -> None:
        """Everything is published: wait for what is under way."""
        self.scene.phase = "settling"
        await self._drained(0)
        told, since = len(self.scene.alarms), time.monotonic()
        while time.monotonic() - since < _QUIET_S:
            await asyncio.sleep(_SAMPLE_S)
            if len(self.scene.alarms) != told:
                told, since = len(self.scene.alarms), time.monotonic()

    async def _sample(self, metrics: m.Metrics) -> None:
        """Keep the scene's figures current."""
        scene = self.scene
        partitions = [str(p) for p in range(self.config.topics.spans_partitions)]
        while True:
            settled = sum(
                metrics.read(counter)
                for counter in (m.SPANS_AGGREGATED, m.SPANS_LATE, m.SPANS_FILTERED)
            )
            scene.measure(self._wall_s(), int(settled))
            scene.late = int(metrics.read(m.SPANS_LATE))
            delays = (metrics.read(m.WATERMARK_DELAY, partition=p) for p in partitions)
            scene.watermark_s = max(delays)
            self._sampled.set()
            self.redraw()
            await asyncio.sleep(_SAMPLE_S)

    async def _read_alerts(self) -> None:
        """What a subscriber of the alerts topic sees."""
        async with started(self.bus.consumer(self.config.topics.alerts, None)) as consumer:
            while True:
                for records in (await consumer.poll(500, 200)).values():
                    for record in records:
                        if record.value is not None:
                            self._note(AlertEvent.decode(record.value))

    def _note(self, event: AlertEvent) -> None:
        scene = self.scene
        if event.status in {"resolved", "expired"}:
            scene.resolved.add(event.alert_id)
        if event.status != "firing" or any(a.alert_id == event.alert_id for a in scene.alarms):
            return
        rule = self.rules.get(event.rule)
        scene.alarms.append(Alarm(
            event.alert_id, event.rule, KIND_OF_DETECTOR.get(rule.detector) if rule else None,
            event.service, event.severity, event.at, self._wall_s(),
            event.observed, event.expected, event.unit, event.summary,
        ))  # fmt: skip

    def _wall_s(self) -> float:
        return time.monotonic() - self.started
