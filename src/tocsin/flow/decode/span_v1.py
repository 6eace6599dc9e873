"""The native span, v1: the one message Tocsin itself defines. Source of `schemas/span.v1.json`.

A Kafka message holds one such JSON object, an array of them, or one a line. Fields that are
not named here are ignored and go no further. The decoder derives its own (faster) types
from this model, so nothing is stated twice.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tocsin.flow.decode.instant import FIRST_NS, LAST_NS, UNREADABLE, instant_ns

MAX_TOKENS = 2**40
MAX_USD = 1_000_000.0
MAX_SCORE = 1e9
MAX_MS = 366 * 86_400_000.0


def _no_flag(value: Any) -> Any:
    """True is no number, though Python says so; numbers written as text are."""
    if isinstance(value, bool):
        raise ValueError("a number is wanted")  # noqa: TRY004 - pydantic wants ValueError
    return value


_Number = BeforeValidator(_no_flag)
#: Something must be left of a required name once its control characters are gone.
_PRINTABLE = r"[^\x00-\x1f\x7f-\x9f]"
Id = Annotated[str, Field(min_length=1, max_length=200, pattern=_PRINTABLE)]
Name = Annotated[str, Field(min_length=1, pattern=_PRINTABLE)]
Count = Annotated[int, Field(ge=0, le=MAX_TOKENS), _Number]
Millis = Annotated[float, Field(ge=0, le=MAX_MS, allow_inf_nan=False), _Number]
Usd = Annotated[float, Field(ge=0, le=MAX_USD, allow_inf_nan=False), _Number]
Score = Annotated[float, Field(ge=-MAX_SCORE, le=MAX_SCORE, allow_inf_nan=False), _Number]
#: A double is too coarse for nanoseconds, so only integers (and text) will do.
Instant = Annotated[int, Field(ge=FIRST_NS, le=LAST_NS, strict=True)] | str


def _doc(text: str, default: Any = None) -> Any:
    return Field(default=default, description=text)


class SpanV1(BaseModel):
    """A finished unit of work of an LLM agent, published when it ends.

    Names lose their control characters and are cut at 200 characters; an empty one counts
    as absent. Usage (tokens, cost) belongs on the innermost model call only: on other
    kinds it is ignored, because agent spans repeat the sum of their children.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, title="Tocsin span, v1")

    trace_id: Id = Field(description="The run. Key the Kafka message by it.")
    span_id: Id
    service: Name
    kind: Name = Field(
        description="llm, embedding, rerank, tool, agent, workflow, retrieval, guardrail, "
        "evaluator, handoff, memory, step; or an OpenTelemetry operation name such as "
        "chat. Anything else is `other`."
    )
    end_time: Instant = Field(
        description="When it ended: nanoseconds since the epoch, or ISO 8601 (no zone: UTC)."
    )
    start_time: Instant | None = _doc("When it began, in the same forms.")
    duration_ms: Millis | None = _doc("Read if start_time is absent.")
    parent_id: str | None = _doc("The span_id of the span this one is part of.")
    env: str | None = _doc("Deployment environment.", "default")
    release: str | None = _doc("Version of the service.")
    agent: str | None = None
    workflow: str | None = None
    route: str | None = _doc("The product's entry point or intent this run serves.")
    stage: str | None = _doc("The step of the run: plan, retrieve, act, verify ...")
    provider: str | None = _doc("Who serves the model: openai, anthropic, aws.bedrock ...")
    model: str | None = _doc("The model that answered.")
    model_requested: str | None = _doc("The model that was asked for.")
    tool: str | None = None
    status: Literal["ok", "error", "timeout"] | None = _doc("Absent: ok.", "ok")
    error_class: str | None = _doc("Low cardinality. Setting it makes the span an error.")
    input_tokens: Count | None = _doc("All of them, cached ones included.")
    output_tokens: Count | None = _doc("All of them, reasoning included.")
    cache_read_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None
    cost_usd: Usd | None = _doc("Absent: unknown (computed from the price table), never zero.")
    ttft_ms: Millis | None = _doc("Time to the first token.")
    finish_reason: str | None = None
    args_hash: str | None = _doc("A hash of the tool's arguments, if you make your own.")
    result_hash: str | None = _doc("A hash of the tool's result, if you make your own.")
    tool_arguments: Any = _doc("Any JSON. Made a keyed fingerprint at once, then dropped.")
    tool_result: Any = _doc("Any JSON. Made a keyed fingerprint at once, then dropped.")
    handoff_from: str | None = None
    handoff_to: str | None = None
    prompt_name: str | None = None
    prompt_version: str | None = None
    score_name: str | None = _doc("Name of an evaluation: hallucination, toxicity, csat ...")
    score: Score | None = None

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        end, start = instant_ns(self.end_time), None
        if self.start_time is not None:
            start = instant_ns(self.start_time)
        if UNREADABLE in (start, end):
            raise ValueError("times are nanoseconds since the epoch or ISO 8601, 2000 to 2200")
        if start is not None and start > end:
            raise ValueError("a span cannot end before it starts")
        return self
