"""The past of one shard: minutes of the last hours, quarter-hours of the last day, and weeks.

A value is NaN where nothing is known (before a series was born, a window that was not
evaluated) and 0 where the series lived and was silent. What was judged anomalous is
*excluded*, per series and signal: it is kept and counted, but no baseline is made of it.

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

from tocsin.flow.grade.catalog import Catalog
from tocsin.flow.grade.frames import decode, encode, merge, totals
from tocsin.flow.grade.past.calendars import HOUR_S, Calendar
from tocsin.flow.grade.past.habits import Habits
from tocsin.flow.grade.past.levels import Levels
from tocsin.flow.grade.past.ring import Slide
from tocsin.flow.grade.past.sketch_past import QUARTER_S, SketchPast
from tocsin.flow.grade.past.weeks import Kept, Weeks, kept_of, statistics, sum_of_quarters
from tocsin.types import WindowFrame

MINUTES_S = 3 * 3600  # how far back single windows are kept
QUARTERS = 104  # 26 hours: the last day, the same time yesterday, and one to spare
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
#: What may be excluded beside the counts and the sketches: the parts of a whole.
SHARE = "share"

#: Stands among the exclusions of a quarter-hour some of whose windows are unknown.
_PARTIAL = "_partial"

Excluded = Mapping[str, np.ndarray]  # signal -> rows not to learn from


class History:
    """See the module.

    `signals` are the count signals that some rule reads (keys of SIGNAL_FIELDS), `sketches`
    the distributions (keys of SKETCH_PREFIX) and the views each is read of (None = all).
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
        self._known_from = 0  # every window since was evaluated, s
        self.last_quarter: int | None = None  # start of the newest closed quarter
        #: Values and, beside them, 1.0 where a cell is excluded.
        self._minute = {s: Slide(self.width, np.nan) for s in self.signals}
        self._quarter = {s: Slide(QUARTERS, np.nan) for s in self.signals}
        marks = (*self.signals, SHARE)
        self._minute_out = {s: Slide(self.width, 0.0) for s in marks}
        self._quarter_out = {s: Slide(QUARTERS, 0.0) for s in marks}
        self._seen_quarter = Slide(QUARTERS, 0.0)
        self._born = np.empty(0, np.int64)  # start of the quarter of the first window, s
        self._seen = np.empty(0, np.int64)  # start of the last window with events, s
        self._frames: dict[int, tuple[WindowFrame, dict[str, list[str]]]] = {}
        known = views or {}
        self.sketches = {
            name: SketchPast(name, window_s, QUARTERS, self.catalog, read)
            for name, read in sketches.items()
        }
        self.weeks = Weeks(
            self.catalog,
            calendar or Calendar(),
            kept_of(
                {signal: known.get(signal) for signal in self.signals},
                {name: known.get(name, read) for name, read in sketches.items()},
                views,
            ),
        )
        self.levels = Levels()
        self.habits = Habits(self.weeks, self.levels)
        self._evaluated: set[int] = set()  # quarters of the running hour that are whole

    # ---- reading -----------------------------------------------------------------------

    def minutes(self, signal: str, rows: np.ndarray, skip: int = 0) -> np.ndarray:
        """float64 [len(rows), W]: values of the last windows, NaN where unknown or excluded."""
        values: np.ndarray = self._minute[signal].last(skip=skip)[rows].astype(float)
        values[self._minute_out[signal].last(skip=skip)[rows] > 0] = np.nan
        return values

    def is_record(
        self, signal: str, rows: np.ndarray, values: np.ndarray, skip: int = 0
    ) -> np.ndarray:
        """Whether at most one window of `minutes` reached each row's value: a cheap first look."""
        held = self._minute[signal].last(skip=skip)[rows]
        held = np.where(self._minute_out[signal].last(skip=skip)[rows] > 0, np.float32(-1), held)
        reached = (held >= values.astype(np.float32)[:, None]).sum(axis=1)
        found: np.ndarray = reached <= 1
        return found

    def quarters(
        self, signal: str, rows: np.ndarray, before: int, mark: str = "", *, raw: bool = False
    ) -> np.ndarray:
        """The same of the quarter-hours that ended at or before `before` (epoch s).

        `raw` gives what was excluded, too.
        """
        skip = 0
        if self.last_quarter is not None:
            skip = max(0, (self.last_quarter + QUARTER_S - before + QUARTER_S - 1) // QUARTER_S)
        values: np.ndarray = self._quarter[signal].last(skip=skip)[rows].astype(float)
        if not raw:
            values[self._quarter_out[mark or signal].last(skip=skip)[rows] > 0] = np.nan
        return values

    def trailing(self, signal: str, rows: np.ndarray, windows: int) -> np.ndarray:
        """Raw values of the last windows, exclusions and all."""
        values: np.ndarray = self._minute[signal].last(windows)[rows].astype(float)
        return values

    def quarantined(self, signal: str, rows: np.ndarray) -> np.ndarray:
        """How many windows in a row, back from the newest, are excluded."""
        kept = self._minute_out[signal].last()[rows][:, ::-1] == 0
        run: np.ndarray = np.where(kept.any(axis=1), np.argmax(kept, axis=1), kept.shape[1])
        return run

    def day_total(self, signal: str, rows: np.ndarray) -> np.ndarray:
        """Raw total of the last 24 hours."""
        quarters: np.ndarray = np.nansum(self._quarter[signal].last(96)[rows].astype(float), axis=1)
        since = 0
        if self.last is not None:
            end = self.last + self.window_s
            since = (end % QUARTER_S) // self.window_s
        if since:
            quarters += np.nansum(self._minute[signal].last(since)[rows].astype(float), axis=1)
        return quarters

    def age(self, rows: np.ndarray, at: int) -> np.ndarray:
        """Seconds from each row's birth (to the quarter-hour) to `at`, five weeks at most.

        A series that paused for longer than a day is as old as its weeks are.
        """
        born = self._born[rows]
        age: np.ndarray = np.maximum(np.where(born < 0, 0, at - born), self.weeks.age(rows, at))
        return age

    def silent_s(self, rows: np.ndarray, at: int) -> np.ndarray:
        """Seconds known to be without an event up to `at`; a long time to the quarter-hour.

        Windows that were not evaluated are no silence: it is counted from the last of them.
        """
        seen = self._seen[rows]
        quarter_end = seen // QUARTER_S * QUARTER_S + QUARTER_S
        long = at - quarter_end >= MINUTES_S
        silent: np.ndarray = np.where(long, at - quarter_end, at - seen - self.window_s)
        known = self._known_from
        if at - known >= MINUTES_S:
            known = -(-known // QUARTER_S) * QUARTER_S
        return silent.clip(max=at - known)

    # ---- learning ----------------------------------------------------------------------

    def reach(self, start: int) -> dict[str, bytes | None]:
        """Pass windows that nobody evaluated before `start`: unknown, and no silence."""
        blobs: dict[str, bytes | None] = {}
        if self.last is None:
            if self.last_quarter is None or start > self.last_quarter + QUARTER_S:
                self._known_from = start
            return blobs
        at = self.last + self.window_s
        if at < start:
            self._known_from = start
        at = max(at, start - (QUARTERS + 1) * QUARTER_S)  # no longer than all that is kept
        while at < start:
            for slide in (*self._minute.values(), *self._minute_out.values()):
                slide.push(np.empty(0, np.float32))
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
        self._append(frame, rows, excluded)
        out = {signal: sorted(names[row] for row in found) for signal, found in excluded.items()}
        self._frames[frame.start] = (frame, {s: found for s, found in out.items() if found})
        for past in self.sketches.values():
            past.push_window(frame, rows)
        self.last = frame.start
        blobs[f"m:{frame.start}"] = encode(frame, out)
        if (frame.start + self.window_s) % QUARTER_S == 0:
            blobs |= self._close_quarter(frame.start + self.window_s - QUARTER_S)
        return blobs

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Live through the stored past: old quarter-hours, then windows. Only when empty."""
        self.weeks.restore(blobs)
        self.levels.restore(blobs)
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
            self.learn(frame, {s: self.rows(found) for s, found in names.items()})

    def rows(self, series: Iterable[str]) -> np.ndarray:
        """The row of each series; a new one gets a row, and is born when it is learned."""
        rows = self.catalog.rows(series)
        size = len(self.catalog)
        if size > len(self._born):
            room = max(256, 2 * size) - len(self._born)
            self._born = np.concatenate([self._born, np.full(room, -1, np.int64)])
            self._seen = np.concatenate([self._seen, np.full(room, -1, np.int64)])
            for slide in self._slides():
                slide.grow(len(self._born))
        return rows

    def readmit(self, signal: str, row: int, since: int) -> None:
        """Learn from what was in quarantine since a window: a level shift was accepted."""
        rows = np.array([row])
        if self.last is not None:
            ago = np.arange(self.width - 1, -1, -1) * self.window_s
            where = self.last - ago + self.window_s > since
            self._minute_out[signal].blank(rows, where[None, :])
        if self.last_quarter is not None:
            ago = np.arange(QUARTERS - 1, -1, -1) * QUARTER_S
            where = self.last_quarter - ago + QUARTER_S > since
            self._quarter_out[signal].blank(rows, where[None, :])
        self.habits.forget()

    def _still_out(self, signal: str, rows: np.ndarray, start: int, seconds: int) -> np.ndarray:
        """The rows that no accepted level shift readmits."""
        names = self.catalog.names
        out = [
            not self.levels.readmits(signal, names[row], start, seconds) for row in rows.tolist()
        ]
        still: np.ndarray = rows[np.array(out, bool)]
        return still

    def _enter(self, frame: WindowFrame) -> np.ndarray:
        rows = self.rows(frame.series)
        fresh = rows[self._born[rows] < 0]
        self._born[fresh] = frame.start // QUARTER_S * QUARTER_S
        self._seen[rows] = np.maximum(self._seen[rows], frame.start + frame.seconds - self.window_s)
        return rows

    def _slides(self) -> list[Slide]:
        groups = (self._minute, self._quarter, self._minute_out, self._quarter_out)
        return [self._seen_quarter, *(slide for group in groups for slide in group.values())]

    def _append(self, frame: WindowFrame, rows: np.ndarray, excluded: Excluded) -> None:
        alive = self._born >= 0
        for signal in self.signals:
            column = np.where(alive, 0.0, np.nan).astype(np.float32)
            column[rows] = totals(frame, SIGNAL_FIELDS[signal])
            self._minute[signal].push(column)
        for signal, slide in self._minute_out.items():
            mark = np.zeros(len(self._born), np.float32)
            out = excluded.get(signal, np.empty(0, np.int64))
            mark[self._still_out(signal, out, frame.start, self.window_s)] = 1.0
            slide.push(mark)

    def _close_quarter(self, start: int) -> dict[str, bytes | None]:
        """Merge the windows of a quarter-hour, and let go of what is too old."""
        starts = range(start, start + QUARTER_S, self.window_s)
        held = [self._frames[at] for at in starts if at in self._frames]
        frame = merge([part for part, _ in held], start, QUARTER_S)
        excluded: dict[str, list[str]] = {}
        for _, names in held:
            for signal, found in names.items():
                excluded[signal] = sorted({*excluded.get(signal, ()), *found})
        if len(held) < len(starts):
            excluded[_PARTIAL] = [""]
        blobs: dict[str, bytes | None] = {f"q:{start}": encode(frame, excluded)}
        blobs |= self._push_quarter(frame, excluded)
        horizon = start + QUARTER_S - MINUTES_S
        for old in [at for at in self._frames if at // QUARTER_S * QUARTER_S < horizon]:
            del self._frames[old]
            for past in self.sketches.values():
                past.drop_windows([old])
            blobs[f"m:{old}"] = None
        blobs[f"q:{start - QUARTERS * QUARTER_S}"] = None
        return blobs

    def _push_quarter(
        self, frame: WindowFrame, excluded: Mapping[str, Sequence[str]]
    ) -> dict[str, bytes | None]:
        start, rows = frame.start, self.rows(frame.series)
        while self.last_quarter is not None and self.last_quarter + QUARTER_S < start:
            for slide in self._quarter_slides():
                slide.push(np.empty(0, np.float32))
            self._age_out(self.last_quarter + QUARTER_S)
        # A quarter-hour in which a series was born, or some windows are unknown, is no total.
        whole = (self._born >= 0) & (self._born < start) & (_PARTIAL not in excluded)
        if _PARTIAL in excluded and self.last is None:  # restored; else it is known exactly
            self._known_from = start + QUARTER_S
        for signal in self.signals:
            column = np.zeros(len(self._born), np.float32)
            column[rows] = totals(frame, SIGNAL_FIELDS[signal])
            column[~whole] = np.nan
            self._quarter[signal].push(column)
        for signal, slide in self._quarter_out.items():
            mark = np.zeros(len(self._born), np.float32)
            found = np.array([self.catalog.find(name) for name in excluded.get(signal, ())], int)
            mark[self._still_out(signal, found, start, QUARTER_S)] = 1.0
            slide.push(mark)
        seen = np.zeros(len(self._born), np.float32)
        seen[rows] = 1.0
        self._seen_quarter.push(seen)
        for past in self.sketches.values():
            past.push_quarter(frame, rows, excluded)
        if _PARTIAL not in excluded:
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
        values = {}
        for signal in self.signals:
            parts: np.ndarray = self._quarter[signal].last(4).astype(float)
            parts[self._quarter_out[signal].last(4) > 0] = np.nan
            values[signal] = sum_of_quarters(parts[: len(self.catalog)])
        for name, past in self.sketches.items():
            values |= statistics(name, past.hour(hour * HOUR_S), len(self.catalog))
        return self.weeks.push(hour, values, known=known)

    def _quarter_slides(self) -> list[Slide]:
        return [*self._quarter.values(), *self._quarter_out.values(), self._seen_quarter]

    def _age_out(self, start: int) -> None:
        """The quarter-hour `start` is the newest: move the baseline, forget what is too old."""
        self.last_quarter = start
        for past in self.sketches.values():
            past.age_out(start)
        oldest = start - (QUARTERS - 1) * QUARTER_S
        gone = np.flatnonzero((self._born >= 0) & (self._seen < oldest))
        if len(gone):
            for slide in self._slides():
                slide.clear(gone)
            self._born[gone] = self._seen[gone] = -1
            self.catalog.forget(gone.tolist())
        # What is older than the store keeps must not matter, or a restart would change it.
        old = np.flatnonzero((self._born >= 0) & (self._born < oldest))
        if len(old):
            first = np.argmax(self._seen_quarter.last()[old] > 0, axis=1)
            self._born[old] = oldest + first * QUARTER_S
            unknown = np.arange(QUARTERS)[None, :] <= first[:, None]
            for slide in self._quarter.values():
                slide.blank(old, unknown)
