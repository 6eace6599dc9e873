"""Tests whether a distribution got worse: e-values that stay valid under repeated evaluation.

- `mixture_e`: an e-value for a rise of a mean. Under the null it reaches E with probability 1/E
  at most, over any number of evaluations (Ville's inequality for Robbins' normal mixture;
  Howard, Ramdas, McAuliffe, Sekhon: Time-uniform, nonparametric, nonasymptotic confidence
  sequences, Annals of Statistics 2021).
- `spread_of`: how much quarter-hours differ under the null, beyond what sampling explains.
- `needed`: how many observations a quantile test needs for an effect.
"""

import numpy as np
from scipy.special import log_ndtr, ndtri

from tocsin.flow.baseline.stats import sketch
from tocsin.flow.baseline.stats.shares import RHO_MAX
from tocsin.types import Bools, Floats, Ints

#: Least standard deviation of a mean log duration between hours under the null, and its prior
#: for a new series, whose first hours do not show the variation of a day.
DRIFT, DRIFT_YOUNG = 0.02, 0.08
#: Weight of DRIFT_YOUNG, in hours of own quarters: on the first day, and later.
PRIOR_H, PRIOR_LATER_H = 12.0, 1.0
#: Buckets either way over which the density at a quantile is taken: 10 %.
_SLOPE = 5
_RELATIVE = 0.2
#: Least quarter-hours of a fit, and least observations of a quarter-hour.
FITTED, QUARTER_N = 8, 20
_MOST_LOG_E = 700.0


def mixture_e(rise: Floats, var: Floats, tau: float) -> Floats:
    """E-value of a mean that is `rise` above what it was, if its estimate has variance `var`.

    The likelihood of the estimate when the true rise is drawn from a half-normal of scale
    `tau`, over its likelihood when there is none. Errors common to all evaluations (of the
    baseline, a drift of the level) belong into `var`: successive estimates are then one
    Gaussian process, and the ratio is a martingale.
    """
    total = var + tau * tau
    pull = rise * tau / np.sqrt(var * total)
    log_e = np.log(2.0) + 0.5 * np.log(var / total) + 0.5 * pull * pull + log_ndtr(pull)
    e: Floats = np.exp(np.minimum(log_e, _MOST_LOG_E))
    return e


def spread_of(
    quarters: list[sketch.Sketches],
    base: sketch.Sketches,
    rows: Ints,
    bucket: Ints,
    prior_h: Floats,
) -> tuple[np.ndarray, np.ndarray]:
    """How much quarter-hours of each row differ under the null, beyond sampling.

    Args:
        quarters: the quarter-hours of the baseline.
        base: the baseline.
        rows: which series.
        bucket: of the quantile of each.
        prior_h: how many hours of its own each must show to outweigh DRIFT_YOUNG.

    Returns:
        rho: over-dispersion (intra-class correlation) of the share beyond `bucket`; no less
            than the drift of the level makes it.
        drift: standard deviation of the mean log value.
    """
    parts = [part.only(rows) for part in quarters]
    held = [sketch.moments(part, rows) for part in parts]
    n = np.array([one.n for one in held], float).reshape(len(held), len(rows))
    enough = n >= QUARTER_N
    count = enough.sum(axis=0)
    fit = count >= FITTED
    n = np.where(enough, n, 1.0)
    mean, var = (
        np.where(enough, np.reshape([getattr(one, name) for one in held], n.shape), 0.0)
        for name in ("mean", "var")
    )
    centre = mean.sum(axis=0) / np.maximum(count, 1)
    between = np.where(enough, (mean - centre) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    within = (var / n).sum(axis=0) / np.maximum(count, 1)
    hours = np.where(fit, count / 4, 0.0)
    own = np.maximum(between - within, 0.0)
    squared = (hours * own + prior_h * DRIFT_YOUNG**2) / (hours + prior_h)
    drift = np.sqrt(np.maximum(squared, DRIFT**2))
    slow = np.reshape([sketch.above(part, rows, bucket) for part in parts], n.shape)
    fitted = np.where(fit, _rho(np.where(enough, slow, 0.0), n * enough, enough), 0.0)
    return np.clip(np.fmax(fitted, _by_drift(base, rows, bucket, drift)), 0, RHO_MAX), drift


def _by_drift(base: sketch.Sketches, rows: Ints, bucket: Ints, drift: Floats) -> np.ndarray:
    """Over-dispersion of the share beyond `bucket` that a drift of the level causes.

    At least that of a share with a standard deviation of a fifth of itself.
    """
    m = np.maximum(sketch.counts(base, rows), 1)
    low, high = (sketch.above(base, rows, bucket + by) for by in (-_SLOPE, _SLOPE))
    density = (low - high) / m / (2 * _SLOPE * sketch.LOG_GAMMA)
    p = np.clip(sketch.above(base, rows, bucket) / m, 1e-6, 1 - 1e-6)
    rho: np.ndarray = np.fmax((density * drift) ** 2, (_RELATIVE * p) ** 2) / (p * (1 - p))
    return rho


def _rho(slow: np.ndarray, n: Floats, enough: Bools) -> np.ndarray:
    """Method of moments, as `shares.over_dispersion`, one column a row."""
    known = np.maximum(n, 1.0)
    p = slow.sum(axis=0) / np.maximum(n.sum(axis=0), 1.0)
    fair = np.clip(p * (1 - p), 1e-12, None)
    excess = np.where(enough, (slow / known - p) ** 2 / fair - 1 / known, 0.0).sum(axis=0)
    weight = np.where(enough, 1 - 1 / known, 0.0).sum(axis=0)
    rho = np.clip(excess / np.maximum(weight, 1e-12), 0.0, RHO_MAX)
    return np.where((p > 0) & (p < 1), rho, 0.0)


def needed(
    p0: Floats, p1: Floats, alpha: float, *, power: float = 0.9, rho: np.ndarray | float = 0
) -> Floats:
    """Observations to distinguish a share p1 from p0 < p1 at level `alpha` with `power`.

    Normal approximation of the binomial with the third-moment term of its critical value
    (Cornish-Fisher), within 5 % of exact from p0 = 1 %; inf where over-dispersion `rho` hides
    the effect whatever the volume, or where p1 is not above p0.
    """
    za, zb = -ndtri(alpha), ndtri(power)
    gap = p1 - p0
    root = za * np.sqrt(p0 * (1 - p0)) + zb * np.sqrt(p1 * (1 - p1))
    skew = (za * za - 1) * (1 - 2 * p0) / 6 + 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        n = ((root + np.sqrt(root * root + 4 * gap * skew)) / (2 * gap)) ** 2
        # n observations of correlation rho are worth n / (1 + (n - 1) rho) independent ones.
        worth = n * (1 - rho) / (1 - n * rho)
        n = np.where(n * rho < 1, np.maximum(worth, n), np.inf)
    return np.where(gap > 0, np.ceil(n), np.inf)
