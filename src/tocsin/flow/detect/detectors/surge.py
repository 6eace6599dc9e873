"""A total over an hour far above what the clock expects of it: a rise too slow for a spike.

Expected is what is usual at this time of the day or week (`baseline/history/seasonal.py`), at the
local level; of a series whose usual time of day is not known nothing is said, since yesterday may
have been a Sunday. The total must also exceed the second largest hour of the last week: a job
once a month is told of, one every Monday is not. An hour varies less than its minutes do; how
much less is taken from how the same hour varied between weeks, else from the minutes as if they
came in lumps of six.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from tocsin.flow.baseline.expect.counts import Expected
from tocsin.flow.baseline.expect.recent import windows_of
from tocsin.flow.baseline.history.calendars import HOUR_S
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.contributors import drivers_of_rise
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.measure import counter_unit
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.types import Baseline, Floats

_LUMP_S: Final = 360.0  # minutes that rise and fall together
_WEEK_HOURS: Final = 168
#: Baselines that know the time of day.
_SEASONAL: Final = (Baseline.HOUR_OF_DAY, Baseline.HOUR_OF_WEEK)


def judge(series: Series) -> Verdicts:
    """Every series whose hour is a record with volume, and those whose group has an alert."""
    rule, width_s = series.rule, series.rule.effect["width_s"]
    value, n = series.total(rule.signal, width_s), series.total("n", width_s)
    record = _record(series)
    kept = (n >= rule.volume["n"]) & (value > record) | series.is_alerting
    if not kept.any():
        return NOTHING
    return _verdicts(series.only(kept), value[kept], n[kept], record[kept])


def _record(series: Series) -> Floats:
    """The second largest hour of the last week that may be learned from, as a total of the width.

    The hours that the width itself lies in are left out.
    """
    width_s = series.rule.effect["width_s"]
    until, weeks = series.end - int(width_s), series.graded.history.weeks
    hours = weeks.hours(series.rule.signal, series.rows, until, _WEEK_HOURS)
    ranked = np.sort(or_zero(hours), axis=1)
    return ranked[:, -2] * width_s / HOUR_S


def _expected(series: Series) -> Expected:
    """What the width should hold, where the time of day is known; the size is that of its total."""
    windows = windows_of(series.graded, series.rule.effect["width_s"])
    found = series.expected_since(np.full(len(series), (windows - 1) * series.window_s))
    size = found.size * windows / max(_LUMP_S / series.window_s, 1.0)
    usual = series.seasonal(np.array([series.at]))
    between_weeks = np.minimum(size, 1 / np.nan_to_num(usual.var, nan=1.0))
    size = np.where(usual.kind != Baseline.NONE, between_weeks, size)
    return replace(
        found,
        ready=found.ready & np.isin(found.baseline, _SEASONAL),
        low=found.low * windows,
        high=found.high * windows,
        size=np.clip(size, tails.K_MIN, tails.K_MAX),
    )


def _verdicts(series: Series, value: Floats, n: Floats, record: Floats) -> Verdicts:
    rule, expected = series.rule, _expected(series)
    high = np.maximum(expected.high, 1e-9)
    tail = tails.nb_upper if rule.signal == "n" else tails.gamma_upper
    p = tail(value, high, expected.size)
    breach = expected.ready & (value >= rule.effect["ratio"] * high) & (value > record)
    breach &= (p <= rule.evidence["p"]) & (n >= rule.volume["n"])
    clear = expected.ready & (value <= rule.clear.at(rule.effect["ratio"] / 2) * high)
    hours, unit = rule.effect["width_s"] / HOUR_S, counter_unit(rule.signal)

    def sentence(i: int) -> str:
        return (
            f"{series.name(i)}: {unit.amount(value[i], ',.4g')} in {hours:g} h, "
            f"{value[i] / high[i]:.1f} times the expected {unit.number(high[i], ',.4g')}"
        )

    def usual(parts: Series) -> Floats:
        """A window of each, as its own width has it."""
        return _expected(parts).high / windows_of(parts.graded, rule.effect["width_s"])

    return Verdicts(
        series.rows,
        breach=breach,
        clear=clear,
        observed=value,
        expected=np.where(expected.ready, expected.high, np.nan),
        bound=np.where(expected.ready, np.maximum(rule.effect["ratio"] * high, record), np.nan),
        n=n.astype(np.int64),
        p=np.where(expected.ready, p, np.nan),
        score=value / np.maximum(rule.effect["ratio"] * high, record + 1),
        baseline=expected.baseline,
        unit=unit,
        sentence=sentence,
        top=lambda i: drivers_of_rise(series, i, usual),
        suspect=expected.ready & ~clear & (p <= rule.evidence["p"]),
    )


DETECTOR = WindowDetector(
    name="surge",
    effect={
        "ratio": 2.5,  # times the expected total of `width_s`
        "width_s": 3600.0,  # back from the end of the window, s
    },
    evidence={"p": 1e-6},  # of such a total or more
    volume={"n": 200.0},  # events in `width_s`
    judge=judge,
    excludes=Excludes.its_signal,
)
