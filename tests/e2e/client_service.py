"""A service that uses `tocsin_client` and nothing of Tocsin: what test_publish.py runs.

    python client_service.py runs        20 runs of 3 spans, and a deploy
    python client_service.py outage      one run; waits for a line on stdin; 200 runs more

Says in JSON, a line each, what happened. The broker comes from the environment.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
from dataclasses import asdict

from tocsin_client import Publisher


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def runs() -> None:
    async with Publisher(service="shop") as publisher:
        for _ in range(20):
            async with publisher.run(agent="planner") as run:
                async with run.tool("search", arguments={"q": "x"}) as call:
                    call.result("none")
                async with run.llm("gpt-5", provider="openai") as model:
                    model.usage(input_tokens=10, output_tokens=1)
        publisher.change("deploy", version="1.4.2")
    say(
        counts=asdict(publisher.counts),
        aiokafka=importlib.metadata.version("aiokafka"),
        tocsin="tocsin" in sys.modules,
    )


async def outage() -> None:
    loop = asyncio.get_running_loop()
    publisher = Publisher(service="shop", buffer=50, close_timeout_s=2)
    async with publisher:
        async with publisher.run(agent="planner"):
            pass
        while not publisher.counts.published:
            await asyncio.sleep(0.05)
        say(published=1)
        sys.stdin.readline()
        began = loop.time()
        for _ in range(200):
            async with publisher.run(agent="planner"):
                pass
            await asyncio.sleep(0)
        took, closing = loop.time() - began, loop.time()
    say(counts=asdict(publisher.counts), took_s=took, closed_s=loop.time() - closing)


asyncio.run({"runs": runs, "outage": outage}[sys.argv[1]]())
