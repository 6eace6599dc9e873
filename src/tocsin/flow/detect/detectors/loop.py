"""Loops: runs that repeat themselves to no effect, since when, and what it has cost so far.

The alert's group is the rule's `group_by` (env, service, agent, tool by default), so a hundred
runs that loop the same way are one alert. Each run is a series of it, named by its trace: it is
the same series when the start of its loop has left the ring. Each snapshot of a run gives the
findings of all thresholds in its ring, at the event times at which they first held. So findings
depend on the steps only, not on how many arrived at once; `flow/alerts` ignores those it has had.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from fnmatch import translate
from functools import lru_cache
from typing import Final

import numpy as np

from tocsin.flow.baseline.history.run_stats import RunStats
from tocsin.flow.detect.detector import RunDetector
from tocsin.flow.detect.runs.lanes import (
    Lane,
    Run,
    acts,
    apart,
    by_agent,
    lane,
    may_loop,
    side_by_side,
)
from tocsin.flow.detect.runs.names import Reader, joined
from tocsin.flow.detect.runs.near_loops import find_near, turns
from tocsin.flow.detect.runs.repetition import (
    Family,
    Loop,
    LoopLimits,
    Mark,
    cautious,
    find_loops,
    progress_after,
)
from tocsin.flow.detect.runs.run_findings import RECENT, RENEW_MS
from tocsin.flow.detect.runs.step_ring import (
    ACTS,
    MODEL_CALLS,
    ROOTS,
    Rings,
    repeating_by_name,
    suspects,
)
from tocsin.flow.rules.spec import RuleError, RuleSpec
from tocsin.types import NONE, STEP_COST_UNKNOWN, STEP_ERROR, Finding, Unit, join_series

_UNITS: Final[Mapping[Family, Unit]] = {
    "cycle": Unit.CYCLES,
    "ping_pong": Unit.CYCLES,
    "near": Unit.TURNS,
}
#: Seconds without a step after which a loop's alert expires; read by `flow/policies.py`.
IDLE: Final = "idle_s"
_LIMITS: Final = tuple(field.name for field in fields(LoopLimits))


def judge(rule: RuleSpec, rings: Rings, reader: Reader, stats: RunStats) -> list[Finding]:
    """Findings of the runs that moved, those of a loop in order of event time."""
    del stats  # whether a run loops does not depend on other runs
    limits = loop_limits(rule)
    polls = _matcher(tuple(rule.options.get("poll_tools", ())))
    findings: list[Finding] = []
    repeating = suspects(rings, min(limits.repeat, limits.cycle), limits.repeat_any)
    by_name = repeating_by_name(rings, limits.near)
    for i in sorted(repeating | by_name):
        steps = rings.of(i)
        run = Run(rings.traces[i], steps, reader.names(steps))
        loops = [*(_loops(run, polls, limits) if i in repeating else ())]
        loops += _near(run, limits) if i in by_name else ()
        for where, loop in loops:
            findings += [_of_rule(rule, found) for found in _findings(run, where, loop, limits)]
    return findings


def loop_limits(rule: RuleSpec) -> LoopLimits:
    """The thresholds under `effect`.

    Raises:
        RuleError: a count so low that every call would be a loop.
    """
    limits = LoopLimits(**{key: int(rule.effect[key]) for key in _LIMITS if key in rule.effect})
    low = min(limits.repeat, limits.repeat_any, limits.cycle, limits.cycle_blind)
    if low < 2 or limits.max_period < 1 or limits.progress < 1:
        raise RuleError("effect: counts of a loop start at 2, progress and max_period at 1")
    return limits


def _loops(run: Run, polls: re.Pattern[str], limits: LoopLimits) -> Iterator[tuple[Lane, Loop]]:
    """Loops of each agent on its own, of agents among each other, and of failing models."""

    def found(at: Sequence[int], limits: LoopLimits) -> Iterator[tuple[Lane, Loop]]:
        if may_loop(run, at, limits):
            one = lane(run, at, polls)
            yield from ((one, loop) for loop in find_loops(one.actions, limits))

    agents = by_agent(run)
    for at in agents.values():
        parts = [*side_by_side(run, at)]
        for part in parts:
            yield from found(part, limits)
        if len(parts) > 1:
            yield from found(apart(run, at), cautious(limits))
    if len(agents) > 1:
        for whole, loop in found(acts(run), limits):
            if len({run.names[i].agent for i in whole.at[loop.start : loop.stop]}) > 1:
                yield whole, loop
    failed = MODEL_CALLS[run.steps["kind"]] & ((run.steps["flags"] & STEP_ERROR) > 0)
    if failed.sum() >= limits.repeat:
        work = ACTS[run.steps["kind"]] | MODEL_CALLS[run.steps["kind"]]
        one = lane(run, np.flatnonzero(work).tolist(), polls, models=True)
        for loop in find_loops(one.actions, limits, max_period=1):
            loop.family = "model_errors"
            yield one, loop


def _near(run: Run, limits: LoopLimits) -> Iterator[tuple[Lane, Loop]]:
    """Near-loops of each agent: see `near_loops.py`."""
    for agent in by_agent(run):
        grown, growth = turns(run, agent)
        yield from ((grown, loop) for loop in find_near(grown, growth, limits))


def _findings(run: Run, lane: Lane, loop: Loop, limits: LoopLimits) -> list[Finding]:
    """Of the loop's thresholds, of steps between them while it goes on, and of its end."""
    findings = [_breach(run, lane, loop, mark.index, mark) for mark in loop.marks]
    findings.extend(_renewals(run, lane, loop))
    end = _end(run, lane, loop, limits)
    if end is not None:
        findings.append(_finding(run, lane, loop, end, breach=False))
    return sorted(findings, key=lambda finding: finding.at_ms)


def _renewals(run: Run, lane: Lane, loop: Loop) -> Iterator[Finding]:
    """Findings that show that the loop goes on: one a minute, and one at each newest step.

    And one before every pause, so that an alert expires at the right time after the last step.
    """
    mark = loop.marks[0]
    last = lane.actions[mark.index].at_ms
    marks = {m.index: m for m in loop.marks}
    for i in range(mark.index + 1, loop.stop):
        mark = marks.get(i, mark)
        at_ms = lane.actions[i].at_ms
        recent = loop.stop - i <= RECENT
        pause = recent or lane.actions[i + 1].at_ms - at_ms >= RENEW_MS
        if i not in marks and (pause or at_ms - last >= RENEW_MS):
            yield _breach(run, lane, loop, i, mark)
            last = at_ms


def _end(run: Run, lane: Lane, loop: Loop, limits: LoopLimits) -> int | None:
    """Index of the step that ended the loop: progress, or the end of the whole run."""
    ends = []
    progress = progress_after(lane.actions, loop, limits.progress)
    if progress is not None:
        ends.append(lane.at[progress])
    root = ROOTS[run.steps["kind"]] & (run.steps["parent"] == 0)
    root[: lane.at[loop.stop - 1]] = False
    ends.extend(np.flatnonzero(root)[:1].tolist())
    return min(ends, default=None)


def _breach(run: Run, lane: Lane, loop: Loop, i: int, mark: Mark) -> Finding:
    count, critical = mark.count, mark.critical
    return _finding(run, lane, loop, lane.at[i], breach=True, count=count, critical=critical)


def _finding(
    run: Run, lane: Lane, loop: Loop, upto: int, *, breach: bool, count: int = 0,
    critical: bool = False,
) -> Finding:  # fmt: skip
    """What is known of the loop at step `upto` of the run; `rule` is filled in later."""
    first = lane.at[loop.start]
    burnt = run.steps[first : upto + 1]
    tokens = int(burnt["tokens"].sum(dtype=np.int64))
    priced = not (burnt["flags"] & STEP_COST_UNKNOWN).any()
    cost = int(burnt["cost_nano"].sum(dtype=np.int64)) if priced else None
    cycle = range(loop.start, loop.start + loop.period)
    names = [
        run.names[i] for k in cycle for i in (lane.shape[k] if lane.shape else lane.at[k : k + 1])
    ]
    agent, tool = joined(n.agent for n in names), joined(n.act for n in names)
    at_ms, onset_ms = int(run.steps["end_ms"][upto]), int(run.steps["end_ms"][first])
    group = {"env": names[0].env, "service": names[0].service, "agent": agent, "tool": tool,
             "trace_id": run.trace_id, "family": loop.family}  # fmt: skip
    return Finding(
        rule="",
        series=join_series("run", names[0].env, names[0].service, run.trace_id),
        group=tuple(group.items()),
        window=onset_ms // 1_000,  # a run has no windows: the second it began to loop
        at_ms=at_ms,
        breach=breach,
        clear=not breach,
        severity="critical" if critical else "warning",
        signal="repeats",
        unit=_UNITS.get(loop.family, Unit.CALLS),
        observed=float(count),
        expected=None,
        bound=float(loop.bound),
        n=count,
        score=count / loop.bound,
        at_least=breach,
        confidence="high",
        summary=_summary(loop, count, agent, tool, tokens, cost) if breach else "",
        tokens_burnt=tokens,
        cost_burnt_nano=cost,
        traces=(run.trace_id,),
    )


def _of_rule(rule: RuleSpec, finding: Finding) -> Finding:
    """The finding as this rule's, grouped by its dimensions."""
    values = dict(finding.group)
    group = tuple((name, values.get(name, NONE)) for name in rule.group_by)
    return replace(finding, rule=rule.id, group=group)


def _summary(loop: Loop, count: int, agent: str, tool: str, tokens: int, cost: int | None) -> str:
    who = "An agent" if agent == NONE else f"Agent {agent}"
    what = {
        "repeat": f"called {tool} {count} times in a row with the same arguments",
        "retry_storm": f"called {tool} {count} times in a row and got the same error",
        "model_errors": f"called model {tool} {count} times in a row and got the same error",
        "cycle": f"went {count} times through the same {loop.period} steps ({tool})",
        "ping_pong": f"handed the run back and forth {count} times ({tool})",
        "poll": f"polled {tool} {count} times without a change",
        "near": f"called {tool} {count} times in a row, each time for as many tokens more",
    }[loop.family]
    if loop.family in {"repeat", "cycle"} and loop.bound == 3:
        what += " and the same result"
    burnt = f"; {tokens:,} tokens" if tokens else ""
    burnt += f", ${cost / 1e9:,.4f}" if cost else ""
    return f"{who} {what}{burnt}{' burnt so far' if burnt else ''}."


@lru_cache(maxsize=32)
def _matcher(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """One expression for all the patterns; it matches nothing if there are none."""
    return re.compile("|".join(map(translate, patterns)) or r"(?!)", re.IGNORECASE)


DETECTOR = RunDetector(
    name="loop",
    # The thresholds of LoopLimits: counts of calls or cycles, but poll_s in seconds; and the
    # seconds without a step after which the alert expires.
    effect={**{name: float(value) for name, value in asdict(LoopLimits()).items()}, IDLE: 900.0},
    options={"poll_tools": []},  # shell patterns of tools that are meant to be polled
    judge=judge,
    finds_loops=True,
    check=loop_limits,
    configured=lambda settings: {"poll_tools": settings.poll_tools},
)
