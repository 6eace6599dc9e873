"""Silence that the series' own past makes improbable.

Silent for `silent_s`, and so long that no event at all had a chance below `p`. How long that
is depends on the traffic: five minutes from about three events a minute on, longer below.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.grade import Graded, tails
from tocsin.flow.grade.catalog import Group
from tocsin.flow.grade.counts import expect
from tocsin.flow.judge.rules import RuleSpec
from tocsin.flow.judge.verdicts import Verdicts, is_watched, name_of, rows_of


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every series that is silent for long enough, and those whose group has an alert."""
    history = graded.history
    rows = rows_of(rule, graded)
    now = graded.current["n"][rows]
    silent = np.where(now > 0, 0, history.silent_s(rows, graded.end))
    kept = (silent >= rule.effect["silent_s"]) | is_watched(rule, graded, rows, watched)
    kept &= history.age(rows, graded.at) > 0
    rows, now, silent = rows[kept], now[kept], silent[kept]
    quiet = np.maximum(silent - history.window_s, 0)
    expected = expect(history, "n", rows, at=graded.at, warmup=graded.warmup, quiet=quiet)
    windows = silent / history.window_s
    mean = expected.low * windows
    p = np.where(expected.ready, tails.nb_zero(mean, expected.size), np.nan)
    day = history.day_total("n", rows)
    breach = (
        expected.ready
        & (now == 0)
        & (silent >= rule.effect["silent_s"])
        & (day >= rule.volume["day_n"])
        & (p <= rule.evidence["p"])
    )
    limit = np.log(rule.evidence["p"])
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
    )
