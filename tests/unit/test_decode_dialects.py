"""Spans as many frameworks and instrumentations write them, and what they say, typed by hand.

Each case is one span's attributes by its producer's own naming, and all that decode must find
in it; what is not expected must be null. Every one is read in both encodings of OTLP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pytest

from unit.decode_samples import END_NS, PARENT, START_NS, TRANSPORTS, Otlp, read

_SECOND = 1_000_000_000
#: Columns that every case is held to: those not expected are null.
_COLUMNS = (
    "agent", "workflow", "stage", "provider", "model", "model_requested", "tool", "prompt_name",
    "prompt_version", "error_class", "input_tokens", "output_tokens", "cache_read_tokens",
    "cache_write_tokens", "reasoning_tokens", "cost_nano", "ttft_ns", "finish_reason",
    "handoff_from", "handoff_to", "score_name", "score",
)  # fmt: skip


class Case(NamedTuple):
    """A span, and what it says."""

    name: str
    attributes: Mapping[str, Any]
    expected: Mapping[str, Any]
    failed: bool = False
    events: Sequence[tuple[str, int, Mapping[str, Any]]] = ()


RAISED = ("exception", END_NS, {"exception.type": "openai.APITimeoutError"})
CASES: dict[str, Case] = {
    # ---- OpenTelemetry, old and new -----------------------------------------------------
    "otel 1.28 openai": Case(
        "chat gpt-4o",
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai",
         "gen_ai.request.model": "gpt-4o", "gen_ai.response.model": "gpt-4o-2024-08-06",
         "gen_ai.response.finish_reasons": ["stop"], "gen_ai.usage.input_tokens": 100,
         "gen_ai.usage.output_tokens": 180, "server.address": "api.openai.com"},
        {"kind": "llm", "provider": "openai", "model": "gpt-4o-2024-08-06",
         "model_requested": "gpt-4o", "finish_reason": "stop", "input_tokens": 100,
         "output_tokens": 180}),
    "otel 1.41 anthropic": Case(
        "chat claude-sonnet-4-5",
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "anthropic",
         "gen_ai.request.model": "claude-sonnet-4-5", "gen_ai.usage.input_tokens": 1500,
         "gen_ai.usage.output_tokens": 90, "gen_ai.usage.cache_read.input_tokens": 1000,
         "gen_ai.usage.cache_creation.input_tokens": 300,
         "gen_ai.response.time_to_first_chunk": 0.4, "gen_ai.request.stream": True,
         "gen_ai.response.finish_reasons": ["end_turn"], "gen_ai.prompt.name": "greet",
         "gen_ai.prompt.version": "7"},
        {"kind": "llm", "provider": "anthropic", "model": "claude-sonnet-4-5",
         "model_requested": "claude-sonnet-4-5", "input_tokens": 1500, "output_tokens": 90,
         "cache_read_tokens": 1000, "cache_write_tokens": 300, "ttft_ns": 400_000_000,
         "finish_reason": "end_turn", "prompt_name": "greet", "prompt_version": "7"}),
    "otel, raw anthropic counts": Case(  # input without what was cached
        "chat claude-haiku-4-5",
        {"gen_ai.operation.name": "chat", "gen_ai.system": "anthropic",
         "gen_ai.request.model": "claude-haiku-4-5", "gen_ai.usage.input_tokens": 12,
         "gen_ai.usage.output_tokens": 5, "gen_ai.usage.cache_read_input_tokens": 4000,
         "gen_ai.usage.cache_creation_input_tokens": 200},
        {"kind": "llm", "provider": "anthropic", "model": "claude-haiku-4-5",
         "model_requested": "claude-haiku-4-5", "input_tokens": 4212, "output_tokens": 5,
         "cache_read_tokens": 4000, "cache_write_tokens": 200}),
    "otel bedrock, throttled": Case(
        "chat anthropic.claude-v2",
        {"gen_ai.operation.name": "chat", "gen_ai.system": "aws.bedrock",
         "gen_ai.request.model": "anthropic.claude-v2", "http.status_code": 429,
         "error.type": "ThrottlingException"},
        {"kind": "llm", "provider": "aws.bedrock", "model": "anthropic.claude-v2",
         "model_requested": "anthropic.claude-v2", "error": True,
         "error_class": "ThrottlingException"}, failed=True),
    "a failure known by its status alone": Case(
        "chat m",
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
         "http.response.status_code": 504},
        {"kind": "llm", "model": "m", "model_requested": "m", "error": True, "timeout": True,
         "error_class": "504"}, failed=True),
    "a failure after a good status": Case(
        "chat m",
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m",
         "http.response.status_code": 200},
        {"kind": "llm", "model": "m", "model_requested": "m", "error": True,
         "error_class": "_other"}, failed=True),
    "gemini, thoughts beside the output": Case(
        "generate_content gemini-2.5-flash",
        {"gen_ai.operation.name": "generate_content", "gen_ai.system": "gemini",
         "gen_ai.request.model": "gemini-2.5-flash", "gen_ai.usage.input_tokens": 50,
         "gen_ai.usage.output_tokens": 20, "gen_ai.usage.reasoning_tokens": 300,
         "gen_ai.usage.total_tokens": 370},
        {"kind": "llm", "provider": "gcp.gemini", "model": "gemini-2.5-flash",
         "model_requested": "gemini-2.5-flash", "input_tokens": 50, "output_tokens": 320,
         "reasoning_tokens": 300}),
    "mcp client": Case(
        "tools/call get_weather",
        {"mcp.method.name": "tools/call", "mcp.protocol.version": "2025-06-18",
         "jsonrpc.request.id": "4", "error.type": "tool_error"},
        {"kind": "tool", "tool": "get_weather", "error": True, "error_class": "tool_error"}),
    "otel openai-agents, agent unknown": Case(
        "execute_tool search",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.provider.name": "openai",
         "gen_ai.agent.name": "OpenAI Agent", "gen_ai.tool.name": "search"},
        {"kind": "tool", "provider": "openai", "tool": "search"}),
    "otel evaluation": Case(
        "chat m",
        {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
        {"kind": "llm", "model": "m", "model_requested": "m", "score_name": "relevance",
         "score": 0.8},
        events=[("gen_ai.evaluation.result", END_NS, {
            "gen_ai.evaluation.name": "relevance", "gen_ai.evaluation.score.value": 0.8,
            "gen_ai.evaluation.explanation": "MARK"})]),
    # ---- Traceloop ----------------------------------------------------------------------
    "traceloop anthropic, indexed": Case(
        "anthropic.chat",
        {"gen_ai.system": "Anthropic", "llm.request.type": "chat",
         "gen_ai.request.model": "claude-3-5-sonnet-latest",
         "gen_ai.response.model": "claude-3-5-sonnet-20241022",
         "gen_ai.usage.prompt_tokens": 1163, "gen_ai.usage.completion_tokens": 187,
         "llm.usage.total_tokens": 1350, "gen_ai.usage.cache_read_input_tokens": 1150,
         "gen_ai.usage.cache_creation_input_tokens": 0, "gen_ai.prompt.0.role": "user",
         "gen_ai.prompt.0.content": "MARK", "gen_ai.completion.0.content": "MARK",
         "gen_ai.completion.0.finish_reason": "end_turn"},
        {"kind": "llm", "provider": "anthropic", "model": "claude-3-5-sonnet-20241022",
         "model_requested": "claude-3-5-sonnet-latest", "input_tokens": 1163,
         "output_tokens": 187, "cache_read_tokens": 1150, "cache_write_tokens": 0,
         "finish_reason": "end_turn"}),
    "traceloop before gen_ai": Case(
        "openai.chat",
        {"llm.vendor": "OpenAI", "llm.request.type": "completion",
         "llm.request.model": "gpt-3.5-turbo", "llm.response.model": "gpt-3.5-turbo-0613",
         "llm.usage.prompt_tokens": 10, "llm.usage.completion_tokens": 4,
         "llm.usage.total_tokens": 14, "llm.prompts.0.content": "MARK"},
        {"kind": "llm", "provider": "openai", "model": "gpt-3.5-turbo-0613",
         "model_requested": "gpt-3.5-turbo", "input_tokens": 10, "output_tokens": 4}),
    "traceloop tool": Case(
        "get_weather.tool",
        {"traceloop.span.kind": "tool", "traceloop.entity.name": "get_weather",
         "traceloop.workflow.name": "chat", "traceloop.entity.input": "MARK"},
        {"kind": "tool", "tool": "get_weather", "workflow": "chat"}),
    "traceloop crewai agent": Case(
        "Researcher.agent",
        {"traceloop.span.kind": "agent", "crewai.agent.role": "Researcher",
         "gen_ai.system": "crewai"},
        {"kind": "agent", "agent": "Researcher"}),
    "traceloop langgraph node": Case(
        "execute_task billing",
        {"gen_ai.operation.name": "execute_task", "gen_ai.provider.name": "langgraph",
         "traceloop.span.kind": "task", "traceloop.entity.name": "billing",
         "traceloop.workflow.name": "support", "gen_ai.task.input": "MARK"},
        {"kind": "step", "stage": "billing", "workflow": "support"}),
    "traceloop langchain, model unknown": Case(
        "ChatOpenAI.chat",
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "langchain",
         "gen_ai.request.model": "unknown",
         "traceloop.association.properties.ls_model_name": "gpt-5-mini",
         "traceloop.association.properties.ls_provider": "openai",
         "traceloop.association.properties.langgraph_node": "billing",
         "gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 1},
        {"kind": "llm", "provider": "openai", "model": "gpt-5-mini",
         "model_requested": "gpt-5-mini", "stage": "billing", "input_tokens": 7,
         "output_tokens": 1}),
    # ---- OpenInference ------------------------------------------------------------------
    "openinference llm": Case(
        "ChatCompletion",
        {"openinference.span.kind": "LLM", "llm.model_name": "gpt-5-mini-2025-08-07",
         "llm.system": "openai", "llm.provider": "azure",
         "llm.invocation_parameters": '{"model": "gpt-5-mini", "user": "MARK"}',
         "llm.token_count.prompt": 120, "llm.token_count.completion": 30,
         "llm.token_count.total": 150, "llm.token_count.prompt_details.cache_read": 20,
         "llm.token_count.completion_details.reasoning": 10, "llm.cost.total": 0.002,
         "llm.finish_reason": "stop", "llm.prompt_template.version": "3", "prompt.id": "greet",
         "metadata": '{"langgraph_node": "plan", "user": "MARK"}'},
        {"kind": "llm", "provider": "azure.ai.openai", "model": "gpt-5-mini-2025-08-07",
         "model_requested": "gpt-5-mini", "input_tokens": 120, "output_tokens": 30,
         "cache_read_tokens": 20, "reasoning_tokens": 10, "cost_nano": 2_000_000,
         "finish_reason": "stop", "prompt_version": "3", "prompt_name": "greet",
         "stage": "plan"}),
    "openinference llm that failed": Case(
        "ChatCompletion",
        {"openinference.span.kind": "LLM", "llm.system": "openai",
         "llm.invocation_parameters": '{"model": "gpt-5-mini"}'},
        {"kind": "llm", "provider": "openai", "model": "gpt-5-mini",
         "model_requested": "gpt-5-mini", "error": True, "timeout": True,
         "error_class": "openai.APITimeoutError"}, failed=True, events=[RAISED]),
    "openinference llm that failed, no model": Case(
        "OpenAI.achat", {"openinference.span.kind": "LLM"},
        {"kind": "llm", "error": True, "error_class": "_other"}, failed=True),
    "openinference stream": Case(
        "ChatCompletion", {"openinference.span.kind": "LLM", "llm.model_name": "m"},
        {"kind": "llm", "model": "m", "model_requested": "m", "ttft_ns": 3_000_000},
        events=[("First Token Stream Event", START_NS + 3_000_000, {})]),
    "openinference embedding": Case(
        "CreateEmbeddings",
        {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "text-embedding-3-small",
         "llm.system": "openai", "llm.token_count.prompt": 7, "llm.token_count.total": 7,
         "embedding.embeddings.0.embedding.text": "MARK"},
        {"kind": "embedding", "provider": "openai", "model": "text-embedding-3-small",
         "model_requested": "text-embedding-3-small", "input_tokens": 7}),
    "openinference retriever": Case(
        "VectorIndexRetriever.retrieve",
        {"openinference.span.kind": "RETRIEVER", "input.value": "MARK"}, {"kind": "retrieval"}),
    "openinference reranker": Case(
        "LLMRerank.postprocess_nodes",
        {"openinference.span.kind": "RERANKER", "reranker.model_name": "rerank-v3",
         "reranker.top_k": 3, "reranker.query": "MARK"},
        {"kind": "rerank", "model": "rerank-v3", "model_requested": "rerank-v3"}),
    "openinference guardrail": Case(
        "ToxicLanguage", {"openinference.span.kind": "GUARDRAIL"}, {"kind": "guardrail"}),
    "openinference evaluator": Case(
        "judge",
        {"openinference.span.kind": "EVALUATOR", "evaluations.0.evaluation.name": "toxicity",
         "evaluations.0.evaluation.score": 0.1, "evaluations.0.evaluation.explanation": "MARK"},
        {"kind": "evaluator", "score_name": "toxicity", "score": 0.1}),
    "openinference smolagents": Case(
        "weather_agent.run",
        {"openinference.span.kind": "AGENT", "llm.token_count.prompt": 240,
         "llm.token_count.completion": 60, "input.value": "MARK"},
        {"kind": "agent", "agent": "weather_agent"}),
    "openinference crewai": Case(
        "Senior Researcher._execute_core",
        {"openinference.span.kind": "AGENT", "task_key": "k"},
        {"kind": "agent", "agent": "Senior Researcher"}),
    "openinference agno": Case(
        "Triage.arun",
        {"openinference.span.kind": "AGENT", "graph.node.name": "Triage", "session.id": "s"},
        {"kind": "agent", "agent": "Triage"}),
    "openinference tool, no name": Case(
        "get_weather", {"openinference.span.kind": "TOOL"},
        {"kind": "tool", "tool": "get_weather"}),
    "openinference dspy, the run": Case(
        "ReAct.forward", {"openinference.span.kind": "CHAIN"}, {"kind": "workflow"}),
    # ---- Vercel AI SDK ------------------------------------------------------------------
    "vercel 4 stream": Case(
        "ai.streamText.doStream",
        {"operation.name": "ai.streamText.doStream my-fn",
         "ai.operationId": "ai.streamText.doStream", "ai.model.id": "gpt-4o",
         "ai.model.provider": "openai.chat", "ai.telemetry.functionId": "my-fn",
         "ai.response.msToFirstChunk": 120.5, "ai.response.finishReason": "stop",
         "ai.response.model": "gpt-4o-2024-08-06", "ai.usage.promptTokens": 40,
         "ai.usage.completionTokens": 8, "gen_ai.system": "openai.chat",
         "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 40,
         "gen_ai.usage.output_tokens": 8, "ai.prompt.messages": "MARK"},
        {"kind": "llm", "provider": "openai", "model": "gpt-4o-2024-08-06",
         "model_requested": "gpt-4o", "agent": "my-fn", "ttft_ns": 120_500_000,
         "finish_reason": "stop", "input_tokens": 40, "output_tokens": 8}),
    "vercel 6 details": Case(
        "ai.generateText.doGenerate",
        {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "claude-sonnet-4-5",
         "ai.model.provider": "anthropic.messages", "ai.usage.inputTokens": 1000,
         "ai.usage.outputTokens": 70, "ai.usage.totalTokens": 1070,
         "ai.usage.inputTokenDetails.cacheReadTokens": 600,
         "ai.usage.inputTokenDetails.cacheWriteTokens": 100,
         "ai.usage.outputTokenDetails.reasoningTokens": 30},
        {"kind": "llm", "provider": "anthropic", "model": "claude-sonnet-4-5",
         "model_requested": "claude-sonnet-4-5", "input_tokens": 1000, "output_tokens": 70,
         "cache_read_tokens": 600, "cache_write_tokens": 100, "reasoning_tokens": 30}),
    "vercel 7 agent": Case(
        "invoke_agent gpt-5",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.request.model": "gpt-5",
         "gen_ai.provider.name": "openai", "gen_ai.usage.input_tokens": 500,
         "gen_ai.usage.output_tokens": 50},
        {"kind": "agent", "provider": "openai", "model": "gpt-5", "model_requested": "gpt-5"}),
    # ---- Sentry -------------------------------------------------------------------------
    "sentry": Case(
        "chat gpt-4o",
        {"sentry.op": "gen_ai.chat", "gen_ai.request.model": "gpt-4o",
         "gen_ai.response.finish_reasons": '["stop"]', "gen_ai.usage.input_tokens": 100.0,
         "gen_ai.usage.output_tokens": 20.0, "gen_ai.usage.input_tokens.cached": 30.0,
         "gen_ai.usage.output_tokens.reasoning": 5.0, "gen_ai.cost.total_tokens": 0.001,
         "gen_ai.response.time_to_first_token": 0.25, "gen_ai.pipeline.name": "chat",
         "gen_ai.request.messages": "MARK"},
        {"kind": "llm", "model": "gpt-4o", "model_requested": "gpt-4o", "workflow": "chat",
         "finish_reason": "stop", "input_tokens": 100, "output_tokens": 20,
         "cache_read_tokens": 30, "reasoning_tokens": 5, "cost_nano": 1_000_000,
         "ttft_ns": 250_000_000}),
    "sentry before gen_ai": Case(
        "Chat Completion",
        {"sentry.op": "ai.chat_completions.create.openai", "ai.model_id": "gpt-3.5-turbo",
         "ai.prompt_tokens.used": 10, "ai.completion_tokens.used": 4, "ai.total_tokens.used": 14,
         "ai.total_cost": 0.01, "ai.finish_reason": "stop", "ai.input_messages": "MARK"},
        {"kind": "llm", "model": "gpt-3.5-turbo", "model_requested": "gpt-3.5-turbo",
         "input_tokens": 10, "output_tokens": 4, "cost_nano": 10_000_000,
         "finish_reason": "stop"}),
    "sentry tool before gen_ai": Case(
        "search", {"sentry.op": "ai.tool.langchain"}, {"kind": "tool", "tool": "search"}),
    # ---- others -------------------------------------------------------------------------
    "langsmith llm": Case(
        "ChatOpenAI",
        {"langsmith.span.kind": "llm", "gen_ai.operation.name": "chat",
         "gen_ai.system": "langchain", "langsmith.metadata.ls_provider": "openai",
         "langsmith.metadata.ls_model_name": "gpt-4o", "langsmith.metadata.user": "MARK",
         "gen_ai.usage.input_tokens": 9, "gen_ai.usage.output_tokens": 2,
         "gen_ai.usage.total_tokens": 11, "langsmith.metadata.langgraph_node": "agent"},
        {"kind": "llm", "provider": "openai", "model": "gpt-4o", "model_requested": "gpt-4o",
         "input_tokens": 9, "output_tokens": 2, "stage": "agent"}),
    "langsmith retriever": Case(  # whose operation says otherwise
        "VectorStoreRetriever",
        {"langsmith.span.kind": "retriever", "gen_ai.operation.name": "embeddings"},
        {"kind": "retrieval"}),
    "langsmith prompt": Case(
        "ChatPromptTemplate",
        {"langsmith.span.kind": "prompt", "gen_ai.operation.name": "chat",
         "gen_ai.system": "langchain"}, {"kind": "step"}),
    "langsmith tool": Case(
        "get_weather",
        {"langsmith.span.kind": "tool", "gen_ai.operation.name": "execute_tool"},
        {"kind": "tool", "tool": "get_weather"}),
    "google adk before operations": Case(
        "call_llm",
        {"gen_ai.system": "gcp.vertex.agent", "gen_ai.request.model": "gemini-2.0-flash",
         "gcp.vertex.agent.llm_request": "MARK"},
        {"kind": "llm", "model": "gemini-2.0-flash", "model_requested": "gemini-2.0-flash",
         "error": True, "error_class": "_other"}, failed=True),
    "google adk agent before operations": Case(
        "agent_run [planner]", {"gen_ai.system": "gcp.vertex.agent"},
        {"kind": "agent", "agent": "planner"}),
    "strands": Case(  # milliseconds where OTel has seconds
        "chat",
        {"gen_ai.operation.name": "chat", "gen_ai.system": "strands-agents",
         "gen_ai.request.model": "us.anthropic.claude-sonnet-4",
         "gen_ai.usage.input_tokens": 30, "gen_ai.usage.output_tokens": 6,
         "gen_ai.usage.prompt_tokens": 30, "gen_ai.usage.completion_tokens": 6,
         "gen_ai.usage.total_tokens": 36, "gen_ai.usage.cache_read_input_tokens": 0,
         "gen_ai.usage.cache_write_input_tokens": 10, "gen_ai.server.time_to_first_token": 850},
        {"kind": "llm", "model": "us.anthropic.claude-sonnet-4",
         "model_requested": "us.anthropic.claude-sonnet-4", "input_tokens": 30,
         "output_tokens": 6, "cache_read_tokens": 0, "cache_write_tokens": 10,
         "ttft_ns": 850_000_000}),
    "semantic kernel 1.x": Case(
        "chat.completions gpt-4o",
        {"gen_ai.operation.name": "chat.completions", "gen_ai.system": "openai",
         "gen_ai.request.model": "gpt-4o", "gen_ai.response.prompt_tokens": 16,
         "gen_ai.response.completion_tokens": 29, "gen_ai.response.finish_reason": "stop"},
        {"kind": "llm", "provider": "openai", "model": "gpt-4o", "model_requested": "gpt-4o",
         "input_tokens": 16, "output_tokens": 29, "finish_reason": "stop"}),
    "microsoft agent framework": Case(
        "invoke_agent Triage",
        {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "Triage",
         "gen_ai.provider.name": "microsoft.agent_framework", "gen_ai.agent.id": "x"},
        {"kind": "agent", "agent": "Triage"}),
    "autogen tool": Case(
        "execute_tool search",
        {"gen_ai.operation.name": "execute_tool", "gen_ai.system": "autogen",
         "gen_ai.tool.name": "search"}, {"kind": "tool", "tool": "search"}),
    "spring ai": Case(  # numbers as text
        "chat gpt-4o",
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai",
         "gen_ai.request.model": "gpt-4o", "gen_ai.response.finish_reasons": '["STOP"]',
         "gen_ai.usage.input_tokens": "12", "gen_ai.usage.output_tokens": "3",
         "gen_ai.usage.total_tokens": "15"},
        {"kind": "llm", "provider": "openai", "model": "gpt-4o", "model_requested": "gpt-4o",
         "finish_reason": "STOP", "input_tokens": 12, "output_tokens": 3}),
    "spring ai client": Case(
        "spring_ai chat_client", {"gen_ai.operation.name": "framework",
                                  "gen_ai.system": "spring_ai"}, {"kind": "step"}),
    "spring ai tool": Case(
        "tool_call get_weather", {"spring.ai.tool.definition.name": "get_weather"},
        {"kind": "tool", "tool": "get_weather"}),
    "litellm": Case(
        "litellm_request",
        {"llm.request.type": "acompletion", "gen_ai.system": "mistral",
         "gen_ai.request.model": "mistral-small", "gen_ai.usage.prompt_tokens": 20,
         "gen_ai.usage.completion_tokens": 5, "gen_ai.usage.total_tokens": 25,
         "gen_ai.cost.total_cost": 0.0001, "metadata.user_api_key": "MARK"},
        {"kind": "llm", "provider": "mistral_ai", "model": "mistral-small",
         "model_requested": "mistral-small", "input_tokens": 20, "output_tokens": 5,
         "cost_nano": 100_000}),
    "openlit": Case(
        "chat gpt-4o",
        {"gen_ai.operation.name": "chat", "gen_ai.system": "openai",
         "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 8,
         "gen_ai.usage.output_tokens": 2, "gen_ai.usage.cost": 0.00004,
         "gen_ai.server.time_to_first_token": 0.31},
        {"kind": "llm", "provider": "openai", "model": "gpt-4o", "model_requested": "gpt-4o",
         "input_tokens": 8, "output_tokens": 2, "cost_nano": 40_000, "ttft_ns": 310_000_000}),
    "pydantic-ai 1": Case(
        "chat gpt-4o",
        {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
         "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 300,
         "gen_ai.usage.output_tokens": 80, "gen_ai.usage.details.reasoning_tokens": 64,
         "gen_ai.usage.details.cache_read_tokens": 128, "operation.cost": 0.005,
         "gen_ai.agent.name": "joker", "pydantic_ai.all_messages": "MARK"},
        {"kind": "llm", "provider": "openai", "model": "gpt-4o", "model_requested": "gpt-4o",
         "agent": "joker", "input_tokens": 300, "output_tokens": 80, "reasoning_tokens": 64,
         "cache_read_tokens": 128, "cost_nano": 5_000_000}),
    "langfuse sdk": Case(  # which splits what was cached off the input
        "answer",
        {"langfuse.observation.type": "generation",
         "langfuse.observation.model.name": "claude-sonnet-4-5",
         "langfuse.observation.usage_details": json.dumps(
             {"input": 100, "output": 20, "cache_read_input_tokens": 60, "total": 180}),
         "langfuse.observation.cost_details": '{"input": 0.01, "total": 0.02}',
         "langfuse.observation.completion_start_time": '"2025-10-09T08:53:18.250000Z"',
         "langfuse.observation.prompt.name": "greet", "langfuse.observation.prompt.version": 4,
         "langfuse.observation.input": "MARK", "langfuse.observation.output": "MARK",
         "langfuse.observation.level": "ERROR"},
        {"kind": "llm", "model": "claude-sonnet-4-5", "model_requested": "claude-sonnet-4-5",
         "input_tokens": 160, "output_tokens": 20, "cache_read_tokens": 60,
         "cost_nano": 20_000_000, "ttft_ns": 250_000_000, "prompt_name": "greet",
         "prompt_version": "4", "error": True, "error_class": "_other"}),
    "langfuse tool": Case(
        "get_weather",
        {"langfuse.observation.type": "tool", "langfuse.observation.input": '{"q": "MARK"}'},
        {"kind": "tool", "tool": "get_weather"}),
    "haystack": Case(  # content tags alone: nothing to measure
        "haystack.component.run",
        {"haystack.component.name": "llm", "haystack.component.type": "OpenAIGenerator",
         "haystack.component.output": "MARK"}, {"kind": "other"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_span_says_what_its_producer_meant(transport: str, case: str) -> None:
    name, attributes, expected, failed, events = CASES[case]
    span = Otlp(attributes, name=name, status=2 if failed else 0, events=events)
    (row,) = read(transport, span)
    wanted = dict.fromkeys(_COLUMNS) | {"error": False, "timeout": False} | dict(expected)
    assert {column: row[column] for column in wanted} == wanted
    assert "MARK" not in repr(row)


def test_the_spans_start_where_the_langfuse_case_says() -> None:
    assert START_NS == 1_759_999_998 * _SECOND  # 2025-10-09T08:53:18Z


CALLBACK = {
    "input_str": "{'city': 'Oslo'}", "tags": [], "inputs": {"city": "Oslo"},
    "metadata": {"langgraph_step": 2, "langgraph_checkpoint_ns": "billing:1"},
}  # fmt: skip
MESSAGE = {"content": "sunny", "type": "tool", "tool_call_id": "call_1"}
ENDED = {
    "output": {"lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": MESSAGE},
    "kwargs": {"tags": ["seq:step:2"]},
}  # fmt: skip


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_callback_around_a_tool_call_does_not_make_it_another(transport: str) -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_weather"}
    later = json.loads(json.dumps(CALLBACK).replace("billing:1", "billing:2").replace("2", "3"))
    written = [
        (json.dumps(CALLBACK), json.dumps(ENDED)),
        (json.dumps(later), json.dumps(ENDED).replace("call_1", "call_9")),
        ('{"city": "Oslo"}', "sunny"),
    ]
    rows = read(transport, *(
        Otlp(tool | {"gen_ai.tool.call.arguments": given, "gen_ai.tool.call.result": got},
             span_id=f"{i + 1:016x}")
        for i, (given, got) in enumerate(written)
    ))  # fmt: skip
    assert len({(row["args_hash"], row["result_hash"]) for row in rows}) == 1
    other = {"input_str": "{'city': 'Rome'}", "inputs": {"city": "Rome"}}
    (row,) = read(transport, Otlp(tool | {"gen_ai.tool.call.arguments": json.dumps(other)}))
    assert row["args_hash"] != rows[0]["args_hash"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_run_that_is_written_twice_counts_once(transport: str) -> None:
    run = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "support"}
    outer, inner = Otlp(run, span_id=PARENT), Otlp(run, parent_id=PARENT)
    assert [row["kind"] for row in read(transport, outer, inner)] == ["agent", "step"]
    other = Otlp(run | {"gen_ai.agent.name": "billing"}, parent_id=PARENT)
    assert [row["kind"] for row in read(transport, outer, other)] == ["agent", "agent"]
