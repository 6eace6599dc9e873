"""Values that are odd for their series in whatever way: its level, its day, its steps.

The residual bank (`baseline/residual`) says how often a series is that odd. One odd value is
expected now and then; the rule's persistence asks for most of ten minutes of them. The effect is
measured on the baselines of the count rules: two models that share nothing must agree.
"""

import numpy as np

from tocsin.flow.detect.contributors import drivers_of_rise
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.measure import counter_unit
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.types import Baseline, Contributor, Floats, Unit

#: Where this window has too few events, the mean of so many before it may have enough; fewer,
#: where windows are so long that fewer are kept.
_USUAL_WINDOWS = 30


def judge(series: Series) -> Verdicts:
    """Every odd series of the signal, and those whose group has an alert."""
    scored = series.graded.residuals.get(series.rule.signal)
    p = np.full(len(series), np.nan) if scored is None else scored[series.rows]
    kept = (p <= series.rule.evidence["p"]) | series.is_alerting
    return _verdicts(series.only(kept), p[kept]) if kept.any() else NOTHING


def _verdicts(series: Series, p: Floats) -> Verdicts:
    rule, value, n, expected = series.rule, series.now, series.n, series.expected()
    windows = min(_USUAL_WINDOWS, series.graded.history.width)
    usual_n = series.total_before("n", windows) / windows
    enough = np.maximum(n, usual_n) >= rule.volume["n"]
    ratio = rule.effect["ratio"]
    is_more = value >= expected.high
    usual = np.where(is_more, expected.high, expected.low)
    bound = np.where(is_more, usual * ratio, usual / ratio)
    # How many times the one is the other, with one event added to both.
    times = np.where(is_more, value + 1.0, usual + 1.0) / np.where(
        is_more, usual + 1.0, value + 1.0
    )
    known = np.isfinite(p) & expected.ready
    odd = known & (p <= rule.evidence["p"])
    minutes, unit = series.window_s / 60, counter_unit(rule.signal)

    def sentence(i: int) -> str:
        return (
            f"{series.name(i)}: {unit.amount(value[i])} in {minutes:g} min, where "
            f"{unit.number(usual[i])} would be usual; so odd a value is one of {1 / p[i]:,.0f} here"
        )

    def top(i: int) -> tuple[Contributor, ...]:
        if not is_more[i]:
            return ()
        return drivers_of_rise(series, i, lambda parts: parts.expected().high)

    return Verdicts(
        series.rows,
        breach=odd & enough & (times >= ratio),
        clear=known & ((p > rule.evidence["p"]) | (times < ratio)),
        observed=value,
        expected=np.where(known, usual, np.nan),
        bound=np.where(known, bound, np.nan),
        n=n.astype(np.int64),
        p=np.where(known, p, np.nan),
        score=np.where(known, times / ratio, 0.0),
        baseline=np.where(known, expected.baseline, Baseline.NONE),
        unit=Unit.PER_WINDOW if rule.signal == "n" else unit,
        sentence=sentence,
        top=top,
    )


DETECTOR = WindowDetector(
    name="residual",
    effect={"ratio": 1.5},  # times the expected, or the expected divided by it
    evidence={"p": 0.05},  # how often a value of the series is as odd
    volume={"n": 20.0},  # events in the window, or in the mean of the windows before it
    judge=judge,
    scores_residuals=True,
)
