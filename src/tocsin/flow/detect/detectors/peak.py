"""One step that took far too long: a single duration beyond all the day has seen.

Structural: one observation is enough. The limit is `max_ms` where the rule's options give
one for the series' last dimension (by shell pattern); elsewhere `ratio` times the day's
99.9 % quantile, and `highest` times its longest, which a heavy tail makes the higher.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import numpy as np

from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.units import unit_of
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, is_watched, name_of, rows_of
from tocsin.flow.rules.options import max_ms_of
from tocsin.flow.rules.spec import RuleSpec

_RARE = 0.999


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every series with a step beyond its limit, and those that have an alert."""
    rows, unit = rows_of(rule, graded), unit_of(rule.signal)
    now = graded.sketches[rule.signal]
    n = sketch.counts(now, rows)
    longest, _ = sketch.quantile(now, rows, 1.0)
    limit, given = _limit(rule, graded, rows)
    breach = (n >= rule.volume["n"]) & (longest > limit)
    kept = breach | is_watched(rule, graded, rows, watched)
    if not kept.any():
        return NOTHING
    rows, n, longest, limit = rows[kept], n[kept], longest[kept], limit[kept]
    breach, given = breach[kept], given[kept]

    def say(i: int) -> str:
        by = "your limit" if given[i] else "the limit from the last day"
        return (
            f"{name_of(graded, int(rows[i]))}: one took {unit.text(longest[i])}, "
            f"{by} is {unit.text(limit[i])}"
        )

    return Verdicts(
        rows,
        breach,
        ~breach,
        longest / unit.scale,
        np.full(len(rows), np.nan),
        limit / unit.scale,
        n,
        np.full(len(rows), np.nan),
        np.nan_to_num(longest / limit),
        np.where(given, 0, 2),
        unit.name,
        say,
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
                limit[i], given[i] = found[0] * unit_of(rule.signal).scale, True
    return limit, given
