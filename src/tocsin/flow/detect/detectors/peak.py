"""One step that took far too long: a single duration beyond all that the day has shown.

One observation is enough, and there is no test. The limit is `max_ms` where the rule's options
give one for the series' last dimension (by shell pattern); elsewhere the higher of `ratio`
times the day's 99.9 % quantile and `highest` times its longest duration. With a heavy tail that
is the second.
"""

from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.options import max_ms_of
from tocsin.types import Baseline, Bools, Floats, split_series

_HIGH_Q: Final = 0.999


def judge(series: Series) -> Verdicts:
    """Every series with a step beyond its limit, and those that have an alert."""
    rule, measure = series.rule, measure_of(series.rule.signal)
    now = series.observations().now
    n, longest = now.n, now.quantile(1.0)
    limit, is_configured = _limits(series)
    breach = (n >= rule.volume["n"]) & (longest > limit)
    kept = breach | series.is_alerting
    if not kept.any():
        return NOTHING
    series, n, longest, limit = series.only(kept), n[kept], longest[kept], limit[kept]
    breach, is_configured = breach[kept], is_configured[kept]

    def sentence(i: int) -> str:
        by = "your limit" if is_configured[i] else "the limit from the last day"
        return (
            f"{series.name(i)}: one took {measure.amount(longest[i])}, "
            f"{by} is {measure.amount(limit[i])}"
        )

    return Verdicts(
        series.rows,
        breach=breach,
        clear=~breach,
        observed=longest / measure.scale,
        bound=limit / measure.scale,
        n=n,
        score=np.nan_to_num(longest / limit),
        baseline=np.where(is_configured, Baseline.NONE, Baseline.LAST_24_HOURS),
        unit=measure.unit,
        sentence=sentence,
    )


def _limits(series: Series) -> tuple[Floats, Bools]:
    """The limit of each in the unit of the sketch, inf if none; whether it is from `max_ms`."""
    rule, observations = series.rule, series.observations()
    high, highest = (observations.last_day_quantile(q) for q in (_HIGH_Q, 1.0))
    known = series.is_warm & (observations.last_day.n >= rule.volume["baseline"])
    limit = np.where(
        known, np.fmax(rule.effect["ratio"] * high, rule.effect["highest"] * highest), np.inf
    )
    patterns = max_ms_of(rule.options)
    is_configured = np.zeros(len(series), bool)
    for i, name in enumerate(series.names if patterns else ()):
        last = split_series(name)[1][-1]
        ms = next((ms for pattern, ms in patterns.items() if fnmatchcase(last, pattern)), None)
        if ms is not None:
            limit[i], is_configured[i] = ms * measure_of(rule.signal).scale, True
    return limit, is_configured


DETECTOR = WindowDetector(
    name="peak",
    effect={
        "ratio": 3.0,  # times the last day's p99.9, and ...
        "highest": 3.0,  # ... times its longest duration
    },
    volume={
        "n": 1.0,  # observations in the window
        "baseline": 2000.0,  # observations in the last day; with fewer only max_ms is a limit
    },
    options={"max_ms": {}},  # shell pattern of the last dimension's value -> limit, ms
    judge=judge,
    check=lambda rule: max_ms_of(rule.options),
)
