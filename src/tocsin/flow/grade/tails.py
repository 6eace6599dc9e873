"""Tail probabilities, vectorised: how improbable a count, a sum, a silence or a share is."""

from __future__ import annotations

import numpy as np
from scipy.special import betainc, betaincc, betaln, gammaincc, gammaln, logsumexp, ndtr

#: Bounds of the negative-binomial size. The catalogue floors it at 1; bursty series (a batch
#: job every quarter of an hour) are wilder than that, and a floor would call each burst 1e-7.
K_MIN, K_MAX = 0.02, 1e4
#: A part of a day differs from the next by more than sampling: floor on the over-dispersion.
RHO_MIN = 0.002
#: Beyond this many trials a beta-binomial is taken for the beta of the same two moments.
_EXACT_N = 5_000


def nb_size(mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    """Size k of the negative binomial with these moments: var = mean + mean^2 / k."""
    excess = np.maximum(var - mean, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        k = np.where(excess > 0, mean * mean / excess, K_MAX)
    return np.clip(k, K_MIN, K_MAX)


def nb_upper(x: np.ndarray, mu: np.ndarray, k: np.ndarray) -> np.ndarray:
    """P(X >= x) of a negative binomial with mean mu > 0 and size k."""
    return np.where(x <= 0, 1.0, betainc(np.maximum(x, 1e-9), k, mu / (mu + k)))


def nb_lower(x: np.ndarray, mu: np.ndarray, k: np.ndarray) -> np.ndarray:
    """P(X <= x) of a negative binomial with mean mu > 0 and size k."""
    return betainc(k, np.floor(x) + 1.0, k / (mu + k))


def nb_zero(mu: np.ndarray, k: np.ndarray) -> np.ndarray:
    """P(X = 0) with mean mu over the whole silence.

    The size is that of one window: what makes a window differ is taken to last as long as
    the silence. Sizes that grow with the silence would call a lull in bursty traffic absurd.
    """
    return np.exp(-k * np.log1p(mu / k))


def gamma_upper(x: np.ndarray, mean: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """P(X >= x) of a gamma with this mean > 0 and shape = mean^2 / variance."""
    return gammaincc(shape, np.maximum(x, 0.0) * shape / mean)


def beta_binomial_upper(k: np.ndarray, n: np.ndarray, p: np.ndarray, rho: float) -> np.ndarray:
    """P(K >= k) of n trials whose chance is itself beta: mean p, intra-class correlation rho."""
    k, n, p = np.broadcast_arrays(np.asarray(k, float), np.asarray(n, float), np.asarray(p, float))
    p = np.clip(p, 1e-9, 1 - 1e-9)
    out = np.ones(k.shape)
    spread = 1.0 / rho - 1.0
    for i in np.ndindex(k.shape):
        if k[i] <= 0:
            continue
        if n[i] <= _EXACT_N:
            j = np.arange(k[i], n[i] + 1)
            a, b = p[i] * spread, (1 - p[i]) * spread
            log_choose = gammaln(n[i] + 1) - gammaln(j + 1) - gammaln(n[i] - j + 1)
            log_pmf = log_choose + betaln(j + a, n[i] - j + b) - betaln(a, b)
            out[i] = min(1.0, float(np.exp(logsumexp(log_pmf)))) if len(j) else 0.0
        else:
            rho_eff = (1 + (n[i] - 1) * rho) / n[i]
            total = 1 / rho_eff - 1
            out[i] = betaincc(p[i] * total, (1 - p[i]) * total, (k[i] - 0.5) / n[i])
    return out


def normal_upper(z: np.ndarray) -> np.ndarray:
    """P(Z >= z)."""
    return ndtr(-np.asarray(z, float))
