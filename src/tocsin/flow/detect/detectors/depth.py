"""Depth: agents inside agents, or a chain of hand-offs that never comes back."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from tocsin.flow.baseline.history.run_stats import Level, Quantity, RunStats
from tocsin.flow.detect.detector import RunDetector
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.run_findings import Broken, tell
from tocsin.flow.detect.runs.step_ring import HANDOFFS, ROOTS, Rings
from tocsin.flow.detect.runs.tree import depths
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Finding, Unit


def limit(effect: Mapping[str, float], quantity: Quantity, level: Level | None) -> float:
    """What a run may come to; inf for a quantity that is not judged here."""
    if quantity != "depth":
        return math.inf
    return max(effect["depth"], level.p999 if level else 0)


def judge(rule: RuleSpec, seen: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """Runs deeper than `effect.depth` and than one in a thousand of their agent's."""
    floor, worse = rule.effect["depth"], rule.effect["critical"]
    findings: list[Finding] = []
    could = seen.count(ROOTS[seen.steps["kind"]] | HANDOFFS[seen.steps["kind"]])
    for i in np.flatnonzero(could >= floor).tolist():
        steps = seen.of(i)
        names = reader.names(steps)
        depth = depths(steps, names)
        if depth[-1] <= floor:
            continue
        levels = [
            stats.level(at_ms, who.env, who.service, "depth", who.agent)
            or stats.level(at_ms, who.env, who.service, "depth")
            for at_ms, who in zip(steps["end_ms"].tolist(), names, strict=True)
        ]
        bound = np.array([limit(rule.effect, "depth", level) for level in levels])
        broken = Broken(
            what="",
            signal="depth",
            unit=Unit.AGENTS,
            observed=depth,
            bound=bound,
            critical=worse * bound,
            summary="{agent} is {observed} agents deep; the limit is {bound}.",
            levels=levels,
        )
        findings += tell(rule, seen.traces[i], steps, names, broken)
    return findings


DETECTOR = RunDetector(
    name="depth",
    effect={"depth": 3.0, "critical": 2.0, "idle_s": 900.0},  # agents; times the limit is worse
    judge=judge,
    limit=limit,
)
