"""Jaeger spans: the collector's `jaeger_json` and `jaeger_proto`, and what the UI exports.

A message of the collector is one span with its process; an export is traces whose spans name
their process. Tags carry what attributes do, a process' tags what a resource does.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Raw, Struct

from tocsin.flow.decode import plain
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.protobuf import jaeger_pb2
from tocsin.flow.decode.semantics import (
    EVENT_TABLE,
    RESOURCE_TABLE,
    SPAN_TABLE,
    Offer,
    Table,
    offers,
    resolve,
)
from tocsin.types import NANO, Reason


class _Tag(Struct, rename="camel", gc=False):
    key: str | None = None
    value: Raw = plain.ABSENT
    v_type: str | int | None = None
    v_str: Raw = plain.ABSENT
    v_bool: Raw = plain.ABSENT
    v_int64: Raw = plain.ABSENT
    v_float64: Raw = plain.ABSENT


class _Process(Struct, rename="camel", gc=False):
    service_name: str | None = None
    tags: list[_Tag] | None = None


class _Reference(Struct, gc=False):
    span_id: str | None = msgspec.field(name="spanId", default=None)
    span_id_ui: str | None = msgspec.field(name="spanID", default=None)
    kind: str | int | None = msgspec.field(name="refType", default=None)


class _Log(Struct, gc=False):
    timestamp: str | int | None = None
    fields: list[_Tag] | None = None


class _Span(Struct, gc=False):
    trace_id: str | None = msgspec.field(name="traceId", default=None)
    trace_id_ui: str | None = msgspec.field(name="traceID", default=None)
    span_id: str | None = msgspec.field(name="spanId", default=None)
    span_id_ui: str | None = msgspec.field(name="spanID", default=None)
    name: str | None = msgspec.field(name="operationName", default=None)
    references: list[_Reference] | None = None
    start_time: str | int | None = msgspec.field(name="startTime", default=None)
    duration: str | int | float | None = None
    tags: list[_Tag] | None = None
    logs: list[_Log] | None = None
    process: _Process | None = None


class _Owner(Struct, gc=False):
    process_id: str | None = msgspec.field(name="processID", default=None)


class _Trace(Struct, gc=False):
    spans: list[Raw] | None = None
    processes: dict[str, _Process] | None = None


class _Export(Struct, gc=False):
    data: list[_Trace] | None = None


_decode_span = msgspec.json.Decoder(_Span).decode
_decode_owner = msgspec.json.Decoder(_Owner).decode
_decode_export = msgspec.json.Decoder(_Export).decode
_decode_base64 = msgspec.json.Decoder(bytes).decode
_CHILD_OF = frozenset({None, 0, "CHILD_OF"})
#: JSON of protobuf leaves out what is zero, so only the type says that there is a value.
_ZEROS = {"BOOL": False, 1: False, "INT64": 0, 2: 0, "FLOAT64": 0.0, 3: 0.0}
#: Fields of a `KeyValue` by its `v_type`; binary is never read.
_FIELDS = ("v_str", "v_bool", "v_int64", "v_float64")
#: Tags by which a span says that it failed, and their values then.
_FAILED = {"otel.status_code": ("ERROR",), "error": (True, "true")}
_TRACE_HEX, _SPAN_HEX = (16, 32), (16,)
_MICRO = 1_000


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Any]]:
    """The spans with the fields of their process. Raises RefusedError."""
    if data[:1] not in {b"{", b"["}:
        try:
            return [({}, jaeger_pb2.Span.FromString(data))]
        except DecodeError:
            raise RefusedError(Reason.BAD_PROTOBUF) from None
    try:
        export = _decode_export(data).data if data[:1] == b"{" else None
        if export is None:
            return [({}, part) for part in plain.parts(data, limits)]
        plain.check_count(sum(len(trace.spans or ()) for trace in export), limits)
        return [
            (_resource((trace.processes or {}).get(_owner(span))), span)
            for trace in export
            for span in trace.spans or ()
        ]
    except MALFORMED as error:
        raise plain.refused(error) from None


def _owner(span: Raw) -> str:
    try:
        return _decode_owner(span).process_id or ""
    except MALFORMED:
        return ""  # refused with its reason when it is read as a span


def wire_span(span: Any, limits: Limits) -> WireSpan:
    """Raises RefusedError if the span cannot be used."""
    if not isinstance(span, Raw):
        limits.check_attributes(len(span.tags))
        return _from_protobuf(span)
    try:
        read = _decode_span(span)
    except MALFORMED as error:
        raise plain.refused(error) from None
    limits.check_attributes(len(read.tags or ()))
    start, end = plain.span_of(_instant(read.start_time), _duration(read.duration))
    parents = [
        _id(ref.span_id or ref.span_id_ui, _SPAN_HEX, "parent_id")
        for ref in read.references or ()
        if ref.kind in _CHILD_OF
    ]
    made = _offered(read.tags, SPAN_TABLE)
    if read.process:
        made += _process_offers(read.process)
    return WireSpan(
        trace_id=plain.trace_id(_id(read.trace_id or read.trace_id_ui, _TRACE_HEX, "trace_id")),
        span_id=plain.span_id(_id(read.span_id or read.span_id_ui, _SPAN_HEX, "span_id")),
        parent_id=plain.parent_id(parents[0]) if parents else None,
        name=read.name or "",
        start_ns=start,
        end_ns=end,
        failed=any(_value(t) in _FAILED[t.key] for t in read.tags or () if t.key in _FAILED),
        offered=made,
        events=[_event(log) for log in read.logs or ()],
    )


def _from_protobuf(span: jaeger_pb2.Span) -> WireSpan:
    if not span.HasField("start_time"):
        raise RefusedError(Reason.MISSING_FIELD, "start_time")
    start, end = plain.span_of(
        plain.micros_ns(_micros(span.start_time), "start_time"),
        plain.duration_ns(_micros(span.duration)),
    )
    tags = [(tag.key, tag) for tag in span.tags]
    made = _tag_offers(tags, SPAN_TABLE)
    made += _tag_offers([(tag.key, tag) for tag in span.process.tags], RESOURCE_TABLE)
    if span.process.service_name:
        made.append(("service", plain.BEST, span.process.service_name))
    parents = [ref.span_id.hex() for ref in span.references if ref.ref_type == 0]
    return WireSpan(
        trace_id=plain.trace_id(span.trace_id.hex()),
        span_id=plain.span_id(span.span_id.hex()),
        parent_id=plain.parent_id(parents[0]) if parents else None,
        name=span.operation_name,
        start_ns=start,
        end_ns=end,
        failed=any(_typed(tag) in _FAILED[key] for key, tag in tags if key in _FAILED),
        offered=made,
        events=[
            Event(
                next((str(_typed(tag)) for tag in log.fields if tag.key == "event"), ""),
                _micros(log.timestamp) * _MICRO,
                _tag_offers([(tag.key, tag) for tag in log.fields], EVENT_TABLE),
            )
            for log in span.logs
        ],
    )


def _micros(time: Any) -> int:
    """A Timestamp or a Duration; its nanoseconds are beyond what Jaeger keeps."""
    return int(time.seconds * _MICRO * _MICRO + time.nanos // _MICRO)


def _typed(tag: jaeger_pb2.KeyValue) -> Any:
    """The value of a tag, by its type; None if it is binary."""
    return getattr(tag, _FIELDS[tag.v_type]) if 0 <= tag.v_type < len(_FIELDS) else None


def _tag_offers(tags: Iterable[tuple[str, jaeger_pb2.KeyValue]], table: Table) -> list[Offer]:
    return [o for key, tag in tags if key in table for o in offers(key, _typed(tag), table)]


def _resource(process: _Process | None) -> Row:
    return resolve(_process_offers(process)) if process else {}


def _process_offers(process: _Process) -> list[Offer]:
    made = _offered(process.tags, RESOURCE_TABLE)
    if process.service_name:
        made.append(("service", plain.BEST, process.service_name))
    return made


def _offered(tags: Iterable[_Tag] | None, table: Table) -> list[Offer]:
    return [
        offer
        for tag in tags or ()
        if tag.key and tag.key in table
        for offer in offers(tag.key, _value(tag), table)
    ]


def _value(tag: _Tag) -> Any:
    for raw in (tag.value, tag.v_str, tag.v_bool, tag.v_int64, tag.v_float64):
        if raw is not plain.ABSENT:
            return plain.value(raw)
    return _ZEROS.get(tag.v_type) if tag.v_type is not None else None


def _event(log: _Log) -> Event:
    name = next((_value(tag) for tag in log.fields or () if tag.key == "event"), "")
    at = _instant(log.timestamp) if log.timestamp is not None else 0
    return Event(name if isinstance(name, str) else "", at, _offered(log.fields, EVENT_TABLE))


def _id(text: str | None, lengths: tuple[int, ...], field: str) -> str:
    """Hex digits of an id in hex or, as protobuf's JSON has bytes, in base64."""
    if not text or len(text) in lengths or not text.endswith("="):
        return text or ""
    try:
        return _decode_base64(msgspec.json.encode(text)).hex()
    except msgspec.DecodeError:
        raise RefusedError(Reason.BAD_VALUE, field) from None


def _instant(value: str | int | None) -> int:
    """Microseconds in an export, RFC 3339 in a message."""
    if isinstance(value, int):
        return plain.micros_ns(value, "start_time")
    return plain.iso_ns(value, "start_time")


def _duration(value: str | float | None) -> int:
    """Nanoseconds from microseconds, or from seconds as text (`1.5s`)."""
    if isinstance(value, str):
        try:
            value = float(value.removesuffix("s")) * (NANO // _MICRO)
        except ValueError:
            raise RefusedError(Reason.BAD_VALUE, "duration") from None
    return plain.duration_ns(value or 0)
