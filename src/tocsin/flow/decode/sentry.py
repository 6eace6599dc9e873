"""Sentry span JSON: one span a message, as Relay writes it to `ingest-spans`.

Attributes are `{"type": ..., "value": ...}` or null there; spans as the SDKs make them (plain
values under `data`, `op`, `description`, `timestamp`) are read as well.
"""

import msgspec
from msgspec import Raw, Struct

from tocsin.flow.decode import plain
from tocsin.flow.decode.limits import Limits
from tocsin.flow.decode.native import MALFORMED
from tocsin.flow.decode.otlp_span import Row, WireSpan
from tocsin.flow.decode.semantics import RESOURCE_TABLE, SPAN_TABLE, Offer, offers


class _Span(Struct, gc=False):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    description: str | None = None
    op: str | None = None
    status: str | None = None
    start_timestamp: float | None = None
    end_timestamp: float | None = None
    timestamp: float | None = None
    project_id: int | str | None = None
    environment: str | None = None
    release: str | None = None
    attributes: dict[str, Raw] | None = None
    data: dict[str, Raw] | None = None


class _Typed(Struct, gc=False):
    value: Raw = plain.ABSENT


_decode_span = msgspec.json.Decoder(_Span).decode
_decode_typed = msgspec.json.Decoder(_Typed).decode
_NO_FAILURE = frozenset({"ok", "unset", "unknown", ""})
#: Sentry's statuses: a closed set, so they may name a class of error. `error` names none.
_CLASSES = frozenset(
    "aborted already_exists cancelled data_loss deadline_exceeded failed_precondition "  # noqa: SIM905
    "internal_error invalid_argument not_found out_of_range permission_denied "
    "resource_exhausted unauthenticated unavailable unimplemented unknown_error".split()
)


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Raw]]:
    """The spans, undecoded. Raises RefusedError."""
    return [({}, part) for part in plain.parts(data, limits)]


def wire_span(raw: Raw, limits: Limits) -> WireSpan:
    """Raises RefusedError if the span cannot be used."""
    try:
        span = _decode_span(raw)
        found = {key: _untyped(value) for key, value in (span.attributes or {}).items()}
    except MALFORMED as error:
        raise plain.refused(error) from None
    limits.check_attributes(len(found))
    end = span.timestamp if span.end_timestamp is None else span.end_timestamp
    status = span.status or ""
    made = plain.offered(span.data, SPAN_TABLE, RESOURCE_TABLE)
    made += plain.offered(found, SPAN_TABLE, RESOURCE_TABLE)
    if status in _CLASSES:
        made.append(("rpc_status", plain.WORST, status))
    return WireSpan(
        trace_id=plain.trace_id(span.trace_id),
        span_id=plain.span_id(span.span_id),
        parent_id=plain.parent_id(span.parent_span_id),
        name=span.name or span.description or "",
        start_ns=plain.seconds_ns(span.start_timestamp, "start_time"),
        end_ns=plain.seconds_ns(end, "end_time"),
        failed=status not in _NO_FAILURE,
        offered=made + _own(span),
        events=(),
    )


def _own(span: _Span) -> list[Offer]:
    """What the span says outside its attributes, which say it better."""
    made: list[Offer] = []
    for name, text, table in (
        ("sentry.op", span.op, SPAN_TABLE),
        ("sentry.environment", span.environment, RESOURCE_TABLE),
        ("sentry.release", span.release, RESOURCE_TABLE),
    ):
        if text:
            made += offers(name, text, table)
    if span.project_id is not None:
        made.append(("service_else", plain.WORST, str(span.project_id)))
    return made


def _untyped(raw: Raw) -> Raw:
    return _decode_typed(raw).value if bytes(raw)[:1] == b"{" else raw
