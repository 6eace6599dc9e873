"""Near-loops: turns that use the same tools and grow the context by the same amount.

Where neither arguments nor results are known, two calls cannot be compared. But a model that
does the same thing over and over adds the same amount to its context each time: the tokens of
its calls grow by a constant step. A turn is a model call and what its agent did since the model
call before it. Turns of which arguments or results are known are alike only if those are the
same, so that work which makes progress is no near-loop.
"""

from itertools import pairwise
from typing import Final

import numpy as np

from tocsin.flow.detect.runs.lanes import Lane, Run
from tocsin.flow.detect.runs.repetition import Action, Loop, LoopLimits, Mark
from tocsin.flow.detect.runs.step_ring import ACTS, MODEL_CALLS
from tocsin.types import STEP_ERROR, STEP_HAS_ARGS, STEP_HAS_RESULT

#: Two steps of growth count as equal within so many tokens, or this part of the earlier one.
_TOKENS: Final = 4
_PART: Final = 0.02
_MAX_PERIOD: Final = 4
_KNOWN: Final = STEP_HAS_ARGS | STEP_HAS_RESULT | STEP_ERROR


def turns(run: Run, agent: str) -> tuple[Lane, list[int]]:
    """One agent's turns as a lane, and by how many tokens the context grew in each.

    The `sym` and `rsym` of an action are a hash of all that was done in the turn.
    """
    steps = run.steps
    known = (steps["flags"] & _KNOWN) != 0
    signs = np.where(known, steps["rsym"], steps["label"]).tolist()
    models, does = MODEL_CALLS[steps["kind"]].tolist(), ACTS[steps["kind"]].tolist()
    mine = [i for i, name in enumerate(run.names) if name.agent == agent and (models[i] or does[i])]
    calls = [k for k, i in enumerate(mine) if models[i]]
    tokens, ends = steps["tokens"].tolist(), steps["end_ms"].tolist()
    actions, at, shape, growth = [], [], [], []
    for before, k in pairwise(calls):
        done = mine[before + 1 : k]
        sign = hash(tuple(signs[i] for i in done))
        actions.append(Action(ends[mine[k]], sign, sign, bool(done), evidence=False))
        at.append(mine[k])
        shape.append(done or [mine[k]])
        growth.append(tokens[mine[k]] - tokens[mine[before]])
    return Lane(actions, at, shape), growth


def find_near(lane: Lane, growth: list[int], limits: LoopLimits) -> list[Loop]:
    """Every stretch of `limits.near` turns or more that grow alike; the shortest period counts."""
    loops: list[Loop] = []
    current: Loop | None = None
    runs = [0] * (_MAX_PERIOD + 1)
    for k, action in enumerate(lane.actions):
        for lag in range(1, len(runs)):
            alike = k >= lag and action.comparable and lane.actions[k - lag].sym == action.sym
            alike = alike and _same(growth[k], growth[k - lag])
            runs[lag] = runs[lag] + 1 if alike else 0
        if current is not None and not runs[current.period]:
            current = None
        if current is None:
            current = _starts(k, runs, limits)
            if current is not None:
                loops.append(current)
        else:
            current.stop = k + 1
            count = runs[current.period] // current.period + 1
            if count >= 2 * current.marks[-1].count:
                current.marks.append(Mark(k, count, critical=False))
    return loops


def _same(now: int, before: int) -> bool:
    return now > 0 and abs(now - before) <= max(_TOKENS, _PART * before)


def _starts(k: int, runs: list[int], limits: LoopLimits) -> Loop | None:
    for period in range(1, len(runs)):
        same = runs[period] + period
        count = same // period
        if runs[period] and same >= limits.near and count >= limits.cycle_blind:
            mark = Mark(k, count, critical=False)
            return Loop("near", period, count, k - count * period + 1, k + 1, [mark])
    return None
