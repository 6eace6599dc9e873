"""A quantile of a distribution (durations, first token, tokens a call) worse than it was.

Each series is judged over two look-backs: the least of 15 minutes to two hours that holds `n`
observations, and the least that holds `wide_n`. The first shows a change sooner, the second is
more certain; a breach in either is one. The quantile must be worse than that of the last day
up to two hours ago, and than what is usual at this hour: the same hour of earlier weeks, else
the same time yesterday, else the hours before. So neither a busy hour of the day nor a busy
Monday is a regression. Where a rule names `strata`, the day is first brought into the mix of
today (`baseline/expect/strata.py`).

Evidence is either of two: more observations beyond the usual quantile than a beta-binomial
allows whose share varies as it did over the day; or an e-value for a shift of the mean of the
logarithm, which needs a quarter of the observations and stays valid however often it is taken.
"""

from collections.abc import Collection, Mapping

import numpy as np

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.detectors.quantile_comparison import Comparison, compare, least_bound
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.options import equivalence_of, strata_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Bools, Ints


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """The distributions a rule compares, with the finer views its strata are in."""
    own_views = {*rule.views, *strata_of(rule.options).values()}
    equivalence = equivalence_of(rule.options)
    other = equivalence.signal if equivalence and equivalence.signal else rule.signal
    return {other: rule.views, rule.signal: own_views}


def judge(series: Series) -> Verdicts:
    """Every series with volume, a baseline and the effect, and those that have an alert."""
    rule, observations = series.rule, series.observations()
    narrow, alerting = observations.width_of(rule.volume["n"]), series.is_alerting
    kept = (narrow > 0) & ((observations.last_day.n >= rule.volume["baseline"]) | alerting)
    if not kept.any():
        return NOTHING
    series, narrow, alerting = series.only(kept), narrow[kept], alerting[kept]
    wide = series.observations().width_of(rule.volume["wide_n"])
    wide = np.where(wide > 0, wide, lookback.WIDTHS_S[-1])
    slow = _may_breach(series, narrow)
    other = ~slow & (wide != narrow)
    slow[other] = _may_breach(series.only(other), wide[other])
    kept = slow | alerting
    if not kept.any():
        return NOTHING
    series, narrow, wide = series.only(kept), narrow[kept], wide[kept]
    found = compare(series, narrow)
    if (wide != narrow).any():
        found = found.or_if_worse(compare(series, wide))
    return _verdicts(series, found)


def _may_breach(series: Series, width: Ints) -> Bools:
    """Which may have the effect: so many are slow that the quantile may be beyond the bound.

    Cheap, since it only counts: quantiles are taken of the few series that pass.
    """
    q, observations = series.rule.effect["q"], series.observations()
    bound = least_bound(series.rule, observations.last_day_quantile(q))
    below_bound = np.floor(np.log(np.fmax(bound, 1.0)) / sketch.LOG_GAMMA).astype(np.int64) - 1
    slow, n = observations.beyond(width, below_bound)
    many: Bools = slow > n - np.ceil(q * n - 1e-9)
    return many


def _verdicts(series: Series, found: Comparison) -> Verdicts:
    rule, measure = series.rule, measure_of(series.rule.signal)

    def sentence(i: int) -> str:
        text = (
            f"{series.name(i)}: {measure.what} p{rule.effect['q'] * 100:g} "
            f"{measure.amount(found.value[i])} over {found.width_s[i] / 60:.0f} min"
        )
        if not np.isfinite(found.usual[i]):
            return text
        text += (
            f", {found.ratio[i] - 1:+.0%} on {measure.amount(found.usual[i])} "
            f"({Baseline(int(found.baseline[i])).text})"
        )
        return f"{text}; {_volume_needed(rule, found, i)}" if found.breach[i] else text

    return Verdicts(
        series.rows,
        breach=found.breach,
        clear=found.clear,
        observed=found.value / measure.scale,
        expected=found.usual / measure.scale,
        bound=found.bound / measure.scale,
        n=found.n,
        p=found.p,
        score=np.nan_to_num(found.value / found.bound),
        baseline=found.baseline,
        unit=measure.unit,
        sentence=sentence,
        reach_s=found.width_s,
    )


def _volume_needed(rule: RuleSpec, found: Comparison, i: int) -> str:
    """How many observations there are, and how many would show the least effect."""
    effect = f"{rule.effect['ratio'] - 1:+.0%}"
    if not np.isfinite(found.needed[i]):
        return f"n = {found.n[i]:,}, and it varies too much for {effect} alone to be sure"
    return f"n = {found.n[i]:,} where {effect} takes {found.needed[i]:,.0f}"


DETECTOR = WindowDetector(
    name="quantile",
    effect={
        "ratio": 1.2,  # the least rise that breaches, times the usual quantile ...
        "add": 100.0,  # ... and by so much more at least, ms or tokens
        "q": 0.95,  # which quantile, 0..1
        "tail": 0.0,  # it must have risen so many times as much as the median; 0 = not asked
    },
    evidence={
        "p": 1e-4,  # chance of so many beyond the usual quantile with nothing wrong, at most
        "e": 1e4,  # or: the e-value of the shift of the mean logarithm, at least
    },
    volume={
        "n": 200.0,  # observations in the narrow look-back
        "wide_n": 500.0,  # observations in the wide one; two hours where there are fewer
        "baseline": 1000.0,  # observations in the last day
    },
    options={
        "equivalence": {},  # what must have stayed as it was: signal, q, band, sure
        "strata": {},  # view -> the finer view by which the mix of the day is adjusted
    },
    judge=judge,
    excludes=Excludes.its_signal,
    reads=reads,
    check=lambda rule: (equivalence_of(rule.options), strata_of(rule.options)),
)
