"""Dense matrices that slide: one row a series, one column a window, newest last."""

from __future__ import annotations

import numpy as np


class Slide:
    """float32 [rows, width]; `push` adds a column on the right and drops the leftmost.

    Twice the width is allocated and the last half is copied to the front when the end is
    reached, so a column costs O(rows) and a view of the last columns costs nothing.
    """

    def __init__(self, width: int, fill: float) -> None:
        self.width, self._fill = width, fill
        self._data = np.full((0, 2 * width), fill, np.float32)
        self._end = width

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows."""
        if rows > len(self._data):
            grown = np.full(
                (max(rows, 256, 2 * len(self._data)), 2 * self.width), self._fill, np.float32
            )
            grown[: len(self._data)] = self._data
            self._data = grown

    def push(self, column: np.ndarray) -> None:
        """Add a column for the first len(column) rows; the other rows get the fill value."""
        if self._end == self._data.shape[1]:
            self._data[:, : self.width] = self._data[:, self.width :]
            self._end = self.width
        self.grow(len(column))
        self._data[:, self._end] = self._fill
        self._data[: len(column), self._end] = column
        self._end += 1

    def clear(self, rows: np.ndarray) -> None:
        """Forget what the rows held."""
        self._data[rows] = self._fill

    def blank(self, rows: np.ndarray, where: np.ndarray) -> None:
        """Set the cells of the last `width` columns where `where` [len(rows), width] holds."""
        self._data[rows, self._end - self.width : self._end] = np.where(
            where, self._fill, self._data[rows, self._end - self.width : self._end]
        )

    def last(self, columns: int | None = None, skip: int = 0) -> np.ndarray:
        """The last `columns` columns, without the newest `skip` of them; a view."""
        end = self._end - skip
        return self._data[:, max(end - (columns or self.width), self._end - self.width) : end]
