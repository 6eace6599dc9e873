"""The bank: many series, one value each an interval, scored as they come."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tocsin.flow.baseline.residual import model_state as states
from tocsin.flow.baseline.residual import residual_views, season, tail_fit, update
from tocsin.flow.baseline.residual.episodes import single_out
from tocsin.flow.baseline.residual.shape import VIEWS, WARM_UP, Shape
from tocsin.types import Bools, Floats, Ints

#: Decades of surprise that raise the score from 0.5 to 10/11.
_DECADES = 2.0
#: Factor on the score of a value that is not reported (its episode was).
_REPEATED = 0.2
#: Decades of surprise taken off a series that is a tenth of a day old.
_YOUTH = 1.5
#: Part of the usual surprise of this time of day that is taken off.
_DAILY = 0.85
#: Larger values are clipped to this, so that their squares are finite.
_LARGEST = 1e30
#: -log10 of p = 0.5: a view below it adds nothing.
_NOTHING = 0.3


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a block; every array is [rows, T]. NaN values score 0 with p = 1."""

    score: Floats  # 0..1; ALERT_SCORE and above is an alert, once an episode
    alert: Bools  # bool: the rows to alert on
    p: Floats  # probability of so improbable a value, by the mean of its views
    expected: Floats  # of the value, by the level and the time of day
    sigma: Floats  # of the value around it


class ResidualBank:
    """Scores of series with one value every `interval_s` seconds.

    The laws: a score depends on that and earlier values of its own series only; blocks may be
    cut anywhere with the same bits; `decode(encode())` continues with the same bits.
    `tick` is the number of the next interval; give `epoch_s // interval_s` so that the parts of
    the day are those of the clock, or leave 0. Banks that are to agree must agree in it.
    """

    def __init__(self, interval_s: float, rows: int = 0, tick: int = 0) -> None:
        self.shape = Shape.of(interval_s)
        self.tick = tick
        self._state = states.fresh(self.shape, rows)
        self._refresh()

    def __len__(self) -> int:
        return len(self._state["born"])

    # ---- rows --------------------------------------------------------------------------

    def add(self, rows: int) -> None:
        """Append `rows` series without a value."""
        new = states.fresh(self.shape, rows)
        self._state = {k: np.concatenate((v, new[k])) for k, v in self._state.items()}
        self._refresh()

    def forget(self, rows: Ints | Bools) -> None:
        """Reset rows (indices or mask) to the state of a new series; the others keep theirs."""
        new = states.fresh(self.shape, 1)
        for name, cells in self._state.items():
            cells[rows] = new[name][0]
        self._refresh()

    def since_value(self) -> Ints:
        """Ticks since each series' newest value, int64 [rows]; without one, since tick 0."""
        ticks: Ints = self.tick - self._state["held_at"]
        return ticks

    def is_warm(self) -> Bools:
        """Which series had more than WARM_UP values, bool [rows]."""
        warm: Bools = self._state["n"] > WARM_UP
        return warm

    def keep(self, rows: Ints) -> None:
        """Keep these rows, in this order, and drop the rest."""
        self._state = {name: cells[rows].copy() for name, cells in self._state.items()}
        self._refresh()

    # ---- bytes -------------------------------------------------------------------------

    def encode(self) -> bytes:
        """All state as versioned bytes, little-endian; no pickle. About 7 KiB a row at 60 s."""
        return states.encode(self.shape, self.tick, self._state)

    @classmethod
    def decode(cls, blob: bytes) -> ResidualBank:
        """Back from `encode`. Raises ValueError on bytes that are not of this version."""
        shape, tick, state = states.decode(blob)
        bank = cls(shape.interval_s, 0, tick)
        bank._state = state
        bank._refresh()
        return bank

    # ---- scores ------------------------------------------------------------------------

    def score(self, block: Floats) -> Scores:
        """Score, then learn, the next values [rows, T >= 1], NaN = none; ValueError if not so."""
        block = np.asarray(block, np.float64)
        if block.ndim != 2 or len(block) != len(self):
            raise ValueError(f"a block is [{len(self)}, T], not {list(block.shape)}")
        block = np.clip(np.where(np.isfinite(block), block, np.nan), -_LARGEST, _LARGEST)
        parts, at = [], 0
        while at < block.shape[1]:
            end = self._until(block, at)
            parts.append(self._step(block[:, at:end]))
            at = end
        return Scores(*(np.concatenate(cells, 1) for cells in zip(*parts, strict=True)))

    def _until(self, block: Floats, at: int) -> int:
        """Where the piece that begins at `at` ends: at an update, or where a series begins."""
        end: int = min(block.shape[1], at + self.shape.chunk - self.tick % self.shape.chunk)
        unborn = self._state["born"] < 0
        if unborn.any():
            later = ~np.isnan(block[unborn, at + 1 : end])
            if later.any():
                end = at + 1 + int(np.argmax(later.any(0)))
        return end

    def _step(self, x: Floats) -> tuple[np.ndarray, ...]:
        shape, state = self.shape, self._state
        born = np.flatnonzero((state["born"] < 0) & ~np.isnan(x[:, 0]))
        if len(born):
            residual_views.start(shape, state, born, x[born, 0], self.tick)
            self._refresh()
        block = residual_views.residuals(shape, state, self._fitted, x, self.tick)
        places = tail_fit.place(np.abs(block.z))
        above = block.z > 0
        odd = self._mean(places, above)
        slots = season.slot_of(shape, self.tick + np.arange(x.shape[1]))
        mean = np.maximum(odd - _DAILY * self._fitted.odd[:, slots], 0.0)
        count = state["n"][:, None] + np.cumsum(block.seen, 1)
        state["n"] = count[:, -1].copy()
        silent = ~block.seen | (count <= WARM_UP)
        # A series younger than a day has no whole day to compare with: ask more of it.
        days = np.minimum(np.maximum(count, 1) / shape.day, 1.0)
        surprise = np.where(silent, -np.inf, mean - np.log10(shape.day) + _YOUTH * np.log10(days))
        left, reported, alert = single_out(shape, state, surprise, count, self.tick)
        score = 1.0 / (1.0 + 10.0 ** ((shape.level - left) / _DECADES))
        score = np.where(reported, score, _REPEATED * score)
        first = self.tick % shape.chunk
        columns = slice(first, first + x.shape[1])
        for name, cells in block.pending.items():
            state[name][:, columns] = cells
        state["p_odd"][:, columns] = np.where(block.seen, odd / season.ODD_STEP, 0.0)
        state["p_bin"][:, :, columns] = places.astype(np.uint8) + tail_fit.BINS * ~above
        self.tick += x.shape[1]
        if self.tick % shape.chunk == 0:
            update.learn(shape, state, self.tick)
            self._refresh()
        p = np.where(block.seen, 10.0**-mean, 1.0)
        return score, alert, p, block.expected, block.sigma

    def _mean(self, places: Floats, above: Bools) -> np.ndarray:
        """The weighted mean of the views' -log10 p, each on its own side: [rows, T]."""
        total = np.zeros((places.shape[0], places.shape[2]))
        for view, weight in enumerate(self.shape.weights):
            if weight > 0:
                up, down = (
                    tail_fit.look_up(self._tables[:, view, side], places[:, view])
                    for side in (0, 1)
                )
                own = np.where(above[:, view], up, down)
                total += weight * np.maximum(own - _NOTHING, 0.0)
        return total

    def _refresh(self) -> None:
        """Derive the parameters and tail tables from the state."""
        self._fitted = residual_views.Fitted.of(self.shape, self._state)
        self._tables = tail_fit.surprises(self._state["tails"])


assert len(VIEWS) == len(Shape.of(60).weights)
