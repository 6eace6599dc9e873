"""Fan-out: one span with far too many children at a time, or a run with too many agents."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.run_stats import Level, Quantity, RunStats
from tocsin.flow.detect.detector import RunDetector
from tocsin.flow.detect.runs.names import Names, Reader
from tocsin.flow.detect.runs.run_findings import LimitCheck, at_each, breaches
from tocsin.flow.detect.runs.step_ring import (
    CALLED,
    ROOTS,
    Rings,
    Steps,
    has_called,
    runs_repeating,
)
from tocsin.flow.detect.runs.tree import agents, fan_outs
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Finding, Ints, Unit

_FLOORS: Final[Mapping[Quantity, str]] = {"fan_out": "children", "agents": "agents"}


def limit(effect: Mapping[str, float], quantity: Quantity, level: Level | None) -> float:
    """What a run may come to; inf for a quantity that is not judged here."""
    if quantity not in _FLOORS:
        return math.inf
    return max(effect[_FLOORS[quantity]], effect["ratio"] * level.p99 if level else 0)


def judge(rule: RuleSpec, rings: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """Runs with more children or agents than `effect` allows, and than is usual by `ratio`."""
    effect = rule.effect
    kind = rings.steps["kind"]
    children = (ROOTS[kind] | CALLED[kind]) & (rings.steps["parent"] != 0)
    wide = runs_repeating(rings, children, "parent", int(effect["children"]) + 1)
    many = np.flatnonzero(rings.count(ROOTS[kind]) > effect["agents"]).tolist()
    findings: list[Finding] = []
    for i in sorted(wide.union(many)):
        steps = rings.of(i)
        names = reader.names(steps)
        widest = fan_outs(steps, names, models=has_called(rings, i, steps))
        shapes: dict[Quantity, Ints] = {"fan_out": widest, "agents": agents(steps)}
        for quantity, observed in shapes.items():
            if observed[-1] > effect[_FLOORS[quantity]]:
                check = _check(effect, quantity, observed, steps, names, stats)
                findings += breaches(rule, rings.traces[i], steps, names, check)
    return findings


_WIDE = "{agent} started {observed} calls or agents at once; the limit is {bound}."
_MANY = "{agent} has spawned {observed} agents; the limit is {bound}."


def _check(
    effect: Mapping[str, float], quantity: Quantity, observed: Ints, steps: Steps,
    names: Sequence[Names], stats: RunStats,
) -> LimitCheck:  # fmt: skip
    who = names[-1]
    levels = at_each(
        steps["end_ms"], lambda at_ms: stats.level(at_ms, who.env, who.service, quantity)
    )
    bound = np.array([limit(effect, quantity, level) for level in levels])
    return LimitCheck(
        what="" if quantity == "fan_out" else quantity,
        signal=quantity,
        unit=Unit.CHILDREN if quantity == "fan_out" else Unit.AGENTS,
        observed=observed,
        bound=bound,
        critical=np.maximum(effect["critical"], bound),
        summary=_WIDE if quantity == "fan_out" else _MANY,
        levels=levels,
    )


DETECTOR = RunDetector(
    name="fan_out",
    effect={
        "children": 10.0,  # of one span at a time: calls or agents
        "agents": 20.0,  # of one run
        "ratio": 3.0,  # times the 99th percentile of what is usual
        "critical": 50.0,  # of either: critical
        "idle_s": 900.0,  # seconds without a step after which the alert expires
    },
    judge=judge,
    limit=limit,
)
