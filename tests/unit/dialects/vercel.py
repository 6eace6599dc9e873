"""The Vercel AI SDK."""

from __future__ import annotations

from unit.dialects.case import Case

CASES: dict[str, Case] = {
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
}  # fmt: skip
