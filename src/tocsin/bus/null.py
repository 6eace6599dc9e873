"""A producer that keeps nothing: for a replay, whose events go to the caller, not to a topic."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tocsin.bus.base import Ack, Headers


@dataclass(frozen=True, slots=True)
class _Ack:
    partition: int
    offset: int


_KEPT_NOWHERE = _Ack(0, -1)


class NullProducer:
    """See `bus.base.Producer`. Every record is acknowledged at once, at offset -1."""

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to disconnect."""

    async def send(
        self,
        topic: str,  # noqa: ARG002 - the contract's names
        *,
        value: bytes | None,  # noqa: ARG002
        key: bytes | None = None,  # noqa: ARG002
        headers: Headers = (),  # noqa: ARG002
        partition: int | None = None,  # noqa: ARG002
        timestamp_ms: int | None = None,  # noqa: ARG002
    ) -> asyncio.Future[Ack]:
        ack: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        ack.set_result(_KEPT_NOWHERE)
        return ack

    async def flush(self) -> None:
        """Nothing is ever in flight."""
