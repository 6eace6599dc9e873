"""The table of attributes: canonical field <- attribute names, best first.

The only place to extend for a new dialect. An attribute that is not named here is not
read, so content cannot come in by a name nobody thought of. Sources: OpenTelemetry GenAI and
MCP semantic conventions with their deprecated names, OpenInference, Vercel AI SDK 4 to 7,
Sentry, Traceloop, pydantic-ai, any-agent, Langfuse, Google ADK.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from tocsin.flow.decode import convert as c
from tocsin.flow.decode.limits import RefusedError
from tocsin.types import Kind

Fields = Mapping[str, Mapping[str, c.Convert]]


class Target(NamedTuple):
    """Where an attribute's value goes, how good a source it is (0 is best), and how it is read."""

    field: str
    rank: int
    convert: c.Convert


#: Fields of a span; those that are no column of SPAN_SCHEMA are read by `otlp_span.py`.
SPAN_FIELDS: Fields = {
    "kind": {
        "gen_ai.handoff.to_agent": c.always(Kind.HANDOFF),
        "gen_ai.handoff.from_agent": c.always(Kind.HANDOFF),
        "gen_ai.transfer.mode": c.always(Kind.HANDOFF),
        "gen_ai.transfer.target.name": c.always(Kind.HANDOFF),
        "langgraph.command.goto_node": c.goto,
        "langgraph.command.goto_nodes": c.goto,
        "openinference.span.kind": c.operation,
        "gen_ai.operation.name": c.operation,
        "gen_ai.operation.type": c.sentry_type,
        "sentry.op": c.operation,
        "ai.operationId": c.vercel_kind,
        "operation.name": c.vercel_kind,
        "traceloop.span.kind": c.task_kind,
        "llm.request.type": c.operation,
        "langsmith.span.kind": c.operation,
        "mcp.method.name": c.mcp_method,
        "gen_ai.tool.name": c.always(Kind.TOOL),
        "gen_ai.tool.call.id": c.always(Kind.TOOL),
        # pydantic-ai before 1.0 gives its agent spans no operation.
        "agent_name": c.always(Kind.AGENT),
    },
    "agent": dict.fromkeys(
        (
            "gen_ai.agent.name",
            "agent.name",
            "agent_name",
            "graph.node.name",
            "graph.node.id",
            "ai.telemetry.functionId",
            "gen_ai.function_id",
        ),
        c.text,
    ),
    "workflow": dict.fromkeys(
        ("gen_ai.workflow.name", "traceloop.workflow.name", "gen_ai.pipeline.name"), c.text
    ),
    "route": dict.fromkeys(("tocsin.route", "http.route"), c.text),
    "stage": dict.fromkeys(("tocsin.stage", "langgraph.node", "langgraph_node"), c.text),
    "entity": {"traceloop.entity.name": c.text},
    "provider": {
        "gen_ai.provider.name": c.provider,
        "gen_ai.system": c.provider,
        "llm.provider": c.provider,
        "llm.system": c.provider,
        "ai.model.provider": c.vercel_provider,
    },
    "model_requested": dict.fromkeys(
        (
            "gen_ai.request.model",
            "llm.request.model_name",
            "ai.model.id",
            "embedding.model_name",
            "reranker.model_name",
            "ai.model_id",
            "llm.model_name",
        ),
        c.text,
    ),
    "model": dict.fromkeys(
        (
            "gen_ai.response.model",
            "llm.response.model_name",
            "ai.response.model",
            "llm.model_name",
            "langsmith.metadata.ls_model_name",
        ),
        c.text,
    ),
    "tool": dict.fromkeys(
        ("gen_ai.tool.name", "tool.name", "ai.toolCall.name", "mcp.tool.name", "ai.function_call"),
        c.text,
    ),
    "mcp": {"mcp.method.name": c.text},
    "input_tokens": dict.fromkeys(
        (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "llm.token_count.prompt",
            "ai.usage.inputTokens",
            "ai.usage.promptTokens",
            "ai.usage.tokens",
            "ai.prompt_tokens.used",
        ),
        c.count,
    ),
    "output_tokens": dict.fromkeys(
        (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
            "ai.completion_tokens.used",
        ),
        c.count,
    ),
    "total_tokens": dict.fromkeys(
        (
            "gen_ai.usage.total_tokens",
            "llm.usage.total_tokens",
            "llm.token_count.total",
            "ai.usage.totalTokens",
            "ai.total_tokens.used",
        ),
        c.count,
    ),
    "cache_read_tokens": dict.fromkeys(
        (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
        ),
        c.count,
    ),
    "cache_write_tokens": dict.fromkeys(
        (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
        ),
        c.count,
    ),
    "reasoning_tokens": dict.fromkeys(
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
        ),
        c.count,
    ),
    "cost_nano": dict.fromkeys(
        (
            "gen_ai.cost.total_tokens",
            "llm.cost.total",
            "gen_ai.usage.cost",
            "gen_ai.usage.total_cost",
            "operation.cost",
            "ai.total_cost",
        ),
        c.usd,
    ),
    "cost_in": {"gen_ai.usage.input_cost": c.usd},
    "cost_out": {"gen_ai.usage.output_cost": c.usd},
    # Units are the trap here: seconds by OTel, milliseconds by Vercel and OpenInference.
    "ttft_ns": {
        "gen_ai.response.time_to_first_chunk": c.seconds,
        "gen_ai.response.time_to_first_token": c.seconds,
        "gen_ai.client.operation.time_to_first_chunk": c.seconds,
        "ai.response.msToFirstChunk": c.millis,
        "ai.stream.msToFirstChunk": c.millis,
        "time_to_first_token_ms": c.millis,
        "gen_ai.server.time_to_first_token": c.seconds,
    },
    "finish_reason": dict.fromkeys(
        (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "llm.finish_reason",
            "ai.response.finishReason",
            "gen_ai.response.stop_reason",
            "ai.finish_reason",
        ),
        c.finish_reason,
    ),
    "prompt_name": dict.fromkeys(
        ("gen_ai.prompt.name", "langfuse.prompt.name", "traceloop.prompt.key", "prompt.id"), c.text
    ),
    "prompt_version": dict.fromkeys(
        (
            "gen_ai.prompt.version",
            "langfuse.prompt.version",
            "traceloop.prompt.version",
            "llm.prompt_template.version",
        ),
        c.label,
    ),
    "error_type": {"error.type": c.label},
    "rpc_status": {"rpc.response.status_code": c.label},
    "is_error": {"mcp.tool.result.is_error": c.flag, "error": c.flag},
    "handoff_from": dict.fromkeys(
        ("gen_ai.handoff.from_agent", "langgraph.command.source_node"), c.text
    ),
    "handoff_to": {
        "gen_ai.handoff.to_agent": c.text,
        "gen_ai.transfer.target.name": c.text,
        "langgraph.command.goto_node": c.node,
        "langgraph.command.goto_nodes": c.node,
    },
    "score_name": dict.fromkeys(
        (
            "gen_ai.evaluation.name",
            "evaluations.0.evaluation.name",
            "annotations.0.annotation.name",
        ),
        c.text,
    ),
    "score": dict.fromkeys(
        (
            "gen_ai.evaluation.score.value",
            "evaluations.0.evaluation.score",
            "annotations.0.annotation.score",
        ),
        c.number,
    ),
    # Content: fingerprinted on tool spans, dropped on all.
    "arguments": dict.fromkeys(
        (
            "gen_ai.tool.call.arguments",
            "gen_ai.tool.input",
            "ai.toolCall.args",
            "gcp.vertex.agent.tool_call_args",
            "tool_arguments",
            "gen_ai.tool.args",
            "input.value",
        ),
        c.content,
    ),
    "result": dict.fromkeys(
        (
            "gen_ai.tool.call.result",
            "gen_ai.tool.output",
            "ai.toolCall.result",
            "gcp.vertex.agent.tool_response",
            "tool_response",
            "gen_ai.output",
            "output.value",
        ),
        c.content,
    ),
}

RESOURCE_FIELDS: Fields = {
    "service": dict.fromkeys(("service.name", "openinference.project.name"), c.text),
    "env": dict.fromkeys(
        (
            "deployment.environment.name",
            "deployment.environment",
            "sentry.environment",
            "environment",
        ),
        c.text,
    ),
    "release": dict.fromkeys(("service.version", "sentry.release", "release"), c.label),
}

#: `span_data` of the OpenAI Agents SDK, each field under its span's type.
AGENTS_FIELDS: Fields = {
    "agent": dict.fromkeys(("agent.name", "turn.data.agent_name", "task.data.agent_name"), c.text),
    "workflow": {"task.data.name": c.text, "task.data.workflow_name": c.text},
    "stage": {"guardrail.name": c.text},
    "tool": {"function.name": c.text},
    "model_requested": dict.fromkeys(
        ("generation.model", "transcription.model", "speech.model"), c.text
    ),
    # The SDK exports no model of a response; a processor that adds it finds the served one.
    "model": {"response.model": c.text},
    "input_tokens": dict.fromkeys(("usage.input_tokens", "usage.prompt_tokens"), c.count),
    "output_tokens": dict.fromkeys(("usage.output_tokens", "usage.completion_tokens"), c.count),
    "total_tokens": {"usage.total_tokens": c.count},
    "cache_read_tokens": dict.fromkeys(
        ("input_tokens_details.cached_tokens", "usage.cached_input_tokens"), c.count
    ),
    "cache_write_tokens": dict.fromkeys(
        ("input_tokens_details.cache_write_tokens", "usage.cache_write_input_tokens"), c.count
    ),
    "reasoning_tokens": {"output_tokens_details.reasoning_tokens": c.count},
    "handoff_from": {"handoff.from_agent": c.text},
    "handoff_to": {"handoff.to_agent": c.text},
    "arguments": {"function.input": c.content},
    "result": {"function.output": c.content},
}

#: `metadata` of its spans and traces, which a processor writes: what OTel's resource says.
AGENTS_METADATA: Fields = {**RESOURCE_FIELDS, "agent": {"gen_ai.agent.name": c.text}}

#: What Langfuse itself keeps of an observation, for those whose attributes do not say it.
LANGFUSE_FIELDS: Fields = {
    "kind": {"type": c.langfuse_type, "metadata.langgraph_node": c.always(Kind.STEP)},
    "provider": {"metadata.ls_provider": c.provider},
    "env": {"environment": c.text},
    "release": {"version": c.label},
    "model_requested": {"model": c.text},
    "input_tokens": {"usageDetails.input": c.count},
    "output_tokens": {"usageDetails.output": c.count},
    "total_tokens": {"usageDetails.total": c.count},
    "cost_nano": {"costDetails.total": c.usd},
    "prompt_name": {"promptName": c.text},
    "prompt_version": {"promptVersion": c.label},
    "arguments": {"input": c.content},
    "result": {"output": c.content},
}

EVENT_FIELDS: Fields = {
    "exception": {"exception.type": c.text},
    "score_name": {"gen_ai.evaluation.name": c.text},
    "score": {"gen_ai.evaluation.score.value": c.number},
}
EXCEPTION, EVALUATION = "exception", "gen_ai.evaluation.result"
FIRST_TOKEN = frozenset({"First Token Stream Event", "ai.stream.firstChunk"})

Table = Mapping[str, tuple[Target, ...]]
#: A field, how good the attribute is as a source of it, and the converted value.
Offer = tuple[str, int, Any]


def _by_attribute(fields: Fields) -> Table:
    table: dict[str, tuple[Target, ...]] = {}
    for field, sources in fields.items():
        for rank, (attribute, convert) in enumerate(sources.items()):
            table[attribute] = (*table.get(attribute, ()), Target(field, rank, convert))
    return table


#: Attributes that hold content: nothing may remember their values.
CONTENT = frozenset([*SPAN_FIELDS["arguments"], *SPAN_FIELDS["result"]])
SPAN_TABLE = _by_attribute(SPAN_FIELDS)
RESOURCE_TABLE = _by_attribute(RESOURCE_FIELDS)
EVENT_TABLE = _by_attribute(EVENT_FIELDS)
AGENTS_TABLE = _by_attribute(AGENTS_FIELDS)
AGENTS_METADATA_TABLE = _by_attribute(AGENTS_METADATA)
LANGFUSE_TABLE = _by_attribute(LANGFUSE_FIELDS)


def offers(attribute: str, raw: Any, table: Table) -> tuple[Offer, ...]:
    """What one attribute, named in the table, has to say of which fields.

    Raises RefusedError, with the attribute's name, for a number that cannot be.
    """
    made = []
    for field, rank, convert in table[attribute]:
        try:
            value = convert(raw)
        except RefusedError as error:
            raise RefusedError(error.reason, attribute) from None
        if value is not None:
            made.append((field, rank, value))
    return tuple(made)


def resolve(offered: Collection[Offer]) -> dict[str, Any]:
    """Canonical field -> value, each from its best attribute that was present and valid."""
    fields = {field: value for field, _, value in offered}
    if len(fields) == len(offered):  # nearly always: nothing was said twice
        return fields
    ranks: dict[str, int] = {}
    for field, rank, value in offered:
        if field not in ranks or rank < ranks[field]:
            fields[field] = value
            ranks[field] = rank
    return fields
