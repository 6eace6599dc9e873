"""A support agent on pydantic-ai that answers questions about orders, traced to Kafka.

Its model is a function, so it needs no key and no network; everything else is as in production.
`--stuck N` makes the order system answer "try again" for one order, and the model, which
believes it, ask for that order N times in one run: a runaway loop.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import sys

from aiokafka.errors import KafkaError
from kafka_exporter import KafkaSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)  # fmt: skip
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.usage import UsageLimits

TRY_AGAIN = "status unknown, try again"


def decide(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    """The model: look the order up, and while the answer is "try again", do just that."""
    parts = [part for message in messages for part in message.parts]
    question = next(str(p.content) for p in parts if isinstance(p, UserPromptPart))
    found = re.search(r"[A-Z]-\d+", question)
    answers = [str(p.content) for p in parts if isinstance(p, ToolReturnPart)]
    if found and (not answers or answers[-1].endswith(TRY_AGAIN)):
        return ModelResponse(parts=[ToolCallPart("lookup_order", {"order_id": found.group()})])
    return ModelResponse(parts=[TextPart(answers[-1] if answers else "Which order is it?")])


class Orders:
    """The order system behind the tool; `stuck` calls in a row fail to find out about S-13."""

    def __init__(self, stuck: int, delay_s: float) -> None:
        self._stuck, self._delay_s = stuck, delay_s

    async def lookup_order(self, order_id: str) -> str:
        """Where an order is."""
        await asyncio.sleep(self._delay_s)
        if order_id == "S-13" and self._stuck > 1:
            self._stuck -= 1
            return f"order {order_id}: {TRY_AGAIN}"
        return f"order {order_id} left the warehouse"


def telemetry(bootstrap: str, topic: str, service: str, key: bytes) -> TracerProvider:
    """Spans to Kafka as they end: batches of at most 200 ms, so a loop is seen while it runs."""
    resource = Resource.create({
        "service.name": service, "service.version": "1.4.0",
        "deployment.environment.name": "prod",
    })  # fmt: skip
    provider = TracerProvider(resource=resource)
    exporter = KafkaSpanExporter(bootstrap, topic, key)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
    return provider


async def serve(agent: Agent[None, str], questions: int, every_s: float, *, stuck: bool) -> None:
    """Answer questions one after another; the stuck one comes last."""
    orders = [f"A-{number}" for number in itertools.islice(itertools.count(1), questions)]
    for order in [*orders, *(["S-13"] if stuck else [])]:
        run = await agent.run(
            f"Where is order {order}?", usage_limits=UsageLimits(request_limit=None)
        )
        print(f"{order}: {run.output} ({run.usage.tool_calls} lookups)", flush=True)
        await asyncio.sleep(every_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092"))
    parser.add_argument("--topic", default=os.environ.get("SPANS_TOPIC", "tocsin.spans.v1"))
    parser.add_argument("--service", default="support-desk")
    parser.add_argument("--questions", type=int, default=5, help="healthy runs first")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two runs")
    parser.add_argument("--stuck", type=int, default=0, help="identical lookups of the last run")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds one lookup takes")
    args = parser.parse_args()

    key = os.environ.get("FINGERPRINT_KEY", "example").encode()
    try:
        provider = telemetry(args.bootstrap, args.topic, args.service, key)
    except KafkaError as error:
        print(f"no broker at {args.bootstrap}: {error}", file=sys.stderr)
        return 2
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    agent = Agent(
        FunctionModel(decide, model_name="scripted-1"),
        name="support",
        tools=[Orders(args.stuck, args.delay).lookup_order],
    )
    try:
        asyncio.run(serve(agent, args.questions, args.every, stuck=args.stuck > 0))
    finally:
        provider.shutdown()  # flushes what is left
    return 0


if __name__ == "__main__":
    sys.exit(main())
