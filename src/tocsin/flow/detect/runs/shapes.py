"""The shapes of many runs at once: how deep and wide each became, and how many agents it had.

`tree.py` gives these values for every step of one run; this gives them for the last step of each
of many runs, in columns: thousands of runs end every second, nearly all of them healthy.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from tocsin.flow.detect.runs.names import Reader
from tocsin.flow.detect.runs.step_ring import (
    CALLED,
    HANDOFFS,
    MODEL_CALLS,
    ROOTS,
    Hashes,
    Rings,
    Steps,
)
from tocsin.flow.detect.runs.tree import chain_length, depths
from tocsin.types import RING, STEP_HAS_ARGS, Bools, Ints

_NOWHERE: Final = -1
#: 2**64 over the golden ratio, odd. Multiples of it, mixed into the spans of each run, keep spans
#: of different runs apart: they collide as rarely as 64-bit hashes do.
_APART: Final = np.uint64(0x9E37_79B9_7F4A_7C15)


@dataclass(frozen=True, slots=True)
class Shapes:
    """[runs]: for each run the last value of `depths`, `fan_outs` and `agents` of `tree.py`."""

    depth: Ints
    fan_out: Ints
    agents: Ints


def shapes(runs: Rings, reader: Reader) -> Shapes:
    """The shapes of runs whose steps are in order, each span once (`Rings.tidy`)."""
    agents = runs.count(ROOTS[runs.steps["kind"]])
    depth = np.maximum(_nested(runs, agents, reader), _chained(runs, reader))
    fan_out = np.maximum(_agents_at_once(runs), _calls_at_once(runs, reader))
    return Shapes(depth, fan_out, agents)


def called_before(runs: Rings) -> Bools:
    """[runs]: whether a model was called before each ring begins, as `usage.has_called`."""
    return runs.rolled & (runs.totals["tokens"] > runs.sums("tokens"))


def _nested(runs: Rings, agents: Ints, reader: Reader) -> Ints:
    """The most agents and workflows inside one another, whatever lies between them."""
    deepest: Ints = np.minimum(agents, 1)
    owner = runs.owner
    part = np.flatnonzero(agents[owner] > 1)
    steps, owner = runs.steps[part], owner[part]
    nests = ROOTS[steps["kind"]]
    above = _parents(steps, owner)
    start = np.flatnonzero(nests)
    level, at = np.ones(len(start), np.int64), above[start]
    for _ in range(RING):
        inside = np.flatnonzero(at != _NOWHERE)
        if not len(inside):
            break
        level[inside] += nests[at[inside]]
        at[inside] = above[at[inside]]
    np.maximum.at(deepest, owner[start], level)
    for run in np.unique(owner[start[at != _NOWHERE]]).tolist():  # ids that go in a circle
        mine = runs.steps[runs.first[run] : runs.first[run + 1]]
        deepest[run] = depths(mine, reader.names(mine))[-1]
    return deepest


def _parents(steps: Steps, owner: Ints) -> Ints:
    """The index of each step's parent among the steps of its run, or _NOWHERE."""
    apart = owner.astype(np.uint64) * _APART
    spans, parents = steps["span"] ^ apart, steps["parent"] ^ apart
    order = np.argsort(spans)
    ranked = spans[order]
    found = np.searchsorted(ranked, parents).clip(max=len(ranked) - 1)
    known = (ranked[found] == parents) & (steps["parent"] != 0)
    return np.where(known, order[found], _NOWHERE)


def _chained(runs: Rings, reader: Reader) -> Ints:
    """How many agents the longest chain of hand-offs of each run had, as `chain_length`."""
    longest = np.zeros(len(runs.traces), np.int64)
    hands = np.flatnonzero(HANDOFFS[runs.steps["kind"]])
    owner, labels = runs.owner[hands], runs.steps["label"][hands]
    first = _changes(owner)
    ends = first + np.diff(first, append=len(hands))
    known: dict[bytes, int] = {}  # runs of one agent mostly have the same hand-offs
    for run, begin, end in zip(owner[first], first, ends, strict=True):
        chain = labels[begin:end]
        key = chain.tobytes()
        if key not in known:
            names = [reader.name(label) for label in chain.tolist()]
            known[key] = chain_length((name.agent, name.act) for name in names)
        longest[run] = known[key]
    return longest


def _agents_at_once(runs: Rings) -> Ints:
    """The most agents under one span."""
    rows = np.flatnonzero(ROOTS[runs.steps["kind"]] & (runs.steps["parent"] != 0))
    owner, parent = runs.owner[rows], runs.steps["parent"][rows]
    order = np.lexsort((parent, owner))
    starts = _changes(owner[order], parent[order])
    return _most(len(runs.traces), owner[order][starts], np.diff(starts, append=len(order)))


def _calls_at_once(runs: Rings, reader: Reader) -> Ints:
    """The most different calls under one span without a model call of their agent between."""
    steps, owner = runs.steps, runs.owner
    asks = MODEL_CALLS[steps["kind"]]
    asked = np.cumsum(asks)
    before = asked - asks  # model calls up to each step, less those of runs before its own
    begun = (before - before[runs.first[:-1]][owner]) > 0
    begun |= called_before(runs)[owner]
    is_call = CALLED[steps["kind"]] & (steps["parent"] != 0) & begun
    rows = np.flatnonzero(asks | is_call)
    turn = np.zeros(len(steps), np.int64)
    turn[rows] = _turns(owner[rows], _agents(steps["label"][rows], reader), asks[rows])
    rows = np.flatnonzero(is_call)
    rows = rows[np.lexsort((rows, steps["parent"][rows], owner[rows]))]
    batch = _changes(owner[rows], steps["parent"][rows], turn[rows])
    number = np.repeat(np.arange(len(batch)), np.diff(batch, append=len(rows)))
    return _most(
        len(runs.traces),
        owner[rows[batch]],
        _distinct(number, steps["sym"][rows], (steps["flags"][rows] & STEP_HAS_ARGS) != 0),
    )


def _agents(labels: Hashes, reader: Reader) -> Ints:
    """A number for the agent of each label: as `labels`."""
    known, place = np.unique(labels, return_inverse=True)
    numbers: dict[str, int] = {}
    of = [numbers.setdefault(reader.name(label).agent, len(numbers)) for label in known.tolist()]
    return np.array(of, np.int64)[place]


def _turns(owner: Ints, agent: Ints, asks: Bools) -> Ints:
    """How many model calls its agent had made in its run up to each step."""
    order = np.lexsort((agent, owner))  # stable: within an agent the steps stay in order
    starts = _changes(owner[order], agent[order])
    asked: Ints = np.cumsum(asks[order])
    before: Ints = np.repeat((asked - asks[order])[starts], np.diff(starts, append=len(order)))
    turns = np.empty(len(owner), np.int64)
    turns[order] = asked - before
    return turns


def _distinct(batch: Ints, symbols: Hashes, known: Bools) -> Ints:
    """How many different calls each batch has; one with unknown arguments is like no other."""
    order = np.lexsort((symbols, batch))
    batch, symbols, known = batch[order], symbols[order], known[order]
    again = np.zeros(len(batch), bool)
    again[1:] = (batch[1:] == batch[:-1]) & (symbols[1:] == symbols[:-1]) & known[1:]
    return np.bincount(batch[~again])


def _changes(*columns: Ints | Hashes) -> Ints:
    """Where a stretch of rows begins that are equal in all columns."""
    if not len(columns[0]):
        return np.zeros(0, np.int64)
    new = np.ones(len(columns[0]), bool)
    new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in columns])
    return np.flatnonzero(new)


def _most(runs: int, owner: Ints, counts: Ints) -> Ints:
    """The largest count of each run; 0 for one that has none."""
    most = np.zeros(runs, np.int64)
    np.maximum.at(most, owner, counts)
    return most
