"""Creating and describing topics."""

import asyncio
import time
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from tocsin.bus.base import BrokerUnavailable, TopicSpec
from tocsin.bus.kafka.connect import reach
from tocsin.errors import UserError
from tocsin.settings import KafkaConfig

#: How long a broker may take to show a topic that it says it has created.
_SHOWN_S = 30.0


class KafkaAdmin:
    """See `bus.base.Admin`. Connects on first use."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._client: AIOKafkaAdminClient | None = None

    async def create(self, specs: Sequence[TopicSpec]) -> list[str]:
        """See `bus.base.Admin`. Raises UserError when the broker refuses one."""
        there = await self.describe([spec.name for spec in specs])
        missing = {spec.name: spec for spec in specs if there[spec.name] is None}
        if not missing:
            return []
        new = [
            NewTopic(s.name, s.partitions, s.replication, topic_configs=dict(s.config) or None)
            for s in missing.values()
        ]
        assert self._client is not None  # connected by describe
        try:
            response = await self._client.create_topics(new)
        except KafkaError as error:
            raise BrokerUnavailable(
                f"The Kafka broker at {self._config.bootstrap} did not create topics "
                f"({type(error).__name__}); look at its log."
            ) from None
        for name, code, message in response.topic_errors:
            failure = for_code(code)
            if code and failure is not TopicAlreadyExistsError:
                raise UserError(
                    f"The broker refused to create the topic {name} with {missing[name].partitions}"
                    f" partitions and replication {missing[name].replication}: "
                    f"{message or failure.__name__}; set kafka.replication to at most the number "
                    "of brokers, or have an administrator create it."
                )
        await self._shown(list(missing))
        return list(missing)

    async def _shown(self, names: Sequence[str]) -> None:
        """Wait until the broker shows what it has created.

        Its metadata follows the controller's; to a stage that starts in between, the topic
        would be missing.
        """
        deadline = time.monotonic() + _SHOWN_S
        while hidden := [name for name, parts in (await self.describe(names)).items() if not parts]:
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"The Kafka broker at {self._config.bootstrap} has created {hidden[0]} but "
                    f"does not show it after {_SHOWN_S:.0f} s; look at its log."
                )
            await asyncio.sleep(0.1)

    async def describe(self, names: Sequence[str]) -> dict[str, int | None]:
        if self._client is None:
            self._client = await reach(self._config)
        # All topics are asked for: a request that NAMES a missing one makes a broker with
        # auto.create.topics.enable (Kafka's default) create it, with the wrong settings.
        topics = await self._client.describe_topics()
        there = {topic["topic"]: len(topic["partitions"]) for topic in topics}
        return {name: there.get(name) for name in names}

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
