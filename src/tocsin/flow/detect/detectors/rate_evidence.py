"""Whether calls surely fail more often than a threshold, or than they used to.

The tests of `rate.py` on counts alone; what they mean stands there, the statistics in
`baseline/stats/rates.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, auto
from typing import Final

import numpy as np

from tocsin.flow.baseline.stats import rates, tails
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Bools, Floats, Ints

#: Added to the failures of the usual rate: none of n may yet be a rate of 3 / n.
_UNSEEN: Final = 3.0
_SURELY: Final = 0.99  # a rate above which nothing can be told to have risen


class Stretch(IntEnum):
    """The calls that a person is told the rate of."""

    LAST_CALLS = auto()  # so many, however long ago
    HOUR = auto()
    NEWEST = auto()  # some of the hour's newest windows


@dataclass(frozen=True, slots=True)
class Counts:
    """Failures and calls of each series: single windows of the last hour, and the last calls."""

    k: Floats  # [series, windows]
    n: Floats
    short: int  # so many of the windows are the short one
    last_k: Floats  # of the last calls, where the hour holds too few
    last_n: Floats
    few: Bools  # whether it does

    def only(self, which: Ints) -> Counts:
        """Some of the series."""
        parts = (self.last_k[which], self.last_n[which], self.few[which])
        return Counts(self.k[which], self.n[which], self.short, *parts)

    def newest(self, windows: int) -> tuple[Floats, Floats]:
        """Failures and calls of so many windows."""
        k: Floats = self.k[:, -windows:].sum(axis=1)
        n: Floats = self.n[:, -windows:].sum(axis=1)
        return k, n

    def each_newest(self, width: Ints) -> tuple[Floats, Floats]:
        """Failures and calls of the newest windows, `width` of each series."""
        newest = np.arange(self.k.shape[1])[::-1] < width[:, None]
        return (self.k * newest).sum(axis=1), (self.n * newest).sum(axis=1)

    def observed(self, threshold: float, width: Ints) -> tuple[Floats, Floats, Ints]:
        """Failures and calls to tell of, and the `Stretch` they are of: the last calls where the
        hour has few; else the hour, or, where that as a whole is still below the threshold, the
        newest `width` windows.
        """
        k, n = self.k.sum(axis=1), self.n.sum(axis=1)
        newest_k, newest_n = self.each_newest(width)
        cases = [self.few, ~self.few & (k <= threshold * n)]
        return (
            np.select(cases, [self.last_k, newest_k], k),
            np.select(cases, [self.last_n, newest_n], n),
            np.select(cases, [Stretch.LAST_CALLS, Stretch.NEWEST], Stretch.HOUR),
        )


@dataclass(frozen=True, slots=True)
class UsualRate:
    """Failures and calls of each over the last day up to an hour ago, and how its rate wanders."""

    k: Floats
    n: Floats
    rho: Floats  # of a beta-binomial
    known: Bools  # whether it is enough to say what is usual

    @property
    def rate(self) -> Floats:
        """The usual rate, NaN where it is not known."""
        return np.where(self.known, self.k / np.maximum(self.n, 1.0), np.nan)


def exceeds(rule: RuleSpec, counts: Counts, threshold: float) -> Bools:
    """Which series are surely above the threshold (0..1), by any of the first three tests."""
    k_short, n_short = counts.newest(counts.short)
    k, n = counts.k.sum(axis=1), counts.n.sum(axis=1)
    p = rule.evidence["p"]
    is_now = rates.wilson_lower(k_short, n_short, rule.evidence["short_p"]) > threshold
    is_now &= ~counts.few & (k >= rule.volume["k"])
    found: Bools = is_now & (rates.wilson_lower(k, n, p) > threshold)
    undecided = np.flatnonzero(is_now & ~found)
    if len(undecided):
        log_e = rates.log_e_detector(counts.k[undecided], counts.n[undecided], threshold)
        found[undecided] = log_e >= np.log(rule.evidence["early_e"])
    low = rates.wilson_lower(counts.last_k, counts.last_n, p)
    found |= counts.few & (counts.last_k >= rule.volume["k"]) & (low > threshold)
    return found


def shortest(rule: RuleSpec, counts: Counts, widths: tuple[int, ...]) -> Ints:
    """Of some widths (windows, ascending) the shortest surely above the threshold; 0 = none.

    Surer than the hour is asked to be: there are several widths, and each is tested every window.
    """
    width = np.zeros(len(counts.k), np.int64)
    for windows in reversed(widths):
        k, n = counts.newest(windows)
        low = rates.wilson_lower(k, n, rule.evidence["risen_p"])
        width[(k >= rule.volume["k"]) & (low > rule.effect["rate"])] = windows
    width[counts.few] = 0
    return width


def risen(rule: RuleSpec, counts: Counts, usual_rate: UsualRate, width: Ints) -> Bools:
    """Which series with a known past fail surely more than `risen` times as often as they did.

    `width` are the windows of each that lie above the threshold. None where `risen` is 0.
    """
    if rule.effect["risen"] <= 0:
        return np.zeros(len(width), bool)
    k, n = counts.newest(counts.short)
    is_now = k > rule.effect["rate"] * n
    found: Bools = usual_rate.known & ~counts.few & is_now
    some = np.flatnonzero(found)
    if not len(some):
        return found
    of_some = counts.only(some)
    most = (usual_rate.k[some] + _UNSEEN) / np.maximum(usual_rate.n[some], 1.0)
    null = np.minimum(np.maximum(rule.effect["risen"], _times(rule, most)) * most, _SURELY)
    log_e = rates.log_e_detector(of_some.k, of_some.n, null)
    k, n = of_some.each_newest(width[some])
    p = tails.beta_binomial_upper(k, n, most, usual_rate.rho[some])
    found[some] = (log_e >= np.log(rule.evidence["risen_e"])) & (p <= rule.evidence["usual_p"])
    return found


def is_unusual(rule: RuleSpec, usual_rate: UsualRate, k: Floats, n: Floats) -> Bools:
    """Which are beyond their usual rate; all, where `times` is not set or the usual not known."""
    unusual = np.ones(len(k), bool)
    some = np.flatnonzero(usual_rate.known & (rule.effect["times"] > 0))
    if len(some):
        usual, k, n = usual_rate.rate[some], k[some], n[some]
        p = tails.beta_binomial_upper(k, n, usual, usual_rate.rho[some])
        often = k >= _times(rule, usual) * usual * np.maximum(n, 1.0)
        unusual[some] = often & (p <= rule.evidence["usual_p"])
    return unusual


def _times(rule: RuleSpec, usual: Floats) -> Floats:
    """How many times its usual rate a series must fail; 0 where that is too low to be asked."""
    return np.where(usual > rule.effect["usual"], rule.effect["times"], 0.0)
