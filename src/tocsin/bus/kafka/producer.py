"""Writing to topics."""

import asyncio
from typing import cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    UnknownError,
    UnsupportedVersionError,
)

from tocsin.bus.base import Ack, Headers
from tocsin.bus.kafka.connect import client_settings, reach, within
from tocsin.log import get_logger
from tocsin.settings import KafkaConfig

_LINGER_MS = 5
_BATCH_BYTES = 256 << 10
#: A DLQ record is the original record plus its headers, so it may exceed Kafka's 1 MiB.
_REQUEST_BYTES = 4 << 20
#: The embedded broker knows no producer ids; a strict Kafka before 3.0 wants an extra ACL.
_NOT_IDEMPOTENT = (UnknownError, UnsupportedVersionError, ClusterAuthorizationFailedError)


class KafkaProducer:
    """See `bus.base.Producer`."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._client: AIOKafkaProducer | None = None

    async def start(self) -> None:
        await (await reach(self._config)).close()
        client = self._make(idempotent=True)
        try:
            await within(self._config, client.start, "admit a producer")
        except _NOT_IDEMPOTENT as error:
            await client.stop()
            # Without it a retry may write a record twice. Our records all bear an id.
            get_logger("bus").warning("producer_not_idempotent", broker_said=type(error).__name__)
            client = self._make(idempotent=False)
            await within(self._config, client.start, "admit a producer")
        except BaseException:
            await client.stop()
            raise
        self._client = client

    def _make(self, *, idempotent: bool) -> AIOKafkaProducer:
        compression = self._config.compression
        return AIOKafkaProducer(
            **client_settings(self._config),
            acks="all",
            enable_idempotence=idempotent,
            linger_ms=_LINGER_MS,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            compression_type=None if compression == "none" else compression,
        )

    async def stop(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.stop()

    async def send(
        self,
        topic: str,
        *,
        value: bytes | None,
        key: bytes | None = None,
        headers: Headers = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> asyncio.Future[Ack]:
        if self._client is None:
            raise RuntimeError("the producer is not started")
        ack = await self._client.send(
            topic,
            value=value,
            key=key,
            headers=list(headers),
            partition=partition,
            timestamp_ms=timestamp_ms,
        )
        return cast("asyncio.Future[Ack]", ack)

    async def flush(self) -> None:
        if self._client is not None:
            await self._client.flush()
