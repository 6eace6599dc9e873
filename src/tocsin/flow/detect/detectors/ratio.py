"""A ratio of two sums that rose: tokens a call, cost a run, calls a run, handoffs a run.

`per` says what a series is divided by: `self`, its own events; `runs`, the runs of the same
service and of as many of the same dimensions as there is a view for. A quarter of an hour (or
`width_s`) is judged against the quarter-hours of the last day up to an hour ago, and against
the same hour of earlier weeks once two of them are known: the higher of the two is the usual
ratio.

`request_tokens` is judged by its geometric mean, from the sketch of tokens a call: one call
of a million tokens changes a sum much, and the mean of the logarithm little. `denominator_rise`
asks that the denominator has not risen: more tokens for the same traffic.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.baseline.stats import ratios
from tocsin.flow.detect.contributors import drivers
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.detectors.ratio_sums import (
    LAG_S,
    TOKENS_A_CALL,
    Sums,
    is_count,
    is_per_run,
    last_day,
    numerator,
    runs_view,
    sums_of,
)
from tocsin.flow.detect.detectors.ratio_text import words_of
from tocsin.flow.detect.distribution import Distribution
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Bools, Contributor, Floats

_BEFORE_QUARTERS: Final = 4
_WEEKS: Final = 6
_LEAST_WEEKS: Final = 2
#: No sketch is read before the arithmetic mean of tokens a call shows this part of the effect.
_SCREEN: Final = 0.6


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Columns, one entry a series: logarithms of the ratio, and its shift from the usual one."""

    value: Floats
    usual: Floats  # NaN while it is not known
    shift: ratios.RatioShift


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """The numerator and the denominator, and the views they are read of."""
    views = {*rule.views, *rule.contributors}
    below = views | {runs_view(view) for view in views} if is_per_run(rule) else views
    return {rule.signal: views, numerator(rule): views, "n": below}


def judge(series: Series) -> Verdicts:
    """Every series with volume whose ratio may have risen, and those whose group has an alert."""
    rule = series.rule
    now = sums_of(series)
    kept = (now.below >= rule.volume["n"]) & (now.above >= rule.volume["k"])
    now = now.only(kept | now.series.is_alerting)
    if not len(now.series):
        return NOTHING
    day = last_day(now)
    shift = ratios.shift(now.above, now.below, day, is_count=is_count(rule))
    # With an effect in points any rise may breach.
    least = 0.0 if rule.effect["points"] else np.log(rule.effect["ratio"])
    least *= _SCREEN if rule.signal == TOKENS_A_CALL else 1.0
    kept = (shift.rise >= least) | now.series.is_alerting
    if not kept.any():
        return NOTHING
    now = now.only(kept)
    if rule.signal == TOKENS_A_CALL:
        found = _geometric(now.series)
    else:
        value = ratios.log_ratio(now.above, now.below, is_count=False)
        found = _Comparison(value, day.mean[kept], shift.only(kept))
    weekly = _same_hour_of_weeks(now)
    is_weekly = weekly > found.usual  # False where unknown
    rise = np.where(is_weekly, found.shift.rise + found.usual - weekly, found.shift.rise)
    usual = np.where(is_weekly, weekly, found.usual)
    found = _Comparison(found.value, usual, replace(found.shift, rise=rise))
    return _verdicts(now, found, is_weekly)


def _geometric(series: Series) -> _Comparison:
    """By the mean logarithm of tokens a call; its quarter-hours say how much it varies."""
    rule, observations = series.rule, series.observations()
    now = observations.over(np.full(len(series), int(rule.effect["width_s"]))).moments
    day = observations.last_day.moments
    quarters = [Distribution(part, series.rows).moments for part in observations.quarters()]
    n, mean, var = (
        np.array([getattr(quarter, name) for quarter in quarters], float).reshape(
            len(quarters), len(series)
        )
        for name in ("n", "mean", "var")
    )
    drift, known = ratios.drift(n, mean, var)
    sampling = now.var / np.maximum(now.n, 1) + day.var / np.maximum(day.n, 1)
    ready = (now.n >= rule.volume["n"]) & (known >= ratios.MIN_QUARTERS)
    rise = np.where(ready, now.mean - day.mean, np.nan)
    error = np.sqrt(sampling + drift**2 * (1 + 1 / np.maximum(known, 1)))
    shift = ratios.RatioShift(rise, error, np.maximum(known - 1, 1))
    return _Comparison(now.mean, day.mean, shift)


def _same_hour_of_weeks(now: Sums) -> Floats:
    """The mean log ratio in the same hour of earlier weeks, an hour either way; NaN if unknown."""
    rule, graded = now.series.rule, now.series.graded
    weeks = graded.history.weeks
    geometric = rule.signal == TOKENS_A_CALL
    names = (rule.signal + ".logmean",) if geometric else (rule.signal, "n")
    unknown = np.full(len(now.series), np.nan)
    if not len(now.series) or not set(names) <= set(weeks.names):
        return unknown
    hours = [
        weeks.same_hour(name, series.rows, graded.at, _WEEKS, around=1)
        for name, series in zip(names, (now.series, now.per), strict=False)
    ]
    logs = hours[0] if geometric else ratios.log_ratio(*hours, is_count=is_count(rule))
    by_week = logs.reshape(len(now.series), _WEEKS, 3)
    known = np.isfinite(by_week).any(axis=2)
    middle = np.where(known, np.nansum(by_week, 2) / np.fmax(np.isfinite(by_week).sum(2), 1), 0.0)
    count = known.sum(axis=1)
    return np.where(count >= _LEAST_WEEKS, middle.sum(axis=1) / np.fmax(count, 1), np.nan)


def _verdicts(now: Sums, found: _Comparison, is_weekly: Bools) -> Verdicts:
    series, shift, rule = now.series, found.shift, now.series.rule
    effect, p = rule.effect, rule.evidence["p"]
    usual, value = np.exp(found.usual), np.exp(found.value)
    has_traffic = (now.below >= rule.volume["n"]) & series.is_warm
    ready = has_traffic & np.isfinite(shift.rise) & (now.above >= rule.volume["k"])
    least_rise = np.where(ready, shift.lower(p), -np.inf)
    breach = ready & (shift.rise >= np.log(effect["ratio"]))
    breach &= least_rise >= np.log(effect["bound"])
    bound = usual * effect["ratio"]
    if effect["points"]:
        least_points = usual * np.expm1(np.maximum(least_rise, 0.0))
        is_enough = (value - usual >= effect["points"]) & (least_points >= effect["points"] / 2)
        breach |= ready & is_enough
        bound = np.minimum(bound, usual + effect["points"])
    if effect["denominator_rise"]:
        breach &= _denominator_has_not_risen(now)
    baseline = np.where(is_weekly, Baseline.HOUR_OF_WEEK, Baseline.LAST_24_HOURS)
    words = words_of(rule)

    def sentence(i: int) -> str:
        return words.sentence(series, i, value[i], usual[i], effect["width_s"])

    def top(i: int) -> tuple[Contributor, ...]:
        return drivers(series, i, lambda parts: _excess(parts, usual[i]))

    return Verdicts(
        series.rows,
        breach=breach,
        clear=has_traffic
        & ((shift.rise <= np.log(rule.clear.at(effect["ratio"] ** 0.5))) | (now.above == 0)),
        observed=value / words.scale,
        expected=np.where(ready, usual / words.scale, np.nan),
        bound=np.where(ready, bound / words.scale, np.nan),
        n=now.below.astype(np.int64),
        p=np.where(ready, shift.p_beyond(np.log(effect["bound"])), np.nan),
        score=np.where(ready, value / np.where(ready, bound, 1.0), 0.0),
        baseline=np.where(ready, baseline, Baseline.NONE),
        unit=words.unit,
        sentence=sentence,
        top=top,
    )


def _denominator_has_not_risen(now: Sums) -> Bools:
    """Whether the denominator is at most `denominator_rise` above that of one to two hours ago."""
    effect = now.series.rule.effect
    past = now.per.quarters("n", LAG_S, raw=True)[:, -_BEFORE_QUARTERS:]
    known = np.isfinite(past)
    usual = np.where(known, past, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    usual *= effect["width_s"] / QUARTER_S
    steady: Bools = known.any(axis=1) & (now.below <= (1 + effect["denominator_rise"]) * usual)
    return steady


def _excess(parts: Series, usual: float) -> Floats:
    """What each part brings beyond what is usual for its denominator, in the counter's unit.

    Usual is `usual`, the ratio of the whole, for parts divided by their own events: so a dear
    model that gains share is named. Parts divided by runs (the models of a service) have their
    own usual ratio.
    """
    now = sums_of(parts)
    brings = np.zeros(len(parts))
    if is_per_run(parts.rule):
        usual_of_each = np.nan_to_num(np.exp(last_day(now).mean))
    else:
        usual_of_each = np.full(len(now.series), usual)
    brings[np.isin(parts.rows, now.series.rows)] = now.above - usual_of_each * now.below
    return brings


DETECTOR = WindowDetector(
    name="ratio",
    effect={
        "ratio": 1.5,  # times the usual ratio, at least
        "bound": 1.2,  # ... of which surely, at the confidence of `evidence`, so many times
        "points": 0.0,  # or: so much more, in the ratio's own unit; 0 = not asked
        "denominator_rise": 0.0,  # the denominator rose by no more than this part; 0 = not asked
        "width_s": 900.0,  # what is judged
    },
    evidence={"p": 1e-3},  # chance that the rise is below `bound` after all
    volume={
        "n": 50.0,  # the denominator, events
        "k": 1.0,  # the numerator, in the counter's unit
    },
    options={"per": "self"},  # the denominator: self, its own events; runs, those of its service
    judge=judge,
    excludes=Excludes.its_signal,
    reads=reads,
)
