"""Those with a case or a few each, from LangSmith to Haystack."""

from __future__ import annotations

import json

from unit.dialects.case import Case

CASES: dict[str, Case] = {
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
