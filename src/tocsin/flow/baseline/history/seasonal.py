"""The seasonal profile: totals expected by hour of the week, else by hour of the day.

The profile of an hour is a weighted median of log(1 + total) over the same hour (wall clock) of
earlier weeks (six at most, recent weeks weigh more), or, below three weeks of age, over the same
hour of earlier days of its kind: working days, or weekends and holidays. Holidays are left out
of the profile of other days. Between the middles of hours the profile is interpolated.

It uses hours that are at least a day old, so it is computed once an hour for all series.
"""

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.history.calendars import DAY_S, HOUR_S
from tocsin.flow.baseline.history.level_shifts import LevelShifts
from tocsin.flow.baseline.history.weeks import Weeks
from tocsin.types import Baseline, Floats, Ints

_WEEKS, _DAYS = 6, 14
_WEEKLY_AGE_S, _DAILY_AGE_S = 21 * DAY_S, 3 * DAY_S
#: Weight of a week, relative to the week after it.
_FADE = 0.85
#: Least variance of a log total: the sample of a few weeks is too small.
_VAR_MIN = 0.02


@dataclass(frozen=True, slots=True)
class _HourProfile:
    """Of one hour, by row of `Weeks`, and one last entry for no row."""

    level: Floats  # median of log(1 + total), NaN where unknown
    var: Floats  # its variance
    kind: Ints  # a `Baseline` each


@dataclass(frozen=True, slots=True)
class SeasonalRates:
    """The expected rate of each row at some times; `kind` is NONE where there is no profile.

    `rate` is interpolated between the middles of hours; `step` is constant within an hour. The
    first fits a ramp, the second a job that starts at the full hour; callers use both bounds.
    """

    rate: Floats  # float64 [rows, times], per second
    step: Floats  # float64 [rows, times]
    var: Floats  # variance of the log of an hour's total, between weeks
    kind: Ints  # a `Baseline` each


class SeasonalProfile:
    """See the module; one for each shard."""

    def __init__(self, weeks: Weeks, levels: LevelShifts) -> None:
        self._weeks, self._levels = weeks, levels
        self._cache: dict[tuple[str, int], _HourProfile] = {}
        self._typical: dict[str, tuple[int, np.ndarray]] = {}
        self._forgotten = 0

    def rates(self, signal: str, rows: Ints, times: Ints) -> SeasonalRates:
        """The profile of `rows` at `times` (epoch s, ascending, a few hours at most)."""
        middle = (times - HOUR_S / 2) / HOUR_S
        before = np.floor(middle).astype(np.int64)
        newest = int(times[-1]) // HOUR_S
        first = min(int(before[0]), newest)
        profiles = [
            self._hour_profile(signal, hour)
            for hour in range(first, max(before[-1] + 2, newest + 1))
        ]
        own = self._weeks.own_rows(rows)
        now = profiles[newest - first]
        # A series that is newer than the cached profile has none yet.
        own = np.where(own < len(now.kind) - 1, own, -1)
        level = np.stack([_at(profile.level, own) for profile in profiles], axis=1)
        if not np.isfinite(level).any():
            nothing = np.full((len(rows), len(times)), np.nan)
            return SeasonalRates(nothing, nothing, nothing[:, 0], np.zeros(len(rows), int))
        level = np.where(np.isfinite(level), level, level[:, newest - first, None])
        at = before - first
        part = (middle - before)[None, :]
        log = level[:, at] * (1 - part) + level[:, at + 1] * part
        return SeasonalRates(
            np.expm1(log) / HOUR_S,
            np.expm1(level[:, times // HOUR_S - first]) / HOUR_S,
            now.var[own],
            now.kind[own],
        )

    def typical(self, signal: str, rows: Ints, at: int) -> Floats:
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
        """Drop cached profiles: a level shift was accepted."""
        self._cache.clear()
        self._typical.clear()

    def _totals(self, signal: str, hours: Ints) -> np.ndarray:
        """Totals of hours by row of `Weeks`; before a level shift scaled to the new level."""
        totals = self._weeks.own(signal, hours)
        for series, since, factor in self._levels.accepted(signal):
            row = self._weeks.own_row(series)
            if row >= 0:
                totals[row, hours * HOUR_S < since] *= np.exp(factor)
        return totals

    def _hour_profile(self, signal: str, hour: int) -> _HourProfile:
        if self._forgotten != self._weeks.forgotten:  # rows may have changed hands
            self._cache.clear()
            self._forgotten = self._weeks.forgotten
        profile = self._cache.get((signal, hour))
        if profile is None:
            for key in [key for key in self._cache if key[1] < hour - 24 - 6]:
                del self._cache[key]
            profile = self._cache[signal, hour] = self._compute(signal, hour)
        return profile

    def _compute(self, signal: str, hour: int) -> _HourProfile:
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
        return _HourProfile(
            np.append(np.select([is_weekly, is_daily], [by_week, by_day], np.nan), np.nan),
            np.append(np.select([is_weekly, is_daily], [week_var, day_var], np.nan), np.nan),
            np.append(np.select([is_weekly, is_daily], kinds, Baseline.NONE), Baseline.NONE),
        )

    def _logs(self, signal: str, hours: Ints, *, free: bool) -> np.ndarray:
        """log(1 + total) of some hours, newest first; a holiday counts among free days only."""
        totals = self._totals(signal, hours)
        if not free:
            away = [self._weeks.calendar.is_holiday(int(hour) * HOUR_S) for hour in hours]
            totals[:, np.array(away, bool)] = np.nan
        logs: np.ndarray = np.log1p(np.maximum(totals, 0.0))
        return logs


def _at(values: Floats, own: Ints) -> np.ndarray:
    """values[own]; the last entry, NaN, for a series that is newer than they are."""
    found: np.ndarray = values[np.where(own < len(values) - 1, own, -1)]
    return found


def _median(values: Floats) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
