"""Example spans: one run that goes in a circle, as a service would publish it, in native JSON."""

import json
from collections.abc import Sequence
from typing import Any

from tocsin.bus.base import Bus, require_topic, started

#: A span as a producer sends it; `schemas/span.v1.json` is the contract.
Span = dict[str, Any]

SERVICE, AGENT, TOOL = "example", "planner", "lookup_order"
#: Two more than `runaway_loop` asks for, so that its alert is critical, too.
CALLS = 5
_CALL_MS, _EVERY_MS = 120, 400


def loop(trace_id: str, end_ms: int) -> list[Span]:
    """Return a run that ends at `end_ms` (epoch ms) and calls one tool CALLS times in vain.

    Every call has the same arguments and the same result. Before each, the model is asked.
    """
    begin_ms = end_ms - CALLS * _EVERY_MS
    common = {"trace_id": trace_id, "service": SERVICE, "env": "dev", "agent": AGENT}
    root = _span(f"{trace_id[:8]}root", begin_ms, end_ms, kind="agent")
    spans = []
    for call in range(CALLS):
        at_ms = begin_ms + call * _EVERY_MS
        model = _span(f"{trace_id[:8]}m{call}", at_ms, at_ms + _CALL_MS, kind="llm")
        model |= {"model": "example-model", "input_tokens": 900, "output_tokens": 60}
        tool = _span(f"{trace_id[:8]}t{call}", at_ms + _CALL_MS, at_ms + 2 * _CALL_MS, kind="tool")
        tool |= {
            "tool": TOOL,
            "tool_arguments": {"order": "A-1"},
            "tool_result": {"status": "unknown"},
        }
        spans += [model | {"parent_id": root["span_id"]}, tool | {"parent_id": root["span_id"]}]
    return [common | span for span in [*spans, root]]


def _span(span_id: str, begin_ms: int, end_ms: int, *, kind: str) -> Span:
    times = {"start_time": begin_ms * 1_000_000, "end_time": end_ms * 1_000_000}
    return {"span_id": span_id, "kind": kind, **times}


async def send(bus: Bus, topic: str, spans: Sequence[Span]) -> None:
    """Publish spans, keyed by trace id. Raises BrokerUnavailable, TopicMissing."""
    await require_topic(bus.admin(), topic)
    async with started(bus.producer()) as producer:
        for span in spans:
            value = json.dumps(span, separators=(",", ":")).encode()
            await (await producer.send(topic, key=span["trace_id"].encode(), value=value))
