"""OTLP protobuf: the collector's default on Kafka (`otlp_proto`).

Making a Python object of each attribute costs more than all the rest, so attributes are
left as the bytes they came in (`otlp_schema.py`). Those that no table names are passed over
by their key alone. What the others say is remembered, by their bytes, unless it is content:
in a fleet's spans nearly every model, agent or tool name repeats.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.otlp_schema import parse_traces
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.semantics import (
    CONTENT,
    EVENT_TABLE,
    PARTIAL,
    RESOURCE_TABLE,
    SPAN_TABLE,
    Offer,
    offers,
    resolve,
)
from tocsin.types import Reason

_TRACE_BYTES, _SPAN_BYTES = 16, 8
_NO_TRACE, _NO_SPAN = bytes(_TRACE_BYTES), bytes(_SPAN_BYTES)
_STATUS_ERROR = 2
#: `KeyValue.key` is field 1, length-delimited: encoders write it first, with this tag. One
#: that does not is read in full. (Lengths of names fit a byte.)
_KEY_TAG = b"\n"
#: An encoded attribute up to the end of its key. Content is apart: it is never remembered.
_UNSEEN = CONTENT | PARTIAL
_NAMES = {_KEY_TAG + bytes([len(name)]) + name.encode() for name in SPAN_TABLE.keys() - _UNSEEN}
_CONTENTS = {_KEY_TAG + bytes([len(name)]) + name.encode() for name in _UNSEEN}
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
    trace_id, span_id, events = span.trace_id, span.span_id, span.events
    limits.check_attributes(len(span.attributes))
    if len(trace_id) != _TRACE_BYTES or trace_id == _NO_TRACE:
        _check_id(trace_id, "trace_id")
    if len(span_id) != _SPAN_BYTES or span_id == _NO_SPAN:
        _check_id(span_id, "span_id")
    try:
        return WireSpan(
            trace_id.hex(),
            span_id.hex(),
            span.parent_span_id.hex() or None,
            span.name,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == _STATUS_ERROR,
            _span_offers(span.attributes, limits.max_depth),
            [_event(event, limits) for event in events] if events else (),
        )
    except DecodeError:  # an attribute whose value is not what it says
        raise RefusedError(Reason.BAD_PROTOBUF) from None


def _check_id(value: bytes, field: str) -> None:
    if value:
        raise RefusedError(Reason.BAD_VALUE, field)


def _event(event: Any, limits: Limits) -> Event:
    offered: list[Offer] = []
    limits.check_attributes(len(event.attributes))
    for raw in event.attributes:
        attribute = KeyValue.FromString(raw)
        if attribute.key in EVENT_TABLE:
            value = _plain(attribute.value, limits.max_depth)
            offered += offers(attribute.key, value, EVENT_TABLE)
    return Event(event.name, event.time_unix_nano, offered)


def _span_offers(attributes: Iterable[bytes], depth: int) -> list[Offer]:
    """What a span's attributes offer. Each is a KeyValue, still encoded."""
    offered: list[Offer] = []
    remembered = _memory(depth)
    recall = remembered.get
    for raw in attributes:
        if len(raw) <= _REMEMBERED_BYTES and (found := recall(raw)) is not None:
            offered += found
            continue
        head = raw[: 2 + raw[1]] if len(raw) > 1 else raw
        if head in _NAMES:
            found = _read(raw, depth)
            offered += found
            if len(raw) <= _REMEMBERED_BYTES:
                if len(remembered) >= _REMEMBERED:
                    remembered.clear()
                remembered[raw] = found
        elif head in _CONTENTS or raw[:1] != _KEY_TAG:
            offered += _read(raw, depth)
    return offered


@cache
def _memory(_depth: int) -> dict[bytes, tuple[Offer, ...]]:
    """What attributes said when they were read with this limit: a process has one."""
    return {}


def _read(raw: bytes, depth: int) -> tuple[Offer, ...]:
    attribute = KeyValue.FromString(raw)
    if attribute.key not in SPAN_TABLE:
        return ()
    return offers(attribute.key, _plain(attribute.value, depth), SPAN_TABLE)


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
