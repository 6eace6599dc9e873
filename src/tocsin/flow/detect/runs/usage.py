"""What runs have used: steps, tokens and money, step by step."""

from __future__ import annotations

import numpy as np

from tocsin.flow.detect.runs.step_ring import Rings
from tocsin.types import Ints


def used_by_step(seen: Rings, i: int, steps: np.ndarray) -> tuple[Ints, Ints, Ints]:
    """Steps, tokens and nano-USD of a run up to each step of its ring, the rolled ones too."""
    total = seen.totals[i]
    count = np.arange(1, len(steps) + 1)
    tokens = np.cumsum(steps["tokens"], dtype=np.int64)
    cost = np.cumsum(steps["cost_nano"], dtype=np.int64)
    if seen.rolled[i]:
        count += int(total["spans"]) - int(seen.held[i])
        tokens += int(total["tokens"]) - int(tokens[-1])
        cost += max(0, int(total["cost_nano"]) - int(cost[-1]))
    return count, tokens, cost


def has_called(seen: Rings, run: int, steps: np.ndarray) -> bool:
    """Whether a model was called before the run's ring begins: tokens say so."""
    rolled = bool(seen.rolled[run])
    return rolled and bool(seen.totals["tokens"][run] > steps["tokens"].sum(dtype=np.int64))
