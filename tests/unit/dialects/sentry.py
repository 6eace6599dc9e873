"""Sentry."""

from __future__ import annotations

from unit.dialects.case import Case

CASES: dict[str, Case] = {
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
}  # fmt: skip
