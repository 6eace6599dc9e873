"""The history of one shard: windows of the last 3 h, quarter-hours of the last day, and weeks.

`History` closes windows and quarter-hours for its parts: counters (`count_history.py`),
distributions (`sketch_history.py`), hours (`weeks.py`). Anomalous values are *excluded*, per
series and signal: kept, but in no baseline.

The store holds a blob for each closed window (`m:<start>`) and quarter-hour (`q:<start>`), with
its exclusions. `restore` replays them through `learn`, which gives the same history, bit for bit.
Hours are computed from the quarter-hours as each hour closes, and have blobs of their own.

A signal whose every window of the last day is excluded has no baseline and is *not ready*;
`level_shifts.py` says when exclusions end.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.frames import decode, encode
from tocsin.flow.baseline.history import hour_values
from tocsin.flow.baseline.history.ages import SeriesAges
from tocsin.flow.baseline.history.blobs import PARTIAL, Names, RecentFrames
from tocsin.flow.baseline.history.calendars import HOUR_S, Calendar
from tocsin.flow.baseline.history.count_history import SHARE, CountHistory, Excluded
from tocsin.flow.baseline.history.hour_values import SignalViews
from tocsin.flow.baseline.history.level_shifts import LevelShifts
from tocsin.flow.baseline.history.seasonal import SeasonalProfile
from tocsin.flow.baseline.history.sketch_history import QUARTER_S, SKETCH_PREFIX, SketchHistory
from tocsin.flow.baseline.history.weeks import Weeks
from tocsin.types import Ints, WindowFrame

MINUTES_S = 3 * 3600  # how far back single windows are kept
QUARTERS = 104  # 26 hours: a day, the hour before the same time yesterday, one to spare


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
        sketches: SignalViews = MappingProxyType({"duration": None}),
        calendar: Calendar | None = None,
        views: SignalViews | None = None,
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
        self._frames = RecentFrames(window_s)
        self.counts = CountHistory(window_s, self.signals, self.width, QUARTERS)
        known = views or {}
        self.sketches = {
            name: SketchHistory(name, window_s, QUARTERS, self.catalog, read)
            for name, read in sketches.items()
        }
        #: Those with a baseline; cells of traces have windows only.
        self._lasting = {name: self.sketches[name] for name in sketches if name in SKETCH_PREFIX}
        self.weeks = Weeks(
            self.catalog,
            calendar or Calendar(),
            hour_values.signals_to_keep(
                {signal: known.get(signal) for signal in self.signals},
                {name: known.get(name, sketches[name]) for name in self._lasting},
                views,
            ),
        )
        self.level_shifts = LevelShifts()
        self.seasonal = SeasonalProfile(self.weeks, self.level_shifts)
        self._evaluated: set[int] = set()  # quarters of the running hour that are whole

    # ---- reading -----------------------------------------------------------------------

    def age(self, rows: Ints, at: int) -> Ints:
        """Seconds from each row's birth (to the quarter-hour) to `at`, five weeks at most.

        After a pause of more than a day, the age is that of its first hour in `weeks`.
        """
        age: Ints = np.maximum(self._ages.age(rows, at), self.weeks.age(rows, at))
        return age

    def silent_s(self, rows: Ints, at: int) -> Ints:
        """Seconds known to be without an event up to `at`; a long time to the quarter-hour."""
        return self._ages.silent_s(rows, at)

    # ---- learning ----------------------------------------------------------------------

    def reach(self, start: int) -> dict[str, bytes | None]:
        """Append the windows before `start` that were not evaluated, as unknown."""
        blobs: dict[str, bytes | None] = {}
        if self.last is None:
            if self.last_quarter is None or start > self.last_quarter + QUARTER_S:
                self._ages.known_from = start
            return blobs
        at = self.last + self.window_s
        if at < start:
            self._ages.known_from = start
        at = max(at, start - (QUARTERS + 1) * QUARTER_S)  # at most what is kept
        while at < start:
            self.counts.pass_to(at)
            for part in self.sketches.values():
                part.pass_to(at)
            self.last = at
            at += self.window_s
            if at % QUARTER_S == 0:
                blobs |= self._close_quarter(at - QUARTER_S)
        return blobs

    def learn(self, frame: WindowFrame, excluded: Excluded) -> dict[str, bytes | None]:
        """Append a closed window; returns the blobs to save.

        Windows between the last and this become unknown. Raises ValueError if not after it.
        """
        if self.last is not None and frame.start <= self.last:
            raise ValueError(f"window {frame.start} is not after {self.last}")
        rows = self._enter(frame)
        blobs = self.reach(frame.start)
        names = self.catalog.names
        still = self._still_out(excluded, frame.start, self.window_s)
        self.counts.push_window(frame, rows, self._ages.born(len(names)), still)
        out = {signal: sorted(names[row] for row in found) for signal, found in excluded.items()}
        blobs |= self._frames.put(frame, out)
        for part in self.sketches.values():
            part.push_window(frame, rows)
        self.last = frame.start
        if (frame.start + self.window_s) % QUARTER_S == 0:
            blobs |= self._close_quarter(frame.start + self.window_s - QUARTER_S)
        return blobs

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Replay the stored quarter-hours, then windows; only into an empty history."""
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

    def rows(self, series: Iterable[str]) -> Ints:
        """int64: the row of each series; a new one gets a row, and an age when it is learned."""
        rows = self.catalog.rows(series)
        size = len(self.catalog)
        if size > len(self._ages):
            self._ages.grow(size)
            self.counts.grow(len(self._ages))
        return rows

    def readmit(self, signal: str, row: int, since: int) -> None:
        """A level shift was accepted: end the exclusion of a row from the window `since` on."""
        self.counts.readmit(signal, row, since)
        self.seasonal.forget()

    def _known(self, excluded: Names) -> Excluded:
        """Rows of the excluded series. A series may be excluded long after its last event; if
        all of its events are older than what is stored, it has no row and is left out.
        """
        return {signal: self.catalog.known(series) for signal, series in excluded.items()}

    def _still_out(self, excluded: Excluded, start: int, seconds: int) -> Excluded:
        """The exclusions that no accepted level shift ends."""
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
        """Merge the windows of a quarter-hour, and drop what is too old."""
        frame, excluded = self._frames.quarter(start)
        blobs: dict[str, bytes | None] = {f"q:{start}": encode(frame, excluded)}
        blobs |= self._push_quarter(frame, excluded)
        old = self._frames.forget(start + QUARTER_S - MINUTES_S)
        for part in self.sketches.values():
            part.drop_windows(old)
        blobs |= {f"m:{at}": None for at in old}
        blobs[f"q:{start - QUARTERS * QUARTER_S}"] = None
        return blobs

    def _push_quarter(self, frame: WindowFrame, excluded: Names) -> dict[str, bytes | None]:
        start, rows = frame.start, self.rows(frame.series)
        while self.last_quarter is not None and self.last_quarter + QUARTER_S < start:
            self.counts.pass_quarter_to(self.last_quarter + QUARTER_S)
            self._ages.close_quarter(np.empty(0, np.int64))
            self._age_out(self.last_quarter + QUARTER_S)
        # A quarter-hour in which a series was first seen, or with unknown windows, is no total.
        whole = self._ages.born(len(self.catalog), before=start) & (PARTIAL not in excluded)
        if PARTIAL in excluded and self.last is None:  # restored; else `reach` has set it
            self._ages.known_from = start + QUARTER_S
        out = self._still_out(self._known(excluded), start, QUARTER_S)
        self.counts.push_quarter(frame, rows, whole, out)
        self._ages.close_quarter(rows)
        for part in self._lasting.values():
            part.push_quarter(frame, rows, excluded)
        if PARTIAL not in excluded:
            self._evaluated.add(start)
        blobs = self._close_hour(start) if (start + QUARTER_S) % HOUR_S == 0 else {}
        self._age_out(start)
        return blobs

    def _close_hour(self, quarter: int) -> dict[str, bytes | None]:
        """Append the hour that the quarter-hour `quarter` ends to `weeks`."""
        hour = quarter // HOUR_S
        known = len([at for at in self._evaluated if at // HOUR_S == hour]) >= 2
        self._evaluated.clear()
        if self.weeks.last is not None and hour <= self.weeks.last:
            return {}  # restored
        every = np.arange(len(self.catalog))
        values = {s: hour_values.sum_of_quarters(self.counts.hour(s, every)) for s in self.signals}
        for name, part in self._lasting.items():
            values |= hour_values.statistics(name, part.hour(hour * HOUR_S), len(self.catalog))
        return self.weeks.push(hour, values, known=known)

    def _age_out(self, start: int) -> None:
        """Make `start` the newest quarter-hour: move the baselines, forget what is too old."""
        self.last_quarter = start
        for part in self._lasting.values():
            part.age_out(start)
        oldest = start - (QUARTERS - 1) * QUARTER_S
        gone = self._ages.forget(oldest)
        if len(gone):
            self.counts.clear(gone)
            self.catalog.forget(gone.tolist())
        rows, unknown = self._ages.shorten(oldest)
        if len(rows):
            self.counts.unknown(rows, unknown)
