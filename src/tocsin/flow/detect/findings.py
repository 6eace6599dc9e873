"""Verdicts of many series become findings: one a group that breaches, or that has an alert.

The broadest view that breaches leads: an agent's spike and its service's spike are one alert,
about the service. The finding's series names the group in the rule's broadest view, whichever
series leads, so that an alert has one series for as long as it lasts; the sentence names the
leader.
"""

import numpy as np

from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import Verdicts
from tocsin.types import Baseline, Finding, Group, Ints, join_series, split_series


def findings_of(series: Series, verdicts: Verdicts) -> list[Finding]:
    """Findings in the order of their groups.

    Args:
        series: what was judged: the rule, the window, and the groups that have an alert.
        verdicts: of those series, or of some of them.
    """
    if not len(verdicts.rows):
        return []
    judged = series.at_rows(verdicts.rows)
    catalog = series.graded.history.catalog
    numbers, groups = catalog.group_ids(judged.rows, series.rule.group_by)
    wanted = set(np.unique(numbers[verdicts.breach]).tolist())
    if series.alerting:
        wanted |= {i for i in np.unique(numbers).tolist() if groups[i] in series.alerting}
    findings = []
    for number in wanted:
        members = np.flatnonzero(numbers == number)
        breach = members[verdicts.breach[members]]
        leader = _leader(judged, verdicts, breach if len(breach) else members)
        clear = not len(breach) and bool(verdicts.clear[members].all())
        findings.append(_finding(judged, verdicts, leader, groups[number], clear=clear))
    return sorted(findings, key=lambda finding: finding.group)


def _leader(judged: Series, verdicts: Verdicts, candidates: Ints) -> int:
    """Of some entries the one of the broadest view; of those the highest score, then by name."""
    names = judged.graded.history.catalog.names

    def rank(i: int) -> tuple[int, float, str]:
        name = names[judged.rows[i]]
        view = split_series(name)[0]
        return judged.rule.views.index(view), -round(float(verdicts.score[i]), 9), name

    leader: int = min(candidates.tolist(), key=rank)
    return leader


def _finding(judged: Series, verdicts: Verdicts, i: int, group: Group, *, clear: bool) -> Finding:
    rule, graded, breach = judged.rule, judged.graded, bool(verdicts.breach[i])
    is_statistical = bool(np.isfinite(verdicts.p[i]) and verdicts.baseline[i])
    is_young = bool(judged.only(np.array([i])).age_s[0] < graded.young_s)
    in_doubt = is_statistical and is_young
    severity = verdicts.severity[i] if verdicts.severity else rule.severity
    if in_doubt and severity == "critical":
        severity = "warning"  # critical wakes people, and no young baseline may
    with_burn = rule.views[0].startswith("calls_") and not verdicts.at_least
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
        unit=verdicts.unit,
        observed=_number(verdicts.observed[i]),
        expected=_number(verdicts.expected[i]),
        bound=_number(verdicts.bound[i]),
        n=int(verdicts.n[i]),
        p=_number(verdicts.p[i]),
        score=_number(verdicts.score[i]) or 0.0,
        at_least=verdicts.at_least,
        baseline=Baseline(int(verdicts.baseline[i])).text,
        confidence="low" if in_doubt else "normal",
        summary=verdicts.sentence(i),
        tokens_burnt=_in_window(judged, "tokens", i) if with_burn else None,
        cost_burnt_nano=_in_window(judged, "cost", i) if with_burn else None,
        top=verdicts.top(i) if verdicts.top and breach else (),
    )


def _number(value: float) -> float | None:
    """Rounded to nine digits, so that sums in another order print the same; None for NaN."""
    return float(f"{value:.9g}") if np.isfinite(value) else None


def _in_window(judged: Series, signal: str, i: int) -> int | None:
    """A count signal of entry `i` in this window; None where the rules keep none of it."""
    current = judged.graded.current
    return int(current[signal][judged.rows[i]]) if signal in current else None
