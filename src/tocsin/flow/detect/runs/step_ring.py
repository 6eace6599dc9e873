"""Runs as the store keeps them, to steps in time order; and which of them could loop at all.

Thousands of healthy runs move every second. One sort over all their symbols shows which
runs hold some symbol three times; only those are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tocsin.types import (
    RUN_HEADER,
    RUN_VERSION,
    STEP,
    STEP_ERROR,
    STEP_HAS_ARGS,
    ChangedRun,
    Kind,
)

_KINDS = tuple(Kind)


def kinds(*wanted: Kind) -> np.ndarray:
    """A table: is STEP.kind one of these? bool [256]."""
    table = np.zeros(256, bool)
    table[[_KINDS.index(kind) for kind in wanted]] = True
    return table


#: What an agent does to the world. Model calls and plumbing between two of them do not
#: break a repetition, as every turn of a loop has its own.
ACTS = kinds(Kind.TOOL, Kind.HANDOFF, Kind.RETRIEVAL, Kind.MEMORY)
MODEL_CALLS = kinds(Kind.LLM, Kind.EMBEDDING, Kind.RERANK)
HANDOFFS = kinds(Kind.HANDOFF)
ROOTS = kinds(Kind.AGENT, Kind.WORKFLOW)
#: What a model asks for, several at a time.
CALLED = kinds(Kind.TOOL, Kind.RETRIEVAL)
_STEPS = kinds(Kind.STEP)


def comparable(steps: np.ndarray) -> np.ndarray:
    """Which steps can be called identical to another: bool, as `steps` (STEP).

    A call whose arguments are unknown is like no other, unless it failed.
    """
    known = (steps["flags"] & (STEP_HAS_ARGS | STEP_ERROR)) != 0
    failed = (steps["flags"] & STEP_ERROR) != 0
    acts = ACTS[steps["kind"]] & (known | HANDOFFS[steps["kind"]])
    alike: np.ndarray = acts | (MODEL_CALLS[steps["kind"]] & failed)
    return alike


def closing(steps: np.ndarray) -> np.ndarray:
    """Which steps may be the last of a run: bool, as `steps` (STEP).

    An agent or a workflow that ended; or any step around all others. The root itself may be
    a span of another kind, an HTTP request say, which no ring holds.
    """
    last: np.ndarray = ROOTS[steps["kind"]] | (_STEPS[steps["kind"]] & (steps["parent"] == 0))
    return last


@dataclass(frozen=True, slots=True)
class Rings:
    """The runs of one look in columns. Runs of another version and empty ones are left out."""

    traces: Sequence[str]
    totals: np.ndarray  # RUN_HEADER [runs]
    steps: np.ndarray  # STEP [all steps], run after run, each in order of arrival
    first: np.ndarray  # int64 [runs + 1]: where each run's steps begin
    held: np.ndarray  # int64 [runs]: how many steps each ring holds, a span sent twice as two
    owner: np.ndarray  # int64 [all steps]: the run of each step

    def of(self, run: int) -> np.ndarray:
        """The steps of one run by end, then arrival, each span once (its first end counts)."""
        return in_order(self.steps[self.first[run] : self.first[run + 1]])

    def tidy(self, runs: np.ndarray) -> Rings:
        """These runs alone (int64, ascending), the steps of each as `of` gives them."""
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
        kept = runs.tolist()
        return Rings(
            [self.traces[i] for i in kept],
            self.totals[runs],
            steps,
            first,
            self.held[runs],
            owner,
        )

    def count(self, chosen: np.ndarray) -> np.ndarray:
        """How many of the chosen steps (bool [all steps]) each run has: int64 [runs]."""
        before = np.concatenate(([0], np.cumsum(chosen)))
        counts: np.ndarray = before[self.first[1:]] - before[self.first[:-1]]
        return counts

    def sums(self, column: str) -> np.ndarray:
        """What the shown steps of each run have of a whole number: int64 [runs]."""
        before = np.concatenate(([0], np.cumsum(self.steps[column], dtype=np.int64)))
        sums: np.ndarray = before[self.first[1:]] - before[self.first[:-1]]
        return sums

    @property
    def rolled(self) -> np.ndarray:
        """Whether older steps of each run have left its ring: bool [runs]."""
        rolled: np.ndarray = self.totals["spans"] > self.held
        return rolled


def rings(runs: Sequence[ChangedRun]) -> Rings:
    """Unpack what a look brought.

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


def suspects(seen: Rings, same: int, alike: int) -> set[int]:
    """The runs that may repeat themselves.

    In them some outcome occurs `same` times, or some comparable symbol `alike` times.
    """
    chosen = comparable(seen.steps)
    return often(seen, chosen, "rsym", same) | often(seen, chosen, "sym", alike)


def blind(seen: Rings, near: int) -> set[int]:
    """The runs in which some act of which only the name is known occurs `near` times."""
    unknown = (seen.steps["flags"] & (STEP_HAS_ARGS | STEP_ERROR)) == 0
    return often(seen, ACTS[seen.steps["kind"]] & unknown, "label", near)


def often(seen: Rings, chosen: np.ndarray, symbol: str, times: int) -> set[int]:
    """The runs in which some symbol of the chosen steps occurs so many times."""
    owner = seen.owner[chosen].astype(np.uint64)
    # 24 bits of run, 40 of symbol: two symbols of one run that collide only cost a look.
    keys = np.sort((owner << np.uint64(40)) | (seen.steps[symbol][chosen] >> np.uint64(24)))
    gap = times - 1
    hits = np.unique(keys[gap:][keys[gap:] == keys[: -gap or None]] >> np.uint64(40))
    return set(hits.tolist())


def in_order(steps: np.ndarray) -> np.ndarray:
    """Steps by end, then arrival, each span once (its first end counts)."""
    steps = steps[np.argsort(steps["end_ms"], kind="stable")]
    _, first = np.unique(steps["span"], return_index=True)
    return steps if len(first) == len(steps) else steps[np.sort(first)]


def _repeated(spans: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Which spans their run has had before: bool, as `spans`; `owner` ascends."""
    # A sort of one number finds that there are none, as nearly always; two spans of a run that
    # collide in it only cost the other sort.
    keys = np.sort((owner.astype(np.uint64) << np.uint64(40)) | (spans >> np.uint64(24)))
    again = np.zeros(len(spans), bool)
    if (keys[1:] == keys[:-1]).any():
        order = np.lexsort((spans, owner))
        same = (spans[order][1:] == spans[order][:-1]) & (owner[order][1:] == owner[order][:-1])
        again[order[1:][same]] = True
    return again
