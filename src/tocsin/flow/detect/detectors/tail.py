"""A tail too long for its middle: the q-quantile more than `ratio` times the median.

Both are of one look-back of 15 minutes to two hours, so no baseline is needed. But some work
always has a long tail: once a day is known, the ratio must also have grown by `growth` on the
day's own, and before that the finding is `info` only. Evidence: the upper confidence limit of
the median is taken, and the lower confidence limit of the share beyond `ratio` times that must
exceed 1 - q.
"""

import numpy as np
from scipy.special import ndtri

from tocsin.flow.baseline.stats import sketch, tails
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.distribution import Distribution
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Floats, Unit


def judge(series: Series) -> Verdicts:
    """Every series with volume: without it nothing is known of the median."""
    rule = series.rule
    width = series.observations().width_of(rule.volume["n"])
    series, width = series.only(width > 0), width[width > 0]
    if not len(series):
        return NOTHING
    observations = series.observations()
    now = observations.over(width)
    q, ratio, growth = rule.effect["q"], rule.effect["ratio"], rule.effect["growth"]
    value, n = now.quantile(q), now.n
    known = observations.last_day.n >= rule.volume["baseline"]
    usual = observations.last_day_quantile(q) / observations.last_day_quantile(0.5)
    times = value / now.quantile(0.5)
    grown = ~known | (times >= growth * usual)
    breach = (times >= ratio) & grown & (_least_share_beyond(rule, now) > 1 - q)
    calm = (times <= rule.clear.at(ratio)) | (known & (times <= (1 + growth) / 2 * usual))
    measure = measure_of(rule.signal)

    def sentence(i: int) -> str:
        own = f"; {usual[i]:.1f} times over the last day" if known[i] else ""
        return (
            f"{series.name(i)}: p{q * 100:g} {measure.amount(value[i])} is "
            f"{times[i]:.1f} times the median over {width[i] / 60:.0f} min{own}"
        )

    return Verdicts(
        series.rows,
        breach=breach,
        clear=calm,
        observed=times,
        expected=np.where(known, usual, np.nan),
        bound=np.where(known, np.fmax(ratio, growth * usual), ratio),
        n=n,
        score=times / ratio,
        baseline=np.where(known, Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=Unit.TIMES,
        sentence=sentence,
        severity=tuple(rule.severity if k else "info" for k in known),
    )


def _least_share_beyond(rule: RuleSpec, now: Distribution) -> Floats:
    """Lower limit of the share beyond `ratio` times the upper limit of the median."""
    p, n = rule.evidence["p"], now.n
    highest = np.minimum(0.5 - ndtri(p) * 0.5 / np.sqrt(np.maximum(n, 1)), 1.0)
    limit = now.quantile(highest) * rule.effect["ratio"]
    beyond = now.above(np.ceil(np.log(limit) / sketch.LOG_GAMMA).astype(np.int64))
    return tails.share_lower(beyond, n, p)


DETECTOR = WindowDetector(
    name="tail",
    effect={
        "q": 0.95,  # which quantile, 0..1
        "ratio": 4.0,  # times the median
        "growth": 1.25,  # times what that ratio was over the last day
    },
    evidence={"p": 1e-3},  # chance that a confidence limit is wrong, for each of the two
    volume={
        "n": 200.0,  # observations in the look-back
        "baseline": 1000.0,  # observations in the last day; with fewer it is not compared
    },
    judge=judge,
)
