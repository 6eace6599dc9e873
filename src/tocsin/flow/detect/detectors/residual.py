"""Values that are odd for their series in whatever way: its level, its day, its steps.

The residual bank (`baseline/residual`) says how often a series is that odd. One odd value is
nothing; the rule's persistence asks for most of ten minutes of them. The effect is measured
on the baselines of all count rules, so two models that know nothing of each other must agree.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.baseline.expect.counts import Expected, expect
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.measure import counter_unit
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import (
    NOTHING,
    Verdicts,
    contributions,
    name_of,
)
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Contributor, Unit

#: Windows whose mean number of events must reach the floor, where this one's does not; of long
#: windows all that are kept.
_USUAL = 30


def judge(series: Series) -> Verdicts:
    """Every odd series of the signal, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    rows, history = series.rows, graded.history
    p = graded.residuals.get(rule.signal, np.full(len(history.catalog), np.nan))[rows]
    kept = (p <= rule.evidence["p"]) | series.at_rows(rows).is_alerting
    if not kept.any():
        return NOTHING
    rows, p = rows[kept], p[kept]
    value, n = graded.current[rule.signal][rows], graded.current["n"][rows]
    expected = _expect(rule, graded, rows)
    windows = min(_USUAL, history.width)
    usual_n = history.counts.sums("n", rows, windows)[:, 0] / windows
    enough = np.maximum(n, usual_n) >= rule.volume["n"]
    ratio = rule.effect["ratio"]
    more = value >= expected.high
    usual = np.where(more, expected.high, expected.low)
    bound = np.where(more, usual * ratio, usual / ratio)
    far = np.where(more, value + 1.0, usual + 1.0) / np.where(more, usual + 1.0, value + 1.0)
    known = np.isfinite(p) & expected.ready
    odd = known & (p <= rule.evidence["p"])
    minutes, unit = history.window_s / 60, counter_unit(rule.signal)

    def sentence(i: int) -> str:
        return (
            f"{name_of(graded, int(rows[i]))}: {unit.amount(value[i])} "
            f"in {minutes:g} min, where "
            f"{unit.number(usual[i])} would be usual; so odd a value is one of {1 / p[i]:,.0f} here"
        )

    return Verdicts.of(
        rows,
        breach=odd & enough & (far >= ratio),
        clear=known & ((p > rule.evidence["p"]) | (far < ratio)),
        observed=value,
        expected=np.where(known, usual, np.nan),
        bound=np.where(known, bound, np.nan),
        n=n.astype(np.int64),
        p=np.where(known, p, np.nan),
        score=np.where(known, far / ratio, 0.0),
        baseline=np.where(known, expected.baseline, Baseline.NONE),
        unit=Unit.PER_WINDOW if rule.signal == "n" else counter_unit(rule.signal),
        sentence=sentence,
        top=lambda i: _drivers(rule, graded, int(rows[i])) if more[i] else (),
    )


def _drivers(rule: RuleSpec, graded: Graded, row: int) -> tuple[Contributor, ...]:
    return contributions(rule, graded, row, lambda parts: _expect(rule, graded, parts).high)


def _expect(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> Expected:
    return expect(
        graded.history, rule.signal, rows, at=graded.at, warmup=graded.warmup, skip=graded.skip
    )


DETECTOR = WindowDetector(
    name="residual",
    effect={"ratio": 1.5},  # times the expected, or a part of it
    evidence={"p": 0.05},
    volume={"n": 20.0},
    judge=judge,
    scores_residuals=True,
)
