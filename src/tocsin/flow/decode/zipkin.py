"""Zipkin v2 spans, as JSON (a list) and as protobuf (`ListOfSpans`). Tags are all text."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from google.protobuf.message import DecodeError
from msgspec import Raw, Struct

from tocsin.flow.decode import plain
from tocsin.flow.decode.fingerprint import parse
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.protobuf import zipkin_pb2
from tocsin.flow.decode.semantics import EVENT_TABLE, RESOURCE_TABLE, SPAN_TABLE, Offer, offers
from tocsin.types import Reason


class _Endpoint(Struct, rename="camel", gc=False):
    service_name: str | None = None


class _Annotation(Struct, gc=False):
    timestamp: int | None = None
    value: str | None = None


class _Span(Struct, rename="camel", gc=False):
    trace_id: str | None = None
    id: str | None = None
    parent_id: str | None = None
    name: str | None = None
    timestamp: int | None = None
    duration: int | None = None
    local_endpoint: _Endpoint | None = None
    tags: dict[str, Raw] | None = None
    annotations: list[_Annotation] | None = None


_decode_span = msgspec.json.Decoder(_Span).decode


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Any]]:
    """The spans: undecoded JSON, or parsed protobuf. Raises RefusedError."""
    if data[:1] in {b"[", b"{"}:
        return [({}, part) for part in plain.parts(data, limits)]
    try:
        spans = zipkin_pb2.ListOfSpans.FromString(data).spans
    except DecodeError:
        raise RefusedError(Reason.BAD_PROTOBUF) from None
    plain.check_count(len(spans), limits)
    return [({}, span) for span in spans]


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
    tags = {
        key: plain.value(raw)
        for key, raw in (read.tags or {}).items()
        if key in SPAN_TABLE or key in RESOURCE_TABLE or key in _STATUS
    }
    notes = [(note.timestamp or 0, note.value or "") for note in read.annotations or ()]
    service = read.local_endpoint.service_name if read.local_endpoint else None
    return _wire(
        (read.trace_id or "", read.id or "", read.parent_id or ""),
        read.name or "",
        (read.timestamp, read.duration),
        service,
        tags,
        notes,
    )


def _from_protobuf(span: zipkin_pb2.Span) -> WireSpan:
    tags = {
        tag.key: tag.value
        for tag in span.tags
        if tag.key in SPAN_TABLE or tag.key in RESOURCE_TABLE or tag.key in _STATUS
    }
    return _wire(
        (span.trace_id.hex(), span.id.hex(), span.parent_id.hex()),
        span.name,
        (span.timestamp or None, span.duration),
        span.local_endpoint.service_name,
        tags,
        [(note.timestamp, note.value) for note in span.annotations],
    )


#: What says that a span failed. The text of `error` is free, and so goes no further.
_ERROR, _CODE = _STATUS = ("error", "otel.status_code")


def _wire(
    ids: tuple[str, str, str],
    name: str,
    times: tuple[int | None, int | None],
    service: str | None,
    tags: Mapping[str, Any],
    notes: Iterable[tuple[int, str]],
) -> WireSpan:
    start, end = plain.span_of(
        plain.micros_ns(times[0], "start_time"), plain.duration_ns(times[1] or 0)
    )
    made: list[Offer] = []
    for key, value in tags.items():
        for table in (SPAN_TABLE, RESOURCE_TABLE):
            if key in table:
                made += offers(key, value, table)
    if service:
        made.append(("service", plain.BEST, service))
    return WireSpan(
        trace_id=plain.trace_id(ids[0]),
        span_id=plain.span_id(ids[1]),
        parent_id=plain.parent_id(ids[2]),
        name=name,
        start_ns=start,
        end_ns=end,
        failed=tags.get(_ERROR, "false") != "false" or tags.get(_CODE) == "ERROR",
        offered=made,
        events=[_event(at, text) for at, text in notes],
    )


def _event(at: int, text: str) -> Event:
    """An annotation. The collector writes an event as `name|{"attribute": ...}|dropped`."""
    name, _, rest = text.partition("|")
    found = parse(rest.rpartition("|")[0] or rest) if rest[:1] == "{" else None
    made: list[Offer] = []
    for key, value in (found if isinstance(found, dict) else {}).items():
        if key in EVENT_TABLE:
            made += offers(key, value, EVENT_TABLE)
    return Event(name, at * 1_000, made)
