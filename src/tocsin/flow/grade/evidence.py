"""Is a distribution worse than it was? Evidence that many looks do not wear out, and its price.

- `mixture_e`: an always-valid e-value for a rise of a mean. Look as often as you like: with
  nothing wrong it reaches E with a chance of 1/E at most, over all looks together (Ville's
  inequality for Robbins' normal mixture; Howard, Ramdas, McAuliffe, Sekhon: Time-uniform,
  nonparametric, nonasymptotic confidence sequences, Annals of Statistics 2021).
- `spread_of`: how much quarter-hours differ with nothing wrong, beyond what sampling explains.
- `needed`: how many observations a quantile test takes to be sure of an effect.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtri

from tocsin.flow.grade import sketch, tails
from tocsin.flow.grade.shares import RHO_MAX

#: A mean log duration wanders by 2 % from hour to hour with nothing wrong: a floor, and what is
#: taken, as RHO_UNKNOWN for a share of slow calls, while too few quarter-hours are known.
DRIFT, RHO_UNKNOWN = 0.02, 0.005
#: Quarter-hours that make a fit, and the observations that make a quarter-hour.
FITTED, QUARTER_N = 8, 20
_MOST_LOG_E = 700.0


def mixture_e(rise: np.ndarray, var: np.ndarray, tau: float) -> np.ndarray:
    """E-value of a mean that is `rise` above what it was, if its estimate has variance `var`.

    The likelihood of the estimate when the true rise is drawn from a half-normal of scale
    `tau`, over its likelihood when there is none. What is common to all looks, such as an
    error of the baseline or a drift of the level, belongs into `var`: the estimates of
    successive looks are then one Gaussian process, and the ratio is a martingale.
    """
    total = var + tau * tau
    pull = rise * tau / np.sqrt(var * total)
    log_e = np.log(2.0) + 0.5 * np.log(var / total) + 0.5 * pull * pull + log_ndtr(pull)
    e: np.ndarray = np.exp(np.minimum(log_e, _MOST_LOG_E))
    return e


def spread_of(
    quarters: list[sketch.Sketches], rows: np.ndarray, bucket: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What quarter-hours of each row differ by with nothing wrong, beyond sampling.

    Returns:
        rho: over-dispersion (intra-class correlation) of the share beyond `bucket`.
        drift: standard deviation of the mean log value.
    """
    rho, drift = np.full(len(rows), RHO_UNKNOWN), np.full(len(rows), DRIFT)
    parts = [part.only(rows) for part in quarters]
    if len(parts) < FITTED or not len(rows):
        return rho, drift
    slow = np.array([sketch.above(part, rows, bucket) for part in parts], float)
    held = [sketch.moments(part, rows) for part in parts]
    n = np.array([one.n for one in held], float)
    enough = n >= QUARTER_N
    fit = enough.sum(axis=0) >= FITTED
    n, slow = np.where(enough, n, 0.0), np.where(enough, slow, 0.0)
    known = np.maximum(n, 1.0)
    rho = np.where(fit, _rho(slow, n, enough), rho)
    mean = np.where(enough, [one.mean for one in held], 0.0)
    var = np.where(enough, [one.var for one in held], 0.0)
    count = np.maximum(enough.sum(axis=0), 2)
    centre = mean.sum(axis=0) / count
    between = np.where(enough, (mean - centre) ** 2, 0.0).sum(axis=0) / (count - 1)
    within = (var / known).sum(axis=0) / count
    drift = np.where(fit, np.sqrt(np.maximum(between - within, DRIFT**2)), drift)
    return rho, drift


def _rho(slow: np.ndarray, n: np.ndarray, enough: np.ndarray) -> np.ndarray:
    """Method of moments, as `shares.over_dispersion`, one column a row."""
    known = np.maximum(n, 1.0)
    p = slow.sum(axis=0) / np.maximum(n.sum(axis=0), 1.0)
    fair = np.clip(p * (1 - p), 1e-12, None)
    excess = np.where(enough, (slow / known - p) ** 2 / fair - 1 / known, 0.0).sum(axis=0)
    weight = np.where(enough, 1 - 1 / known, 0.0).sum(axis=0)
    rho = np.clip(excess / np.maximum(weight, 1e-12), tails.RHO_MIN, RHO_MAX)
    return np.where((p > 0) & (p < 1), rho, tails.RHO_MIN)


def needed(
    p0: np.ndarray, p1: np.ndarray, alpha: float, *, power: float = 0.9, rho: np.ndarray | float = 0
) -> np.ndarray:
    """Observations at which a share of p1 is told from p0 < p1 at level `alpha` with `power`.

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
