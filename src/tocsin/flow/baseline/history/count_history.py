"""History of the counters of one shard: single windows, and quarter-hours of the last day.

A value is NaN where it is unknown (before a series was first seen, a window that was not
evaluated) and 0 where the series was silent. Anomalous values are *excluded*, per series and
signal: they are kept and counted, but no baseline is computed from them.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tocsin.flow.baseline.frames import by_field
from tocsin.flow.baseline.history.columns import Columns
from tocsin.flow.baseline.history.sketch_history import QUARTER_S
from tocsin.types import Bools, Floats, Ints, WindowFrame

#: The counters a signal is the sum of.
SIGNAL_FIELDS: Mapping[str, tuple[str, ...]] = {
    "n": ("n",),
    "err": ("err",),
    "to": ("to",),
    "in": ("in",),
    "out": ("out",),
    "tokens": ("in", "out"),
    "cost": ("cost",),
    "score": ("sc",),
    "unknown": ("un",),  # model calls whose cost nobody knows
}
#: Key of exclusions of parts of a whole (rule `share`), beside those of the signals.
SHARE = "share"
_FIELDS = tuple(dict.fromkeys(field for fields in SIGNAL_FIELDS.values() for field in fields))
_INDEX = {s: [_FIELDS.index(field) for field in fields] for s, fields in SIGNAL_FIELDS.items()}

Excluded = Mapping[str, Ints]  # signal -> rows not to learn from


class CountHistory:
    """See the module.

    `signals` are keys of SIGNAL_FIELDS, `windows` and `quarters` how many are kept.
    """

    def __init__(self, window_s: int, signals: Sequence[str], windows: int, quarters: int) -> None:
        self.signals, self._window_s = tuple(signals), window_s
        self._minute = Columns(windows, self.signals, (SHARE,))
        self._quarter = Columns(quarters, self.signals, (SHARE,))
        self._newest: int | None = None  # start of the newest window
        self._newest_quarter: int | None = None
        self._latest: tuple[WindowFrame | None, np.ndarray] = (None, np.empty(0))

    # ---- reading -----------------------------------------------------------------------

    def of(self, frame: WindowFrame) -> np.ndarray:
        """int64 [signals, series of the frame]: the value of each signal."""
        if frame is not self._latest[0]:  # one window is asked for when graded, and when learned
            held = by_field(frame, _FIELDS)
            self._latest = (frame, np.stack([held[_INDEX[s]].sum(axis=0) for s in self.signals]))
        return self._latest[1]

    def minutes(self, signal: str, rows: Ints, skip: int = 0) -> Floats:
        """float64 [len(rows), windows]: the last windows, NaN where unknown or excluded."""
        return self._minute.learned(signal, rows, skip=skip)

    def is_record(self, signal: str, rows: Ints, values: Floats, skip: int = 0) -> Bools:
        """Whether at most one window of `minutes` reached each row's value (bool); cheap."""
        return self._minute.is_record(signal, rows, values, skip)

    def trailing(self, signal: str, rows: Ints, windows: int) -> Floats:
        """float64 [len(rows), windows]: the last windows, excluded ones too; NaN = unknown."""
        return self._minute.raw(signal, rows, windows)

    def sums(self, signal: str, rows: Ints, windows: int, parts: int = 1) -> Floats:
        """float64 [len(rows), parts]: raw totals of `windows` windows each, newest last.

        Unknown values add nothing. All parts together are at most the windows kept.
        """
        return self._minute.sums(signal, rows, windows, parts)

    def quarters(
        self, signal: str, rows: Ints, before: int, mark: str = "", *, raw: bool = False
    ) -> Floats:
        """The quarter-hours that ended at or before `before` (epoch s), as `minutes`.

        `mark` is the key whose exclusions count, by default the signal; `raw`: none count.
        """
        skip = 0
        if self._newest_quarter is not None:
            skip = max(0, -((before - self._newest_quarter - QUARTER_S) // QUARTER_S))
        if raw:
            return self._quarter.raw(signal, rows, skip=skip)
        return self._quarter.learned(signal, rows, skip=skip, mark=mark)

    def hour(self, signal: str, rows: Ints) -> Floats:
        """float64 [len(rows), 4]: the last four quarter-hours, NaN as in `minutes`."""
        return self._quarter.learned(signal, rows, 4)

    def day_total(self, signal: str, rows: Ints) -> Floats:
        """float64 [len(rows)]: total of the last 24 hours, excluded values too."""
        total: Floats = np.nansum(self._quarter.raw(signal, rows, 96), axis=1)
        since = 0
        if self._newest is not None:
            since = ((self._newest + self._window_s) % QUARTER_S) // self._window_s
        if since:
            total += self.sums(signal, rows, since)[:, 0]
        return total

    def quarantined(self, signal: str, rows: Ints) -> Ints:
        """How many windows in a row, back from the newest, are excluded."""
        return self._minute.newest_excluded(signal, rows)

    # ---- learning ----------------------------------------------------------------------

    def push_window(self, frame: WindowFrame, rows: Ints, seen: Bools, excluded: Excluded) -> None:
        """Append a window: `rows` are those of its series, `seen` (bool [all rows]) by now."""
        silent = np.where(seen, 0.0, np.nan).astype(np.float32)
        values = np.tile(silent, (len(self.signals), 1))
        values[:, rows] = self.of(frame)
        self._minute.push(values, excluded)
        self._newest = frame.start

    def pass_to(self, start: int) -> None:
        """Append the window `start` (epoch s) as unknown."""
        self._minute.pass_one()
        self._newest = start

    def push_quarter(
        self, frame: WindowFrame, rows: Ints, whole: Bools, excluded: Excluded
    ) -> None:
        """Append a quarter-hour; unknown for rows where `whole` (bool [all rows]) is false."""
        values = np.zeros((len(self.signals), len(whole)), np.float32)
        values[:, rows] = self.of(frame)
        values[:, ~whole] = np.nan
        self._quarter.push(values, excluded)
        self._newest_quarter = frame.start

    def pass_quarter_to(self, start: int) -> None:
        """Append the quarter-hour `start` (epoch s) as unknown."""
        self._quarter.pass_one()
        self._newest_quarter = start

    def readmit(self, signal: str, row: int, since: int) -> None:
        """End the exclusion of a row's values from the window `since` (epoch s) on."""
        for columns, newest, width in (
            (self._minute, self._newest, self._window_s),
            (self._quarter, self._newest_quarter, QUARTER_S),
        ):
            if newest is not None:
                ends = newest + width - np.arange(columns.width - 1, -1, -1) * width
                columns.readmit(signal, row, ends > since)

    def unknown(self, rows: Ints, where: Bools) -> None:
        """Make the quarter-hours `where` (bool [len(rows), quarters]) of some rows unknown."""
        self._quarter.unknown(rows, where)

    def clear(self, rows: Ints) -> None:
        """Make all values of the rows unknown."""
        self._minute.clear(rows)
        self._quarter.clear(rows)

    def grow(self, rows: int) -> None:
        """Make room for `rows` rows."""
        self._minute.grow(rows)
        self._quarter.grow(rows)
