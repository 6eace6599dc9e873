"""The table of a span's attributes: canonical field <- attribute names, best first.

The only place to extend for a new dialect. Sources: OpenTelemetry GenAI and MCP semantic
conventions with their deprecated names, OpenInference, Vercel AI SDK 4 to 7, Sentry, Traceloop,
LangSmith, Langfuse, pydantic-ai, any-agent, Google ADK, Strands, Semantic Kernel, Spring AI,
LiteLLM, OpenLIT.
"""

from collections.abc import Mapping

from tocsin.flow.decode import convert as c
from tocsin.types import Kind

Fields = Mapping[str, Mapping[str, c.Convert]]

_LANGFUSE_USAGE = "langfuse.observation.usage_details"
_LANGSMITH_USAGE = "langsmith.metadata.usage_metadata"
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
        # LangSmith writes `embeddings` for a retriever there, and `chat` for a prompt.
        "langsmith.span.kind": c.operation,
        "gen_ai.operation.name": c.operation,
        "gen_ai.operation.type": c.sentry_type,
        "sentry.op": c.operation,
        "ai.operationId": c.vercel_kind,
        "operation.name": c.vercel_kind,
        "traceloop.span.kind": c.task_kind,
        "llm.request.type": c.operation,
        "langfuse.observation.type": c.langfuse_type,
        "mcp.method.name": c.mcp_method,
        "gen_ai.tool.name": c.always(Kind.TOOL),
        "gen_ai.tool.call.id": c.always(Kind.TOOL),
        "spring.ai.tool.definition.name": c.always(Kind.TOOL),
        # pydantic-ai before 1.0 gives its agent spans no operation.
        "agent_name": c.always(Kind.AGENT),
    },
    # A model call even if it failed before it could say of which model.
    "is_call": {"openinference.span.kind": c.present, "llm.request.type": c.present},
    # At the root of a trace it is the whole run.
    "is_chain": dict.fromkeys(
        ("openinference.span.kind", "langsmith.span.kind", "langfuse.observation.type"), c.is_chain
    ),
    "agent": dict.fromkeys(
        (
            "gen_ai.agent.name",
            "agent.name",
            "agent_name",
            "graph.node.name",
            "graph.node.id",
            "ai.telemetry.functionId",
            "gen_ai.function_id",
            "crewai.agent.role",
        ),
        c.agent,
    ),
    "workflow": dict.fromkeys(
        ("gen_ai.workflow.name", "traceloop.workflow.name", "gen_ai.pipeline.name"), c.text
    ),
    "route": dict.fromkeys(("tocsin.route", "http.route"), c.text),
    "service_else": {"langsmith.trace.session_name": c.text},
    # Langfuse's SDK writes on each span what others write on the resource.
    "env": {"langfuse.environment": c.text},
    "release": {"langfuse.release": c.label},
    "is_langfuse": {"langfuse.observation.type": c.present},
    "stage": {
        "tocsin.stage": c.text,
        "langgraph.node": c.text,
        "langgraph_node": c.text,
        "traceloop.association.properties.langgraph_node": c.text,
        "langsmith.metadata.langgraph_node": c.text,
        "metadata": c.member("langgraph_node"),
    },
    "entity": {"traceloop.entity.name": c.text},
    "provider": {
        "gen_ai.provider.name": c.provider,
        "gen_ai.system": c.provider,
        "llm.provider": c.provider,
        "llm.system": c.provider,
        "ai.model.provider": c.vercel_provider,
        "llm.vendor": c.provider,
        "langsmith.metadata.ls_provider": c.provider,
        "traceloop.association.properties.ls_provider": c.provider,
    },
    "model_requested": dict.fromkeys(
        (
            "gen_ai.request.model",
            "llm.request.model_name",
            "llm.request.model",
            "ai.model.id",
            "embedding.model_name",
            "reranker.model_name",
            "ai.model_id",
            "traceloop.association.properties.ls_model_name",
            "langsmith.metadata.ls_model_name",
            "langfuse.observation.model.name",
        ),
        c.model,
    )
    | dict.fromkeys(
        ("llm.invocation_parameters", "embedding.invocation_parameters"),
        c.member("model", "model_name", "model_id"),
    )
    | {"llm.model_name": c.model},
    "model": dict.fromkeys(
        (
            "gen_ai.response.model",
            "llm.response.model_name",
            "llm.response.model",
            "ai.response.model",
            "llm.model_name",
        ),
        c.model,
    ),
    "tool": dict.fromkeys(
        (
            "gen_ai.tool.name",
            "tool.name",
            "ai.toolCall.name",
            "mcp.tool.name",
            "spring.ai.tool.definition.name",
            "ai.function_call",
        ),
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
            "llm.usage.prompt_tokens",
            "gen_ai.response.prompt_tokens",
        ),
        c.count,
    )
    | {_LANGFUSE_USAGE: c.counted("input", "input_tokens", "prompt_tokens")},
    "output_tokens": dict.fromkeys(
        (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "llm.token_count.completion",
            "ai.usage.outputTokens",
            "ai.usage.completionTokens",
            "ai.completion_tokens.used",
            "llm.usage.completion_tokens",
            "gen_ai.response.completion_tokens",
        ),
        c.count,
    )
    | {_LANGFUSE_USAGE: c.counted("output", "output_tokens", "completion_tokens")},
    "total_tokens": dict.fromkeys(
        (
            "gen_ai.usage.total_tokens",
            "llm.usage.total_tokens",
            "llm.token_count.total",
            "ai.usage.totalTokens",
            "ai.total_tokens.used",
            "gen_ai.response.total_tokens",
        ),
        c.count,
    )
    | {_LANGFUSE_USAGE: c.counted("total", "total_tokens")},
    "cache_read_tokens": dict.fromkeys(
        (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.input_tokens.cached",
            "gen_ai.usage.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_read",
            "ai.usage.inputTokenDetails.cacheReadTokens",
            "ai.usage.cachedInputTokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.cached_input_tokens",
            "gen_ai.usage.details.cache_read_tokens",
            "gen_ai.usage.details.cached_tokens",
            "gen_ai.usage.details.cache_read_input_tokens",
            "llm.token_count.prompt_details.cache_input",
        ),
        c.count,
    )
    | {
        _LANGFUSE_USAGE: c.counted(
            "input_cached_tokens", "cache_read_input_tokens", "input_cache_read"
        ),
        _LANGSMITH_USAGE: c.counted("input_token_details.cache_read"),
    },
    "cache_write_tokens": dict.fromkeys(
        (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.input_tokens.cache_write",
            "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
            "ai.usage.inputTokenDetails.cacheWriteTokens",
            "gen_ai.usage.cache_write_input_tokens",
            "gen_ai.usage.details.cache_write_tokens",
            "gen_ai.usage.details.cache_creation_input_tokens",
        ),
        c.count,
    )
    | {
        _LANGFUSE_USAGE: c.counted("cache_creation_input_tokens", "input_cache_creation"),
        _LANGSMITH_USAGE: c.counted("input_token_details.cache_creation"),
    },
    "reasoning_tokens": dict.fromkeys(
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.reasoning_tokens",
            "llm.token_count.completion_details.reasoning",
            "ai.usage.outputTokenDetails.reasoningTokens",
            "ai.usage.reasoningTokens",
            "gen_ai.usage.details.reasoning_tokens",
            "gen_ai.usage.reasoning_output_tokens",
        ),
        c.count,
    )
    | {
        _LANGFUSE_USAGE: c.counted("output_reasoning_tokens", "output_reasoning"),
        _LANGSMITH_USAGE: c.counted("output_token_details.reasoning"),
    },
    "cost_nano": dict.fromkeys(
        (
            "gen_ai.cost.total_tokens",
            "llm.cost.total",
            "gen_ai.usage.cost",
            "gen_ai.usage.total_cost",
            "gen_ai.cost.total_cost",
            "operation.cost",
            "ai.total_cost",
        ),
        c.usd,
    )
    | {"langfuse.observation.cost_details": c.paid("total")},
    "cost_in": {"gen_ai.usage.input_cost": c.usd},
    "cost_out": {"gen_ai.usage.output_cost": c.usd},
    # Units are the trap here: seconds by OTel, milliseconds by Vercel and OpenInference.
    "ttft_seconds": dict.fromkeys(
        (
            "gen_ai.response.time_to_first_chunk",
            "gen_ai.response.time_to_first_token",
            "gen_ai.client.operation.time_to_first_chunk",
            "gen_ai.server.time_to_first_token",
        ),
        c.seconds,
    ),
    "ttft_ns": dict.fromkeys(
        ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk", "time_to_first_token_ms"),
        c.millis,
    ),
    "first_token_ns": {"langfuse.observation.completion_start_time": c.moment},
    "finish_reason": dict.fromkeys(
        (
            "gen_ai.response.finish_reasons",
            "gen_ai.response.finish_reason",
            "llm.finish_reason",
            "ai.response.finishReason",
            "gen_ai.response.stop_reason",
            "ai.finish_reason",
            "gen_ai.completion.0.finish_reason",
        ),
        c.finish_reason,
    ),
    "prompt_name": dict.fromkeys(
        (
            "gen_ai.prompt.name",
            "langfuse.observation.prompt.name",
            "langfuse.prompt.name",
            "traceloop.prompt.key",
            "prompt.id",
        ),
        c.text,
    ),
    "prompt_version": dict.fromkeys(
        (
            "gen_ai.prompt.version",
            "langfuse.observation.prompt.version",
            "langfuse.prompt.version",
            "traceloop.prompt.version",
            "llm.prompt_template.version",
        ),
        c.label,
    ),
    "error_type": {"error.type": c.label},
    "rpc_status": {
        "rpc.response.status_code": c.label,
        "http.response.status_code": c.http_error,
        "http.status_code": c.http_error,
    },
    "is_error": {
        "mcp.tool.result.is_error": c.flag,
        "error": c.flag,
        "langfuse.observation.level": c.is_error_level,
    },
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
            "langfuse.observation.input",
            "gen_ai.prompt",  # LangSmith
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
            "langfuse.observation.output",
            "gen_ai.completion",
            "output.value",
        ),
        c.content,
    ),
}
