"""Burn: a run that costs far more than its kind and gets nowhere, or breaks a hard cap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.run_stats import Level, Quantity, RunStats, known_at
from tocsin.flow.detect.detector import RunDetector
from tocsin.flow.detect.runs.names import Names, Reader
from tocsin.flow.detect.runs.run_findings import Broken, at_each, tell
from tocsin.flow.detect.runs.step_ring import ROOTS, Rings
from tocsin.flow.detect.runs.usage import used_by_step
from tocsin.flow.rules.spec import RuleSpec
from tocsin.types import Finding

#: The loop score looks at this many steps.
SPAN: Final = 16
_NANO: Final = 1_000_000_000
_QUANTITIES: Final[tuple[Quantity, ...]] = ("tokens", "cost", "steps")


def judge(rule: RuleSpec, seen: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """Runs that burn tokens or money in a circle, and runs beyond a cap. See `effect`."""
    findings: list[Finding] = []
    if not seen.traces:
        return findings
    last = seen.first[1:] - 1
    labels, newest = seen.steps["label"][last].tolist(), seen.steps["end_ms"][last].tolist()
    used = (seen.totals[name].tolist() for name in ("spans", "tokens", "cost_nano"))
    limits: dict[tuple[str, str, int], _Limits] = {}
    for i, (label, at_ms, *totals) in enumerate(zip(labels, newest, *used, strict=True)):
        who = reader.name(label)
        key = (who.env, who.service, known_at(at_ms))
        if key not in limits:
            limits[key] = _Limits(rule.effect, stats, who, at_ms)
        if limits[key].far(*totals):
            findings += _judge(rule, seen, i, reader, stats)
    return findings


class _Limits:
    """What a run of a service may use, by what was known at an instant; inf = no limit."""

    def __init__(
        self, effect: Mapping[str, float], stats: RunStats, who: Names, at_ms: int
    ) -> None:
        self.levels = {q: stats.level(at_ms, who.env, who.service, q) for q in _QUANTITIES}
        self.most = {q: limit(effect, q, level) for q, level in self.levels.items()}
        self.cap: dict[Quantity, float] = {
            "tokens": effect["cap_tokens"] or np.inf,
            "cost": effect["cap_usd"] * _NANO or np.inf,
        }

    def far(self, steps: float, tokens: float, cost: float) -> bool:
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


def _judge(rule: RuleSpec, seen: Rings, i: int, reader: Reader, stats: RunStats) -> list[Finding]:
    steps = seen.of(i)
    names = reader.names(steps)
    findings: list[Finding] = []
    ends = ROOTS[steps["kind"]] & (steps["parent"] == 0)
    # Nor is anything told of the ms of an end: what else ends in it may come before or after.
    at_end = np.isin(steps["end_ms"], steps["end_ms"][ends])
    for broken in _broken(rule.effect, seen, i, steps, names[-1], stats):
        where = ~at_end if broken.where is None else ~at_end & broken.where
        told = tell(rule, seen.traces[i], steps, names, replace(broken, where=where))
        findings += told
        findings += _cleared(told, steps["end_ms"][ends].tolist())
    return findings


def _cleared(told: Sequence[Finding], ends_ms: Iterable[int]) -> Iterator[Finding]:
    """Nothing burns at the end of a run. What has been told is over at each end, though the
    trace may go on, with another turn or a straggler: the end was seen before that came.

    What was burnt by then counts the steps that a look brings with the end or before it: of one
    that ended before the end and came after it, tokens and cost are in this event or are not.
    Which events there are, and when, does not depend on it.
    """
    for end_ms in ends_ms:
        before = [finding for finding in told if finding.at_ms <= end_ms]
        if before:
            # Just before: a loop that explains it must not be told as over first.
            at_ms = max(before[-1].at_ms, end_ms - 1)
            yield replace(
                before[-1], at_ms=at_ms, window=at_ms // 1000, breach=False, clear=True, summary=""
            )


def loop_score(steps: np.ndarray) -> np.ndarray:
    """1 - distinct outcomes among the last SPAN steps / SPAN; 0 while fewer are known."""
    score = np.zeros(len(steps))
    outcomes = steps["rsym"]
    for i in range(SPAN - 1, len(steps)):
        score[i] = 1 - len(np.unique(outcomes[i - SPAN + 1 : i + 1])) / SPAN
    return score


def _broken(
    effect: Mapping[str, float], seen: Rings, i: int, steps: np.ndarray, who: Names, stats: RunStats
) -> Iterator[Broken]:
    limits = at_each(steps["end_ms"], lambda at_ms: _Limits(effect, stats, who, at_ms))
    count, tokens, cost = used_by_step(seen, i, steps)
    flat = np.ones(len(steps))
    absolute: list[Level | None] = [None] * len(steps)
    circles = loop_score(steps) >= effect["loop_score"]
    rows: tuple[tuple[Quantity, str, str, str, np.ndarray, float], ...] = (
        ("tokens", "tokens", "{observed} tokens", "{bound} tokens", tokens, 1.0),
        ("cost", "USD", "${observed}", "${bound}", cost, 1.0 / _NANO),
    )
    for quantity, unit, used, limit, spent, scale in rows:
        levels = [known.levels[quantity] for known in limits]
        burn = np.array([known.most[quantity] for known in limits])
        yield Broken(
            quantity, quantity, unit, spent * scale, burn * scale, burn * scale,
            f"{{agent}} has burnt {used} and goes in circles; the limit is {limit}.",
            levels, scale, circles, tokens, cost,
        )  # fmt: skip
        cap = flat * limits[0].cap[quantity]
        yield Broken(
            f"cap_{quantity}", quantity, unit, spent * scale, cap * scale, cap * scale,
            f"{{agent}} has used {used}; its cap is {limit}.",
            absolute, scale, None, tokens, cost,
        )  # fmt: skip
    yield Broken(
        "steps", "steps", "steps", count.astype(float), np.array([k.most["steps"] for k in limits]),
        flat * np.inf, "{agent} has taken {observed} steps; the limit is {bound}.",
        [known.levels["steps"] for known in limits], 1.0, None, tokens, cost,
    )  # fmt: skip


DETECTOR = RunDetector(
    name="burn",
    effect={
        "ratio": 10.0,  # medians of tokens and cost, in circles
        "loop_score": 0.5,
        "steps": 50.0,
        "steps_ratio": 2.0,
        "cap_tokens": 0.0,  # hard caps; 0 = none
        "cap_usd": 0.0,
        "idle_s": 900.0,
    },
    judge=judge,
    limit=limit,
)
