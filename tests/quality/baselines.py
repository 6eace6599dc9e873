"""Two published detectors on whole series, to see how hard a fleet is.

Each knows the scale and the tail of its own first half; a score is -log10 of how improbable a
value's size is there. They are no part of Tocsin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.signal import lfilter

_SPAN = 30
_TAIL = 0.02  # the share of the first half that a generalised Pareto is fitted to


def ewma(x: np.ndarray) -> np.ndarray:
    """How far each value of x [n] lies from the average of those before it, span 30."""
    alpha = 2 / (_SPAN + 1)
    level, _ = lfilter([alpha], [1, alpha - 1], x, zi=[(1 - alpha) * x[0]])
    size: np.ndarray = np.abs(x - np.concatenate((x[:1], level[:-1])))
    return size


def fluxev(x: np.ndarray, day: int = 1440, days: int = 4) -> np.ndarray:
    """FluxEV (Li et al., WSDM 2021): how much the residual's spread over ten values grows, less
    the most it grew within two values of this time on the days before.
    """
    spread = _spread(ewma(x), 10)
    grown = np.maximum(np.diff(spread, prepend=spread[0]), 0.0)
    nearby, usual = maximum_filter1d(grown, 5), np.zeros_like(grown)
    for past in range(1, days + 1):
        usual[past * day :] = np.maximum(usual[past * day :], nearby[: -past * day])
    beyond: np.ndarray = np.maximum(grown - usual, 0.0)
    return beyond


def _spread(x: np.ndarray, width: int) -> np.ndarray:
    """Standard deviation of each value and those before it, `width` in all."""
    at = np.arange(1, len(x) + 1)
    first = np.maximum(at - width, 0)
    total, square = (np.cumsum(np.concatenate(([0.0], part))) for part in (x, x * x))
    count = at - first
    mean = (total[at] - total[first]) / count
    variance = (square[at] - square[first]) / count - mean * mean
    spread: np.ndarray = np.sqrt(np.maximum(variance, 0.0))
    return spread


def surprise(size: np.ndarray) -> np.ndarray:
    """-log10 of how often the first half exceeds each size [n]: counts, then a Pareto tail by
    moments (SPOT, Siffer 2017).
    """
    known = np.sort(size[: len(size) // 2])
    threshold = float(np.quantile(known, 1 - _TAIL))
    excess = known[known > threshold] - threshold
    beyond = 1 - np.searchsorted(known, size) / (len(known) + 1)
    counted = -np.log10(np.maximum(beyond, _TAIL))
    if len(excess) < 10:
        return counted
    mean, variance = float(excess.mean()), float(excess.var()) + 1e-18
    shape = float(np.clip(0.5 * (1 - mean * mean / variance), 1e-4, 0.5))
    scale = max(mean * (1 - shape), 1e-12)
    tail = np.log10(1 + shape * np.maximum(size - threshold, 0) / scale) / shape
    rated: np.ndarray = np.where(size > threshold, tail - np.log10(_TAIL), counted)
    return rated


def filled(x: np.ndarray) -> np.ndarray:
    """x [n] with every missing value as the one before it."""
    at = np.maximum.accumulate(np.where(np.isnan(x), 0, np.arange(len(x))))
    out: np.ndarray = np.nan_to_num(x[at], nan=float(np.nanmedian(x)))
    return out


METHODS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"EWMA": ewma, "FluxEV": fluxev}


def scores(method: str, x: np.ndarray) -> np.ndarray:
    """The scores of a series [n] by one of METHODS; NaN = missing."""
    return surprise(METHODS[method](filled(x)))
