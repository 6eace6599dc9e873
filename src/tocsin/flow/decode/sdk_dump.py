"""Spans as OpenTelemetry's Python SDK prints them (`ReadableSpan.to_json`), one or many.

`any-agent` keeps the same objects with decimal ids and integer times under `spans`.
"""

import msgspec
from msgspec import Raw, Struct

from tocsin.flow.decode import plain
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.semantics import EVENT_TABLE, RESOURCE_TABLE, SPAN_TABLE
from tocsin.types import Reason


class _Context(Struct, gc=False):
    trace_id: Raw = plain.ABSENT
    span_id: Raw = plain.ABSENT


class _Status(Struct, gc=False):
    status_code: str | None = None


class _Event(Struct, gc=False):
    name: str | None = None
    timestamp: str | int | None = None
    attributes: dict[str, Raw] | None = None


class _Resource(Struct, gc=False):
    attributes: dict[str, Raw] | None = None


class _Span(Struct, gc=False):
    name: str | None = None
    context: _Context | None = None
    parent: _Context | None = None
    parent_id: str | None = None
    start_time: str | int | None = None
    end_time: str | int | None = None
    status: _Status | None = None
    attributes: dict[str, Raw] | None = None
    events: list[_Event] | None = None
    resource: _Resource | None = None


class _Dump(Struct):
    spans: list[Raw] | None = None
    context: Raw = plain.ABSENT


_decode_dump = msgspec.json.Decoder(_Dump).decode
_decode_span = msgspec.json.Decoder(_Span).decode
_TRACE_DIGITS, _SPAN_DIGITS = 32, 16
_MAX_DIGITS = 40  # of 128 bits in decimal, and quotes


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Raw]]:
    """The spans, undecoded. Raises RefusedError."""
    parts = plain.parts(data, limits)
    if data[:1] == b"[" or len(parts) > 1:
        return [({}, part) for part in parts]
    try:
        dump = _decode_dump(data)
    except MALFORMED as error:
        raise plain.refused(error) from None
    if dump.context is not plain.ABSENT:
        return [({}, Raw(data))]
    spans = dump.spans or []
    plain.check_count(len(spans), limits)
    return [({}, span) for span in spans]


def wire_span(raw: Raw, limits: Limits) -> WireSpan:
    """Raises RefusedError if the span cannot be used."""
    try:
        span = _decode_span(raw)
    except MALFORMED as error:
        raise plain.refused(error) from None
    limits.check_attributes(len(span.attributes or ()))
    context, parent = span.context or _Context(), span.parent or _Context()
    made = plain.offered(span.attributes, SPAN_TABLE)
    if span.resource:
        made += plain.offered(span.resource.attributes, RESOURCE_TABLE)
    parent_text = span.parent_id or _id(parent.span_id, _SPAN_DIGITS, "parent_id")
    start = 0 if span.start_time is None else plain.iso_ns(span.start_time, "start_time")
    return WireSpan(
        trace_id=plain.trace_id(_id(context.trace_id, _TRACE_DIGITS, "trace_id")),
        span_id=plain.span_id(_id(context.span_id, _SPAN_DIGITS, "span_id")),
        parent_id=plain.parent_id(parent_text.removeprefix("0x")),
        name=span.name or "",
        start_ns=start,
        end_ns=plain.iso_ns(span.end_time, "end_time"),
        failed=bool(span.status and (span.status.status_code or "").upper() == "ERROR"),
        offered=made,
        events=[_event(event) for event in span.events or ()],
    )


def _event(event: _Event) -> Event:
    at = 0 if event.timestamp is None else plain.iso_ns(event.timestamp, "event")
    return Event(event.name or "", at, plain.offered(event.attributes, EVENT_TABLE))


def _id(raw: Raw, digits: int, field: str) -> str:
    """Hex digits of an id that is hex text, with or without 0x, or a decimal number."""
    text = bytes(raw).decode("ascii", "replace")
    if text == "null":
        return ""
    if len(text) > _MAX_DIGITS:
        raise RefusedError(Reason.BAD_VALUE, field)
    quoted, text = text[:1] == '"', text.strip('"')
    if text.isascii() and text.isdecimal() and not (quoted and len(text) == digits):
        return f"{int(text):x}"
    return text.lower().removeprefix("0x")
