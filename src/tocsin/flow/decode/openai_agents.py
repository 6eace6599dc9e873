"""Spans of the OpenAI Agents SDK as its exporter sends them: one, or `{"data": [...]}`.

A batch also holds `trace` objects, which name the workflow of the spans beside them. The SDK
sends each once, so later batches of a trace say nothing of it: a processor of one's own should
put the service into the spans' `metadata` (`deploy/examples/openai_agents_service`), or into
the record's headers. Without either the workflow's name stands in.
"""

import msgspec
from msgspec import Raw, Struct

from tocsin.flow.decode import plain
from tocsin.flow.decode.convert import text
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.native import MALFORMED
from tocsin.flow.decode.otlp_span import Row, WireSpan
from tocsin.flow.decode.semantics import (
    AGENTS_METADATA_TABLE,
    AGENTS_TABLE,
    RESOURCE_TABLE,
    Offer,
    resolve,
)
from tocsin.types import Kind, Reason


class _Batch(Struct, gc=False):
    data: list[Raw] | None = None


class _Head(Struct, gc=False):
    object: Raw = plain.ABSENT
    id: Raw = plain.ABSENT
    trace_id: Raw = plain.ABSENT
    workflow_name: Raw = plain.ABSENT
    metadata: Raw = plain.ABSENT


class _Span(Struct, gc=False):
    object: str | None = None
    id: str | None = None
    trace_id: str | None = None
    parent_id: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    span_data: Raw = plain.ABSENT
    error: Raw = plain.ABSENT
    metadata: Raw = plain.ABSENT


class _Error(Struct, gc=False):
    message: str | None = None


_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_span = msgspec.json.Decoder(_Span).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_SPAN, _TRACE = "trace.span", b'"trace"'
#: The SDK's own words for what went wrong. Any other message may quote anything.
_ERRORS = {
    "Max turns exceeded": "max_turns_exceeded",
    "Multiple handoffs requested": "multiple_handoffs_requested",
    "Tool not found": "tool_not_found",
    "Error running tool": "tool_error",
    "Error running tool (non-fatal)": "tool_error",
    "Error getting response": "model_error",
    "Error streaming response": "model_error",
    "Guardrail tripwire triggered": "guardrail_tripwire_triggered",
    "Invalid JSON": "invalid_json",
    "Invalid JSON provided": "invalid_json",
    "Tool execution cancelled": "tool_cancelled",
    "Error in agent run": "agent_error",
    "Apply patch tool not found": "tool_not_found",
    "Computer tool not found": "tool_not_found",
    "Custom tool not found": "tool_not_found",
    "Local shell tool not found": "tool_not_found",
    "Shell tool not found": "tool_not_found",
}
#: What `span_data.type` is; of a `custom` span, what `data.sdk_span_type` is.
_KINDS = {
    "agent": Kind.AGENT,
    "function": Kind.TOOL,
    "generation": Kind.LLM,
    "response": Kind.LLM,
    "transcription": Kind.LLM,
    "speech": Kind.LLM,
    "speech_group": Kind.STEP,
    "guardrail": Kind.GUARDRAIL,
    "handoff": Kind.HANDOFF,
    "custom": Kind.STEP,
    "task": Kind.WORKFLOW,
    "turn": Kind.STEP,
}
#: Objects that are looked into: `usage.input_tokens_details.cached_tokens`.
_DETAILS = frozenset({"input_tokens_details", "output_tokens_details"})


def messages(data: bytes, limits: Limits) -> list[tuple[Row, Raw]]:
    """The spans, undecoded, with what the batch says of their trace. Raises RefusedError."""
    try:
        batch = _decode_batch(data).data if data[:1] == b"{" else plain.parts(data, limits)
    except MALFORMED as error:
        raise plain.refused(error) from None
    items = [Raw(data)] if batch is None else batch
    plain.check_count(len(items), limits)
    heads = [_head(item) for item in items]
    traces = {bytes(head.id): _trace(head) for head in heads if bytes(head.object) == _TRACE}
    return [
        (traces.get(bytes(head.trace_id), {}), item)
        for head, item in zip(heads, items, strict=True)
        if bytes(head.object) != _TRACE
    ]


def _trace(head: _Head) -> Row:
    """What a `trace` says of its spans."""
    said = resolve(plain.offered(plain.attributes(head.metadata), RESOURCE_TABLE))
    if name := text(plain.value(head.workflow_name)):
        said |= {"service_else": name, "workflow": name}
    return said


def _head(item: Raw) -> _Head:
    try:
        return _decode_head(item)
    except MALFORMED:
        return _Head()  # refused with its reason when it is read as a span


def wire_span(raw: Raw, _limits: Limits) -> WireSpan:
    """Raises RefusedError if the span cannot be used."""
    try:
        span = _decode_span(raw)
        if span.object != _SPAN:
            raise RefusedError(Reason.UNKNOWN_FORMAT, "object")
        failed = bytes(span.error) != b"null"
        made = _offered(plain.attributes(span.span_data))
        made += plain.offered(plain.attributes(span.metadata), AGENTS_METADATA_TABLE)
        if failed and (named := _ERRORS.get(_decode_error(span.error).message or "")):
            made.append(("error_type", plain.BEST, named))
    except MALFORMED as error:
        raise plain.refused(error) from None
    return WireSpan(
        trace_id=span.trace_id or "",
        span_id=span.id or "",
        parent_id=span.parent_id or None,
        name="",
        start_ns=plain.iso_ns(span.started_at, "start_time"),
        end_ns=plain.iso_ns(span.ended_at, "end_time"),
        failed=failed,
        offered=made,
        events=(),
    )


def _offered(data: plain.Attributes) -> list[Offer]:
    """What `span_data` says. The table names its fields by type: `function.name`."""
    kind = plain.value(data.get("type", plain.ABSENT))
    inner = plain.attributes(data.get("data", plain.ABSENT)) if kind == "custom" else {}
    own = plain.value(inner.get("sdk_span_type", plain.ABSENT))
    kind = own if isinstance(own, str) and own in {"task", "turn"} else kind
    made = plain.offered({f"{kind}.{key}": raw for key, raw in data.items()}, AGENTS_TABLE)
    made += plain.offered({f"{kind}.data.{key}": raw for key, raw in inner.items()}, AGENTS_TABLE)
    usage = plain.attributes(data.get("usage", plain.ABSENT))
    made += plain.offered({f"usage.{key}": raw for key, raw in usage.items()}, AGENTS_TABLE)
    for details in _DETAILS & usage.keys():
        found = plain.attributes(usage[details])
        made += plain.offered({f"{details}.{key}": raw for key, raw in found.items()}, AGENTS_TABLE)
    if isinstance(kind, str) and kind in _KINDS:
        made.append(("kind", plain.BEST, _KINDS[kind].value))
        if _KINDS[kind] is Kind.LLM:  # a `response` names no model, and says its usage late
            made.append(("is_call", plain.BEST, True))
    return made
