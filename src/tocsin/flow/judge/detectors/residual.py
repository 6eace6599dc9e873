"""Values that are odd for their series in whatever way: its level, its day, its steps.

The residual bank (`grade/residual`) says how often a series is that odd. One odd value is
nothing; the rule's persistence asks for most of ten minutes of them. A lasting new level is
told once: the bank follows it within half an hour, and what explains more suppresses this.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.grade import Graded
from tocsin.flow.grade.catalog import Group
from tocsin.flow.grade.counts import BASELINES, expect
from tocsin.flow.grade.looks import DAY_S
from tocsin.flow.judge.detectors.spike import UNITS
from tocsin.flow.judge.rules import RuleSpec
from tocsin.flow.judge.verdicts import Verdicts, contributions, is_watched, name_of, rows_of

_USUAL = 30  # windows whose mean number of events must reach the floor, where this one's does not
_BASELINE = BASELINES.index("its level of late and its day")
_WORDS = {"n": "events", "cost": "nano-USD", "err": "errors", "to": "timeouts"}


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every odd series of the signal, and those whose group has an alert."""
    rows, history = rows_of(rule, graded), graded.history
    said = graded.residuals.get(rule.signal)
    p = np.full(len(rows), np.nan) if said is None else said.p[rows]
    odd = p <= rule.evidence["p"]
    kept = odd | is_watched(rule, graded, rows, watched)
    rows, odd, p = rows[kept], odd[kept], p[kept]
    nothing = np.full(len(rows), np.nan)
    expected = nothing if said is None else np.maximum(said.expected[rows], 0.0)
    value, n = graded.current[rule.signal][rows], graded.current["n"][rows]
    lived = history.age(rows, graded.at) >= min(graded.warmup * history.window_s, DAY_S)
    usual_n = np.nan_to_num(history.trailing("n", rows, _USUAL)).mean(axis=1)
    enough = np.maximum(n, usual_n) >= rule.volume["n"]
    times = (value + 1.0) / (expected + 1.0)  # of silence, too
    far = np.maximum(times, 1.0 / times)
    ratio = rule.effect["ratio"]
    known = np.isfinite(p) & lived
    minutes = history.window_s / 60

    def say(i: int) -> str:
        return (
            f"{name_of(graded, int(rows[i]))}: {value[i]:,.0f} "
            f"{_WORDS.get(rule.signal, rule.signal)} in {minutes:g} min, where its level of late "
            f"and the time of day say {expected[i]:,.0f}"
        )

    def usual(parts: np.ndarray) -> np.ndarray:
        found = expect(
            history, rule.signal, parts, at=graded.at, warmup=graded.warmup, skip=graded.skip
        )
        return found.high

    return Verdicts(
        rows,
        known & odd & enough & (far >= ratio),
        known & ~odd,
        value,
        np.where(known, expected, np.nan),
        np.where(known, np.where(times >= 1.0, expected * ratio, expected / ratio), np.nan),
        n.astype(np.int64),
        np.where(known, p, np.nan),
        np.nan_to_num(far / ratio),
        np.where(known, _BASELINE, 0),
        UNITS.get(rule.signal, rule.signal),
        say,
        top=lambda i: contributions(rule, graded, int(rows[i]), usual) if times[i] > 1 else (),
    )
