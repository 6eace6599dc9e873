"""A tail too long for its middle: the q-quantile more than `ratio` times the median.

Within one look of 15 minutes to two hours, so no baseline is needed. Some work is of this
shape by nature, though: once a day is known, the ratio must have grown by `growth` on the
day's own, and before that the rule only informs. Evidence is the share beyond `ratio` times
the upper limit of the median, at its lower limit.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, ndtri

from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.units import unit_of
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of, rows_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Severity


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every series with volume: its median must be known before anything can be said."""
    del watched
    rows = rows_of(rule, graded)
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
    unit = unit_of(rule.signal)

    def say(i: int) -> str:
        own = f"; {usual[i]:.1f} times over the last day" if known[i] else ""
        return (
            f"{name_of(graded, int(rows[i]))}: p{q * 100:g} {unit.text(value[i])} is "
            f"{times[i]:.1f} times the median over {width[i] / 60:.0f} min{own}"
        )

    severity: tuple[Severity, ...] = tuple(rule.severity if k else "info" for k in known.tolist())
    return Verdicts(
        rows,
        breach,
        calm,
        times,
        np.where(known, usual, np.nan),
        np.where(known, np.fmax(ratio, rule.effect["growth"] * usual), ratio),
        n,
        np.full(len(rows), np.nan),
        times / ratio,
        np.where(known, 2, 0),
        "times",
        say,
        severity,
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
