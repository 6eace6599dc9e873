"""Graded windows become findings, by rules. One module a detector kind; rules are data.

`judge` looks at a closed window, `judge_open` at counters of a window that is still open:
only rules whose signal can only grow, only their broadest view, and what is said is the
bound that was crossed and not the count of the moment. So the same log raises the same
alert whatever the timing of the flushes. A closed window is first judged as if it were open,
for the flush that never came.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from tocsin.flow.baseline.catalog import Group
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.count_history import SIGNAL_FIELDS
from tocsin.flow.baseline.history.sketch_history import SKETCH_PREFIX, TRACES
from tocsin.flow.detect.detector import Rule, WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.verdicts import NOTHING, fold
from tocsin.types import Finding

Judged = tuple[list[Finding], dict[str, np.ndarray]]


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
    rules: Sequence[Rule], graded: Graded, watched: Mapping[str, set[Group]] | None = None
) -> Judged:
    """Findings of a closed window, and the rows to keep out of each baseline.

    Args:
        rules: rules of any detector; those of runs are passed over.
        graded: the window beside its past.
        watched: rule id -> groups that have an alert: each gets a finding whatever it is.
    """
    findings: list[Finding] = []
    excluded: dict[str, list[np.ndarray]] = {}
    number = graded.at // graded.history.window_s + 1
    catalog, watched = graded.history.catalog, watched or {}
    for rule in rules:
        detector = rule.judged_by
        if not isinstance(detector, WindowDetector):
            continue
        if number % rule.every or not catalog.has(rule.views):
            continue
        groups = watched.get(rule.id, set())
        said = detector.judge(Series.of(rule, graded, frozenset(groups)))
        if said is NOTHING:
            continue
        findings += fold(rule, graded, said, groups)
        signal = detector.excludes(rule)
        if signal is not None:
            for key, rows in said.excluded(signal, graded).items():
                excluded.setdefault(key, []).append(rows)
    return findings, {
        signal: np.unique(np.concatenate(rows)) for signal, rows in sorted(excluded.items())
    }


def judge_open(
    rules: Sequence[Rule],
    graded: Graded,
    rows: np.ndarray,
    columns: Mapping[str, np.ndarray],
) -> list[Finding]:
    """Findings of an open window whose counters already cross a bound.

    Args:
        rules: rules of any detector; only those that can be judged early are.
        graded: the window's past.
        rows: the series that moved.
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
        these = np.flatnonzero(catalog.in_view(rows, view))
        if rule.where:
            these = these[np.isin(rows[these], catalog.matching(view, rule.where))]
        if not len(these):
            continue
        series = Series(rule, graded, rows[these])
        said = detector.judge_open(series, columns[rule.signal][these], columns["n"][these])
        findings += fold(rule, graded, said, set())
    return findings
