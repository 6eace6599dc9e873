"""Opens the bus (Kafka) and the store (Redis) that the configuration names."""

from tocsin.bus.base import Bus
from tocsin.bus.kafka import KafkaBus
from tocsin.config import Config
from tocsin.flow.windows.views import MONOTONE
from tocsin.store.base import Store
from tocsin.store.redis import RedisStore


def open_bus(config: Config) -> Bus:
    """The broker of the configuration; nothing is connected yet."""
    return KafkaBus(config.kafka)


def open_store(config: Config) -> Store:
    """The store of the configuration; nothing is connected yet."""
    return RedisStore(
        config.redis.url,
        prefix=config.redis.prefix,
        shards=config.shards,
        monotone=MONOTONE,
        cluster=config.redis.cluster,
        window_ttl_s=config.redis.window_ttl_s,
        connect_timeout_s=config.redis.connect_timeout_s,
    )
