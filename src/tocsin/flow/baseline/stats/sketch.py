"""Log-bucket sketches of many series at once: sorted (row, bucket) keys and their counts.

Sketches add by adding counts, so minutes merge to any window and a baseline is kept by
adding the quarter-hour that enters and subtracting the one that leaves.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tocsin.flow.baseline.frames import sum_by_key
from tocsin.flow.windows.fold import SKETCH_GAMMA, bucket_value
from tocsin.types import Floats, Ints, WindowFrame

#: Buckets a row may have; 4096 buckets of 1 % reach e^81, past any duration or count.
WIDTH = 4096
LOG_GAMMA = math.log(SKETCH_GAMMA)
#: Single observations are cut here in sums, which then stay integers: 2^42 us are 50 days.
_LARGEST = 2.0**42


@dataclass(frozen=True)
class Sketches:
    """`count[i]` observations of row `key[i] // WIDTH` fell in bucket `key[i] % WIDTH`."""

    key: Ints  # int64, strictly ascending
    count: Ints  # int64, never 0

    def rows(self, rows: Ints) -> tuple[np.ndarray, np.ndarray]:
        """First and last + 1 position of each row's buckets in `key`."""
        beyond = len(self.starts) - 1
        return self.starts[np.minimum(rows, beyond)], self.starts[np.minimum(rows + 1, beyond)]

    def only(self, rows: Ints) -> Sketches:
        """The part that belongs to `rows` (any order, each once)."""
        first, last = self.rows(np.sort(rows))
        at = np.repeat(first - np.cumsum(np.append(0, last - first))[:-1], last - first)
        at += np.arange(len(at))
        return Sketches(self.key[at], self.count[at])

    def without(self, rows: Ints) -> Sketches:
        """All but the part that belongs to `rows`."""
        kept = ~np.isin(self.key // WIDTH, rows)
        return Sketches(self.key[kept], self.count[kept])

    @cached_property
    def starts(self) -> Ints:
        """Position in `key` at which each row begins; its last entry is the length of `key`."""
        return _cumulative(np.bincount(self.key // WIDTH))

    @cached_property
    def before(self) -> Ints:
        """Observations before each position of `key`; one longer than it."""
        return _cumulative(self.count)


EMPTY = Sketches(np.empty(0, np.int64), np.empty(0, np.int64))


#: Bits of a count beside its key in one integer: sorting integers is far cheaper than sorting
#: indices of them. Keys then reach 2^38, 67 million rows; larger counts take the slow way.
_COUNT_BITS = 24


def add(parts: Iterable[Sketches]) -> Sketches:
    """The sum of sketches."""
    given = [part for part in parts if len(part.key)]
    if len(given) < 2:
        return given[0] if given else EMPTY
    keys = np.concatenate([part.key for part in given])
    return from_cells(keys, np.concatenate([part.count for part in given]))


def from_cells(keys: Ints, counts: Ints) -> Sketches:
    """Sketches from keys in any order, with repeats; counts are not negative."""
    if not len(keys):
        return EMPTY
    if counts.max() >> _COUNT_BITS:
        return Sketches(*sum_by_key(keys, counts))
    # A stable sort is a merge sort: fast on the few sorted runs that come here.
    packed = np.sort(keys << _COUNT_BITS | counts, kind="stable")
    keys, counts = packed >> _COUNT_BITS, packed & ((1 << _COUNT_BITS) - 1)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    sums = np.add.reduceat(counts, first)
    kept = sums > 0
    return Sketches(keys[first][kept], sums[kept])


#: Up to so many cells are stacked; beyond that a call for each window costs no more.
_STACKED = 1 << 16


@dataclass(frozen=True)
class Stack:
    """Sketches of several windows side by side, as one: row `r` of window `i` is `i * rows + r`.

    One call then reads many small sketches, without summing them.
    """

    sketches: Sketches
    windows: tuple[int, ...]  # their starts, ascending
    rows: int  # of one window
    first: int = 0  # windows left out at the start

    def since(self, start: int) -> Stack:
        """The same without the windows before `start`."""
        return replace(self, first=bisect_left(self.windows, start))

    def of(self, rows: Ints) -> np.ndarray:
        """The rows of the stack that belong to `rows`, [windows, len(rows)]."""
        windows = np.arange(self.first, len(self.windows))
        found: np.ndarray = windows[:, None] * self.rows + rows
        return found

    def above(self, rows: Ints, bucket: Ints) -> tuple[np.ndarray, np.ndarray]:
        """How many observations of each row in all windows lie beyond `bucket[row]`; and all."""
        beyond, n = _above(self.sketches, self.of(rows), bucket)
        return beyond.sum(axis=0), n.sum(axis=0)

    def only(self, rows: Ints) -> Sketches:
        """The sum over the windows of the part that belongs to `rows`."""
        found = self.sketches.only(self.of(np.sort(rows)).ravel())
        if len(self.windows) == 1:
            return found
        return from_cells(found.key % (self.rows * WIDTH), found.count)


def stacked(parts: Mapping[int, Sketches], rows: int) -> list[Stack]:
    """Stacks of consecutive windows (start -> sketches of some `rows`), in order.

    A large one stands alone, as it is; one without a cell is left out.
    """
    groups: list[dict[int, Sketches]] = []
    cells = _STACKED
    for start, part in parts.items():
        if not len(part.key):
            continue
        cells += len(part.key)
        if cells > _STACKED:
            groups.append({})
            cells = len(part.key)
        groups[-1][start] = part
    return [_stack(group, rows) for group in groups]


def _stack(windows: Mapping[int, Sketches], rows: int) -> Stack:
    starts, parts = tuple(windows), list(windows.values())
    if len(parts) == 1:
        return Stack(parts[0], starts, rows)
    number = np.repeat(np.arange(len(parts)), [len(part.key) for part in parts])
    keys = np.concatenate([part.key for part in parts]) + number * (rows * WIDTH)
    return Stack(Sketches(keys, np.concatenate([part.count for part in parts])), starts, rows)


def subtract(whole: Sketches, part: Sketches) -> Sketches:
    """`whole` without a part that was once added to it."""
    if not len(part.key):
        return whole
    left = whole.count.copy()
    left[np.searchsorted(whole.key, part.key)] -= part.count
    kept = left > 0
    return Sketches(whole.key[kept], left[kept])


def of_frame(frame: WindowFrame, rows: Ints, prefix: str = "d:") -> Sketches:
    """The sketches of a frame. `rows[i]` is the row of its i-th series, -1 = leave out."""
    if not len(frame.value):
        return EMPTY
    begin = len(prefix)
    bucket = np.array(
        [min(int(f[begin:]), WIDTH - 1) if f.startswith(prefix) else -1 for f in frame.fields]
    )
    mine = np.flatnonzero((bucket >= 0)[frame.field])
    row = rows[frame.owner[mine]]
    if len(rows) and rows.min() < 0:
        kept = np.flatnonzero(row >= 0)
        mine, row = mine[kept], row[kept]
    keys = row * WIDTH + bucket[frame.field[mine]]
    return from_cells(keys, frame.value[mine].astype(np.int64))


@dataclass(frozen=True, slots=True)
class Moments:
    """Per row: observations, and mean and variance of the natural log of the value."""

    n: Ints
    mean: Floats
    var: Floats


def _cumulative(values: Ints) -> Ints:
    """Exclusive prefix sums, one longer than `values`; exact, since all is integer."""
    return np.concatenate([[0], np.cumsum(values)]).astype(np.int64)


def counts(sketches: Sketches, rows: Ints) -> Ints:
    """Observations of each row."""
    first, last = sketches.rows(rows)
    total = sketches.before
    n: Ints = total[last] - total[first]
    return n


def quantile(
    sketches: Sketches, rows: Ints, q: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Value and bucket of the q-quantile of each row: the ceil(q n)-th smallest, within 1 %.

    NaN and -1 where a row has no observation.
    """
    first, last = sketches.rows(rows)
    total = sketches.before
    n = total[last] - total[first]
    rank = np.maximum(np.ceil(q * n - 1e-9), 1).astype(np.int64)
    at = np.searchsorted(total, total[first] + rank, side="left") - 1
    at = np.minimum(np.maximum(at, 0), max(len(sketches.key) - 1, 0))
    if not len(sketches.key):
        return np.full(len(rows), np.nan), np.full(len(rows), -1)
    bucket = np.where(n > 0, sketches.key[at] % WIDTH, -1)
    value = np.where(n > 0, 2 * SKETCH_GAMMA ** bucket.astype(float) / (SKETCH_GAMMA + 1), np.nan)
    return value, bucket


def total(sketches: Sketches, rows: Ints) -> Ints:
    """int64: sum of the observations of each row, within 1 %; exact integers in any order."""
    first, last = sketches.rows(rows)
    value = np.rint(2 * SKETCH_GAMMA ** (sketches.key % WIDTH) / (SKETCH_GAMMA + 1))
    sums = _cumulative(sketches.count * np.minimum(value, _LARGEST).astype(np.int64))
    found: Ints = sums[last] - sums[first]
    return found


def above(sketches: Sketches, rows: Ints, bucket: Ints) -> np.ndarray:
    """How many observations of each row lie in a bucket beyond `bucket[row]`."""
    return _above(sketches, rows, bucket)[0]


def _above(sketches: Sketches, rows: Ints, bucket: Ints) -> tuple[np.ndarray, np.ndarray]:
    first, last = sketches.rows(rows)
    cut = np.searchsorted(sketches.key, rows.astype(np.int64) * WIDTH + bucket, side="right")
    total = sketches.before
    until = total[last]
    return until - total[np.minimum(cut, last)], until - total[first]


def moments(sketches: Sketches, rows: Ints) -> Moments:
    """Mean and variance of the log; NaN where a row has no observation."""
    first, last = sketches.rows(rows)
    bucket = sketches.key % WIDTH
    n, sum_1, sum_2 = (
        (total := _cumulative(part))[last] - total[first]
        for part in (sketches.count, sketches.count * bucket, sketches.count * bucket * bucket)
    )
    safe = np.where(n > 0, n, 1).astype(float)
    mean = sum_1 / safe
    var = np.maximum(sum_2 / safe - mean * mean, 0.0)
    mean = np.where(n > 0, mean * LOG_GAMMA + math.log(bucket_value(0)), np.nan)
    return Moments(n, mean, np.where(n > 0, var * LOG_GAMMA**2, np.nan))
