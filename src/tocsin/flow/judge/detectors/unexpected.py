"""A model nobody allowed, or that the service never used before.

`not_allowed` compares with the configured patterns and says nothing when there are none.
`first_seen` speaks once the service itself is past its warm-up: of a new service every model
is new. It is news (info) until the model takes a share of the traffic.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from tocsin.flow.grade import Graded
from tocsin.flow.grade.catalog import Group
from tocsin.flow.judge.rules import RuleSpec
from tocsin.flow.judge.verdicts import Verdicts, is_watched, name_of, rows_of
from tocsin.types import NONE, OVERFLOW, SEP, Severity, join_series, split_series


def judge(rule: RuleSpec, graded: Graded, watched: set[Group]) -> Verdicts:
    """Every unexpected name with traffic, and those whose group has an alert."""
    if _is_idle(rule, graded):
        return _verdicts(rule, graded, np.empty(0, np.int64), np.empty(0))
    rows = rows_of(rule, graded)
    n = graded.current["n"][rows]
    kept = (n >= rule.volume["n"]) | is_watched(rule, graded, rows, watched)
    return _verdicts(rule, graded, rows[kept], n[kept])


def judge_open(
    rule: RuleSpec, graded: Graded, rows: np.ndarray, value: np.ndarray, n: np.ndarray
) -> Verdicts:
    """Open windows: one request is enough, and all that is said."""
    del value
    kept = n >= rule.volume["n"]
    floor = np.full(int(kept.sum()), rule.volume["n"])
    said = _verdicts(rule, graded, rows[kept], floor).early()
    if rule.options["reason"] == "not_allowed":
        return said
    news: Severity = "info"  # a share takes a closed window
    return replace(said, severity=(news,) * len(floor))


def is_warm(graded: Graded, series: str) -> bool:
    """Whether the service of a series is past its warm-up."""
    history = graded.history
    env, service = split_series(series)[1][:2]
    row = history.catalog.find(join_series("calls_by_service", env, service))
    needed = min(graded.warmup * history.window_s, 86_400)
    return row >= 0 and bool(history.age(np.array([row]), graded.at)[0] >= needed)


def _verdicts(rule: RuleSpec, graded: Graded, rows: np.ndarray, n: np.ndarray) -> Verdicts:
    names = graded.history.catalog.names
    breach = np.array([_is_unexpected(rule, graded, names[row]) for row in rows], bool)
    breach &= n >= rule.volume["n"]
    severity = tuple(
        _severity(rule, graded, names[row], count) if bad else rule.severity
        for row, count, bad in zip(rows, n, breach, strict=True)
    )
    nothing = np.full(len(rows), np.nan)
    why = "is not on the allow-list" if rule.options["reason"] == "not_allowed" else "is new here"

    def say(i: int) -> str:
        return f"{name_of(graded, int(rows[i]))} {why}"

    return Verdicts(
        rows,
        breach,
        n == 0,
        n.astype(float),
        np.zeros(len(rows)),
        np.full(len(rows), rule.volume["n"]),
        n.astype(np.int64),
        nothing,
        np.where(breach, 1.0, 0.0),
        np.zeros(len(rows), np.int64),
        "requests",
        say,
        severity,
    )


def _is_idle(rule: RuleSpec, graded: Graded) -> bool:
    """Whether the rule has nothing to compare with."""
    return rule.options["reason"] == "not_allowed" and not graded.allowed_models


def _is_unexpected(rule: RuleSpec, graded: Graded, series: str) -> bool:
    model = series.rpartition(SEP)[2]
    if model in {NONE, OVERFLOW}:
        return False
    if rule.options["reason"] == "not_allowed":
        allowed = graded.allowed_models
        return bool(allowed) and not any(fnmatchcase(model, pattern) for pattern in allowed)
    return graded.known.is_new(series, graded.at, lambda name: is_warm(graded, name))


def _severity(rule: RuleSpec, graded: Graded, series: str, n: float) -> Severity:
    """News of a first-seen name until it has both requests and a share of the service."""
    if rule.options["reason"] == "not_allowed":
        return rule.severity
    env, service = split_series(series)[1][:2]
    row = graded.history.catalog.find(join_series("calls_by_service", env, service))
    whole = graded.current["n"][row] if 0 <= row < len(graded.current["n"]) else 0.0
    big = n >= rule.effect["requests"] and n >= rule.effect["share"] * whole
    return rule.severity if big else "info"
