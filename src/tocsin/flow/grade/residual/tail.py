"""How improbable a residual is: counts by size, and a generalised Pareto beyond them.

Sizes are kept in logarithmic bins, so a tail is a few dozen counts that add and fade. Below the
threshold (the size that TAIL_SHARE of the past exceeds) the counts speak; beyond it a
generalised Pareto fitted by the method of moments (Hosking and Wallis 1987; SPOT, Siffer 2017).
The fit starts from PRIOR excesses of a typical tail: past incidents are in the counts too, and
must not teach that incidents are usual.
"""

from __future__ import annotations

import numpy as np

BINS, _PER_OCTAVE, _SMALLEST = 44, 3.0, 0.25
#: Lower edges of the bins and the last upper one: 0.25 to 6,500; the first bin is 0 to 0.31.
EDGES = _SMALLEST * 2 ** (np.arange(BINS + 1) / _PER_OCTAVE)
_MIDDLES = np.sqrt(EDGES[:-1] * EDGES[1:])

TAIL_SHARE = 0.03
PRIOR = 100.0  # excesses the fit starts from
PRIOR_EXCESS, PRIOR_SHAPE = 0.35, 0.15  # their mean, in thresholds, and the shape of their tail
SHAPE_MAX = 0.6
SURPRISE_MAX = 8.0  # -log10 p; nothing is surer than that


def place(size: np.ndarray) -> np.ndarray:
    """Where sizes >= 0 lie on the bins, with the fraction: 0 <= place < BINS."""
    where: np.ndarray = np.clip(
        _PER_OCTAVE * np.log2(np.maximum(size, 1e-30) / _SMALLEST), 0.0, BINS - 1e-6
    )
    return where


def surprises(counts: np.ndarray) -> np.ndarray:
    """-log10 P(size >= edge) at each of EDGES [..., BINS + 1], of counts [..., 2, BINS].

    The two tails of one view are rated against the count of both sides together.
    """
    counts = counts.astype(np.float64)
    below = np.zeros((*counts.shape[:-1], 1))
    beyond = np.concatenate((np.cumsum(counts[..., ::-1], -1)[..., ::-1], below), -1)
    total = beyond[..., :1].sum(-2, keepdims=True)
    share = (beyond + 0.5) / (np.maximum(total, 1.0) + 1.0)
    first = np.argmax(share <= TAIL_SHARE, -1)[..., None]
    threshold = EDGES[first]
    inside = np.arange(BINS) >= first
    sigma, xi = _fit(counts * inside, np.maximum(_MIDDLES - threshold, 0.0), threshold)
    excess = np.maximum(EDGES - threshold, 0.0)
    pareto = np.log10(1.0 + xi * excess / sigma) / xi
    at = -np.log10(np.take_along_axis(share, first, -1))
    counted = -np.log10(np.minimum(share, 1.0))
    out: np.ndarray = np.where(np.arange(BINS + 1) >= first, at + pareto, counted)
    return out


def _fit(
    counts: np.ndarray, excess: np.ndarray, threshold: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shape > 0 of the generalised Pareto by moments, with the prior's excesses."""
    usual = PRIOR_EXCESS * threshold
    usual_square = usual * usual * (1.0 + 1.0 / (1.0 - 2.0 * PRIOR_SHAPE))
    n = counts.sum(-1, keepdims=True) + PRIOR
    mean = ((counts * excess).sum(-1, keepdims=True) + PRIOR * usual) / n
    square = ((counts * excess * excess).sum(-1, keepdims=True) + PRIOR * usual_square) / n
    ratio = mean * mean / np.maximum(square - mean * mean, 1e-12)
    xi = np.clip(0.5 * (1.0 - ratio), 1e-4, SHAPE_MAX)
    return mean * (1.0 - xi), xi


def look_up(table: np.ndarray, places: np.ndarray) -> np.ndarray:
    """-log10 p at `places` [..., T] of tables [..., BINS + 1], linear between the edges."""
    low = places.astype(np.int64)
    part = places - low
    below = np.take_along_axis(table, low, -1)
    above = np.take_along_axis(table, low + 1, -1)
    out: np.ndarray = np.minimum(below + (above - below) * part, SURPRISE_MAX)
    return out
