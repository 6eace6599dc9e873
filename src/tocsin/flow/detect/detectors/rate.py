"""The part of calls that fail (signal `err`) or time out (`to`) is surely above a threshold.

The threshold is absolute, so it needs no baseline and no warm-up. Any of four looks will do:

- both windows: the Wilson bound of the short window (is it so now?) and of the long one (is it
  so at all?) are above it;
- early: the short bound is above it, and so improbable is the last hour from whichever of its
  minutes it is counted that the long window need not fill first (`stats/rates.py`: an
  e-detector, valid though it is looked at in every window);
- few calls: the Wilson bound of the last `last` calls, a day back at most;
- risen: of a series whose usual rate is known, the bound of five minutes to half an hour is
  above it, and the last hour is improbable, by the same e-detector, even at `risen` times the
  usual rate (at `times` it, where that is asked and more). A rate that leaps from 1 % to 10 %
  is far from the usual long before it is surely far from 5 %.

Wilson bounds are for one look each. Repeated every minute, a series whose true rate lies
*at* the threshold is told of sooner or later; one at half of it is not in 200 days, though its
rate wanders (the tests simulate that). Where `times` is set, and for `risen`, a series must also
be beyond what its own rate wanders once that is known, and fail `times` as often as usual where
its usual rate is above `usual`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.expect.recent import last_calls, recent, total, windows_of
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import rates, tails
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, drivers, name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Contributor, Severity, Unit

_LONG_S = 3600
_LAG_S = 3600  # the usual rate ends so long before now
_CLEAR_PART = 4  # of few calls, so small a part of the newest must be well for an alert to end
#: Looks for a rate that has risen, s.
_RISEN_S = (300, 600, 900, 1800)
#: Added to the failures of the usual rate: none of n may yet be a rate of 3 / n.
_UNSEEN = 3.0
_SURELY = 0.99  # a rate above which nothing can be told to have risen
_WORDS = {"err": "failed", "to": "timed out"}
_UNITS = {"err": Unit.ERRORS_PER_CALL, "to": Unit.TIMEOUTS_PER_CALL}


@dataclass(frozen=True, slots=True)
class Counts:
    """Failures and calls of each row: single windows of the last hour, and the last calls."""

    k: np.ndarray  # [rows, windows]
    n: np.ndarray
    short: int  # so many of the windows are the short look
    last_k: np.ndarray  # of the last calls, where the hour holds too few
    last_n: np.ndarray
    few: np.ndarray  # whether it does

    def only(self, rows: np.ndarray) -> Counts:
        """Some of the rows."""
        parts = (self.last_k, self.last_n, self.few)
        return Counts(self.k[rows], self.n[rows], self.short, *(part[rows] for part in parts))

    def spoken(
        self, threshold: float, width: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What to tell a person: failures, calls, and 0 = of the last calls, 1 = of the hour,
        2 = of the newest `width` windows, where the hour as a whole is still below the threshold.
        """
        k, n = self.k.sum(axis=1), self.n.sum(axis=1)
        fresh = ~self.few & (k <= threshold * n)
        newest = np.arange(self.k.shape[1])[::-1] < width[:, None]
        k = np.select([self.few, fresh], [self.last_k, (self.k * newest).sum(axis=1)], k)
        n = np.select([self.few, fresh], [self.last_n, (self.n * newest).sum(axis=1)], n)
        return k, n, np.select([self.few, fresh], [0, 2], 1)


@dataclass(frozen=True, slots=True)
class UsualRate:
    """Failures and calls of each row over the last day up to an hour ago, and how they wander."""

    k: np.ndarray
    n: np.ndarray
    rho: np.ndarray
    known: np.ndarray  # whether it is enough to say what is usual

    @property
    def rate(self) -> np.ndarray:
        """The usual rate, NaN where it is not known."""
        return np.where(self.known, self.k / np.maximum(self.n, 1.0), np.nan)


def judge(series: Series) -> Verdicts:
    """Every series with a failure in this window, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    rows = series.rows
    failed = graded.current[rule.signal][rows] > 0
    rows = rows[failed | series.at_rows(rows).is_alerting]
    if not len(rows):
        return NOTHING
    counts, limit = _counts(rule, graded, rows), rule.effect["rate"]
    sure, width = exceeds(rule, counts, limit), shortest(rule, counts, _looks(graded))
    breach = (sure | (width > 0)) & (graded.current[rule.signal][rows] > 0)
    width = np.where(width > 0, width, counts.short)
    usual = np.full(len(rows), np.nan)
    if breach.any():
        these = np.flatnonzero(breach)
        usual_rate, mine = _usual_rate(rule, graded, rows[these]), counts.only(these)
        usual[these] = usual_rate.rate
        k, n, _ = mine.spoken(limit, width[these])
        breach[these] = sure[these] & _beyond(rule, usual_rate, k, n)
        breach[these] |= risen(rule, mine, usual_rate, width[these])
    return _verdicts(rule, graded, rows, (counts, width), usual, breach)


def _counts(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> Counts:
    k, n = (recent(graded, signal, rows, _LONG_S) for signal in (rule.signal, "n"))
    few = n.sum(axis=1) < rule.volume["n"]
    last_k, last_n = np.zeros(len(rows)), np.zeros(len(rows))
    if few.any():
        last_k[few], last_n[few] = last_calls(graded, rule.signal, rows[few], rule.volume["last"])
    return Counts(k, n, windows_of(graded, rule.effect["short_s"]), last_k, last_n, few)


def exceeds(rule: RuleSpec, counts: Counts, threshold: float) -> np.ndarray:
    """Which rows are surely above the threshold (0..1), by any of the three looks."""
    k_short, n_short = (part[:, -counts.short :].sum(axis=1) for part in (counts.k, counts.n))
    k, n = counts.k.sum(axis=1), counts.n.sum(axis=1)
    p = rule.evidence["p"]
    is_now = rates.wilson_lower(k_short, n_short, rule.evidence["short_p"]) > threshold
    is_now &= ~counts.few & (k >= rule.volume["k"])
    found: np.ndarray = is_now & (rates.wilson_lower(k, n, p) > threshold)
    open_ = np.flatnonzero(is_now & ~found)
    if len(open_):
        log_e = rates.log_e_detector(counts.k[open_], counts.n[open_], threshold)
        found[open_] = log_e >= np.log(rule.evidence["early_e"])
    low = rates.wilson_lower(counts.last_k, counts.last_n, p)
    found |= counts.few & (counts.last_k >= rule.volume["k"]) & (low > threshold)
    return found


def shortest(rule: RuleSpec, counts: Counts, looks: tuple[int, ...]) -> np.ndarray:
    """Of some looks (windows, ascending) the shortest surely above the threshold; 0 = none.

    Surer than the hour is asked to be: there are some looks, and each is repeated.
    """
    width = np.zeros(len(counts.k), np.int64)
    for windows in reversed(looks):
        k, n = (part[:, -windows:].sum(axis=1) for part in (counts.k, counts.n))
        low = rates.wilson_lower(k, n, rule.evidence["risen_p"])
        width[(k >= rule.volume["k"]) & (low > rule.effect["rate"])] = windows
    width[counts.few] = 0
    return width


def risen(rule: RuleSpec, counts: Counts, usual_rate: UsualRate, width: np.ndarray) -> np.ndarray:
    """Which rows with a known past fail surely more than `risen` times as often as they did.

    `width` are the windows of each that lie above the threshold. No row where `risen` is 0.
    """
    if rule.effect["risen"] <= 0:
        return np.zeros(len(width), bool)
    k, n = (part[:, -counts.short :].sum(axis=1) for part in (counts.k, counts.n))
    found: np.ndarray = (
        usual_rate.known & ~counts.few & (k > rule.effect["rate"] * n)
    )  # it is so now
    these = np.flatnonzero(found)
    if not len(these):
        return found
    k, n = counts.k[these], counts.n[these]
    most = (usual_rate.k[these] + _UNSEEN) / np.maximum(usual_rate.n[these], 1.0)
    null = np.minimum(np.maximum(rule.effect["risen"], _times(rule, most)) * most, _SURELY)
    found[these] = rates.log_e_detector(k, n, null) >= np.log(rule.evidence["risen_e"])
    newest = np.arange(k.shape[1])[::-1] < width[these, None]
    seen = ((k * newest).sum(axis=1), (n * newest).sum(axis=1))
    p = tails.beta_binomial_upper(*seen, most, usual_rate.rho[these])
    found[these] &= p <= rule.evidence["usual_p"]
    return found


def _looks(graded: Graded) -> tuple[int, ...]:
    return tuple(dict.fromkeys(windows_of(graded, seconds) for seconds in _RISEN_S))


def _usual_rate(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> UsualRate:
    before = graded.at - _LAG_S
    k = graded.history.counts.quarters(rule.signal, rows, before)
    n = np.where(np.isnan(k), np.nan, graded.history.counts.quarters("n", rows, before))
    of_day = np.nansum(n, axis=1)
    known = of_day >= rule.volume["baseline"]
    return UsualRate(np.nansum(k, axis=1), of_day, rates.dispersion(k, n), known)


def _beyond(
    rule: RuleSpec, usual_rate: UsualRate, failed: np.ndarray, calls: np.ndarray
) -> np.ndarray:
    """Who is beyond the usual, where `times` asks for it and the usual is known."""
    beyond = np.ones(len(failed), bool)
    held = np.flatnonzero(usual_rate.known & (rule.effect["times"] > 0))
    if len(held):
        usual = usual_rate.rate[held]
        p = tails.beta_binomial_upper(failed[held], calls[held], usual, usual_rate.rho[held])
        often = failed[held] >= _times(rule, usual) * usual * np.maximum(calls[held], 1.0)
        beyond[held] = often & (p <= rule.evidence["usual_p"])
    return beyond


def _times(rule: RuleSpec, usual: np.ndarray) -> np.ndarray:
    """How many times its usual rate a series must fail; 0 where that is too low to be asked."""
    asked: np.ndarray = np.where(usual > rule.effect["usual"], rule.effect["times"], 0.0)
    return asked


def _clear(rule: RuleSpec, graded: Graded, rows: np.ndarray, counts: Counts) -> np.ndarray:
    """Whether the newest calls are back below the level."""
    level = rule.clear.level if rule.clear.level is not None else rule.effect["rate"] / 2
    k: np.ndarray = counts.k[:, -counts.short :].sum(axis=1)
    n: np.ndarray = counts.n[:, -counts.short :].sum(axis=1)
    if counts.few.any():
        newest = max(1.0, rule.volume["last"] // _CLEAR_PART)
        k[counts.few], n[counts.few] = last_calls(graded, rule.signal, rows[counts.few], newest)
    return k <= level * n


def _verdicts(
    rule: RuleSpec,
    graded: Graded,
    rows: np.ndarray,
    seen: tuple[Counts, np.ndarray],
    usual: np.ndarray,
    breach: np.ndarray,
) -> Verdicts:
    (counts, width), threshold = seen, rule.effect["rate"]
    k, n, look = counts.spoken(threshold, width)
    rate = np.divide(k, n, out=np.zeros(len(n)), where=n > 0)
    worst = exceeds(rule, counts, rule.effect["critical"])
    severity: tuple[Severity, ...] = tuple("critical" if w else rule.severity for w in worst)

    def sentence(i: int) -> str:
        minutes = width[i] * graded.history.window_s / 60
        overs = ("", " of the last hour", f" of the last {minutes:.0f} min")
        what = f"{rate[i]:.1%} of the {'last ' if look[i] == 0 else ''}{n[i]:,.0f} calls"
        text = f"{name_of(graded, int(rows[i]))}: {what}{overs[look[i]]} {_WORDS[rule.signal]}"
        known = f", usually {usual[i]:.1%}" if np.isfinite(usual[i]) else ""
        return f"{text}, limit {threshold:.0%}{known}"

    def top(i: int) -> tuple[Contributor, ...]:
        fair = usual[i] if np.isfinite(usual[i]) else threshold

        def excess(parts: np.ndarray) -> np.ndarray:
            failed, calls = (total(graded, s, parts, _LONG_S) for s in (rule.signal, "n"))
            return failed - fair * calls

        return drivers(rule, graded, int(rows[i]), excess)

    return Verdicts.of(
        rows,
        breach=breach,
        clear=_clear(rule, graded, rows, counts),
        observed=rate,
        expected=usual,
        bound=np.full(len(rows), threshold),
        n=n.astype(np.int64),
        score=rate / threshold,
        baseline=np.where(np.isfinite(usual), Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=_UNITS[rule.signal],
        sentence=sentence,
        severity=severity,
        top=top,
    )


DETECTOR = WindowDetector(
    name="rate",
    effect={
        "rate": 0.05,
        "critical": 0.20,
        "short_s": 300.0,
        "times": 0.0,  # the usual rate, where that is above `usual`; 0 = not asked
        "usual": 0.005,
        "risen": 1.5,  # surely so many times the usual rate in the hour; 0 = not asked
    },
    evidence={
        "p": 0.01,
        "short_p": 0.05,
        "early_e": 1e6,  # in windows, as `risen_e`: see baseline/stats/rates.py
        "usual_p": 1e-4,
        "risen_e": 1e4,
        "risen_p": 1e-3,
    },
    volume={"k": 7.0, "n": 50.0, "last": 100.0, "baseline": 300.0},
    judge=judge,
    excludes=Excludes.its_signal,
)
