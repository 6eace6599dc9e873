"""An OpenTelemetry SpanExporter that writes OTLP to Kafka: one message a trace and batch.

The value is an ExportTraceServiceRequest (protobuf), the key the trace id in hex, so all spans
of a run land on one partition. This is what the OpenTelemetry Collector's Kafka exporter does
with `partition_traces_by_id: true`, for services that run without a collector.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import threading
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

T = TypeVar("T")
#: Replaced by a keyed hash: Tocsin needs to know that two calls were equal, not what was said.
FINGERPRINTED = frozenset(
    {
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "tool_arguments",  # their names in instrumentation version 2
        "tool_response",
    }
)
#: All else that may leave the process. A list of what to keep, not of what to drop: what a
#: later version of the instrumentation adds stays here until somebody has looked at it.
KEPT = frozenset(
    {
        "agent_name",
        "error.type",
        "gen_ai.agent.name",
        "gen_ai.conversation.id",
        "gen_ai.operation.name",
        "gen_ai.provider.name",
        "gen_ai.request.model",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.model",
        "gen_ai.system",
        "gen_ai.tool.call.id",
        "gen_ai.tool.name",
        "operation.cost",
    }
)
KEPT_PREFIXES = ("gen_ai.usage.", "gen_ai.aggregated_usage.")


class KafkaSpanExporter(SpanExporter):
    """Sends spans to a Kafka topic, without their content.

    The SDK calls it from threads of its own, so the asynchronous producer lives on a loop in
    another one. A broker that is away for longer than `timeout_s` costs the spans of that
    batch (the SDK logs it), never the service.
    """

    def __init__(self, bootstrap: str, topic: str, key: bytes, timeout_s: float = 10.0) -> None:
        self._topic, self._key, self._timeout_s = topic, key, timeout_s
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="otlp", daemon=True)
        self._thread.start()
        self._producer = self._wait(self._connect(bootstrap))

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        by_trace: dict[int, list[ReadableSpan]] = defaultdict(list)
        for span in spans:
            if span.context is not None:
                by_trace[span.context.trace_id].append(span)
        try:
            self._wait(self._send(by_trace))
        except (KafkaError, TimeoutError):
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        self._wait(self._producer.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _connect(self, bootstrap: str) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
        try:
            await producer.start()
        except KafkaError:
            await producer.stop()
            raise
        return producer

    async def _send(self, by_trace: dict[int, list[ReadableSpan]]) -> None:
        acks = []
        for trace_id, spans in by_trace.items():
            request = without_content(encode_spans(spans), self._key)
            acks.append(await self._producer.send(
                self._topic, value=request.SerializeToString(), key=f"{trace_id:032x}".encode(),
            ))  # fmt: skip
        await asyncio.gather(*acks)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(self._timeout_s)


def without_content(request: ExportTraceServiceRequest, key: bytes) -> ExportTraceServiceRequest:
    """Drop prompts and answers; put HMACs in the place of tool arguments and results."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                kept = [a for a in span.attributes if _may_leave(a.key)]
                for attribute in kept:
                    if attribute.key in FINGERPRINTED:
                        said = attribute.value.SerializeToString(deterministic=True)
                        digest = hmac.new(key, said, hashlib.sha256).hexdigest()[:16]
                        attribute.value.string_value = digest
                del span.attributes[:]
                span.attributes.extend(kept)
                span.status.message = ""  # the text of an exception may quote what was said
                for event in span.events:
                    kinds = [a for a in event.attributes if a.key == "exception.type"]
                    del event.attributes[:]
                    event.attributes.extend(kinds)
    return request


def _may_leave(name: str) -> bool:
    return name in KEPT or name in FINGERPRINTED or name.startswith(KEPT_PREFIXES)
