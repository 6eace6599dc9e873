"""A support desk on the OpenAI Agents SDK, where one agent hands over to another, traced to Kafka.

`triage` answers questions about orders by itself and hands those about invoices to `billing`,
which looks the invoice up. All of it is the SDK's own code, the Responses API client included;
only the transport below it is a function, so it needs no key and no network.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import itertools
import json
import os
import queue
import re
import sys
import threading
from collections import defaultdict
from typing import Any

import httpx2
from agents import (
    Agent,
    ModelSettings,
    OpenAIResponsesModel,
    RunConfig,
    Runner,
    Span,
    Trace,
    TracingProcessor,
    function_tool,
    set_trace_processors,
)
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from openai import AsyncOpenAI

MODEL, SERVED_BY = "gpt-5-mini", "gpt-5-mini-2025-08-07"
#: What the model says each call used, in the Responses API's own words.
USAGE = {
    "input_tokens": 120, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
    "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 150,
}  # fmt: skip
#: What may leave the process of a span's `span_data`. A list of what to keep, not of what to drop.
KEPT = frozenset({"type", "name", "model", "usage", "from_agent", "to_agent", "triggered"})
#: ... and of `data`, by which the SDK says that a span is a task or a turn.
KEPT_DATA = frozenset({"sdk_span_type", "agent_name", "turn", "usage"})
#: Replaced by a keyed hash: Tocsin needs to know that two calls were equal, not what was said.
FINGERPRINTED = frozenset({"input", "output"})


class KafkaTracingProcessor(TracingProcessor):
    """Sends finished spans to a Kafka topic as the SDK exports them, without their content.

    A message is `{"data": [...]}` of one trace, keyed by its id, at most `every_s` after the
    first of its spans ended. Each span says in its `metadata` whose it is: which spans share a
    message is chance, and a reader that had to remember an earlier one would be wrong after
    every restart. A broker that is away costs spans, never the service.
    """

    def __init__(
        self, bootstrap: str, topic: str, resource: dict[str, str], key: bytes, every_s: float = 0.2
    ) -> None:
        self._bootstrap, self._topic, self._every_s = bootstrap, topic, every_s
        self._resource, self._key = resource, key
        self._agents: dict[str, str] = {}  # open span -> the agent it works for
        self._ended: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._stopping, self._connected = threading.Event(), threading.Event()
        self._refused: KafkaError | None = None
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()
        self._connected.wait()
        if self._refused is not None:
            raise self._refused

    def on_trace_start(self, trace: Trace) -> None:
        """A trace is told of by its spans."""

    def on_trace_end(self, trace: Trace) -> None:
        """It says nothing that its task span does not."""

    def on_span_start(self, span: Span[Any]) -> None:
        data = span.span_data.export()
        name = data["name"] if data["type"] == "agent" else self._agents.get(span.parent_id or "")
        if name:
            self._agents[span.span_id] = name

    def on_span_end(self, span: Span[Any]) -> None:
        exported = span.export() or {}
        # Only the object has the model of a call; the SDK's export leaves it out.
        response = getattr(span.span_data, "response", None)
        if response is not None:
            exported["span_data"]["model"] = response.model
        whose = dict(self._resource)
        if agent := self._agents.pop(span.span_id, None):
            whose["gen_ai.agent.name"] = agent
        self._ended.put(without_content(exported, self._key) | {"metadata": whose})

    def shutdown(self) -> None:
        """Send what is left. The SDK calls it when the process ends."""
        self._stopping.set()
        self._thread.join()

    def force_flush(self) -> None:
        """Wait until what ended has been sent, or the broker is known to be away."""
        deadline = 10.0
        while not self._ended.empty() and deadline > 0 and self._thread.is_alive():
            self._stopping.wait(self._every_s)
            deadline -= self._every_s

    def _run(self) -> None:
        asyncio.run(self._send_all())

    async def _send_all(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all")
        try:
            await producer.start()
        except KafkaError as error:
            self._refused = error
            await producer.stop()
            return
        finally:
            self._connected.set()
        try:
            last = False
            while not last:
                last = self._stopping.is_set()  # before the queue is emptied, for the last time
                await self._send_ended(producer)
                await asyncio.sleep(0 if last else self._every_s)
        finally:
            await producer.stop()

    async def _send_ended(self, producer: AIOKafkaProducer) -> None:
        by_trace: dict[str, list[dict[str, Any]]] = defaultdict(list)
        while not self._ended.empty():
            span = self._ended.get()
            by_trace[span["trace_id"]].append(span)
        for trace_id, spans in by_trace.items():
            value = json.dumps({"data": spans}).encode()
            try:
                await producer.send_and_wait(self._topic, value=value, key=trace_id.encode())
            except KafkaError as error:
                print(f"{len(spans)} spans were not sent: {error}", file=sys.stderr)


def without_content(span: dict[str, Any], key: bytes) -> dict[str, Any]:
    """A span as exported, less what was said; with HMACs of a tool's arguments and result."""
    data = span["span_data"]
    kept = {name: value for name, value in data.items() if name in KEPT}
    if data["type"] == "function":
        for name in FINGERPRINTED & data.keys():
            if data[name] is not None:
                said = hmac.new(key, str(data[name]).encode(), hashlib.sha256)
                kept[name] = said.hexdigest()[:16]
    elif data["type"] == "custom":
        kept["data"] = {name: data["data"][name] for name in KEPT_DATA & data["data"].keys()}
    error = span["error"] and {"message": span["error"]["message"]}
    return span | {"span_data": kept, "error": error}


def respond(request: httpx2.Request) -> httpx2.Response:
    """The model, at the other end of the wire: looks things up, hands over, and answers."""
    asked = json.loads(request.content)
    said = [item for item in asked["input"] if item.get("role") == "user"]
    answers = [item for item in asked["input"] if item.get("type") == "function_call_output"]
    tools = {tool["name"] for tool in asked["tools"]}
    number = re.search(r"[A-Z]-\d+", said[-1]["content"])
    about = number.group() if number else "?"
    wants_billing = "invoice" in said[-1]["content"]
    output: dict[str, Any]
    if wants_billing and "transfer_to_billing" in tools:
        output = _call("transfer_to_billing", {})
    elif wants_billing and not any("invoice" in item["output"] for item in answers):
        output = _call("find_invoice", {"invoice_id": about})
    elif not wants_billing and not answers:
        output = _call("lookup_order", {"order_id": about})
    else:
        text = {"type": "output_text", "text": answers[-1]["output"], "annotations": []}
        output = {
            "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [text],
        }  # fmt: skip
    return httpx2.Response(200, json={
        "id": "resp_1", "object": "response", "created_at": 0, "status": "completed",
        "model": SERVED_BY, "output": [output], "usage": USAGE, "tools": [],
        "parallel_tool_calls": False, "tool_choice": "auto",
    })  # fmt: skip


_calls = itertools.count(1)


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    number = next(_calls)
    return {
        "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": name,
        "arguments": json.dumps(arguments), "status": "completed",
    }  # fmt: skip


@function_tool
async def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"order {order_id} left the warehouse"


@function_tool
async def find_invoice(invoice_id: str) -> str:
    """What an invoice says."""
    return f"invoice {invoice_id} was paid"


def desk() -> Agent[None]:
    """The agent that takes every question, and behind it the one that may take over."""
    client = AsyncOpenAI(
        api_key="none",
        base_url="http://model.invalid/v1",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(respond)),
    )
    model, settings = OpenAIResponsesModel(MODEL, client), ModelSettings(tool_choice="auto")
    billing = Agent[None](
        name="billing", instructions="Answer questions about invoices.", model=model,
        model_settings=settings, tools=[find_invoice],
    )  # fmt: skip
    return Agent[None](
        name="triage", instructions="Answer, or hand over to who knows.", model=model,
        model_settings=settings, tools=[lookup_order], handoffs=[billing],
    )  # fmt: skip


async def serve(questions: int, handoffs: int, every_s: float) -> None:
    """Answer questions one after another; those for billing come last."""
    triage, config = desk(), RunConfig(workflow_name="customer service")
    asked = [f"Where is order A-{n}?" for n in range(1, questions + 1)]
    asked += [f"Is invoice B-{n} paid?" for n in range(1, handoffs + 1)]
    for question in asked:
        run = await Runner.run(triage, question, run_config=config)
        print(f"{run.last_agent.name}: {run.final_output}", flush=True)
        await asyncio.sleep(every_s)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092"))
    parser.add_argument("--topic", default=os.environ.get("SPANS_TOPIC", "tocsin.spans.v1"))
    parser.add_argument("--service", default="support-desk")
    parser.add_argument("--questions", type=int, default=5, help="answered by the first agent")
    parser.add_argument("--handoffs", type=int, default=3, help="handed over to the second")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two runs")
    args = parser.parse_args()

    resource = {
        "service.name": args.service, "service.version": "1.4.0",
        "deployment.environment.name": "prod",
    }  # fmt: skip
    key = os.environ.get("FINGERPRINT_KEY", "example").encode()
    try:
        processor = KafkaTracingProcessor(args.bootstrap, args.topic, resource, key)
    except KafkaError as error:
        print(f"no broker at {args.bootstrap}: {error}", file=sys.stderr)
        return 2
    # In the place of the SDK's own processor, which sends everything to OpenAI.
    set_trace_processors([processor])
    asyncio.run(serve(args.questions, args.handoffs, args.every))
    processor.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
