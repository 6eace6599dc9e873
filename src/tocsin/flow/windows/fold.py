"""Spans to additive deltas: what a batch adds to which series, window and run.

Everything a window holds is an integer that merges by addition, so a batch may be cut
anywhere, folded anywhere and added in any order. Spans are first grouped by all their
dimensions at once (*cells*); every view is then a roll-up of the few cells, not of the
many spans.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from tocsin.flow.windows.fold_runs import RunsDelta, fold_runs
from tocsin.flow.windows.views import DERIVED, VIEWS, View
from tocsin.types import MODEL_CALL_KINDS, NONE, SEP, RunDelta, WindowDelta, shard_of

#: DDSketch's mapping at 1 % relative accuracy (Masson, Rim, Lee: DDSketch, PVLDB 2019).
SKETCH_ACCURACY = 0.01
SKETCH_GAMMA = (1 + SKETCH_ACCURACY) / (1 - SKETCH_ACCURACY)
_LOG_GAMMA = math.log(SKETCH_GAMMA)
#: Hash cells that traces of errors are counted in.
TRACE_CELLS = 64


def bucket_value(bucket: int) -> float:
    """The value a sketch bucket stands for, within SKETCH_ACCURACY of all it holds."""
    return 2 * SKETCH_GAMMA**bucket / (SKETCH_GAMMA + 1)


def bucket(value: float) -> int:
    """The sketch bucket of a value (microseconds for times, tokens for counts); 0 below 1."""
    return 0 if value < 1 else math.ceil(math.log(value) / _LOG_GAMMA)


def _bucket(value: pl.Expr) -> pl.Expr:
    # log of 1 is 0, so clipping gives bucket 0 for everything below 1.
    return (value.cast(pl.Float64).clip(lower_bound=1.0).log() / _LOG_GAMMA).ceil().cast(pl.Int32)


@dataclass(frozen=True, slots=True)
class ShardDelta:
    """What a batch adds to one shard."""

    windows: tuple[WindowDelta, ...]
    runs: tuple[RunDelta, ...]
    labels: tuple[tuple[str, str], ...]


_DIMS = tuple(dict.fromkeys(dim for view in VIEWS for dim in view.dims))
_KEYS = ("kind", "window", *_DIMS)
_IS_CALL = pl.col("kind").is_in([kind.value for kind in MODEL_CALL_KINDS])
_DURATION = pl.col("end_ns") - pl.col("start_ns")
_TOKENS = pl.col("input_tokens").fill_null(0) + pl.col("output_tokens").fill_null(0)
#: The plain counters of a window, by field name; the order is the order in the payload.
_COUNTERS: Mapping[str, pl.Expr] = {
    "n": pl.len(),
    "err": pl.col("error").sum(),
    "to": pl.col("timeout").sum(),
    "in": pl.col("input_tokens").sum(),
    "out": pl.col("output_tokens").sum(),
    "cr": pl.col("cache_read_tokens").sum(),
    "cw": pl.col("cache_write_tokens").sum(),
    "rs": pl.col("reasoning_tokens").sum(),
    "cost": pl.col("cost_nano").sum(),
    # Clipped, so that no sum of them leaves the integers that a double holds.
    "sc": (pl.col("score") * 1_000).round().clip(-(2**40), 2**40).sum(),
    "un": (_IS_CALL & pl.col("cost_nano").is_null()).sum(),
}
#: Fields with a tag behind the colon, by prefix: sketches, classes, reasons. Null is no entry.
_TAGS: Mapping[str, pl.Expr] = {
    # Spans without a duration (handoffs, gotos) are not latencies.
    "d:": pl.when(_DURATION > 0).then(_bucket(_DURATION / 1_000)),
    "t:": _bucket(pl.col("ttft_ns") / 1_000),
    "k:": pl.when(_IS_CALL & (_TOKENS > 0)).then(_bucket(_TOKENS)),
    "s:": (pl.col("score") * 100).round().clip(-10_000, 10_000).cast(pl.Int32),
    "e:": pl.when(pl.col("error_class") != NONE).then(pl.col("error_class")),
    "f:": pl.col("finish_reason"),
    # Which cell the trace of an error falls in: as many cells, at least as many traces. Polars'
    # hash is stable for one version of it; an upgrade may count a trace twice for ten minutes.
    "u:": (pl.col("trace_id").hash() % TRACE_CELLS).filter(pl.col("error_class") != NONE),
}
#: Counted in views by error class only.
_OF_CLASSES = "u:"
#: A bit for each prefix, and one for all plain counters: what a view counts is a mask of them.
_BITS: Mapping[str, int] = {prefix: 2 << i for i, prefix in enumerate(_TAGS)}
_PLAIN = 1


def fold(spans: pl.DataFrame, shards: int) -> dict[int, ShardDelta]:
    """Fold placed spans (SPAN_SCHEMA plus `window`; none of them late) into deltas a shard."""
    if spans.is_empty():
        return {}
    return by_shard(fold_windows(spans, shards), fold_runs(spans, shards))


def by_shard(
    windows: Mapping[int, list[WindowDelta]], runs: Mapping[int, RunsDelta]
) -> dict[int, ShardDelta]:
    """What windows and runs together add to each shard."""
    deltas = {}
    for shard in windows.keys() | runs.keys():
        mine = runs.get(shard, RunsDelta())
        deltas[shard] = ShardDelta(tuple(windows.get(shard, ())), mine.runs, mine.labels)
    return deltas


def fold_windows(spans: pl.DataFrame, shards: int) -> dict[int, list[WindowDelta]]:
    """What a batch of placed spans adds to the series of each shard."""
    if spans.is_empty():
        return {}
    cells = (
        spans.with_columns(**DERIVED)
        .with_columns(pl.col(_DIMS).fill_null(NONE))
        .group_by(_KEYS)
        .agg(**_COUNTERS, **_TAGS)
        .with_row_index("cell")
    )
    members, series = _members(cells)
    rows = (
        _increments(cells)
        .join(members, on="cell")
        .filter(pl.col("bit") & pl.col("mask") != 0)
        .group_by("series_id", "field")
        .agg(pl.col("value").sum())
        .group_by("series_id")
        .agg(pl.col("field").cast(pl.String), "value")
        .join(series, on="series_id")
    )
    out: dict[int, list[WindowDelta]] = {}
    columns = ("home", "window", "series", "field", "value")
    for home, window, name, fields, values in rows.select(columns).iter_rows():
        counts: list[str | int] = [0] * (2 * len(fields))
        counts[::2] = fields
        counts[1::2] = values
        delta = WindowDelta(window, name, tuple(counts))
        out.setdefault(shard_of(home, shards), []).append(delta)
    return out


def _increments(cells: pl.DataFrame) -> pl.DataFrame:
    """All that the cells count, in long form: cell, field, bit, value; zeros left out."""
    counters = (
        cells.select("cell", pl.col(tuple(_COUNTERS)).cast(pl.Int64))
        .unpivot(tuple(_COUNTERS), index="cell", variable_name="field", value_name="value")
        .filter(pl.col("value") != 0)
        .select("cell", "field", pl.lit(_PLAIN, pl.UInt8).alias("bit"), "value")
    )
    tagged = (
        cells.select("cell", tag=pl.col(prefix))
        .explode("tag")
        .drop_nulls("tag")
        .group_by("cell", "tag")
        .len("value")
        .select(
            "cell",
            field=pl.lit(prefix) + pl.col("tag").cast(pl.String),
            bit=pl.lit(_BITS[prefix], pl.UInt8),
            value=pl.col("value").cast(pl.Int64),
        )
        for prefix in _TAGS
    )
    # There are few fields: as categories, grouping compares integers.
    return pl.concat([counters, *tagged]).with_columns(pl.col("field").cast(pl.Categorical))


def _mask(view: View) -> int:
    """The bits (see _BITS) of the fields that a view counts."""
    if view.tags:
        return sum(_BITS[prefix] for prefix in view.tags)
    return 0xFF if "error_class" in view.dims else 0xFF ^ _BITS[_OF_CLASSES]


def _members(cells: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Which series-windows each cell belongs to (cell, series_id), and those series."""
    home = pl.concat_str("env", "service", separator=SEP).alias("home")
    parts = []
    for view in VIEWS:
        mine = pl.col("kind").is_in([kind.value for kind in view.kinds])
        if view.needs:
            mine &= pl.col(view.needs) != NONE
        name = pl.concat_str(pl.lit(view.name), *view.dims, separator=SEP).alias("series")
        mask = pl.lit(_mask(view), pl.UInt8).alias("mask")
        parts.append(cells.filter(mine).select("cell", home, "window", name, mask))
    series = (
        pl.concat(parts)
        .group_by("home", "window", "series", "mask")
        .agg("cell")
        .with_row_index("series_id")
    )
    members = series.select("series_id", "mask", "cell").explode("cell")
    return members, series.select("series_id", "home", "window", "series")
