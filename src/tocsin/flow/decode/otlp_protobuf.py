"""OTLP protobuf: the collector's default on Kafka (`otlp_proto`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.semantics import EVENT_TABLE, RESOURCE_TABLE, SPAN_TABLE, Table, resolve
from tocsin.types import Reason

_TRACE_BYTES, _SPAN_BYTES = 16, 8


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Any]]:
    """Every span of the message with the fields of its resource. Raises RefusedError.

    `ExportTraceServiceRequest` is `TracesData` on the wire.
    """
    try:
        traces = TracesData.FromString(data)
    except DecodeError:
        raise RefusedError(Reason.BAD_PROTOBUF) from None
    if not traces.resource_spans:  # any bytes may parse, as fields nobody knows
        raise RefusedError(Reason.UNKNOWN_FORMAT)
    spans = sum(len(scope.spans) for rs in traces.resource_spans for scope in rs.scope_spans)
    if spans > limits.max_spans:
        raise RefusedError(Reason.TOO_MANY_SPANS)
    return list(_spans(traces, limits))


def _spans(traces: TracesData, limits: Limits) -> Iterator[tuple[Row, Any]]:
    for resource_spans in traces.resource_spans:
        found = _named(resource_spans.resource.attributes, RESOURCE_TABLE, limits)
        resource = resolve(found, RESOURCE_TABLE)
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                yield resource, span


def wire_span(span: Span, limits: Limits) -> WireSpan:
    """Raises RefusedError if the span cannot be used."""
    events = span.events
    return WireSpan(
        trace_id=_id(span.trace_id, _TRACE_BYTES, "trace_id"),
        span_id=_id(span.span_id, _SPAN_BYTES, "span_id"),
        parent_id=span.parent_span_id.hex() or None,
        name=span.name,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.HasField("status") and span.status.code == Status.STATUS_CODE_ERROR,
        found=_named(span.attributes, SPAN_TABLE, limits),
        events=[
            Event(e.name, e.time_unix_nano, _named(e.attributes, EVENT_TABLE, limits))
            for e in events
        ]
        if events
        else (),
    )


def _id(value: bytes, size: int, field: str) -> str:
    if value and (len(value) != size or not any(value)):
        raise RefusedError(Reason.BAD_VALUE, field)
    return value.hex()


def _named(attributes: Sequence[KeyValue], table: Table, limits: Limits) -> dict[str, Any]:
    """The attributes that the table names; the values of all others are never touched."""
    found = {}
    for attribute in attributes:
        key = attribute.key
        if key in table:
            found[key] = _value(attribute.value, limits.max_depth)
    return found


def _value(value: AnyValue, depth: int) -> Any:
    if text := value.string_value:  # most values are text, and this is the cheapest question
        return text
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which in {"array_value", "kvlist_value"}:
        if depth == 0:
            raise RefusedError(Reason.TOO_DEEP)
        if which == "array_value":
            return [_value(item, depth - 1) for item in value.array_value.values]
        return {kv.key: _value(kv.value, depth - 1) for kv in value.kvlist_value.values}
    return getattr(value, which)
