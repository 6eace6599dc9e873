"""Runs as the store keeps them, to steps in time order; and which of them could loop at all.

Thousands of healthy runs move every second. One sort over all their symbols shows which
runs hold some symbol three times; only those are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

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


def comparable(steps: np.ndarray) -> np.ndarray:
    """Which steps can be called identical to another: bool, as `steps` (STEP).

    A call whose arguments are unknown is like no other, unless it failed.
    """
    known = (steps["flags"] & (STEP_HAS_ARGS | STEP_ERROR)) != 0
    failed = (steps["flags"] & STEP_ERROR) != 0
    acts = ACTS[steps["kind"]] & (known | HANDOFFS[steps["kind"]])
    alike: np.ndarray = acts | (MODEL_CALLS[steps["kind"]] & failed)
    return alike


def suspects(runs: Sequence[ChangedRun], at_least: int) -> Iterator[tuple[ChangedRun, np.ndarray]]:
    """The runs in which some comparable symbol occurs `at_least` times, with their steps.

    Steps (STEP) come sorted by end, then arrival; a step delivered twice is there once.
    A run that another version wrote is left out: it is gone within the hour.

    Raises:
        ValueError: a run's state is not a RUN_HEADER and whole STEPs.
    """
    header = RUN_HEADER.itemsize
    bodies = [run.state[header:] for run in runs]
    steps = np.frombuffer(b"".join(bodies), STEP)
    counts = np.array([len(body) for body in bodies], np.int64) // STEP.itemsize
    ends = np.concatenate(([0], np.cumsum(counts)))
    if ends[-1] != len(steps):
        raise ValueError("a run's state is not whole steps: cannot be read")
    chosen = comparable(steps)
    owner = np.repeat(np.arange(len(runs), dtype=np.uint64), counts)[chosen]
    # 24 bits of run, 40 of symbol: two symbols of one run that collide only cost a look.
    keys = np.sort((owner << np.uint64(40)) | (steps["sym"][chosen] >> np.uint64(24)))
    gap = at_least - 1
    hits = np.unique(keys[gap:][keys[gap:] == keys[: -gap or None]] >> np.uint64(40))
    bounds = list(pairwise(ends.tolist()))
    for index in hits.tolist():
        run = runs[index]
        if np.frombuffer(run.state, RUN_HEADER, 1)["version"][0] == RUN_VERSION:
            first, end = bounds[index]
            yield run, in_order(steps[first:end])


def in_order(steps: np.ndarray) -> np.ndarray:
    """Steps by end, then arrival, each span once (its first end counts)."""
    steps = steps[np.argsort(steps["end_ms"], kind="stable")]
    _, first = np.unique(steps["span"], return_index=True)
    return steps if len(first) == len(steps) else steps[np.sort(first)]
