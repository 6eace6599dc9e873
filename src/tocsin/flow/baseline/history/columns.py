"""Values of several signals by row and column (a window, a quarter-hour), newest last.

Each value has a flag *excluded*: it is kept and counted, but no baseline is computed from it.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.flow.baseline.history.window_ring import WindowRing
from tocsin.types import Bools, Floats, Ints

#: Columns that already rule out most rows as records; with fewer rows, all columns at once.
_FIRST_COLUMNS, _MANY = 20, 64


def or_zero(values: Floats) -> Floats:
    """The values, 0 where they are NaN: unknown values add nothing to a sum."""
    return np.where(np.isnan(values), 0.0, values)


def sums_in_blocks(quarters: Floats, each: int) -> Floats:
    """Sums of `each` quarter-hours, the newest last; NaN where one is unknown."""
    whole = quarters.shape[1] // each * each
    kept = quarters[:, quarters.shape[1] - whole :]
    sums: Floats = kept.reshape(len(quarters), whole // each, each).sum(axis=2)
    return sums


class Columns:
    """See the module. `marks` are further keys of exclusions, beside the signals."""

    def __init__(self, width: int, signals: Sequence[str], marks: Sequence[str]) -> None:
        self.width = width
        names = tuple(dict.fromkeys((*signals, *marks)))
        self._plane = {name: i for i, name in enumerate(names)}
        self._values = WindowRing(width, np.nan, (len(signals),))
        self._out = WindowRing(width, fill=False, planes=(len(names),), dtype=bool)

    # ---- reading -----------------------------------------------------------------------

    def raw(self, signal: str, rows: Ints, columns: int | None = None, skip: int = 0) -> Floats:
        """float64 [len(rows), columns]: the last values before the newest `skip`; NaN = unknown."""
        held = self._values.last(columns, skip)[self._plane[signal]]
        values: Floats = held[rows].astype(float)
        return values

    def sums(self, signal: str, rows: Ints, columns: int, parts: int = 1) -> Floats:
        """float64 [len(rows), parts]: raw sums of `columns` columns each, newest last.

        What is not known adds nothing.
        """
        held = self._values.last(columns * parts)[self._plane[signal]][rows]
        known = np.where(np.isnan(held), np.float32(0), held)
        summed: Floats = known.reshape(len(rows), parts, columns).sum(axis=2, dtype=float)
        return summed

    def learned(
        self, signal: str, rows: Ints, columns: int | None = None, skip: int = 0, mark: str = ""
    ) -> Floats:
        """The same, NaN where it is excluded (under `mark`, else of the signal itself)."""
        values = self.raw(signal, rows, columns, skip)
        values[self._out.last(columns, skip)[self._plane[mark or signal]][rows]] = np.nan
        return values

    def is_record(self, signal: str, rows: Ints, values: Floats, skip: int = 0) -> Bools:
        """Whether at most one of the learned values of each row reached its value."""
        limit = values.astype(np.float32)
        found = np.zeros(len(rows), bool)
        left = np.arange(len(rows))
        for columns in (_FIRST_COLUMNS, None) if len(rows) >= _MANY else (None,):
            held = self._values.last(columns, skip)[self._plane[signal]][rows[left]]
            out = self._out.last(columns, skip)[self._plane[signal]][rows[left]]
            reached = ((held >= limit[left, None]) & ~out).sum(axis=1)
            left = left[reached <= 1]
        found[left] = True
        return found

    def newest_excluded(self, signal: str, rows: Ints) -> Ints:
        """How many columns in a row, back from the newest, are excluded."""
        kept = ~self._out.last()[self._plane[signal]][rows][:, ::-1]
        run: Ints = np.where(kept.any(axis=1), np.argmax(kept, axis=1), kept.shape[1])
        return run

    # ---- learning ----------------------------------------------------------------------

    def push(self, values: np.ndarray, out: Mapping[str, np.ndarray]) -> None:
        """Append a column, [signals, rows]; `out` holds the rows excluded of each mark."""
        marked = np.zeros((len(self._plane), values.shape[1]), bool)
        for name, rows in out.items():
            marked[self._plane[name], rows] = True
        self._values.push(values)
        self._out.push(marked)

    def pass_one(self) -> None:
        """Append a column of unknown values."""
        self._values.push(np.empty((1, 0)))
        self._out.push(np.empty((1, 0), bool))

    def readmit(self, signal: str, row: int, where: Bools) -> None:
        """End the exclusion of the columns `where` (bool [width]) of a row."""
        self._out.last()[self._plane[signal], row, where] = False

    def unknown(self, rows: Ints, where: Bools) -> None:
        """Make the values `where` (bool [len(rows), width]) unknown, of every signal."""
        held = self._values.last()
        held[:, rows] = np.where(where, np.nan, held[:, rows])

    def clear(self, rows: Ints) -> None:
        """Make all values of the rows unknown."""
        self._values.clear(rows)
        self._out.clear(rows)

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows."""
        self._values.grow(rows)
        self._out.grow(rows)
