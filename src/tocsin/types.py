"""The values and column schemas that travel between stages. Imports nothing of ours.

Units, everywhere: `*_ns` and `*_ms` are nanoseconds and milliseconds since the Unix epoch,
`*_s` seconds, a *window* is named by the epoch second it starts at, money is integer
nano-USD. `at` is event time, `now` is the clock. The event time of a span is its END.
"""

from __future__ import annotations

import re
import zlib
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, Self

import numpy as np
import polars as pl

NANO = 1_000_000_000
#: Separates the parts of a series key: `view SEP env SEP service SEP ...`. Decode strips
#: control characters from every name, so it can never occur inside a part.
SEP = "\x1f"
#: Stands in for a dimension a span does not carry, and for values beyond a cardinality cap.
NONE, OVERFLOW = "_none", "_overflow"


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
    """A Kafka record as aiokafka gives it; the memory bus gives the same attributes."""

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


class ChangeKind(StrEnum):
    """What somebody changed about a running service."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    FLAG = "flag"
    PROMPT = "prompt"
    CONFIG = "config"
    ROUTING = "routing"


#: In a change: every service of its environment, or every environment.
EVERY = "*"


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """One change to a running service, by those who made it. Names only, no content."""

    at_ms: int  # when it took effect
    kind: str  # a ChangeKind
    env: str  # or EVERY
    service: str  # or EVERY
    name: str  # of what was changed: the service, flag, prompt, setting or route
    value: str  # its version or variant from then on; may be empty
    source: str  # who says so
    #: When it was told: its record's timestamp. Told again it is the same change.
    told_ms: int = field(default=0, compare=False)


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(
    r"(?:(?P<first>[a-z]{3})(?:-(?P<last>[a-z]{3}))? +)?"
    r"(?P<from>\d\d):(?P<from_m>\d\d)-(?P<to>\d\d):(?P<to_m>\d\d)"
)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A range of wall-clock minutes, [start, end) of some days of the week (0 = Monday).

    A range that ends at or before it starts runs into the next day.
    """

    days: frozenset[int]
    start: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `22:00-06:00` (every day), `sat 00:00-24:00` or `mon-fri 20:00-07:00`.

        Raises:
            ValueError: the text is none of these.
        """
        found = _HOURS.fullmatch(text.strip().lower())
        if found is None:
            raise ValueError(f"{text!r} is no range of hours, like `mon-fri 20:00-07:00`")
        days = frozenset(range(7))
        if found["first"]:
            names = (found["first"], found["last"] or found["first"])
            for name in names:
                if name not in _DAYS:
                    raise ValueError(f"{text!r}: {name!r} is no day; known: {', '.join(_DAYS)}")
            first, last = (_DAYS.index(name) for name in names)
            days = frozenset((first + i) % 7 for i in range((last - first) % 7 + 1))
        start = int(found["from"]) * 60 + int(found["from_m"])
        end = int(found["to"]) * 60 + int(found["to_m"])
        if max(start, end) > 1_440 or start == end or max(map(int, found.group(4, 6))) > 59:
            raise ValueError(f"{text!r} is no range of hours within a day")
        return cls(days, start, end)

    def holds(self, weekday: int, minute: int) -> bool:
        """Whether a minute of a day of the week lies in the range."""
        if self.start < self.end:
            return weekday in self.days and self.start <= minute < self.end
        late = weekday in self.days and minute >= self.start
        return late or ((weekday - 1) % 7 in self.days and minute < self.end)


# ---- fold -> store -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fence:
    """What a flush says of one source partition: it carries the offsets [first, next)."""

    partition: int
    first: int
    next: int
    #: Largest event time seen below `next`, ms; None while the partition was always empty.
    #: Lateness is judged against it, so it is a pure function of the log.
    high_ms: int | None
    #: The time up to which this partition is known to be complete: high_ms - lateness, or
    #: the clock - lateness while it is caught up and idle. Never goes back.
    watermark_ms: int | None


@dataclass(frozen=True, slots=True)
class WindowDelta:
    """What a flush adds to one series in one window: (field, increment) pairs, flattened."""

    window: int
    series: str
    counts: tuple[str | int, ...]  # field, value, field, value ...


@dataclass(frozen=True, slots=True)
class RunDelta:
    """What a flush adds to one run: totals, and packed STEP records in time order."""

    trace_id: str
    spans: int
    tokens: int
    cost_nano: int
    first_ms: int  # smallest start time among the spans
    steps: bytes


@dataclass(frozen=True, slots=True)
class ShardFlush:
    """All that one flush brings to one shard; applied whole or not at all."""

    shard: int
    fences: tuple[Fence, ...]
    partitions: int  # how many partitions the spans topic has
    windows: tuple[WindowDelta, ...]
    runs: tuple[RunDelta, ...]
    labels: tuple[tuple[str, str], ...]  # (STEP.label as 16 hex digits, readable name)
    #: The books: (partition, outcome, spans), added to the shard's account in the same step,
    #: so that consumed = aggregated + late + filtered + dead-lettered holds across crashes.
    account: tuple[tuple[int, str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MergeReply:
    """`applied`, or refused with what the shard expects of every fenced partition."""

    shard: int
    applied: bool
    expected: Mapping[int, int | None]  # partition -> next offset; None = never seen


@dataclass(frozen=True, slots=True)
class Position:
    """Where one shard stands in one source partition."""

    next: int
    high_ms: int | None
    watermark_ms: int | None
    #: Windows that start before this are incomplete: the shard's history begins here.
    complete_from_ms: int


#: One step of a run, as kept in its ring. 64-bit fields are hashes: no content, ever.
STEP = np.dtype(
    [
        ("end_ms", "<i8"),
        ("span", "<u8"),
        ("parent", "<u8"),  # 0 = root
        ("sym", "<u8"),  # agent, kind, tool or model, args_hash
        ("rsym", "<u8"),  # sym, error class, result_hash
        ("label", "<u8"),  # env, service, agent, kind, tool or model: names, for the reader
        ("tokens", "<u4"),
        ("cost_micro", "<u4"),  # micro-USD
        ("kind", "u1"),  # index into list(Kind)
        ("flags", "u1"),
    ]
)
RING = 64  # steps a run keeps
STEP_ERROR, STEP_HAS_ARGS, STEP_HAS_RESULT, STEP_TIMEOUT = 1, 2, 4, 8
STEP_COST_UNKNOWN = 16  # a model call whose cost nobody knows; cost_micro is 0 then
#: The run's totals, before its ring: version, spans, tokens, cost_nano, first_ms.
RUN_HEADER = np.dtype(
    [(name, "<f8") for name in ("version", "spans", "tokens", "cost_nano", "first_ms")]
)
RUN_VERSION = 1


# ---- store -> watch ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChangedSeries:
    """An open window's counters (not its sketches) that moved since the last look."""

    window: int
    series: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ChangedRun:
    """A run that moved since the last look: RUN_HEADER bytes, then STEP records, unsorted."""

    trace_id: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Look:
    """One shard as watch finds it: marks, watermarks, and what moved since `seen`."""

    shard: int
    epoch: int
    evaluated: int | None  # the newest window that was evaluated
    seq: int  # the newest merge this look covers; the next look's `seen`
    partitions: int  # of the spans topic; 0 while nothing was merged
    positions: Mapping[int, Position]
    windows: tuple[int, ...]  # starts of the windows that hold counters, ascending
    changed: tuple[ChangedSeries, ...]
    runs: tuple[ChangedRun, ...]


@dataclass(frozen=True, slots=True)
class WindowFrame:
    """A closed window of one shard in columns: value[i] = series[owner[i]].fields[field[i]].

    Frames add like the windows they are: sixty minutes merge to an hour.
    """

    start: int
    seconds: int
    series: tuple[str, ...]
    fields: tuple[str, ...]
    owner: np.ndarray  # uint32 [M], index into series
    field: np.ndarray  # uint16 [M], index into fields
    value: np.ndarray  # int64  [M]


@dataclass(frozen=True, slots=True)
class Saved:
    """All that one tick of watch writes to one shard; refused if the epoch has moved on."""

    evaluated: int | None  # new mark, never lower than before; None leaves it
    seen: int  # merges this tick has looked at; forgets the changes up to here
    blobs: Mapping[str, bytes | None] = field(default_factory=dict)  # None deletes
    outbox: tuple[bytes, ...] = ()  # encoded alert events, to be published in this order


# ---- judge -> lifecycle --------------------------------------------------------------

Severity = Literal["info", "warning", "critical"]
Status = Literal["pending", "firing", "acknowledged", "suppressed", "resolved", "expired"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class Contributor:
    """A dimension value that drives a finding, and its part of the change (0..1)."""

    dimension: str
    value: str
    share: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's judgement of one series (or run) in one window.

    `breach` says the rule's effect, evidence and volume hold now; `clear` that its clear
    condition holds. Neither: in between, which keeps a firing alert firing.
    """

    rule: str
    series: str  # the series key, or `run SEP env SEP service SEP trace_id`
    group: tuple[tuple[str, str], ...]  # group_by dimension -> value; the alert's identity
    window: int  # start of the window it was judged in
    at_ms: int  # event time at which it became true: the window's end, or the step's end
    breach: bool
    clear: bool
    severity: Severity
    signal: str
    unit: str
    observed: float | None
    expected: float | None
    bound: float | None
    n: int
    p: float | None = None  # calibrated; None for structural rules
    score: float = 0.0  # 1.0 is the edge
    at_least: bool = False  # judged before the window closed: `observed` can only grow
    baseline: str = "none"
    confidence: Literal["low", "normal", "high"] = "normal"
    summary: str = ""
    tokens_burnt: int | None = None
    cost_burnt_nano: int | None = None
    top: tuple[Contributor, ...] = ()
    traces: tuple[str, ...] = ()


# ---- what a user promises --------------------------------------------------------------

#: Which dimensions an objective may name together, beside env and service.
OBJECTIVES: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in ("", "agent", "route", "model", "provider", "tool", "stage", "route model",
                  "agent tool")
)  # fmt: skip
_LEVELS: Mapping[str, float] = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}


@dataclass(frozen=True, slots=True)
class Slo:
    """A latency objective: what quantiles of some series may be at most.

    Dimensions are shell patterns; those left out are not looked at: with none, runs of the
    service are meant, with a model its calls, with a tool its calls, with a stage its steps.
    """

    env: str = "*"
    service: str = "*"
    agent: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    tool: str | None = None
    stage: str | None = None
    #: Of what: how long it took, or the time to the first token of streamed model calls.
    signal: Literal["duration", "ttft"] = "duration"
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    severity: Severity = "critical"

    def __post_init__(self) -> None:
        """Refuse an objective that no view can be held to."""
        if self.names not in OBJECTIVES:
            message = f"an objective cannot name {' and '.join(sorted(self.names))} together"
            raise ValueError(message)
        if self.signal == "ttft" and self.names & {"tool", "stage"}:
            message = "only model calls have a time to first token, no tool and no stage"
            raise ValueError(message)
        if not self.levels or any(ms <= 0 for _, ms in self.levels):
            message = "an objective needs one of p50_ms, p90_ms, p95_ms, p99_ms, above 0"
            raise ValueError(message)

    @property
    def names(self) -> frozenset[str]:
        """The dimensions it names, beside env and service."""
        return frozenset(self.where) - {"env", "service"}

    @property
    def where(self) -> dict[str, tuple[str, ...]]:
        """Dimension -> pattern."""
        dims = ("env", "service", "agent", "route", "model", "provider", "tool", "stage")
        return {dim: (value,) for dim in dims if (value := getattr(self, dim)) is not None}

    @property
    def levels(self) -> tuple[tuple[float, float], ...]:
        """(quantile 0..1, at most so many ms)."""
        given = ((q, getattr(self, name)) for name, q in _LEVELS.items())
        return tuple((q, ms) for q, ms in given if ms is not None)


#: Which dimensions a budget may name together, beside env and service.
BUDGETED: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split()) for names in ("", "agent", "route", "model", "provider", "route model")
)


@dataclass(frozen=True, slots=True)
class CostBudget:
    """What model calls may cost. Each series that matches has the budget for itself.

    Dimensions are shell patterns, as of Slo. A budget lies within one service, since no shard
    knows more; 0 is no limit of that kind. Days and months are those of the time zone.
    """

    env: str = "*"
    service: str = "*"
    agent: str | None = None
    route: str | None = None
    model: str | None = None
    provider: str | None = None
    daily_usd: float = 0.0
    monthly_usd: float = 0.0
    per_call_usd: float = 0.0
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse a budget that no view can be held to, or that limits nothing."""
        if self.names not in BUDGETED:
            message = f"a budget cannot name {' and '.join(sorted(self.names))} together"
            raise ValueError(message)
        limits = (self.daily_usd, self.monthly_usd, self.per_call_usd)
        if min(limits) < 0 or not any(limits):
            message = "a budget needs daily_usd, monthly_usd or per_call_usd above 0"
            raise ValueError(message)
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            message = f"{self.time_zone!r} is no IANA time zone, like Europe/Berlin or UTC"
            raise ValueError(message) from None

    @property
    def names(self) -> frozenset[str]:
        """The dimensions it names, beside env and service."""
        return frozenset(self.where) - {"env", "service"}

    @property
    def where(self) -> dict[str, str]:
        """Dimension -> pattern."""
        dims = ("env", "service", "agent", "route", "model", "provider")
        return {dim: value for dim in dims if (value := getattr(self, dim)) is not None}


#: A series' (view, dimension values) back from its key.
def split_series(series: str) -> tuple[str, tuple[str, ...]]:
    view, *values = series.split(SEP)
    return view, tuple(values)


def shard_of(key: str, shards: int) -> int:
    """The shard of a service (`env SEP service`) or of a run (its trace id), 0..shards-1."""
    return zlib.crc32(key.encode()) % shards


def join_series(view: str, *values: str) -> str:
    return SEP.join((view, *values))
