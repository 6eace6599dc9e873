"""A window's total far above what the series' own past expects.

The bound is the least total that has the effect (ratio), the evidence (tail probability of a
negative binomial for counts, of a gamma for tokens and cost) and is a record. It is known
before the window closes, and a counter can only grow: the open window is judged against it.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from tocsin.flow.baseline.expect.counts import COUNTED, Expected
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.contributors import drivers_of_rise
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.measure import counter_unit
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.types import Floats, Unit

#: Totals beyond it are not searched for a bound: above it floats no longer count by ones.
_HIGHEST_BOUND: Final = 2.0**52
#: What is as improbable as this, though it does not breach, is not learned from.
_SUSPECT_P: Final = 1e-3


def judge(series: Series) -> Verdicts:
    """Every series with volume and a record, and those whose group has an alert."""
    alerting = series.is_alerting
    with_volume = np.flatnonzero(series.n >= series.rule.volume["n"])
    kept = alerting.copy()
    # The bound is above the record, so in a calm shard hardly any series is judged in full.
    some, counts = series.only(with_volume), series.graded.history.counts
    kept[with_volume] |= counts.is_record(
        series.rule.signal, some.rows, some.now, series.graded.skip
    )
    if not kept.any():
        return NOTHING
    series = series.only(kept)
    verdicts = _verdicts(series, series.now, series.n)
    # Too high to be clear, and improbable or part of an incident: nothing to learn from.
    high = np.isfinite(verdicts.p) & ~verdicts.clear
    return replace(verdicts, suspect=high & (alerting[kept] | (verdicts.p <= _SUSPECT_P)))


def judge_open(series: Series, value: Floats, n: Floats) -> Verdicts:
    """Open windows that reached their bound already. The bound is told, not the value so far:
    so the same log gives the same alert, whenever it is looked at.
    """
    floor = series.rule.volume["n"]
    enough = n >= floor
    series, value = series.only(enough), value[enough]
    expected, bound = _bound(series)
    hit = expected.ready & (value >= bound)
    return _verdicts(series.only(hit), bound[hit], np.full(int(hit.sum()), floor)).early()


def _verdicts(series: Series, value: Floats, n: Floats) -> Verdicts:
    rule = series.rule
    expected, bound = _bound(series)
    clear_at = rule.clear.at(rule.effect["ratio"] / 2)
    minutes, unit = series.window_s / 60, counter_unit(rule.signal)

    def sentence(i: int) -> str:
        times = value[i] / max(expected.high[i], 1e-9)
        what = unit.amount(value[i], _digits(unit.read(value[i])))
        usual = unit.number(expected.high[i], _digits(unit.read(expected.high[i])))
        return (
            f"{series.name(i)}: {what} in {minutes:g} min, {times:.0f} times the expected {usual}"
        )

    return Verdicts(
        series.rows,
        breach=expected.ready & (value >= bound) & (n >= rule.volume["n"]),
        clear=expected.ready & (value <= clear_at * np.maximum(expected.high, 1.0)),
        observed=value,
        expected=np.where(expected.ready, expected.high, np.nan),
        bound=np.where(expected.ready, bound, np.nan),
        n=n.astype(np.int64),
        p=np.where(expected.ready, _upper_tail(rule.signal, value, expected), np.nan),
        score=value / bound,
        baseline=expected.baseline,
        unit=Unit.PER_WINDOW if rule.signal == "n" else unit,
        sentence=sentence,
        top=lambda i: drivers_of_rise(series, i, lambda parts: parts.expected().high),
    )


def _upper_tail(signal: str, value: Floats, expected: Expected) -> Floats:
    """Probability of each value or more."""
    tail = tails.nb_upper if signal in COUNTED else tails.gamma_upper
    return tail(value, expected.high, expected.size)


def _bound(series: Series) -> tuple[Expected, Floats]:
    """What is expected of each series, and the least whole number that breaches."""
    rule, expected = series.rule, series.expected()
    bound = np.maximum(np.ceil(rule.effect["ratio"] * expected.high), np.floor(expected.record) + 1)
    if rule.signal == "n":
        bound = np.maximum(bound, rule.volume["n"])
    bound = np.maximum(bound, 1.0)
    p = rule.evidence["p"]
    too_likely = np.flatnonzero(_upper_tail(rule.signal, bound, expected) > p)
    if len(too_likely):
        some = expected.only(too_likely)
        bound[too_likely] = _least_improbable(rule.signal, bound[too_likely], some, p)
    return expected, bound


def _least_improbable(signal: str, least: Floats, expected: Expected, p: float) -> Floats:
    """The least whole number above `least` with a tail of at most `p`: doubled, then bisected."""
    under, over = least, least * 2
    while ((wrong := _upper_tail(signal, over, expected) > p) & (over < _HIGHEST_BOUND)).any():
        under, over = np.where(wrong, over, under), np.where(wrong, over * 2, over)
    while (over - under > 1).any():
        middle = np.floor((under + over) / 2)
        enough = _upper_tail(signal, middle, expected) <= p
        under, over = np.where(enough, under, middle), np.where(enough, middle, over)
    return over


def _digits(value: float) -> str:
    return ",.3g" if value < 1e3 else ",.0f"


DETECTOR = WindowDetector(
    name="spike",
    effect={"ratio": 10.0},  # times the expected total of a window
    evidence={"p": 1e-6},  # of such a total or more, by the series' own past
    volume={"n": 20.0},  # events in the window
    judge=judge,
    judge_open=judge_open,
    excludes=Excludes.its_signal,
)
