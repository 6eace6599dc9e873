"""Kafka through aiokafka."""

from __future__ import annotations

from typing import Literal

from tocsin.bus.base import OnRebalance, nothing
from tocsin.bus.kafka.admin import KafkaAdmin
from tocsin.bus.kafka.consumer import KafkaConsumer
from tocsin.bus.kafka.producer import KafkaProducer
from tocsin.settings import KafkaConfig

__all__ = ["KafkaBus"]


class KafkaBus:
    """See `bus.base.Bus`. Making one connects to nothing."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config

    def consumer(
        self,
        topic: str,
        group: str | None,
        *,
        on_revoked: OnRebalance = nothing,
        on_assigned: OnRebalance = nothing,
        start: Literal["earliest", "latest"] = "earliest",
    ) -> KafkaConsumer:
        return KafkaConsumer(self._config, topic, group, on_revoked, on_assigned, start)

    def producer(self) -> KafkaProducer:
        return KafkaProducer(self._config)

    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(self._config)

    async def describe(self) -> str:
        return f"Kafka at {self._config.bootstrap}"
