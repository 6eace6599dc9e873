"""What the outbox asks of a broker."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol


class BrokerError(Exception):
    """The broker cannot take anything now: one sentence. A condition to wait out."""


class Broker(Protocol):
    """Takes records. `kafka.KafkaBroker` is the real one."""

    async def start(self) -> None:
        """Connect; again after a failure. Raises BrokerError."""
        ...

    async def require(self, topic: str) -> None:
        """Raises BrokerError unless `topic` is there. Creates nothing."""
        ...

    async def send(self, topic: str, *, key: bytes, value: bytes) -> Awaitable[object]:
        """Hand over a record, waiting while the client's buffer is full; then await the ack."""
        ...

    async def stop(self) -> None:
        """Flush and disconnect. Harmless when repeated."""
        ...
