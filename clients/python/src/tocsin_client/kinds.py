"""The closed lists of the contracts: kinds of spans and of changes."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What a span is. `step` is any other unit of work inside a run."""

    LLM = "llm"
    EMBEDDING = "embedding"
    RERANK = "rerank"
    TOOL = "tool"
    AGENT = "agent"
    WORKFLOW = "workflow"
    RETRIEVAL = "retrieval"
    GUARDRAIL = "guardrail"
    EVALUATOR = "evaluator"
    HANDOFF = "handoff"
    MEMORY = "memory"
    STEP = "step"
    OTHER = "other"


class ChangeKind(StrEnum):
    """What somebody changed about a running service."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    FLAG = "flag"
    PROMPT = "prompt"
    CONFIG = "config"
    ROUTING = "routing"
