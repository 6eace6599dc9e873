"""Hours in 16 bits: one signal of many series, a ring of six weeks each.

A value is a step of a signed logarithm (0.06 % apart each side), so that tokens, dollars and
scores of either sign keep three digits; means and variances of logarithms are already small
and go in steps of 1/1200, as far as 27 either way.
"""

from typing import Final

import numpy as np

from tocsin.types import Bools, Floats

#: Six weeks and a day: the current hour has all six earlier weeks.
HOURS: Final = 1_032
#: Codes of an unknown value, of 0, and of the greatest value.
UNKNOWN, ZERO, _MOST = 0xFFFF, 0x7FFF, 0xFFFE
_LOG_STEPS, _LINEAR_STEPS = 800.0, 1_200.0


class HourBlock:
    """The codes of one signal, uint16 [rows, HOURS]; hour `h` is column `h % HOURS`."""

    def __init__(self, name: str, views: frozenset[str] | None) -> None:
        self.views = views
        self.is_linear = name.rpartition(".")[2] in {"logmean", "logvar"}
        self.is_total = "." not in name
        self.data = np.empty((0, HOURS), np.uint16)
        self.of = np.empty(0, np.int64)  # row of `Weeks` -> row here, -1 = not kept
        self._free: list[int] = []

    def enter(self, row: int, view: str) -> None:
        """Add a row of unknown values, if its view is kept."""
        if row >= len(self.of):
            room = max(64, 2 * row) - len(self.of)
            self.of = np.concatenate([self.of, np.full(room, -1, np.int64)])
        if self.views is not None and view not in self.views:
            return
        if not self._free:
            size = len(self.data)
            self._free = list(range(max(8, size + size // 2) - 1, size - 1, -1))
            room_for = np.full((len(self._free), HOURS), UNKNOWN, np.uint16)
            self.data = np.concatenate([self.data, room_for])
        self.of[row] = self._free.pop()

    def leave(self, row: int) -> None:
        """Make a row unknown and free it."""
        if self.of[row] >= 0:
            self.data[self.of[row]] = UNKNOWN
            self._free.append(int(self.of[row]))
            self.of[row] = -1

    def used(self) -> Bools:
        """bool: which of the rows are in use."""
        used = np.zeros(len(self.data), bool)
        used[self.of[self.of >= 0]] = True
        return used

    def encode(self, values: Floats) -> np.ndarray:
        """Codes of values; NaN is unknown."""
        steps = (
            values * _LINEAR_STEPS
            if self.is_linear
            else np.sign(values) * np.log1p(np.abs(values)) * _LOG_STEPS
        )
        known = np.isfinite(steps)
        codes = np.clip(np.rint(np.where(known, steps, 0.0)) + ZERO, 0, _MOST)
        return np.where(known, codes, UNKNOWN).astype(np.uint16)

    def decode(self, codes: np.ndarray) -> Floats:
        """Values of codes."""
        table = _LINEAR if self.is_linear else _LOG
        values: Floats = table[codes]
        return values


def _table(*, is_linear: bool) -> np.ndarray:
    steps = np.arange(UNKNOWN + 1, dtype=float) - ZERO
    if is_linear:
        values = steps / _LINEAR_STEPS
    else:
        values = np.sign(steps) * np.expm1(np.abs(steps) / _LOG_STEPS)
    values[UNKNOWN] = np.nan
    return values


_LOG, _LINEAR = _table(is_linear=False), _table(is_linear=True)
