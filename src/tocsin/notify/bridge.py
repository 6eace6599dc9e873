"""bridge: alert events from the topic to the sinks, in order.

Each is delivered at least once; of the last 50,000 ids none twice by one process.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress

from tocsin import log
from tocsin import metrics as m
from tocsin.bus.base import Bus
from tocsin.config import Config
from tocsin.flow.alerts.contract import AlertEvent
from tocsin.notify.sinks.base import Sink, SinkUnavailable
from tocsin.types import Record

_POLL_RECORDS, _POLL_MS = 500, 500
_REMEMBERED = 50_000  # ids of events already delivered
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 60.0


class Bridge:
    """One member of the group that shares the alerts topic."""

    def __init__(self, config: Config, bus: Bus, sinks: Sequence[Sink], metrics: m.Metrics) -> None:
        self._topic, self._sinks, self._metrics = config.topics.alerts, sinks, metrics
        self._consumer = bus.consumer(self._topic, config.group("bridge"))
        self._delivered: OrderedDict[str, None] = OrderedDict()
        self._log = log.get_logger("bridge")

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set. What was not delivered is read again next time."""
        await self._consumer.start()
        try:
            while not stop.is_set():
                polled = await self._consumer.poll(_POLL_RECORDS, _POLL_MS)
                events = self._read(polled)
                if not await self._deliver(events, stop):
                    break  # stopped before delivery: it is read again next time
                self._remember(events)
                # After a rebalance the new owner of a partition delivers what was not committed.
                await self._consumer.commit(
                    {p: records[-1].offset + 1 for p, records in polled.items()}
                )
        finally:
            await self._consumer.stop()
            for sink in self._sinks:
                await sink.close()

    def _read(self, polled: Mapping[int, Sequence[Record]]) -> list[AlertEvent]:
        events: list[AlertEvent] = []
        seen: set[str] = set()
        for records in polled.values():
            for record in records:
                if record.value is None:
                    continue  # a tombstone retires a fingerprint
                try:
                    event = AlertEvent.decode(record.value)
                except ValueError as why:
                    self._log.error(
                        "not_an_alert",
                        partition=record.partition,
                        offset=record.offset,
                        why=str(why),
                    )
                    continue
                if event.id in self._delivered or event.id in seen:
                    self._metrics.add(m.NOTIFICATIONS, sink="all", outcome="duplicate")
                else:
                    seen.add(event.id)
                    events.append(event)
        return events

    async def _deliver(self, events: Sequence[AlertEvent], stop: asyncio.Event) -> bool:
        """Hand events to every sink; False when stopped before all had taken them."""
        for sink in self._sinks if events else ():
            self._metrics.set(m.NOTIFICATION_QUEUE, len(events), sink=sink.name)
            if not await self._insist(sink, events, stop):
                return False
            self._metrics.add(m.NOTIFICATIONS, len(events), sink=sink.name, outcome="delivered")
            self._metrics.set(m.NOTIFICATION_QUEUE, 0, sink=sink.name)
        return True

    async def _insist(self, sink: Sink, events: Sequence[AlertEvent], stop: asyncio.Event) -> bool:
        """Try until it works or `stop` is set. Meanwhile nothing more is read from the topic."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                await sink.deliver(events)
            except SinkUnavailable as reason:
                self._metrics.add(m.NOTIFICATIONS, sink=sink.name, outcome="retried")
                self._log.warning("sink_unavailable", sink=sink.name, why=str(reason))
            else:
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await stop.wait()
            if stop.is_set():
                return False
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _remember(self, events: Sequence[AlertEvent]) -> None:
        for event in events:
            self._delivered[event.id] = None
        while len(self._delivered) > _REMEMBERED:
            self._delivered.popitem(last=False)
