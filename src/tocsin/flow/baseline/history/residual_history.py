"""The residual bank of one shard: one row for each series of each signal.

A series has a row from its first window with events on. From then on a silent window is 0, and a
window that was not evaluated is no value. After ten windows in a row that were excluded from the
baselines, further ones are no value either, so that the bank does not fit a long incident. A row
without a value for 20 h begins anew, one without an event for 26 h is dropped.

The bank is updated, and then saved, at the full hour (at one-minute windows). `restore` replays
the stored windows after the newest save, which gives the same bits.
"""

import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from tocsin.flow.baseline.catalog import Catalog
from tocsin.flow.baseline.frames import decode, totals
from tocsin.flow.baseline.history.count_history import SIGNAL_FIELDS, Excluded
from tocsin.flow.baseline.residual import ResidualBank
from tocsin.types import Ints, WindowFrame

BLOB: Final = "z:residual"
VERSION: Final = 1
#: Windows of an incident that are scored.
_SCORED_EXCLUDED = 10
_WITHOUT_VALUE_S = 20 * 3_600
_UNSEEN_S = 26 * 3_600

Columns = Mapping[str, np.ndarray]  # signal -> of every row of the catalog


class _StoredResiduals(msgspec.Struct, array_like=True):
    version: int
    window_s: int
    keys: list[tuple[str, str]]
    seen: list[int]
    out: list[int]
    bank: bytes


class ResidualHistory:
    """See the module. `reads`: signal (of SIGNAL_FIELDS) -> the views it is scored of."""

    def __init__(self, window_s: int, reads: Mapping[str, Collection[str]]) -> None:
        self._window_s = window_s
        self._reads = {signal: sorted(views) for signal, views in sorted(reads.items())}
        self._clear(0)

    def _clear(self, tick: int) -> None:
        """Drop all rows; `tick` is the number of the next window."""
        self._bank = ResidualBank(self._window_s, 0, tick)
        self._keys: list[tuple[str, str]] = []  # (signal, series) of each row of the bank
        self._seen = np.empty(0, np.int64)  # tick of its newest window with events
        self._out = np.empty(0, np.int64)  # windows in a row, up to the newest, that were excluded
        self._updated = tick // self._bank.shape.chunk
        self._index(None)

    # ---- windows -----------------------------------------------------------------------

    def score(
        self, frame: WindowFrame, columns: Columns, catalog: Catalog
    ) -> dict[str, np.ndarray]:
        """Score a closed window, and learn it; windows come in order.

        Returns signal -> probability of so improbable a value, float64 by row of the catalog;
        NaN for no value, and for a series with too few of them.

        Args:
            frame: the window.
            columns: signal -> its totals, a column of the catalog's rows.
            catalog: holds the frame's series.
        """
        if not self._reads:
            return {}
        self._reach(frame.start // self._window_s)
        self._enter(frame, catalog)
        if not self._keys:
            return {}
        block = np.full(len(self._keys), np.nan)
        for signal, (mine, rows) in self._rows.items():
            known = rows >= 0
            block[mine] = 0.0  # a series without a row in the catalog is silent
            block[mine[known]] = columns[signal][rows[known]]
        block[self._out > _SCORED_EXCLUDED] = np.nan
        p = self._bank.score(block[:, None]).p[:, 0]
        p[np.isnan(block) | ~self._bank.is_warm()] = np.nan
        return {
            signal: _column(len(catalog), rows, p[mine])
            for signal, (mine, rows) in self._rows.items()
        }

    def learn(self, excluded: Excluded) -> dict[str, bytes | None]:
        """Note which rows were excluded in the window just scored; returns the blob, if due."""
        if not self._keys:
            return {}
        for signal, (mine, rows) in self._rows.items():
            still = np.isin(rows, excluded.get(signal, ()))
            self._out[mine] = np.where(still, self._out[mine] + 1, 0)
        if self._bank.tick // self._bank.shape.chunk == self._updated:
            return {}
        self._tidy()
        return {BLOB: self._encode()}

    def restore(self, blobs: Mapping[str, bytes], catalog: Catalog) -> None:
        """Decode the newest save, replay the windows since. Raises ValueError (other version)."""
        starts = sorted(int(key[2:]) for key in blobs if key.startswith("m:"))
        if not self._reads:
            return
        if BLOB in blobs:
            self._decode(blobs[BLOB])
            since = self._bank.tick
        else:  # never saved: begin with the newest hour
            chunk = self._bank.shape.chunk
            since = starts[-1] // self._window_s // chunk * chunk if starts else 0
        for start in starts:
            if start // self._window_s >= since:
                frame, names = decode(blobs[f"m:{start}"])
                rows = catalog.rows(frame.series)
                columns = {
                    signal: _column(len(catalog), rows, totals(frame, SIGNAL_FIELDS[signal]), 0.0)
                    for signal in self._reads
                }
                self.score(frame, columns, catalog)
                self.learn({signal: catalog.known(names[signal]) for signal in names})

    # ---- rows --------------------------------------------------------------------------

    def _reach(self, tick: int) -> None:
        """Append the windows before `tick` that were not evaluated, as no value."""
        gap = tick - self._bank.tick
        if not self._keys:
            self._bank.tick, self._updated = tick, tick // self._bank.shape.chunk
        elif gap * self._window_s > _UNSEEN_S:
            self._clear(tick)
        elif gap > 0:
            self._out[:] = 0
        while self._bank.tick < tick:
            step = min(tick - self._bank.tick, self._bank.shape.chunk)
            self._bank.score(np.full((len(self._keys), step), np.nan))

    def _enter(self, frame: WindowFrame, catalog: Catalog) -> None:
        """Add rows for new series of the window, and note when each was seen."""
        if self._changes != catalog.changes:
            self._index(catalog)
        rows = catalog.rows(frame.series)
        new: list[tuple[str, str]] = []
        seen = {}
        for signal, views in self._reads.items():
            inside = np.zeros(len(rows), bool)
            for view in views:
                inside |= catalog.in_view(rows, view)
            seen[signal] = rows[inside]
            missing = seen[signal][self._at[signal][seen[signal]] < 0]
            new += [(signal, catalog.names[row]) for row in missing.tolist()]
        if new:
            self._keys += sorted(new)
            self._bank.add(len(new))
            self._seen = np.append(self._seen, np.zeros(len(new), np.int64))
            self._out = np.append(self._out, np.zeros(len(new), np.int64))
            self._index(catalog)
        for signal, found in seen.items():
            self._seen[self._at[signal][found]] = self._bank.tick

    def _index(self, catalog: Catalog | None) -> None:
        """Index each signal's rows, in the bank and in the catalog (-1 = not known there)."""
        self._changes = -1 if catalog is None else catalog.changes
        self._rows: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._at: dict[str, np.ndarray] = {}  # by catalog row
        if catalog is None:
            return
        for signal in self._reads:
            mine = np.array([i for i, key in enumerate(self._keys) if key[0] == signal], int)
            rows = np.array([catalog.find(self._keys[i][1]) for i in mine], int)
            self._rows[signal] = mine, rows
            self._at[signal] = _column(len(catalog), rows, mine, -1).astype(int)

    def _tidy(self) -> None:
        """Reset rows without a value for long, drop those without an event."""
        bank = self._bank
        self._updated = bank.tick // bank.shape.chunk
        bank.forget(np.flatnonzero(bank.since_value() * self._window_s > _WITHOUT_VALUE_S))
        kept = np.flatnonzero((bank.tick - self._seen) * self._window_s <= _UNSEEN_S)
        if len(kept) < len(self._keys):
            bank.keep(kept)
            self._keys = [self._keys[i] for i in kept.tolist()]
            self._seen, self._out = self._seen[kept], self._out[kept]
            self._index(None)

    # ---- bytes -------------------------------------------------------------------------

    def _encode(self) -> bytes:
        bank = zlib.compress(self._bank.encode(), 1)  # about 4 KB a row
        seen, out = self._seen.tolist(), self._out.tolist()
        stored = _StoredResiduals(VERSION, self._window_s, self._keys, seen, out, bank)
        return msgspec.msgpack.encode(stored)

    def _decode(self, raw: bytes) -> None:
        """Raises ValueError on bytes that are not of this version."""
        stored = msgspec.msgpack.decode(raw, type=_StoredResiduals)
        if stored.version != VERSION:
            raise ValueError(f"residuals of version {stored.version}; this release reads {VERSION}")
        if stored.window_s != self._window_s:
            return
        self._bank, self._keys = ResidualBank.decode(zlib.decompress(stored.bank)), stored.keys
        self._updated = self._bank.tick // self._bank.shape.chunk
        self._seen = np.array(stored.seen, np.int64)
        self._out = np.array(stored.out, np.int64)


def _column(
    size: int, rows: Ints, values: np.ndarray | Sequence[int], empty: float = np.nan
) -> np.ndarray:
    """Values by catalog row; those of row -1 are left out."""
    column = np.full(size, empty)
    column[rows[rows >= 0]] = np.asarray(values)[rows >= 0]
    return column
