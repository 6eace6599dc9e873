"""The values of one hour that `Weeks` keeps: totals of counts, statistics of distributions."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from tocsin.flow.baseline.stats import sketch
from tocsin.types import Floats

#: What is kept of an hour's distribution: quantiles, and moments of the natural logarithm.
STATISTICS: Final = ("p50", "p95", "p99", "logmean", "logvar")
#: Signal, or signal.statistic -> the views it is kept of; None = every view.
SignalViews = Mapping[str, frozenset[str] | None]


def signals_to_keep(
    totals: SignalViews, distributions: SignalViews, statistics: SignalViews | None = None
) -> dict[str, frozenset[str] | None]:
    """The keys of `Weeks`: the totals, and the statistics of distributions that some rule reads.

    `statistics` names those (`duration.p95`) and their views; None = all of them.
    """
    kept = dict(totals)
    for name, views in distributions.items():
        for key in (f"{name}.{statistic}" for statistic in STATISTICS):
            if statistics is None:
                kept[key] = views
            elif key in statistics:
                kept[key] = statistics[key]
    return kept


def statistics(name: str, hour: sketch.Sketches, rows: int) -> dict[str, np.ndarray]:
    """The statistics of an hour's distribution `name`: float64 [rows] each, NaN without values."""
    every = np.arange(rows)
    quantiles = [sketch.quantile(hour, every, q)[0] for q in (0.5, 0.95, 0.99)]
    moments = sketch.moments(hour, every)
    values = (*quantiles, moments.mean, moments.var)
    return {f"{name}.{s}": column for s, column in zip(STATISTICS, values, strict=True)}


def sum_of_quarters(quarters: Floats) -> Floats:
    """Total of an hour from its quarters [rows, 4], scaled up if 2 or 3 are known, else NaN."""
    known = np.isfinite(quarters).sum(axis=1)
    total = np.nansum(quarters, axis=1) * 4 / np.maximum(known, 1)
    return np.where(known >= 2, total, np.nan)
