"""A broker that goes away is one sentence; a fault of ours stays what it is."""

from __future__ import annotations

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, TopicAuthorizationFailedError

from tocsin.bus.base import BrokerUnavailable
from tocsin.bus.kafka import KafkaBus
from tocsin.settings import KafkaConfig

BUS = KafkaBus(KafkaConfig(bootstrap="broker:9092"))


@pytest.mark.parametrize("error", [KafkaTimeoutError(), KafkaConnectionError()])
def test_a_broker_that_went_away_is_named(error: Exception) -> None:
    told = BUS.explain(error)
    assert isinstance(told, BrokerUnavailable)
    assert "broker:9092" in str(told)


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), KeyError("x")])
def test_anything_else_is_left_as_it_is(error: Exception) -> None:
    assert BUS.explain(error) is error
