"""What decode gives: canonical spans, and records that were refused. And what it is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import polars as pl


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


#: The canonical span, one row a span: what decode gives and every later stage reads.
#: The kinds that call a model, and so the only ones whose tokens and cost are counted.
MODEL_CALL_KINDS = (Kind.LLM, Kind.EMBEDDING, Kind.RERANK)

SPAN_SCHEMA: Mapping[str, pl.DataType] = {
    "row": pl.UInt32(),  # index, in the decoded batch, of the record it came in
    "trace_id": pl.String(),
    "span_id": pl.String(),
    "parent_id": pl.String(),
    "kind": pl.String(),  # a Kind
    "start_ns": pl.Int64(),
    "end_ns": pl.Int64(),  # the event time
    "env": pl.String(),
    "service": pl.String(),
    "release": pl.String(),
    "agent": pl.String(),
    "workflow": pl.String(),
    "route": pl.String(),
    "stage": pl.String(),
    "provider": pl.String(),
    "model": pl.String(),  # as responded, else as requested
    "model_requested": pl.String(),
    "tool": pl.String(),
    "prompt_name": pl.String(),
    "prompt_version": pl.String(),
    "error": pl.Boolean(),
    "error_class": pl.String(),  # low cardinality; null when error is false
    "timeout": pl.Boolean(),
    "input_tokens": pl.Int64(),  # including cached
    "output_tokens": pl.Int64(),  # including reasoning
    "cache_read_tokens": pl.Int64(),
    "cache_write_tokens": pl.Int64(),
    "reasoning_tokens": pl.Int64(),
    "cost_nano": pl.Int64(),  # null = unknown, never 0 for unknown
    "ttft_ns": pl.Int64(),  # time to first token, as a duration
    "finish_reason": pl.String(),
    "args_hash": pl.String(),  # keyed HMAC of the tool's arguments, 16 hex digits
    "result_hash": pl.String(),  # keyed HMAC of the tool's result
    "handoff_from": pl.String(),
    "handoff_to": pl.String(),
    "score_name": pl.String(),
    "score": pl.Float64(),
}


class Reason(StrEnum):
    """Why a record was refused: the closed set a dead letter may carry."""

    EMPTY = "empty"  # null or zero-length value
    TOO_LARGE = "too_large"
    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    BAD_PROTOBUF = "bad_protobuf"
    TOO_DEEP = "too_deep"
    UNKNOWN_FORMAT = "unknown_format"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    BAD_VALUE = "bad_value"  # NaN, negative tokens, an end before its start, an absurd number
    TOO_MANY_SPANS = "too_many_spans"
    FUTURE = "future"  # event time too far ahead of the clock
    TOO_OLD = "too_old"  # event time beyond the rebuild horizon


class Record(Protocol):
    """A Kafka record as aiokafka gives it; a recording gives the same attributes."""

    topic: str
    partition: int
    offset: int
    timestamp: int  # ms
    timestamp_type: int  # 0 = the producer's clock, 1 = the broker's (LogAppendTime)
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused record, or one refused span (`item`) of a record with several."""

    row: int  # index of the record in the decoded batch
    reason: Reason
    detail: str = ""  # a field path or class name; never an excerpt of the payload
    item: int | None = None


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch after decode: spans in SPAN_SCHEMA, and what could not be read."""

    spans: pl.DataFrame
    rejects: tuple[Reject, ...]
