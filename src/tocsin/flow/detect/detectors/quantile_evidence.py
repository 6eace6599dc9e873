"""How improbable it is that a quantile is so high, were nothing wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.expect.strata import standardise
from tocsin.flow.baseline.stats import sketch, tails
from tocsin.flow.baseline.stats.e_values import PRIOR_H, PRIOR_LATER_H, mixture_e, needed, spread_of
from tocsin.flow.detect.distribution import Distribution
from tocsin.flow.detect.series import Series
from tocsin.flow.rules.options import strata_of
from tocsin.types import Bools, Floats, Ints

#: A series is not judged where less than this share of its mix has a past to compare with.
_LEAST_PART = 0.5


@dataclass(frozen=True, slots=True)
class Samples:
    """What is compared with what: the look-back of each series and its last day."""

    now: Distribution
    day: Distribution
    n: Ints  # observations of `now` that are compared
    m: Floats  # observations that `day` is worth; fewer than it has, if its mix was adjusted

    def only(self, which: Bools) -> Samples:
        """Of some of the series."""
        return Samples(self.now.only(which), self.day.only(which), self.n[which], self.m[which])


def samples_of(series: Series, width_s: Ints) -> Samples:
    """Of each series (each once), the day in the mix of now where the rule names strata."""
    rule, observations = series.rule, series.observations()
    now, day = observations.over(width_s), observations.last_day.alone()
    n, m = now.n, day.n.astype(float)
    for view, finer in strata_of(rule.options).items():
        these = np.flatnonzero(series.in_view(view))
        if not len(these):
            continue
        adjusted = standardise(
            series.graded, rule.signal, series.rows[these], width_s[these], view, finer
        )
        like = np.flatnonzero(adjusted.part >= _LEAST_PART)
        m[these[adjusted.part < _LEAST_PART]] = 0.0
        n[these[like]], m[these[like]] = adjusted.n[like], adjusted.m[like]
        now = now.replaced(these[like], adjusted.now)
        day = day.replaced(these[like], adjusted.base)
    return Samples(now, day, n, m)


def evidence(series: Series, samples: Samples, usual: Floats) -> tuple[Floats, Floats]:
    """How improbable it is, and how many observations would show the least effect.

    Args:
        series: each once.
        samples: what is compared.
        usual: the usual quantile; NaN where the evidence is not asked. Where it is above the
            day's own, the day is taken as moved up by as much.

    Returns:
        p: of the share beyond `usual`, or evidence.p times evidence.e over the e-value of the
            shift of the mean logarithm, whichever is less. 1 where it is not asked.
        needed: observations for the share to show `effect.ratio` nine times of ten.
    """
    rule = series.rule
    p, least = np.ones(len(series)), np.full(len(series), np.inf)
    known = np.isfinite(usual)
    if not known.any():
        return p, least
    series, samples, usual = series.only(known), samples.only(known), usual[known]
    day_quantile, bucket = samples.day.quantile_bucket(rule.effect["q"])
    moved = np.where(usual > day_quantile, np.log(usual) - np.log(day_quantile), 0.0)
    effect_log = float(np.log(rule.effect["ratio"]))
    effect_buckets = int(effect_log / sketch.LOG_GAMMA)
    if rule.effect["tail"]:  # a longer tail shows best beyond what already had the effect before
        bucket = bucket + effect_buckets
    weight = samples.day.n
    usual_share = (samples.day.above(bucket) / weight * samples.m + 1) / (samples.m + 2)
    rho, drift = _spread(series, samples.day, bucket)
    beyond = samples.now.above(bucket + np.rint(moved / sketch.LOG_GAMMA).astype(np.int64))
    now, day = samples.now.moments, samples.day.moments
    error_var = now.var / samples.n + day.var / samples.m + drift**2
    e = mixture_e(now.mean - day.mean - moved, error_var, effect_log)
    p_of_shift = rule.evidence["p"] * rule.evidence["e"] / np.maximum(e, 1e-300)
    shifted_share = samples.day.above(bucket - effect_buckets) / weight
    least[known] = needed(usual_share, shifted_share, rule.evidence["p"], rho=rho)
    p_of_share = tails.beta_binomial_upper(beyond, samples.n, usual_share, rho)
    p[known] = np.fmin(p_of_share, p_of_shift)
    return p, least


def _spread(series: Series, day: Distribution, bucket: Ints) -> tuple[Floats, Floats]:
    """How much the share beyond a bucket and the mean logarithm vary by the quarter-hour.

    A series in its first day has not shown what a day brings: a prior counts for more.
    """
    is_new = series.age_s < lookback.DAY_S + lookback.WIDTHS_S[-1]
    prior_h = np.where(is_new, PRIOR_H, PRIOR_LATER_H)
    quarters = series.observations().quarters()
    return spread_of(quarters, day.sketches, series.rows, bucket, prior_h)
