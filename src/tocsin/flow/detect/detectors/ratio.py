"""A ratio of two sums that rose: tokens a call, cost a run, calls a run, handoffs a run.

`per` says what a series is divided by: `self`, its own events; `runs`, the runs of the same
service and of as many of the same dimensions as there is a view for. A quarter of an hour is
judged (or `width_s`) against the quarter-hours of the last day up to an hour ago, and against
the same hour of earlier weeks once two are known: the higher of the two must be exceeded.

`request_tokens` is judged by its geometric mean, from the sketch of tokens a call: one call
of a million tokens moves a sum, and the mean of a logarithm hardly. `denominator_rise` asks that
the denominator has not risen: more tokens of the same traffic.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.expect.recent import recent, windows_of
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.baseline.stats import ratios, sketch
from tocsin.flow.detect.contributors import drivers
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.detectors import ratio_text
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.flow.windows.views import VIEWS
from tocsin.types import Baseline, Contributor

_LAG_S = 3600  # the last day ends so long before now
_DAY_QUARTERS, _BEFORE_QUARTERS = 96, 4
_WEEKS, _MIN_WEEKS = 6, 2
_BLOCK_S, _SILENT = 300, 0.2
#: Of the arithmetic mean of tokens a call: below so much of the effect no sketch is read.
_SCREEN = 0.6
_RUNS = tuple(view.name for view in VIEWS if view.name.startswith("runs_by_"))


@dataclass(frozen=True, slots=True)
class _Sums:
    """Columns, one entry a row: what is above and below the line over the last `width_s`."""

    rows: np.ndarray
    per: np.ndarray  # the row of the denominator
    above: np.ndarray
    below: np.ndarray

    def only(self, kept: np.ndarray) -> _Sums:
        return _Sums(self.rows[kept], self.per[kept], self.above[kept], self.below[kept])


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Signals and the views they are read of."""
    views = {*rule.views, *rule.contributors}
    below = views | {_per(rule, view) or view for view in views}
    return {rule.signal: views, _counted(rule): views, "n": below}


def judge(series: Series) -> Verdicts:
    """Every series with volume whose ratio may have risen, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    now = _sums(rule, graded, series.rows)
    alerted = series.at_rows(now.rows).is_alerting
    enough = (now.below >= rule.volume["n"]) & (now.above >= rule.volume["k"])
    now, alerted = now.only(enough | alerted), alerted[enough | alerted]
    if not len(now.rows):
        return NOTHING
    past = _day(rule, graded, now)
    shift = ratios.shift(now.above, now.below, past, is_count=_is_count(rule))
    least = np.log(_lowest(rule)) * (_SCREEN if rule.signal == "request_tokens" else 1.0)
    kept = np.flatnonzero((shift.rise >= least) | alerted)
    if not len(kept):
        return NOTHING
    now, shift = now.only(kept), _only(shift, kept)
    usual, value = past.mean[kept], ratios.log_ratio(now.above, now.below, is_count=False)
    if rule.signal == "request_tokens":
        shift, usual, value = _geometric(rule, graded, now.rows)
    weeks = _weeks(rule, graded, now)
    higher = weeks > usual  # NaN where unknown, and then not
    shift = replace(shift, rise=np.where(higher, shift.rise + usual - weeks, shift.rise))
    usual = np.where(higher, weeks, usual)
    return _verdicts(rule, graded, now, (shift, usual, value), higher)


def _counted(rule: RuleSpec) -> str:
    """The counter above the line."""
    return "tokens" if rule.signal == "request_tokens" else rule.signal


def _is_count(rule: RuleSpec) -> bool:
    return rule.signal in {"n", "err", "to"}


def _lowest(rule: RuleSpec) -> float:
    """The least ratio that may breach; with an effect in points any rise may."""
    return 1.0 if rule.effect["points"] else rule.effect["ratio"]


def _per(rule: RuleSpec, view: str) -> str | None:
    """The view below the line; None = the series itself."""
    if rule.options["per"] == "self":
        return None
    fitting = [runs for runs in _RUNS if set(DIMS[runs]) <= set(DIMS[view])]
    return max(fitting, key=lambda runs: len(DIMS[runs]))


def _sums(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> _Sums:
    per = _denominators(rule, graded, rows)
    rows, per = rows[per >= 0], per[per >= 0]
    width = rule.effect["width_s"]
    above = recent(graded, _counted(rule), rows, width)
    below = recent(graded, "n", per, width)
    if rule.options["per"] != "self":
        above, below = _without_silence(graded, above, below)
    return _Sums(rows, per, above.sum(axis=1), below.sum(axis=1))


def _without_silence(
    graded: Graded, above: np.ndarray, below: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of five minutes, without those in which the denominator all but stopped.

    Calls that go on while no run is reported are a silence, and other rules tell of it.
    """
    starts = np.arange(0, above.shape[1], windows_of(graded, _BLOCK_S))
    above, below = (np.add.reduceat(part, starts, axis=1) for part in (above, below))
    usual = below.mean(axis=1, keepdims=True)
    alive = below > _SILENT * usual
    return np.where(alive, above, 0.0), np.where(alive, below, 0.0)


def _denominators(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """The row each row is divided by, -1 where there is none."""
    per, catalog = rows.copy(), graded.history.catalog
    for view in DIMS if rule.options["per"] != "self" else ():
        mine = np.flatnonzero(catalog.in_view(rows, view))
        if not len(mine):
            continue
        below = str(_per(rule, view))
        theirs = catalog.of_view(below)
        number, _ = catalog.group_ids(theirs, DIMS[below])
        wanted, groups = catalog.group_ids(rows[mine], DIMS[below])
        of_group = np.full(len(groups), -1)
        of_group[number] = theirs
        per[mine] = of_group[wanted]
    return per


def _day(rule: RuleSpec, graded: Graded, now: _Sums) -> ratios.RatioBaseline:
    history, before = graded.history, graded.at - _LAG_S
    blocks = max(1, int(rule.effect["width_s"]) // QUARTER_S)  # as wide as what is judged
    above, below = (
        _merged(history.counts.quarters(name, rows, before)[:, -_DAY_QUARTERS:], blocks)
        for name, rows in ((_counted(rule), now.rows), ("n", now.per))
    )
    return ratios.ratio_baseline(above, below, rule.volume["n"] / 2, is_count=_is_count(rule))


def _merged(quarters: np.ndarray, blocks: int) -> np.ndarray:
    """Sums of so many quarter-hours each, the newest last; NaN where one is unknown."""
    whole = quarters.shape[1] // blocks * blocks
    kept = quarters[:, quarters.shape[1] - whole :]
    merged: np.ndarray = kept.reshape(len(quarters), whole // blocks, blocks).sum(axis=2)
    return merged


def _only(shift: ratios.RatioShift, kept: np.ndarray) -> ratios.RatioShift:
    return ratios.RatioShift(shift.rise[kept], shift.error[kept], shift.df[kept])


def _geometric(
    rule: RuleSpec, graded: Graded, rows: np.ndarray
) -> tuple[ratios.RatioShift, np.ndarray, np.ndarray]:
    """The shift of the mean log of tokens a call; what it was, and what it is."""
    past = graded.history.sketches[rule.signal]
    width = np.full(len(rows), int(rule.effect["width_s"]))
    now = sketch.moments(lookback.merged(graded, rule.signal, rows, width), rows)
    day = sketch.moments(past.baseline, rows)
    held = [sketch.moments(part, rows) for part in past.quarters()]
    n, mean, var = (
        np.array([getattr(one, name) for one in held], float).reshape(len(held), len(rows))
        for name in ("n", "mean", "var")
    )
    drift, quarters = ratios.drift(n, mean, var)
    sampling = now.var / np.maximum(now.n, 1) + day.var / np.maximum(day.n, 1)
    ready = (now.n >= rule.volume["n"]) & (quarters >= ratios.MIN_QUARTERS)
    rise = np.where(ready, now.mean - day.mean, np.nan)
    error = np.sqrt(sampling + drift**2 * (1 + 1 / np.maximum(quarters, 1)))
    return ratios.RatioShift(rise, error, np.maximum(quarters - 1, 1)), day.mean, now.mean


def _weeks(rule: RuleSpec, graded: Graded, now: _Sums) -> np.ndarray:
    """The log ratio in the same hour of earlier weeks, an hour either way; NaN if unknown."""
    weeks = graded.history.weeks
    names = (rule.signal + ".logmean",) if rule.signal == "request_tokens" else (rule.signal, "n")
    unknown = np.full(len(now.rows), np.nan)
    if not len(now.rows) or not set(names) <= set(weeks.names):
        return unknown
    hours = [
        weeks.same_hour(name, rows, graded.at, _WEEKS, around=1)
        for name, rows in zip(names, (now.rows, now.per), strict=False)
    ]
    logs = hours[0] if len(hours) == 1 else ratios.log_ratio(*hours, is_count=_is_count(rule))
    by_week = logs.reshape(len(now.rows), _WEEKS, 3)
    known = np.isfinite(by_week).any(axis=2)
    middle = np.where(known, np.nansum(by_week, 2) / np.fmax(np.isfinite(by_week).sum(2), 1), 0.0)
    count = known.sum(axis=1)
    return np.where(count >= _MIN_WEEKS, middle.sum(axis=1) / np.fmax(count, 1), np.nan)


def _verdicts(
    rule: RuleSpec,
    graded: Graded,
    now: _Sums,
    found: tuple[ratios.RatioShift, np.ndarray, np.ndarray],
    weekly: np.ndarray,
) -> Verdicts:
    shift, usual_log, value_log = found
    effect, p = rule.effect, rule.evidence["p"]
    usual, value = np.exp(usual_log), np.exp(value_log)
    old = min(graded.warmup * graded.history.window_s, 86_400)
    traffic = (now.below >= rule.volume["n"]) & (graded.history.age(now.rows, graded.at) >= old)
    ready = traffic & np.isfinite(shift.rise) & (now.above >= rule.volume["k"])
    left = np.where(ready, shift.lower(p), -np.inf)
    breach = ready & (shift.rise >= np.log(effect["ratio"])) & (left >= np.log(effect["bound"]))
    bound = usual * effect["ratio"]
    if effect["points"]:
        sure = usual * np.expm1(np.maximum(left, 0.0))
        breach |= ready & (value - usual >= effect["points"]) & (sure >= effect["points"] / 2)
        bound = np.minimum(bound, usual + effect["points"])
    if effect["denominator_rise"]:
        breach &= _denominator_held(rule, graded, now)
    level = rule.clear.level if rule.clear.level is not None else effect["ratio"] ** 0.5
    words = ratio_text.of(rule)

    def sentence(i: int) -> str:
        return words.sentence(graded, int(now.rows[i]), value[i], usual[i], effect["width_s"])

    def top(i: int) -> tuple[Contributor, ...]:
        series = Series(rule, graded, now.rows)
        return drivers(series, i, lambda parts: _excess(rule, graded, parts.rows, usual[i]))

    return Verdicts.of(
        now.rows,
        breach=breach,
        clear=traffic & ((shift.rise <= np.log(level)) | (now.above == 0)),
        observed=value / words.scale,
        expected=np.where(ready, usual / words.scale, np.nan),
        bound=np.where(ready, bound / words.scale, np.nan),
        n=now.below.astype(np.int64),
        p=np.where(ready, shift.p_beyond(np.log(effect["bound"])), np.nan),
        score=np.where(ready, value / np.where(ready, bound, 1.0), 0.0),
        baseline=np.where(
            ready, np.where(weekly, Baseline.HOUR_OF_WEEK, Baseline.LAST_24_HOURS), Baseline.NONE
        ),
        unit=words.unit,
        sentence=sentence,
        top=top,
    )


def _denominator_held(rule: RuleSpec, graded: Graded, now: _Sums) -> np.ndarray:
    """Whether the denominator is no higher than it was an hour or two ago."""
    before = graded.at - _LAG_S
    past = graded.history.counts.quarters("n", now.per, before, raw=True)[:, -_BEFORE_QUARTERS:]
    known = np.isfinite(past)
    usual = np.where(known, past, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    usual *= rule.effect["width_s"] / QUARTER_S
    held: np.ndarray = known.any(axis=1) & (
        now.below <= (1 + rule.effect["denominator_rise"]) * usual
    )
    return held


def _excess(rule: RuleSpec, graded: Graded, parts: np.ndarray, usual: float) -> np.ndarray:
    """What each part brings beyond what its events were usually worth.

    Parts with a denominator of their own are held to the ratio of the whole, so that a dear
    model that gains share is named; the others (models of a service's runs) to their own.
    """
    now = _sums(rule, graded, parts)
    brings = np.zeros(len(parts))
    if rule.options["per"] == "self":
        fair = np.full(len(now.rows), usual)
    else:
        fair = np.nan_to_num(np.exp(_day(rule, graded, now).mean))
    brings[np.isin(parts, now.rows)] = now.above - fair * now.below
    return brings


DETECTOR = WindowDetector(
    name="ratio",
    effect={
        "ratio": 1.5,
        "bound": 1.2,  # surely so many times
        "points": 0.0,  # more, in the ratio's own unit; 0 = not asked
        "denominator_rise": 0.0,  # the denominator rose by less; 0 = not asked
        "width_s": 900.0,
    },
    evidence={"p": 1e-3},
    volume={"n": 50.0, "k": 1.0},
    options={"per": "self"},  # or runs
    judge=judge,
    excludes=Excludes.its_signal,
    reads=reads,
)
