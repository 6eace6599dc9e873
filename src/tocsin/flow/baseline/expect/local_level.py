"""The seasonal profile scaled to the local level: the value expected of a window today.

The local level is the median ratio of actual to profile over the last 60 known minutes, clipped
to 0.5 .. 2: a day twice as busy is no anomaly, a day five times as busy is. Ratios are of blocks
of five minutes; of rare events, of the sum of all sixty, since a median of few events is 0.
"""

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.seasonal import SeasonalRates
from tocsin.types import Baseline, Floats, Ints

LEVEL_MIN, LEVEL_MAX = 0.5, 2.0
_BLOCK_S = 300
_HOUR_S = 3_600
#: Expected events below which the sum of the blocks is taken, and below which the level is 1.
_DENSE, _LEAST = 20.0, 5.0
_STEP_S = 300  # a silence is integrated in steps


@dataclass(frozen=True, slots=True)
class SeasonalLevel:
    """Per row: bounds of the mean of a window, variance of the log of an hour between weeks."""

    low: Floats
    high: Floats
    var: Floats
    kind: Ints  # Baseline.NONE where there is none


def seasonal_level(
    history: History,
    signal: str,
    rows: Ints,
    values: Floats,
    *,
    at: int,
    skip: int,
    quiet: Ints | None = None,
) -> SeasonalLevel | None:
    """The profile of the window `at`, at the level of the last hour; None if no row has one.

    Args:
        history: of the shard.
        signal: a count signal.
        rows: which series.
        values: their windows, newest last, NaN where unknown or excluded.
        at: start of the window, epoch s.
        skip: how many newer windows the history holds than `values`.
        quiet: seconds before `at`, row by row, that the means extend over.
    """
    if history.last is None or not len(rows):
        return None
    now = _rate(history, signal, rows, at, quiet)
    having = np.flatnonzero(now.kind != Baseline.NONE)
    if not len(having):
        return None
    newest = history.last - skip * history.window_s
    level = np.ones(len(rows))
    level[having] = levels(history, signal, rows[having], values[having], newest)
    scale = level * history.window_s
    return SeasonalLevel(now.rate[:, 0] * scale, now.step[:, 0] * scale, now.var, now.kind)


def levels(history: History, signal: str, rows: Ints, values: Floats, newest: int) -> Floats:
    """The local level of each row: `values` are its windows, the last of which is `newest`."""
    hour = _HOUR_S // history.window_s
    level, blocks = _level(history, signal, rows, values[:, -hour:], newest)
    short = np.flatnonzero(blocks * 3 < _HOUR_S // max(_BLOCK_S, history.window_s))
    if len(short) and values.shape[1] > hour:  # the last hour is excluded
        level[short], _ = _level(history, signal, rows[short], values[short], newest)
    return level


def _level(
    history: History, signal: str, rows: Ints, values: Floats, newest: int
) -> tuple[np.ndarray, np.ndarray]:
    """The level over all of `values`, and how many blocks of each row are known."""
    per = max(1, _BLOCK_S // history.window_s)
    width = values.shape[1] // per
    values = values[:, values.shape[1] - width * per :].reshape(len(rows), width, per)
    known = np.isfinite(values).sum(axis=2)
    actual = np.where(known, np.nansum(values, axis=2), 0.0)
    ends = newest + history.window_s - np.arange(width - 1, -1, -1) * per * history.window_s
    seasonal = history.seasonal.rates(signal, rows, ends - per * history.window_s // 2)
    expected = np.nan_to_num(seasonal.rate) * history.window_s * known
    good = (known * 2 >= per) & (expected > 0)
    ratio = np.where(good, actual / np.where(good, expected, 1.0), np.nan)
    ranked = np.sort(ratio, axis=1)  # NaN goes to the end
    n, line = good.sum(axis=1), np.arange(len(rows))
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, width - 1)
    middle = (ranked[line, low] + ranked[line, high]) / 2
    whole = np.where(good, expected, 0.0).sum(axis=1)
    mean = np.where(good, actual, 0.0).sum(axis=1) / np.maximum(whole, 1e-9)
    dense = whole >= _DENSE * np.maximum(n, 1)
    level = np.select([(n == 0) | (whole < _LEAST), dense], [1.0, middle], mean)
    return np.clip(level, LEVEL_MIN, LEVEL_MAX), n


def _rate(history: History, signal: str, rows: Ints, at: int, quiet: Ints | None) -> SeasonalRates:
    """The least and the greatest rate in the window `at`, or both as means since `quiet`."""
    middle = at + history.window_s // 2
    longest = 0 if quiet is None or not len(quiet) else int(quiet.max())
    back = np.arange(-(-longest // _STEP_S), -1, -1) * _STEP_S
    seasonal = history.seasonal.rates(signal, rows, middle - back)
    inside = back[None, :] <= (0 if quiet is None else quiet[:, None])
    low, high = (
        np.where(inside, bound(seasonal.rate, seasonal.step), 0.0).sum(axis=1) / inside.sum(axis=1)
        for bound in (np.minimum, np.maximum)
    )
    return SeasonalRates(low[:, None], high[:, None], seasonal.var, seasonal.kind)
