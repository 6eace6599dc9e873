"""The expected value of a series' next window: bounds of its mean, dispersion, and baseline.

The first baseline that is known is taken: from three weeks of age on the hour of the week, from
three days on the hour of the day, of working days or of weekends (`history/seasonal.py`), each
times the local level (`local_level.py`); else the last three hours of windows; where too few of
them are not excluded, the quarter-hours of the last day; else the row is *not ready*. Without a
seasonal profile, from a day of age on, the same time yesterday (a quarter-hour either way) widens
the bounds in both directions, so that a nightly batch or a quiet lunch hour raises no alert on
its second day. On a holiday the last hours widen the seasonal bounds in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.expect import local_level
from tocsin.flow.baseline.history.calendars import HOUR_S
from tocsin.flow.baseline.history.history import History
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.baseline.stats import tails
from tocsin.types import Baseline, Bools, Floats, Ints

#: Below this median (events a window) a trimmed mean is used: the median is too coarse.
_SPARSE = 5.0
_LOCAL = 60  # windows that set the local level
#: Size where no window is known: the dispersion of an exponential distribution.
_UNSEEN = 1.0
#: Signals that count events; the others are sums.
COUNTED = frozenset({"n", "err", "to"})
DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Expected:
    """Per row, for one window: the expected value, if `ready`.

    `low` and `high` bound the means of the baselines; `size` is the negative-binomial size of
    counts or the gamma shape of sums; `record` is the second largest learned window (the
    largest may have been an incident); `learned` counts them; `baseline` is a `Baseline` each.
    """

    ready: Bools
    low: Floats
    high: Floats
    size: Floats
    record: Floats
    learned: Ints
    baseline: Ints

    def only(self, which: np.ndarray) -> Expected:
        """Some of the rows: a mask, or positions."""
        return Expected(
            self.ready[which],
            self.low[which],
            self.high[which],
            self.size[which],
            self.record[which],
            self.learned[which],
            self.baseline[which],
        )


def expect(
    history: History,
    signal: str,
    rows: Ints,
    *,
    at: int,
    warmup: int,
    skip: int = 0,
    quiet: Ints | None = None,
) -> Expected:
    """The expected value of the window `at` for `rows`, from windows before it.

    Args:
        history: of the shard.
        signal: a count signal that the history keeps.
        rows: which series.
        at: start of the window that is expected, epoch s.
        warmup: windows of age a row needs to be ready, a day at most.
        skip: newest windows to leave out for all rows.
        quiet: seconds before `at` to leave out, row by row (a silence under judgement); the
            means are then those of a window between there and the end of `at`.
    """
    values = history.counts.minutes(signal, rows, skip)
    if quiet is not None:
        _forget_newest(values, quiet // history.window_s)
    needed = min(_LOCAL, warmup)
    old = history.age(rows, at) >= min(warmup * history.window_s, DAY_S)
    mean, var, record, learned = _moments(values, is_count=signal == "n")
    baseline_3h = np.where(learned >= needed, Baseline.LAST_3_HOURS, Baseline.NONE)
    recent = _Recent(mean, _size(mean, var, signal), record, learned, baseline_3h)
    short = np.flatnonzero(learned < needed)
    if len(short):
        before = at - (history.window_s if quiet is None else int(quiet[short].min()))
        day = history.counts.quarters(signal, rows[short], before)
        if quiet is not None:
            _forget_newest(day, (quiet[short] - int(quiet[short].min())) // QUARTER_S)
        recent.fill(short, day, history.per_quarter, signal)
    size, baseline = recent.size, recent.baseline
    low, high = recent.level.copy(), recent.level.copy()
    if (baseline == Baseline.LAST_3_HOURS).any():
        yesterday = _yesterday(history, signal, rows, at)
        known = ~np.isnan(yesterday).any(axis=1) & (baseline == Baseline.LAST_3_HOURS)
        low[known] = np.minimum(low[known], yesterday[known].min(axis=1))
        high[known] = np.maximum(high[known], yesterday[known].max(axis=1))
        baseline = np.where(known, Baseline.LAST_3_HOURS_AND_YESTERDAY, baseline)
    usual = local_level.seasonal_level(history, signal, rows, values, at=at, skip=skip, quiet=quiet)
    if usual is not None:
        # A sum that was always 0 (no price, no tokens reported) predicts nothing.
        known = (usual.kind != Baseline.NONE) & ((usual.high > 0) | (signal in COUNTED))
        free = known & (baseline != Baseline.NONE) & history.weeks.calendar.is_holiday(at)
        # Hours do not show the dispersion of windows.
        size = np.where(
            known & (baseline == Baseline.NONE), np.minimum(_UNSEEN, 1 / usual.var), size
        )
        low = np.select([free, known], [np.minimum(low, usual.low), usual.low], low)
        high = np.select([free, known], [np.maximum(high, usual.high), usual.high], high)
        floor = 0.5 * history.window_s / HOUR_S  # of an hour without an event
        low, high = np.where(known, np.maximum((low, high), floor), (low, high))
        baseline = np.where(known, usual.kind, baseline)
    ready = old & (baseline != Baseline.NONE)
    return Expected(
        ready, low, high, size, record, learned, np.where(ready, baseline, Baseline.NONE)
    )


@dataclass(frozen=True, slots=True)
class _Recent:
    """Per row, as Expected: from the last hours, else the last day."""

    level: Floats
    size: Floats
    record: Floats
    learned: Ints
    baseline: Ints

    def fill(self, short: Ints, day: Floats, part: int, signal: str) -> None:
        """Take the rows `short` from the quarter-hours of a day, of `part` windows each."""
        mean, var, record, learned = _moments(day, is_count=False)
        good = (learned >= 4) & (mean > 0)
        self.level[short] = np.where(good, mean / part, self.level[short])
        self.size[short] = np.where(good, _size(mean, var, signal), self.size[short])
        self.record[short] = np.fmax(self.record[short], np.where(good, record / part, -1))
        self.learned[short] = np.where(good, learned * part, self.learned[short])
        self.baseline[short] = np.where(good, Baseline.LAST_24_HOURS, Baseline.NONE)


def _forget_newest(values: Floats, columns: Ints) -> None:
    """Set the newest `columns` of each row to NaN."""
    ago = np.arange(values.shape[1], 0, -1)
    values[ago[None, :] <= columns[:, None]] = np.nan


def _size(mean: Floats, var: Floats, signal: str) -> np.ndarray:
    """Dispersion: negative-binomial size of counts, gamma shape of sums of tokens or cost."""
    if signal in COUNTED:
        return tails.nb_size(mean, var)
    shape = np.divide(mean * mean, var, out=np.full(len(mean), tails.K_MAX), where=var > 0)
    size: Floats = np.clip(shape, tails.K_MIN, tails.K_MAX)
    return size


def _moments(
    values: Floats, *, is_count: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Robust mean, plain variance, second largest and number of the known values of each row.

    The mean of counts is the median of the last hour, where the median is coarse or a sum
    skewed a mean without the top 2 %. The variance is not robust on purpose: bursts belong to
    the dispersion of a series.
    """
    ranked = np.sort(values, axis=1)  # NaN goes to the end
    known = np.isfinite(ranked)
    n = known.sum(axis=1)
    filled = np.where(known, ranked, 0.0)
    cumulative = np.concatenate([np.zeros((len(values), 1)), np.cumsum(filled, axis=1)], axis=1)
    line = np.arange(len(values))
    safe = np.maximum(n, 1)
    cut = np.where(n >= 10, np.maximum(1, n // 50), 0)
    kept = np.maximum(n - cut, 1)
    mean = np.maximum(cumulative[line, kept] / kept, 0.5 / safe)
    average = cumulative[line, n] / safe
    var = np.where(known, (filled - average[:, None]) ** 2, 0.0).sum(axis=1) / np.maximum(n - 1, 1)
    if is_count:
        median = _median(ranked, n)
        local = np.sort(values[:, -_LOCAL:], axis=1)
        local_n = np.isfinite(local).sum(axis=1)
        recent = np.where(local_n >= _LOCAL // 3, _median(local, local_n), median)
        mean = np.where((median >= _SPARSE) & (recent >= _SPARSE), recent, mean)
    second = np.where(n >= 2, filled[line, np.maximum(n - 2, 0)], -1.0)
    return mean, var, second, n


def _median(ranked: Floats, n: Ints) -> np.ndarray:
    """Median of the first n[i] values of each sorted row; 0 where there are none."""
    if not ranked.shape[1]:
        return np.zeros(len(ranked))
    line = np.arange(len(ranked))
    low, high = np.maximum((n - 1) // 2, 0), np.minimum(n // 2, ranked.shape[1] - 1)
    return np.where(n > 0, (ranked[line, low] + ranked[line, high]) / 2, 0.0)


def _yesterday(history: History, signal: str, rows: Ints, at: int) -> np.ndarray:
    """Mean window of three quarter-hours around the same time yesterday; NaN if unknown."""
    middle = (at - DAY_S) // QUARTER_S * QUARTER_S
    day = history.counts.quarters(signal, rows, middle + 2 * QUARTER_S)
    if history.last_quarter is None or history.last_quarter < middle + QUARTER_S:
        return np.full((len(rows), 3), np.nan)
    return (
        day[:, -3:] / history.per_quarter if day.shape[1] >= 3 else np.full((len(rows), 3), np.nan)
    )
