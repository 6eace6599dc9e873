"""A producer that keeps nothing: for a replay, whose events go to the caller, not to a topic."""

import asyncio
from typing import Any, NamedTuple

from tocsin.bus.base import Ack


class _Ack(NamedTuple):
    partition: int
    offset: int


class NullProducer:
    """See `bus.base.Producer`. Every record is acknowledged at once, at offset -1."""

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to disconnect."""

    async def send(self, topic: str, **_: Any) -> asyncio.Future[Ack]:  # noqa: ARG002
        ack: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        ack.set_result(_Ack(0, -1))
        return ack

    async def flush(self) -> None:
        """Nothing is ever in flight."""
