"""Errors of one class in clusters: a class never met there, or far more than it ever has.

`new`: the service, tool or model did not have this class for fourteen days, and now has it in
several traces, since one run that retries is no cluster; nothing is said while the service
itself is still warming up. `spike`: ten minutes against the quarter-hours
of the last day, each beside its traffic, so that more errors of more calls are no news, and
as a negative binomial, so that neither are errors that come in clusters anyway; and more than
in all but one of those quarter-hours.

The sentence names the value of another dimension that has far more than its part of these
errors (its *lift*: part of the errors over part of the traffic).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.expect.counts import DAY_S
from tocsin.flow.baseline.expect.recent import total
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import QUARTER_S, TRACES
from tocsin.flow.baseline.stats import rates, tails
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.service_age import is_warm, service_age
from tocsin.flow.detect.verdicts import (
    NOTHING,
    Verdicts,
    drivers,
    name_of,
    parts_of,
)
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.types import Baseline, Contributor, Unit, join_series, split_series

_WIDTH_S = 600
_LAG_S = 1800  # the baseline ends so long before now
_DAY_QUARTERS, _MIN_QUARTERS = 96, 4
#: Of errors by class and another dimension: the traffic that the errors are a part of.
_TRAFFIC: Mapping[str, str] = {
    "errors_by_tool_class": "tools_by_tool",
    "errors_by_model_class": "calls_by_model",
    "errors_by_route_class": "calls_by_route",
}
_ALL = ("runs_by_service", "calls_by_service", "tools_by_service")
_HOME = ("env", "service")


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Counts of errors and, where it asks for several, the cells their traces fall in."""
    signals = (rule.signal, TRACES) if rule.volume["traces"] else (rule.signal,)
    return dict.fromkeys(signals, rule.views)


def judge(series: Series) -> Verdicts:
    """Every class with an error in this window, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    met = graded.current["n"][rows] > 0
    rows = rows[met | series.at_rows(rows).is_alerting]
    if not len(rows):
        return NOTHING
    k = total(graded, "n", rows, _WIDTH_S)
    judged = (k >= rule.volume["k"]) | series.at_rows(rows).is_alerting
    rows, k = rows[judged], k[judged]
    if not len(rows):
        return NOTHING
    enough = np.flatnonzero((k >= rule.volume["k"]) & (graded.current["n"][rows] > 0))
    mean, size, record, quarters = _usual(graded, rows)
    breach, p = np.zeros(len(rows), bool), np.full(len(rows), np.nan)
    names = [graded.history.catalog.names[row] for row in rows[enough]]
    if rule.options["reason"] == "new":

        def warm_service(series: str) -> bool:
            return is_warm(graded, series)

        breach[enough] = [graded.known.is_new(name, graded.at, warm_service) for name in names]
        bound = np.full(len(rows), rule.volume["k"])
    else:
        # Of a service that is a day old, a class without a past was silent all day.
        warm = quarters[enough] >= _MIN_QUARTERS
        warm |= np.array([service_age(graded, name) >= DAY_S for name in names], bool)
        warm &= np.array([is_warm(graded, name) for name in names], bool)
        p[enough] = np.where(warm, tails.nb_upper(k, mean, size)[enough], np.nan)
        bound = np.maximum(rule.volume["k"], np.maximum(rule.effect["ratio"] * mean, record + 1))
        breach[enough] = warm & (k >= bound)[enough] & (p[enough] <= rule.evidence["p"])
    traces = traces_of(rule, graded, rows)
    breach &= traces >= rule.volume["traces"]
    return _verdicts(rule, graded, rows, (k, mean, bound, p, traces), breach)


def traces_of(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """From how many traces, at least, the errors of ten minutes are; 0 where nobody asks."""
    if not rule.volume["traces"]:
        return np.zeros(len(rows), np.int64)
    cells = lookback.merged(graded, TRACES, rows, np.full(len(rows), _WIDTH_S))
    first, last = cells.rows(rows)
    several: np.ndarray = last - first
    return several


def _usual(graded: Graded, rows: np.ndarray) -> tuple[np.ndarray, ...]:
    """Mean of ten minutes, its negative-binomial size, the second-worst quarter-hour, and how
    many quarter-hours are known.
    """
    past = graded.history.counts.quarters("n", rows, graded.at - _LAG_S)[:, -_DAY_QUARTERS:]
    then, now = _traffic(graded, rows, past.shape[1])
    mean, size = rates.expected_count(past, then, now)
    quarters = np.isfinite(past).sum(axis=1)
    few = quarters < _MIN_QUARTERS
    mean = np.where(few, _WIDTH_S / QUARTER_S / _DAY_QUARTERS / 2, mean)
    ranked = np.sort(np.nan_to_num(past), axis=1)
    record = ranked[:, -2] if ranked.shape[1] > 1 else np.zeros(len(rows))
    return mean, np.where(few, 1.0, size), record, quarters


def _traffic(graded: Graded, rows: np.ndarray, quarters: int) -> tuple[np.ndarray, np.ndarray]:
    """What each row's errors are errors of: events of its quarter-hours, and of ten minutes.

    Seconds, where no series counts them.
    """
    catalog, before = graded.history.catalog, graded.at - _LAG_S
    then = np.full((len(rows), quarters), float(QUARTER_S))
    now = np.full(len(rows), float(_WIDTH_S))
    for i, row in enumerate(rows):
        view, values = split_series(catalog.names[row])
        wholes = [_TRAFFIC[view]] if view in _TRAFFIC else _ALL
        found = [catalog.find(join_series(whole, *values[:-1])) for whole in wholes]
        parts = np.array([part for part in found if part >= 0], np.int64)
        lately = total(graded, "n", parts, _WIDTH_S).sum()
        if lately:
            held = graded.history.counts.quarters("n", parts, before, raw=True)[:, -quarters:]
            then[i], now[i] = np.nan_to_num(held).sum(axis=0), lately
    return then, now


def _lifted(rule: RuleSpec, graded: Graded, row: int) -> tuple[str, str, float] | None:
    """Dimension, value and lift of what has most more than its part of these errors."""
    dims = graded.history.catalog.dims(row)
    best: tuple[str, str, float] | None = None
    for view in rule.contributors:
        extra = [dim for dim in DIMS[view] if dim not in dims]
        if view not in _TRAFFIC or len(extra) != 1:
            continue
        parts = parts_of(graded, view, dims)
        traffic = parts_of(graded, _TRAFFIC[view], {dim: dims[dim] for dim in _HOME})
        calls = dict(zip(_values(graded, traffic, extra[0]), _last(graded, traffic), strict=True))
        values, errors = _values(graded, parts, extra[0]), _last(graded, parts)
        mine = np.array([calls.get(value, 0.0) for value in values])
        lifts = rates.lift(errors, mine, sum(calls.values()))
        for value, count, lift in zip(values, errors, lifts, strict=True):
            better = best is None or lift > best[2]
            if better and count >= rule.volume["k"] and lift >= rule.effect["lift"]:
                best = (extra[0], value, float(lift))
    return best


def _last(graded: Graded, rows: np.ndarray) -> np.ndarray:
    """Errors of ten minutes."""
    return total(graded, "n", rows, _WIDTH_S)


def _values(graded: Graded, rows: np.ndarray, dim: str) -> list[str]:
    return [graded.history.catalog.dims(int(row))[dim] for row in rows]


def _verdicts(
    rule: RuleSpec,
    graded: Graded,
    rows: np.ndarray,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    breach: np.ndarray,
) -> Verdicts:
    k, mean, bound, p, traces = columns
    is_new = rule.options["reason"] == "new"
    level = rule.clear.level if rule.clear.level is not None else rule.effect["ratio"] / 2
    calm = np.maximum(rule.volume["k"] / 2, 0.0 if is_new else level * mean)

    def sentence(i: int) -> str:
        row = int(rows[i])
        usual = "never met here before" if is_new else f"expected {mean[i]:.2g}"
        of = f" of {traces[i]} runs or more" if traces[i] else ""
        what = f"{name_of(graded, row)}: {k[i]:,.0f} errors in {_WIDTH_S // 60} min{of}, {usual}"
        most = _lifted(rule, graded, row)
        return f"{what}; {most[0]} {most[1]} has {most[2]:.0f} times its part" if most else what

    def top(i: int) -> tuple[Contributor, ...]:
        def excess(parts: np.ndarray) -> np.ndarray:
            beyond: np.ndarray = _last(graded, parts) - _usual(graded, parts)[0]
            return beyond

        return drivers(rule, graded, int(rows[i]), excess)

    return Verdicts.of(
        rows,
        breach=breach,
        clear=k <= calm,
        observed=k,
        expected=np.where(is_new, 0.0, mean),
        bound=bound,
        n=k.astype(np.int64),
        p=p,
        score=k / bound,
        baseline=Baseline.NONE if is_new else Baseline.LAST_24_HOURS,
        unit=Unit.ERRORS_IN_10_MIN,
        sentence=sentence,
        top=top,
    )


DETECTOR = WindowDetector(
    name="error_class",
    effect={
        "ratio": 3.0,
        "lift": 5.0,  # from so many times its part of the traffic on, a value is named
    },
    evidence={"p": 1e-6},
    volume={"k": 10.0, "traces": 0.0},  # from so many different runs; 0 = not asked
    options={"reason": "spike"},  # or new
    judge=judge,
    excludes=Excludes.its_signal,
    reads=reads,
)
