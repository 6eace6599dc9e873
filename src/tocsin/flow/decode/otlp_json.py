"""OTLP JSON (`otlp_json`): lowerCamelCase keys, hex ids, 64-bit integers as text or numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw, Struct

from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED, refusal
from tocsin.flow.decode.otlp_span import Event, Row, WireSpan
from tocsin.flow.decode.semantics import (
    EVENT_TABLE,
    RESOURCE_TABLE,
    SPAN_TABLE,
    Offer,
    Table,
    offers,
    resolve,
)
from tocsin.types import Reason

# Values stay undecoded until their key is known to be wanted: a prompt is never even read.
# Null stands for absent everywhere, as proto3's JSON mapping has it.


class _KeyValue(Struct, gc=False):
    key: str | None = None
    value: Raw = Raw(b"null")


class _Resource(Struct):
    attributes: list[_KeyValue] | None = None


class _ScopeSpans(Struct):
    spans: list[Raw] | None = None


class _ResourceSpans(Struct, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _Traces(Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


class _Event(Struct, rename="camel"):
    time_unix_nano: int | None = None
    name: str | None = None
    attributes: list[_KeyValue] | None = None


class _Status(Struct):
    code: int | str | None = None


class _Span(Struct, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | None = None
    end_time_unix_nano: int | None = None
    attributes: list[_KeyValue] | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Array(Struct):
    values: list[_AnyValue] | None = None


class _Pair(Struct):
    key: str | None = None
    value: _AnyValue | None = None


class _Pairs(Struct):
    values: list[_Pair] | None = None


class _AnyValue(Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | None = None
    double_value: float | None = None
    bytes_value: str | None = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None


_decode_traces = msgspec.json.Decoder(_Traces, strict=False).decode
_decode_span = msgspec.json.Decoder(_Span, strict=False).decode
_decode_value = msgspec.json.Decoder(_AnyValue, strict=False).decode
#: The standard says integers; some exporters write the enum's name.
_FAILED = {2, "2", "STATUS_CODE_ERROR"}
_TRACE_ID, _SPAN_ID = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")
_INT64 = 2**63


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Any]]:
    """Every span of the message, undecoded, with the fields of its resource.

    Raises RefusedError if the message as a whole cannot be read.
    """
    try:
        traces = _decode_traces(data)
    except MALFORMED as error:
        raise _refusal(error) from None
    scopes = [
        (resource_spans, scope)
        for resource_spans in traces.resource_spans or ()
        for scope in resource_spans.scope_spans or ()
    ]
    if sum(len(scope.spans or ()) for _, scope in scopes) > limits.max_spans:
        raise RefusedError(Reason.TOO_MANY_SPANS)
    return list(_spans(traces, limits))


def _spans(traces: _Traces, limits: Limits) -> Iterator[tuple[Row, Any]]:
    for resource_spans in traces.resource_spans or ():
        resource = resource_spans.resource
        fields = resolve(_offered(resource.attributes, RESOURCE_TABLE, limits) if resource else ())
        for scope in resource_spans.scope_spans or ():
            for span in scope.spans or ():
                yield fields, span


def wire_span(raw: Raw, limits: Limits) -> WireSpan:
    """Raises RefusedError if the span cannot be used."""
    try:
        span = _decode_span(raw)
        return WireSpan(
            trace_id=_id(span.trace_id, _TRACE_ID, "trace_id"),
            span_id=_id(span.span_id, _SPAN_ID, "span_id"),
            parent_id=(span.parent_span_id or "").lower() or None,
            name=span.name or "",
            start_ns=span.start_time_unix_nano or 0,
            end_ns=span.end_time_unix_nano or 0,
            failed=span.status is not None and span.status.code in _FAILED,
            offered=_offered(span.attributes, SPAN_TABLE, limits),
            events=[_event(event, limits) for event in span.events or ()],
        )
    except MALFORMED as error:
        raise _refusal(error) from None


def _event(event: _Event, limits: Limits) -> Event:
    offered = _offered(event.attributes, EVENT_TABLE, limits)
    return Event(event.name or "", event.time_unix_nano or 0, offered)


def _refusal(error: Exception) -> RefusedError:
    """Field paths here are OTLP's own names, which the native decoder does not know."""
    return RefusedError(refusal(error).reason)


def _id(value: str | None, form: re.Pattern[str], field: str) -> str:
    value = (value or "").lower()
    if value and (not form.fullmatch(value) or not value.strip("0")):
        raise RefusedError(Reason.BAD_VALUE, field)
    return value


def _offered(attributes: list[_KeyValue] | None, table: Table, limits: Limits) -> list[Offer]:
    offered: list[Offer] = []
    limits.check_attributes(len(attributes or ()))
    for attribute in attributes or ():
        key = attribute.key
        if key and key in table:
            try:
                value = _decode_value(attribute.value)
            except msgspec.ValidationError:
                continue  # not the type it claims to be: as if it were absent
            except MALFORMED as error:
                raise _refusal(error) from None
            offered += offers(key, _plain(value, limits.max_depth), table)
    return offered


def _plain(value: _AnyValue | None, depth: int) -> Any:
    if value is None:
        return None
    if value.array_value is not None or value.kvlist_value is not None:
        if depth == 0:
            raise RefusedError(Reason.TOO_DEEP)
        if value.array_value is not None:
            return [_plain(item, depth - 1) for item in value.array_value.values or ()]
        pairs = value.kvlist_value.values if value.kvlist_value else None
        return {pair.key or "": _plain(pair.value, depth - 1) for pair in pairs or ()}
    for scalar in (value.string_value, value.int_value, value.double_value, value.bool_value):
        if scalar is not None:
            return scalar
    return value.bytes_value
