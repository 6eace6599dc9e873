"""What a service says with `tocsin.publish` is counted; a dead broker costs the service nothing."""

from __future__ import annotations

import asyncio

from servers import Kafka
from tocsin.publish import Publisher
from world import World


async def test_a_run_published_by_hand_is_on_the_books(world: World) -> None:
    config = world.config()
    async with Publisher(service="shop", config=config) as publisher:
        for _ in range(20):
            async with publisher.run(agent="planner") as run:
                async with run.tool("search", arguments={"q": "x"}) as call:
                    call.result("none")
                async with run.llm("gpt-5", provider="openai") as call_model:
                    call_model.usage(input_tokens=10, output_tokens=1)
    assert (publisher.counts.published, publisher.counts.dropped) == (60, 0)
    world.start("ingest")

    async def counted() -> bool:
        return (await world.account())["aggregated"] == 60

    await world.until(counted, 60, "60 spans on the books")
    assert len(await world.read(config.topics.spans)) == 60


async def test_a_broker_that_dies_holds_nobody_up(world: World, kafka: Kafka) -> None:
    loop = asyncio.get_running_loop()
    config = world.config()
    publisher = Publisher(service="shop", config=config, buffer=50, close_timeout_s=2)
    async with publisher:
        async with publisher.run(agent="planner"):
            pass
        while not publisher.counts.published:
            await asyncio.sleep(0.05)
        kafka.kill()
        began = loop.time()
        for _ in range(200):
            async with publisher.run(agent="planner"):
                pass
            await asyncio.sleep(0)
        assert loop.time() - began < 1
        closing = loop.time()
    assert loop.time() - closing < 3
    counts = publisher.counts
    assert (counts.published, counts.dropped, counts.invalid) == (1, 200, 0)
