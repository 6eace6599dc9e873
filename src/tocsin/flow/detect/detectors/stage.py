"""One stage that takes most of a run: its time over the time of all runs of its service.

Times are sums of durations, from sketches, within 1 %. Steps may run side by side and agents
inside agents, so the shares of all stages need not add up to one; only that a share is large
and has grown is judged. A stage that always takes most of the run is no incident: with a
baseline the share must be `points` above the usual one, and beyond what it varies by from one
quarter-hour to another. Without a baseline the finding is `info` only.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import numpy as np
from scipy.special import stdtr

from tocsin.flow.baseline.stats import sketch
from tocsin.flow.baseline.stats.e_values import FITTED
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.distribution import Distribution
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Floats, Ints, Unit

#: The whole that stages are parts of.
RUNS: Final = "runs_by_service"
#: Quarter-hours with fewer runs say too little about how much the share varies.
_QUARTER_RUNS: Final = 5
_DURATION: Final = "duration"


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Durations of stages, and of the runs they are parts of."""
    return {_DURATION: {*rule.views, RUNS}}


def judge(series: Series) -> Verdicts:
    """Every stage beyond the threshold, and those that have an alert."""
    rule = series.rule
    series, runs = _with_runs(series)
    width = runs.observations(_DURATION).width_of(rule.volume["n"])
    series, runs, width = series.only(width > 0), runs.only(width > 0), width[width > 0]
    services, first = np.unique(runs.rows, return_index=True)
    of_runs = runs.at_rows(services).observations(_DURATION).over(width[first]).at_rows(runs.rows)
    share = _share(series.observations(_DURATION).over(width), of_runs)
    kept = (share >= rule.effect["share"]) | series.is_alerting
    if not kept.any():
        return NOTHING
    series, runs, width, share = series.only(kept), runs.only(kept), width[kept], share[kept]
    n = of_runs.only(kept).n
    expected, p = _usual(series, runs, share)
    known = np.isfinite(expected)
    usual = np.where(known, expected, 0.0)
    bound = np.fmax(rule.effect["share"], usual + rule.effect["points"] * known)
    breach = (share >= bound) & (~known | (p <= rule.evidence["p"]))
    calm = share <= rule.clear.at(rule.effect["share"])
    calm |= known & (share <= usual + rule.effect["points"] / 2)

    def sentence(i: int) -> str:
        own = f"; {usual[i]:.0%} over the last day" if known[i] else ""
        return (
            f"{series.name(i)}: {share[i]:.0%} of run time over "
            f"{width[i] / 60:.0f} min{own} (n = {n[i]:,} runs)"
        )

    return Verdicts(
        series.rows,
        breach=breach,
        clear=calm,
        observed=share,
        expected=expected,
        bound=bound,
        n=n,
        p=p,
        score=share / bound,
        baseline=np.where(known, Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=Unit.OF_RUN_TIME,
        sentence=sentence,
        severity=tuple(rule.severity if k else "info" for k in known),
    )


def _with_runs(series: Series) -> tuple[Series, Series]:
    """The series whose service has runs, and beside each the runs of its service."""
    catalog = series.graded.history.catalog
    runs = catalog.of_view(RUNS)
    service_of_runs, _ = catalog.group_ids(runs, ("env", "service"))
    service, _ = catalog.group_ids(series.rows, ("env", "service"))
    runs_of = dict(zip(service_of_runs.tolist(), runs.tolist(), strict=True))
    has_runs = np.array([number in runs_of for number in service.tolist()], bool)
    found = [runs_of[number] for number in service[has_runs].tolist()]
    return series.only(has_runs), series.at_rows(np.array(found, np.int64))


def _share(stages: Distribution, runs: Distribution) -> Floats:
    """The time of each stage over that of its runs."""
    time, whole = (sketch.total(part.sketches, part.rows) for part in (stages, runs))
    return time / np.maximum(whole, 1)


def _usual(series: Series, runs: Series, share: Floats) -> tuple[Floats, Floats]:
    """The usual share of each, and the chance of one as large as now; NaN if not known.

    Usual is the highest of the share over the last day, in the hours before and around this
    time yesterday: a busy hour has shares of its own.
    """
    rule = series.rule
    both = series.at_rows(np.unique(np.concatenate([series.rows, runs.rows])))
    past = both.observations(_DURATION)

    def share_in(part: Distribution) -> tuple[Floats, Ints]:
        of_runs = part.at_rows(runs.rows)
        return _share(part.at_rows(series.rows), of_runs), of_runs.n

    usual, n_day = share_in(past.last_day.alone())
    ready = series.is_warm & (n_day >= rule.volume["baseline"])
    for part in (past.hours_before, past.yesterday):
        then, n = share_in(part)
        usual = np.where(n >= rule.volume["n"], np.fmax(usual, then), usual)
    p = np.ones(len(series))
    grown = ready & (share - usual >= rule.effect["points"])
    if grown.any():
        some, their_runs = series.only(grown), runs.only(grown)
        p[grown] = _chance(past.quarters(), some, their_runs, share[grown], usual[grown])
    return np.where(ready, usual, np.nan), np.where(ready, p, np.nan)


def _chance(
    quarters: Sequence[sketch.Sketches], series: Series, runs: Series, share: Floats, usual: Floats
) -> Floats:
    """Of a quarter-hour with a share as large as now; 1 where too few quarter-hours are known.

    The prediction interval of one more quarter-hour (Student's t). It is not narrowed for a
    longer look-back: shares vary from hour to hour, and more runs do not make that less.
    """
    shares = np.reshape([_share_in(part, series, runs) for part in quarters], (-1, len(series)))
    known = np.isfinite(shares)
    count = known.sum(axis=0)
    spread = np.where(known, (shares - usual) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    error = np.sqrt(np.maximum(spread, 1e-6) * (1 + 1 / np.maximum(count, 1)))
    p = stdtr(np.maximum(count - 1, 1), -(share - usual) / error)
    return np.where(count >= FITTED, p, 1.0)


def _share_in(quarter: sketch.Sketches, series: Series, runs: Series) -> Floats:
    """The share in one quarter-hour; NaN where it has too few runs."""
    both = Distribution(quarter, np.concatenate([series.rows, runs.rows])).alone()
    of_runs = both.at_rows(runs.rows)
    share = _share(both.at_rows(series.rows), of_runs)
    return np.where(of_runs.n >= _QUARTER_RUNS, share, np.nan)


DETECTOR = WindowDetector(
    name="stage",
    effect={
        "share": 0.60,  # of run time, at least
        "points": 0.10,  # above the usual share, once that is known
    },
    evidence={"p": 1e-5},  # chance of such a share in a usual quarter-hour, at most
    volume={
        "n": 100.0,  # runs in the look-back
        "baseline": 500.0,  # runs in the last day
    },
    judge=judge,
    reads=reads,
)
