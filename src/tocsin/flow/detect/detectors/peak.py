"""One step that took far too long: a single duration beyond all the day has seen.

Structural: one observation is enough. The limit is `max_ms` where the rule's options give
one for the series' last dimension (by shell pattern); elsewhere `ratio` times the day's
99.9 % quantile, and `highest` times its longest, which a heavy tail makes the higher.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.options import max_ms_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline

_RARE = 0.999


def judge(series: Series) -> Verdicts:
    """Every series with a step beyond its limit, and those that have an alert."""
    rule, graded = series.rule, series.graded
    rows, measure = series.rows, measure_of(rule.signal)
    now = graded.sketches[rule.signal]
    n = sketch.counts(now, rows)
    longest, _ = sketch.quantile(now, rows, 1.0)
    limit, given = _limit(rule, graded, rows)
    breach = (n >= rule.volume["n"]) & (longest > limit)
    kept = breach | series.at_rows(rows).is_alerting
    if not kept.any():
        return NOTHING
    rows, n, longest, limit = rows[kept], n[kept], longest[kept], limit[kept]
    breach, given = breach[kept], given[kept]

    def sentence(i: int) -> str:
        by = "your limit" if given[i] else "the limit from the last day"
        return (
            f"{name_of(graded, int(rows[i]))}: one took {measure.amount(longest[i])}, "
            f"{by} is {measure.amount(limit[i])}"
        )

    return Verdicts.of(
        rows,
        breach=breach,
        clear=~breach,
        observed=longest / measure.scale,
        bound=limit / measure.scale,
        n=n,
        score=np.nan_to_num(longest / limit),
        baseline=np.where(given, Baseline.NONE, Baseline.LAST_24_HOURS),
        unit=measure.unit,
        sentence=sentence,
    )


def _limit(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The limit of each row in the unit of the sketch, inf if none; whether it was given."""
    past = graded.history.sketches[rule.signal]
    rare, highest = (past.usual(q)[rows] for q in (_RARE, 1.0))
    lived = graded.warmup * graded.history.window_s
    known = graded.history.age(rows, graded.at) >= min(lived, lookback.DAY_S)
    known &= sketch.counts(past.baseline, rows) >= rule.volume["baseline"]
    limit = np.where(
        known, np.fmax(rule.effect["ratio"] * rare, rule.effect["highest"] * highest), np.inf
    )
    limits = max_ms_of(rule.options)
    given = np.zeros(len(rows), bool)
    if limits:
        names = graded.history.catalog.names
        for i, row in enumerate(rows.tolist()):
            own = names[row].rpartition("\x1f")[2]
            found = [ms for pattern, ms in limits.items() if fnmatchcase(own, pattern)]
            if found:
                limit[i], given[i] = found[0] * measure_of(rule.signal).scale, True
    return limit, given


def check(rule: RuleSpec) -> None:
    """Refuse limits that cannot be read. Raises ValueError."""
    max_ms_of(rule.options)


DETECTOR = WindowDetector(
    name="peak",
    effect={"ratio": 3.0, "highest": 3.0},  # times the day's p99.9; times its longest
    volume={"n": 1.0, "baseline": 2000.0},
    options={"max_ms": {}},  # shell pattern of the last dimension -> limit
    judge=judge,
    check=check,
)
