"""Runs between fold, store and watch: totals, and a ring of steps. 64-bit fields are hashes."""

from dataclasses import dataclass

import numpy as np

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
        ("cost_nano", "<i8"),  # nano-USD: a thousand cheap calls are not free
        ("kind", "u1"),  # index into list(Kind)
        ("flags", "u1"),
    ]
)
RING = 64  # steps a run keeps
STEP_ERROR, STEP_HAS_ARGS, STEP_HAS_RESULT, STEP_TIMEOUT = 1, 2, 4, 8
STEP_COST_UNKNOWN = 16  # a model call of unknown cost; cost_nano is 0 then
#: The run's totals, before its ring: version, spans, tokens, cost_nano, first_ms.
RUN_HEADER = np.dtype(
    [(name, "<f8") for name in ("version", "spans", "tokens", "cost_nano", "first_ms")]
)
RUN_VERSION = 2


@dataclass(frozen=True, slots=True)
class RunDelta:
    """What a flush adds to one run: totals, and packed STEP records in time order."""

    trace_id: str
    spans: int
    tokens: int
    cost_nano: int  # tokens and cost are exactly the sums of those of the steps
    first_ms: int  # smallest start time among the spans
    steps: bytes


@dataclass(frozen=True, slots=True)
class ChangedRun:
    """A run that moved since the last snapshot: RUN_HEADER bytes, then STEP records, unsorted."""

    trace_id: str
    state: bytes
