"""One OTLP span -> one raw row: from its attributes, name and events."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from tocsin.flow.decode.canonical import TRANSFER_UNNAMED
from tocsin.flow.decode.convert import vercel_kind
from tocsin.flow.decode.fingerprint import fingerprint, parse, unwrapped
from tocsin.flow.decode.limits import Limits, RefusedError
from tocsin.flow.decode.semantics import EVALUATION, EXCEPTION, FIRST_TOKEN, Offer, resolve
from tocsin.types import MODEL_CALL_KINDS, Kind, Reason

Row = dict[str, Any]


class Event(NamedTuple):
    """A span event: its name, its time, and what its attributes offer by EVENT_TABLE."""

    name: str
    at_ns: int
    offered: Sequence[Offer]


class WireSpan(NamedTuple):
    """A span as both OTLP encodings give it; `offered` by its attributes, by SPAN_TABLE."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    start_ns: int
    end_ns: int
    failed: bool
    offered: Sequence[Offer]
    events: Sequence[Event]


_CALLS = frozenset(kind.value for kind in MODEL_CALL_KINDS)
#: As plain text: looking a member up costs more than all that is asked of it here.
_TOOL, _HANDOFF, _AGENT, _WORKFLOW, _STEP, _LLM, _OTHER = (
    kind.value
    for kind in (
        Kind.TOOL,
        Kind.HANDOFF,
        Kind.AGENT,
        Kind.WORKFLOW,
        Kind.STEP,
        Kind.LLM,
        Kind.OTHER,
    )
)
#: Kinds that a name outside their attributes may belong to.
_NAMED = frozenset({_AGENT, _STEP})
_SENTRY_HANDOFF = re.compile(r"handoff from (.+) to (.+)")
_OPENINFERENCE_HANDOFF = re.compile(r"handoff to (.+)")
#: OTel's span name, any-agent's and Google ADK's; smolagents', LlamaIndex' and CrewAI's.
_AGENT_NAME = re.compile(
    r"(?:invoke_agent|agent_run) \[?(.+?)\]?"
    r"|(?!Task\.)(.+?)\.(?:a?run|run_stream|_execute_core|agent)"
)
#: What only the names of Google ADK's older spans say.
_ADK_CALL, _ADK_RUN = "call_llm", "agent_run ["
#: A tool's name, where its span has no other: OTel's, MCP's; else the span's own name, if it
#: looks like one.
_TOOL_NAME = re.compile(r"(?:execute_tool|tools/call) (.+)|([A-Za-z_][\w-]{0,63})(?:\.tool)?")
#: The argument in which a tool that hands over names the target: Google ADK and Strands,
#: CrewAI, Agno, LlamaIndex.
_TARGETS = ("agent_name", "coworker", "member_id", "to_agent")
_UNNAMED, _LLAMA_INDEX = re.compile(TRANSFER_UNNAMED), "handoff"
#: Classes that say only that something was raised.
_ANY_EXCEPTION = frozenset({"Exception", "Error"})
#: Google ADK reports parallel calls once more as one span of this tool.
_ADK_MERGED = "(merged tools)"


def read_span(span: WireSpan, resource: Row, limits: Limits, key: bytes) -> Row:
    """The span's raw row. Raises RefusedError if it, and it alone, cannot be used."""
    trace_id, span_id, parent_id, name, start_ns, end_ns, failed, offered, events = span
    if trace_id == "" or span_id == "":
        raise RefusedError(Reason.MISSING_FIELD, "span_id" if trace_id else "trace_id")
    row = resolve(offered)
    row |= resource
    row["trace_id"], row["span_id"], row["parent_id"] = trace_id, span_id, parent_id
    row["start_ns"], row["end_ns"] = start_ns or None, end_ns
    arguments, result = row.pop("arguments", None), row.pop("result", None)
    kind = _kind(row, name)
    if kind == _TOOL:
        kind = _tool(row, name, arguments, result, limits, key)
    if kind == _HANDOFF and (named := _SENTRY_HANDOFF.fullmatch(name)):
        row.setdefault("handoff_from", named[1])
        row.setdefault("handoff_to", named[2])
    row["kind"] = kind
    if kind in _NAMED:
        _names(row, kind, name)
        if "is_chain" in row and kind == _STEP and parent_id is None:
            row["kind"] = _WORKFLOW  # all that LangChain, DSPy and the like say of a run
    _usage(row)
    if "ttft_seconds" in row or "first_token_ns" in row:
        _first_token(row, start_ns, end_ns)
    if events:
        _events(row, span)
    _error(row, failed=failed)
    return row


def _kind(row: Row, name: str) -> str:
    """The kind its attributes give; else by its name; else a call if it used a model."""
    kind = row.get("kind") or vercel_kind(name)
    if kind is not None and kind not in _CALLS:
        return str(kind)
    has_model = "model" in row or "model_requested" in row
    has_usage = "input_tokens" in row or "output_tokens" in row or "total_tokens" in row
    if kind is None:
        if name.startswith(_ADK_RUN):
            return _AGENT
        return _LLM if has_model and (has_usage or name == _ADK_CALL) else _OTHER
    if not (has_model or has_usage or "is_call" in row):
        return _STEP  # LangSmith calls prompts `chat` and retrievers `embeddings`
    return str(kind)


def _tool(row: Row, name: str, arguments: Any, result: Any, limits: Limits, key: bytes) -> str:
    """Fingerprints a tool span's content, and finds the handoffs that come as tools."""
    if "tool" not in row:
        named = _TOOL_NAME.fullmatch(name)
        if "entity" in row:
            row["tool"] = row["entity"]
        elif named:
            row["tool"] = named[1] or named[2]
    for column, content in (("args_hash", arguments), ("result_hash", result)):
        if content is not None and content != "":
            try:
                row[column] = fingerprint(unwrapped(content), key, limits.max_depth)
            except RefusedError as error:
                raise RefusedError(error.reason, column) from None
    tool = row.get("tool")
    if tool == _ADK_MERGED:
        return _OTHER
    if tool and (tool == _LLAMA_INDEX or _UNNAMED.match(tool)):
        target = _target(arguments)
        if target and len(target) <= limits.max_string:
            row.setdefault("handoff_to", target)
    # OpenInference writes the agents' names where content goes. The span's own name must
    # repeat the target, or this could be anybody's text.
    named = _OPENINFERENCE_HANDOFF.fullmatch(name)
    if named and named[1] == result:
        row.setdefault("handoff_to", result)
        if isinstance(arguments, str) and len(arguments) <= limits.max_string:
            row.setdefault("handoff_from", arguments)
    return _TOOL


def _target(arguments: Any) -> str | None:
    value = parse(arguments) if isinstance(arguments, str) else arguments
    found = [value.get(name) for name in _TARGETS] if isinstance(value, dict) else []
    return next((target for target in found if isinstance(target, str)), None)


def _names(row: Row, kind: str, name: str) -> None:
    """Names that only the span's own name or a catch-all attribute carries."""
    entity = row.get("entity")
    if kind == _STEP:
        if entity and "stage" not in row:
            row["stage"] = entity
    elif "agent" not in row:
        invoked = _AGENT_NAME.fullmatch(name)
        called = invoked and (invoked[1] or invoked[2])
        # Vercel 7 writes `invoke_agent {model}`: then the service has to do.
        if called and called != row.get("model_requested"):
            row["agent"] = called
        elif entity or "is_langfuse" in row:  # there the agent is the span's name
            row["agent"] = entity or name


def _usage(row: Row) -> None:
    """Sums that some producers send in the place of the parts, or the parts of the sum."""
    if "total_tokens" in row:
        if "input_tokens" not in row and "output_tokens" not in row:
            row["input_tokens"] = row["total_tokens"]
        elif "input_tokens" in row and "output_tokens" in row:
            _missing(row)
    if "cost_nano" not in row and ("cost_in" in row or "cost_out" in row):
        row["cost_nano"] = row.get("cost_in", 0) + row.get("cost_out", 0)


def _missing(row: Row) -> None:
    """What the total has and the halves lack: Gemini's thoughts, Langfuse's cached tokens."""
    gap = row["total_tokens"] - row["input_tokens"] - row["output_tokens"]
    if gap <= 0:
        return
    reasoning = row.get("reasoning_tokens", 0)
    cached = row.get("cache_read_tokens", 0) + row.get("cache_write_tokens", 0)
    if gap in (reasoning, reasoning + cached):
        row["output_tokens"] += reasoning
    if gap in (cached, reasoning + cached) and gap != reasoning:
        row["input_tokens"] += cached


def _first_token(row: Row, start_ns: int, end_ns: int) -> None:
    """Where no attribute in milliseconds says it better.

    Strands writes milliseconds where OTel says seconds; a first token does not come after the
    last one, so what does was that.
    """
    ttft, at = row.get("ttft_seconds"), row.get("first_token_ns", 0)
    if ttft is not None:
        row["ttft_ns"] = ttft // 1_000 if 0 < start_ns <= end_ns < start_ns + ttft else ttft
    elif "ttft_ns" not in row and 0 < start_ns <= at <= end_ns:
        row["ttft_ns"] = at - start_ns


def _events(row: Row, span: WireSpan) -> None:
    """First token, exception class and evaluation, where the span's attributes have none."""
    for event in span.events:
        if event.name in FIRST_TOKEN:
            if "ttft_ns" not in row and 0 < span.start_ns <= event.at_ns <= span.end_ns:
                row["ttft_ns"] = event.at_ns - span.start_ns
        elif event.name in {EXCEPTION, EVALUATION}:
            for field, value in resolve(event.offered).items():
                row.setdefault(field, value)


def _error(row: Row, *, failed: bool) -> None:
    """An exception that was handled is no error; it only names the class of one."""
    flagged = row.get("is_error") or row.get("finish_reason") == "error"
    row["timeout"] = False
    row["error"] = error = bool(failed or flagged or "error_type" in row)
    if error:
        raised = row.get("exception")
        if raised in _ANY_EXCEPTION:
            raised = row.get("raised", raised)
        row["error_class"] = row.get("error_type") or raised or row.get("rpc_status")
