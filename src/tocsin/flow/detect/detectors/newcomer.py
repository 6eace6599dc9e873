"""A series that begins loud, in a service that is known: nothing says what it should be.

A new agent, tool or route has no baseline, and statistical rules are silent about it until its
warm-up is over. In a service past its own warm-up that is worth a look once it brings `n`
events a minute. It is over when the series is quieter, or has a baseline to be judged by.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.service_age import is_warm
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.spec import DIMS
from tocsin.types import Unit

_DAY_S = 86_400


def judge(series: Series) -> Verdicts:
    """Every new series with volume, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    history = graded.history
    rows = series.rows
    n = graded.current["n"][rows]
    floor = rule.volume["n"] * history.window_s / 60
    warmup = min(graded.warmup * history.window_s, _DAY_S)
    new = history.age(rows, graded.at) < warmup
    kept = (new & (n >= floor)) | series.at_rows(rows).is_alerting
    if not kept.any():
        return NOTHING
    rows, n, new = rows[kept], n[kept], new[kept]
    home = np.array([is_warm(graded, history.catalog.names[row]) for row in rows], bool)
    breach = new & home & (n >= floor)

    def sentence(i: int) -> str:
        return (
            f"{name_of(graded, int(rows[i]))} is new here, and begins with {n[i]:.0f} events in "
            f"{history.window_s / 60:g} min"
        )

    return Verdicts.of(
        rows,
        breach=breach,
        clear=~breach,
        observed=n,
        expected=np.zeros(len(rows)),
        bound=np.full(len(rows), floor),
        n=n.astype(np.int64),
        score=n / floor,
        unit=f"{DIMS[rule.views[0]][-1]} {Unit.EVENTS_PER_WINDOW}",
        sentence=sentence,
    )


DETECTOR = WindowDetector(
    name="newcomer",
    volume={"n": 50.0},  # events a minute
    judge=judge,
)
