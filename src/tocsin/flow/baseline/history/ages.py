"""When each row of a shard was first and last seen: its age, and how long it is silent."""

import numpy as np

from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.flow.baseline.history.window_ring import WindowRing
from tocsin.types import Bools, Ints


class SeriesAges:
    """See the module. A row without a birth (-1) was never seen, or was given back.

    `window_s` is the length of a window, `fine_s` how long single windows are kept,
    `quarters` how many quarter-hours. All times are epoch s.
    """

    def __init__(self, window_s: int, fine_s: int, quarters: int) -> None:
        self._window_s, self._fine_s, self._keep = window_s, fine_s, quarters
        self._born = np.empty(0, np.int64)  # start of the quarter of the first window
        self._seen = np.empty(0, np.int64)  # start of the last window with events
        self._quarters = WindowRing(quarters, fill=False, dtype=bool)  # whether a row was seen
        self.known_from = 0  # every window since was evaluated

    def __len__(self) -> int:
        """Rows there is room for."""
        return len(self._born)

    # ---- reading -----------------------------------------------------------------------

    def born(self, rows: int, before: int | None = None) -> Bools:
        """Bool [rows]: which of the first `rows` rows were seen, ever or `before` (epoch s)."""
        born = self._born[:rows]
        found: Bools = born >= 0
        return found if before is None else found & (born < before)

    def age(self, rows: Ints, at: int) -> Ints:
        """Seconds from each row's birth (to the quarter-hour) to `at`; 0 if never seen."""
        born = self._born[rows]
        return np.where(born < 0, 0, at - born)

    def silent_s(self, rows: Ints, at: int) -> Ints:
        """Seconds known to be without an event up to `at`; a long time to the quarter-hour.

        Windows that were not evaluated do not count: it is measured from the last of them.
        """
        seen = self._seen[rows]
        quarter_end = seen // QUARTER_S * QUARTER_S + QUARTER_S
        long = at - quarter_end >= self._fine_s
        silent: Ints = np.where(long, at - quarter_end, at - seen - self._window_s)
        known = self.known_from
        if at - known >= self._fine_s:
            known = -(-known // QUARTER_S) * QUARTER_S
        return silent.clip(max=at - known)

    # ---- learning ----------------------------------------------------------------------

    def grow(self, size: int) -> None:
        """Make room for `size` rows, and for as many again."""
        room = np.full(max(256, 2 * size) - len(self._born), -1, np.int64)
        self._born = np.concatenate([self._born, room])
        self._seen = np.concatenate([self._seen, room])
        self._quarters.grow(len(self._born))

    def see(self, rows: Ints, start: int, end: int) -> None:
        """Note that the rows had events in [start, end)."""
        first_seen = rows[self._born[rows] < 0]
        self._born[first_seen] = start // QUARTER_S * QUARTER_S
        self._seen[rows] = np.maximum(self._seen[rows], end - self._window_s)

    def close_quarter(self, rows: Ints) -> None:
        """Append a quarter-hour in which `rows` were seen."""
        seen = np.zeros(rows.max(initial=-1) + 1, bool)
        seen[rows] = True
        self._quarters.push(seen)

    def forget(self, oldest: int) -> Ints:
        """Forget and return the rows not seen since `oldest` (epoch s)."""
        gone: Ints = np.flatnonzero((self._born >= 0) & (self._seen < oldest))
        if len(gone):
            self._quarters.clear(gone)
            self._born[gone] = self._seen[gone] = -1
        return gone

    def shorten(self, oldest: int) -> tuple[np.ndarray, np.ndarray]:
        """Move births before the quarter-hour `oldest` to the first that is kept of each row.

        A restart, which sees only what is stored, then gives the same ages. Returns those rows,
        and which of their quarter-hours are now unknown, bool [len(rows), quarters].
        """
        old = np.flatnonzero((self._born >= 0) & (self._born < oldest))
        first = np.argmax(self._quarters.last()[old], axis=1)
        self._born[old] = oldest + first * QUARTER_S
        return old, np.arange(self._keep)[None, :] <= first[:, None]
