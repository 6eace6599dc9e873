"""Silence that the series' own past makes improbable.

Silent for `silent_s`, and so long that no event at all had a chance below `p`. How long that
is depends on the traffic: five minutes from about three events a minute on, longer below. What
was to be expected is added up over the silence by the clock, so a night is no silence. A series
too rare to say so within a day is news (info) after a whole day without an event.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.expect.counts import expect
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.calendars import DAY_S
from tocsin.flow.baseline.stats import tails
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, is_watched, name_of, rows_of
from tocsin.flow.rules.spec import RuleSpec

#: Rare: so many events on a usual day are enough to miss them for a day, with such a chance.
_RARE_DAY, _RARE_P = 10.0, 1e-3


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every series that is silent for long enough, and those whose group has an alert."""
    history = graded.history
    rows = rows_of(rule, graded)
    now = graded.current["n"][rows]
    silent = np.where(now > 0, 0, history.silent_s(rows, graded.end))
    kept = (silent >= rule.effect["silent_s"]) | is_watched(rule, graded, rows, watched)
    if kept.any():
        kept &= history.age(rows, graded.at) > 0
    if not kept.any():
        return NOTHING
    rows, now, silent = rows[kept], now[kept], silent[kept]
    day = history.counts.day_total("n", rows)
    rare = (silent >= rule.effect["rare_s"]) & (day < rule.volume["day_n"])
    usual, day_size = _usual_day(graded, rows)
    rare &= usual >= _RARE_DAY
    kept = (day >= rule.volume["day_n"]) | rare | is_watched(rule, graded, rows, watched)
    if not kept.any():
        return NOTHING
    rows, now, silent, day, rare, day_size = (
        part[kept] for part in (rows, now, silent, day, rare, day_size)
    )
    quiet = np.maximum(silent - history.window_s, 0)
    expected = expect(history, "n", rows, at=graded.at, warmup=graded.warmup, quiet=quiet)
    windows = silent / history.window_s
    mean = expected.low * windows
    size = np.where(rare, day_size, expected.size)
    p = np.where(expected.ready, tails.nb_zero(mean, size), np.nan)
    breach = expected.ready & (now == 0) & (silent >= rule.effect["silent_s"])
    limit = np.log(np.where(rare, _RARE_P, rule.evidence["p"]))
    breach &= ((day >= rule.volume["day_n"]) | rare) & (np.nan_to_num(p, nan=1.0) <= np.exp(limit))
    strength = np.where(breach, np.log(np.maximum(p, 1e-300)) / limit, 0.0)

    def say(i: int) -> str:
        return (
            f"{name_of(graded, int(rows[i]))}: silent for {silent[i] / 60:.0f} min, "
            f"expected {mean[i]:.0f} events by now"
        )

    return Verdicts(
        rows,
        breach,
        now > 0,
        np.zeros(len(rows)),
        mean,
        np.zeros(len(rows)),
        day.astype(np.int64),
        p,
        strength,
        expected.baseline,
        "events",
        say,
        tuple("info" if one else rule.severity for one in rare),
    )


def _usual_day(graded: Graded, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Events in the median day of the week before the last day (0 where fewer than 3 are known),
    and the negative-binomial size of a day.
    """
    days = graded.history.weeks.days("n", rows, graded.end - DAY_S, 7)
    ranked = np.sort(days, axis=1)  # NaN goes to the end
    known = np.isfinite(days).sum(axis=1)
    middle = ranked[np.arange(len(rows)), np.maximum((known - 1) // 2, 0)]
    filled = np.where(np.isfinite(days), days, 0.0)
    mean = filled.sum(axis=1) / np.maximum(known, 1)
    spread = np.where(np.isfinite(days), (days - mean[:, None]) ** 2, 0.0).sum(axis=1)
    size = tails.nb_size(np.maximum(mean, 1e-9), spread / np.maximum(known - 1, 1))
    return np.where(known >= 3, middle, 0.0), size
