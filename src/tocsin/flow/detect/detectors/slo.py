"""A latency objective that is not kept: surely more than 1 - q lies beyond what was promised.

An objective is absolute, so it needs no baseline and no warm-up. A series looks back over the
least of five minutes to two hours that holds `n` observations; with fewer it is not judged.
Evidence is the lower confidence limit of the share beyond the limit (Clopper and Pearson 1934):
with fewer observations a larger share is needed. Objectives come from the configuration, or
from `options.slos`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.stats import sketch, tails
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.options import slos_of
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.types import Bools, Floats, Ints, Slo

#: Look-backs, s: a broken promise of five minutes is one.
WIDTHS_S: Final = (300, *lookback.WIDTHS_S)


@dataclass(frozen=True, slots=True)
class _Objectives:
    """One level of one objective for each entry of `series`; a series may have several."""

    series: Series
    q: Floats  # the part that is to be within the limit, 0..1
    limit: Floats  # in the unit of the sketch
    severity: NDArray[np.str_]
    width_s: Ints  # of the look-back
    n: Ints
    beyond: Ints  # observations beyond the limit

    def only(self, which: Bools) -> _Objectives:
        return _Objectives(
            self.series.only(which), self.q[which], self.limit[which], self.severity[which],
            self.width_s[which], self.n[which], self.beyond[which],
        )  # fmt: skip


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """The distribution it is about, of the views that some objective is about."""
    views = {view for slo in slos_of(rule.options) for view in _views(rule, slo)}
    return {rule.signal: views} if views else {}


def judge(series: Series) -> Verdicts:
    """Every series that breaks an objective, and those that have an alert."""
    rule = series.rule
    if not slos_of(rule.options):
        return NOTHING
    found = _objectives(series)
    share = found.beyond / np.maximum(found.n, 1)
    kept = (share > 1 - found.q) | found.series.is_alerting
    if not kept.any():
        return NOTHING
    found, share = found.only(kept), share[kept]
    allowed = 1 - found.q
    least = tails.share_lower(found.beyond, found.n, rule.evidence["p"])
    measure, value = measure_of(rule.signal), _quantiles(found)

    def sentence(i: int) -> str:
        return (
            f"{found.series.name(i)}: {share[i]:.1%} beyond "
            f"{measure.amount(found.limit[i])} over {found.width_s[i] / 60:.0f} min, surely "
            f"{least[i]:.1%}, where {allowed[i]:.0%} are allowed (n = {found.n[i]:,})"
        )

    return Verdicts(
        found.series.rows,
        breach=least > allowed,
        clear=share <= allowed,
        observed=value / measure.scale,
        bound=found.limit / measure.scale,
        n=found.n,
        score=value / found.limit,
        unit=measure.unit,
        sentence=sentence,
        severity=tuple(found.severity.tolist()),
    )


def _views(rule: RuleSpec, slo: Slo) -> list[str]:
    """The first of the rule's views that has just the dimensions an objective names."""
    if slo.signal != rule.signal:
        return []
    return [view for view in rule.views if {*DIMS[view]} - {"env", "service"} == slo.names][:1]


def _objectives(series: Series) -> _Objectives:
    """All series with volume that some objective is about, a level at a time."""
    rule, catalog = series.rule, series.graded.history.catalog
    scale = measure_of(rule.signal).scale
    parts = [
        (catalog.matching(view, slo.where), q, ms * scale, slo.severity)
        for slo in slos_of(rule.options)
        for view in _views(rule, slo)
        for q, ms in slo.levels
    ]
    sizes = np.array([len(rows) for rows, *_ in parts], np.int64)
    series = series.at_rows(np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)]))
    q = np.repeat(np.array([part[1] for part in parts], float), sizes)
    limit = np.repeat(np.array([part[2] for part in parts], float), sizes)
    severity = np.repeat(np.array([part[3] for part in parts], str), sizes)
    observations = series.observations()
    width = observations.width_of(rule.volume["n"], WIDTHS_S)
    # The bucket that the limit lies in may hold values below it: only those beyond it count.
    bucket = np.ceil(np.log(np.maximum(limit, 1.0)) / sketch.LOG_GAMMA).astype(np.int64)
    beyond, n = observations.beyond(width, bucket)
    return _Objectives(series, q, limit, severity, width, n, beyond).only(width > 0)


def _quantiles(found: _Objectives) -> Floats:
    """The quantile of each, over its look-back."""
    value = np.zeros(len(found.series))
    for q in np.unique(found.q).tolist():
        mine = found.q == q
        series, width = found.series.only(mine), found.width_s[mine]
        rows, first = np.unique(series.rows, return_index=True)
        once = series.at_rows(rows).observations().over(width[first])
        value[mine] = once.at_rows(series.rows).quantile(q)
    return value


DETECTOR = WindowDetector(
    name="slo",
    evidence={"p": 1e-3},  # chance that the confidence limit is wrong
    volume={"n": 20.0},  # observations in the look-back
    options={"slos": []},  # objectives, as the configuration writes them
    judge=judge,
    reads=reads,
    check=lambda rule: slos_of(rule.options),
    configured=lambda settings: {"slos": settings.slos},
)
