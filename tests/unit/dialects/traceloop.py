"""Traceloop."""

from __future__ import annotations

from unit.dialects.case import Case

CASES: dict[str, Case] = {
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
}  # fmt: skip
