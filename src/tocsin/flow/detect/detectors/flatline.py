"""Silence that the series' own past makes improbable.

Silent for `silent_s`, and so long that no event at all had a chance below `p`. How long that
is depends on the traffic: five minutes from about three events a minute on, longer below. The
events expected are those of the times of day that the silence covers, so a quiet night is none.
A series with too few events for that within a day gives a finding of severity `info` after a
whole day without one.
"""

import numpy as np

from tocsin.flow.baseline.history.calendars import DAY_S
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.detector import Excludes, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.types import Floats, Unit

#: Such a series is judged if its usual day has so many events, and a day without one this chance.
_RARE_DAY, _RARE_P = 10.0, 1e-3


def judge(series: Series) -> Verdicts:
    """Every series that is silent for long enough, and those whose group has an alert."""
    rule, history = series.rule, series.graded.history
    silent = np.where(series.n > 0, 0, history.silent_s(series.rows, series.end))
    kept = (silent >= rule.effect["silent_s"]) | series.is_alerting
    if kept.any():
        kept &= series.age_s > 0
    if not kept.any():
        return NOTHING
    series, silent = series.only(kept), silent[kept]
    day = history.counts.day_total("n", series.rows)
    usual, day_size = _usual_day(series)
    rare = (silent >= rule.effect["rare_s"]) & (day < rule.volume["day_n"]) & (usual >= _RARE_DAY)
    kept = (day >= rule.volume["day_n"]) | rare | series.is_alerting
    if not kept.any():
        return NOTHING
    series, silent, day, rare = series.only(kept), silent[kept], day[kept], rare[kept]
    day_size, now, rows = day_size[kept], series.n, series.rows
    quiet = np.maximum(silent - history.window_s, 0)
    expected = series.expected_since(quiet)
    windows = silent / history.window_s
    mean = expected.low * windows
    size = np.where(rare, day_size, expected.size)
    p = np.where(expected.ready, tails.nb_zero(mean, size), np.nan)
    breach = expected.ready & (now == 0) & (silent >= rule.effect["silent_s"])
    limit = np.log(np.where(rare, _RARE_P, rule.evidence["p"]))
    breach &= ((day >= rule.volume["day_n"]) | rare) & (np.nan_to_num(p, nan=1.0) <= np.exp(limit))
    score = np.where(breach, np.log(np.maximum(p, 1e-300)) / limit, 0.0)

    def sentence(i: int) -> str:
        return (
            f"{series.name(i)}: silent for {silent[i] / 60:.0f} min, "
            f"expected {mean[i]:.0f} events by now"
        )

    return Verdicts(
        rows,
        breach=breach,
        clear=now > 0,
        observed=np.zeros(len(rows)),
        expected=mean,
        bound=np.zeros(len(rows)),
        n=day.astype(np.int64),
        p=p,
        score=score,
        baseline=expected.baseline,
        unit=Unit.EVENTS,
        sentence=sentence,
        severity=tuple("info" if one else rule.severity for one in rare),
    )


def _usual_day(series: Series) -> tuple[Floats, Floats]:
    """Events in the median day of the week before the last day (0 where fewer than 3 are known),
    and the negative-binomial size of a day.
    """
    days = series.graded.history.weeks.days("n", series.rows, series.end - DAY_S, 7)
    ranked = np.sort(days, axis=1)  # NaN goes to the end
    known = np.isfinite(days).sum(axis=1)
    middle = ranked[np.arange(len(series)), np.maximum((known - 1) // 2, 0)]
    filled = np.where(np.isfinite(days), days, 0.0)
    mean = filled.sum(axis=1) / np.maximum(known, 1)
    spread = np.where(np.isfinite(days), (days - mean[:, None]) ** 2, 0.0).sum(axis=1)
    size = tails.nb_size(np.maximum(mean, 1e-9), spread / np.maximum(known - 1, 1))
    return np.where(known >= 3, middle, 0.0), size


DETECTOR = WindowDetector(
    name="flatline",
    effect={
        "silent_s": 300.0,  # seconds without an event, at least
        "rare_s": 86_400.0,  # seconds without one, of a series with fewer events than day_n
    },
    evidence={"p": 1e-6},  # chance of such a silence with nothing wrong, at most
    volume={"day_n": 100.0},  # events in the 24 hours before
    judge=judge,
    excludes=Excludes.its_signal,
)
