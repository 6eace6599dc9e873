"""Burn: a run that goes in circles and costs far more than runs of its service, or breaks a cap."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.run_stats import Level, Quantity, RunStats, known_at
from tocsin.flow.detect.detector import RunDetector
from tocsin.flow.detect.runs.names import Names, Reader
from tocsin.flow.detect.runs.run_findings import LimitCheck, at_each, breaches
from tocsin.flow.detect.runs.step_ring import ROOTS, Rings, Steps, used_by_step
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Finding, Floats, Ints

#: The loop score is of so many steps.
SPAN: Final = 16
_NANO: Final = 1_000_000_000
_QUANTITIES: Final[tuple[Quantity, ...]] = ("tokens", "cost", "steps")


def judge(rule: RuleSpec, rings: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """Runs that burn tokens or money in circles, with too many steps, or beyond a cap."""
    findings: list[Finding] = []
    if not rings.traces:
        return findings
    last = rings.first[1:] - 1
    labels, newest = rings.steps["label"][last].tolist(), rings.steps["end_ms"][last].tolist()
    used = (rings.totals[name].tolist() for name in ("spans", "tokens", "cost_nano"))
    limits: dict[tuple[str, str, int], _Limits] = {}
    for i, (label, at_ms, *totals) in enumerate(zip(labels, newest, *used, strict=True)):
        who = reader.name(label)
        key = (who.env, who.service, known_at(at_ms))
        if key not in limits:
            limits[key] = _Limits(rule.effect, stats, who, at_ms)
        if limits[key].may_be_broken(*totals):
            findings += _judge(rule, rings, i, reader, stats)
    return findings


class _Limits:
    """What a run of a service may use, by the statistics of an instant; inf = no limit."""

    def __init__(
        self, effect: Mapping[str, float], stats: RunStats, who: Names, at_ms: int
    ) -> None:
        self.levels = {q: stats.level(at_ms, who.env, who.service, q) for q in _QUANTITIES}
        self.most = {q: limit(effect, q, level) for q, level in self.levels.items()}
        self.cap: dict[Quantity, float] = {
            "tokens": effect["cap_tokens"] or np.inf,
            "cost": effect["cap_usd"] * _NANO or np.inf,
        }

    def may_be_broken(self, steps: float, tokens: float, cost: float) -> bool:
        """Whether totals could break any of them."""
        return (
            steps > self.most["steps"]
            or tokens > min(self.cap["tokens"], self.most["tokens"])
            or cost > min(self.cap["cost"], self.most["cost"])
        )


def limit(effect: Mapping[str, float], quantity: Quantity, level: Level | None) -> float:
    """What a run may come to; inf for a quantity that is not judged here, or not yet."""
    if quantity == "steps":
        return max(effect["steps"], effect["steps_ratio"] * level.p999 if level else 0.0)
    if quantity not in {"tokens", "cost"} or level is None or not level.p50:
        return math.inf
    return max(effect["ratio"] * level.p50, level.p999)


def _judge(rule: RuleSpec, rings: Rings, i: int, reader: Reader, stats: RunStats) -> list[Finding]:
    steps = rings.of(i)
    names = reader.names(steps)
    findings: list[Finding] = []
    ends = ROOTS[steps["kind"]] & (steps["parent"] == 0)
    # No finding in the very ms of an end: what else ends in it may be sorted before or after.
    at_end = np.isin(steps["end_ms"], steps["end_ms"][ends])
    for check in _checks(rule.effect, rings, i, steps, names[-1], stats):
        where = ~at_end if check.where is None else ~at_end & check.where
        found = breaches(rule, rings.traces[i], steps, names, replace(check, where=where))
        findings += found
        findings += _cleared(found, steps["end_ms"][ends].tolist())
    return findings


def _cleared(breached: Sequence[Finding], ends_ms: Iterable[int]) -> Iterator[Finding]:
    """A clear finding at each end of the run that comes after a breach.

    The trace may go on after an end, with another turn or a step that came late: the run had
    ended by what was known then.

    A step may end before the run does and arrive after it. Whether its tokens and cost are in
    the clear finding then depends on the snapshot; which findings there are, and at what times,
    does not.
    """
    for end_ms in ends_ms:
        before = [finding for finding in breached if finding.at_ms <= end_ms]
        if before:
            # A ms before the end, so that a loop which explains it does not clear first.
            at_ms = max(before[-1].at_ms, end_ms - 1)
            yield replace(
                before[-1], at_ms=at_ms, window=at_ms // 1000, breach=False, clear=True, summary=""
            )


def loop_score(steps: Steps) -> Floats:
    """1 - distinct outcomes among the last SPAN steps / SPAN; 0 while fewer are known."""
    score = np.zeros(len(steps))
    outcomes = steps["rsym"]
    for i in range(SPAN - 1, len(steps)):
        score[i] = 1 - len(np.unique(outcomes[i - SPAN + 1 : i + 1])) / SPAN
    return score


def _checks(
    effect: Mapping[str, float], rings: Rings, i: int, steps: Steps, who: Names, stats: RunStats
) -> Iterator[LimitCheck]:
    limits = at_each(steps["end_ms"], lambda at_ms: _Limits(effect, stats, who, at_ms))
    count, tokens, cost = used_by_step(rings, i, steps)
    check = partial(LimitCheck, tokens=tokens, cost_nano=cost)
    in_circles = loop_score(steps) >= effect["loop_score"]
    spendings: tuple[tuple[Quantity, str, str, str, Ints, float], ...] = (
        ("tokens", "tokens", "{observed} tokens", "{bound} tokens", tokens, 1.0),
        ("cost", "USD", "${observed}", "${bound}", cost, 1.0 / _NANO),
    )
    for quantity, unit, used, bound, spent, scale in spendings:
        most = np.array([known.most[quantity] for known in limits]) * scale
        yield check(
            what=quantity, signal=quantity, unit=unit,
            observed=spent.astype(float) * scale, bound=most, critical=most,
            levels=[known.levels[quantity] for known in limits], scale=scale,
            summary=f"{{agent}} has burnt {used} and goes in circles; the limit is {bound}.",
            where=in_circles,
        )  # fmt: skip
        cap = np.full(len(steps), limits[0].cap[quantity]) * scale
        yield check(
            what=f"cap_{quantity}", signal=quantity, unit=unit,
            observed=spent.astype(float) * scale, bound=cap, critical=cap,
            levels=[None] * len(steps), scale=scale,
            summary=f"{{agent}} has used {used}; its cap is {bound}.",
        )  # fmt: skip
    yield check(
        what="steps", signal="steps", unit="steps", observed=count.astype(float),
        bound=np.array([known.most["steps"] for known in limits]),
        critical=np.full(len(steps), np.inf), levels=[known.levels["steps"] for known in limits],
        summary="{agent} has taken {observed} steps; the limit is {bound}.",
    )  # fmt: skip


DETECTOR = RunDetector(
    name="burn",
    effect={
        "ratio": 10.0,  # times the median tokens or cost of a run, while it goes in circles ...
        "loop_score": 0.5,  # ... which it does from this part of repeated outcomes on
        "steps": 50.0,  # of one run, whether in circles or not ...
        "steps_ratio": 2.0,  # ... or so many times the most of a thousand runs, if that is more
        "cap_tokens": 0.0,  # of one run, whatever is usual; 0 = no cap
        "cap_usd": 0.0,  # of one run, whatever is usual; 0 = no cap
        "idle_s": 900.0,  # seconds without a step after which the alert expires
    },
    judge=judge,
    limit=limit,
)
