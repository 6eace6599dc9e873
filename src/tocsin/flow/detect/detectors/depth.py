"""Depth: agents nested in agents, or a chain of hand-offs from one agent to the next."""

import math
from collections.abc import Mapping

import numpy as np

from tocsin.flow.baseline.history.run_stats import Level, Quantity, RunStats
from tocsin.flow.detect.detector import RunDetector
from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.run_findings import LimitCheck, breaches
from tocsin.flow.detect.runs.step_ring import HANDOFFS, ROOTS, Rings
from tocsin.flow.detect.runs.tree import depths
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Finding, Unit


def limit(effect: Mapping[str, float], quantity: Quantity, level: Level | None) -> float:
    """What a run may come to; inf for a quantity that is not judged here."""
    if quantity != "depth":
        return math.inf
    return max(effect["depth"], level.p999 if level else 0)


def judge(rule: RuleSpec, rings: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """Runs deeper than `effect.depth` and than all but one in a thousand of their agent's runs."""
    floor = rule.effect["depth"]
    findings: list[Finding] = []
    nested = rings.count(ROOTS[rings.steps["kind"]] | HANDOFFS[rings.steps["kind"]])
    for i in np.flatnonzero(nested >= floor).tolist():
        steps = rings.of(i)
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
        check = LimitCheck(
            what="",
            signal="depth",
            unit=Unit.AGENTS,
            observed=depth,
            bound=bound,
            critical=rule.effect["critical"] * bound,
            summary="{agent} is {observed} agents deep; the limit is {bound}.",
            levels=levels,
        )
        findings += breaches(rule, rings.traces[i], steps, names, check)
    return findings


DETECTOR = RunDetector(
    name="depth",
    effect={
        "depth": 3.0,  # agents: the limit, unless runs are known to go deeper
        "critical": 2.0,  # times the limit: critical
        "idle_s": 900.0,  # seconds without a step after which the alert expires
    },
    judge=judge,
    limit=limit,
)
