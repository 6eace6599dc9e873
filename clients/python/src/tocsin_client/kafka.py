"""Kafka through aiokafka. The only module that loads it; `Publisher` imports this when entered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from ssl import SSLContext, SSLError
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    UnknownError,
    UnsupportedVersionError,
)
from aiokafka.helpers import create_ssl_context

from tocsin_client.broker import BrokerError
from tocsin_client.settings import Settings

_LINGER_MS = 5
_BATCH_BYTES = 256 << 10
_RETRY_S = 0.2
#: The embedded broker knows no producer ids; a strict Kafka before 3.0 wants an extra ACL.
_NOT_IDEMPOTENT = (UnknownError, UnsupportedVersionError, ClusterAuthorizationFailedError)


class KafkaBroker:
    """See `broker.Broker`. Making one connects to nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        try:
            try:
                self._producer = await self._admitted(idempotent=True)
            except _NOT_IDEMPOTENT:
                # Without it a retry may write a record twice. Spans bear an id.
                self._producer = await self._admitted(idempotent=False)
        except RuntimeError as error:  # no codec
            compression = self._settings.compression
            raise BrokerError(f"{error}; `pip install 'aiokafka[{compression}]'` has it.") from None
        except (KafkaError, OSError) as error:  # TimeoutError is an OSError
            raise BrokerError(self._sentence("admits no producer", error)) from None

    async def _admitted(self, *, idempotent: bool) -> AIOKafkaProducer:
        compression = self._settings.compression
        producer = AIOKafkaProducer(
            **self._connection(),
            acks="all",
            enable_idempotence=idempotent,
            linger_ms=_LINGER_MS,
            max_batch_size=_BATCH_BYTES,
            compression_type=None if compression == "none" else compression,
        )
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def require(self, topic: str) -> None:
        # All topics are asked for: a request that NAMES a missing one makes a broker with
        # auto.create.topics.enable (Kafka's default) create it, with the wrong settings.
        topics = await self._topics()
        if not any(there["topic"] == topic and there["partitions"] for there in topics):
            raise BrokerError(
                f"the topic {topic} is not on {self._settings.bootstrap}, or may not be seen; "
                "`tocsin topics` creates it."
            )

    async def _topics(self) -> list[dict[str, Any]]:
        """All topics that may be seen. Raises BrokerError after `connect_timeout_s`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.connect_timeout_s
        while True:
            admin = AIOKafkaAdminClient(**self._connection(), request_timeout_ms=15_000)
            try:
                async with asyncio.timeout_at(deadline):
                    await admin.start()
                    return cast("list[dict[str, Any]]", await admin.describe_topics())
            except (KafkaError, OSError) as error:  # TimeoutError is an OSError
                if loop.time() + _RETRY_S >= deadline:
                    raise BrokerError(self._sentence("does not answer", error)) from None
            finally:
                await admin.close()
            await asyncio.sleep(_RETRY_S)

    async def send(self, topic: str, *, key: bytes, value: bytes) -> Awaitable[object]:
        if self._producer is None:
            raise RuntimeError("the broker is not started")
        return cast("Awaitable[object]", await self._producer.send(topic, key=key, value=value))

    async def stop(self) -> None:
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()

    def _connection(self) -> dict[str, Any]:
        """What every client of aiokafka needs to connect and to prove who it is."""
        settings = self._settings
        connection: dict[str, Any] = {
            "bootstrap_servers": settings.bootstrap,
            "client_id": "tocsin-client",
            "security_protocol": settings.security_protocol,
            "metadata_max_age_ms": 60_000,  # new partitions are noticed within a minute, not five
        }
        if settings.security_protocol.endswith("SSL"):
            connection["ssl_context"] = self._ssl_context()
        if settings.security_protocol.startswith("SASL"):
            connection["sasl_mechanism"] = settings.sasl_mechanism
            connection["sasl_plain_username"] = settings.sasl_username
            connection["sasl_plain_password"] = settings.sasl_password
        return connection

    def _ssl_context(self) -> SSLContext:
        settings = self._settings
        try:
            context = create_ssl_context(
                cafile=settings.ssl_cafile,
                certfile=settings.ssl_certfile,
                keyfile=settings.ssl_keyfile,
                password=settings.ssl_key_password,
            )
        except (OSError, SSLError) as error:
            raise BrokerError(
                f"the files of ssl_cafile, ssl_certfile, ssl_keyfile cannot be used: {error}."
            ) from None
        return cast("SSLContext", context)

    def _sentence(self, does: str, error: BaseException) -> str:
        said = f" ({error})" if str(error) else ""
        return (
            f"the Kafka broker at {self._settings.bootstrap} {does} over "
            f"{self._settings.security_protocol}: {type(error).__name__}{said}; check the address, "
            "its advertised.listeners, and the credentials."
        )
