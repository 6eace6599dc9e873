"""What must have stayed as it was: a rule's `equivalence` option.

    equivalence: {signal: duration, q: 0.95, band: 0.1, sure: 0.95}

asks that the quantile of that signal (the rule's own, if it is left out) lies within `band`
of the last day's. With `sure` it must be shown: both ends of a two-sided interval lie inside,
each with that confidence (two one-sided tests; Schuirmann 1987). Without, it must only seem so.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.rules.options import equivalence_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Bools, Ints

#: Fewer observations show nothing, equivalence or not.
_LEAST_N = 100


def is_equivalent(rule: RuleSpec, graded: Graded, rows: Ints, width: Ints) -> Bools:
    """Which rows stayed as they were over their widths; all where a rule asks nothing."""
    asked = equivalence_of(rule.options)
    if asked is None or not len(rows):
        return np.ones(len(rows), bool)
    signal = asked.signal or rule.signal
    now = lookback.merged(graded, signal, rows, width)
    base = graded.history.sketches[signal].baseline
    known = (sketch.counts(now, rows) >= _LEAST_N) & (sketch.counts(base, rows) >= _LEAST_N)
    z = float(ndtri(asked.sure)) if asked.sure else 0.0
    low, high = log_ratio(now, base, rows, asked.q, z)
    inside: Bools = known & (low >= np.log1p(-asked.band)) & (high <= np.log1p(asked.band))
    return inside


def log_ratio(
    now: sketch.Sketches, base: sketch.Sketches, rows: np.ndarray, q: float, z: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interval of the log of one q-quantile over another, `z` standard errors either way.

    The error of each quantile is read off its own ranks, so no density is estimated (the
    order-statistic interval); those of the two add in quadrature (MOVER: Zou and Donner 2008).
    """
    (a, a_low, a_high), (b, b_low, b_high) = (
        [np.log(part) for part in _ranks(given, rows, q, z)] for given in (now, base)
    )
    middle = a - b
    return (
        middle - np.hypot(a - a_low, b_high - b),
        middle + np.hypot(a_high - a, b - b_low),
    )


def _ranks(given: sketch.Sketches, rows: np.ndarray, q: float, z: float) -> list[np.ndarray]:
    n = np.maximum(sketch.counts(given, rows), 1)
    error = z * np.sqrt(q * (1 - q) / n)
    return [
        sketch.quantile(given, rows, np.clip(q + sign * error, 0.0, 1.0))[0] for sign in (0, -1, 1)
    ]
