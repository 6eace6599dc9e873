"""What a detector says of many series, in columns, and how that becomes findings.

Several series of one group fold into one finding, led by the broadest view that breaches:
an agent's spike and its service's spike are one alert, about the service. The finding's
series names the group in the rule's broadest view, whoever leads, so that lifecycle sees one
member with one past; the sentence names the leader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tocsin.flow.grade import Graded
from tocsin.flow.grade.catalog import Group
from tocsin.flow.grade.counts import BASELINES, DAY_S
from tocsin.flow.judge.rules import DIMS, RuleSpec
from tocsin.types import Contributor, Finding, Severity, join_series, split_series

_MIN_PART, _MOST_PARTS = 0.03, 5


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Columns, one entry a judged series. `breach` holds effect, evidence and volume."""

    rows: np.ndarray
    breach: np.ndarray
    clear: np.ndarray
    observed: np.ndarray
    expected: np.ndarray
    bound: np.ndarray
    n: np.ndarray
    p: np.ndarray  # NaN for structural rules
    score: np.ndarray  # 1.0 is the edge
    baseline: np.ndarray  # index into BASELINES
    unit: str
    say: Callable[[int], str]  # the sentence for entry i
    severity: tuple[Severity, ...] | None = None  # one an entry; None = the rule's
    top: Callable[[int], tuple[Contributor, ...]] | None = None
    at_least: bool = False

    def early(self) -> Verdicts:
        """The same of an open window: only what no later flush can change."""
        return replace(self, at_least=True, top=None)

    def excluded(self) -> np.ndarray:
        """The rows that must not be learned from."""
        rows: np.ndarray = self.rows[self.breach]
        return rows


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
    statistical = bool(np.isfinite(said.p[i]))
    young = bool(graded.history.age(np.array([row]), graded.at)[0] < DAY_S)
    severity = said.severity[i] if said.severity else rule.severity
    if statistical and young and severity == "critical":
        severity = "warning"  # on the first day no baseline is sure enough to wake anyone
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
        baseline=BASELINES[int(said.baseline[i])],
        confidence="low" if statistical and young else "normal",
        summary=said.say(i),
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
    """Which parts of a series drive its change: (now - expected) of each over the whole rise.

    Parts are the series of the rule's `contributors` views that agree with the series in
    every dimension it has; parts of the change below 3 % are left out.
    """
    history = graded.history
    dims = history.catalog.dims(row)
    signal = rule.signal
    found: list[Contributor] = []
    for view in rule.contributors:
        extra = [dim for dim in DIMS[view] if dim not in dims]
        if len(extra) != 1 or not set(dims) <= set(DIMS[view]):
            continue
        rows = np.array(
            [
                r
                for r in history.catalog.of_view(view)
                if dims.items() <= history.catalog.dims(int(r)).items()
            ],
            np.int64,
        )
        if not len(rows):
            continue
        rise = np.maximum(graded.current[signal][rows] - expected(rows), 0.0)
        whole = rise.sum()
        for part, r in zip(rise, rows, strict=True):
            if whole > 0 and part / whole >= _MIN_PART:
                value = history.catalog.dims(int(r))[extra[0]]
                found.append(Contributor(extra[0], value, float(f"{part / whole:.3g}")))
    found.sort(key=lambda c: (-c.share, c.dimension, c.value))
    return tuple(found[:_MOST_PARTS])


def rows_of(rule: RuleSpec, graded: Graded) -> np.ndarray:
    """The rows of all views of a rule."""
    parts = [graded.history.catalog.of_view(view) for view in rule.views]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


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
