"""One span, written in every wire format that carries attributes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tocsin.flow.decode.protobuf.jaeger_pb2 import Span
from tocsin.flow.decode.protobuf.zipkin_pb2 import ListOfSpans
from unit.decode_samples import END_NS, START_NS, Otlp, encode, otlp

NANO, MICRO = 1_000_000_000, 1_000


def iso(ns: int) -> str:
    """RFC 3339 with microseconds."""
    seconds, rest = divmod(ns, NANO)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // MICRO)
    return moment.isoformat().replace("+00:00", "Z")


def sentry(span: Otlp) -> dict[str, Any]:
    """As Relay writes it to `ingest-spans`."""
    types = {bool: "boolean", int: "integer", float: "double", str: "string", list: "array"}
    return {
        "organization_id": 1, "project_id": 42, "received": 1.0, "retention_days": 90,
        "trace_id": span.trace_id, "span_id": span.span_id,
        "parent_span_id": span.parent_id or None,
        "name": span.name, "is_segment": False, "status": "error" if span.status == 2 else "ok",
        "start_timestamp": span.start_ns / NANO, "end_timestamp": span.end_ns / NANO,
        "attributes": {
            name: {"type": types.get(type(value), "object"), "value": value}
            for name, value in ({"service.name": "shop"} | dict(span.attributes)).items()
        } | {"absent": None},
    }  # fmt: skip


def sdk_dump(span: Otlp) -> dict[str, Any]:
    """As `ReadableSpan.to_json` writes it."""
    return {
        "name": span.name,
        "context": {"trace_id": f"0x{span.trace_id}", "span_id": f"0x{span.span_id}"},
        "kind": "SpanKind.INTERNAL",
        "parent_id": f"0x{span.parent_id}" if span.parent_id else None,
        "start_time": iso(span.start_ns),
        "end_time": iso(span.end_ns),
        "status": {"status_code": ("UNSET", "OK", "ERROR")[span.status], "description": "MARK"},
        "attributes": dict(span.attributes),
        "events": [
            {"name": name, "timestamp": iso(at), "attributes": dict(found)}
            for name, at, found in span.events
        ],
        "links": [],
        "resource": {"attributes": {"service.name": "shop", "host.name": "MARK"}},
    }


def langfuse(span: Otlp) -> dict[str, Any]:
    """As Langfuse exports an observation that came by OpenTelemetry."""
    return {
        "id": span.span_id, "traceId": span.trace_id, "parentObservationId": span.parent_id or None,
        "type": "SPAN", "name": span.name, "level": "ERROR" if span.status == 2 else "DEFAULT",
        "startTime": iso(span.start_ns), "endTime": iso(span.end_ns), "statusMessage": "MARK",
        "input": {"MARK": "MARK"}, "output": "MARK", "usageDetails": {}, "costDetails": {},
        "metadata": {
            "attributes": dict(span.attributes),
            "resourceAttributes": {"service.name": "shop"},
        },
    }  # fmt: skip


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def zipkin(span: Otlp) -> dict[str, Any]:
    """As the collector writes it: tags are text, events are annotations."""
    failed = {"error": "MARK", "otel.status_code": "ERROR"} if span.status == 2 else {}
    return {
        "traceId": span.trace_id, "id": span.span_id,
        **({"parentId": span.parent_id} if span.parent_id else {}),
        "name": span.name, "kind": "CLIENT",
        "timestamp": span.start_ns // MICRO, "duration": (span.end_ns - span.start_ns) // MICRO,
        "localEndpoint": {"serviceName": "shop", "ipv4": "10.0.0.1"},
        "tags": {name: _text(value) for name, value in span.attributes.items()} | failed,
        "annotations": [
            {"timestamp": at // MICRO, "value": f"{name}|{json.dumps(dict(found))}|0"}
            for name, at, found in span.events
        ],
    }  # fmt: skip


def zipkin_protobuf(*spans: Otlp) -> bytes:
    """`ListOfSpans`, fields in order as every encoder writes them."""
    message = ListOfSpans()
    for written in map(zipkin, spans):
        span = message.spans.add(
            trace_id=bytes.fromhex(written["traceId"]), id=bytes.fromhex(written["id"]),
            parent_id=bytes.fromhex(written.get("parentId", "")), name=written["name"],
            timestamp=written["timestamp"], duration=max(written["duration"], 0),
            annotations=written["annotations"],
        )  # fmt: skip
        span.local_endpoint.service_name = "shop"
        for key, value in written["tags"].items():
            span.tags.add(key=key, value=value)
    return bytes(message.SerializeToString())


def _jaeger_tags(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    tags: list[dict[str, Any]] = []
    for key, value in attributes.items():
        match value:
            case bool():
                tags.append({"key": key, "vType": "BOOL", "vBool": value})
            case int():  # protobuf's JSON writes 64 bits as text, and zero not at all
                tags.append(
                    {"key": key, "vType": "INT64"} | ({"vInt64": str(value)} if value else {})
                )
            case float():
                tags.append({"key": key, "vType": "FLOAT64", "vFloat64": value})
            case _:
                tags.append({"key": key, "vStr": _text(value)})
    return tags


def _jaeger_attributes(span: Otlp) -> dict[str, Any]:
    failed = {"error": True, "otel.status_code": "ERROR"} if span.status == 2 else {}
    return dict(span.attributes) | failed


def _base64(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def jaeger(span: Otlp) -> dict[str, Any]:
    """As the collector's `jaeger_json` writes it."""
    trace = _base64(span.trace_id)
    return {
        "traceId": trace, "spanId": _base64(span.span_id), "operationName": span.name,
        "references": [{"traceId": trace, "spanId": _base64(span.parent_id)}]
        if span.parent_id else [],
        "startTime": iso(span.start_ns), "duration": f"{(span.end_ns - span.start_ns) / NANO}s",
        "tags": _jaeger_tags(_jaeger_attributes(span)),
        "logs": [
            {"timestamp": iso(at), "fields": _jaeger_tags({"event": name} | dict(found))}
            for name, at, found in span.events
        ],
        "process": {"serviceName": "shop", "tags": _jaeger_tags({"host.name": "MARK"})},
    }  # fmt: skip


def jaeger_export(*spans: Otlp) -> dict[str, Any]:
    """As the UI exports a trace."""

    def tags(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"key": k, "type": "x", "value": v} for k, v in attributes.items()]

    written = [
        {
            "traceID": span.trace_id, "spanID": span.span_id, "operationName": span.name,
            "references": [
                {"refType": "CHILD_OF", "traceID": span.trace_id, "spanID": span.parent_id}
            ] if span.parent_id else [],
            "startTime": span.start_ns // MICRO,
            "duration": (span.end_ns - span.start_ns) // MICRO,
            "tags": tags(_jaeger_attributes(span)),
            "logs": [
                {"timestamp": at // MICRO, "fields": tags({"event": name} | dict(found))}
                for name, at, found in span.events
            ],
            "processID": "p1", "warnings": None,
        }
        for span in spans
    ]  # fmt: skip
    process = {"serviceName": "shop", "tags": tags({"host.name": "MARK"})}
    return {"data": [{"traceID": "t", "spans": written, "processes": {"p1": process}}]}


def jaeger_protobuf(span: Otlp) -> bytes:
    """`api_v2.Span`."""
    message = Span()
    message.trace_id, message.span_id = map(bytes.fromhex, (span.trace_id, span.span_id))
    message.operation_name = span.name
    if span.parent_id:
        message.references.add(trace_id=message.trace_id, span_id=bytes.fromhex(span.parent_id))
    message.start_time.seconds, message.start_time.nanos = divmod(span.start_ns, NANO)
    length = divmod(span.end_ns - span.start_ns, NANO)
    message.duration.seconds, message.duration.nanos = length
    _protobuf_tags(message.tags, _jaeger_attributes(span))
    for name, at, found in span.events:
        log = message.logs.add()
        log.timestamp.seconds, log.timestamp.nanos = divmod(at, NANO)
        _protobuf_tags(log.fields, {"event": name} | dict(found))
    message.process.service_name = "shop"
    _protobuf_tags(message.process.tags, {"host.name": "MARK"})
    return bytes(message.SerializeToString())


def _protobuf_tags(tags: Any, attributes: Mapping[str, Any]) -> None:
    for key, value in attributes.items():
        match value:
            case bool():
                tags.add(key=key, v_type=1, v_bool=value)
            case int():
                tags.add(key=key, v_type=2, v_int64=value)
            case float():
                tags.add(key=key, v_type=3, v_float64=value)
            case _:
                tags.add(key=key, v_str=_text(value))


#: Format -> the message with these spans. Formats of one span a message take the first.
MESSAGES: dict[str, Callable[..., bytes]] = {
    "sentry": lambda *spans: encode(sentry(spans[0])),
    "jaeger_json": lambda *spans: encode(jaeger(spans[0])),
    "jaeger_export": lambda *spans: encode(jaeger_export(*spans)),
    "jaeger_protobuf": lambda *spans: jaeger_protobuf(spans[0]),
    "zipkin_json": lambda *spans: encode([zipkin(span) for span in spans]),
    "zipkin_protobuf": zipkin_protobuf,
    "sdk_dump": lambda *spans: encode(sdk_dump(spans[0])),
    "any_agent": lambda *spans: encode({"spans": [sdk_dump(span) for span in spans]}),
    "langfuse": lambda *spans: encode({"trace": {}, "observations": [*map(langfuse, spans)]}),
}
MANY = ("jaeger_export", "zipkin_json", "zipkin_protobuf", "any_agent", "langfuse")


def openai_agents(data: Mapping[str, Any], **span: Any) -> dict[str, Any]:
    """A `trace.span` as the SDK exports it."""
    return {
        "object": "trace.span", "id": "span_0123456789abcdef01234567",
        "trace_id": "trace_0123456789abcdef0123456789abcdef", "parent_id": None,
        "started_at": iso(START_NS), "ended_at": iso(END_NS), "span_data": dict(data),
        "error": None,
    } | span  # fmt: skip


def reference(spans: Sequence[Otlp]) -> bytes:
    """The same spans as OTLP."""
    return otlp("json", *spans)
