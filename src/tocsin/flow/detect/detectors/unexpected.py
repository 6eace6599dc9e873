"""A model nobody allowed, that the service never used before, or that nobody asked for.

`not_allowed` compares with the configured patterns and says nothing when there are none.
`first_seen` tells of a model once the service itself is past its warm-up: of a new service every
model is new. It is of severity info until the model takes a share of the traffic. `substituted`
counts the answers of another model family than the one asked for over an hour. It tells of a
substitution for the first day; one that goes on no stronger is then how that service is set up.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.calendars import HOUR_S
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.detect.detector import WindowDetector
from tocsin.flow.detect.series import Series
from tocsin.flow.detect.service_age import is_new
from tocsin.flow.detect.verdicts import NOTHING, Verdicts
from tocsin.flow.rules.options import one_of
from tocsin.types import (
    NONE,
    OVERFLOW,
    SEP,
    Bools,
    Floats,
    Severity,
    Unit,
    join_series,
    split_series,
)

_DAY_QUARTERS: Final = 96
#: So many times the usual hour of the last day is still no news of a substitution.
_USUAL_TIMES: Final = 3.0


class _Reason(StrEnum):
    """The option `reason`: what makes a model unexpected."""

    NOT_ALLOWED = "not_allowed"
    FIRST_SEEN = "first_seen"
    SUBSTITUTED = "substituted"


_WHY: Final[Mapping[str, str]] = {
    _Reason.NOT_ALLOWED: "is not on the allow-list",
    _Reason.FIRST_SEEN: "is new here",
}


def judge(series: Series) -> Verdicts:
    """Every unexpected name with traffic, and those whose group has an alert."""
    reason = series.rule.options["reason"]
    if reason == _Reason.NOT_ALLOWED and not series.graded.allowed_models:
        return NOTHING
    if reason == _Reason.SUBSTITUTED:
        series = series.only((series.n > 0) | series.is_alerting)
        n = series.total("n", HOUR_S)
    else:
        n = series.n
    kept = (n >= series.rule.volume["n"]) | series.is_alerting
    return _verdicts(series.only(kept), n[kept]) if kept.any() else NOTHING


def judge_open(series: Series, value: Floats, n: Floats) -> Verdicts:
    """Open windows: that there is a request is told, and how many there are is not."""
    del value
    rule = series.rule
    kept = n >= rule.volume["n"]
    if rule.options["reason"] == _Reason.SUBSTITUTED:
        kept[:] = False  # an hour is judged when it is over
    floor = np.full(int(kept.sum()), rule.volume["n"])
    verdicts = _verdicts(series.only(kept), floor).early()
    if rule.options["reason"] != _Reason.FIRST_SEEN:
        return verdicts
    info: Severity = "info"  # the share of the traffic is known when the window is closed
    return replace(verdicts, severity=(info,) * len(floor))


def _verdicts(series: Series, n: Floats) -> Verdicts:
    rule, reason, names = series.rule, series.rule.options["reason"], series.names
    unexpected = _is_unexpected(series, n)
    breach = unexpected & (n >= rule.volume["n"])
    severity = tuple(
        _severity(series, name, count) if bad else rule.severity
        for name, count, bad in zip(names, n, breach, strict=True)
    )

    def sentence(i: int) -> str:
        if reason == _Reason.SUBSTITUTED:
            dims = series.dims(i)
            answers = f"{dims['service']}: {n[i]:,.0f} answers of {dims['model']} in an hour"
            return f"{answers} where {dims['substituted']} was asked for"
        return f"{series.name(i)} {_WHY[reason]}"

    return Verdicts(
        series.rows,
        breach=breach,
        clear=~unexpected | (n == 0),
        observed=n.astype(float),
        expected=np.zeros(len(n)),
        bound=np.full(len(n), rule.volume["n"]),
        n=n.astype(np.int64),
        score=np.where(breach, 1.0, 0.0),
        unit=Unit.REQUESTS,
        sentence=sentence,
        severity=severity,
    )


def _is_unexpected(series: Series, n: Floats) -> Bools:
    """Which models are unexpected for the rule's reason; one without a name never is."""
    reason, names = series.rule.options["reason"], series.names
    models = [name.rpartition(SEP)[2] for name in names]
    if reason == _Reason.NOT_ALLOWED:
        allowed = series.graded.allowed_models
        is_allowed = [any(fnmatchcase(model, one) for one in allowed) for model in models]
        found = [bool(allowed) and not one for one in is_allowed]
    elif reason == _Reason.SUBSTITUTED:
        usual = _is_usual(series, n)
        found = [not usual[i] or is_new(series.graded, name) for i, name in enumerate(names)]
    else:
        found = [is_new(series.graded, name) for name in names]
    named = [model not in {NONE, OVERFLOW} for model in models]
    return np.logical_and(found, named)


def _is_usual(series: Series, n: Floats) -> Bools:
    """Whether so many events an hour are what each had over the last day, or thrice it."""
    past = series.quarters("n", HOUR_S)[:, -_DAY_QUARTERS:]
    known = np.isfinite(past)
    mean = np.where(known, past, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    usual: Bools = known.any(axis=1) & (n <= _USUAL_TIMES * mean * HOUR_S / QUARTER_S)
    return usual


def _severity(series: Series, name: str, n: float) -> Severity:
    """Info for a first-seen name until it has both requests and a share of the service."""
    rule, graded = series.rule, series.graded
    if rule.options["reason"] != _Reason.FIRST_SEEN:
        return rule.severity
    env, service = split_series(name)[1][:2]
    row = graded.history.catalog.find(join_series("calls_by_service", env, service))
    whole = graded.current["n"][row] if 0 <= row < len(graded.current["n"]) else 0.0
    is_big = n >= rule.effect["requests"] and n >= rule.effect["share"] * whole
    return rule.severity if is_big else "info"


DETECTOR = WindowDetector(
    name="unexpected",
    # A first-seen name that has less than either of these is told of with severity info.
    effect={
        "share": 0.01,  # of the service's calls in the window, 0..1
        "requests": 5.0,  # in the window
    },
    volume={"n": 1.0},  # requests in the window; of `substituted`, in the last hour
    options={"reason": "not_allowed"},  # or first_seen, substituted
    judge=judge,
    check=lambda rule: one_of(rule.options, "reason", tuple(_Reason)),
    judge_open=judge_open,
)
