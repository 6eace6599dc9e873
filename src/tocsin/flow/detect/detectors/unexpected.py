"""A model nobody allowed, that the service never used before, or that nobody asked for.

`not_allowed` compares with the configured patterns and says nothing when there are none.
`first_seen` speaks once the service itself is past its warm-up: of a new service every model
is new. It is news (info) until the model takes a share of the traffic. `substituted` counts
the answers of another model family than the one asked for over an hour; of a stand-in that
goes on as ever it is told for a day, then it is how that service is set up.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from tocsin.flow.baseline.expect.recent import total
from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.service_age import is_warm
from tocsin.flow.detect.verdicts import NOTHING, Verdicts, name_of
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import NONE, OVERFLOW, SEP, Floats, Severity, Unit, join_series, split_series

_HOUR_S, _USUAL = 3600, 3.0
_WHY = {"not_allowed": "is not on the allow-list", "first_seen": "is new here"}


def judge(series: Series) -> Verdicts:
    """Every unexpected name with traffic, and those whose group has an alert."""
    rule, graded = series.rule, series.graded
    if _is_idle(rule, graded):
        return NOTHING
    rows = series.rows
    n = graded.current["n"][rows]
    if rule.options["reason"] == "substituted":
        rows = rows[(n > 0) | series.at_rows(rows).is_alerting]
        n = total(graded, "n", rows, _HOUR_S)
    kept = (n >= rule.volume["n"]) | series.at_rows(rows).is_alerting
    if not kept.any():
        return NOTHING
    return _verdicts(rule, graded, rows[kept], n[kept])


def judge_open(series: Series, value: Floats, n: Floats) -> Verdicts:
    """Open windows: one request is enough, and all that is said."""
    rule, graded, rows = series.rule, series.graded, series.rows
    del value
    kept = n >= rule.volume["n"]
    if rule.options["reason"] == "substituted":
        kept[:] = False  # an hour is judged when it is over
    floor = np.full(int(kept.sum()), rule.volume["n"])
    said = _verdicts(rule, graded, rows[kept], floor).early()
    if rule.options["reason"] != "first_seen":
        return said
    news: Severity = "info"  # a share takes a closed window
    return replace(said, severity=(news,) * len(floor))


def _verdicts(rule: RuleSpec, graded: Graded, rows: np.ndarray, n: np.ndarray) -> Verdicts:
    names = graded.history.catalog.names
    unexpected = np.array(
        [_is_unexpected(rule, graded, names[r], m) for r, m in zip(rows, n, strict=True)], bool
    )
    breach = unexpected & (n >= rule.volume["n"])
    severity = tuple(
        _severity(rule, graded, names[row], count) if bad else rule.severity
        for row, count, bad in zip(rows, n, breach, strict=True)
    )

    def sentence(i: int) -> str:
        if rule.options["reason"] == "substituted":
            dims = graded.history.catalog.dims(int(rows[i]))
            answers = f"{dims['service']}: {n[i]:,.0f} answers of {dims['model']} in an hour"
            return f"{answers} where {dims['substituted']} was asked for"
        return f"{name_of(graded, int(rows[i]))} {_WHY[rule.options['reason']]}"

    return Verdicts.of(
        rows,
        breach=breach,
        clear=~unexpected | (n == 0),
        observed=n.astype(float),
        expected=np.zeros(len(rows)),
        bound=np.full(len(rows), rule.volume["n"]),
        n=n.astype(np.int64),
        score=np.where(breach, 1.0, 0.0),
        unit=Unit.REQUESTS,
        sentence=sentence,
        severity=severity,
    )


def _is_idle(rule: RuleSpec, graded: Graded) -> bool:
    """Whether the rule has nothing to compare with."""
    return rule.options["reason"] == "not_allowed" and not graded.allowed_models


def _is_unexpected(rule: RuleSpec, graded: Graded, series: str, n: float) -> bool:
    model = series.rpartition(SEP)[2]
    if model in {NONE, OVERFLOW}:
        return False
    if rule.options["reason"] == "not_allowed":
        allowed = graded.allowed_models
        return bool(allowed) and not any(fnmatchcase(model, pattern) for pattern in allowed)
    if rule.options["reason"] == "substituted" and not _is_usual(graded, series, n):
        return True
    return graded.known.is_new(series, graded.at, lambda name: is_warm(graded, name))


def _is_usual(graded: Graded, series: str, n: float) -> bool:
    """Whether so many events an hour are what the series had over the last day, or thrice it."""
    row = np.array([graded.history.catalog.find(series)])
    past = graded.history.counts.quarters("n", row, graded.at - _HOUR_S)[0, -96:]
    known = past[np.isfinite(past)]
    return bool(len(known)) and n <= _USUAL * known.mean() * _HOUR_S / QUARTER_S


def _severity(rule: RuleSpec, graded: Graded, series: str, n: float) -> Severity:
    """News of a first-seen name until it has both requests and a share of the service."""
    if rule.options["reason"] != "first_seen":
        return rule.severity
    env, service = split_series(series)[1][:2]
    row = graded.history.catalog.find(join_series("calls_by_service", env, service))
    whole = graded.current["n"][row] if 0 <= row < len(graded.current["n"]) else 0.0
    big = n >= rule.effect["requests"] and n >= rule.effect["share"] * whole
    return rule.severity if big else "info"


DETECTOR = WindowDetector(
    name="unexpected",
    effect={"share": 0.01, "requests": 5.0},  # from which on a first-seen name is no mere news
    volume={"n": 1.0},
    options={"reason": "not_allowed"},  # or first_seen, substituted
    judge=judge,
    judge_open=judge_open,
)
