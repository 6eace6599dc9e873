"""A ratio of two sums (tokens a call, cost a run) against its baseline: tests on its logarithm.

Changes of such a ratio are factors, and so is its scatter: on the log scale quarter-hours have
about equal variance. The scatter of the series' own quarter-hours includes sampling, so no model
of calls is needed; the variance is scaled up for a window with a smaller denominator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from tocsin.types import Bools, Floats, Ints

#: Least standard deviation of the log of a ratio.
SD_MIN = 0.02
#: Quarter-hours a baseline needs.
MIN_QUARTERS = 8
#: Observations a quarter-hour needs for its mean log.
_MIN_N = 20


@dataclass(frozen=True, slots=True)
class RatioBaseline:
    """The baseline of a ratio on the log scale, one entry a series.

    `sd` is how much it differs from quarter to quarter; of counts, beyond Poisson. `weight` is
    the usual denominator of a quarter-hour; `n` how many quarter-hours are known (below
    MIN_QUARTERS the others are NaN).
    """

    mean: Floats
    sd: Floats
    weight: Floats
    n: Ints


@dataclass(frozen=True, slots=True)
class RatioShift:
    """How far a ratio is from its baseline, on the log scale; NaN without a baseline.

    `error` is the standard error of `rise`, with `df` degrees of freedom.
    """

    rise: Floats
    error: Floats
    df: Ints

    def only(self, which: Bools | Ints) -> RatioShift:
        """Some of the series: a mask, or positions."""
        return RatioShift(self.rise[which], self.error[which], self.df[which])

    def lower(self, p: float) -> Floats:
        """Lower bound of the rise at one-sided confidence 1 - p."""
        left: Floats = self.rise - stdtrit(np.maximum(self.df, 1), 1 - p) * self.error
        return left

    def p_beyond(self, least: float) -> Floats:
        """p-value of the rise if the true one is at most `least`."""
        p: Floats = stdtr(np.maximum(self.df, 1), -(self.rise - least) / self.error)
        return p


def log_ratio(above: Floats, below: Floats, *, is_count: bool) -> Floats:
    """log(above / below); NaN where either is unknown or 0. Half an event is added to counts."""
    above = above + 0.5 if is_count else above
    known = (below > 0) & (above > 0)  # NaN compares as false
    quotient = np.divide(above, below, out=np.ones(np.shape(above)), where=known)
    return np.where(known, np.log(quotient), np.nan)


def ratio_baseline(above: Floats, below: Floats, floor: float, *, is_count: bool) -> RatioBaseline:
    """The baseline of a ratio, from quarter-hours [series, quarters]; NaN = excluded.

    Args:
        above: sums of the numerator.
        below: sums of the denominator.
        floor: quarter-hours with a smaller denominator are left out.
        is_count: whether the numerator counts events.
    """
    below = np.where(below >= floor, below, np.nan)
    logs = log_ratio(above, below, is_count=is_count)
    known = np.isfinite(logs)
    n = known.sum(axis=1)
    enough = n >= MIN_QUARTERS
    safe = np.maximum(n, 2)
    mean = np.where(known, logs, 0.0).sum(axis=1) / safe
    scatter = np.where(known, (logs - mean[:, None]) ** 2, 0.0)
    if is_count:  # what Poisson explains is added again for the window that is judged
        scatter -= np.where(known, 1 / (np.nan_to_num(above) + 0.5), 0.0)
    var = np.maximum(scatter.sum(axis=1) / (safe - 1), 0.0)
    weight = np.where(known, below, 0.0).sum(axis=1) / safe
    return RatioBaseline(
        np.where(enough, mean, np.nan),
        np.where(enough, np.maximum(np.sqrt(var), SD_MIN), np.nan),
        np.where(enough, weight, np.nan),
        n,
    )


def shift(above: Floats, below: Floats, base: RatioBaseline, *, is_count: bool) -> RatioShift:
    """A window's ratio against its baseline: the t prediction interval of one more quarter-hour.

    The variance is scaled up in proportion for a window with a smaller denominator than a
    usual quarter-hour; counts add their Poisson variance.
    """
    rise = log_ratio(above, below, is_count=is_count) - base.mean
    thin = np.maximum(base.weight / np.maximum(below, 1e-9), 1.0)
    var = base.sd**2 * thin
    if is_count:
        var = var + 1 / np.maximum(np.exp(base.mean) * below, 0.5)
    known = np.maximum(base.n, MIN_QUARTERS)
    return RatioShift(rise, np.sqrt(var * (1 + 1 / known)), known - 1)


def drift(n: np.ndarray, mean: Floats, var: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Deviation of a mean log between quarter-hours beyond sampling, and how many are known.

    Args:
        n: observations [quarters, series].
        mean: mean of their logs; NaN where n is 0.
        var: variance of their logs.
    """
    enough = n >= _MIN_N
    count = enough.sum(axis=0)
    safe = np.maximum(count, 2)
    middle = np.where(enough, mean, 0.0).sum(axis=0) / safe
    between = np.where(enough, (mean - middle) ** 2, 0.0).sum(axis=0) / (safe - 1)
    sampling = np.where(enough, var / np.maximum(n, 1), 0.0).sum(axis=0) / safe
    return np.maximum(np.sqrt(np.maximum(between - sampling, 0.0)), SD_MIN), count
