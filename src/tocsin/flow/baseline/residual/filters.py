"""Causal filters over blocks; the result does not depend on where the blocks are cut."""

import numpy as np
from scipy.signal import lfilter

from tocsin.flow.baseline.residual.model_state import State
from tocsin.types import Floats, Ints


def lagged_ewma(state: State, name: str, x: Floats, span: float) -> Floats:
    """EWMA of `x` up to the value before, [rows, T]; its state is kept under `name`."""
    alpha = 2.0 / (span + 1.0)
    out, state[f"z_{name}"] = lfilter([alpha], [1.0, alpha - 1.0], x, zi=state[f"z_{name}"])
    before = np.concatenate((state[name][:, None], out[:, :-1]), 1)
    state[name] = out[:, -1].copy()
    return before


def start_ewma(state: State, name: str, rows: Ints, value: np.ndarray, span: float) -> None:
    """Set the filter of `rows` to its limit for a constant `value`."""
    state[name][rows] = value
    state[f"z_{name}"][rows, 0] = (1.0 - 2.0 / (span + 1.0)) * value


def lagged(history: np.ndarray, ring: int, lag: int) -> Floats:
    """The values `lag` ticks before those of the block; `history` is a ring, then the block."""
    return history[:, ring - lag : history.shape[1] - lag]


def median5(history: np.ndarray, ring: int) -> Floats:
    """The median of each value and the four before it: minima and maxima, no sorting."""
    a, b, c, d, e = (lagged(history, ring, lag) for lag in range(5))
    low = np.maximum(np.minimum(a, b), np.minimum(c, d))
    high = np.minimum(np.maximum(a, b), np.maximum(c, d))
    middle: Floats = np.maximum(np.minimum(e, low), np.minimum(np.maximum(e, low), high))
    return middle


def mean_of(history: np.ndarray, ring: int, count: int) -> Floats:
    """The mean of each value and those before it, `count` in all; summed in one order."""
    total = lagged(history, ring, count - 1).copy()
    for lag in range(count - 2, -1, -1):
        total += lagged(history, ring, lag)
    return total / count
