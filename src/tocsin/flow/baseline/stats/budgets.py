"""Budgets of money: burn rates, forecasts, and days that are dearer than usual.

Burn rates and their pairs of windows are those of the SRE Workbook (Beyer et al. 2018,
chapter 5): 14.4 times over an hour is 2 % of thirty days' budget, 6 times over six hours 5 %,
once over three days 10 %; a short window beside each says that it still burns.
"""

import datetime as dt
import zoneinfo
from typing import Final

import numpy as np
from scipy.special import stdtr, stdtrit

from tocsin.types import Bools, CostBudget, Floats

NANO: Final = 1_000_000_000
_DAY_S: Final = 86_400
#: Times the budget's even rate, and the long and short window it must hold over, s.
BURNS: Final = ((14.4, 3_600, 300), (6.0, 21_600, 1_800), (1.0, 259_200, 21_600))
#: Days a forecast needs; days that each back-test forecasts; back-tests that give its error.
_MIN_DAYS, _TRIED_DAYS, _MIN_TRIES = 3, 7, 5
#: The 90th percentile of actual over forecast while there are fewer back-tests.
_WRONG_UNKNOWN = 1.3
#: Least standard deviation of the log of a day's cost.
_SD_MIN: Final = 0.1


def nano_a_second(budget: CostBudget) -> float:
    """The even rate of a budget: of a month of thirty days, else of a day."""
    return (budget.monthly_usd / 30 or budget.daily_usd) * NANO / _DAY_S


def day_start(budget: CostBudget, at: int) -> int:
    """The midnight before `at` on the wall clock of the budget, epoch s."""
    local = dt.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(budget.time_zone))
    return round(local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp())


def month_start(budget: CostBudget, at: int) -> int:
    """The first midnight of the month of `at`, epoch s."""
    local = dt.datetime.fromtimestamp(at, zoneinfo.ZoneInfo(budget.time_zone))
    first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    return round(first.timestamp())


def month_end(budget: CostBudget, at: int) -> int:
    """The first midnight of the next month, epoch s."""
    return month_start(budget, month_start(budget, at) + 32 * _DAY_S)


def burns(long: Floats, short: Floats, rate: float) -> Bools:
    """Which of BURNS hold, bool [3].

    Args:
        long: spent over their long windows, nano-USD [3].
        short: over their short ones.
        rate: the even rate of the budget, nano-USD a second; 0 = no budget.
    """
    if rate <= 0:
        return np.zeros(len(BURNS), bool)
    times, longs, shorts = (np.array(column, float) for column in zip(*BURNS, strict=True))
    even = times * rate
    burning: Bools = (long >= even * longs) & (short >= even * shorts)
    return burning


def forecast(days: Floats, horizon_days: float) -> tuple[float, float]:
    """Mean and 90th percentile of the cost of the next `horizon_days`; NaN = not known.

    Seasonal-naive: a day costs the mean of its weekday in the weeks before. The error is that
    of back-tests on every earlier week; the percentile is Student's t with as many degrees of
    freedom as there are whole weeks, since overlapping weeks are dependent.

    Args:
        days: costs of the last days of 24 hours, the newest first; NaN where unknown.
        horizon_days: 0 or more.
    """
    if np.isfinite(days).sum() < _MIN_DAYS:
        return float("nan"), float("nan")
    errors = []
    for origin in range(_TRIED_DAYS, len(days) - _MIN_DAYS):
        actual, before = days[origin - _TRIED_DAYS : origin], days[origin:]
        if np.isfinite(actual).all() and np.isfinite(before).sum() >= _MIN_DAYS:
            guess = _ahead(before, float(_TRIED_DAYS))
            errors += [np.log(actual.sum() / guess)] if guess > 0 and actual.sum() > 0 else []
    error_90 = _WRONG_UNKNOWN
    if len(errors) >= _MIN_TRIES:
        weeks = max(len(errors) // _TRIED_DAYS, 1)
        error_90 = float(np.exp(stdtrit(weeks, 0.9) * np.sqrt(np.mean(np.square(errors)))))
    mean = _ahead(days, horizon_days)
    return mean, mean * error_90


def _ahead(days: Floats, horizon_days: float) -> float:
    """The sum of the coming days, the last of them in part."""
    overall = float(np.nanmean(days))
    total = 0.0
    for ahead in range(int(np.ceil(horizon_days))):
        same = days[6 - ahead % 7 :: 7]
        value = float(np.nanmean(same)) if np.isfinite(same).any() else overall
        total += value * min(1.0, horizon_days - ahead)
    return total


def expensive_day(
    now: Floats, days: Floats, p: float, least: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A usual day, the bound of a dear one, and how improbable the last one is.

    The bound is the prediction limit of one more day of a log-normal (Student's t), at least
    the dearest known day; all are NaN where fewer than `least` days are known.

    Args:
        now: cost of the last 24 hours [series].
        days: costs of days [series, days], NaN where unknown.
        p: how improbable a day must be to be beyond the bound.
        least: days that must be known.
    """
    spent = days > 0  # NaN compares as false
    n = spent.sum(axis=1)
    known = n >= max(least, 2)
    safe = np.maximum(n, 2)
    logs = np.log(np.where(spent, days, 1.0))
    mean = logs.sum(axis=1) / safe
    var = np.where(spent, (logs - mean[:, None]) ** 2, 0.0).sum(axis=1) / (safe - 1)
    error = np.sqrt(np.maximum(var, _SD_MIN**2) * (1 + 1 / safe))
    bound = np.exp(np.where(known, mean + stdtrit(safe - 1, 1 - p) * error, 0.0))
    bound = np.maximum(bound, np.where(spent, days, 0.0).max(axis=1, initial=0.0))
    score = (np.log(np.maximum(now, 1.0)) - mean) / error
    values = (np.exp(mean), bound, stdtr(safe - 1, -score))
    usual, limit, chance = (np.where(known, value, np.nan) for value in values)
    return usual, limit, chance
