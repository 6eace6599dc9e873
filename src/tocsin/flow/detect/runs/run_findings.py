"""Findings of a limit that a run broke: at the step that broke it, where it got worse, and now.

The score is observed over bound, rounded down to a power of two: so it rises at one certain
step, whichever part of the run a snapshot holds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from tocsin.flow.baseline.history.run_stats import KNOWN_P999, Level, known_at
from tocsin.flow.detect.runs.names import Names
from tocsin.flow.detect.runs.step_ring import Steps
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import NONE, STEP_COST_UNKNOWN, Bools, Finding, Floats, Ints, join_series

#: While a limit stays broken there is a finding at least this often: its run is still alive.
RENEW_MS: Final = 60_000
#: There is a finding at each of so many newest steps. So the sum that several runs of one alert
#: have burnt is exact at each step, whether a snapshot brings one new step of each or so many.
RECENT: Final = 32
BASELINE: Final = "runs of 14 days"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCheck:
    """One limit over the steps of one run; arrays are as its steps, in order.

    A step is a breach where `observed > bound` and, if it is given, `where` holds; it is a
    critical one where `observed > critical` too.
    """

    what: str  # last part of the series of a rule with several limits; empty if it has one
    signal: str
    unit: str
    observed: Ints | Floats
    bound: Floats  # inf where nothing is known to compare with
    critical: Floats
    summary: str  # with {agent}, {observed}, {bound}
    levels: Sequence[Level | None]  # what each bound is made of; None where it is absolute
    scale: float = 1.0  # what the values in `levels` are multiplied by to be in `unit`
    where: Bools | None = None
    tokens: Ints | None = None  # of the run up to each step
    cost_nano: Ints | None = None


_Value = TypeVar("_Value")


def at_each(end_ms: Ints, known: Callable[[int], _Value]) -> list[_Value]:
    """`known(at_ms)` at each step; called once where the statistics are the same for several."""
    cells: dict[int, _Value] = {}
    values = []
    for at_ms in end_ms.tolist():
        cell = known_at(at_ms)
        if cell not in cells:
            cells[cell] = known(at_ms)
        values.append(cells[cell])
    return values


def breaches(
    rule: RuleSpec, trace: str, steps: Steps, names: Sequence[Names], check: LimitCheck
) -> list[Finding]:
    """The findings of one limit of one run, in order; empty if it was never broken."""
    holds = check.observed > check.bound
    if check.where is not None:
        holds &= check.where
    if not holds.any():
        return []
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.exp2(np.floor(np.log2(check.observed / np.maximum(check.bound, 1e-9))))
    critical = holds & (check.observed > check.critical)
    indices = _indices(steps["end_ms"], holds, np.where(holds, score + 1e9 * critical, 0.0))
    return [
        _finding(rule, trace, steps, names, check, i, float(score[i]), critical=bool(critical[i]))
        for i in indices
    ]


def _indices(at_ms: Ints, holds: Bools, rank: Floats) -> list[int]:
    """The steps with a finding: each new rank, one before a pause, the newest, one a minute."""
    found: list[int] = []
    best, last = 0.0, 0
    where = np.flatnonzero(holds).tolist()
    times = at_ms.tolist()
    for k, i in enumerate(where):
        recent = len(where) - k <= RECENT
        pause = recent or times[where[k + 1]] - times[i] >= RENEW_MS
        if rank[i] > best or pause or times[i] - last >= RENEW_MS:
            best, last = max(best, float(rank[i])), times[i]
            found.append(i)
    return found


def _finding(
    rule: RuleSpec, trace: str, steps: Steps, names: Sequence[Names], check: LimitCheck,
    i: int, score: float, *, critical: bool,
) -> Finding:  # fmt: skip
    who, level = names[i], check.levels[i]
    observed, bound = float(check.observed[i]), float(check.bound[i])
    at_ms = int(steps["end_ms"][i])
    group = {"env": who.env, "service": who.service, "agent": who.agent, "trace_id": trace}
    agent = "A run" if who.agent == NONE else f"A run of agent {who.agent}"
    is_priced = not (steps["flags"][: i + 1] & STEP_COST_UNKNOWN).any()
    cost_nano = check.cost_nano if is_priced else None
    return Finding(
        rule=rule.id,
        series=join_series("run", who.env, who.service, trace, *filter(None, (check.what,))),
        group=tuple((name, group.get(name, NONE)) for name in rule.group_by),
        window=at_ms // 1_000,
        at_ms=at_ms,
        breach=True,
        clear=False,
        severity="critical" if critical else "warning",
        signal=check.signal,
        unit=check.unit,
        observed=observed,
        expected=level.p50 * check.scale if level else None,
        bound=bound,
        n=level.n if level else int(observed),
        score=max(1.0, score),
        at_least=True,
        baseline=BASELINE if level else "none",
        confidence="high" if level is None or level.n >= KNOWN_P999 else "normal",
        summary=check.summary.format(agent=agent, observed=_number(observed), bound=_number(bound)),
        tokens_burnt=int(check.tokens[i]) if check.tokens is not None else None,
        cost_burnt_nano=int(cost_nano[i]) if cost_nano is not None else None,
        traces=(trace,),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"
