"""A series that begins loud, in a service that is known: nothing says what it should be.

A new agent, tool or route has no baseline, and statistical rules say nothing of it until its
warm-up is over. In a service past its own warm-up it is told of once it brings `n` events a
minute. The alert ends when the series is quieter, or is past its warm-up.
"""

import numpy as np

from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.service_age import is_service_warm
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.spec import DIMS
from tocsin.types import Unit


def judge(series: Series) -> Verdicts:
    """Every new series with volume, and those whose group has an alert."""
    rule, minutes = series.rule, series.window_s / 60
    floor = rule.volume["n"] * series.window_s / 60
    loud_and_new = (series.n >= floor) & ~series.is_warm
    kept = loud_and_new | series.is_alerting
    if not kept.any():
        return NOTHING
    series, loud_and_new = series.only(kept), loud_and_new[kept]
    n = series.n
    known = np.array([is_service_warm(series.graded, name) for name in series.names], bool)
    breach = loud_and_new & known

    def sentence(i: int) -> str:
        return f"{series.name(i)} is new here, and begins with {n[i]:.0f} events in {minutes:g} min"

    return Verdicts(
        series.rows,
        breach=breach,
        clear=~breach,
        observed=n,
        expected=np.zeros(len(n)),
        bound=np.full(len(n), floor),
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
