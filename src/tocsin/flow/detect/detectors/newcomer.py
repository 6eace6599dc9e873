"""A series that begins loud, in a service that is known: nothing says what it should be.

A new agent, tool or route has no baseline, and statistical rules are silent about it until its
warm-up is over. In a service past its own warm-up that is worth a look once it brings `n`
events a minute. It is over when the series is quieter, or has a baseline to be judged by.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.detect.detectors.unexpected import is_warm
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, is_watched, name_of, rows_of
from tocsin.flow.rules.spec import DIMS, RuleSpec

_DAY_S = 86_400


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every new series with volume, and those whose group has an alert."""
    history = graded.history
    rows = rows_of(rule, graded)
    n = graded.current["n"][rows]
    floor = rule.volume["n"] * history.window_s / 60
    warmup = min(graded.warmup * history.window_s, _DAY_S)
    new = history.age(rows, graded.at) < warmup
    kept = (new & (n >= floor)) | is_watched(rule, graded, rows, watched)
    if not kept.any():
        return NOTHING
    rows, n, new = rows[kept], n[kept], new[kept]
    home = np.array([is_warm(graded, history.catalog.names[row]) for row in rows], bool)
    breach = new & home & (n >= floor)
    nothing = np.full(len(rows), np.nan)

    def say(i: int) -> str:
        return (
            f"{name_of(graded, int(rows[i]))} is new here, and begins with {n[i]:.0f} events in "
            f"{history.window_s / 60:g} min"
        )

    return Verdicts(
        rows,
        breach,
        ~breach,
        n,
        np.zeros(len(rows)),
        np.full(len(rows), floor),
        n.astype(np.int64),
        nothing,
        n / floor,
        np.zeros(len(rows), np.int64),
        DIMS[rule.views[0]][-1] + " events per window",
        say,
    )
