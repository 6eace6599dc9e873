"""A quantile over one look-back against what it usually is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from tocsin.flow.detect.detectors.quantile_evidence import evidence, samples_of
from tocsin.flow.detect.equivalence import is_equivalent
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Bools, Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Columns, one entry a series; values are in the unit of the sketch."""

    width_s: Ints  # of the look-back
    n: Ints  # observations compared
    value: Floats  # the quantile now
    usual: Floats  # NaN while there is no baseline
    bound: Floats  # the least value with the effect
    ratio: Floats  # value / usual; 0 while there is no baseline
    baseline: Ints  # a `Baseline` each
    p: Floats  # NaN while there is no baseline
    needed: Floats  # observations that would show the least effect
    breach: Bools
    clear: Bools

    def or_if_worse(self, other: Comparison) -> Comparison:
        """The other comparison where only it breaches; clear only where both are."""
        take = other.breach & ~self.breach
        columns = {
            field.name: np.where(take, getattr(other, field.name), getattr(self, field.name))
            for field in fields(self)
        }
        return Comparison(**{**columns, "clear": self.clear & other.clear})


def compare(series: Series, width_s: Ints) -> Comparison:
    """Full judgement of a few series (each once) over their look-backs."""
    rule, samples = series.rule, samples_of(series, width_s)
    q = rule.effect["q"]
    value, day = samples.now.quantile(q), samples.day.quantile(q)
    usual, baseline = _highest_usual(series, day)
    ready = (samples.m >= rule.volume["baseline"]) & (samples.n >= rule.volume["n"])
    ready &= series.is_warm
    usual = np.where(ready, usual, np.nan)
    ratio = np.where(ready, value / usual, 0.0)
    bound = least_bound(rule, usual)
    effect = ready & (value >= bound)
    if rule.effect["tail"]:  # the quantile must have risen so many times as much as the median
        median_ratio = samples.now.quantile(0.5) / samples.day.quantile(0.5)
        effect &= value / day / median_ratio >= rule.effect["tail"]
    effect[effect] = is_equivalent(series.only(effect), width_s[effect])
    p, needed = evidence(series, samples, np.where(effect, usual, np.nan))
    return Comparison(
        width_s=width_s,
        n=samples.n,
        value=value,
        usual=usual,
        bound=bound,
        ratio=ratio,
        baseline=np.where(ready, baseline, Baseline.NONE),
        p=np.where(ready, p, np.nan),
        needed=needed,
        breach=effect & (p <= rule.evidence["p"]),
        clear=ready & (ratio <= rule.clear.at(1 + (rule.effect["ratio"] - 1) / 2)),
    )


def least_bound(rule: RuleSpec, usual: Floats) -> Floats:
    """The least value that has the effect."""
    add = rule.effect["add"] * measure_of(rule.signal).scale
    return np.fmax(usual * rule.effect["ratio"], usual + add)


def _highest_usual(series: Series, day: Floats) -> tuple[Floats, Ints]:
    """The higher of the day's quantile and that of this hour, and which baseline it is of.

    This hour is that of earlier weeks; where that is not known, the same time yesterday; where
    that is not either, the hours before.
    """
    q, n, observations = series.rule.effect["q"], series.rule.volume["n"], series.observations()
    before, yesterday = (
        np.where(part.n >= n, part.quantile(q), np.nan)
        for part in (observations.hours_before, observations.yesterday)
    )
    weekly = observations.weekly_quantile(q)
    yesterday[np.isfinite(weekly)] = np.nan
    before[np.isfinite(weekly) | np.isfinite(yesterday)] = np.nan
    usual, which = day.copy(), np.full(len(series), Baseline.LAST_24_HOURS)
    for value, baseline in (
        (before, Baseline.HOURS_BEFORE),
        (yesterday, Baseline.YESTERDAY),
        (weekly, Baseline.HOUR_OF_WEEK),
    ):
        higher = value > usual
        usual, which = np.where(higher, value, usual), np.where(higher, baseline, which)
    return usual, which
