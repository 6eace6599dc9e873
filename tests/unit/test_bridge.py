"""The bridge on a memory bus: every event to every outlet, in order, and none lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from alerts import event
from memory_bus import MemoryBus
from tocsin import metrics as m
from tocsin.bus.base import TopicSpec
from tocsin.config import Config
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.notify import bridge as module
from tocsin.notify.bridge import Bridge
from tocsin.notify.sinks.base import SinkUnavailable


@dataclass
class Outlet:
    """Takes events, after it has failed so often."""

    name: str = "outlet"
    failures: int = 0
    took: list[str] = field(default_factory=list)
    closed: bool = False

    async def deliver(self, events: Sequence[AlertEvent]) -> None:
        if self.failures:
            self.failures -= 1
            raise SinkUnavailable("not now")
        self.took += [e.id for e in events]

    async def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    bus: MemoryBus = field(default_factory=MemoryBus)
    config: Config = field(default_factory=Config)
    metrics: m.Metrics = field(default_factory=m.Metrics)

    def __post_init__(self) -> None:
        self.bus.create(TopicSpec(self.config.topics.alerts, 3))

    async def publish(self, *events: AlertEvent | bytes | None) -> None:
        producer = self.bus.producer()
        for each in events:
            key = each.fingerprint.encode() if isinstance(each, AlertEvent) else b"k"
            value = each.encode() if isinstance(each, AlertEvent) else each
            await producer.send(self.config.topics.alerts, key=key, value=value)

    async def run(self, *outlets: Outlet, until: int = 0, seconds: float = 5.0) -> None:
        """Bridge until every outlet took `until` events in all, then stop in order."""
        stop = asyncio.Event()
        task = asyncio.create_task(Bridge(self.config, self.bus, outlets, self.metrics).run(stop))
        async with asyncio.timeout(seconds):
            while any(len(o.took) < until for o in outlets) and not task.done():
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
            stop.set()
            await task


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(module, "_POLL_MS", 10)


async def test_every_event_reaches_every_outlet_once_and_in_order() -> None:
    bench, one, two = Bench(), Outlet(), Outlet()
    events = [event(n % 3, n // 3) for n in range(30)]
    await bench.publish(*events)
    await bench.run(one, two, until=30)
    assert one.took == two.took
    assert sorted(one.took) == sorted(e.id for e in events)
    for number in range(3):
        mine = [e.id for e in events if e.alert_id == f"alert-{number}"]
        assert [i for i in one.took if i in mine] == mine
    assert one.closed
    assert two.closed


async def test_an_outlet_that_is_down_is_waited_for() -> None:
    bench, flaky, steady = Bench(), Outlet("flaky", failures=4), Outlet("steady")
    await bench.publish(event(1), event(2))
    await bench.run(flaky, steady, until=2)
    assert sorted(flaky.took) == sorted(steady.took) == sorted([event(1).id, event(2).id])
    retried = bench.metrics.read(m.NOTIFICATIONS, sink="flaky", outcome="retried")
    assert retried == 4
    assert bench.metrics.read(m.NOTIFICATIONS, sink="flaky", outcome="delivered") == 2


async def test_what_was_not_delivered_before_the_stop_is_delivered_after_it() -> None:
    bench, down = Bench(), Outlet(failures=10**6)
    await bench.publish(event(1))
    await bench.run(down)
    assert down.took == []
    up = Outlet()
    await bench.run(up, until=1)
    assert up.took == [event(1).id]


async def test_what_was_delivered_is_not_delivered_again_by_the_next_bridge() -> None:
    bench, first, second = Bench(), Outlet(), Outlet()
    await bench.publish(event(1), event(2))
    await bench.run(first, until=2)
    await bench.publish(event(3))
    await bench.run(second, until=1)
    assert second.took == [event(3).id]


async def test_a_stop_during_a_delivery_that_succeeds_does_not_repeat_it() -> None:
    bench, stop = Bench(), asyncio.Event()

    class Last(Outlet):
        async def deliver(self, events: Sequence[AlertEvent]) -> None:
            stop.set()
            await super().deliver(events)

    await bench.publish(event(1))
    outlet = Last()
    await Bridge(bench.config, bench.bus, [outlet], bench.metrics).run(stop)
    again = Outlet()
    await bench.run(again)
    assert (outlet.took, again.took) == ([event(1).id], [])


async def test_an_event_published_twice_is_delivered_once() -> None:
    bench, outlet = Bench(), Outlet()
    await bench.publish(event(1), event(1), event(2))
    await bench.run(outlet, until=2)
    await bench.publish(event(2))
    await bench.run(outlet)
    assert outlet.took.count(event(1).id) == 1
    assert bench.metrics.read(m.NOTIFICATIONS, sink="all", outcome="duplicate") >= 1


async def test_what_is_no_alert_is_passed_over_and_tombstones_are_silent() -> None:
    bench, outlet = Bench(), Outlet()
    await bench.publish(b"{", None, b"\xff", b'{"version": 2}', event(1))
    await bench.run(outlet, until=1)
    assert outlet.took == [event(1).id]


async def test_a_fault_of_an_outlet_ends_the_bridge_and_loses_nothing() -> None:
    class Broken(Outlet):
        async def deliver(self, events: Sequence[AlertEvent]) -> None:
            raise ZeroDivisionError(len(events))

    bench, up = Bench(), Outlet()
    await bench.publish(event(1))
    broken = Broken()
    with pytest.raises(ZeroDivisionError):
        await bench.run(broken, until=1)
    assert broken.closed
    await bench.run(up, until=1)
    assert up.took == [event(1).id]
