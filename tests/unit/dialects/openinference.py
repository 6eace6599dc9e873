"""OpenInference."""

from __future__ import annotations

from unit.decode_samples import START_NS
from unit.dialects.case import RAISED, Case

CASES: dict[str, Case] = {
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
}  # fmt: skip
