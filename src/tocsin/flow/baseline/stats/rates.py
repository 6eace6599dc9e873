"""Failure rates k / n: confidence that one exceeds a threshold, and its dispersion.

All functions are vectorised over series:

- `wilson_lower`: the score interval (Wilson, JASA 1927), for one evaluation of one window.
- `log_e_value`, `log_e_detector`: evidence that stays valid when it is evaluated in
  every window. A mixture of likelihood ratios against the threshold is a test
  supermartingale while every call fails with at most that chance, given the calls before
  (Ville: it ever reaches 1/a with chance at most a). The sum of such processes, one begun in
  each window, is an e-detector (Shin, Ramdas, Rinaldo: E-detectors, NEJSDS 2024): the mean
  number of windows until it first reaches `A` is at least `A`.
- `dispersion`: variation of a rate between quarter-hours beyond sampling.
"""

import numpy as np
from scipy.special import betaincc, betaln, logsumexp, ndtri, xlog1py, xlogy

from tocsin.flow.baseline.stats.shares import RHO_MAX
from tocsin.flow.baseline.stats.tails import K_MAX, K_MIN, RHO_MIN
from tocsin.types import Floats

#: Quarter-hours with fewer calls say too little about how a rate varies.
_MIN_N = 20
_MIN_QUARTERS = 4
#: Windows back from the newest at which the e-detector's processes start.
_STARTS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144)


def wilson_lower(k: Floats, n: Floats, p: float) -> Floats:
    """Lower bound of a rate at one-sided confidence 1 - p, after k of n; 0 where n is 0."""
    z = float(ndtri(1 - p))
    safe = np.maximum(n, 1.0)
    share = k / safe
    spread = z * np.sqrt(share * (1 - share) / safe + z * z / (4 * safe * safe))
    low: Floats = (share + z * z / (2 * safe) - spread) / (1 + z * z / safe)
    return np.where(n > 0, np.maximum(low, 0.0), 0.0)


def log_e_value(k: Floats, n: Floats, threshold: np.ndarray | float) -> Floats:
    """Natural log of the e-value against "each call fails with chance at most `threshold`".

    The alternative is a beta distribution beyond the threshold, with most of its mass up to
    some times of it; -inf where the counts leave nothing of it.

    Args:
        k: failures since a start that was fixed before the calls were seen.
        n: calls since that start.
        threshold: 0..1, exclusive; one for all, or an array that broadcasts with the counts.
    """
    a, b = 1.0, 1 / (3 * threshold)
    with np.errstate(divide="ignore"):
        beyond = np.log(betaincc(a + k, b + n - k, threshold))
        prior = np.log(betaincc(a, b, threshold))
    mixture = betaln(a + k, b + n - k) + beyond - betaln(a, b) - prior
    fair = xlogy(k, threshold) + xlog1py(n - k, -threshold)
    log_e: Floats = mixture - fair
    return log_e


def log_e_detector(k: Floats, n: Floats, threshold: np.ndarray | float) -> Floats:
    """Natural log of the e-detector over windows [series, windows], the newest last.

    `threshold` is one for all, or one a series.

    Only processes that start at some windows are summed, which can only lower the sum. The
    bound on the run length holds for calls that fail independently, with probabilities at most
    the threshold. Clustered failures (a retry storm) violate it; then only the other gates of
    the rule limit false alarms.
    """
    width = k.shape[1]
    back = np.array(sorted({min(start, width) for start in _STARTS})) - 1
    k, n = (np.cumsum(part[:, ::-1], axis=1)[:, back] for part in (k, n))
    limits = np.reshape(threshold, (-1, 1))
    total: Floats = logsumexp(log_e_value(k, n, limits), axis=1)
    return total


def dispersion(k: Floats, n: Floats) -> Floats:
    """Intra-class correlation rho of a beta-binomial, by moments, of each row.

    Args:
        k: failures [series, quarter-hours], NaN where unknown.
        n: calls, the same shape.
    """
    enough = np.isfinite(k) & np.isfinite(n) & (np.nan_to_num(n) >= _MIN_N)
    k, n = np.where(enough, k, 0.0), np.where(enough, n, 0.0)
    rate = k.sum(axis=1) / np.maximum(n.sum(axis=1), 1.0)
    usable = (enough.sum(axis=1) >= _MIN_QUARTERS) & (rate > 0) & (rate < 1)
    spread = np.where(usable, rate * (1 - rate), 1.0)[:, None]
    safe = np.maximum(n, 1.0)
    # Each quarter's squared error expects p(1-p) (1 + (n - 1) rho) / n; solve the sum for rho.
    excess = np.where(enough, (k / safe - rate[:, None]) ** 2 / spread - 1 / safe, 0.0).sum(axis=1)
    weight = np.where(enough, 1 - 1 / safe, 0.0).sum(axis=1)
    # The floor is 0.002, or a standard deviation of a third of a rate that is small.
    least = np.minimum(RHO_MIN, 0.1 * rate)
    rho = np.clip(excess / np.maximum(weight, 1e-9), least, RHO_MAX)
    return np.where(usable, rho, RHO_MIN)


def expected_count(
    counts: np.ndarray, then: np.ndarray, now: Floats
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and negative-binomial size of a count that is proportional to traffic.

    Args:
        counts: of events [series, quarter-hours], NaN where unknown.
        then: the traffic they are of, the same shape.
        now: the traffic of the count that is expected [series].
    """
    known = np.isfinite(counts) & (then > 0)
    k, traffic = np.where(known, counts, 0.0), np.where(known, then, 0.0)
    rate = np.maximum(k.sum(axis=1), 0.5) / np.maximum(traffic.sum(axis=1), 1e-9)
    mean = rate[:, None] * traffic
    # Each quarter's squared error expects mean + mean^2 / size; solve the sum for the size. One
    # standard error of a Poisson is added, since few counts do not rule out clusters.
    excess = np.maximum(((k - mean) ** 2 - mean).sum(axis=1), 0.0)
    excess += np.sqrt((2 * mean * mean + mean).sum(axis=1))
    size = np.full(len(counts), K_MIN)
    np.divide((mean * mean).sum(axis=1), excess, out=size, where=excess > 0)
    return rate * now, np.clip(size, K_MIN, K_MAX)


def lift(errors: np.ndarray, calls: np.ndarray, all_calls: float) -> Floats:
    """Of each part: its share of the errors over its share of the calls; 0 without calls.

    1 means errors in proportion to traffic.
    """
    share = errors / max(float(errors.sum()), 1.0)
    traffic = calls / max(all_calls, 1.0)
    return np.divide(share, traffic, out=np.zeros(len(errors)), where=traffic > 0)
