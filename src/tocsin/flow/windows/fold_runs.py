"""Spans to runs: the step symbols a batch adds to each trace.

A step keeps 64-bit hashes of its agent, action, arguments and result, which can only be compared.
Decode has already replaced arguments and results by keyed fingerprints; names go to the shard's
label table.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from tocsin.types import (
    MODEL_CALL_KINDS,
    NANO,
    NONE,
    RING,
    SEP,
    STEP,
    STEP_COST_UNKNOWN,
    STEP_ERROR,
    STEP_HAS_ARGS,
    STEP_HAS_RESULT,
    STEP_TIMEOUT,
    Kind,
    RunDelta,
    shard_of,
)

_KINDS = tuple(kind.value for kind in Kind)
_IS_CALL = pl.col("kind").is_in([kind.value for kind in MODEL_CALL_KINDS])
_U32 = 2**32 - 1


def _symbol(*parts: pl.Expr) -> pl.Expr:
    """A 64-bit hash of the parts.

    Polars' hash is stable for one version of Polars. A run spans minutes: at worst an
    upgrade restarts the count of a loop that is under way.
    """
    texts = [part.cast(pl.String).fill_null("") for part in parts]
    return pl.concat_str(texts, separator=SEP).hash()


def _steps() -> dict[str, pl.Expr]:
    """The columns of STEP, from SPAN_SCHEMA."""
    names = [pl.col(column) for column in ("env", "service", "agent", "kind")]
    act = pl.coalesce("tool", "handoff_to", "model")
    tokens = pl.when(_IS_CALL).then(
        pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)
    )
    cost = pl.when(_IS_CALL).then(pl.col("cost_nano").fill_null(0))
    # A model call has no result hash: that it used just as many tokens stands in for it.
    outcome = pl.coalesce("result_hash", tokens.cast(pl.String))
    label = pl.concat_str([n.fill_null(NONE) for n in [*names, act]], separator=SEP)
    flags = (
        pl.col("error").cast(pl.UInt8) * STEP_ERROR
        + pl.col("args_hash").is_not_null().cast(pl.UInt8) * STEP_HAS_ARGS
        + pl.col("result_hash").is_not_null().cast(pl.UInt8) * STEP_HAS_RESULT
        + pl.col("timeout").cast(pl.UInt8) * STEP_TIMEOUT
        + (_IS_CALL & pl.col("cost_nano").is_null()).cast(pl.UInt8) * STEP_COST_UNKNOWN
    )
    return {
        "end_ms": pl.col("end_ns") // (NANO // 1_000),
        "span": pl.col("span_id").hash(),
        # Polars hashes null to a number, too.
        "parent": pl.when(pl.col("parent_id").is_not_null())
        .then(pl.col("parent_id").hash())
        .otherwise(0),
        "sym": _symbol(*names, act, pl.col("args_hash")),
        "rsym": _symbol(*names, act, pl.col("args_hash"), pl.col("error_class"), outcome),
        "label": label.hash(),
        "tokens": tokens.fill_null(0).clip(0, _U32),
        "cost_nano": cost.fill_null(0).clip(0),
        "kind": pl.col("kind").replace_strict(_KINDS, range(len(_KINDS)), return_dtype=pl.UInt8),
        "flags": flags,
        "label_text": label,
    }


class RunsDelta(NamedTuple):
    """What a batch adds to the runs of one shard, and the labels that their steps name."""

    runs: tuple[RunDelta, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


def fold_runs(spans: pl.DataFrame, shards: int) -> dict[int, RunsDelta]:
    """The runs and the labels that a batch of spans (SPAN_SCHEMA) brings to each shard."""
    return fold_run_parts(spans, pl.lit(0), shards).get(0, {})


def fold_run_parts(
    spans: pl.DataFrame, part: pl.Expr, shards: int
) -> dict[int, dict[int, RunsDelta]]:
    """The same for the parts of a batch: part -> shard -> what the spans of that part bring.

    `part` numbers each span's part (int, ascending). A replay cuts a batch where a run brings
    more steps than its ring shows (`run/replay/cut.py`).
    """
    work = (
        spans.filter(pl.col("kind") != Kind.OTHER.value)
        .select("trace_id", part=part, start_ms=pl.col("start_ns") // (NANO // 1_000), **_steps())
        .sort("part", "trace_id", "end_ms", maintain_order=True)
    )
    if work.is_empty():
        return {}
    packed = np.empty(work.height, STEP)
    for name in STEP.names or ():
        packed[name] = work[name].to_numpy()
    buffer, size = packed.tobytes(), STEP.itemsize
    totals = work.group_by("part", "trace_id", maintain_order=True).agg(
        pl.len(),
        # The sums of what its steps keep, so that what the ring does not show is known exactly.
        pl.col("tokens").sum(),
        pl.col("cost_nano").sum(),
        pl.col("start_ms").min(),
    )
    texts = dict(work.select("label", "label_text").unique("label").iter_rows())
    label_at = packed["label"].tolist()
    runs: dict[tuple[int, int], list[RunDelta]] = {}
    named: dict[tuple[int, int], set[int]] = {}
    first = 0
    for number, trace_id, count, tokens, cost, start_ms in totals.iter_rows():
        end = first + count
        home = number, shard_of(trace_id, shards)
        steps = buffer[max(first, end - RING) * size : end * size]
        runs.setdefault(home, []).append(RunDelta(trace_id, count, tokens, cost, start_ms, steps))
        named.setdefault(home, set()).update(label_at[first:end])
        first = end
    parts: dict[int, dict[int, RunsDelta]] = {}
    for (number, shard), deltas in runs.items():
        labels = ((f"{label:016x}", texts[label]) for label in sorted(named[number, shard]))
        parts.setdefault(number, {})[shard] = RunsDelta(tuple(deltas), tuple(labels))
    return parts
