"""Event time: which window a span falls in, whether it is late, how far a partition has come.

Event time is the end of a span. Each source partition has a *high* (the largest event time
in its log so far, clamped to the broker's clock) and a *watermark* (the time up to which it
is known to be complete). Both are functions of the log, but for one case: a partition that
is caught up and idle follows the clock, so that silence closes windows (`watermark`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tocsin.types import NANO, Reason

_MS = NANO // 1_000


@dataclass(frozen=True, slots=True)
class TimeRules:
    """The event-time settings, in milliseconds but for `window_s`."""

    window_s: int = 60
    lateness_ms: int = 30_000
    horizon_ms: int = 7_200_000
    max_future_ms: int = 600_000


@dataclass(frozen=True, slots=True)
class Timed:
    """Spans with their window, and those whose event time is refused.

    `spans` gains `window` (Int64, start in epoch seconds), `late` (Boolean) and `high` (Int64,
    the partition's high after the row, ms); `outside` holds the rows (SPAN_SCHEMA plus
    `reason`) whose event time is too far from the broker's clock; `highs` is the high of every
    partition seen, after these rows.
    """

    spans: pl.DataFrame
    outside: pl.DataFrame
    highs: Mapping[int, int]


def place(spans: pl.DataFrame, highs: Mapping[int, int | None], rules: TimeRules) -> Timed:
    """Give each span its window, and mark those that are late.

    Args:
        spans: SPAN_SCHEMA plus `partition`, `offset` and `ref_ms` (the broker's clock at
            that record, or ours where the broker keeps none), in log order a partition.
        highs: each partition's high before these rows; absent or None = nothing seen.
        rules: the event-time settings.

    A span is late when the end of its window is not after `high - lateness`, the high being
    that of the rows before it in its partition. So lateness does not depend on how the log
    was cut into batches or which worker read it: a replay marks the same spans.
    """
    at_ms = pl.col("end_ns") // _MS
    spans = spans.with_columns(
        pl.when(at_ms > pl.col("ref_ms") + rules.max_future_ms)
        .then(pl.lit(Reason.FUTURE.value))
        .when(at_ms < pl.col("ref_ms") - rules.horizon_ms)
        .then(pl.lit(Reason.TOO_OLD.value))
        .otherwise(None)
        .alias("reason")
    )
    outside = spans.filter(pl.col("reason").is_not_null())
    spans = spans.filter(pl.col("reason").is_null()).drop("reason")
    window_ms = rules.window_s * 1_000
    before = pl.DataFrame(
        {"partition": list(highs), "before": list(highs.values())},
        schema={"partition": pl.Int32, "before": pl.Int64},
    )
    # A producer's clock that runs ahead must not make the spans of others late: a span raises
    # the high to at most the broker's clock when it arrived.
    reach = pl.min_horizontal(at_ms, pl.col("ref_ms"))
    spans = (
        spans.with_columns((at_ms // window_ms * rules.window_s).alias("window"))
        .join(before, on="partition", how="left", maintain_order="left")
        .with_columns(pl.max_horizontal(reach.cum_max().over("partition"), "before").alias("high"))
        .with_columns(
            pl.coalesce(pl.col("high").shift(1).over("partition"), "before").alias("before")
        )
        .with_columns(
            ((pl.col("window") + rules.window_s) * 1_000 <= pl.col("before") - rules.lateness_ms)
            .fill_null(value=False)
            .alias("late")
        )
    )
    after = dict(spans.group_by("partition").agg(pl.col("high").last()).iter_rows())
    return Timed(spans.drop("before"), outside, after)


def watermark(
    high_ms: int | None, previous: int | None, rules: TimeRules, idle_at_ms: int | None = None
) -> int | None:
    """How far a partition is complete, ms; never lower than `previous`.

    `idle_at_ms` is the clock if the partition is caught up and has been idle, else None.
    """
    known = [mark for mark in (high_ms, idle_at_ms) if mark is not None]
    if not known:
        return previous
    reached = max(known) - rules.lateness_ms
    return reached if previous is None else max(previous, reached)
