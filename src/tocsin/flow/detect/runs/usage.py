"""What a run has used up to each of its steps: steps, tokens and money."""

from __future__ import annotations

import numpy as np

from tocsin.flow.detect.runs.step_ring import Rings, Steps
from tocsin.types import Ints


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
