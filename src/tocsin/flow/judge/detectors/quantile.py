"""A quantile of the durations worse than the day's, from log-bucket sketches.

Windows widen from 15 minutes to two hours until there are `wide_n` observations; below `n`
nothing is said. The baseline is the last day up to two hours ago. Evidence is either of two:
more observations beyond the baseline's quantile than a beta-binomial allows, or a shift of
the mean log duration, which needs a quarter of the observations.
"""

from __future__ import annotations

import numpy as np

from tocsin.flow.grade import Graded, sketch, tails
from tocsin.flow.grade.catalog import Group
from tocsin.flow.grade.shares import over_dispersion
from tocsin.flow.grade.sketch_past import SketchPast
from tocsin.flow.judge.rules import RuleSpec
from tocsin.flow.judge.verdicts import Verdicts, is_watched, name_of, rows_of

_WIDTHS_S = (900, 1800, 3600, 7200)
#: A mean log duration wanders by 2 % from hour to hour with nothing wrong, and a share of slow
#: calls by a tenth: floors, and what is taken while too few quarter-hours are known to fit it.
_DRIFT, _RHO_UNKNOWN, _FITTED = 0.02, 0.005, 8


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every series with volume and a baseline, and those whose group has an alert."""
    rows = rows_of(rule, graded)
    width = _widths(rule, graded, rows)
    kept = (width > 0) & (
        (sketch.counts(_past(rule, graded).baseline, rows) >= rule.volume["baseline"])
        | is_watched(rule, graded, rows, watched)
    )
    rows, width = rows[kept], width[kept]
    kept = _is_slow(rule, graded, rows, width) | is_watched(rule, graded, rows, watched)
    rows, width = rows[kept], width[kept]
    return _verdicts(rule, graded, rows, width)


def _is_slow(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Which rows may have the effect: so many slow ones that the quantile can be beyond the bound.

    Cheap, since it only counts: quantiles are taken of the few rows that pass.
    """
    q = rule.effect["q"]
    usual, _ = sketch.quantile(_past(rule, graded).baseline, rows, q)
    bound = np.fmax(usual * rule.effect["ratio"], usual + rule.effect["add_ms"] * 1000)
    cut = np.floor(np.log(np.fmax(bound, 1.0)) / sketch.LOG_GAMMA).astype(np.int64) - 1
    slow, n = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for seconds in _WIDTHS_S:
        these = width == seconds
        if these.any():
            parts = [
                graded.sketches[rule.signal],
                *_past(rule, graded).recent(_windows(graded, seconds)),
            ]
            for part in parts:
                slow[these] += sketch.above(part, rows[these], cut[these])
                n[these] += sketch.counts(part, rows[these])
    many: np.ndarray = slow > n - np.ceil(q * n - 1e-9)
    return many


def _past(rule: RuleSpec, graded: Graded) -> SketchPast:
    return graded.history.sketches[rule.signal]


def _windows(graded: Graded, seconds: int) -> int:
    """Learned windows that a look back over `seconds` takes in beside the current one."""
    return seconds // graded.history.window_s - 1


def _verdicts(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: np.ndarray) -> Verdicts:
    """Full judgement of a few rows."""
    now, base = _now(rule, graded, rows, width), _past(rule, graded).baseline
    n, m = sketch.counts(now, rows), sketch.counts(base, rows)
    q = rule.effect["q"]
    value, _ = sketch.quantile(now, rows, q)
    usual, usual_bucket = sketch.quantile(base, rows, q)
    ready = (m >= rule.volume["baseline"]) & (n >= rule.volume["n"])
    ready &= graded.history.age(rows, graded.at) >= min(
        graded.warmup * graded.history.window_s, 86_400
    )
    ratio = np.divide(value, usual, out=np.zeros(len(rows)), where=ready & (usual > 0))
    effect = ready & (ratio >= rule.effect["ratio"])
    effect &= value - usual >= rule.effect["add_ms"] * 1000
    p, early = _evidence(rule, graded, now, rows, usual_bucket, effect)
    breach = effect & ((p <= rule.evidence["p"]) | (early <= rule.evidence["early_p"]))
    level = rule.clear.level if rule.clear.level is not None else 1 + (rule.effect["ratio"] - 1) / 2
    bound = np.maximum(usual * rule.effect["ratio"], usual + rule.effect["add_ms"] * 1000)

    def say(i: int) -> str:
        return (
            f"{name_of(graded, int(rows[i]))}: p{q * 100:g} {value[i] / 1000:,.0f} ms over "
            f"{width[i] / 60:.0f} min, {ratio[i] - 1:+.0%} on {usual[i] / 1000:,.0f} ms"
        )

    return Verdicts(
        rows,
        breach,
        ready & (ratio <= level),
        value / 1000,
        np.where(ready, usual / 1000, np.nan),
        np.where(ready, bound / 1000, np.nan),
        n,
        np.where(ready, np.minimum(p, early), np.nan),
        np.where(ready, value / np.where(ready, bound, 1.0), 0.0),
        np.where(ready, 2, 0),
        "ms",
        say,
    )


def _widths(rule: RuleSpec, graded: Graded, rows: np.ndarray) -> np.ndarray:
    """Seconds to look back for each row: the least with `wide_n`, the most with `n`, else 0."""
    history = graded.history
    width = np.zeros(len(rows), np.int64)
    for seconds in reversed(_WIDTHS_S):
        past = history.trailing("n", rows, max(seconds // history.window_s - 1, 1))
        total = np.nansum(past, axis=1) + graded.current["n"][rows]
        floor = rule.volume["n"] if seconds == _WIDTHS_S[-1] else rule.volume["wide_n"]
        width = np.where(total >= floor, seconds, width)
    return width


def _now(rule: RuleSpec, graded: Graded, rows: np.ndarray, width: np.ndarray) -> sketch.Sketches:
    """The durations of each row over its own width."""
    parts = []
    for seconds in _WIDTHS_S:
        these = rows[width == seconds]
        if len(these):
            given = [
                graded.sketches[rule.signal],
                *_past(rule, graded).recent(_windows(graded, seconds)),
            ]
            parts += [part.only(these) for part in given]
    return sketch.add(parts)


def _evidence(
    rule: RuleSpec,
    graded: Graded,
    now: sketch.Sketches,
    rows: np.ndarray,
    bucket: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """How improbable are the observations beyond `bucket`, and the shift of the mean log?

    1 where not wanted.
    """
    p, early = np.ones(len(rows)), np.ones(len(rows))
    these, base = rows[wanted], _past(rule, graded).baseline
    if len(these):
        rho, drift = _wander(rule, graded, these, bucket[wanted])
        beyond, n = sketch.above(now, these, bucket[wanted]), sketch.counts(now, these)
        usual, m = sketch.above(base, these, bucket[wanted]), sketch.counts(base, these)
        p[wanted] = tails.beta_binomial_upper(beyond, n, (usual + 1) / (m + 2), rho)
        a, b = sketch.moments(now, these), sketch.moments(base, these)
        error = np.sqrt(a.var / a.n + b.var / b.n + drift**2)
        early[wanted] = tails.normal_upper((a.mean - b.mean) / error)
    return p, early


def _wander(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, bucket: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How much quarter-hours differ with nothing wrong: rho of the share of slow calls, and the
    standard deviation of the mean log duration, beyond what sampling explains.
    """
    parts = [part.only(rows) for part in _past(rule, graded).quarters()]
    rho, drift = np.full(len(rows), _RHO_UNKNOWN), np.full(len(rows), _DRIFT)
    if len(parts) < _FITTED:
        return rho, drift
    slow = np.array([sketch.above(part, rows, bucket) for part in parts], float)
    held = [sketch.moments(part, rows) for part in parts]
    n, mean, var = (
        np.array([getattr(one, name) for one in held], float) for name in ("n", "mean", "var")
    )
    for i in range(len(rows)):
        rho[i] = over_dispersion(slow[:, i], n[:, i])
        enough = n[:, i] >= 20
        if enough.sum() >= _FITTED:
            excess = mean[enough, i].var(ddof=1) - (var[enough, i] / n[enough, i]).mean()
            drift[i] = max(_DRIFT, float(np.sqrt(max(excess, 0.0))))
    return rho, drift
