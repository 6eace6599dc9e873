"""Kafka through aiokafka."""

from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError

from tocsin.bus.base import BrokerUnavailable, OnRebalance, nothing
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
    ) -> KafkaConsumer:
        return KafkaConsumer(self._config, topic, group, on_revoked, on_assigned)

    def producer(self) -> KafkaProducer:
        return KafkaProducer(self._config)

    def admin(self) -> KafkaAdmin:
        return KafkaAdmin(self._config)

    def explain(self, error: BaseException) -> BaseException:
        if not isinstance(error, KafkaError) or not (
            error.retriable or isinstance(error, KafkaConnectionError | KafkaTimeoutError)
        ):
            return error
        return BrokerUnavailable(
            f"The broker at {self._config.bootstrap} stopped answering "
            f"({type(error).__name__}); nothing is lost, start again when it is back."
        )
