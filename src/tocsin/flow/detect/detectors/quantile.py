"""A quantile of a distribution (durations, first token, tokens a call) worse than it was.

Each series looks back over the least of 15 minutes to two hours that holds `n` observations,
and over the least that holds `wide_n`: the first is soon, the second sure; either may breach.
The effect must hold against the last day up to two hours ago, and against what is best known
of this hour: that of earlier weeks, else the same time yesterday, else the hours before. So
neither a busy hour of the day nor a busy Monday is a regression. Where a rule names
`strata`, the day is brought into the mix of today first (`baseline/expect/strata.py`).

Evidence is either of two: more observations beyond the usual quantile than a beta-binomial
allows whose share wanders as it did all day; or a shift of the mean log, as an e-value, which
needs a quarter of the observations and may be looked at every time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

import numpy as np

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.expect.strata import standardise
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch, tails
from tocsin.flow.baseline.stats.e_values import PRIOR_H, PRIOR_LATER_H, mixture_e, needed, spread_of
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.equivalence import is_equivalent
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.options import equivalence_of, strata_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline

#: What must be comparable of a mix: beyond that it is new, and nothing is said.
_LEAST_PART = 0.5


@dataclass(frozen=True, slots=True)
class _Look:
    """Columns, one entry a row, in the unit of the sketch."""

    width: np.ndarray  # s
    n: np.ndarray
    value: np.ndarray
    usual: np.ndarray  # NaN while there is no baseline
    bound: np.ndarray  # the least value with the effect
    ratio: np.ndarray  # 0 while there is no baseline
    baseline: np.ndarray
    p: np.ndarray
    needed: np.ndarray  # observations that would show the least effect
    breach: np.ndarray
    clear: np.ndarray

    def or_if_worse(self, other: _Look) -> _Look:
        """The other look where only it breaches; clear only where both are."""
        take = other.breach & ~self.breach
        columns = {
            field.name: np.where(take, getattr(other, field.name), getattr(self, field.name))
            for field in fields(self)
        }
        return _Look(**{**columns, "clear": self.clear & other.clear})


@dataclass(frozen=True, slots=True)
class _Sides:
    """What is compared with what: now and the last day, `n` and `m` observations."""

    now: sketch.Sketches
    base: sketch.Sketches
    n: np.ndarray
    m: np.ndarray


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """The distributions a rule compares, with the finer views its strata are in."""
    mine = {*rule.views, *strata_of(rule.options).values()}
    equivalence = equivalence_of(rule.options)
    other = equivalence.signal if equivalence and equivalence.signal else rule.signal
    return {other: rule.views, rule.signal: mine}


def judge(series: Series) -> Verdicts:
    """Every series with volume, a baseline and the effect, and those that have an alert."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    base = graded.history.sketches[rule.signal].baseline
    narrow = lookback.least(graded, rule.signal, rows, rule.volume["n"])
    alerted = series.at_rows(rows).is_alerting
    kept = (narrow > 0) & ((sketch.counts(base, rows) >= rule.volume["baseline"]) | alerted)
    if not kept.any():
        return NOTHING
    rows, narrow, alerted = rows[kept], narrow[kept], alerted[kept]
    wide = lookback.least(graded, rule.signal, rows, rule.volume["wide_n"])
    wide = np.where(wide > 0, wide, lookback.WIDTHS_S[-1])
    slow = _may_be_slow(rule, graded, rows, narrow)
    other = ~slow & (wide != narrow)
    slow[other] = _may_be_slow(rule, graded, rows[other], wide[other])
    kept = slow | alerted
    if not kept.any():
        return NOTHING
    rows, narrow, wide = rows[kept], narrow[kept], wide[kept]
    look = _look(rule, graded, rows, narrow)
    if (wide != narrow).any():
        look = look.or_if_worse(_look(rule, graded, rows, wide))
    return _verdicts(rule, graded, rows, look)


def _may_be_slow(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Which rows may have the effect: enough slow ones for the quantile to pass the bound.

    Cheap, since it only counts: quantiles are taken of the few rows that pass.
    """
    q = rule.effect["q"]
    bound = _bound(rule, graded.history.sketches[rule.signal].usual(q)[rows])
    cut = np.floor(np.log(np.fmax(bound, 1.0)) / sketch.LOG_GAMMA).astype(np.int64) - 1
    slow, n = lookback.above(graded, rule.signal, rows, width, cut)
    many: np.ndarray = slow > n - np.ceil(q * n - 1e-9)
    return many


def _bound(rule: RuleSpec, usual: np.ndarray) -> np.ndarray:
    """The least value that has the effect."""
    add = rule.effect["add"] * measure_of(rule.signal).scale
    bound: np.ndarray = np.fmax(usual * rule.effect["ratio"], usual + add)
    return bound


def _look(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: np.ndarray) -> _Look:
    """Full judgement of a few rows over some widths."""
    sides = _sides(rule, graded, rows, width)
    q = rule.effect["q"]
    value, _ = sketch.quantile(sides.now, rows, q)
    day, bucket = sketch.quantile(sides.base, rows, q)
    usual, baseline = _highest(rule, graded, rows, day)
    ready = (sides.m >= rule.volume["baseline"]) & (sides.n >= rule.volume["n"])
    lived = graded.warmup * graded.history.window_s
    ready &= graded.history.age(rows, graded.at) >= min(lived, lookback.DAY_S)
    usual = np.where(ready, usual, np.nan)
    ratio = np.where(ready, value / usual, 0.0)
    bound = _bound(rule, usual)
    effect = ready & (value >= bound) & _is_tail(rule, sides, rows, value / day)
    effect[effect] = is_equivalent(rule, graded, rows[effect], width[effect])
    p, least = _evidence(
        rule,
        graded,
        sides,
        rows,
        np.where(effect, usual, np.nan),
        np.where(usual > day, -1, bucket),
    )
    level = rule.clear.level if rule.clear.level is not None else 1 + (rule.effect["ratio"] - 1) / 2
    return _Look(
        width,
        sides.n,
        value,
        usual,
        bound,
        ratio,
        np.where(ready, baseline, Baseline.NONE),
        np.where(ready, p, np.nan),
        least,
        effect & (p <= rule.evidence["p"]),
        ready & (ratio <= level),
    )


def _sides(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: np.ndarray) -> _Sides:
    """Now and the last day of each row; in one mix where a finer view tells it."""
    now = lookback.merged(graded, rule.signal, rows, width)
    base = graded.history.sketches[rule.signal].baseline.only(rows)
    n, m = sketch.counts(now, rows), sketch.counts(base, rows).astype(float)
    for view, finer in strata_of(rule.options).items():
        these = np.flatnonzero(graded.history.catalog.in_view(rows, view))
        if not len(these):
            continue
        found = standardise(graded, rule.signal, rows[these], width[these], view, finer)
        like = np.flatnonzero(found.part >= _LEAST_PART)
        m[these[found.part < _LEAST_PART]] = 0.0
        n[these[like]], m[these[like]] = found.n[like], found.m[like]
        taken = rows[these[like]]
        now = sketch.add([now.without(taken), found.now.only(taken)])
        base = sketch.add([base.without(taken), found.base.only(taken)])
    return _Sides(now, base, n, m)


def _highest(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, day: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The highest of what the baselines call usual, and which that is."""
    q, history = rule.effect["q"], graded.history
    past, n = history.sketches[rule.signal], rule.volume["n"]
    seen = []
    for then in (lookback.before(graded, past, rows), lookback.yesterday(graded, past, rows)):
        value, _ = sketch.quantile(then, rows, q)
        seen.append(np.where(sketch.counts(then, rows) >= n, value, np.nan))
    before, yesterday = seen
    weekly = _weekly(rule, graded, rows)
    yesterday[np.isfinite(weekly)] = np.nan
    before[np.isfinite(weekly) | np.isfinite(yesterday)] = np.nan
    usual, which = day.copy(), np.full(len(rows), Baseline.LAST_24_HOURS)
    for value, baseline in (
        (before, Baseline.HOURS_BEFORE),
        (yesterday, Baseline.YESTERDAY),
        (weekly, Baseline.HOUR_OF_WEEK),
    ):
        higher = value > usual
        usual, which = np.where(higher, value, usual), np.where(higher, baseline, which)
    return usual, which


def _weekly(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """Median of the quantile in the same hour of up to four earlier weeks; NaN if unknown."""
    weeks, name = graded.history.weeks, f"{rule.signal}.p{rule.effect['q'] * 100:g}"
    if name not in weeks.names:
        return np.full(len(rows), np.nan)
    hours = np.sort(weeks.same_hour(name, rows, graded.at, weeks=4), axis=1)
    known = np.isfinite(hours).sum(axis=1)  # NaN are sorted to the end
    middle = np.take_along_axis(hours, np.maximum(known - 1, 0)[:, None] // 2, axis=1)
    return middle[:, 0]


def _is_tail(
    rule: RuleSpec, sides: _Sides, rows: np.ndarray, ratio: np.ndarray
) -> np.ndarray | bool:
    """Whether the quantile rose so much more than the median did."""
    if not rule.effect["tail"]:
        return True
    middle = sketch.quantile(sides.now, rows, 0.5)[0] / sketch.quantile(sides.base, rows, 0.5)[0]
    grew: np.ndarray = ratio / middle >= rule.effect["tail"]
    return grew


def _evidence(
    rule: RuleSpec,
    graded: Graded,
    sides: _Sides,
    rows: np.ndarray,
    usual: np.ndarray,
    bucket: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How improbable it is, and how many observations would show the least effect.

    `usual` is NaN where it is not asked. `bucket` is that of the day's quantile, -1 where
    another baseline is higher: that one is then held to be the day, moved up.

    Returns:
        p: of the share beyond `usual`, or evidence.p over the multiple of evidence.e that the
            e-value of the mean log reaches, whichever is less.
        needed: for the share to show `effect.ratio` nine times of ten.
    """
    known = np.isfinite(usual)
    p, least = np.ones(len(rows)), np.full(len(rows), np.inf)
    rows, usual, bucket = rows[known], usual[known], bucket[known]
    if not len(rows):
        return p, least
    own, here = sketch.quantile(sides.base, rows, rule.effect["q"])
    moved = np.where(bucket < 0, np.log(usual) - np.log(own), 0.0)
    tau = float(np.log(rule.effect["ratio"]))
    step = int(tau / sketch.LOG_GAMMA)
    if rule.effect["tail"]:  # a tail that grows is plainest beyond what had the effect before
        here = here + step
    at = here + np.rint(moved / sketch.LOG_GAMMA).astype(np.int64)
    n, m = sides.n[known], sides.m[known]
    weight = sketch.counts(sides.base, rows)
    usually = (sketch.above(sides.base, rows, here) / weight * m + 1) / (m + 2)
    young = graded.history.age(rows, graded.at) < lookback.DAY_S + lookback.WIDTHS_S[-1]
    rho, drift = spread_of(
        graded.history.sketches[rule.signal].quarters(),
        sides.base,
        rows,
        here,
        np.where(young, PRIOR_H, PRIOR_LATER_H),
    )
    beyond = sketch.above(sides.now, rows, at)
    a, b = sketch.moments(sides.now, rows), sketch.moments(sides.base, rows)
    e = mixture_e(a.mean - b.mean - moved, a.var / n + b.var / m + drift**2, tau)
    sure = rule.evidence["p"] * rule.evidence["e"] / np.maximum(e, 1e-300)
    shifted = sketch.above(sides.base, rows, here - step) / weight
    least[known] = needed(usually, shifted, rule.evidence["p"], rho=rho)
    p[known] = np.fmin(tails.beta_binomial_upper(beyond, n, usually, rho), sure)
    return p, least


def _verdicts(rule: RuleSpec, graded: Graded, rows: np.ndarray, look: _Look) -> Verdicts:
    measure = measure_of(rule.signal)

    def sentence(i: int) -> str:
        text = (
            f"{name_of(graded, int(rows[i]))}: {measure.what} p{rule.effect['q'] * 100:g} "
            f"{measure.amount(look.value[i])} over {look.width[i] / 60:.0f} min"
        )
        if not np.isfinite(look.usual[i]):
            return text
        text += (
            f", {look.ratio[i] - 1:+.0%} on {measure.amount(look.usual[i])} "
            f"({Baseline(int(look.baseline[i])).text})"
        )
        return f"{text}; {_power(rule, look, i)}" if look.breach[i] else text

    return Verdicts.of(
        rows,
        breach=look.breach,
        clear=look.clear,
        observed=look.value / measure.scale,
        expected=look.usual / measure.scale,
        bound=look.bound / measure.scale,
        n=look.n,
        p=look.p,
        score=np.nan_to_num(look.value / look.bound),
        baseline=look.baseline,
        unit=measure.unit,
        sentence=sentence,
        reach_s=look.width,
    )


def _power(rule: RuleSpec, look: _Look, i: int) -> str:
    """What the volume can tell: n against what the least effect takes."""
    effect = f"{rule.effect['ratio'] - 1:+.0%}"
    if not np.isfinite(look.needed[i]):
        return f"n = {look.n[i]:,}, and it varies too much for {effect} alone to be sure"
    return f"n = {look.n[i]:,} where {effect} takes {look.needed[i]:,.0f}"


def check(rule: RuleSpec) -> None:
    """Refuse what `equivalence` or `strata` cannot be read as. Raises ValueError."""
    equivalence_of(rule.options)
    strata_of(rule.options)


DETECTOR = WindowDetector(
    name="quantile",
    effect={
        "ratio": 1.2,
        "add": 100.0,  # ms or tokens
        "q": 0.95,
        "tail": 0.0,  # how much more it rose than the median; 0 = not asked
    },
    evidence={"p": 1e-4, "e": 1e4},
    volume={"n": 200.0, "wide_n": 500.0, "baseline": 1000.0},
    options={"equivalence": {}, "strata": {}},
    judge=judge,
    excludes=Excludes.its_signal,
    reads=reads,
    check=check,
)
