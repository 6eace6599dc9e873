"""Counts of the last hours, the window that is judged included.

They are counts as they came: what the baseline may not learn from is not left out.
"""

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.columns import or_zero
from tocsin.flow.baseline.history.history import MINUTES_S
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.types import Floats, Ints

_DAY_QUARTERS = 96


def windows_of(graded: Graded, seconds: float) -> int:
    """How many windows make up `seconds`, at least one."""
    return max(1, int(seconds) // graded.history.window_s)


def recent(graded: Graded, signal: str, rows: Ints, seconds: float) -> Floats:
    """float64 [len(rows), windows]: the windows of the last `seconds`, the newest last.

    0 where nothing is known. `seconds` reach back three hours at most.
    """
    past = windows_of(graded, seconds) - 1
    now: Floats = graded.current[signal][rows][:, None]
    if not past:
        return now
    before = graded.history.counts.trailing(signal, rows, past)
    return np.concatenate([or_zero(before), now], axis=1)


def last_calls(graded: Graded, signal: str, rows: Ints, calls: float) -> tuple[Floats, Floats]:
    """Totals of `signal` and of events over the newest windows that hold `calls` events.

    It is counted back window by window for three hours, and by quarter-hours before them. Where
    the last day holds fewer events, the totals are those of the day.
    """
    history = graded.history
    since = -(-(graded.end - MINUTES_S) // QUARTER_S) * QUARTER_S
    parts = []
    for name in (signal, "n"):
        old = history.counts.quarters(name, rows, since, raw=True)[:, -_DAY_QUARTERS:]
        new = recent(graded, name, rows, graded.end - since)
        parts.append(np.concatenate([or_zero(old), new], axis=1)[:, ::-1])
    k, n = (np.cumsum(part, axis=1) for part in parts)
    each = np.arange(len(rows))
    enough = n >= calls
    at = np.where(enough.any(axis=1), np.argmax(enough, axis=1), n.shape[1] - 1)
    return k[each, at], n[each, at]
