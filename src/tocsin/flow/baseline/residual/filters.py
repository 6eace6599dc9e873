"""Causal filters over blocks, that give the same however the past was cut into blocks."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from tocsin.flow.baseline.residual.model_state import State


def lagged_ewma(state: State, name: str, x: np.ndarray, span: float) -> np.ndarray:
    """The average of `x` up to the value before, [rows, T]; carried in the state by `name`."""
    alpha = 2.0 / (span + 1.0)
    out, state[f"z_{name}"] = lfilter([alpha], [1.0, alpha - 1.0], x, zi=state[f"z_{name}"])
    before = np.concatenate((state[name][:, None], out[:, :-1]), 1)
    state[name] = out[:, -1].copy()
    return before


def start_ewma(state: State, name: str, rows: np.ndarray, value: np.ndarray, span: float) -> None:
    """As if `value` had been there for ever."""
    state[name][rows] = value
    state[f"z_{name}"][rows, 0] = (1.0 - 2.0 / (span + 1.0)) * value


def back(past: np.ndarray, ring: int, lag: int) -> np.ndarray:
    """The values `lag` before each of the block, where `past` is a ring and then the block."""
    return past[:, ring - lag : past.shape[1] - lag]


def median5(past: np.ndarray, ring: int) -> np.ndarray:
    """The median of each value and the four before it: minima and maxima, no sorting."""
    a, b, c, d, e = (back(past, ring, lag) for lag in range(5))
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    middle: np.ndarray = np.maximum(np.minimum(e, low), np.minimum(np.maximum(e, low), high))
    return middle


def mean_of(past: np.ndarray, ring: int, count: int) -> np.ndarray:
    """The mean of each value and those before it, `count` in all; summed in one order."""
    total = back(past, ring, count - 1).copy()
    for lag in range(count - 2, -1, -1):
        total += back(past, ring, lag)
    return total / count
