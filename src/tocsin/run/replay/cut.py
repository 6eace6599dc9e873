"""Cuts a batch of a replay into parts that are merged and judged one after the other.

A batch of a replay brings more steps of a run at once than live, where shards are ticked every
few seconds: more than the run's ring holds, or than detectors report one by one. So no part
brings more than `MOST` steps of a run. Windows are folded with the last part, and earlier with
a part from which on run statistics of a later hour apply (`baseline/history/run_stats.py`).
"""

from bisect import bisect_left
from typing import Final

import numpy as np
import polars as pl

from tocsin.flow.detect.runs.run_findings import RECENT
from tocsin.types import RING

#: Steps of one run that a part may bring: with so many, findings are the same as of one step
#: at a time, and half of the ring still holds what came before.
MOST: Final = min(RECENT, RING // 2)


def cut(spans: pl.DataFrame, most: int = MOST) -> np.ndarray:
    """The part of each span, from 0: int64 as long as `spans` (with trace_id, row, partition).

    A part ends before some run would have more than `most` spans in it; but the spans of one
    record stay together. Partitions are read side by side.
    """
    long = np.flatnonzero(spans.select(pl.len().over("trace_id") > most).to_series().to_numpy())
    if not len(long):
        return np.zeros(spans.height, np.int64)
    place = _places(spans)
    long = long[np.argsort(place[long], kind="stable")]
    at = place[long].tolist()
    _, run = np.unique(spans["trace_id"].hash().to_numpy()[long], return_inverse=True)
    nth = _occurrence(run)
    starts: list[int] = []  # the place at which each part but the first begins
    first, before = 0, np.zeros(run.max() + 1, np.int64)
    while len(over := np.flatnonzero(nth[first:] - before[run[first:]] >= most)):
        start = at[first + over[0]]
        if starts and start <= starts[-1]:  # one record alone brings too many
            start = starts[-1] + 1
        starts.append(start)
        first = bisect_left(at, start)
        before = np.bincount(run[:first], minlength=len(before))
    return np.searchsorted(starts, place, side="right")


def _places(spans: pl.DataFrame) -> np.ndarray:
    """The place of each span's record when partitions are read side by side: int64."""
    done = spans.select(
        (pl.col("row") - pl.col("row").min().over("partition"))
        / (pl.col("row").max().over("partition") + 1 - pl.col("row").min().over("partition"))
    ).to_series()
    keys = pl.DataFrame({"done": done, "row": spans["row"]})
    places: np.ndarray = keys.select(pl.struct("done", "row").rank("dense")).to_series().to_numpy()
    return places.astype(np.int64)


def _occurrence(run: np.ndarray) -> np.ndarray:
    """How many of the same run came before each: int64, as `run`."""
    order = np.argsort(run, kind="stable")
    ordered = run[order]
    nth = np.empty(len(run), np.int64)
    nth[order] = np.arange(len(run)) - np.searchsorted(ordered, ordered)
    return nth
