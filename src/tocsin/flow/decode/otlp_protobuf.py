"""OTLP protobuf: the collector's default on Kafka (`otlp_proto`).

Making a Python object of each attribute costs more than all the rest, so attributes are
left as the bytes they came in (`otlp_schema.py`). Those that no table names are passed over
by their key alone. What the others say is remembered, by their bytes, unless it is content:
of a fleet's spans nearly every model, agent or tool name was seen just before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.otlp_schema import parse_traces
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.semantics import (
    CONTENT,
    EVENT_TABLE,
    RESOURCE_TABLE,
    SPAN_TABLE,
    Offer,
    offers,
    resolve,
)
from tocsin.types import Reason

_TRACE_BYTES, _SPAN_BYTES = 16, 8
_STATUS_ERROR = 2
#: `KeyValue.key` is field 1, length-delimited: encoders write it first, with this tag. One
#: that does not is read in full. (Lengths of names fit a byte.)
_KEY_TAG = b"\n"
#: An encoded attribute up to the end of its key. Content is apart: it is never remembered.
_NAMES = {_KEY_TAG + bytes([len(name)]) + name.encode() for name in SPAN_TABLE.keys() - CONTENT}
_CONTENTS = {_KEY_TAG + bytes([len(name)]) + name.encode() for name in CONTENT}
_REMEMBERED, _REMEMBERED_BYTES = 65_536, 128


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Any]]:
    """Every span of the message with the fields of its resource. Raises RefusedError.

    `ExportTraceServiceRequest` is `TracesData` on the wire.
    """
    try:
        traces = parse_traces(data)
    except DecodeError:
        raise RefusedError(Reason.BAD_PROTOBUF) from None
    if not traces.resource_spans:  # any bytes may parse, as fields nobody knows
        raise RefusedError(Reason.UNKNOWN_FORMAT)
    spans = sum(len(scope.spans) for rs in traces.resource_spans for scope in rs.scope_spans)
    if spans > limits.max_spans:
        raise RefusedError(Reason.TOO_MANY_SPANS)
    return list(_spans(traces, limits))


def _spans(traces: Any, limits: Limits) -> Iterator[tuple[Row, Any]]:
    for resource_spans in traces.resource_spans:
        offered: list[Offer] = []
        for attribute in resource_spans.resource.attributes:
            if attribute.key in RESOURCE_TABLE:
                value = _plain(attribute.value, limits.max_depth)
                offered += offers(attribute.key, value, RESOURCE_TABLE)
        resource = resolve(offered)
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                yield resource, span


def wire_span(span: Any, limits: Limits) -> WireSpan:
    """Raises RefusedError if the span cannot be used."""
    try:
        return WireSpan(
            trace_id=_id(span.trace_id, _TRACE_BYTES, "trace_id"),
            span_id=_id(span.span_id, _SPAN_BYTES, "span_id"),
            parent_id=span.parent_span_id.hex() or None,
            name=span.name,
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            failed=span.status.code == _STATUS_ERROR,
            offered=_span_offers(span.attributes, limits.max_depth),
            events=[_event(event, limits) for event in span.events],
        )
    except DecodeError:  # an attribute whose value is not what it says
        raise RefusedError(Reason.BAD_PROTOBUF) from None


def _id(value: bytes, size: int, field: str) -> str:
    if value and (len(value) != size or value == bytes(size)):
        raise RefusedError(Reason.BAD_VALUE, field)
    return value.hex()


def _event(event: Any, limits: Limits) -> Event:
    offered: list[Offer] = []
    for raw in event.attributes:
        attribute = KeyValue.FromString(raw)
        if attribute.key in EVENT_TABLE:
            value = _plain(attribute.value, limits.max_depth)
            offered += offers(attribute.key, value, EVENT_TABLE)
    return Event(event.name, event.time_unix_nano, offered)


def _span_offers(attributes: Iterable[bytes], depth: int) -> list[Offer]:
    """What a span's attributes offer. Each is a KeyValue, still encoded."""
    offered: list[Offer] = []
    for raw in attributes:
        head = raw[: 2 + raw[1]] if len(raw) > 1 else raw
        if head in _NAMES:
            short = len(raw) <= _REMEMBERED_BYTES
            offered += _remembered(raw, depth) if short else _read(raw, depth)
        elif head in _CONTENTS or raw[:1] != _KEY_TAG:
            offered += _read(raw, depth)
    return offered


def _read(raw: bytes, depth: int) -> tuple[Offer, ...]:
    attribute = KeyValue.FromString(raw)
    if attribute.key not in SPAN_TABLE:
        return ()
    return offers(attribute.key, _plain(attribute.value, depth), SPAN_TABLE)


_remembered = lru_cache(maxsize=_REMEMBERED)(_read)


def _plain(value: AnyValue, depth: int) -> Any:
    which = value.WhichOneof("value")
    if which is None:
        return None
    if which in {"array_value", "kvlist_value"}:
        if depth == 0:
            raise RefusedError(Reason.TOO_DEEP)
        if which == "array_value":
            return [_plain(item, depth - 1) for item in value.array_value.values]
        return {kv.key: _plain(kv.value, depth - 1) for kv in value.kvlist_value.values}
    return getattr(value, which)
