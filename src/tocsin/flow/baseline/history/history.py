"""The past of one shard: minutes of the last hours, quarter-hours of the last day, and weeks.

Counters (`count_past.py`), distributions (`sketch_past.py`) and hours (`weeks.py`) are kept each
in a way of its own; here windows and quarter-hours are closed for all of them at once. What was
judged anomalous is *excluded*, per series and signal: kept, but no baseline is made of it.

The store holds the same past as blobs, `m:<start>` a closed window and `q:<start>` a closed
quarter of an hour, each with its exclusions. `restore` from them gives the same history as
having lived through it, bit for bit, because both go through `learn`. The hours of the last
six weeks (`weeks.py`) are made of the quarters as each hour closes, and have blobs of their own.

A signal whose every window of the last day is excluded has no baseline left, is *not ready*,
and so learns again: that is how a level shift is accepted, after 24 hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.frames import decode, encode
from tocsin.flow.baseline.history.ages import SeriesAges
from tocsin.flow.baseline.history.blobs import PARTIAL, Names, Stored
from tocsin.flow.baseline.history.calendars import HOUR_S, Calendar
from tocsin.flow.baseline.history.count_history import SHARE, CountHistory, Excluded
from tocsin.flow.baseline.history.level_shifts import LevelShifts
from tocsin.flow.baseline.history.seasonal import SeasonalProfile
from tocsin.flow.baseline.history.sketch_history import QUARTER_S, SKETCH_PREFIX, SketchHistory
from tocsin.flow.baseline.history.weeks import Kept, Weeks, kept_of, statistics, sum_of_quarters
from tocsin.types import WindowFrame

MINUTES_S = 3 * 3600  # how far back single windows are kept
QUARTERS = 104  # 26 hours: the last day, the same time yesterday, and one to spare


class History:
    """See the module.

    `signals` are the count signals that some rule reads (keys of SIGNAL_FIELDS), `sketches`
    the distributions (keys of SKETCH_PREFIX, or TRACES) and the views each is read of (None = all).
    `views` narrows what is kept by the hour: a signal or distribution to the views some rule
    reads it of; others are kept of every view.
    """

    def __init__(
        self,
        window_s: int,
        signals: Sequence[str],
        sketches: Kept = MappingProxyType({"duration": None}),
        calendar: Calendar | None = None,
        views: Kept | None = None,
    ) -> None:
        if QUARTER_S % window_s:
            raise ValueError(f"window_s must divide {QUARTER_S}, got {window_s}")
        self.window_s, self.per_quarter = window_s, QUARTER_S // window_s
        self.width = MINUTES_S // window_s
        self.signals = tuple(dict.fromkeys(("n", *signals)))
        self.catalog = Catalog()
        self.last: int | None = None  # start of the newest learned window
        self.last_quarter: int | None = None  # start of the newest closed quarter
        self._ages = SeriesAges(window_s, MINUTES_S, QUARTERS)
        self._stored = Stored(window_s)
        self.counts = CountHistory(window_s, self.signals, self.width, QUARTERS)
        known = views or {}
        self.sketches = {
            name: SketchHistory(name, window_s, QUARTERS, self.catalog, read)
            for name, read in sketches.items()
        }
        #: Those with a baseline; the cells of traces are asked for by the minute only.
        self._lasting = {name: self.sketches[name] for name in sketches if name in SKETCH_PREFIX}
        self.weeks = Weeks(
            self.catalog,
            calendar or Calendar(),
            kept_of(
                {signal: known.get(signal) for signal in self.signals},
                {name: known.get(name, sketches[name]) for name in self._lasting},
                views,
            ),
        )
        self.level_shifts = LevelShifts()
        self.seasonal = SeasonalProfile(self.weeks, self.level_shifts)
        self._evaluated: set[int] = set()  # quarters of the running hour that are whole

    # ---- reading -----------------------------------------------------------------------

    def age(self, rows: np.ndarray, at: int) -> np.ndarray:
        """Seconds from each row's birth (to the quarter-hour) to `at`, five weeks at most.

        A series that paused for longer than a day is as old as its weeks are.
        """
        age: np.ndarray = np.maximum(self._ages.age(rows, at), self.weeks.age(rows, at))
        return age

    def silent_s(self, rows: np.ndarray, at: int) -> np.ndarray:
        """Seconds known to be without an event up to `at`; a long time to the quarter-hour."""
        return self._ages.silent_s(rows, at)

    # ---- learning ----------------------------------------------------------------------

    def reach(self, start: int) -> dict[str, bytes | None]:
        """Pass windows that nobody evaluated before `start`: unknown, and no silence."""
        blobs: dict[str, bytes | None] = {}
        if self.last is None:
            if self.last_quarter is None or start > self.last_quarter + QUARTER_S:
                self._ages.known_from = start
            return blobs
        at = self.last + self.window_s
        if at < start:
            self._ages.known_from = start
        at = max(at, start - (QUARTERS + 1) * QUARTER_S)  # no longer than all that is kept
        while at < start:
            self.counts.pass_to(at)
            for past in self.sketches.values():
                past.pass_to(at)
            self.last = at
            at += self.window_s
            if at % QUARTER_S == 0:
                blobs |= self._close_quarter(at - QUARTER_S)
        return blobs

    def learn(self, frame: WindowFrame, excluded: Excluded) -> dict[str, bytes | None]:
        """Append a closed window; gives the blobs that make it last.

        Windows that were left out since the last one become unknown columns.
        """
        if self.last is not None and frame.start <= self.last:
            raise ValueError(f"window {frame.start} is not after {self.last}")
        rows = self._enter(frame)
        blobs = self.reach(frame.start)
        names = self.catalog.names
        still = self._still_out(excluded, frame.start, self.window_s)
        self.counts.push_window(frame, rows, self._ages.born(len(names)), still)
        out = {signal: sorted(names[row] for row in found) for signal, found in excluded.items()}
        blobs |= self._stored.put(frame, out)
        for past in self.sketches.values():
            past.push_window(frame, rows)
        self.last = frame.start
        if (frame.start + self.window_s) % QUARTER_S == 0:
            blobs |= self._close_quarter(frame.start + self.window_s - QUARTER_S)
        return blobs

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Live through the stored past: old quarter-hours, then windows. Only when empty."""
        self.weeks.restore(blobs)
        self.level_shifts.restore(blobs)
        minutes = sorted(int(key[2:]) for key in blobs if key.startswith("m:"))
        first = minutes[0] // QUARTER_S * QUARTER_S if minutes else None
        quarters = sorted(int(key[2:]) for key in blobs if key.startswith("q:"))
        for start in quarters:
            if first is None or start < first:
                frame, excluded = decode(blobs[f"q:{start}"])
                self._enter(frame)
                self._push_quarter(frame, excluded)
        for start in minutes:
            frame, names = decode(blobs[f"m:{start}"])
            self._enter(frame)
            self.learn(frame, self._known(names))

    def rows(self, series: Iterable[str]) -> np.ndarray:
        """The row of each series; a new one gets a row, and is born when it is learned."""
        rows = self.catalog.rows(series)
        size = len(self.catalog)
        if size > len(self._ages):
            self._ages.grow(size)
            self.counts.grow(len(self._ages))
        return rows

    def readmit(self, signal: str, row: int, since: int) -> None:
        """Learn from what was in quarantine since a window: a level shift was accepted."""
        self.counts.readmit(signal, row, since)
        self.seasonal.forget()

    def _known(self, excluded: Names) -> Excluded:
        """The rows to keep out. A series may be excluded for long after its last event: where
        that lies before all that is stored, the series is forgotten, and nothing is left of it.
        """
        return {signal: self.catalog.known(series) for signal, series in excluded.items()}

    def _still_out(self, excluded: Excluded, start: int, seconds: int) -> Excluded:
        """What no accepted level shift readmits."""
        names, readmits = self.catalog.names, self.level_shifts.readmits
        return {
            signal: np.array(
                [r for r in rows.tolist() if not readmits(signal, names[r], start, seconds)],
                np.int64,
            )
            for signal, rows in excluded.items()
            if signal in self.signals or signal == SHARE
        }

    def _enter(self, frame: WindowFrame) -> np.ndarray:
        rows = self.rows(frame.series)
        self._ages.see(rows, frame.start, frame.start + frame.seconds)
        return rows

    def _close_quarter(self, start: int) -> dict[str, bytes | None]:
        """Merge the windows of a quarter-hour, and let go of what is too old."""
        frame, excluded = self._stored.quarter(start)
        blobs: dict[str, bytes | None] = {f"q:{start}": encode(frame, excluded)}
        blobs |= self._push_quarter(frame, excluded)
        old = self._stored.forget(start + QUARTER_S - MINUTES_S)
        for past in self.sketches.values():
            past.drop_windows(old)
        blobs |= {f"m:{at}": None for at in old}
        blobs[f"q:{start - QUARTERS * QUARTER_S}"] = None
        return blobs

    def _push_quarter(self, frame: WindowFrame, excluded: Names) -> dict[str, bytes | None]:
        start, rows = frame.start, self.rows(frame.series)
        while self.last_quarter is not None and self.last_quarter + QUARTER_S < start:
            self.counts.pass_quarter_to(self.last_quarter + QUARTER_S)
            self._ages.close_quarter(np.empty(0, np.int64))
            self._age_out(self.last_quarter + QUARTER_S)
        # A quarter-hour in which a series was born, or some windows are unknown, is no total.
        whole = self._ages.born(len(self.catalog), before=start) & (PARTIAL not in excluded)
        if PARTIAL in excluded and self.last is None:  # restored; else it is known exactly
            self._ages.known_from = start + QUARTER_S
        out = self._still_out(self._known(excluded), start, QUARTER_S)
        self.counts.push_quarter(frame, rows, whole, out)
        self._ages.close_quarter(rows)
        for past in self._lasting.values():
            past.push_quarter(frame, rows, excluded)
        if PARTIAL not in excluded:
            self._evaluated.add(start)
        blobs = self._close_hour(start) if (start + QUARTER_S) % HOUR_S == 0 else {}
        self._age_out(start)
        return blobs

    def _close_hour(self, quarter: int) -> dict[str, bytes | None]:
        """The quarter-hour `quarter` ends an hour: hand its values to the weeks."""
        hour = quarter // HOUR_S
        known = len([at for at in self._evaluated if at // HOUR_S == hour]) >= 2
        self._evaluated.clear()
        if self.weeks.last is not None and hour <= self.weeks.last:
            return {}  # restored
        every = np.arange(len(self.catalog))
        values = {s: sum_of_quarters(self.counts.hour(s, every)) for s in self.signals}
        for name, past in self._lasting.items():
            values |= statistics(name, past.hour(hour * HOUR_S), len(self.catalog))
        return self.weeks.push(hour, values, known=known)

    def _age_out(self, start: int) -> None:
        """The quarter-hour `start` is the newest: move the baseline, forget what is too old."""
        self.last_quarter = start
        for past in self._lasting.values():
            past.age_out(start)
        oldest = start - (QUARTERS - 1) * QUARTER_S
        gone = self._ages.forget(oldest)
        if len(gone):
            self.counts.clear(gone)
            self.catalog.forget(gone.tolist())
        rows, unknown = self._ages.shorten(oldest)
        if len(rows):
            self.counts.unknown(rows, unknown)
