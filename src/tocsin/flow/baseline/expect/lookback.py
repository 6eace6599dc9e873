"""Looking back: as far as it takes to see enough, and no further than the baseline lags.

A row looks back over the least of some widths that holds enough observations. Counting is
cheap and done for all rows; sketches are merged for the few rows that are judged in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import LONGEST_S, QUARTER_S, SketchHistory
from tocsin.flow.baseline.stats import sketch

#: 15 minutes to two hours: the baseline begins where the longest look ends.
WIDTHS_S = (900, 1800, 3600, 7200)
DAY_S = 86_400
_AROUND_S = 3600  # yesterday, an hour either way of the same time
_BEFORE_S = 3 * 3600


def least(
    graded: Graded, signal: str, rows: np.ndarray, n: float, widths: Sequence[int] = WIDTHS_S
) -> np.ndarray:
    """Seconds: the least of `widths` (ascending) with `n` observations, else 0."""
    past, here = graded.history.sketches[signal], sketch.counts(graded.sketches[signal], rows)
    width = np.zeros(len(rows), np.int64)
    before = past.recent_counts(rows, [_windows(graded, seconds) for seconds in widths])
    for seconds, count in zip(reversed(widths), reversed(before), strict=True):
        width = np.where(here + count >= n, seconds, width)
    return width


def merged(graded: Graded, signal: str, rows: np.ndarray, width: np.ndarray) -> sketch.Sketches:
    """What each row saw over its own width; nothing where the width is 0."""
    parts = [
        part.only(rows[these])
        for these, given in _by_width(graded, signal, width)
        for part in given
    ]
    return sketch.add(parts)


def above(
    graded: Graded, signal: str, rows: np.ndarray, width: np.ndarray, bucket: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Observations of each row beyond `bucket`, and all of them, over its own width."""
    beyond, n = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for these, given in _by_width(graded, signal, width):
        for part in given:
            more, of = part.above(rows[these], bucket[these])
            beyond[these] += more
            n[these] += of
    return beyond, n


def yesterday(graded: Graded, past: SketchHistory, rows: np.ndarray) -> sketch.Sketches:
    """What each row saw around the same time yesterday, without what was anomalous."""
    since = graded.at - DAY_S - _AROUND_S
    parts = past.quarters(since // QUARTER_S * QUARTER_S, graded.end - DAY_S + _AROUND_S)
    return sketch.add([part.only(rows) for part in parts])


def before(graded: Graded, past: SketchHistory, rows: np.ndarray) -> sketch.Sketches:
    """What each row saw in the last three hours of the baseline."""
    since = graded.at - LONGEST_S - _BEFORE_S
    return sketch.add([part.only(rows) for part in past.quarters(since)])


def _by_width(
    graded: Graded, signal: str, width: np.ndarray
) -> Iterator[tuple[np.ndarray, list[sketch.Stack]]]:
    """Positions that look back equally far, and the windows they then see."""
    past = graded.history.sketches[signal]
    for seconds in sorted(set(width.tolist()) - {0}):
        windows = past.stacks(graded.sketches[signal], graded.at, _windows(graded, seconds))
        yield np.flatnonzero(width == seconds), windows


def _windows(graded: Graded, seconds: int) -> int:
    """Learned windows that a look back over `seconds` takes in beside the current one."""
    return max(seconds // graded.history.window_s - 1, 0)
