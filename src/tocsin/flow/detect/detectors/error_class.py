"""Errors of one class in clusters: a class never met there, or far more than it ever has.

`new`: the service, tool or model did not have this class for fourteen days, and now has it in
several traces, since one run that retries is no cluster; nothing is said while the service
itself is still warming up. `spike`: ten minutes against the quarter-hours
of the last day, each beside its traffic, so that more errors of more calls are no alarm, and
as a negative binomial, so that neither are errors that come in clusters anyway; and more than
in all but one of those quarter-hours.

The sentence names the value of another dimension that has far more than its part of these
errors (its *lift*: part of the errors over part of the traffic).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.calendars import DAY_S
from tocsin.flow.baseline.history.sketch_history import QUARTER_S, TRACES
from tocsin.flow.baseline.stats import rates, tails
from tocsin.flow.detect.contributors import drivers, parts_of
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.service_age import is_new, is_service_warm, service_age_s
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.options import one_of
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.types import Baseline, Bools, Floats, Ints, Unit, join_series, split_series

_WIDTH_S: Final = 600
_LAG_S: Final = 1800  # the baseline ends so long before now
_DAY_QUARTERS, _MIN_QUARTERS = 96, 4
#: Of errors by class and another dimension: the traffic that the errors are a part of.
_TRAFFIC: Final[Mapping[str, str]] = {
    "errors_by_tool_class": "tools_by_tool",
    "errors_by_model_class": "calls_by_model",
    "errors_by_route_class": "calls_by_route",
}
#: Of errors by class alone: all that may fail.
_ALL_TRAFFIC: Final = ("runs_by_service", "calls_by_service", "tools_by_service")
_HOME: Final = ("env", "service")


class _Reason(StrEnum):
    """The option `reason`: what makes a cluster of errors worth an alert."""

    NEW = "new"
    SPIKE = "spike"


@dataclass(frozen=True, slots=True)
class _Errors:
    """Errors of the last ten minutes beside what was expected, a column each."""

    k: Floats
    mean: Floats  # expected
    bound: Floats  # the least number that breaches
    p: Floats  # of so many or more; NaN where no past is compared with
    traces: Ints  # that they are from, at least; 0 where nobody asks


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Counts of errors and, where it asks for several, the cells their traces fall in."""
    signals = (rule.signal, TRACES) if rule.volume["traces"] else (rule.signal,)
    return dict.fromkeys(signals, rule.views)


def judge(series: Series) -> Verdicts:
    """Every class with an error in this window, and those whose group has an alert."""
    rule = series.rule
    series = series.only((series.n > 0) | series.is_alerting)
    if not len(series):
        return NOTHING
    k = series.total("n", _WIDTH_S)
    kept = (k >= rule.volume["k"]) | series.is_alerting
    if not kept.any():
        return NOTHING
    series, k = series.only(kept), k[kept]
    mean, size, record, quarters = _usual(series)
    p, bound = np.full(len(k), np.nan), np.full(len(k), rule.volume["k"])
    breach = np.zeros(len(k), bool)
    enough = np.flatnonzero((k >= rule.volume["k"]) & (series.n > 0))
    if rule.options["reason"] == _Reason.NEW:
        breach[enough] = [is_new(series.graded, name) for name in series.only(enough).names]
    else:
        warm = _is_warm(series.only(enough), quarters[enough])
        p[enough] = np.where(warm, tails.nb_upper(k, mean, size)[enough], np.nan)
        bound = np.maximum(rule.effect["ratio"] * mean, record + 1)
        bound = np.maximum(rule.volume["k"], bound)
        breach[enough] = warm & (k >= bound)[enough] & (p[enough] <= rule.evidence["p"])
    traces = _traces(series)
    breach &= traces >= rule.volume["traces"]
    return _verdicts(series, _Errors(k, mean, bound, p, traces), breach)


def _is_warm(series: Series, quarters: Ints) -> Bools:
    """Which are known well enough to be compared with their past.

    Of a service that is a day old, a class without a past was silent all day.
    """
    graded, names = series.graded, series.names
    known = np.array([service_age_s(graded, name) >= DAY_S for name in names], bool)
    warm = np.array([is_service_warm(graded, name) for name in names], bool)
    return warm & (known | (quarters >= _MIN_QUARTERS))


def _traces(series: Series) -> Ints:
    """From how many traces, at least, the errors of ten minutes are; 0 where nobody asks."""
    if not series.rule.volume["traces"]:
        return np.zeros(len(series), np.int64)
    cells = series.observations(TRACES).over(np.full(len(series), _WIDTH_S))
    first, last = cells.sketches.rows(cells.rows)  # each cell is of one trace at least
    least: Ints = last - first
    return least


def _usual(series: Series) -> tuple[Floats, Floats, Floats, Ints]:
    """What ten minutes should hold, from the quarter-hours of the last day and their traffic:
    mean and size (negative binomial), the second-worst quarter-hour, how many are known.

    Of fewer than four known quarter-hours: half an error a day.
    """
    past = series.quarters("n", _LAG_S)[:, -_DAY_QUARTERS:]
    then, now = _traffic(series, past.shape[1])
    mean, size = rates.expected_count(past, then, now)
    quarters = np.isfinite(past).sum(axis=1)
    few = quarters < _MIN_QUARTERS
    mean = np.where(few, _WIDTH_S / QUARTER_S / _DAY_QUARTERS / 2, mean)
    ranked = np.sort(np.nan_to_num(past), axis=1)
    record = ranked[:, -2] if ranked.shape[1] > 1 else np.zeros(len(series))
    return mean, np.where(few, 1.0, size), record, quarters


def _traffic(series: Series, quarters: int) -> tuple[Floats, Floats]:
    """What each one's errors are errors of: events of its quarter-hours, and of ten minutes.

    Seconds, where no series counts them.
    """
    catalog = series.graded.history.catalog
    then = np.full((len(series), quarters), float(QUARTER_S))
    now = np.full(len(series), float(_WIDTH_S))
    for i, name in enumerate(series.names):
        view, values = split_series(name)
        wholes = [_TRAFFIC[view]] if view in _TRAFFIC else _ALL_TRAFFIC
        rows = catalog.known(join_series(whole, *values[:-1]) for whole in wholes)
        parts = series.at_rows(rows)
        recent = parts.total("n", _WIDTH_S).sum()
        if recent:
            before = parts.quarters("n", _LAG_S, raw=True)[:, -quarters:]
            then[i], now[i] = np.nan_to_num(before).sum(axis=0), recent
    return then, now


def _lifted(series: Series, i: int) -> tuple[str, str, float] | None:
    """Dimension, value and lift of what has most more than its part of these errors."""
    rule, dims = series.rule, series.dims(i)
    best: tuple[str, str, float] | None = None
    for view in rule.contributors:
        extra = [dim for dim in DIMS[view] if dim not in dims]
        if view not in _TRAFFIC or len(extra) != 1:
            continue
        parts = parts_of(series, view, dims)
        traffic = parts_of(series, _TRAFFIC[view], {dim: dims[dim] for dim in _HOME})
        calls = dict(zip(_values(traffic, extra[0]), traffic.total("n", _WIDTH_S), strict=True))
        values, errors = _values(parts, extra[0]), parts.total("n", _WIDTH_S)
        of_value = np.array([calls.get(value, 0.0) for value in values])
        lifts = rates.lift(errors, of_value, sum(calls.values()))
        for value, count, lift in zip(values, errors, lifts, strict=True):
            better = best is None or lift > best[2]
            if better and count >= rule.volume["k"] and lift >= rule.effect["lift"]:
                best = (extra[0], value, float(lift))
    return best


def _values(series: Series, dim: str) -> list[str]:
    return [series.dims(i)[dim] for i in range(len(series))]


def _verdicts(series: Series, errors: _Errors, breach: Bools) -> Verdicts:
    rule, k = series.rule, errors.k
    of_new = rule.options["reason"] == _Reason.NEW
    usual = 0.0 if of_new else rule.clear.at(rule.effect["ratio"] / 2) * errors.mean

    def sentence(i: int) -> str:
        expected = "never met here before" if of_new else f"expected {errors.mean[i]:.2g}"
        of = f" of {errors.traces[i]} runs or more" if errors.traces[i] else ""
        what = f"{series.name(i)}: {k[i]:,.0f} errors in {_WIDTH_S // 60} min{of}, {expected}"
        lifted = _lifted(series, i)
        if not lifted:
            return what
        return f"{what}; {lifted[0]} {lifted[1]} has {lifted[2]:.0f} times its part"

    def excess(parts: Series) -> Floats:
        return parts.total("n", _WIDTH_S) - _usual(parts)[0]

    return Verdicts(
        series.rows,
        breach=breach,
        clear=k <= np.maximum(rule.volume["k"] / 2, usual),
        observed=k,
        expected=np.where(of_new, 0.0, errors.mean),
        bound=errors.bound,
        n=k.astype(np.int64),
        p=errors.p,
        score=k / errors.bound,
        baseline=np.array(Baseline.NONE if of_new else Baseline.LAST_24_HOURS),
        unit=Unit.ERRORS_IN_10_MIN,
        sentence=sentence,
        top=lambda i: drivers(series, i, excess),
    )


DETECTOR = WindowDetector(
    name="error_class",
    effect={
        "ratio": 3.0,  # `spike`: times the expected errors of ten minutes
        "lift": 5.0,  # from so many times its part of the traffic on, a value is named
    },
    evidence={"p": 1e-6},  # `spike`: of so many errors or more
    volume={
        "k": 10.0,  # errors in ten minutes
        "traces": 0.0,  # from so many different runs; 0 = not asked
    },
    options={"reason": "spike"},  # or new
    judge=judge,
    check=lambda rule: one_of(rule.options, "reason", tuple(_Reason)),
    excludes=Excludes.its_signal,
    reads=reads,
)
