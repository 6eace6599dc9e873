"""The Numenta Anomaly Benchmark's score, computed without its harness.

The definitions are those of numenta/NAB (labeler, sweeper, scorer, runner; MIT since 2024-12):

- The first min(0.15 n, 750) rows of a file are probation: ignored.
- Inside a window only the best alerted row counts, and the earlier the better.
- Every alerted row outside of a window costs; little right after a window, all of it later.
- One threshold for the whole corpus, the best of all (the sweep is in-sample by definition).
- 0 is a detector that says nothing, 100 one that alerts the first row of each window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Profile:
    """What a hit earns, a missed window costs, and a false row costs."""

    hit: float = 1.0
    miss: float = 1.0
    false: float = 0.11


STANDARD = Profile()
LOW_FP = Profile(false=0.22)
LOW_FN = Profile(miss=2.0)
PROFILES = {"standard": STANDARD, "low_fp": LOW_FP, "low_fn": LOW_FN}


@dataclass(frozen=True, slots=True)
class Labelled:
    """One file: scores [n] in 0..1, and its windows as inclusive (first, last) rows, in order."""

    scores: np.ndarray
    windows: tuple[tuple[int, int], ...]
    days: float = 0.0  # how long the file is, for false rows a series-day


@dataclass(frozen=True, slots=True)
class NabScore:
    """The normalised score at a threshold, and what it is made of."""

    score: float
    threshold: float
    hits: int
    windows: int
    false_rows: int
    false_per_day: float


def probation(rows: int) -> int:
    """How many rows at the head of a file are not scored."""
    return min(int(0.15 * rows), 750)


def sigmoid(y: np.ndarray) -> np.ndarray:
    """Worth of a row at relative position y: near +1 at -1, 0 at 0, and -1 beyond 3."""
    return np.where(y > 3, -1.0, 2 / (1 + np.exp(5 * np.minimum(y, 3))) - 1)


def positions(windows: tuple[tuple[int, int], ...], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each row: its window (-1 = outside of all) and its worth before weights, both [rows]."""
    owner = np.full(rows, -1)
    worth = np.full(rows, -1.0)
    for k, (first, last) in enumerate(windows):
        width = last - first + 1
        inside = np.arange(first, last + 1)
        owner[inside] = k
        worth[inside] = sigmoid(-(last - inside + 1) / width) / sigmoid(np.array(-1.0))
        end = windows[k + 1][0] if k + 1 < len(windows) else rows
        after = np.arange(last + 1, end)
        worth[after] = sigmoid((after - last) / max(width - 1, 1))
    return owner, worth


def _steps(file: Labelled, profile: Profile) -> np.ndarray:
    """[m, 4]: score, change of the raw score when the threshold sinks to it, hits, false rows."""
    n = len(file.scores)
    owner, worth = positions(file.windows, n)
    live = np.arange(n) >= probation(n)
    steps = []
    outside = live & (owner < 0)
    cost = np.column_stack(
        (
            file.scores[outside],
            profile.false * worth[outside],
            np.zeros(outside.sum()),
            np.ones(outside.sum()),
        )
    )
    steps.append(cost)
    for k in range(len(file.windows)):
        rows = np.flatnonzero(live & (owner == k))
        rows = rows[np.argsort(-file.scores[rows], kind="stable")]
        best = np.maximum.accumulate(profile.hit * worth[rows])
        gain = np.diff(best, prepend=-profile.miss)
        first = (np.arange(len(rows)) == 0).astype(float)
        steps.append(np.column_stack((file.scores[rows], gain, first, np.zeros(len(rows)))))
    return np.concatenate(steps)


def evaluate(
    files: Iterable[Labelled], profile: Profile = STANDARD, threshold: float | None = None
) -> NabScore:
    """The corpus' score at `threshold`, or at the best one where it is None."""
    files = list(files)
    steps = np.concatenate([_steps(file, profile) for file in files])
    windows = sum(len(f.windows) for f in files)
    days = sum(f.days for f in files) or float("nan")
    steps = steps[np.argsort(-steps[:, 0], kind="stable")]
    null = -profile.miss * windows
    raw = null + np.cumsum(steps[:, 1])
    # A threshold takes all rows of the same score: only the last of equals is a choice.
    choice = np.flatnonzero(np.append(steps[1:, 0] != steps[:-1, 0], True))
    if threshold is None:
        at = int(choice[np.argmax(raw[choice])])
        if raw[at] < null:
            at = -1
        threshold = float(steps[at, 0]) if at >= 0 else float("inf")
    else:
        at = int(np.searchsorted(-steps[:, 0], -threshold, side="right")) - 1
    total = raw[at] if at >= 0 else null
    false = int(steps[: at + 1, 3].sum())
    return NabScore(
        score=float(100 * (total - null) / (profile.hit * windows - null)),
        threshold=threshold,
        hits=int(steps[: at + 1, 2].sum()),
        windows=windows,
        false_rows=false,
        false_per_day=false / days,
    )
