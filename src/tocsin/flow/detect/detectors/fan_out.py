"""Fan-out: one span with far too many children at a time, or a run with too many agents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.run_stats import Level, Quantity, RunStats
from tocsin.flow.detect.detector import RunDetector
from tocsin.flow.detect.runs.names import Names, Reader
from tocsin.flow.detect.runs.run_findings import Broken, at_each, tell
from tocsin.flow.detect.runs.step_ring import CALLED, ROOTS, Rings, often
from tocsin.flow.detect.runs.tree import agents, fan_outs
from tocsin.flow.detect.runs.usage import has_called
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Finding, Unit

_FLOORS: Final[Mapping[Quantity, str]] = {"fan_out": "children", "agents": "agents"}


def limit(effect: Mapping[str, float], quantity: Quantity, level: Level | None) -> float:
    """What a run may come to; inf for a quantity that is not judged here."""
    if quantity not in _FLOORS:
        return math.inf
    return max(effect[_FLOORS[quantity]], effect["ratio"] * level.p99 if level else 0)


def judge(rule: RuleSpec, seen: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """Runs wider than `children`, or with more than `agents`, and than theirs mostly are."""
    effect = rule.effect
    kind = seen.steps["kind"]
    children = (ROOTS[kind] | CALLED[kind]) & (seen.steps["parent"] != 0)
    wide = often(seen, children, "parent", int(effect["children"]) + 1)
    many = np.flatnonzero(seen.count(ROOTS[kind]) > effect["agents"]).tolist()
    findings: list[Finding] = []
    for i in sorted(wide.union(many)):
        steps = seen.of(i)
        names = reader.names(steps)
        widest = fan_outs(steps, names, models=has_called(seen, i, steps))
        shapes: tuple[tuple[Quantity, np.ndarray], ...] = (
            ("fan_out", widest),
            ("agents", agents(steps)),
        )
        for quantity, observed in shapes:
            if observed[-1] > effect[_FLOORS[quantity]]:
                broken = _broken(effect, quantity, observed, steps, names, stats)
                findings += tell(rule, seen.traces[i], steps, names, broken)
    return findings


_WIDE = "{agent} started {observed} calls or agents at once; the limit is {bound}."
_MANY = "{agent} has spawned {observed} agents; the limit is {bound}."


def _broken(
    effect: Mapping[str, float], quantity: Quantity, observed: np.ndarray, steps: np.ndarray,
    names: Sequence[Names], stats: RunStats,
) -> Broken:  # fmt: skip
    who = names[-1]
    levels = at_each(
        steps["end_ms"], lambda at_ms: stats.level(at_ms, who.env, who.service, quantity)
    )
    bound = np.array([limit(effect, quantity, level) for level in levels])
    return Broken(
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
        "children": 10.0,  # of one span at a time
        "agents": 20.0,  # of one run
        "ratio": 3.0,  # times the 99th percentile of what is usual
        "critical": 50.0,
        "idle_s": 900.0,
    },
    judge=judge,
    limit=limit,
)
