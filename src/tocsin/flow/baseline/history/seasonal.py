"""What the clock says a window should hold: the hour of the week, else the hour of the day.

A *slot* is an hour on the wall clock. Its habit is a weighted median of log(1 + total) over
the same hour of earlier weeks (six at most, a recent week counts more), or, while there are
fewer than three weeks, over the same hour of earlier days of its kind: working days, or
weekends and holidays. Hours of past holidays say nothing about other days. Between the
middles of hours a habit is interpolated, so that a ramp is no staircase.

A habit is made of hours a day old and older, so it stands for as long as it is asked for, and
is worked out once an hour for all series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.history.calendars import DAY_S, HOUR_S
from tocsin.flow.baseline.history.level_shifts import LevelShifts
from tocsin.flow.baseline.history.weeks import Weeks
from tocsin.types import Baseline

_WEEKS, _DAYS = 6, 14
_WEEKLY_AGE_S, _DAILY_AGE_S = 21 * DAY_S, 3 * DAY_S
#: What a week counts, against the week after it.
_FADE = 0.85
#: Few weeks look more alike than they are: floor on the variance of a log total.
_VAR_MIN = 0.02


@dataclass(frozen=True, slots=True)
class _Slot:
    """Per row of `Weeks`, and last of no row: median and variance of log(1 + total), and kind."""

    level: np.ndarray
    var: np.ndarray
    kind: np.ndarray


@dataclass(frozen=True, slots=True)
class Curve:
    """What each row should hold a second at some times; `kind` is NONE where nothing is known.

    `rate` goes from the middle of an hour to the middle of the next; `step` is the rate of the
    hour itself. A ramp is the one, a job that starts at the full hour the other: what holds
    under both is sure.
    """

    rate: np.ndarray  # float64 [rows, times]
    step: np.ndarray  # float64 [rows, times]
    var: np.ndarray  # variance of the log of an hour's total, between weeks
    kind: np.ndarray  # a `Baseline` each


class SeasonalProfile:
    """See the module; one a shard, beside its weeks."""

    def __init__(self, weeks: Weeks, levels: LevelShifts) -> None:
        self._weeks, self._levels = weeks, levels
        self._slots: dict[tuple[str, int], _Slot] = {}
        self._typical: dict[str, tuple[int, np.ndarray]] = {}
        self._forgotten = 0

    def curve(self, signal: str, rows: np.ndarray, times: np.ndarray) -> Curve:
        """The habit of `rows` at `times` (epoch s, ascending, a few hours at most)."""
        middle = (times - HOUR_S / 2) / HOUR_S
        before = np.floor(middle).astype(np.int64)
        newest = int(times[-1]) // HOUR_S
        first = min(int(before[0]), newest)
        slots = [self._slot(signal, hour) for hour in range(first, max(before[-1] + 2, newest + 1))]
        own = self._weeks.own_rows(rows)
        now = slots[newest - first]
        # A series that entered since the slot was worked out has no habit yet.
        own = np.where(own < len(now.kind) - 1, own, -1)
        level = np.stack([_at(slot.level, own) for slot in slots], axis=1)
        if not np.isfinite(level).any():
            nothing = np.full((len(rows), len(times)), np.nan)
            return Curve(nothing, nothing, nothing[:, 0], np.zeros(len(rows), int))
        level = np.where(np.isfinite(level), level, level[:, newest - first, None])
        at = before - first
        part = (middle - before)[None, :]
        log = level[:, at] * (1 - part) + level[:, at + 1] * part
        return Curve(
            np.expm1(log) / HOUR_S,
            np.expm1(level[:, times // HOUR_S - first]) / HOUR_S,
            now.var[own],
            now.kind[own],
        )

    def typical(self, signal: str, rows: np.ndarray, at: int) -> np.ndarray:
        """Median hour of the last week of each row as a rate a second; NaN if unknown."""
        hour = at // HOUR_S
        held = self._typical.get(signal)
        if held is None or held[0] != hour or self._forgotten != self._weeks.forgotten:
            hours = self._totals(signal, np.arange(hour - 1 - 168, hour - 1))
            known = np.isfinite(hours).sum(axis=1) >= 24
            filled = np.where(known[:, None], hours, 0.0)
            typical = np.where(known, np.nanmedian(filled, axis=1), np.nan) / HOUR_S
            held = hour, np.append(typical, np.nan)
            self._typical[signal] = held
        own = self._weeks.own_rows(rows)
        return _at(held[1], own)

    def forget(self) -> None:
        """A level shift was accepted: what was worked out does not hold any more."""
        self._slots.clear()
        self._typical.clear()

    def _totals(self, signal: str, hours: np.ndarray) -> np.ndarray:
        """Totals of hours by own row, those before an accepted level shift brought to its level."""
        totals = self._weeks.own(signal, hours)
        for series, since, factor in self._levels.accepted(signal):
            row = self._weeks.own_row(series)
            if row >= 0:
                totals[row, hours * HOUR_S < since] *= np.exp(factor)
        return totals

    def _slot(self, signal: str, hour: int) -> _Slot:
        if self._forgotten != self._weeks.forgotten:  # rows may have changed hands
            self._slots.clear()
            self._forgotten = self._weeks.forgotten
        slot = self._slots.get((signal, hour))
        if slot is None:
            for key in [key for key in self._slots if key[1] < hour - 24 - 6]:
                del self._slots[key]
            slot = self._slots[signal, hour] = self._work_out(signal, hour)
        return slot

    def _work_out(self, signal: str, hour: int) -> _Slot:
        weeks, calendar, at = self._weeks, self._weeks.calendar, hour * HOUR_S
        same = [calendar.weeks_before(at, week) // HOUR_S for week in range(1, _WEEKS + 1)]
        weekly = self._logs(signal, np.array(same, np.int64), free=calendar.is_holiday(at))
        kind = calendar.is_weekend(at)
        days = [calendar.days_before(at, day) for day in range(1, _DAYS + 1)]
        alike = [day // HOUR_S for day in days if calendar.is_weekend(day) == kind]
        daily = self._logs(signal, np.array(alike, np.int64), free=kind)
        age = at - weeks.own_first() * HOUR_S
        by_week, week_var, weeks_known = _median(weekly)
        by_day, day_var, days_known = _median(daily)
        is_weekly = (age >= _WEEKLY_AGE_S) & (weeks_known >= 2) & (not calendar.is_holiday(at))
        is_daily = ~is_weekly & (age >= _DAILY_AGE_S) & (days_known >= 2)
        kinds = [Baseline.HOUR_OF_WEEK, Baseline.HOUR_OF_DAY]
        return _Slot(
            np.append(np.select([is_weekly, is_daily], [by_week, by_day], np.nan), np.nan),
            np.append(np.select([is_weekly, is_daily], [week_var, day_var], np.nan), np.nan),
            np.append(np.select([is_weekly, is_daily], kinds, Baseline.NONE), Baseline.NONE),
        )

    def _logs(self, signal: str, hours: np.ndarray, *, free: bool) -> np.ndarray:
        """log(1 + total) of some hours, newest first; a holiday counts among free days only."""
        totals = self._totals(signal, hours)
        if not free:
            away = [self._weeks.calendar.is_holiday(int(hour) * HOUR_S) for hour in hours]
            totals[:, np.array(away, bool)] = np.nan
        logs: np.ndarray = np.log1p(np.maximum(totals, 0.0))
        return logs


def _at(values: np.ndarray, own: np.ndarray) -> np.ndarray:
    """values[own]; the last, NaN, of a series that entered since they were worked out."""
    found: np.ndarray = values[np.where(own < len(values) - 1, own, -1)]
    return found


def _median(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted median and variance of each row (the first column counts most), and how many."""
    if not values.shape[1]:
        nothing = np.full(len(values), np.nan)
        return nothing, nothing, np.zeros(len(values), np.int64)
    known = np.isfinite(values)
    weight = np.where(known, _FADE ** np.arange(values.shape[1]), 0.0)
    order = np.argsort(values, axis=1, kind="stable")  # NaN goes to the end
    ranked = np.take_along_axis(values, order, axis=1)
    total = np.cumsum(np.take_along_axis(weight, order, axis=1), axis=1)
    half = total[:, -1:] / 2
    line = np.arange(len(values))
    low = np.argmax(total >= half - 1e-12, axis=1)
    high = np.argmax(total > half + 1e-12, axis=1)  # where half falls between two: their mean
    middle = (ranked[line, low] + ranked[line, high]) / 2
    n = known.sum(axis=1)
    # The middle half of a normal spans 1.349 standard deviations; of few values, their range.
    spread = np.where(known, np.abs(values - middle[:, None]), np.nan)
    spread = np.sort(spread, axis=1)[line, np.maximum((n - 1) // 2, 0)] * 1.4826
    return np.where(n > 0, middle, np.nan), np.maximum(spread**2, _VAR_MIN), n
