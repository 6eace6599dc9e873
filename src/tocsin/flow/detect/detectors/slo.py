"""A latency objective that is not kept: surely more than 1 - q lies beyond what was promised.

No baseline and no warm-up: a promise is absolute. A series looks back over the least of five
minutes to two hours that holds `n` observations; below that nothing is said. Evidence is the
lower confidence limit of the share beyond the limit (Clopper and Pearson 1934): at little
volume it takes more of them. Objectives come from the configuration, or from `options.slos`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import betaincinv

from tocsin.flow.baseline.expect import lookback
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.stats import sketch
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.measure import measure_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.options import slos_of
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.types import Severity, Slo

WIDTHS_S = (300, *lookback.WIDTHS_S)


@dataclass(frozen=True, slots=True)
class _Held:
    """Series held to one level of one objective; columns, one entry a row."""

    rows: np.ndarray
    q: np.ndarray
    limit: np.ndarray  # in the unit of the sketch
    severity: np.ndarray  # of str
    width: np.ndarray  # s
    n: np.ndarray
    beyond: np.ndarray

    def __getitem__(self, which: np.ndarray) -> _Held:
        return _Held(*(getattr(self, field.name)[which] for field in fields(self)))


def reads(rule: RuleSpec) -> Mapping[str, Collection[str]]:
    """The distribution it looks at, of the views that some objective is about."""
    views = {view for slo in slos_of(rule.options) for view in _views(rule, slo)}
    return {rule.signal: views} if views else {}


def judge(series: Series) -> Verdicts:
    """Every series that breaks an objective, and those that have an alert."""
    rule, graded = series.rule, series.graded
    if not slos_of(rule.options):
        return NOTHING
    held = _held(rule, graded)
    allowed = 1 - held.q
    share = held.beyond / np.maximum(held.n, 1)
    kept = (share > allowed) | series.at_rows(held.rows).is_alerting
    if not kept.any():
        return NOTHING
    held, share, allowed = held[kept], share[kept], allowed[kept]
    with np.errstate(invalid="ignore"):
        sure = betaincinv(held.beyond, held.n - held.beyond + 1, rule.evidence["p"])
    sure = np.where(held.beyond > 0, sure, 0.0)
    measure = measure_of(rule.signal)
    value = _observed(rule, graded, held)

    def sentence(i: int) -> str:
        return (
            f"{name_of(graded, int(held.rows[i]))}: {share[i]:.1%} beyond "
            f"{measure.amount(held.limit[i])} over {held.width[i] / 60:.0f} min, surely "
            f"{sure[i]:.1%}, where {allowed[i]:.0%} are allowed (n = {held.n[i]:,})"
        )

    severity: tuple[Severity, ...] = tuple(held.severity.tolist())
    return Verdicts.of(
        held.rows,
        breach=sure > allowed,
        clear=share <= allowed,
        observed=value / measure.scale,
        bound=held.limit / measure.scale,
        n=held.n,
        score=value / held.limit,
        unit=measure.unit,
        sentence=sentence,
        severity=severity,
    )


def _views(rule: RuleSpec, slo: Slo) -> list[str]:
    """The first of the rule's views that has just the dimensions an objective names."""
    if slo.signal != rule.signal:
        return []
    return [view for view in rule.views if {*DIMS[view]} - {"env", "service"} == slo.names][:1]


def _held(rule: RuleSpec, graded: Graded) -> _Held:
    """All series with volume that some objective is about, a level at a time."""
    catalog, scale = graded.history.catalog, measure_of(rule.signal).scale
    parts = [
        (catalog.matching(view, slo.where), q, ms * scale, slo.severity)
        for slo in slos_of(rule.options)
        for view in _views(rule, slo)
        for q, ms in slo.levels
    ]
    sizes = [len(rows) for rows, *_ in parts]
    rows = np.concatenate([np.empty(0, np.int64), *(rows for rows, *_ in parts)])
    q, limit, severity = (np.repeat([part[i] for part in parts], sizes) for i in (1, 2, 3))
    if not len(rows):
        nothing = np.zeros(0)
        return _Held(rows, nothing, nothing, nothing.astype(str), rows, rows, rows)
    width = lookback.least(graded, rule.signal, rows, rule.volume["n"], WIDTHS_S)
    # A bucket that the limit lies in may hold values below it: only what is beyond counts.
    bucket = np.ceil(np.log(np.maximum(limit, 1.0)) / sketch.LOG_GAMMA).astype(np.int64)
    beyond, n = lookback.above(graded, rule.signal, rows, width, bucket)
    return _Held(rows, q, limit, severity, width, n, beyond)[width > 0]


def _observed(rule: RuleSpec, graded: Graded, held: _Held) -> np.ndarray:
    """The quantile of each, over its width."""
    value = np.zeros(len(held.rows))
    for q in np.unique(held.q).tolist():
        these = np.flatnonzero(held.q == q)
        rows, first = np.unique(held.rows[these], return_index=True)
        now = lookback.merged(graded, rule.signal, rows, held.width[these][first])
        value[these] = sketch.quantile(now, held.rows[these], q)[0]
    return value


def check(rule: RuleSpec) -> None:
    """Refuse objectives that cannot be read. Raises ValueError."""
    slos_of(rule.options)


DETECTOR = WindowDetector(
    name="slo",
    evidence={"p": 1e-3},
    volume={"n": 20.0},
    options={"slos": []},
    judge=judge,
    reads=reads,
    check=check,
    configured=lambda settings: {"slos": settings.slos},
)
