"""The last step of every format: columns as read -> clean SPAN_SCHEMA columns and rejects.

All rules that hold whatever the wire format live here, once, on whole columns.
"""

from collections.abc import Mapping

import polars as pl

from tocsin.flow.decode.instant import FIRST_NS, LAST_NS
from tocsin.flow.decode.limits import Limits
from tocsin.flow.decode.redact import redact
from tocsin.flow.decode.span_v1 import MAX_TOKENS
from tocsin.types import MODEL_CALL_KINDS, SPAN_SCHEMA, Kind, Reason, Reject

#: What a format gives: SPAN_SCHEMA with `kind` and `provider` as the producer spelt them,
#: and the position of the span in its message (null if the message is the span).
RAW_SCHEMA: Mapping[str, pl.DataType] = {**SPAN_SCHEMA, "item": pl.UInt32()}

#: Kinds, and the operation names that mean them (formats: OTel GenAI and its dialects).
KINDS: Mapping[str, str] = {kind.value: kind.value for kind in Kind} | {
    alias: kind.value
    for kind, aliases in {
        Kind.LLM: "chat generate_content text_completion completion generate responses "
        "call_llm llm_request acompletion chat.completions chat.streaming_completions "
        "text.completions text.streaming_completions",
        Kind.EMBEDDING: "embeddings aembedding",
        Kind.RERANK: "reranker",
        Kind.TOOL: "execute_tool",
        Kind.AGENT: "invoke_agent create_agent",
        Kind.HANDOFF: "agent_handoff",
        Kind.WORKFLOW: "invoke_workflow handle_conversation_turn",
        # `execute_task` is a node of LangGraph, as Traceloop exports it.
        Kind.STEP: "agent_step plan goto chain task prompt execute_task framework",
        Kind.RETRIEVAL: "retriever",
        Kind.MEMORY: "search_memory create_memory update_memory upsert_memory delete_memory "
        "create_memory_store delete_memory_store",
    }.items()
    for alias in aliases.split()
}

#: Old and informal provider names to OTel's; null for frameworks, which serve no model.
PROVIDERS: Mapping[str, str | None] = {
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "az.ai.inference": "azure.ai.inference",
    "az.ai.openai": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "xai": "x_ai",
    "mistralai": "mistral_ai",
    "mistral": "mistral_ai",
    "bedrock": "aws.bedrock",
    "moonshot": "moonshot_ai",
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "google": "gcp.gen_ai",
    "google_genai": "gcp.gen_ai",
    "google_vertexai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
} | dict.fromkeys(
    "ag2 agno autogen crewai dspy gcp.vertex.agent google_adk haystack langchain langgraph "  # noqa: SIM905
    "langsmith litellm llama_index llamaindex logfire mastra microsoft.agent_framework "
    "openai-agents openai_agents pydantic-ai pydantic_ai semantic-kernel semantic_kernel "
    "smolagents spring_ai strands strands-agents tinyagent unknown vercel".split()
)

_TEXT = [name for name, dtype in SPAN_SCHEMA.items() if dtype == pl.String()]
_IDS = ("trace_id", "span_id")
_NAMES = pl.col([name for name in _TEXT if name not in _IDS])
_TOKENS = [name for name in SPAN_SCHEMA if name.endswith("_tokens")]
_CONTROL = r"[\x00-\x1f\x7f-\x9f]"
#: `transfer_to_billing`, `transfer_back_to_supervisor`, `handoff_to_x`: LangGraph, AutoGen,
#: OpenAI Agents; Semantic Kernel puts its plugin's name before it.
TRANSFER = r"^(?:Handoff-)?(?:transfer_(?:back_)?to_|handoff_to_)(.+)$"
#: Tools of Google ADK, Strands, CrewAI and Agno, which name the target in an argument.
TRANSFER_UNNAMED = (
    r"(?i)^(?:(?:transfer|handoff)_to_agent|(?:delegate|transfer)_task_to_member|"
    r"(?:delegate[ _]work|ask[ _]question)[ _]to[ _]co[-_ ]?worker)$"
)
_TIMEOUT = r"(?i)time[d_. -]*out|deadline|^(?:408|504)$"
#: The class of an error that has none: OTel's fallback, in our spelling.
_NO_CLASS = "_other"

_CALL_KINDS = [kind.value for kind in MODEL_CALL_KINDS]
_Check = tuple[pl.Expr, Reason, str]


def canonical(raw: pl.DataFrame, limits: Limits, key: bytes) -> tuple[pl.DataFrame, list[Reject]]:
    """Spans in SPAN_SCHEMA, in the order given, and a reject for each that breaks a rule.

    `key` is the HMAC key of what stands in for trace ids that hold content.
    """
    clean, is_long = _clean(raw, limits)
    spans, rejects = _refuse(clean, _checks(clean, limits))
    spans = redact(_derive(spans).select(tuple(SPAN_SCHEMA)), key)
    if is_long:  # cut last: half an address is an address, too
        spans = spans.with_columns(_NAMES.str.slice(0, limits.max_string))
    return spans, rejects


def _clean(raw: pl.DataFrame, limits: Limits) -> tuple[pl.DataFrame, bool]:
    """Names without control characters, null rather than empty; and whether any is too long.

    Nearly every batch is clean already, which costs a third of cleaning it to find out.
    """
    text = pl.col([name for name in _TEXT if raw[name].null_count() < raw.height] or _TEXT)
    dirty = raw.select(
        pl.any_horizontal(text.str.contains(_CONTROL).any()).alias("control"),
        pl.max_horizontal(text.str.len_bytes().max()).alias("longest"),
        pl.min_horizontal(text.str.len_bytes().min()).alias("shortest"),
    ).row(0, named=True)
    if dirty["control"]:
        raw = raw.with_columns(text.str.replace_all(_CONTROL, ""))
    is_long = (dirty["longest"] or 0) > limits.max_string
    if is_long:  # what follows need not look at megabytes
        raw = raw.with_columns(_NAMES.str.slice(0, 2 * limits.max_string))
    if dirty["control"] or dirty["shortest"] == 0:
        raw = raw.with_columns(pl.when(text != "").then(text).name.keep())
    return raw, is_long


def _checks(raw: pl.DataFrame, limits: Limits) -> list[_Check]:
    """What makes a span unusable; the first that holds is the reason given."""
    end, start = pl.col("end_ns"), pl.col("start_ns")
    checks: list[_Check] = [
        (pl.col(name).is_null(), Reason.MISSING_FIELD, name) for name in (*_IDS, "service", "kind")
    ]
    checks += [
        (pl.col(name).str.len_chars() > limits.max_string, Reason.BAD_VALUE, name) for name in _IDS
    ]
    checks += [
        (~end.is_between(FIRST_NS, LAST_NS), Reason.BAD_VALUE, "end_time"),
        (~start.is_between(FIRST_NS, LAST_NS), Reason.BAD_VALUE, "start_time"),
        (start > end, Reason.BAD_VALUE, "start_time"),
    ]
    checks += [
        (~pl.col(name).is_between(0, MAX_TOKENS), Reason.BAD_VALUE, name)
        for name in _TOKENS
        if raw[name].null_count() < raw.height
    ]
    return checks


def _refuse(raw: pl.DataFrame, checks: list[_Check]) -> tuple[pl.DataFrame, list[Reject]]:
    broken = raw.select(
        broken.fill_null(value=False).alias(str(i)) for i, (broken, _, _) in enumerate(checks)
    )
    bad = broken.select(pl.any_horizontal(pl.all()).alias("bad"))["bad"]
    if not bad.any():
        return raw, []
    rejects = []
    where = raw.select("row", "item").filter(bad).rows()
    for (row, item), found in zip(where, broken.filter(bad).iter_rows(), strict=True):
        _, reason, detail = checks[found.index(True)]
        rejects.append(Reject(row, reason, detail, item))
    return raw.filter(~bad), rejects


def _derive(spans: pl.DataFrame) -> pl.DataFrame:
    """What follows from the columns themselves, for every format alike."""
    kind = pl.col("kind").str.to_lowercase().replace_strict(KINDS, default=Kind.OTHER.value)
    spans = spans.with_columns(
        kind=kind,
        # A span published without its start has no duration; fold leaves those out.
        start_ns=pl.coalesce("start_ns", "end_ns"),
        env=pl.col("env").fill_null("default"),
        provider=pl.col("provider").replace(PROVIDERS),
        model=pl.coalesce("model", "model_requested"),
        error=pl.any_horizontal("error", "timeout", pl.col("error_class").is_not_null()),
    )
    return _usage(_handoffs(_errors(spans)))


def _errors(spans: pl.DataFrame) -> pl.DataFrame:
    """Every error has a class, and timeouts are known by theirs."""
    slow = pl.col("timeout") | pl.col("error_class").str.contains(_TIMEOUT).fill_null(value=False)
    named = pl.coalesce(
        "error_class", pl.when("timeout").then(pl.lit("timeout")), pl.lit(_NO_CLASS)
    )
    return spans.with_columns(timeout=slow, error_class=pl.when("error").then(named))


def _handoffs(spans: pl.DataFrame) -> pl.DataFrame:
    """Explicit markers, and the tools by which frameworks pass control to another agent."""
    is_tool = pl.col("kind") == Kind.TOOL.value
    target = pl.col("tool").str.extract(TRANSFER)
    unnamed = pl.col("tool").str.contains(TRANSFER_UNNAMED)
    by_tool = is_tool & (target.is_not_null() | unnamed)
    named = pl.when(by_tool & ~unnamed).then(target)
    marked = pl.col("handoff_to").is_not_null() & pl.col("kind").is_in(
        [Kind.TOOL.value, Kind.STEP.value, Kind.OTHER.value]
    )
    handoff = by_tool | marked | (pl.col("kind") == Kind.HANDOFF.value)
    return spans.with_columns(
        kind=pl.when(handoff).then(pl.lit(Kind.HANDOFF.value)).otherwise("kind"),
        handoff_from=pl.when(handoff).then(pl.coalesce("handoff_from", "agent")),
        handoff_to=pl.when(handoff).then(pl.coalesce("handoff_to", named)),
    )


def _usage(spans: pl.DataFrame) -> pl.DataFrame:
    """Usage counted once: on model calls only, since agent spans repeat their children's.

    A tool may cost money (a paid search), never tokens. Cached tokens that exceed the input
    show a producer who left them out of it (raw Anthropic counts): they are added.
    """
    is_call = pl.col("kind").is_in(_CALL_KINDS)
    cached = pl.col("cache_read_tokens").fill_null(0) + pl.col("cache_write_tokens").fill_null(0)
    given = pl.col("input_tokens")
    spans = spans.with_columns(
        input_tokens=pl.when(cached > given).then(given + cached).otherwise(given),
        cost_nano=pl.when(is_call | (pl.col("kind") == Kind.TOOL.value)).then("cost_nano"),
        ttft_ns=pl.when(is_call).then("ttft_ns"),
    )
    return spans.with_columns(pl.when(is_call).then(pl.col(_TOKENS)).name.keep())
