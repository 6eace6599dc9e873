"""The last six weeks (and a day) of one shard by the hour: the input of the seasonal profile.

An hour of a series and a signal is one value: the total of a count signal, or a statistic of
a distribution (`duration.p95`, `ttft.logmean`; `hour_values.py`), in the unit of its sketch. It
is NaN where it is unknown: before the series was first seen, where fewer than two of the hour's
quarters were evaluated whole and not excluded, and, of statistics, where nothing was observed.

Values are kept in 16 bits, as steps of a signed logarithm (0.06 %) or, the means and
variances of logarithms, of 1/1200; reads decode what is stored, so a restart changes nothing.
Series are keyed by name, not by their row in the catalog: one that pauses over the weekend has
its history again on Monday. A series that was silent for six weeks is forgotten.

The store holds a blob a day of UTC, `d:<day start>`, written anew as each hour closes.
"""

import zlib
from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.history.calendars import DAY_S, HOUR_S, Calendar
from tocsin.flow.baseline.history.hour_codec import HOURS, UNKNOWN, ZERO, HourBlock
from tocsin.flow.baseline.history.hour_values import SignalViews
from tocsin.types import Floats, Ints, split_series

VERSION: Final = 1
PREFIX: Final = "d:"


class _StoredDay(msgspec.Struct, array_like=True):
    version: int
    last: int  # the newest hour that was closed, in hours since the epoch
    series: list[str]
    signals: dict[str, tuple[bytes, bytes]]  # <u4 index into series, <u2 codes [series, 24]


class Weeks:
    """See the module. `rows` are those of the shard's catalog, *own* rows those kept here."""

    def __init__(self, catalog: Catalog, calendar: Calendar, kept: SignalViews) -> None:
        self.calendar = calendar
        self._catalog = catalog
        self._blocks = {name: HourBlock(name, views) for name, views in kept.items()}
        self._row: dict[str, int] = {}
        self._free: list[int] = []
        self._seen = np.empty(0, np.int64)  # newest hour with events
        self._first = np.empty(0, np.int64)  # oldest known hour
        self.last: int | None = None  # the newest closed hour, in hours since the epoch
        self._map = np.empty(0, np.int64)  # catalog row -> row here
        self._map_of: tuple[int, int] = (-1, 0)  # state of the catalog and of `_row`
        self._changes = 0
        self.forgotten = 0  # count of forgotten series; a change means rows were reused

    # ---- reading -----------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """The signals that are kept."""
        return tuple(self._blocks)

    def hours(self, name: str, rows: Ints, until: int, count: int) -> Floats:
        """float64 [len(rows), count]: the hours that ended at or before `until`, newest last.

        Raises KeyError where no rule reads the signal `name`.
        """
        end = until // HOUR_S
        return self._read(name, rows, np.arange(end - count, end))

    def same_hour(self, name: str, rows: Ints, at: int, weeks: int = 6, around: int = 0) -> Floats:
        """float64 [len(rows), weeks * (2 around + 1)]: the hour of `at` in earlier weeks.

        The hour of the week is that of the wall clock of the calendar's zone. Weeks come
        oldest first, within each the hours from `around` before to `around` after it.
        """
        offsets = np.arange(-around, around + 1)
        hours = [self.calendar.weeks_before(at, week) // HOUR_S for week in range(weeks, 0, -1)]
        return self._read(name, rows, (np.array(hours, np.int64)[:, None] + offsets).ravel())

    def same_time(self, name: str, rows: Ints, at: int, days: int = 7, around: int = 1) -> Floats:
        """float64 [len(rows), days, 2 around + 1]: the hour of `at` on earlier days.

        The time is that of the wall clock. The oldest day comes first, within each the hours
        from `around` before to `around` after it.
        """
        offsets = np.arange(-around, around + 1)
        hours = [self.calendar.days_before(at, day) // HOUR_S for day in range(days, 0, -1)]
        values = self._read(name, rows, (np.array(hours, np.int64)[:, None] + offsets).ravel())
        return values.reshape(len(rows), days, len(offsets))

    def days(self, name: str, rows: Ints, until: int, days: int) -> Floats:
        """float64 [len(rows), days]: totals of 24 hours each, back from `until`, newest last.

        A day of which 18 hours or more are known is extrapolated, any other is NaN.
        """
        hours = self.hours(name, rows, until, 24 * days).reshape(len(rows), days, 24)
        known = np.isfinite(hours).sum(axis=2)
        total = np.nansum(hours, axis=2) * 24 / np.maximum(known, 1)
        return np.where(known >= 18, total, np.nan)

    def age(self, rows: Ints, at: int) -> Ints:
        """Seconds from the first known hour of each row to `at`, five weeks at most; 0 if none."""
        mine = self.own_rows(rows)
        first = np.full(len(rows), at // HOUR_S)
        first[mine >= 0] = self._first[mine[mine >= 0]]
        # First hours fall out of the six weeks kept; nothing asks for more than five.
        age: Ints = np.minimum(np.maximum(at - first * HOUR_S, 0), 35 * DAY_S)
        return age

    def _read(self, name: str, rows: Ints, hours: Ints) -> Floats:
        block = self._blocks[name]
        if not self._row:
            return np.full((len(rows), len(hours)), np.nan)
        mine = self.own_rows(rows)
        return self._decoded(block, np.where(mine >= 0, block.of[mine], -1), hours)

    def _decoded(self, block: HourBlock, row: Ints, hours: Ints) -> Floats:
        out = np.full((len(row), len(hours)), np.nan)
        if self.last is None:
            return out
        here = np.flatnonzero(row >= 0)
        there = np.flatnonzero((hours <= self.last) & (hours > self.last - HOURS))
        codes = block.data[row[here, None], hours[there] % HOURS]
        out[here[:, None], there] = block.decode(codes)
        return out

    def own_row(self, series: str) -> int:
        """The own row of a series; -1 = not known."""
        return self._row.get(series, -1)

    def own(self, name: str, hours: Ints) -> Floats:
        """float64 [own rows, len(hours)]: some hours (since the epoch) of every series."""
        block = self._blocks[name]
        return self._decoded(block, block.of[: len(self._row) + len(self._free)], hours)

    def own_first(self) -> Ints:
        """The first known hour of every series, by own row."""
        return self._first[: len(self._row) + len(self._free)]

    def own_rows(self, rows: Ints) -> Ints:
        """The own row of each row of the catalog; -1 = not known."""
        state = (self._catalog.changes, self._changes)
        if state != self._map_of:
            find = self._row.get
            self._map = np.array([find(name, -1) for name in self._catalog.names], np.int64)
            self._map_of = state
        mine: Ints = self._map[rows]
        return mine

    # ---- learning ----------------------------------------------------------------------

    def push(
        self, hour: int, values: Mapping[str, np.ndarray], *, known: bool
    ) -> dict[str, bytes | None]:
        """Append an hour; returns the blobs to save.

        Args:
            hour: in hours since the epoch; hours that were left out become unknown, and one
                that is not after the last is ignored.
            values: signal -> float64, by row of the catalog; NaN = unknown.
            known: whether the hour was evaluated: a series without a row was silent in it.
        """
        before = self.last
        if before is not None and hour <= before:
            return {}
        skipped = [] if before is None else range(max(before + 1, hour - HOURS), hour)
        for block in self._blocks.values():
            block.data[:, [h % HOURS for h in skipped]] = UNKNOWN
            silent = ZERO if known and block.is_total else UNKNOWN
            block.data[:, hour % HOURS] = np.where(block.used(), silent, UNKNOWN)
        self.last = hour
        self._set(hour, values)
        self._forget(hour)
        day = hour // 24 * 24
        blobs: dict[str, bytes | None] = {f"{PREFIX}{day * HOUR_S}": self._encode(day)}
        if before is not None:
            gone = range((before - HOURS + 1) // 24 * 24, (hour - HOURS + 1) // 24 * 24, 24)
            blobs |= dict.fromkeys((f"{PREFIX}{old * HOUR_S}" for old in gone[:44]), None)
        return blobs

    def _set(self, hour: int, values: Mapping[str, np.ndarray]) -> None:
        events = values["n"]
        seen = np.flatnonzero(np.nan_to_num(events) > 0)
        views = self._blocks["n"].views
        for name in (self._catalog.names[row] for row in seen):
            if views is None or split_series(name)[0] in views:
                self._enter(name, hour)
        mine = self.own_rows(np.arange(len(events)))
        own = mine[seen]
        self._seen[own[own >= 0]] = hour
        for name, block in self._blocks.items():
            row = np.where(mine >= 0, block.of[mine], -1) if len(block.of) else mine
            here = np.flatnonzero(row >= 0)
            block.data[row[here], hour % HOURS] = block.encode(values[name][here])

    def _enter(self, name: str, hour: int) -> int:
        row = self._row.get(name)
        if row is not None:
            return row
        row = self._free.pop() if self._free else len(self._row)
        if row >= len(self._seen):
            room = np.full(max(64, 2 * row) - len(self._seen), -1, np.int64)
            self._seen = np.concatenate([self._seen, room])
            self._first = np.concatenate([self._first, room])
        self._row[name] = row
        self._seen[row] = self._first[row] = hour
        self._changes += 1
        view = split_series(name)[0]
        for block in self._blocks.values():
            block.enter(row, view)
        return row

    def _forget(self, hour: int) -> None:
        for name in [n for n, row in self._row.items() if self._seen[row] <= hour - HOURS]:
            row = self._row.pop(name)
            for block in self._blocks.values():
                block.leave(row)
            self._free.append(row)
            self._changes += 1
            self.forgotten += 1

    # ---- the store ---------------------------------------------------------------------

    def _encode(self, day: int) -> bytes:
        """The blob of the day that begins at hour `day`."""
        assert self.last is not None
        names = sorted(self._row)
        rows = np.array([self._row[name] for name in names], np.int64)
        hours = np.arange(day, day + 24)
        signals = {}
        for name, block in sorted(self._blocks.items()):
            row = block.of[rows] if len(rows) else rows
            here = np.flatnonzero(row >= 0)
            codes = block.data[row[here, None], hours % HOURS]
            codes[:, hours > self.last] = UNKNOWN
            signals[name] = (here.astype("<u4").tobytes(), codes.astype("<u2").tobytes())
        stored = _StoredDay(VERSION, self.last, names, signals)
        return zlib.compress(msgspec.msgpack.encode(stored), 1)

    def restore(self, blobs: Mapping[str, bytes]) -> None:
        """Read the stored days; only when empty. Raises ValueError on a blob of another version."""
        days = {int(key[2:]) // HOUR_S: raw for key, raw in blobs.items() if key.startswith(PREFIX)}
        parts = {day: _decode(raw) for day, raw in sorted(days.items())}
        if not parts:
            return
        self.last = max(stored.last for stored in parts.values())
        for day, stored in parts.items():
            self._restore_day(day, stored)
        order = np.arange(self.last - HOURS + 1, self.last + 1)
        totals = self._blocks["n"]
        for row in self._row.values():
            codes = totals.data[totals.of[row], order % HOURS]
            events = np.flatnonzero((codes > ZERO) & (codes != UNKNOWN))
            self._first[row] = order[np.argmax(codes != UNKNOWN)]
            self._seen[row] = order[events[-1]] if len(events) else order[0] - 1
        self._forget(self.last)

    def _restore_day(self, day: int, stored: _StoredDay) -> None:
        assert self.last is not None
        rows = np.array([self._enter(name, day) for name in stored.series], np.int64)
        hours = np.arange(day, day + 24)
        held = (hours <= self.last) & (hours > self.last - HOURS)
        for name, (index, raw) in stored.signals.items():
            block = self._blocks.get(name)
            if block is None or not len(rows):
                continue  # no rule reads it any more
            mine = block.of[rows[np.frombuffer(index, "<u4")]]
            codes = np.frombuffer(raw, "<u2").reshape(len(mine), 24)
            kept = np.flatnonzero(mine >= 0)
            block.data[mine[kept, None], hours[held] % HOURS] = codes[np.ix_(kept, held)]


def _decode(raw: bytes) -> _StoredDay:
    try:
        stored = msgspec.msgpack.decode(zlib.decompress(raw), type=_StoredDay)
    except (zlib.error, msgspec.MsgspecError) as error:
        raise ValueError(f"not a day of hours: {error}") from None
    if stored.version != VERSION:
        raise ValueError(
            f"a day of hours of version {stored.version}; this release reads {VERSION}"
        )
    return stored
