"""The memory bus as `tocsin_client` wants a broker, so that what it publishes can be read back."""

from __future__ import annotations

from collections.abc import Awaitable

from tocsin.bus.base import Bus
from tocsin_client.broker import BrokerError


class MemoryBroker:
    """See `tocsin_client.broker.Broker`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._producer = bus.producer()

    async def start(self) -> None:
        await self._producer.start()

    async def require(self, topic: str) -> None:
        if not (await self._bus.admin().describe([topic]))[topic]:
            raise BrokerError(f"the topic {topic} does not exist.")

    async def send(self, topic: str, *, key: bytes, value: bytes) -> Awaitable[object]:
        return await self._producer.send(topic, key=key, value=value)

    async def stop(self) -> None:
        await self._producer.stop()
