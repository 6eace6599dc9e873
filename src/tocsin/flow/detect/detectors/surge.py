"""A total over an hour far above what the clock expects of it: a rise too slow for a spike.

Expected is the habit of these minutes (`baseline/expect/local_level.py`); without one nothing is
said: yesterday may have been a Sunday. It must also be the record of a week: a monthly job is news,
Monday's is none. An hour varies less than its minutes do; how much less is taken from its habit,
else from the minutes as if they came in lumps of six.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tocsin.flow.baseline.expect.counts import Expected, expect
from tocsin.flow.baseline.expect.recent import windows_of
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.calendars import HOUR_S
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.measure import counter_unit
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import (
    NOTHING,
    Verdicts,
    contributions,
    name_of,
)
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline

_LUMP = 6.0  # minutes that rise and fall together
_WEEK_HOURS = 168


def judge(series: Series) -> Verdicts:
    """Every series whose hour is a record with volume, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    windows = windows_of(graded, rule.effect["width_s"])
    value, n = (_total(graded, signal, rows, windows) for signal in (rule.signal, "n"))
    record = _record(rule, graded, rows)
    alerted = series.at_rows(rows).is_alerting
    kept = alerted | ((n >= rule.volume["n"]) & (value > record))
    if not kept.any():
        return NOTHING
    rows, value, n, record = rows[kept], value[kept], n[kept], record[kept]
    return _verdicts(rule, graded, rows, value, n, record)


def _total(graded: Graded, signal: str, rows: np.ndarray, windows: int) -> np.ndarray:
    past = graded.history.counts.sums(signal, rows, windows - 1)[:, 0]
    total: np.ndarray = past + graded.current[signal][rows]
    return total


def _record(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """The second largest hour of the last week that may be learned from, as a total of the width.

    The hours that the width itself lies in are left out.
    """
    until = graded.end - int(rule.effect["width_s"])
    hours = graded.history.weeks.hours(rule.signal, rows, until, _WEEK_HOURS)
    ranked = np.sort(or_zero(hours), axis=1)
    record: np.ndarray = ranked[:, -2] * rule.effect["width_s"] / HOUR_S
    return record


def _expected(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> Expected:
    """What the width should hold; the size is that of its total."""
    history = graded.history
    windows = windows_of(graded, rule.effect["width_s"])
    quiet = np.full(len(rows), (windows - 1) * history.window_s)
    found = expect(history, rule.signal, rows, at=graded.at, warmup=graded.warmup, quiet=quiet)
    size = found.size * windows / max(_LUMP * 60 / history.window_s, 1.0)
    habit = history.seasonal.rates(rule.signal, rows, np.array([graded.at]))
    size = np.where(
        habit.kind != Baseline.NONE, np.minimum(size, 1 / np.nan_to_num(habit.var, nan=1.0)), size
    )
    return replace(
        found,
        ready=found.ready & np.isin(found.baseline, (Baseline.HOUR_OF_DAY, Baseline.HOUR_OF_WEEK)),
        low=found.low * windows,
        high=found.high * windows,
        size=np.clip(size, tails.K_MIN, tails.K_MAX),
    )


def _verdicts(
    rule: RuleSpec,
    graded: Graded,
    rows: np.ndarray,
    value: np.ndarray,
    n: np.ndarray,
    record: np.ndarray,
) -> Verdicts:
    expected = _expected(rule, graded, rows)
    high = np.maximum(expected.high, 1e-9)
    tail = tails.nb_upper if rule.signal == "n" else tails.gamma_upper
    p = tail(value, high, expected.size)
    breach = expected.ready & (value >= rule.effect["ratio"] * high) & (value > record)
    breach &= (p <= rule.evidence["p"]) & (n >= rule.volume["n"])
    level = rule.clear.level if rule.clear.level is not None else rule.effect["ratio"] / 2
    clear = expected.ready & (value <= level * high)
    hours = rule.effect["width_s"] / HOUR_S

    def sentence(i: int) -> str:
        unit = counter_unit(rule.signal)
        return (
            f"{name_of(graded, int(rows[i]))}: {unit.amount(value[i], ',.4g')} in {hours:g} h, "
            f"{value[i] / high[i]:.1f} times the expected {unit.number(high[i], ',.4g')}"
        )

    def usual(parts: np.ndarray) -> np.ndarray:
        windows = windows_of(graded, rule.effect["width_s"])
        return _expected(rule, graded, parts).high / windows

    return Verdicts.of(
        rows,
        breach=breach,
        clear=clear,
        observed=value,
        expected=np.where(expected.ready, expected.high, np.nan),
        bound=np.where(expected.ready, np.maximum(rule.effect["ratio"] * high, record), np.nan),
        n=n.astype(np.int64),
        p=np.where(expected.ready, p, np.nan),
        score=value / np.maximum(rule.effect["ratio"] * high, record + 1),
        baseline=expected.baseline,
        unit=counter_unit(rule.signal),
        sentence=sentence,
        top=lambda i: contributions(rule, graded, int(rows[i]), usual),
        suspect=expected.ready & ~clear & (p <= rule.evidence["p"]),
    )


DETECTOR = WindowDetector(
    name="surge",
    effect={"ratio": 2.5, "width_s": 3600.0},
    evidence={"p": 1e-6},
    volume={"n": 200.0},
    judge=judge,
    excludes=Excludes.its_signal,
)
