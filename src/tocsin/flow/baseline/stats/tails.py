"""Tail probabilities of counts, sums, silences and shares, vectorised."""

import numpy as np
from scipy.special import betainc, betaincc, betaincinv, betaln, gammaincc, gammaln

from tocsin.types import Floats

#: Bounds of the negative-binomial size. Bursty series (a batch job every quarter-hour) have sizes
#: far below 1; a floor of 1 would give each burst a probability of 1e-7.
K_MIN, K_MAX = 0.02, 1e4
#: Least over-dispersion: parts of a day differ by more than sampling.
RHO_MIN = 0.002
#: Beyond this many trials a beta-binomial is taken for the beta of the same two moments.
_EXACT_N = 5_000


def nb_size(mean: Floats, var: Floats) -> Floats:
    """Size k of the negative binomial with these moments: var = mean + mean^2 / k."""
    excess = np.maximum(var - mean, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.where(excess > 0, mean * mean / excess, K_MAX)
    return np.clip(k, K_MIN, K_MAX)


def nb_upper(x: Floats, mu: Floats, k: Floats) -> Floats:
    """P(X >= x) of a negative binomial with mean mu > 0 and size k."""
    return np.where(x <= 0, 1.0, betainc(np.maximum(x, 1e-9), k, mu / (mu + k)))


def nb_lower(x: Floats, mu: Floats, k: Floats) -> np.ndarray:
    """P(X <= x) of a negative binomial with mean mu > 0 and size k."""
    return betainc(k, np.floor(x) + 1.0, k / (mu + k))


def nb_zero(mu: Floats, k: Floats) -> Floats:
    """P(X = 0) with mean mu over the whole silence.

    The size is that of one window: the deviation of a window is taken to last as long as the
    silence. Otherwise a lull in bursty traffic would have a probability near 0.
    """
    p: Floats = np.exp(-k * np.log1p(mu / k))
    return p


def gamma_upper(x: Floats, mean: Floats, shape: Floats) -> Floats:
    """P(X >= x) of a gamma with this mean > 0 and shape = mean^2 / variance."""
    return gammaincc(shape, np.maximum(x, 0.0) * shape / mean)


def beta_binomial_upper(k: np.ndarray, n: np.ndarray, p: Floats, rho: np.ndarray | float) -> Floats:
    """P(K >= k) of n trials whose chance is itself beta: mean p, intra-class correlation rho."""
    cells = np.broadcast_arrays(
        *(np.asarray(v, float) for v in (k, n, np.clip(p, 1e-9, 1 - 1e-9), rho))
    )
    out = np.ones(cells[0].shape)
    for i in np.ndindex(out.shape):
        hits, trials, mean, corr = (float(part[i]) for part in cells)
        if hits > 0:
            out[i] = _beta_binomial(hits, trials, mean, corr)
    return out


def _beta_binomial(hits: float, trials: float, mean: float, rho: float) -> float:
    if trials > _EXACT_N:
        rho = (1 + (trials - 1) * rho) / trials  # of the observed share itself
        spread = 1 / rho - 1
        return float(betaincc(mean * spread, (1 - mean) * spread, (hits - 0.5) / trials))
    spread = 1 / rho - 1
    a, b = mean * spread, (1 - mean) * spread
    j = np.arange(hits, trials + 1, dtype=float)
    log_choose = gammaln(trials + 1) - gammaln(j + 1) - gammaln(trials - j + 1)
    log_pmf = log_choose + betaln(j + a, trials - j + b) - betaln(a, b)
    if not len(j):
        return 0.0
    top = log_pmf.max()
    return min(1.0, float(np.exp(top) * np.exp(log_pmf - top).sum()))


def share_lower(k: np.ndarray, n: np.ndarray, p: float) -> Floats:
    """Lower confidence limit of the share that k of n are: Clopper and Pearson 1934."""
    with np.errstate(invalid="ignore"):
        least = betaincinv(k, n - k + 1, p)
    return np.where(k > 0, least, 0.0)
