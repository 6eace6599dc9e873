"""What a detector says of many series, in columns, and how that becomes findings.

Several series of one group fold into one finding, led by the broadest view that breaches:
an agent's spike and its service's spike are one alert, about the service. The finding's
series names the group in the rule's broadest view, whoever leads, so that lifecycle sees one
member with one past; the sentence names the leader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import contaminated
from tocsin.flow.rules.spec import DIMS, RuleSpec
from tocsin.types import (
    Baseline,
    Bools,
    Contributor,
    Finding,
    Floats,
    Ints,
    Severity,
    Unit,
    join_series,
    split_series,
)

_MIN_PART, _MOST_PARTS = 0.03, 5
_HOME = ("env", "service")  # the dimensions every series has


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What a detector says: columns, one entry a judged series. Made by `Verdicts.of`.

    Attributes:
        rows: the series, as rows of the catalog.
        breach: effect, evidence and volume all hold.
        clear: the clear condition holds.
        observed: the value judged, in `unit`.
        expected: what was expected of it; NaN = nothing is.
        bound: the value from which on it breaches; NaN = not known.
        n: events that the value is made of.
        p: calibrated tail probability; NaN for structural rules.
        score: how far beyond the bound; 1.0 is the edge.
        baseline: a `Baseline` each.
        unit: of the three values, for a reader.
        sentence: entry -> what a person reads.
        severity: one an entry; None = the rule's.
        top: entry -> what drives it; None = not asked.
        at_least: the window is still open: `observed` can only grow.
        reach_s: how far each looked back; None = its window only.
        suspect: no breach, but nothing to learn from either; None = as `breach` says.
        spoilt: the rows not to learn from, where they are not `rows`.
    """

    rows: Ints
    breach: Bools
    clear: Bools
    observed: Floats
    expected: Floats
    bound: Floats
    n: Ints
    p: Floats
    score: Floats
    baseline: Ints
    unit: str
    sentence: Callable[[int], str]
    severity: tuple[Severity, ...] | None
    top: Callable[[int], tuple[Contributor, ...]] | None
    at_least: bool = False
    reach_s: Ints | None
    suspect: Bools | None
    spoilt: Ints | None

    @classmethod
    def of(
        cls,
        rows: Ints,
        *,
        breach: Bools,
        clear: Bools,
        observed: Floats,
        unit: str,
        sentence: Callable[[int], str],
        score: Floats,
        n: Ints,
        expected: Floats | None = None,
        bound: Floats | None = None,
        p: Floats | None = None,
        baseline: Ints | Baseline = Baseline.NONE,
        severity: tuple[Severity, ...] | None = None,
        top: Callable[[int], tuple[Contributor, ...]] | None = None,
        reach_s: Ints | None = None,
        suspect: Bools | None = None,
        spoilt: Ints | None = None,
    ) -> Self:
        """Verdicts of a closed window; what is left out is not known (NaN), or not asked."""
        unknown = np.full(len(rows), np.nan)
        return cls(
            rows=rows,
            breach=breach,
            clear=clear,
            observed=observed,
            expected=unknown if expected is None else expected,
            bound=unknown if bound is None else bound,
            n=n,
            p=unknown if p is None else p,
            score=score,
            baseline=np.broadcast_to(np.asarray(baseline, np.int64), len(rows)),
            unit=unit,
            sentence=sentence,
            severity=severity,
            top=top,
            reach_s=reach_s,
            suspect=suspect,
            spoilt=spoilt,
        )

    def early(self) -> Verdicts:
        """The same of an open window: only what no later flush can change."""
        return replace(self, at_least=True, top=None)

    def excluded(self, signal: str, graded: Graded) -> dict[str, Ints]:
        """The rows that must not be learned from, by the key they are excluded under."""
        if self.spoilt is not None:
            return {signal: self.spoilt} if len(self.spoilt) else {}
        if self.suspect is not None:
            rows = self.rows[self.breach | self.suspect]
            return {signal: rows} if len(rows) else {}
        rows = self.rows[self.breach]
        if self.reach_s is None or not len(rows):
            return {signal: rows} if len(rows) else {}
        return contaminated(
            signal, rows, self.reach_s[self.breach], graded.at, graded.history.window_s
        )


#: Of no series at all: most rules of a calm window.
NOTHING = Verdicts.of(
    np.empty(0, np.int64),
    breach=np.empty(0, bool),
    clear=np.empty(0, bool),
    observed=np.empty(0),
    unit=Unit.EVENTS,
    sentence=lambda _: "",
    score=np.empty(0),
    n=np.empty(0, np.int64),
)


def fold(rule: RuleSpec, graded: Graded, said: Verdicts, watched: set[Group]) -> list[Finding]:
    """One finding a group that breaches, or that is watched because it has an alert."""
    if not len(said.rows):
        return []
    catalog = graded.history.catalog
    numbers, groups = catalog.group_ids(said.rows, rule.group_by)
    wanted = {int(i) for i in np.unique(numbers[said.breach])}
    if watched:
        wanted |= {int(i) for i in np.unique(numbers) if groups[int(i)] in watched}
    out = []
    for number in wanted:
        members = np.flatnonzero(numbers == number)
        breach = members[said.breach[members]]
        candidates = breach if len(breach) else members
        lead = min(candidates, key=lambda i: _rank(rule, catalog.names[said.rows[i]], said, i))
        clear = not len(breach) and bool(said.clear[members].all())
        out.append(_finding(rule, graded, said, int(lead), groups[number], clear=clear))
    return sorted(out, key=lambda finding: finding.group)


def _rank(rule: RuleSpec, series: str, said: Verdicts, i: int) -> tuple[int, float, str]:
    view = split_series(series)[0]
    return rule.views.index(view), -round(float(said.score[i]), 9), series


def _finding(
    rule: RuleSpec, graded: Graded, said: Verdicts, i: int, group: Group, *, clear: bool
) -> Finding:
    row, breach = int(said.rows[i]), bool(said.breach[i])
    statistical = bool(np.isfinite(said.p[i]) and said.baseline[i])
    young = bool(graded.history.age(np.array([row]), graded.at)[0] < graded.young_s)
    severity = said.severity[i] if said.severity else rule.severity
    if statistical and young and severity == "critical":
        severity = "warning"  # in its first weeks no baseline is sure enough to wake anyone
    calls = rule.views[0].startswith("calls_")
    return Finding(
        rule=rule.id,
        series=join_series(rule.views[0], *(value for _, value in group)),
        group=group,
        window=graded.at,
        at_ms=graded.end * 1000,
        breach=breach,
        clear=clear,
        severity=severity,
        signal=rule.signal,
        unit=said.unit,
        observed=_number(said.observed[i]),
        expected=_number(said.expected[i]),
        bound=_number(said.bound[i]),
        n=int(said.n[i]),
        p=_number(said.p[i]),
        score=_number(said.score[i]) or 0.0,
        at_least=said.at_least,
        baseline=Baseline(int(said.baseline[i])).text,
        confidence="low" if statistical and young else "normal",
        summary=said.sentence(i),
        tokens_burnt=_total(graded, "tokens", row) if calls and not said.at_least else None,
        cost_burnt_nano=_total(graded, "cost", row) if calls and not said.at_least else None,
        top=said.top(i) if said.top and breach else (),
    )


def _number(value: float) -> float | None:
    """Rounded to nine digits, so that sums in another order print the same; None for NaN."""
    return float(f"{value:.9g}") if np.isfinite(value) else None


def _total(graded: Graded, signal: str, row: int) -> int | None:
    return int(graded.current[signal][row]) if signal in graded.current else None


def contributions(
    rule: RuleSpec, graded: Graded, row: int, expected: Callable[[np.ndarray], np.ndarray]
) -> tuple[Contributor, ...]:
    """Which parts of a sum drive its change: (now - expected) of each over the whole rise."""

    def rise(parts: np.ndarray) -> np.ndarray:
        more: np.ndarray = graded.current[rule.signal][parts] - expected(parts)
        return more

    return drivers(rule, graded, row, rise)


def drivers(
    rule: RuleSpec, graded: Graded, row: int, excess: Callable[[np.ndarray], np.ndarray]
) -> tuple[Contributor, ...]:
    """Which dimension values drive what happened to a series, the greatest part first.

    Parts are the series of the rule's `contributors` views that agree with the series in
    every dimension it has, and have one more. `excess` says how much each part brings (rows
    -> float, counted from 0); a part below 3 % of all of its view is left out.
    """
    dims = graded.history.catalog.dims(row)
    found: list[Contributor] = []
    for view in rule.contributors:
        extra = [dim for dim in DIMS[view] if dim not in dims]
        if len(extra) != 1 or not set(dims) <= set(DIMS[view]):
            continue
        rows = parts_of(graded, view, dims)
        brings = np.maximum(excess(rows), 0.0) if len(rows) else np.zeros(0)
        whole = brings.sum()
        for part, r in zip(brings, rows, strict=True):
            if whole > 0 and part / whole >= _MIN_PART:
                value = graded.history.catalog.dims(int(r))[extra[0]]
                found.append(Contributor(extra[0], value, float(f"{part / whole:.3g}")))
    found.sort(key=lambda c: (-c.share, c.dimension, c.value))
    return tuple(found[:_MOST_PARTS])


def parts_of(graded: Graded, view: str, dims: Mapping[str, str]) -> np.ndarray:
    """The rows of a view that have these dimension values; `dims` names env and service."""
    catalog = graded.history.catalog
    rows = catalog.of_view(view)
    numbers, groups = catalog.group_ids(rows, _HOME)
    home = tuple((dim, dims[dim]) for dim in _HOME)
    if home not in groups:
        return np.empty(0, np.int64)
    near = rows[numbers == groups.index(home)]
    inside = [dims.items() <= catalog.dims(int(r)).items() for r in near]
    found: np.ndarray = near[np.array(inside, bool)]
    return found


def rows_of(rule: RuleSpec, graded: Graded) -> np.ndarray:
    """The rows of all views of a rule that its `where` admits."""
    return graded.history.catalog.of_views(rule.views, rule.where)


def is_watched(rule: RuleSpec, graded: Graded, rows: np.ndarray, watched: set[Group]) -> np.ndarray:
    """Which rows belong to a group that has an alert, and so must always be judged."""
    if not watched or not len(rows):
        return np.zeros(len(rows), bool)
    numbers, groups = graded.history.catalog.group_ids(rows, rule.group_by)
    alerted = np.array([group in watched for group in groups], bool)
    found: np.ndarray = alerted[numbers]
    return found


def name_of(graded: Graded, row: int) -> str:
    """A series for a reader: its service, and the dimension values beyond it."""
    dims = graded.history.catalog.dims(row)
    extra = [f"{dim} {value}" for dim, value in dims.items() if dim not in {"env", "service"}]
    return " ".join([dims.get("service", "?"), *extra])
