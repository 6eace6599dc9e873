"""What waits for the broker: taken at once, sent in the background, counted to the last one."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from tocsin_client.broker import Broker, BrokerError
from tocsin_client.log import Log

_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0
_LEAST_S: Final = 0.1  # what a close takes at most beyond its bound
#: Brokers that outlive `close` because they do not answer; they end by themselves.
_LEAVING: set[asyncio.Task[None]] = set()


@dataclass(slots=True)
class Counts:
    """What became of spans and changes. Once closed, they add up to all that were published."""

    published: int = 0  # acknowledged by the broker
    dropped: int = 0  # the buffer was full, the broker refused, or time ran out at close
    invalid: int = 0  # against the contract: a negative count, a name that is no text ...


class _Record(NamedTuple):
    topic: str
    key: bytes
    value: bytes


class Outbox:
    """Keeps at most `size` records until the broker has acknowledged them."""

    def __init__(self, topic: str, size: int, counts: Counts, log: Log) -> None:
        """`topic` must be there before anything is sent; other topics, when first sent to."""
        self._topic, self._size, self._counts, self._log = topic, size, counts, log
        self._waiting: deque[_Record] = deque()
        self._known: set[str] = set()  # topics that are there
        self._arrived = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._pump: asyncio.Task[None] | None = None
        self._broker: Broker | None = None
        self._closing = False

    def start(self, broker: Broker) -> None:
        """Begin to connect and send, in a task of the running loop."""
        self._pump = asyncio.create_task(self._run(broker))
        self._pump.add_done_callback(self._ended)

    def put(self, topic: str, key: bytes, value: bytes) -> None:
        """Take a record for sending. Never blocks, never raises."""
        if self._closing or len(self._waiting) + len(self._under_way) >= self._size:
            self._counts.dropped += 1
            self._log.warn_once("spans are dropped: the buffer is full, or the publisher closed")
            return
        self._waiting.append(_Record(topic, key, value))
        self._arrived.set()

    async def close(self, timeout_s: float) -> None:
        """Send what waits, for at most `timeout_s`; the rest counts as dropped."""
        if self._pump is None:
            return
        pump, self._pump, self._closing = self._pump, None, True
        self._arrived.set()
        deadline = asyncio.get_running_loop().time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                if self._waiting:
                    await asyncio.wait({pump})
                if self._under_way:
                    await asyncio.wait(set(self._under_way))
        except TimeoutError:
            self._log.warn_once("spans are dropped: the broker did not take them before the close")
        finally:
            for task in (pump, *self._under_way):
                task.cancel()
            self._counts.dropped += len(self._waiting)
            self._waiting.clear()
            leaving = self._leave()
        await asyncio.wait({pump, *self._under_way})
        if leaving is not None:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({leaving}, timeout=max(_LEAST_S, left))

    def _leave(self) -> asyncio.Task[None] | None:
        """Begin to disconnect. With the broker away that takes longer than anyone waits."""
        if self._broker is None:
            return None
        leaving = asyncio.create_task(self._broker.stop())
        _LEAVING.add(leaving)
        leaving.add_done_callback(self._left)
        return leaving

    async def _run(self, broker: Broker) -> None:
        """Connect, however long it takes, then send in order what arrives."""
        await self._connect(broker)
        self._broker = broker
        while self._waiting or not self._closing:
            while self._waiting:
                task = asyncio.create_task(self._send(broker, self._waiting.popleft()))
                self._under_way.add(task)
                task.add_done_callback(self._settle)
            self._arrived.clear()
            if not self._closing:
                await self._arrived.wait()

    async def _connect(self, broker: Broker) -> None:
        pause = _RETRY_FIRST_S
        while True:
            try:
                await self._require(broker, self._topic)
                await broker.start()
            except BrokerError as error:
                self._log.warn_once(f"spans wait for the broker: {error}")
            else:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _RETRY_MOST_S)

    async def _require(self, broker: Broker, topic: str) -> None:
        """Raises BrokerError. To ask the broker by sending could create the topic."""
        if topic not in self._known:
            await broker.require(topic)
            self._known.add(topic)

    async def _send(self, broker: Broker, record: _Record) -> None:
        await self._require(broker, record.topic)  # that one topic is missing stops no other
        await (await broker.send(record.topic, key=record.key, value=record.value))

    def _settle(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._counts.published += 1
            return
        self._counts.dropped += 1
        if not task.cancelled():
            self._log.warn_once(f"spans are dropped: the broker refused ({task.exception()!r})")

    def _ended(self, pump: asyncio.Task[None]) -> None:
        if not pump.cancelled() and (error := pump.exception()) is not None:
            self._log.failed("publishing has stopped", error)

    def _left(self, leaving: asyncio.Task[None]) -> None:
        _LEAVING.discard(leaving)
        if not leaving.cancelled() and (error := leaving.exception()) is not None:
            self._log.info(f"left a broker that did not answer: {error!r}")
