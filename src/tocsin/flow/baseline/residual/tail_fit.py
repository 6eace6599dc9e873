"""How improbable a residual is: counts by size, and a generalised Pareto beyond them.

Sizes are kept in logarithmic bins, so a tail is a few dozen counts that add and decay. Below the
threshold (the size that TAIL_SHARE of all exceed) probabilities are empirical; beyond it they
are a generalised Pareto fitted by the method of moments (Hosking and Wallis 1987; SPOT, Siffer
2017). Earlier incidents are among the counts. So that they do not make the next one probable, an
incident counts with CLUSTER of its values (`declustered`: Ferro and Segers 2003), the largest
excesses are clipped before the fit, and the fit starts from PRIOR excesses of a typical tail.
"""

import numpy as np

from tocsin.types import Floats

BINS, _PER_OCTAVE, _SMALLEST = 44, 3.0, 0.25
#: Lower edges of the bins and the last upper one: 0.25 to 6,500; the first bin is 0 to 0.31.
EDGES = _SMALLEST * 2 ** (np.arange(BINS + 1) / _PER_OCTAVE)
_MIDDLES = np.sqrt(EDGES[:-1] * EDGES[1:])

TAIL_SHARE = 0.03
#: Excesses of one chunk (an hour) that count in full; of more, all count less. Chance brings two
#: of sixty values. A chunk of fewer than eight values counts in full: each is a mean already.
CLUSTER = 8.0
KNOWN = 1000.0  # values a tail needs before excesses are declustered
#: For the fit, excesses are clipped to so many times what a tenth of them exceed.
_TENTH, _CUT, _CUT_LEAST = 0.1, 3.0, 1.0
PRIOR = 100.0  # excesses the fit starts from
PRIOR_EXCESS, PRIOR_SHAPE = 0.35, 0.15  # their mean, in thresholds, and the shape of their tail
SHAPE_MAX = 0.6
SURPRISE_MAX = 8.0  # -log10 p, the largest given


def place(size: Floats) -> Floats:
    """Where sizes >= 0 lie on the bins, with the fraction: 0 <= place < BINS."""
    where: Floats = np.clip(
        _PER_OCTAVE * np.log2(np.maximum(size, 1e-30) / _SMALLEST), 0.0, BINS - 1e-6
    )
    return where


def surprises(counts: np.ndarray) -> Floats:
    """-log10 P(size >= edge) at each of EDGES [..., BINS + 1], of counts [..., 2, BINS].

    Shares of the two tails of one view are of the count of both sides together.
    """
    counts = counts.astype(np.float64)
    beyond, share, first = _beyond(counts)
    threshold = EDGES[first]
    inside = np.arange(BINS) >= first
    tenth = np.argmax(beyond <= _TENTH * np.take_along_axis(beyond, first, -1), -1)[..., None]
    cut = np.maximum(_CUT * (EDGES[tenth] - threshold), _CUT_LEAST * threshold)
    typical = np.clip(_MIDDLES - threshold, 0.0, cut)
    sigma, xi = _fit(counts * inside, typical, threshold)
    excess = np.maximum(EDGES - threshold, 0.0)
    pareto = np.log10(1.0 + xi * excess / sigma) / xi
    at = -np.log10(np.take_along_axis(share, first, -1))
    counted = -np.log10(np.minimum(share, 1.0))
    out: Floats = np.where(np.arange(BINS + 1) >= first, at + pareto, counted)
    return out


def declustered(counts: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The counts of one chunk [..., 2, BINS], such that an incident in it counts as CLUSTER.

    Where they hold more than CLUSTER values beyond the threshold of `known` (counts of all
    chunks before), those values count less, CLUSTER in all.
    """
    _, _, first = _beyond(known.astype(np.float64))
    enough = known.sum((-2, -1), keepdims=True) >= KNOWN
    far = (np.arange(BINS) >= first) & enough
    together = (counts * far).sum(-1, keepdims=True)
    weight = CLUSTER / np.maximum(together, CLUSTER)
    out: np.ndarray = np.where(far, counts * weight, counts)
    return out


def _beyond(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of counts [..., 2, BINS]: how many lie at each of EDGES or beyond, that as a share of both
    sides, and the first edge whose share is within TAIL_SHARE [..., 2, 1].
    """
    none = np.zeros((*counts.shape[:-1], 1))
    beyond = np.concatenate((np.cumsum(counts[..., ::-1], -1)[..., ::-1], none), -1)
    total = beyond[..., :1].sum(-2, keepdims=True)
    share = (beyond + 0.5) / (np.maximum(total, 1.0) + 1.0)
    return beyond, share, np.argmax(share <= TAIL_SHARE, -1)[..., None]


def _fit(counts: np.ndarray, excess: Floats, threshold: Floats) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shape > 0 of the generalised Pareto by moments, with the prior's excesses."""
    usual = PRIOR_EXCESS * threshold
    usual_square = usual * usual * (1.0 + 1.0 / (1.0 - 2.0 * PRIOR_SHAPE))
    n = counts.sum(-1, keepdims=True) + PRIOR
    mean = ((counts * excess).sum(-1, keepdims=True) + PRIOR * usual) / n
    square = ((counts * excess * excess).sum(-1, keepdims=True) + PRIOR * usual_square) / n
    ratio = mean * mean / np.maximum(square - mean * mean, 1e-12)
    xi = np.clip(0.5 * (1.0 - ratio), 1e-4, SHAPE_MAX)
    return mean * (1.0 - xi), xi


def look_up(table: np.ndarray, places: np.ndarray) -> Floats:
    """-log10 p at `places` [..., T] of tables [..., BINS + 1], linear between the edges."""
    low = places.astype(np.int64)
    part = places - low
    below = np.take_along_axis(table, low, -1)
    above = np.take_along_axis(table, low + 1, -1)
    out: Floats = np.minimum(below + (above - below) * part, SURPRISE_MAX)
    return out
