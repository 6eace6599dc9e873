"""Distributions of the last hours: a look-back for each row, and the hours it is compared with.

A row's look-back is the least of some widths that holds enough observations; none reaches
further back than the two hours by which the baseline lags. Counting is cheap and done for all
rows; sketches are merged for the few rows that are judged in full.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from tocsin.flow.baseline.graded import Graded
from tocsin.flow.baseline.history.sketch_history import LONGEST_S, QUARTER_S
from tocsin.flow.baseline.stats import sketch
from tocsin.types import Ints

#: Look-backs, s. The baseline ends where the longest begins.
WIDTHS_S = (900, 1800, 3600, 7200)
DAY_S = 86_400
_AROUND_S = 3600  # yesterday, an hour either way of the same time
_BEFORE_S = 3 * 3600


def least(
    graded: Graded, signal: str, rows: Ints, n: float, widths: Sequence[int] = WIDTHS_S
) -> Ints:
    """The least of `widths` (s, ascending) in which each row has `n` observations, else 0."""
    past, here = graded.history.sketches[signal], sketch.counts(graded.sketches[signal], rows)
    width = np.zeros(len(rows), np.int64)
    before = past.recent_counts(rows, [_windows(graded, seconds) for seconds in widths])
    for seconds, count in zip(reversed(widths), reversed(before), strict=True):
        width = np.where(here + count >= n, seconds, width)
    return width


def merged(graded: Graded, signal: str, rows: Ints, width: Ints) -> sketch.Sketches:
    """What was observed of each row (each once) over its own width; nothing where that is 0."""
    parts = [
        part.only(rows[these])
        for these, given in _by_width(graded, signal, width)
        for part in given
    ]
    return sketch.add(parts)


def above(graded: Graded, signal: str, rows: Ints, width: Ints, bucket: Ints) -> tuple[Ints, Ints]:
    """Observations of each row beyond `bucket`, and all of them, over its own width."""
    beyond, n = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    for these, given in _by_width(graded, signal, width):
        for part in given:
            more, of = part.above(rows[these], bucket[these])
            beyond[these] += more
            n[these] += of
    return beyond, n


def yesterday(graded: Graded, signal: str, rows: Ints) -> sketch.Sketches:
    """What was observed of each row from an hour before this time yesterday to an hour after.

    Without what was not to be learned from.
    """
    since = graded.at - DAY_S - _AROUND_S
    parts = graded.history.sketches[signal].quarters(
        since // QUARTER_S * QUARTER_S, graded.end - DAY_S + _AROUND_S
    )
    return sketch.add([part.only(rows) for part in parts])


def hours_before(graded: Graded, signal: str, rows: Ints) -> sketch.Sketches:
    """What was observed of each row in the last three hours of the baseline."""
    since = graded.at - LONGEST_S - _BEFORE_S
    parts = graded.history.sketches[signal].quarters(since)
    return sketch.add([part.only(rows) for part in parts])


def _by_width(
    graded: Graded, signal: str, width: Ints
) -> Iterator[tuple[Ints, list[sketch.Stack]]]:
    """Positions with the same width, and the windows within it."""
    past = graded.history.sketches[signal]
    for seconds in sorted(set(width.tolist()) - {0}):
        windows = past.stacks(graded.sketches[signal], graded.at, _windows(graded, seconds))
        yield np.flatnonzero(width == seconds), windows


def _windows(graded: Graded, seconds: int) -> int:
    """How many windows before the current one a look-back of `seconds` takes in."""
    return max(seconds // graded.history.window_s - 1, 0)
