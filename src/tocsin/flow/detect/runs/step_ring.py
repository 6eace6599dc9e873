"""Runs as the store keeps them, unpacked to columns; and which of them could loop at all.

Thousands of healthy runs move every second. One sort over all their symbols shows which runs
hold some symbol three times; only those are examined one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tocsin.types import (
    RUN_HEADER,
    RUN_VERSION,
    STEP,
    STEP_ERROR,
    STEP_HAS_ARGS,
    Bools,
    ChangedRun,
    Ints,
    Kind,
)

#: Records of type STEP.
Steps = NDArray[np.void]
#: Records of type RUN_HEADER.
Headers = NDArray[np.void]
#: 64-bit hashes: of spans, symbols, outcomes and labels.
Hashes = NDArray[np.uint64]

_KINDS = tuple(Kind)


def kinds(*wanted: Kind) -> Bools:
    """[256]: whether a STEP.kind is one of these."""
    table = np.zeros(256, bool)
    table[[_KINDS.index(kind) for kind in wanted]] = True
    return table


#: What an agent does beside asking models. Repetitions are searched in these alone: model calls
#: and other steps between two of them do not interrupt one, as every turn of a loop has its own.
ACTS = kinds(Kind.TOOL, Kind.HANDOFF, Kind.RETRIEVAL, Kind.MEMORY)
MODEL_CALLS = kinds(Kind.LLM, Kind.EMBEDDING, Kind.RERANK)
HANDOFFS = kinds(Kind.HANDOFF)
ROOTS = kinds(Kind.AGENT, Kind.WORKFLOW)
#: What a model may ask for, several at a time.
CALLED = kinds(Kind.TOOL, Kind.RETRIEVAL)
_STEPS = kinds(Kind.STEP)


def comparable(steps: Steps) -> Bools:
    """Which steps can be called identical to another: as `steps`.

    A call whose arguments are unknown is like no other, unless it failed.
    """
    known = (steps["flags"] & (STEP_HAS_ARGS | STEP_ERROR)) != 0
    failed = (steps["flags"] & STEP_ERROR) != 0
    acts = ACTS[steps["kind"]] & (known | HANDOFFS[steps["kind"]])
    alike: Bools = acts | (MODEL_CALLS[steps["kind"]] & failed)
    return alike


def closing(steps: Steps) -> Bools:
    """Which steps may be the last of a run: as `steps`.

    An agent or a workflow that ended; or any step without a parent. The root itself may be a
    span of another kind, an HTTP request for example, which no ring holds.
    """
    last: Bools = ROOTS[steps["kind"]] | (_STEPS[steps["kind"]] & (steps["parent"] == 0))
    return last


@dataclass(frozen=True, slots=True)
class Rings:
    """The runs of one snapshot in columns, without empty ones and those of another version."""

    traces: Sequence[str]
    totals: Headers  # [runs]
    steps: Steps  # [all steps], run after run, each in order of arrival
    first: Ints  # [runs + 1]: where each run's steps begin
    held: Ints  # [runs]: how many steps each ring holds; a span sent twice counts twice
    owner: Ints  # [all steps]: the run of each step

    def of(self, run: int) -> Steps:
        """The steps of one run by end, then arrival, each span once (its first end counts)."""
        steps = self.steps[self.first[run] : self.first[run + 1]]
        steps = steps[np.argsort(steps["end_ms"], kind="stable")]
        _, first = np.unique(steps["span"], return_index=True)
        return steps if len(first) == len(steps) else steps[np.sort(first)]

    def tidy(self, runs: Ints) -> Rings:
        """These runs alone (ascending), the steps of each as `of` gives them."""
        sizes = np.diff(self.first)[runs]
        owner = np.repeat(np.arange(len(runs)), sizes)
        before = np.cumsum(sizes) - sizes
        steps = self.steps[np.arange(len(owner)) + (self.first[runs] - before)[owner]]
        if ((np.diff(steps["end_ms"]) < 0) & (owner[1:] == owner[:-1])).any():
            steps = steps[np.lexsort((steps["end_ms"], owner))]
        again = _repeated(steps["span"], owner)
        if again.any():
            steps, owner = steps[~again], owner[~again]
        first = np.searchsorted(owner, np.arange(len(runs) + 1))
        traces = [self.traces[i] for i in runs.tolist()]
        return Rings(traces, self.totals[runs], steps, first, self.held[runs], owner)

    def count(self, chosen: Bools) -> Ints:
        """[runs]: how many of the chosen steps (of all steps) each run has."""
        before = np.concatenate(([0], np.cumsum(chosen)))
        return before[self.first[1:]] - before[self.first[:-1]]

    def sums(self, column: str) -> Ints:
        """[runs]: the sum of an integer column over the steps in each ring."""
        before = np.concatenate(([0], np.cumsum(self.steps[column], dtype=np.int64)))
        return before[self.first[1:]] - before[self.first[:-1]]

    @property
    def rolled(self) -> Bools:
        """[runs]: whether older steps of each run have left its ring."""
        return self.totals["spans"] > self.held


def read_rings(runs: Sequence[ChangedRun]) -> Rings:
    """Unpack the runs of a snapshot.

    Raises:
        ValueError: a run's state is not a RUN_HEADER and whole STEPs.
    """
    size = RUN_HEADER.itemsize
    heads = np.frombuffer(b"".join([run.state[:size] for run in runs]), RUN_HEADER)
    counts = np.array([len(run.state) - size for run in runs], np.int64)
    if (counts % STEP.itemsize).any() or len(heads) != len(runs):
        raise ValueError("a run's state is not whole steps: cannot be read")
    good = np.flatnonzero((heads["version"] == RUN_VERSION) & (counts > 0))
    kept = [runs[i] for i in good.tolist()]
    steps = np.frombuffer(b"".join([run.state[size:] for run in kept]), STEP)
    held = counts[good] // STEP.itemsize
    first = np.concatenate(([0], np.cumsum(held)))
    owner = np.repeat(np.arange(len(kept)), held)
    return Rings([run.trace_id for run in kept], heads[good], steps, first, held, owner)


def suspects(rings: Rings, same: int, alike: int) -> set[int]:
    """The runs that may hold a repetition.

    In them some outcome (`rsym`) occurs `same` times, or some comparable call `alike` times.
    """
    chosen = comparable(rings.steps)
    return runs_repeating(rings, chosen, "rsym", same) | runs_repeating(rings, chosen, "sym", alike)


def repeating_by_name(rings: Rings, near: int) -> set[int]:
    """The runs in which a call of which only the name is known occurs `near` times."""
    unknown = (rings.steps["flags"] & (STEP_HAS_ARGS | STEP_ERROR)) == 0
    return runs_repeating(rings, ACTS[rings.steps["kind"]] & unknown, "label", near)


def runs_repeating(rings: Rings, chosen: Bools, symbol: str, times: int) -> set[int]:
    """The runs in which some value of the column `symbol` occurs `times` times in chosen steps."""
    owner = rings.owner[chosen].astype(np.uint64)
    # 24 bits of run, 40 of symbol: symbols of one run may collide, and the run is examined in vain.
    keys = np.sort((owner << np.uint64(40)) | (rings.steps[symbol][chosen] >> np.uint64(24)))
    gap = times - 1
    hits = np.unique(keys[gap:][keys[gap:] == keys[: -gap or None]] >> np.uint64(40))
    return set(hits.tolist())


def _repeated(spans: Hashes, owner: Ints) -> Bools:
    """Which spans their run has had before: as `spans`; `owner` ascends."""
    # Nearly always there are none, which a sort of one number shows. Two spans of a run may
    # collide in it: the other sort then decides.
    keys = np.sort((owner.astype(np.uint64) << np.uint64(40)) | (spans >> np.uint64(24)))
    again = np.zeros(len(spans), bool)
    if (keys[1:] == keys[:-1]).any():
        order = np.lexsort((spans, owner))
        same = (spans[order][1:] == spans[order][:-1]) & (owner[order][1:] == owner[order][:-1])
        again[order[1:][same]] = True
    return again


def used_by_step(rings: Rings, i: int, steps: Steps) -> tuple[Ints, Ints, Ints]:
    """Steps, tokens and nano-USD of run `i` up to each step of its ring.

    Steps that have left the ring are counted, by the totals of the run.
    """
    total = rings.totals[i]
    count = np.arange(1, len(steps) + 1)
    tokens = np.cumsum(steps["tokens"], dtype=np.int64)
    cost = np.cumsum(steps["cost_nano"], dtype=np.int64)
    if rings.rolled[i]:
        count += int(total["spans"]) - int(rings.held[i])
        tokens += int(total["tokens"]) - int(tokens[-1])
        cost += max(0, int(total["cost_nano"]) - int(cost[-1]))
    return count, tokens, cost


def has_called(rings: Rings, run: int, steps: Steps) -> bool:
    """Whether a model was called before the run's ring begins: its tokens exceed the ring's."""
    rolled = bool(rings.rolled[run])
    return rolled and bool(rings.totals["tokens"][run] > steps["tokens"].sum(dtype=np.int64))
