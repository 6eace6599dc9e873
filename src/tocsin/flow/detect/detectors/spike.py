"""A window's total far above what the series' own past expects.

The bound is the least total that has the effect (ratio), the evidence (tail probability of a
negative binomial for counts, of a gamma for tokens and cost) and is a record. It is known
before the window closes, and a counter can only grow: the open window is judged against it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tocsin.flow.baseline.expect.counts import Expected, expect
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.measure import counter_unit
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import (
    NOTHING,
    Verdicts,
    contributions,
    name_of,
)
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Floats, Unit

_CEILING = 2.0**52
_SUSPECT_P = 1e-3


def judge(series: Series) -> Verdicts:
    """Every series with volume and a record, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    n = graded.current["n"][rows]
    alerted = series.at_rows(rows).is_alerting
    loud = np.flatnonzero(n >= rule.volume["n"])
    kept = alerted.copy()
    value = graded.current[rule.signal][rows[loud]]
    # The bound lies above the record, so hardly any row of a calm shard needs the full look.
    kept[loud] |= graded.history.counts.is_record(rule.signal, rows[loud], value, graded.skip)
    if not kept.any():
        return NOTHING
    rows = rows[kept]
    said = _verdicts(rule, graded, rows, graded.current[rule.signal][rows], n[kept])
    # Too high to be clear, and improbable or part of an incident: nothing to learn from.
    high = np.isfinite(said.p) & ~said.clear
    return replace(said, suspect=high & (alerted[kept] | (said.p <= _SUSPECT_P)))


def judge_open(series: Series, value: Floats, n: Floats) -> Verdicts:
    """Open windows of the broadest view; what is said does not depend on the moment."""
    rule, graded, rows = series.rule, series.graded, series.rows
    enough = n >= rule.volume["n"]
    rows, value = rows[enough], value[enough]
    expected, bound = _bound(rule, graded, rows)
    hit = expected.ready & (value >= bound)
    floor = np.full(int(hit.sum()), rule.volume["n"])
    return _verdicts(rule, graded, rows[hit], bound[hit], floor).early()


def _verdicts(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, value: np.ndarray, n: np.ndarray
) -> Verdicts:
    expected, bound = _bound(rule, graded, rows)
    level = rule.clear.level if rule.clear.level is not None else rule.effect["ratio"] / 2
    breach = expected.ready & (value >= bound) & (n >= rule.volume["n"])
    minutes, unit = graded.history.window_s / 60, counter_unit(rule.signal)

    def sentence(i: int) -> str:
        times = value[i] / max(expected.high[i], 1e-9)
        what = unit.amount(value[i], _digits(unit.read(value[i])))
        usual = unit.number(expected.high[i], _digits(unit.read(expected.high[i])))
        return (
            f"{name_of(graded, int(rows[i]))}: {what} in {minutes:g} min, "
            f"{times:.0f} times the expected {usual}"
        )

    def usual(parts: np.ndarray) -> np.ndarray:
        return _expect(rule, graded, parts).high

    return Verdicts.of(
        rows,
        breach=breach,
        clear=expected.ready & (value <= level * np.maximum(expected.high, 1.0)),
        observed=value,
        expected=np.where(expected.ready, expected.high, np.nan),
        bound=np.where(expected.ready, bound, np.nan),
        n=n.astype(np.int64),
        p=np.where(expected.ready, _upper(rule, value, expected), np.nan),
        score=value / bound,
        baseline=expected.baseline,
        unit=Unit.PER_WINDOW if rule.signal == "n" else counter_unit(rule.signal),
        sentence=sentence,
        top=lambda i: contributions(rule, graded, int(rows[i]), usual),
    )


def _expect(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> Expected:
    return expect(
        graded.history, rule.signal, rows, at=graded.at, warmup=graded.warmup, skip=graded.skip
    )


def _upper(rule: RuleSpec, value: np.ndarray, expected: Expected) -> np.ndarray:
    tail = tails.nb_upper if rule.signal in {"n", "err", "to"} else tails.gamma_upper
    return tail(value, expected.high, expected.size)


def _bound(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> tuple[Expected, np.ndarray]:
    """The least whole number that breaches, for each row."""
    expected = _expect(rule, graded, rows)
    low = np.maximum(np.ceil(rule.effect["ratio"] * expected.high), np.floor(expected.record) + 1)
    if rule.signal == "n":
        low = np.maximum(low, rule.volume["n"])
    low = np.maximum(low, 1.0)
    p = rule.evidence["p"]
    open_ = np.flatnonzero(_upper(rule, low, expected) > p)
    if not len(open_):
        return expected, low
    part = Expected(*(getattr(expected, f)[open_] for f in expected.__slots__))
    under, over = low[open_], low[open_] * 2
    while ((wrong := _upper(rule, over, part) > p) & (over < _CEILING)).any():
        under, over = np.where(wrong, over, under), np.where(wrong, over * 2, over)
    while (over - under > 1).any():
        middle = np.floor((under + over) / 2)
        enough = _upper(rule, middle, part) <= p
        under, over = np.where(enough, under, middle), np.where(enough, middle, over)
    bound = low.copy()
    bound[open_] = over
    return expected, bound


def _digits(value: float) -> str:
    return ",.3g" if value < 1e3 else ",.0f"


DETECTOR = WindowDetector(
    name="spike",
    effect={"ratio": 10.0},
    evidence={"p": 1e-6},
    volume={"n": 20.0},
    judge=judge,
    judge_open=judge_open,
    excludes=Excludes.its_signal,
)
