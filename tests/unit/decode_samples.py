"""Messages for the decode tests: native spans, and OTLP batches in both encodings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

from tocsin.flow.decode import Limits, decode
from tocsin.types import Decoded

KEY = b"a key for tests"
LIMITS = Limits()
END_NS = 1_760_000_000_000_000_000
START_NS = END_NS - 2_000_000_000
TRACE, SPAN, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
TRANSPORTS = ("json", "protobuf")


@dataclass
class Message:
    """A Kafka record, as far as decode looks at it."""

    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    topic: str = "tocsin.spans.v1"
    partition: int = 0
    offset: int = 0
    timestamp: int = END_NS // 1_000_000
    timestamp_type: int = 0
    key: bytes | None = None


def native(**fields: Any) -> dict[str, Any]:
    """A native span with the required fields, and `fields` over them."""
    required = {
        "trace_id": TRACE, "span_id": SPAN, "service": "shop", "kind": "llm", "end_time": END_NS,
    }  # fmt: skip
    return required | fields


def encode(span: object) -> bytes:
    return json.dumps(span).encode()


def decode_values(*values: bytes | None, limits: Limits = LIMITS) -> Decoded:
    return decode([Message(value) for value in values], limits, KEY)


def one(value: bytes) -> dict[str, Any]:
    """The only span of a message that has no rejects."""
    decoded = decode_values(value)
    assert decoded.rejects == ()
    assert decoded.spans.height == 1
    return decoded.spans.row(0, named=True)


@dataclass(frozen=True)
class Otlp:
    """One OTLP span, to be written in either encoding."""

    attributes: Mapping[str, Any] = field(default_factory=dict)
    name: str = "span"
    trace_id: str = TRACE
    span_id: str = SPAN
    parent_id: str = ""
    start_ns: int = START_NS
    end_ns: int = END_NS
    status: int = 0
    events: Sequence[tuple[str, int, Mapping[str, Any]]] = ()

    def json(self) -> dict[str, Any]:
        return {
            "traceId": self.trace_id,
            "spanId": self.span_id,
            "parentSpanId": self.parent_id,
            "name": self.name,
            "kind": 1,
            "startTimeUnixNano": str(self.start_ns),
            "endTimeUnixNano": str(self.end_ns),
            "attributes": _json_attributes(self.attributes),
            "events": [
                {"name": name, "timeUnixNano": str(at), "attributes": _json_attributes(attributes)}
                for name, at, attributes in self.events
            ],
            "status": {"code": self.status, "message": "a message"},
        }

    def protobuf(self) -> Span:
        span = Span(
            trace_id=bytes.fromhex(self.trace_id),
            span_id=bytes.fromhex(self.span_id),
            parent_span_id=bytes.fromhex(self.parent_id),
            name=self.name,
            start_time_unix_nano=self.start_ns,
            end_time_unix_nano=self.end_ns,
            attributes=_protobuf_attributes(self.attributes),
            events=[
                Span.Event(name=name, time_unix_nano=at, attributes=_protobuf_attributes(found))
                for name, at, found in self.events
            ],
        )
        if self.status:
            span.status.code = Status.StatusCode.Value(_STATUS[self.status])
        return span


_STATUS = ("STATUS_CODE_UNSET", "STATUS_CODE_OK", "STATUS_CODE_ERROR")
SERVICE = {"service.name": "shop"}


def otlp(transport: str, *spans: Otlp, resource: Mapping[str, Any] = SERVICE) -> bytes:
    """One message with all the spans, under one resource."""
    if transport == "json":
        return encode(
            {
                "resourceSpans": [
                    {
                        "resource": {"attributes": _json_attributes(resource)},
                        "scopeSpans": [
                            {"scope": {"name": "s"}, "spans": [span.json() for span in spans]}
                        ],
                    }
                ]
            }
        )
    traces = TracesData()
    resource_spans = traces.resource_spans.add()
    resource_spans.resource.attributes.extend(_protobuf_attributes(resource))
    resource_spans.scope_spans.add().spans.extend([span.protobuf() for span in spans])
    return traces.SerializeToString()


def read(
    transport: str, *spans: Otlp, resource: Mapping[str, Any] = SERVICE
) -> list[dict[str, Any]]:
    """The decoded spans of one OTLP message that has no rejects."""
    decoded = decode_values(otlp(transport, *spans, resource=resource))
    assert decoded.rejects == ()
    return decoded.spans.to_dicts()


def _json_attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _json_value(value)} for key, value in attributes.items()]


def _json_value(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": "NaN" if value != value else value}  # noqa: PLR0124
        case list():
            return {"arrayValue": {"values": [_json_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": _json_attributes(value)}}
        case _:
            return {"stringValue": value}


def _protobuf_attributes(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_protobuf_value(value)) for key, value in attributes.items()]


def _protobuf_value(value: Any) -> AnyValue:
    made = AnyValue()
    match value:
        case bool():
            made.bool_value = value
        case int():
            made.int_value = value
        case float():
            made.double_value = value
        case list():
            made.array_value.values.extend(_protobuf_value(item) for item in value)
            made.array_value.SetInParent()
        case dict():
            made.kvlist_value.values.extend(_protobuf_attributes(value))
            made.kvlist_value.SetInParent()
        case _:
            made.string_value = value
    return made
