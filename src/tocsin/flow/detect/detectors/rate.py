"""The part of calls that fail (signal `err`) or time out (`to`) is surely above a threshold.

The threshold is absolute, so it needs no baseline and no warm-up. Any of four tests will do:

- both windows: the Wilson bound of the short window (is it so now?) and of the long one (is it
  so at all?) are above it;
- early: the short bound is above it, and so improbable is the last hour from whichever of its
  minutes it is counted that the long window need not fill first (`stats/rates.py`: an
  e-detector, valid though it is evaluated in every window);
- few calls: the Wilson bound of the last `last` calls, a day back at most;
- risen: of a series whose usual rate is known, the bound of five minutes to half an hour is
  above it, and the last hour is improbable, by the same e-detector, even at `risen` times the
  usual rate (at `times` it, where that is asked and more). A rate that leaps from 1 % to 10 %
  is far from the usual long before it is surely far from 5 %.

A Wilson bound holds for a test that is made once. Made every minute, it is passed sooner or later
by a series whose true rate lies *at* the threshold; one at half of it does not pass in 200 days,
though its rate wanders (the tests simulate that). Where `times` is set, and for `risen`, a series
must also be beyond what its own rate wanders once that is known, and fail `times` as often as
usual where its usual rate is above `usual`.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from tocsin.flow.baseline.expect.recent import last_calls, windows_of
from tocsin.flow.baseline.stats import rates
from tocsin.flow.detect.contributors import drivers
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.detectors.rate_evidence import (
    Counts,
    Stretch,
    UsualRate,
    exceeds,
    is_unusual,
    risen,
    shortest,
)
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.types import Baseline, Bools, Contributor, Floats, Ints, Unit

_LONG_S: Final = 3600
_LAG_S: Final = 3600  # the usual rate ends so long before now
#: Of few calls, so small a part of the newest must be well for an alert to end.
_CLEAR_PART: Final = 4
#: Widths over which a rate may have risen, s.
_RISEN_S: Final = (300, 600, 900, 1800)
_WORDS: Final[Mapping[str, str]] = {"err": "failed", "to": "timed out"}
_UNITS: Final[Mapping[str, Unit]] = {"err": Unit.ERRORS_PER_CALL, "to": Unit.TIMEOUTS_PER_CALL}


def judge(series: Series) -> Verdicts:
    """Every series with a failure in this window, and those whose group has an alert."""
    rule = series.rule
    series = series.only((series.now > 0) | series.is_alerting)
    if not len(series):
        return NOTHING
    counts, threshold = _counts(series), rule.effect["rate"]
    widths = tuple(dict.fromkeys(windows_of(series.graded, seconds) for seconds in _RISEN_S))
    sure, width = exceeds(rule, counts, threshold), shortest(rule, counts, widths)
    breach = (sure | (width > 0)) & (series.now > 0)
    width = np.where(width > 0, width, counts.short)
    usual = np.full(len(series), np.nan)
    if breach.any():
        some = np.flatnonzero(breach)
        usual_rate, of_some = _usual_rate(series.only(some)), counts.only(some)
        usual[some] = usual_rate.rate
        k, n, _ = of_some.observed(threshold, width[some])
        breach[some] = sure[some] & is_unusual(rule, usual_rate, k, n)
        breach[some] |= risen(rule, of_some, usual_rate, width[some])
    return _verdicts(series, counts, width, usual, breach)


def _counts(series: Series) -> Counts:
    rule = series.rule
    k, n = series.recent(rule.signal, _LONG_S), series.recent("n", _LONG_S)
    few = n.sum(axis=1) < rule.volume["n"]
    last_k, last_n = np.zeros(len(series)), np.zeros(len(series))
    if few.any():
        last_k[few], last_n[few] = last_calls(
            series.graded, rule.signal, series.rows[few], rule.volume["last"]
        )
    short = windows_of(series.graded, rule.effect["short_s"])
    return Counts(k, n, short, last_k, last_n, few)


def _usual_rate(series: Series) -> UsualRate:
    k = series.quarters(series.rule.signal, _LAG_S)
    n = np.where(np.isnan(k), np.nan, series.quarters("n", _LAG_S))
    of_day = np.nansum(n, axis=1)
    known = of_day >= series.rule.volume["baseline"]
    return UsualRate(np.nansum(k, axis=1), of_day, rates.dispersion(k, n), known)


def _is_clear(series: Series, counts: Counts) -> Bools:
    """Whether the newest calls are back below the clear level."""
    rule = series.rule
    (k, n), few = counts.newest(counts.short), counts.few
    if few.any():
        newest = max(1.0, rule.volume["last"] // _CLEAR_PART)
        k[few], n[few] = last_calls(series.graded, rule.signal, series.rows[few], newest)
    return k <= rule.clear.at(rule.effect["rate"] / 2) * n


def _verdicts(
    series: Series, counts: Counts, width: Ints, usual: Floats, breach: Bools
) -> Verdicts:
    rule, threshold = series.rule, series.rule.effect["rate"]
    k, n, stretch = counts.observed(threshold, width)
    rate = np.divide(k, n, out=np.zeros(len(n)), where=n > 0)
    is_critical = exceeds(rule, counts, rule.effect["critical"])

    def calls(i: int) -> str:
        match Stretch(stretch[i]):
            case Stretch.LAST_CALLS:
                return f"last {n[i]:,.0f} calls"
            case Stretch.HOUR:
                return f"{n[i]:,.0f} calls of the last hour"
            case Stretch.NEWEST:
                return f"{n[i]:,.0f} calls of the last {width[i] * series.window_s / 60:.0f} min"

    def sentence(i: int) -> str:
        text = f"{series.name(i)}: {rate[i]:.1%} of the {calls(i)} {_WORDS[rule.signal]}"
        known = f", usually {usual[i]:.1%}" if np.isfinite(usual[i]) else ""
        return f"{text}, limit {threshold:.0%}{known}"

    def top(i: int) -> tuple[Contributor, ...]:
        fair = usual[i] if np.isfinite(usual[i]) else threshold

        def excess(parts: Series) -> Floats:
            return parts.total(rule.signal, _LONG_S) - fair * parts.total("n", _LONG_S)

        return drivers(series, i, excess)

    return Verdicts(
        series.rows,
        breach=breach,
        clear=_is_clear(series, counts),
        observed=rate,
        expected=usual,
        bound=np.full(len(rate), threshold),
        n=n.astype(np.int64),
        score=rate / threshold,
        baseline=np.where(np.isfinite(usual), Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=_UNITS[rule.signal],
        sentence=sentence,
        severity=tuple("critical" if c else rule.severity for c in is_critical),
        top=top,
    )


DETECTOR = WindowDetector(
    name="rate",
    effect={
        "rate": 0.05,  # the threshold: failures a call, 0..1
        "critical": 0.20,  # as `rate`, for severity critical
        "short_s": 300.0,  # width of the short window, s; the long one is an hour
        "times": 0.0,  # times the usual rate, where that is above `usual`; 0 = not asked
        "usual": 0.005,  # failures a call, 0..1
        "risen": 1.5,  # surely so many times the usual rate in the hour; 0 = not asked
    },
    evidence={
        "p": 0.01,  # of the Wilson bound of the hour, or of the last calls; one-sided
        "short_p": 0.05,  # of the Wilson bound of the short window; one-sided
        "early_e": 1e6,  # mean windows to a false alarm, at least; see baseline/stats/rates.py
        "usual_p": 1e-4,  # of so many failures at the usual rate
        "risen_e": 1e4,  # as `early_e`, at `risen` times the usual rate
        "risen_p": 1e-3,  # of the Wilson bounds of five minutes to half an hour; one-sided
    },
    volume={
        "k": 7.0,  # failures
        "n": 50.0,  # calls in the hour; with fewer, the last calls are judged
        "last": 100.0,  # so many of them
        "baseline": 300.0,  # calls in the last day from which on its rate is the usual one
    },
    judge=judge,
    excludes=Excludes.its_signal,
)
