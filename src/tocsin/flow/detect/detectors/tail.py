"""A tail too long for its middle: the q-quantile more than `ratio` times the median.

Within one look of 15 minutes to two hours, so no baseline is needed. Some work is of this
shape by nature, though: once a day is known, the ratio must have grown by `growth` on the
day's own, and before that the rule only informs. Evidence is the share beyond `ratio` times
the upper limit of the median, at its lower limit.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, ndtri

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Severity, Unit


def judge(series: Series) -> Verdicts:
    """Every series with volume: its median must be known before anything can be said."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    width = lookback.least(graded, rule.signal, rows, rule.volume["n"])
    rows, width = rows[width > 0], width[width > 0]
    if not len(rows):
        return NOTHING
    now = lookback.merged(graded, rule.signal, rows, width)
    past = graded.history.sketches[rule.signal]
    q, ratio = rule.effect["q"], rule.effect["ratio"]
    value, _ = sketch.quantile(now, rows, q)
    middle, _ = sketch.quantile(now, rows, 0.5)
    known = sketch.counts(past.baseline, rows) >= rule.volume["baseline"]
    usual = past.usual(q)[rows] / past.usual(0.5)[rows]
    times, n = value / middle, sketch.counts(now, rows)
    grown = ~known | (times >= rule.effect["growth"] * usual)
    breach = (times >= ratio) & grown & (_surely_beyond(rule, now, rows, n) > 1 - q)
    level = rule.clear.level if rule.clear.level is not None else ratio
    calm = (times <= level) | (known & (times <= (1 + rule.effect["growth"]) / 2 * usual))
    measure = measure_of(rule.signal)

    def sentence(i: int) -> str:
        own = f"; {usual[i]:.1f} times over the last day" if known[i] else ""
        return (
            f"{name_of(graded, int(rows[i]))}: p{q * 100:g} {measure.amount(value[i])} is "
            f"{times[i]:.1f} times the median over {width[i] / 60:.0f} min{own}"
        )

    severity: tuple[Severity, ...] = tuple(rule.severity if k else "info" for k in known.tolist())
    return Verdicts.of(
        rows,
        breach=breach,
        clear=calm,
        observed=times,
        expected=np.where(known, usual, np.nan),
        bound=np.where(known, np.fmax(ratio, rule.effect["growth"] * usual), ratio),
        n=n,
        score=times / ratio,
        baseline=np.where(known, Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=Unit.TIMES,
        sentence=sentence,
        severity=severity,
    )


def _surely_beyond(
    rule: RuleSpec, now: sketch.Sketches, rows: np.ndarray, n: np.ndarray
) -> np.ndarray:
    """Lower limit of the share beyond `ratio` times the upper limit of the median."""
    p = rule.evidence["p"]
    highest = np.minimum(0.5 - ndtri(p) * 0.5 / np.sqrt(np.maximum(n, 1)), 1.0)
    middle, _ = sketch.quantile(now, rows, highest)
    limit = np.ceil(np.log(middle * rule.effect["ratio"]) / sketch.LOG_GAMMA).astype(np.int64)
    beyond = sketch.above(now, rows, limit)
    with np.errstate(invalid="ignore"):
        sure = betaincinv(beyond, n - beyond + 1, p)
    return np.where(beyond > 0, sure, 0.0)


DETECTOR = WindowDetector(
    name="tail",
    effect={
        "q": 0.95,
        "ratio": 4.0,  # times the median
        "growth": 1.25,  # on the day's own ratio
    },
    evidence={"p": 1e-3},
    volume={"n": 200.0, "baseline": 1000.0},
    judge=judge,
)
