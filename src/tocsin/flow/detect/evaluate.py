"""Windows beside their past become findings: each rule's detector judges the rule's series.

`judge` takes a closed window, `judge_open` the counters of a window that is still open: of rules
whose signal can only grow, in their broadest view. What is told of an open window is the bound
that was crossed and not the count so far, so that the same log raises the same alert whatever the
timing of the flushes. A caller judges a closed window as if it were open first, for a flush that
did not come in time.

What a set of rules reads is told by `signals`, `sketches`, `residuals` and `weekly`: histories
keep no more than that.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.count_history import SIGNAL_FIELDS
from tocsin.flow.baseline.history.sketch_history import SKETCH_PREFIX, TRACES
from tocsin.flow.detect.detector import Rule, WindowDetector
from tocsin.flow.detect.findings import findings_of
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING
from tocsin.types import Finding, Floats, Group, Ints

#: Findings, and by signal the rows of the catalog whose window is not to be learned from.
Judged = tuple[list[Finding], dict[str, Ints]]


def signals(rules: Sequence[Rule]) -> tuple[str, ...]:
    """The count signals that the rules' baselines are made of."""
    read = [signal for rule in rules for signal in (rule.signal, *_reads(rule))]
    return tuple(dict.fromkeys(signal for signal in read if signal in SIGNAL_FIELDS))


def _reads(rule: Rule) -> Mapping[str, Collection[str]]:
    """The signals a rule reads, and of which views."""
    detector = rule.judged_by
    return detector.reads(rule) if isinstance(detector, WindowDetector) else {}


def sketches(rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    """The distributions that the rules read, and the views each is read of."""
    read: dict[str, set[str]] = {}
    for rule in rules:
        for signal, views in _reads(rule).items():
            if signal in SKETCH_PREFIX or signal == TRACES:
                read.setdefault(signal, set()).update(views)
    return {signal: frozenset(views) for signal, views in sorted(read.items())}


def residuals(rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    """The signals whose every value is scored by the residual bank, and of which views."""
    read: dict[str, set[str]] = {}
    for rule in rules:
        if isinstance(rule.judged_by, WindowDetector) and rule.judged_by.scores_residuals:
            read.setdefault(rule.signal, set()).update(rule.views)
    return {signal: frozenset(views) for signal, views in sorted(read.items())}


def weekly(rules: Sequence[Rule]) -> dict[str, frozenset[str]]:
    """The views of which the past is kept by the hour: of each signal, and of `n` all of them."""
    views: dict[str, set[str]] = {"n": set()}
    for rule in rules:
        if _reads(rule):
            read = {*rule.views, *rule.contributors}
            views["n"] |= read
            views.setdefault(rule.signal, set()).update(read)
            for signal, found in _reads(rule).items():
                views.setdefault(signal, set()).update(found)
                if signal in SKETCH_PREFIX:
                    q = rule.effect.get("q")
                    statistic = "logmean" if q is None else f"p{q * 100:g}"
                    views.setdefault(f"{signal}.{statistic}", set()).update(found)
    views["n"].update(*views.values())
    return {signal: frozenset(found) for signal, found in views.items()}


def judge(
    rules: Sequence[Rule], graded: Graded, alerting: Mapping[str, set[Group]] | None = None
) -> Judged:
    """Findings of a closed window, and the rows to keep out of each baseline.

    Args:
        rules: rules of any detector; those of runs are passed over.
        graded: the window beside its past.
        alerting: rule id -> groups with an alert in any state: each gets a finding, breach or not.
    """
    findings: list[Finding] = []
    excluded: dict[str, list[Ints]] = {}
    number = graded.at // graded.history.window_s + 1
    catalog, alerting = graded.history.catalog, alerting or {}
    for rule in rules:
        detector = rule.judged_by
        if not isinstance(detector, WindowDetector) or number % rule.every:
            continue
        if not catalog.has(rule.views):
            continue
        series = Series.of(rule, graded, frozenset(alerting.get(rule.id, ())))
        verdicts = detector.judge(series)
        if verdicts is NOTHING:
            continue
        findings += findings_of(series, verdicts)
        signal = detector.excludes(rule)
        if signal is not None:
            for key, rows in verdicts.excluded(signal, graded).items():
                excluded.setdefault(key, []).append(rows)
    return findings, {
        signal: np.unique(np.concatenate(rows)) for signal, rows in sorted(excluded.items())
    }


def judge_open(
    rules: Sequence[Rule], graded: Graded, rows: Ints, columns: Mapping[str, Floats]
) -> list[Finding]:
    """Findings of an open window whose counters already cross a bound.

    Args:
        rules: rules of any detector; those that cannot be judged early, or that ask for several
            windows, are passed over.
        graded: the window's past.
        rows: the series that moved, as rows of the catalog.
        columns: signal -> counters of each of them so far.
    """
    findings: list[Finding] = []
    for rule in rules:
        detector = rule.judged_by
        if not isinstance(detector, WindowDetector) or detector.judge_open is None:
            continue
        if rule.persistence.m > 1:
            continue
        catalog, view = graded.history.catalog, rule.views[0]
        broadest = np.flatnonzero(catalog.in_view(rows, view))
        if rule.where:
            broadest = broadest[np.isin(rows[broadest], catalog.matching(view, rule.where))]
        if not len(broadest):
            continue
        series = Series(rule, graded, rows[broadest])
        value, n = columns[rule.signal][broadest], columns["n"][broadest]
        findings += findings_of(series, detector.judge_open(series, value, n))
    return findings
