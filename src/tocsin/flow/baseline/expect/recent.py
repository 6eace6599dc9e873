"""What series did of late, the window under judgement included: raw counts, nothing left out."""

from __future__ import annotations

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.history.history import MINUTES_S
from tocsin.flow.baseline.history.sketch_history import QUARTER_S

_DAY_QUARTERS = 96


def windows_of(graded: Graded, seconds: float) -> int:
    """How many windows make up `seconds`, at least one."""
    return max(1, int(seconds) // graded.history.window_s)


def recent(graded: Graded, signal: str, rows: np.ndarray, seconds: float) -> np.ndarray:
    """float64 [len(rows), windows]: the windows of the last `seconds`, the newest last.

    0 where nothing is known. `seconds` reach back three hours at most.
    """
    past = windows_of(graded, seconds) - 1
    now: np.ndarray = graded.current[signal][rows][:, None]
    if not past:
        return now
    before = graded.history.counts.trailing(signal, rows, past)
    return np.concatenate([or_zero(before), now], axis=1)


def total(graded: Graded, signal: str, rows: np.ndarray, seconds: float) -> np.ndarray:
    """Sum over the last `seconds`, at most three hours."""
    summed: np.ndarray = recent(graded, signal, rows, seconds).sum(axis=1)
    return summed


def last_calls(
    graded: Graded, signal: str, rows: np.ndarray, calls: float
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of `signal` and of events over the newest windows that hold `calls` events.

    Single windows of the last three hours, before them quarter-hours, a day at most. Where
    the day holds fewer events, the whole day.
    """
    history = graded.history
    since = -(-(graded.end - MINUTES_S) // QUARTER_S) * QUARTER_S
    parts = []
    for name in (signal, "n"):
        old = history.counts.quarters(name, rows, since, raw=True)[:, -_DAY_QUARTERS:]
        new = recent(graded, name, rows, graded.end - since)
        parts.append(np.concatenate([or_zero(old), new], axis=1)[:, ::-1])
    k, n = (np.cumsum(part, axis=1) for part in parts)
    line = np.arange(len(rows))
    enough = n >= calls
    at = np.where(enough.any(axis=1), np.argmax(enough, axis=1), n.shape[1] - 1)
    return k[line, at], n[line, at]
