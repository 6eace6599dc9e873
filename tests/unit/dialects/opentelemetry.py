"""OpenTelemetry, old and new."""

from __future__ import annotations

from unit.decode_samples import END_NS
from unit.dialects.case import Case

CASES: dict[str, Case] = {
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
}  # fmt: skip
