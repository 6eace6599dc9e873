"""Quality of alerts on labelled per-minute series: recall at a budget, delay, delay-F1.

An event is a run of labelled rows. An alert is a row whose score reaches the threshold.

- An event is caught when an alert lies in it; its delay is counted from its first row.
- A false alert lies in no event, nor in the `grace` rows after one (it is still the same
  trouble then). False alerts less than `merge` rows apart are one false episode.
- delay-F1 is the AIOPS challenge's: an event found within its first k rows (0..k) counts as
  found in all of its rows, else in none; F1 over rows, all series together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Series:
    """Scores [n] and labels [n] (bool) of one series, one row a minute."""

    scores: np.ndarray
    labels: np.ndarray
    rows_a_day: int = 1440


@dataclass(frozen=True, slots=True)
class Quality:
    """What a threshold gives over all series."""

    threshold: float
    recall: float
    false_per_day: float
    precision: float  # caught events against caught events and false episodes
    median_delay: float
    p90_delay: float
    delay_f1: float


def events(labels: np.ndarray) -> np.ndarray:
    """[m, 2] first row and end (exclusive) of each run of true labels."""
    edges = np.diff(np.concatenate(([0], labels.astype(np.int8), [0])))
    return np.column_stack((np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)))


def quality(
    fleet: Sequence[Series], threshold: float, *, k: int = 7, merge: int = 30, grace: int = 10
) -> Quality:
    """What alerts at `threshold` are worth over the whole fleet."""
    caught = total = false = 0
    days = 0.0
    delays: list[np.ndarray] = []
    cells = np.zeros(3)  # true positives, false positives, false negatives in rows
    for series in fleet:
        runs = events(series.labels)
        alerts = np.flatnonzero(series.scores >= threshold)
        delay = first_alert(runs, alerts)
        hit = delay >= 0
        caught, total = caught + int(hit.sum()), total + len(runs)
        delays.append(delay[hit])
        wrong = alerts[~series.labels[alerts]]
        false += _episodes(wrong, runs, merge, grace)
        days += len(series.scores) / series.rows_a_day
        found = hit & (delay <= k)
        lengths = runs[:, 1] - runs[:, 0]
        cells += (lengths[found].sum(), len(wrong), lengths[~found].sum())
    waits = np.concatenate(delays) if caught else np.array([np.nan])
    return Quality(
        threshold=threshold,
        recall=caught / max(total, 1),
        false_per_day=false / days,
        precision=caught / max(caught + false, 1),
        median_delay=float(np.median(waits)),
        p90_delay=float(np.quantile(waits, 0.9)),
        delay_f1=float(2 * cells[0] / max(2 * cells[0] + cells[1] + cells[2], 1)),
    )


def first_alert(runs: np.ndarray, alerts: np.ndarray) -> np.ndarray:
    """Rows from the start of each run to the first alert in it; -1 where there is none."""
    if not len(alerts) or not len(runs):
        return np.full(len(runs), -1)
    at = np.searchsorted(alerts, runs[:, 0])
    row = alerts[np.minimum(at, len(alerts) - 1)]
    inside = (at < len(alerts)) & (row < runs[:, 1])
    return np.where(inside, row - runs[:, 0], -1)


def _episodes(wrong: np.ndarray, runs: np.ndarray, merge: int, grace: int) -> int:
    if not len(wrong):
        return 0
    before = np.searchsorted(runs[:, 1], wrong, side="right") - 1
    if len(runs):
        ended = np.where(before >= 0, runs[np.maximum(before, 0), 1], -(10**9))
        wrong = wrong[wrong - ended >= grace]
    return int((np.diff(wrong) >= merge).sum()) + 1 if len(wrong) else 0


def at_budget(fleet: Sequence[Series], false_per_day: float = 0.05, **how: int) -> Quality:
    """The quality at the lowest threshold that keeps to the budget of false episodes a day."""
    scores = np.unique(np.concatenate([s.scores[s.scores > 0] for s in fleet] or [np.zeros(0)]))
    low, high = 0, len(scores)
    while low < high:  # false episodes fall with the threshold, but for merging: near enough
        mid = (low + high) // 2
        if quality(fleet, float(scores[mid]), **how).false_per_day <= false_per_day:
            high = mid
        else:
            low = mid + 1
    return quality(fleet, float(scores[low]) if low < len(scores) else 2.0, **how)


def best_delay_f1(fleet: Sequence[Series], tries: int = 60) -> Quality:
    """The quality at the threshold with the best delay-F1: a ceiling, not a promise."""
    top = np.concatenate([s.scores[s.scores > 0] for s in fleet])
    top = np.unique(np.sort(top)[-20_000:])
    grid = top[np.linspace(0, len(top) - 1, min(tries, len(top))).astype(int)]
    return max((quality(fleet, float(t)) for t in grid), key=lambda q: q.delay_f1)
