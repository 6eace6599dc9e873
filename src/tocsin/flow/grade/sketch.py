"""Log-bucket sketches of many series at once: sorted (row, bucket) keys and their counts.

Sketches add by adding counts, so minutes merge to any window and a baseline is kept by
adding the quarter-hour that enters and taking away the one that leaves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tocsin.flow.fold import SKETCH_GAMMA, bucket_value
from tocsin.flow.grade.frames import sum_by_key
from tocsin.types import WindowFrame

#: Buckets a row may have; 4096 buckets of 1 % reach e^81, past any duration or count.
WIDTH = 4096
LOG_GAMMA = math.log(SKETCH_GAMMA)


@dataclass(frozen=True)
class Sketches:
    """`count[i]` observations of row `key[i] // WIDTH` fell in bucket `key[i] % WIDTH`."""

    key: np.ndarray  # int64, strictly ascending
    count: np.ndarray  # int64, never 0

    def rows(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last + 1 position of each row's buckets in `key`."""
        return (
            np.searchsorted(self.key, rows.astype(np.int64) * WIDTH),
            np.searchsorted(self.key, (rows.astype(np.int64) + 1) * WIDTH),
        )

    def only(self, rows: np.ndarray) -> Sketches:
        """The part that belongs to `rows` (any order, each once)."""
        first, last = self.rows(np.sort(rows))
        at = np.repeat(first - np.cumsum(np.append(0, last - first))[:-1], last - first)
        at += np.arange(len(at))
        return Sketches(self.key[at], self.count[at])

    @cached_property
    def before(self) -> np.ndarray:
        """Observations before each position of `key`; one longer than it."""
        return _cumulative(self.count)


EMPTY = Sketches(np.empty(0, np.int64), np.empty(0, np.int64))


#: Bits of a count beside its key in one integer: sorting integers is far cheaper than sorting
#: indices of them. Keys then reach 2^38, 67 million rows; counts beyond 2^24 take the slow way.
_COUNT_BITS = 24


def add(parts: Iterable[Sketches]) -> Sketches:
    """The sum of sketches."""
    given = [part for part in parts if len(part.key)]
    if len(given) < 2:
        return given[0] if given else EMPTY
    keys = np.concatenate([part.key for part in given])
    counts = np.concatenate([part.count for part in given])
    if counts.max() >> _COUNT_BITS:
        return Sketches(*sum_by_key(keys, counts))
    packed = np.sort(keys << _COUNT_BITS | counts)
    keys, counts = packed >> _COUNT_BITS, packed & ((1 << _COUNT_BITS) - 1)
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return Sketches(keys[first], np.add.reduceat(counts, first))


def subtract(whole: Sketches, part: Sketches) -> Sketches:
    """`whole` without a part that was once added to it."""
    if not len(part.key):
        return whole
    left = whole.count.copy()
    left[np.searchsorted(whole.key, part.key)] -= part.count
    kept = left > 0
    return Sketches(whole.key[kept], left[kept])


def of_frame(frame: WindowFrame, rows: np.ndarray, prefix: str = "d:") -> Sketches:
    """The sketches of a frame. `rows[i]` is the row of its i-th series, -1 = leave out."""
    bucket = np.array(
        [int(f[len(prefix) :]) if f.startswith(prefix) else -1 for f in frame.fields], np.int64
    )
    if not len(frame.value):
        return EMPTY
    row, cell = rows[frame.owner].astype(np.int64), bucket[frame.field]
    kept = (row >= 0) & (cell >= 0)
    keys = row[kept] * WIDTH + np.clip(cell[kept], 0, WIDTH - 1)
    return Sketches(*sum_by_key(keys, frame.value[kept].astype(np.int64)))


@dataclass(frozen=True, slots=True)
class Moments:
    """Per row: observations, and mean and variance of the natural log of the value."""

    n: np.ndarray
    mean: np.ndarray
    var: np.ndarray


def _cumulative(values: np.ndarray) -> np.ndarray:
    """Exclusive prefix sums, one longer than `values`; exact, since all is integer."""
    return np.concatenate([[0], np.cumsum(values)]).astype(np.int64)


def counts(sketches: Sketches, rows: np.ndarray) -> np.ndarray:
    """Observations of each row."""
    first, last = sketches.rows(rows)
    total = sketches.before
    n: np.ndarray = total[last] - total[first]
    return n


def quantile(sketches: Sketches, rows: np.ndarray, q: float) -> tuple[np.ndarray, np.ndarray]:
    """Value and bucket of the q-quantile of each row: the ceil(q n)-th smallest, within 1 %.

    NaN and -1 where a row has no observation.
    """
    first, last = sketches.rows(rows)
    total = sketches.before
    n = total[last] - total[first]
    rank = np.maximum(np.ceil(q * n - 1e-9), 1).astype(np.int64)
    at = np.searchsorted(total, total[first] + rank, side="left") - 1
    at = np.clip(at, 0, max(len(sketches.key) - 1, 0))
    if not len(sketches.key):
        return np.full(len(rows), np.nan), np.full(len(rows), -1)
    bucket = np.where(n > 0, sketches.key[at] % WIDTH, -1)
    value = np.where(n > 0, 2 * SKETCH_GAMMA ** bucket.astype(float) / (SKETCH_GAMMA + 1), np.nan)
    return value, bucket


def above(sketches: Sketches, rows: np.ndarray, bucket: np.ndarray) -> np.ndarray:
    """How many observations of each row lie in a bucket beyond `bucket[row]`."""
    _, last = sketches.rows(rows)
    cut = np.searchsorted(sketches.key, rows.astype(np.int64) * WIDTH + bucket, side="right")
    total = sketches.before
    beyond: np.ndarray = total[last] - total[np.minimum(cut, last)]
    return beyond


def moments(sketches: Sketches, rows: np.ndarray) -> Moments:
    """Mean and variance of the log; NaN where a row has no observation."""
    first, last = sketches.rows(rows)
    bucket = sketches.key % WIDTH
    n, sum_1, sum_2 = (
        (total := _cumulative(part))[last] - total[first]
        for part in (
            sketches.count,
            sketches.count * bucket,
            sketches.count * bucket * bucket,
        )
    )
    safe = np.where(n > 0, n, 1).astype(float)
    mean = sum_1 / safe
    var = np.maximum(sum_2 / safe - mean * mean, 0.0)
    mean = np.where(n > 0, mean * LOG_GAMMA + math.log(bucket_value(0)), np.nan)
    return Moments(n, mean, np.where(n > 0, var * LOG_GAMMA**2, np.nan))
