"""Lanes of a run: the sequences of actions in which a repetition is a loop.

An agent's calls are one lane, unless they were made at the same time: three workers of one
name, each under a span of its own, may all begin with the same call, and that is no loop.

Rings hold the ends and parents of spans, and no starts. So a span with model calls under it is
taken for a worker. Calls under a further worker continue a lane whose own worker has ended by
then; if none has, the two work side by side, and the call begins a new lane.

A span that does not end may also be of a kind that no ring holds, and then the calls under it
may have followed one another after all. So all of an agent's calls are one more lane, judged
with higher limits, and without calls that came too soon after one under another span to have
followed it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.flow.detect.runs.names import Names
from tocsin.flow.detect.runs.repetition import Action, LoopLimits
from tocsin.flow.detect.runs.step_ring import ACTS, HANDOFFS, MODEL_CALLS, Steps, comparable
from tocsin.types import STEP_ERROR, STEP_HAS_ARGS, STEP_HAS_RESULT

#: No model answers sooner, ms: calls under two parents that end closer were made side by side.
_TURN_MS: Final = 400


@dataclass(frozen=True, slots=True)
class Run:
    """One run that may loop: its steps in time order, and their names."""

    trace_id: str
    steps: Steps
    names: Sequence[Names]


@dataclass(frozen=True, slots=True)
class Lane:
    """Actions in order of time, and the index of each one's step in the run.

    `shape` are the indices of the steps that name what each action did, where it is not its own
    step.
    """

    actions: Sequence[Action]
    at: Sequence[int]
    shape: Sequence[Sequence[int]] = ()


def may_loop(run: Run, at: Sequence[int], limits: LoopLimits) -> bool:
    """Whether a lane of these steps can hold a loop at all: cheap; True may be in vain."""
    steps = run.steps[list(at)]
    if len(steps) < min(limits.repeat, limits.cycle):
        return False
    lags = np.arange(limits.max_period + 1)[:, None]  # row 0 is for symbols, whatever came of them
    place = np.arange(len(steps))
    earlier = place - np.maximum(lags, 1)
    again = steps["rsym"][earlier.clip(0)] == steps["rsym"]
    again[0] = steps["sym"][earlier[0].clip(0)] == steps["sym"]
    again &= (earlier >= 0) & comparable(steps)
    streak = place - np.maximum.accumulate(np.where(again, -1, place), axis=1)
    least = min(limits.cycle, limits.cycle_blind) - 1
    needed = lags * least
    needed[0], needed[1] = limits.repeat_any - 1, limits.repeat - 1
    return bool((streak >= needed).any())


def lane(run: Run, at: Sequence[int], polls: re.Pattern[str], *, models: bool = False) -> Lane:
    """The actions at these indices; with `models`, only model calls can be alike."""
    indices = list(at)
    steps = run.steps[indices]
    alike = comparable(steps)
    if models:
        alike &= MODEL_CALLS[steps["kind"]]
    flags = steps["flags"]
    error = (flags & STEP_ERROR) != 0
    handoff = HANDOFFS[steps["kind"]]
    evidence = error | handoff | ((flags & STEP_HAS_RESULT) != 0)
    # Where arguments are not known, two calls are the same only if they got the same error.
    args_unknown = ((flags & STEP_HAS_ARGS) == 0) & ~handoff
    sym = np.where(args_unknown, steps["rsym"], steps["sym"])
    columns = (steps["end_ms"], sym, steps["rsym"], alike, evidence, error, handoff)
    poll = [polls.match(run.names[i].act) is not None for i in indices]
    rows = zip(*(column.tolist() for column in columns), poll, strict=True)
    return Lane([Action(*row) for row in rows], indices)


def acts(run: Run) -> list[int]:
    """The indices of the steps in ACTS."""
    return np.flatnonzero(ACTS[run.steps["kind"]]).tolist()


def by_agent(run: Run) -> dict[str, list[int]]:
    """The acts of each agent, the agents in the order in which they first acted."""
    agents: dict[str, list[int]] = {}
    for i in acts(run):
        agents.setdefault(run.names[i].agent, []).append(i)
    return agents


def side_by_side(run: Run, at: Sequence[int]) -> Iterator[list[int]]:
    """One agent's acts, a list for each lane: see the module."""
    parents = run.steps["parent"][list(at)].tolist()
    if len(set(parents)) == 1:
        yield list(at)
        return
    ended = {span: i for i, span in enumerate(run.steps["span"].tolist())}
    # Spans with model calls under them -> the index of the first of those calls.
    asks = np.flatnonzero(MODEL_CALLS[run.steps["kind"]])[::-1]
    works = dict(zip(run.steps["parent"][asks].tolist(), asks.tolist(), strict=True))
    lanes: list[list[int]] = []
    last: list[int] = []  # the parent of each lane's newest act
    of: dict[int, int] = {}
    for i, parent in zip(at, parents, strict=True):
        number = of.get(parent)
        if number is None:
            free = [
                (min(ended.get(p, i), i), n)
                for n, p in enumerate(last)
                if ended.get(p, i) < i or not max(works.get(p, i), works.get(parent, i)) < i
            ]
            number = max(free)[1] if free else len(lanes)
            if number == len(lanes):
                lanes.append([])
                last.append(parent)
        of[parent], last[number] = number, parent
        lanes[number].append(i)
    yield from lanes


def apart(run: Run, at: Sequence[int]) -> list[int]:
    """One agent's acts that may have followed one another, whatever spans they were under."""
    ends, parents = run.steps["end_ms"].tolist(), run.steps["parent"].tolist()
    kept = list(at[:1])
    for i in at[1:]:
        if parents[i] == parents[kept[-1]] or ends[i] - ends[kept[-1]] >= _TURN_MS:
            kept.append(i)
    return kept
