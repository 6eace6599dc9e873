"""What must have stayed as it was: a rule's `equivalence` option.

    equivalence: {signal: duration, q: 0.95, band: 0.1, sure: 0.95}

asks that the quantile of that signal (the rule's own, if it is left out) lies within `band`
of the last day's. With `sure` it must be shown: both ends of a two-sided interval lie inside,
each with that confidence (two one-sided tests; Schuirmann 1987). Without `sure` the estimate
itself must lie inside.
"""

import numpy as np
from scipy.special import ndtri

from tocsin.flow.detect.distribution import Distribution
from tocsin.flow.detect.series import Series
from tocsin.flow.rules.options import equivalence_of
from tocsin.types import Bools, Floats, Ints

#: With fewer observations nothing is shown to have stayed as it was.
_LEAST_N = 100


def is_equivalent(series: Series, width_s: Ints) -> Bools:
    """Which series stayed as they were over their look-backs; all where a rule asks nothing."""
    asked = equivalence_of(series.rule.options)
    if asked is None or not len(series):
        return np.ones(len(series), bool)
    observations = series.observations(asked.signal)
    now, day = observations.over(width_s), observations.last_day
    known = (now.n >= _LEAST_N) & (day.n >= _LEAST_N)
    z = float(ndtri(asked.sure)) if asked.sure else 0.0
    low, high = log_ratio(now, day, asked.q, z)
    inside: Bools = known & (low >= np.log1p(-asked.band)) & (high <= np.log1p(asked.band))
    return inside


def log_ratio(now: Distribution, before: Distribution, q: float, z: float) -> tuple[Floats, Floats]:
    """Interval of the log of one q-quantile over another, `z` standard errors either way.

    The error of each quantile is read off its own ranks, so no density is estimated (the
    order-statistic interval); those of the two add in quadrature (MOVER: Zou and Donner 2008).
    """
    (a, a_low, a_high), (b, b_low, b_high) = (_log_interval(part, q, z) for part in (now, before))
    middle = a - b
    return middle - np.hypot(a - a_low, b_high - b), middle + np.hypot(a_high - a, b - b_low)


def _log_interval(given: Distribution, q: float, z: float) -> list[Floats]:
    """The logarithm of the q-quantile, and of the ends of its interval."""
    n = np.maximum(given.n, 1)
    error = z * np.sqrt(q * (1 - q) / n)
    return [np.log(given.quantile(np.clip(q + sign * error, 0.0, 1.0))) for sign in (0, -1, 1)]
