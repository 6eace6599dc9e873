"""The daily profile of a series: usual values, noise and jumps by time of day.

A day has up to 288 slots. A slot is updated once a day, by a clipped residual, so that one bad
day does not become the expectation. The weight of the profile (`beta`) is the slope of a
regression of the series' moves on those of the profile; it is 0 for a series without a daily
pattern.
"""

import numpy as np

from tocsin.flow.baseline.residual.model_state import State
from tocsin.flow.baseline.residual.shape import DAY_S, Shape
from tocsin.types import Floats, Ints

PROFILE_DAYS, NOISE_DAYS = 5, 7  # days the averages of a slot reach back
_ENVELOPE_DECAY, _ENVELOPE_MAX = 0.8, 30.0
_NEIGHBOURS = 3  # slots to each side that share their noise
_NOISE_PRIOR = 30.0  # prior weight of the series' own noise, in values
_SETTLED = 2  # days of a slot before its updates are clipped
_NOISE_FLOOR = 0.3  # least noise of a slot when clipping, as a part of the series'

#: Resolution (-log10 p) of the surprises kept by slot.
ODD_STEP = 0.035
_AROUND_S, _CHANCE = 900.0, 1.2


def slot_of(shape: Shape, ticks: Ints) -> Ints:
    """The slot each tick falls in."""
    return (ticks % shape.day) * shape.slots // shape.day


def expected(shape: Shape, state: State, ticks: Ints) -> Floats:
    """The profile at `ticks` [T], linear between the middles of slots: [rows, T]."""
    low, part = _between(shape, ticks)
    profile = state["profile"].astype(np.float64)
    before: Floats = profile[:, low] * (1.0 - part)
    both: Floats = before + profile[:, (low + 1) % shape.slots] * part
    return both


def expected_of(shape: Shape, state: State, ticks: Ints) -> Floats:
    """The profile of each row at its own tick: `expected` to the bit, [rows]."""
    low, part = _between(shape, ticks)
    profile, rows = state["profile"], np.arange(len(ticks))
    before: Floats = profile[rows, low].astype(np.float64) * (1.0 - part)
    after = profile[rows, (low + 1) % shape.slots].astype(np.float64)
    both: Floats = before + after * part
    return both


def _between(shape: Shape, ticks: Ints) -> tuple[np.ndarray, np.ndarray]:
    where = (ticks % shape.day + 0.5) * shape.slots / shape.day - 0.5
    low = np.floor(where)
    return low.astype(np.int64) % shape.slots, where - low


def noise(shape: Shape, state: State) -> tuple[np.ndarray, np.ndarray]:
    """Usual |residual| by slot, and the weight of it against the series' own: [rows, slots]."""
    days = np.minimum(state["days"], NOISE_DAYS).astype(np.float64)
    usual = state["noise"].astype(np.float64)
    total, weight = np.zeros_like(days), np.zeros_like(days)
    reach = _NEIGHBOURS if shape.slots > 2 * _NEIGHBOURS else 0
    for step in range(-reach, reach + 1):
        count = np.roll(days, step, 1)
        total += np.roll(usual, step, 1) * count
        weight += count
    values = weight * (shape.day / shape.slots)
    trust = values / (values + _NOISE_PRIOR)
    return total / np.maximum(weight, 1e-9), trust


def envelope(shape: Shape, state: State) -> Floats:
    """The largest |z| of the last days at this time of day, or next to it: [rows, slots]."""
    own = state["envelope"].astype(np.float64)
    if shape.slots < 3:
        return np.zeros_like(own)
    return np.maximum(own, np.maximum(np.roll(own, 1, 1), np.roll(own, -1, 1)))


def usual_oddness(shape: Shape, state: State) -> Floats:
    """The largest surprise of the last days within a quarter of an hour of this time of day,
    beyond what chance brings: [rows, slots].
    """
    own = state["odd"].astype(np.float64) * ODD_STEP
    reach = int(np.ceil(_AROUND_S * shape.slots / DAY_S))
    widest = own
    for step in range(1, min(reach, shape.slots // 4) + 1):
        widest = np.maximum(widest, np.maximum(np.roll(own, step, 1), np.roll(own, -step, 1)))
    return np.maximum(widest - _CHANCE, 0.0)


def learn(shape: Shape, state: State, ticks: Ints) -> None:
    """Update the slots that `ticks` (those since the last update) fall in."""
    each = slot_of(shape, ticks)
    first = np.flatnonzero(np.diff(each, prepend=-1))  # a chunk is a day at most: none twice
    slots = each[first]
    jumps = np.abs(state["p_e1"].astype(np.float64))
    seen = ~np.isnan(jumps)
    count = np.add.reduceat(seen, first, axis=1, dtype=np.int64)
    known, count = count > 0, np.maximum(count, 1)
    days = state["days"][:, slots].astype(np.int64)
    settled = days >= _SETTLED

    old = state["profile"][:, slots].astype(np.float64)
    reach = 5 * state["spread"][:, None]
    level = np.add.reduceat(np.where(seen, state["p_med"], 0.0), first, axis=1) / count
    level = np.where(settled, np.clip(level, old - reach, old + reach), level)
    moved = old + (level - old) / np.minimum(days + 1, PROFILE_DAYS)
    unknown = np.where(days > 0, old, state["centre"][:, None])
    state["profile"][:, slots] = np.where(known, moved, unknown)

    old, own = state["noise"][:, slots].astype(np.float64), state["scale1"][:, None]
    limit = 6 * np.where(settled, np.maximum(old, _NOISE_FLOOR * own), own)
    limit = np.repeat(limit, np.diff(first, append=len(ticks)), axis=1)
    size = np.where(seen, np.minimum(jumps, limit), 0.0)
    size = np.add.reduceat(size, first, axis=1) / count
    moved = old + (size - old) / np.minimum(days + 1, NOISE_DAYS)
    state["noise"][:, slots] = np.where(known, moved, old)
    state["days"][:, slots] = np.minimum(days + known, 255)

    odd = np.maximum.reduceat(np.where(seen, state["p_odd"], 0), first, axis=1)
    state["odd"][:, slots] = np.maximum(odd, state["odd"][:, slots] * _ENVELOPE_DECAY)
    largest = np.maximum.reduceat(np.where(seen, np.abs(state["p_z"]), 0.0), first, axis=1)
    kept = state["envelope"][:, slots] * _ENVELOPE_DECAY
    state["envelope"][:, slots] = np.maximum(kept, np.minimum(largest, _ENVELOPE_MAX))
