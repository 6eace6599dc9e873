"""Captures what pydantic-ai's instrumentation emits, as OTLP: `python capture.py` rewrites it.

One run of an agent that makes the same tool call three times, then one that raises, in three
versions of the instrumentation's format: 2 (the old names), 5 (3 and 4 name alike), and 6.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Literal

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings

Version = Literal[2, 5, 6]
#: Format version, content or not -> file name.
CAPTURES: dict[tuple[Version, bool], str] = {
    (2, True): "v2",
    (5, True): "v5",
    (5, False): "v5-without-content",
    (6, True): "v6",
}
SAME = 3  # identical calls before the one that fails


def decide(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    done = sum(isinstance(part, ToolReturnPart) for m in messages for part in m.parts)
    if done < SAME:
        return ModelResponse(parts=[ToolCallPart("lookup_order", {"order_id": "A-1"})])
    if done == SAME:
        return ModelResponse(parts=[ToolCallPart("escalate", {"order_id": "A-1"})])
    return ModelResponse(parts=[TextPart("A secret answer.")])


def lookup_order(order_id: str) -> str:
    return f"order {order_id}: state unknown"


def escalate(order_id: str) -> str:
    raise PermissionError(f"nobody may touch {order_id}")


def capture(version: Version, *, content: bool) -> bytes:
    memory = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({
        "service.name": "support-desk", "service.version": "1.4.0",
        "deployment.environment.name": "prod",
    }))  # fmt: skip
    provider.add_span_processor(SimpleSpanProcessor(memory))
    settings = InstrumentationSettings(
        tracer_provider=provider,
        version=version,
        include_content=content,
    )
    Agent.instrument_all(settings)
    agent = Agent(
        FunctionModel(decide, model_name="scripted-1"),
        name="support",
        tools=[lookup_order, escalate],
    )
    with suppress(PermissionError):
        agent.run_sync("Where is my order, asks a secret question.")
    request = encode_spans(memory.get_finished_spans())
    for span in (s for r in request.resource_spans for c in r.scope_spans for s in c.spans):
        for event in span.events:  # a stack trace names the machine it was taken on
            kept = [a for a in event.attributes if a.key != "exception.stacktrace"]
            del event.attributes[:]
            event.attributes.extend(kept)
    return request.SerializeToString()


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # version 2 is deprecated; services still run them
    for (version, content), name in CAPTURES.items():
        path = Path(__file__).with_name(f"{name}.otlp")
        path.write_bytes(capture(version, content=content))
        print(path.name, path.stat().st_size, "bytes")
