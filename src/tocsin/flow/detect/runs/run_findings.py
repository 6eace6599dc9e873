"""Findings of a limit that a run broke: told where it broke, where it got worse, where it is.

The score is the power of two below observed over bound, so it rises at one step exactly,
whichever part of the run a look happens to show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np

from tocsin.flow.baseline.history.run_stats import KNOWN_P999, Level, known_at
from tocsin.flow.detect.runs.names import Names
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import NONE, STEP_COST_UNKNOWN, Finding, join_series

#: A limit that stays broken is retold at least this often, so that its run is seen to live.
RETELL_MS: Final = 60_000
#: The newest steps are all told: what several runs of one alert have burnt together by some
#: step of one of them is the same, whether a look brings one step of each or as many as these.
RECENT: Final = 32
BASELINE: Final = "runs of 14 days"


@dataclass(frozen=True, slots=True)
class Broken:
    """One limit over the steps of one run; arrays are as its steps, in order.

    `bound` is inf where nothing is known to compare with. A step is a breach where
    `observed > bound`, and `where` holds if it is given; critical beyond `critical` too.
    `levels` is what the bound is made of at each step; None where it is absolute.
    """

    what: str  # ends the series of a rule with several limits
    signal: str
    unit: str
    observed: np.ndarray
    bound: np.ndarray
    critical: np.ndarray
    summary: str  # with {agent}, {observed}, {bound}
    levels: Sequence[Level | None]
    scale: float = 1.0  # of the values in `levels`
    where: np.ndarray | None = None
    #: tokens and nano-USD of the run up to each step
    tokens: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    cost_nano: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


_Value = TypeVar("_Value")


def at_each(end_ms: np.ndarray, known: Callable[[int], _Value]) -> list[_Value]:
    """`known(at_ms)` at each step; asked anew only where the stats may say something else."""
    cells: dict[int, _Value] = {}
    values = []
    for at_ms in end_ms.tolist():
        cell = known_at(at_ms)
        if cell not in cells:
            cells[cell] = known(at_ms)
        values.append(cells[cell])
    return values


def tell(
    rule: RuleSpec, trace: str, steps: np.ndarray, names: Sequence[Names], broken: Broken
) -> list[Finding]:
    """The findings of one limit of one run, in order; empty if it never broke."""
    holds = broken.observed > broken.bound
    if broken.where is not None:
        holds &= broken.where
    if not holds.any():
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.exp2(np.floor(np.log2(broken.observed / np.maximum(broken.bound, 1e-9))))
    critical = holds & (broken.observed > broken.critical)
    told = _points(steps["end_ms"], holds, np.where(holds, score + 1e9 * critical, 0.0))
    return [
        _finding(rule, trace, steps, names, broken, i, float(score[i]), critical=bool(critical[i]))
        for i in told
    ]


def _points(at_ms: np.ndarray, holds: np.ndarray, rank: np.ndarray) -> list[int]:
    """Where to tell: each new rank, the step before a pause, the newest, and one a minute."""
    points: list[int] = []
    best, last = 0.0, 0
    where = np.flatnonzero(holds).tolist()
    times = at_ms.tolist()
    for k, i in enumerate(where):
        recent = len(where) - k <= RECENT
        pause = recent or times[where[k + 1]] - times[i] >= RETELL_MS
        if rank[i] > best or pause or times[i] - last >= RETELL_MS:
            best, last = max(best, float(rank[i])), times[i]
            points.append(i)
    return points


def _finding(
    rule: RuleSpec, trace: str, steps: np.ndarray, names: Sequence[Names], broken: Broken,
    i: int, score: float, *, critical: bool,
) -> Finding:  # fmt: skip
    who, level = names[i], broken.levels[i]
    observed, bound = float(broken.observed[i]), float(broken.bound[i])
    at_ms = int(steps["end_ms"][i])
    group = {"env": who.env, "service": who.service, "agent": who.agent, "trace_id": trace}
    agent = "A run" if who.agent == NONE else f"A run of agent {who.agent}"
    priced = len(broken.cost_nano) and not (steps["flags"][: i + 1] & STEP_COST_UNKNOWN).any()
    return Finding(
        rule=rule.id,
        series=join_series("run", who.env, who.service, trace, *filter(None, (broken.what,))),
        group=tuple((name, group.get(name, NONE)) for name in rule.group_by),
        window=at_ms // 1_000,
        at_ms=at_ms,
        breach=True,
        clear=False,
        severity="critical" if critical else "warning",
        signal=broken.signal,
        unit=broken.unit,
        observed=observed,
        expected=level.p50 * broken.scale if level else None,
        bound=bound,
        n=level.n if level else int(observed),
        score=max(1.0, score),
        at_least=True,
        baseline=BASELINE if level else "none",
        confidence="high" if level is None or level.n >= KNOWN_P999 else "normal",
        summary=broken.summary.format(agent=agent, observed=_said(observed), bound=_said(bound)),
        tokens_burnt=int(broken.tokens[i]) if len(broken.tokens) else None,
        cost_burnt_nano=int(broken.cost_nano[i]) if priced else None,
        traces=(trace,),
    )


def _said(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
