"""Dense sliding matrices: one row a series, one column a window, newest last."""

from typing import Any

import numpy as np

from tocsin.types import Ints


class WindowRing:
    """[planes,] rows, width; `push` adds a column on the right and drops the leftmost.

    Twice the width is allocated and the last half is copied to the front when the end is
    reached, so `push` costs O(rows) and `last` is a view. Planes (one a signal) move together.
    """

    def __init__(
        self, width: int, fill: float, planes: tuple[int, ...] = (), dtype: Any = np.float32
    ) -> None:
        self.width, self._fill = width, fill
        self._data = np.full((*planes, 0, 2 * width), fill, dtype)
        self._end = width
        self._used = 0  # rows ever written; those beyond hold the fill value

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows."""
        *planes, held, width = self._data.shape
        if rows > held:
            shape = (*planes, max(rows, 256, 2 * held), width)
            grown = np.full(shape, self._fill, self._data.dtype)
            grown[..., :held, :] = self._data
            self._data = grown

    def push(self, column: np.ndarray) -> None:
        """Add a column [planes,] rows; rows beyond it get the fill value."""
        if self._end == self._data.shape[-1]:
            self._data[..., : self.width] = self._data[..., self.width :]
            self._end = self.width
        rows = column.shape[-1]
        self.grow(rows)
        self._data[..., :rows, self._end] = column
        self._data[..., rows : self._used, self._end] = self._fill
        self._used = max(self._used, rows)
        self._end += 1

    def clear(self, rows: Ints) -> None:
        """Set the rows to the fill value."""
        self._data[..., rows, :] = self._fill

    def last(self, columns: int | None = None, skip: int = 0) -> np.ndarray:
        """The last `columns` columns (None = all), without the newest `skip` of them; a view."""
        end, width = self._end - skip, self.width if columns is None else columns
        return self._data[..., max(end - width, self._end - self.width) : end]
