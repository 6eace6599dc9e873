"""One stage that takes most of a run: its time over the time of all runs of its service.

Times are sums of durations, from sketches, within 1 %. Steps may run side by side and agents
inside agents, so parts need not add up to one; what counts is that a part is large and has
grown. A stage that always takes most of the run is no incident: with a baseline the part must
lie `points` above the usual one, beyond what its quarter-hours wander; without one yet, the
rule informs, and is done when the day is known.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.baseline.stats.e_values import FITTED
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Baseline, Severity, Unit

#: The whole that stages are parts of.
RUNS = "runs_by_service"
#: Quarter-hours with fewer runs say too little about how much the part wanders.
_QUARTER_RUNS = 5


@dataclass(frozen=True, slots=True)
class _Parts:
    """What each row is of the whole."""

    rows: np.ndarray
    runs: np.ndarray  # the row of its service's runs
    width: np.ndarray  # s
    n: np.ndarray  # runs
    now: np.ndarray
    usual: np.ndarray  # NaN while it is not known
    p: np.ndarray  # NaN likewise


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """Durations of stages, and of the runs they are parts of."""
    return {"duration": {*rule.views, RUNS}}


def judge(series: Series) -> Verdicts:
    """Every stage beyond the threshold, and those that have an alert."""
    rule, graded = series.rule, series.graded
    part = _parts(series)
    if not len(part.rows):
        return NOTHING
    known = np.isfinite(part.usual)
    usual = np.where(known, part.usual, 0.0)
    bound = np.fmax(rule.effect["share"], usual + rule.effect["points"] * known)
    breach = (part.now >= bound) & (~known | (part.p <= rule.evidence["p"]))
    level = rule.clear.level if rule.clear.level is not None else rule.effect["share"]
    calm = (part.now <= level) | (known & (part.now <= usual + rule.effect["points"] / 2))

    def sentence(i: int) -> str:
        own = f"; {usual[i]:.0%} over the last day" if known[i] else ""
        return (
            f"{name_of(graded, int(part.rows[i]))}: {part.now[i]:.0%} of run time over "
            f"{part.width[i] / 60:.0f} min{own} (n = {part.n[i]:,} runs)"
        )

    severity: tuple[Severity, ...] = tuple(rule.severity if k else "info" for k in known.tolist())
    return Verdicts.of(
        part.rows,
        breach=breach,
        clear=calm,
        observed=part.now,
        expected=part.usual,
        bound=bound,
        n=part.n,
        p=part.p,
        score=part.now / bound,
        baseline=np.where(known, Baseline.LAST_24_HOURS, Baseline.NONE),
        unit=Unit.OF_RUN_TIME,
        sentence=sentence,
        severity=severity,
    )


def _parts(series: Series) -> _Parts:
    rule, graded = series.rule, series.graded
    rows = series.rows
    runs = _whole(graded, rows)
    rows, runs = rows[runs >= 0], runs[runs >= 0]
    width = lookback.least(graded, "duration", runs, rule.volume["n"])
    rows, runs, width = rows[width > 0], runs[width > 0], width[width > 0]
    stages = lookback.merged(graded, "duration", rows, width)
    services, first = np.unique(runs, return_index=True)
    whole = lookback.merged(graded, "duration", services, width[first])
    now = sketch.total(stages, rows) / np.maximum(sketch.total(whole, runs), 1)
    kept = (now >= rule.effect["share"]) | series.at_rows(rows).is_alerting
    rows, runs, width, now = rows[kept], runs[kept], width[kept], now[kept]
    usual, p = _habit(rule, graded, rows, runs, now)
    return _Parts(rows, runs, width, sketch.counts(whole, runs), now, usual, p)


def _whole(graded: Graded, rows: np.ndarray) -> np.ndarray:
    """The row of the runs of each row's service; -1 where it has none."""
    catalog = graded.history.catalog
    runs = catalog.of_view(RUNS)
    home, _ = catalog.group_ids(runs, ("env", "service"))
    mine, _ = catalog.group_ids(rows, ("env", "service"))
    found = dict(zip(home.tolist(), runs.tolist(), strict=True))
    return np.array([found.get(number, -1) for number in mine.tolist()], np.int64)


def _habit(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, runs: np.ndarray, now: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The usual part of each row, and the chance of one as large as now; NaN if unknown.

    A quarter-hour is one draw: Student's t of a further one (a prediction interval), whatever
    the width of the look, since parts wander with the hours.
    """
    past = graded.history.sketches["duration"]
    nothing = np.full(len(rows), np.nan)
    if not len(rows):
        return nothing, nothing
    base = past.baseline.only(np.unique(np.concatenate([rows, runs])))
    usual = sketch.total(base, rows) / np.maximum(sketch.total(base, runs), 1)
    lived = graded.history.age(rows, graded.at) >= min(
        graded.warmup * graded.history.window_s, lookback.DAY_S
    )
    ready = lived & (sketch.counts(base, runs) >= rule.volume["baseline"])
    for then in (lookback.before, lookback.yesterday):  # a busy hour has its own parts
        held = then(graded, past, np.unique(np.concatenate([rows, runs])))
        part = sketch.total(held, rows) / np.maximum(sketch.total(held, runs), 1)
        enough = sketch.counts(held, runs) >= rule.volume["n"]
        usual = np.where(enough, np.fmax(usual, part), usual)
    p = np.ones(len(rows))
    grown = np.flatnonzero(ready & (now - usual >= rule.effect["points"]))
    if len(grown):
        p[grown] = _chance(past.quarters(), rows[grown], runs[grown], now[grown], usual[grown])
    return np.where(ready, usual, np.nan), np.where(ready, p, np.nan)


def _chance(
    quarters: list[sketch.Sketches],
    rows: np.ndarray,
    runs: np.ndarray,
    now: np.ndarray,
    usual: np.ndarray,
) -> np.ndarray:
    """Of a quarter-hour with a part as large as now; 1 where too few are known."""
    parts = np.reshape([_part(quarter, rows, runs) for quarter in quarters], (-1, len(rows)))
    known = np.isfinite(parts)
    count = known.sum(axis=0)
    spread = np.where(known, (parts - usual) ** 2, 0.0).sum(axis=0) / np.maximum(count - 1, 1)
    error = np.sqrt(np.maximum(spread, 1e-6) * (1 + 1 / np.maximum(count, 1)))
    p = stdtr(np.maximum(count - 1, 1), -(now - usual) / error)
    return np.where(count >= FITTED, p, 1.0)


def _part(quarter: sketch.Sketches, rows: np.ndarray, runs: np.ndarray) -> np.ndarray:
    held = quarter.only(np.unique(np.concatenate([rows, runs])))
    enough = sketch.counts(held, runs) >= _QUARTER_RUNS
    whole = np.maximum(sketch.total(held, runs), 1)
    return np.where(enough, sketch.total(held, rows) / whole, np.nan)


DETECTOR = WindowDetector(
    name="stage",
    effect={"share": 0.60, "points": 0.10},  # of run time; above the usual share
    evidence={"p": 1e-5},
    volume={"n": 100.0, "baseline": 500.0},
    judge=judge,
    reads=reads,
)
