"""Bytes to span columns: the only place that knows wire names. One file a wire format.

    sniff -> native | otlp, sentry, openai_agents, jaeger, zipkin, sdk_dump, langfuse -> canonical

Content (prompts, answers, tool arguments and results) ends here: formats read what their
allow-list names and nothing else, and tool content leaves as a keyed fingerprint.
"""

from collections.abc import Sequence

import polars as pl

from tocsin.flow.decode import (
    jaeger,
    langfuse,
    native,
    openai_agents,
    otlp,
    otlp_json,
    otlp_protobuf,
    sdk_dump,
    sentry,
    zipkin,
)
from tocsin.flow.decode.canonical import RAW_SCHEMA, canonical
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.sniff import Format, sniff
from tocsin.types import Decoded, Reason, Record, Reject

__all__ = ["Limits", "decode"]

_WIRES: dict[Format, otlp.Wire] = {
    Format.OTLP_JSON: otlp_json,
    Format.OTLP_PROTOBUF: otlp_protobuf,
    Format.SENTRY: sentry,
    Format.OPENAI_AGENTS: openai_agents,
    Format.JAEGER: jaeger,
    Format.ZIPKIN: zipkin,
    Format.SDK_DUMP: sdk_dump,
    Format.LANGFUSE: langfuse,
}


def decode(records: Sequence[Record], limits: Limits, key: bytes) -> Decoded:
    """A batch of records to spans in SPAN_SCHEMA, in record order, and rejects.

    Every record gives at least one span or one reject; what a record gives depends on
    nothing but itself. `key` is the HMAC key of the fingerprints of tool content. Never
    raises on what a record holds.
    """
    spans, foreign = native.Spans(), otlp.Rows(limits, key)
    rejects: list[Reject] = []
    decode_span, max_bytes = native.decode_span, limits.max_bytes
    add, at = spans.spans.append, spans.rows.append
    for row, record in enumerate(records):
        value = record.value
        if value and len(value) <= max_bytes:
            try:  # nearly every message is one native span: decoding it is the cheapest test
                add(decode_span(value))
                at(row)
                continue
            except native.MALFORMED:
                pass
        try:
            _decode_other(row, record, limits, spans, foreign, rejects)
        except RefusedError as error:
            rejects.append(Reject(row, error.reason, error.detail))
    frames = []
    if spans.spans:
        frame, refused = native.columns(spans, limits, key)
        frames.append(frame)
        rejects += refused
    if foreign.rows:
        frames.append(foreign.columns())
    raw = pl.concat(frames) if frames else pl.DataFrame(schema=RAW_SCHEMA)
    if len(frames) > 1:
        raw = raw.sort("row", maintain_order=True)
    decoded, refused = canonical(raw, limits, key)
    rejects += refused
    return Decoded(decoded, tuple(sorted(rejects, key=_place)))


def _decode_other(
    row: int,
    record: Record,
    limits: Limits,
    spans: native.Spans,
    foreign: otlp.Rows,
    rejects: list[Reject],
) -> None:
    """Whatever is not plainly one native span. Raises RefusedError if nothing can be read."""
    value = record.value
    if not value:
        raise RefusedError(Reason.EMPTY)
    if len(value) > limits.max_bytes:
        raise RefusedError(Reason.TOO_LARGE)
    wire, text = sniff(value, record.headers)
    if wire is not Format.NATIVE:
        rejects += foreign.read(row, text, _WIRES[wire], record.headers)
        return
    for item, span in native.read_many(text, limits):
        if isinstance(span, RefusedError):
            rejects.append(Reject(row, span.reason, span.detail, item))
        else:
            spans.add(row, item, span)


def _place(reject: Reject) -> tuple[int, int]:
    return reject.row, -1 if reject.item is None else reject.item
